"""Graphs with layers of signs that were tampered with load and run, or raise ShoeError.

Never a crash, whatever a kernel is told.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiers import repetitions

pytest.importorskip("llvmlite")

RUN = """
import random, sys, time
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_segments import CHAIN, CONSTANTS, ROWS, TENSORS, X, graph
from shoestring.artifact import Content, Loaded, ShoeError
from shoestring.artifact.format.graph import INT, INTS, Node, encode
from shoestring.artifact.format.graph_reader import decode
from shoestring.artifact.runtime.segments import Segments
from shoestring.artifact.format.tensors import tensor

flat = (*CHAIN, Node("Reshape", (13, 8), 1), Node("Less", (14, 4), 1), Node("Where", (15, 5, 6), 1),
        Node("Gemm", (16, 3), 1, (("transB", INT, 1),)), Node("Relu", (17,), 1))
wide = np.where(np.random.default_rng(0).random((70, 144)) < 0.5, np.float32(-1), np.float32(1))
strides = ("strides", INTS, (2, 1)), ("dilations", INTS, (1, 2))
strided = Node("Conv", (11, 1), 1, strides)
shapes = [*CONSTANTS[:4], np.array([0, 144])]
chains = [
    (encode(graph(CHAIN, (13,))), TENSORS),
    (encode(graph((*CHAIN[:3], strided, CHAIN[4]), (13,))), TENSORS),
    (encode(graph(flat, (18,), shapes)), [*TENSORS[:2], tensor(wide, 2)]),
]
draw, counts = random.Random(int(sys.argv[2])), [0, 0, 0]
images = [X, X[:, :, :1], X[:, :4], X[:0], X[:, :, :, :0]]
images += [np.tile(X, (1, 1, 3, 4)), X.astype(np.float64)]
likely = 0, 1, 2, 3, 4, 5, 9, 63, 64, 127, 128, 255
for turn in range(int(sys.argv[3])):
    data, tensors = draw.choice(chains)
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3))):
        data[draw.randrange(len(data))] = draw.choice((*likely, draw.randrange(256)))
    print(turn, bytes(data).hex(), file=sys.stderr, flush=True)
    start = time.process_time()
    try:
        content = decode(bytes(data))
        if content.weights != len(tensors):
            continue
        counts[0] += 1
        loaded = Loaded(Content(content, tensors), threads=1)
        counts[1] += isinstance(loaded._session, Segments)
        for x in images:
            try:
                loaded(x)
                counts[2] += 1
            except (ShoeError, TypeError, ValueError):
                pass
    except ShoeError:
        pass
    assert time.process_time() - start < 5
print(*counts)
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_tampered_graphs(seed):
    count = repetitions(100, 300)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(seed), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, "\n".join(done.stderr.splitlines()[-3:])
    decoded, cut, ran = map(int, done.stdout.split())
    assert decoded > count // 6 and cut > count // 30 and ran > count // 15
