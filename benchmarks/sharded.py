"""Memory of programs that each keep a part of one model: `python benchmarks/sharded.py`.

8 linear layers of 2,048 (134 MB of weights) are trained by AdamW for 12 steps, batches of 16: by
two programs with whole weights (`AllReduced`), by two with weights in parts (`Sharded`), and by one
program alone; in turn, three times. Told: the largest resident memory of a program beyond what it
had with Python and torch and before the model was made, the same with it, seconds a step, the loss
after the training, and a mean of weights; of two programs the larger. All have glibc return pieces
above 1 MB when they are freed, as `Sharded` does by itself. The inputs are random numbers
and the targets what an untrained layer says of them: it is memory that is asked for. The programs
share two cores, so seconds tell what the exchange takes, and not what two machines would.
About five minutes. --quick: layers of 512, one time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import torch
from rows import Rows, start
from torch import nn

from shoestring.artifact.scratch import scratch_folder
from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training, train
from shoestring.meters.memory import peak
from shoestring.parallel import AllReduced, Sharded

LAYERS, STEPS, BATCH = 8, 12, 16
WHOLE, PARTS, ALONE = "two programs, whole weights", "two programs, weights in parts", "one program"


def numbers(width: int) -> Supervised:
    """A task whose targets an untrained network gave."""
    inputs = torch.randn(STEPS * BATCH, width)
    with torch.no_grad():
        targets = nn.Linear(width, 10)(inputs).argmax(1)
    return Supervised(
        train=(inputs, targets), validation=(inputs[:BATCH], targets[:BATCH]), batch_size=BATCH
    )


def network(width: int) -> nn.Module:
    """Linear layers of one width; the last one tells ten classes."""
    widths = [*(width,) * LAYERS, 10]
    layers = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def told(way: str, width: int) -> dict[str, float]:
    """What a training took in this program."""
    workers = {WHOLE: AllReduced(), PARTS: Sharded(), ALONE: None}[way]
    with seeded(0):
        task = numbers(width)
        before = peak()
        model = network(width)
        began = time.monotonic()
        train(model, task, Training(STEPS, AdamW(3e-4), workers=workers))
        seconds = time.monotonic() - began
        found = peak()
        with torch.no_grad():
            loss = float(task.loss(model, next(iter(task.batches("validation")))))
        first = next(model.parameters()).detach().flatten()[:1000].double()
    return {
        "peak memory": float(found),
        "peak memory beyond that of the start": float(found - before),
        "seconds a step": seconds / STEPS,
        "loss afterwards": loss,
        "mean absolute weight": float(first.abs().mean()),
    }


def programs(way: str, width: int) -> list[dict[str, float]]:
    """What each program of a way told."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    ranks = range(1 if way == ALONE else 2)
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with scratch_folder() as scratch:
        running = []
        for rank in ranks:
            begin = [sys.executable, __file__, "--way", way, str(width), f"{scratch}/{rank}"]
            mine = {**os.environ, **shared, "RANK": str(rank), "OMP_NUM_THREADS": "1"}
            mine["MALLOC_MMAP_THRESHOLD_"] = str(1 << 20)
            running.append(subprocess.Popen(begin, env=mine))
        statuses = [one.wait() for one in running]
        if any(statuses):
            raise RuntimeError(f"a program of {way} failed: see what it printed")
        return [json.loads(Path(f"{scratch}/{rank}").read_text()) for rank in ranks]


def main() -> None:
    if "--way" in sys.argv:
        way, width, path = sys.argv[2:]
        Path(path).write_text(json.dumps(told(way, int(width))))
        return
    rows: Rows = start("sharded", "cpu", __doc__ or "")
    width = 512 if rows.quick else 2048
    for repeat in range(1 if rows.quick else 3):
        for way in (WHOLE, PARTS, ALONE):
            if rows.done(way, repeat):
                continue
            found = programs(way, width)
            for name, unit in UNITS.items():
                rows.add(way, name, max(one[name] for one in found), unit, repeat)
            rows.add(way, "done", 1, "", repeat)
    rows.close()


UNITS = {
    "peak memory": "bytes",
    "peak memory beyond that of the start": "bytes",
    "seconds a step": "s",
    "loss afterwards": "",
    "mean absolute weight": "",
}

if __name__ == "__main__":
    main()
