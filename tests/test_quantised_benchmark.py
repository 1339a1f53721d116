"""The table of quantised networks says what its rows say, and the scripts of peers speak one
language.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "benchmarks" / "peers"
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "artifact")]

PEER = """
import sys
class Forbid:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("shoestring", "torch"):
            raise ImportError(f"{name} is not in a peer's environment")
sys.meta_path.insert(0, Forbid())
import numpy as np
from interface import calibration, main

def quantise(given, out, options):
    if options:
        raise RuntimeError("no such option\\nand more about it")
    scale = max(float(one["x"].max()) for one in calibration(given, 3))
    np.save(out / "model.npy", scale)
    return "fine"

def opened(out):
    scale = np.load(out / "model.npy")
    return lambda inputs: inputs["x"] * scale

main(quantise, ("numpy",), opened)
"""


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """Runs a peer that multiplies by the largest number it has seen, 7; after `quantise`."""
    from samples import linear

    from shoestring.artifact.format.protobuf import onnx_bytes

    folder = tmp_path_factory.mktemp("peer")
    script, given, out = folder / "peer.py", folder / "given", folder / "out"
    script.write_text(PEER)
    given.mkdir()
    content = linear()
    (given / "model.onnx").write_bytes(onnx_bytes(content.graph, content.tensors))
    np.savez(given / "calibration.npz", x=np.array([1, 2, 7, 3, 4], np.float32))
    np.savez(given / "example.npz", x=np.ones((2, 3), np.float32))

    def run(*arguments, out=out):
        space = {**os.environ, "PYTHONPATH": str(PEERS)}
        command = [sys.executable, str(script), str(given), str(out), *map(str, arguments)]
        return subprocess.run(
            command, env=space, capture_output=True, text=True, check=True
        ).stdout, out

    run()
    return run


def test_a_peer_leaves_a_model_and_a_result(peer):
    result = json.loads((peer()[1] / "result.json").read_text())
    assert (result["notes"], result["error"]) == ("fine", None)
    assert result["versions"] == {"numpy": np.__version__}
    assert result["seconds"] >= 0


def test_a_peer_that_fails_says_why_in_a_line(peer, tmp_path):
    _, out = peer("--wrong", out=tmp_path)
    assert json.loads((out / "result.json").read_text())["error"] == "RuntimeError: no such option"


def test_a_peer_answers_calls_of_different_shapes(peer, tmp_path):
    np.savez(tmp_path / "calls.npz", **{"0 x": np.ones((2, 3)), "1 x": np.ones((1, 4))})
    peer("--answers", tmp_path / "calls.npz", tmp_path / "answers.npz")
    with np.load(tmp_path / "answers.npz") as found:
        assert found["0"].tolist() == [[7] * 3] * 2
        assert found["1"].tolist() == [[7] * 4]


def test_a_peer_is_timed_in_turn_with_float32(peer):
    pair = json.loads(peer("--time", 32, 0.05)[0].splitlines()[-1])
    assert len(pair["fp32"]) == len(pair["peer"]) >= 7
    assert min(pair["fp32"] + pair["peer"]) > 0


def test_the_table():
    from quantised_table import table

    rows = [
        {"subject": f"lenet5 / {tool}", "metric": metric, "value": value}
        for tool, metric, value in [
            ("float32", "file", 1000),
            ("float32", "test score", 99.0),
            ("float32", "batch 1, one run", 0.5),
            ("float32", "batch 32, one run", 4.0),
            ("fast", "file", 250),
            ("fast", "test score", 98.5),
            ("fast", "test difference", -0.5),
            ("fast", "test difference, low", -0.7),
            ("fast", "test difference, high", -0.3),
            ("fast", "minutes", 1.25),
            ("fast", "batch 1, time to float32's", 0.5),
            ("fast", "batch 1, time to float32's, low", 0.4),
            ("fast", "batch 1, time to float32's, high", 0.8),
            ("fast", "batch 32: not timed: no compiler", 1),
            ("broken", "failed: no such operator", 1),
            ("fast in OpenVINO", "batch 1, time to float32's", 2.0),
            ("fast in OpenVINO", "batch 1, time to float32's, low", 2.0),
            ("fast in OpenVINO", "batch 1, time to float32's, high", 2.0),
        ]
    ] + [{"subject": "resnet20 / fast", "metric": "file", "value": 1}]
    rows += [
        {"subject": "lenet5 / ours", "metric": metric, "value": value, "seed": seed}
        for metric, value, seed in [
            ("file", 300, 0),
            ("test score", 98.9, 0),
            ("test difference", -0.1, 0),
            ("test difference, low", -0.2, 0),
            ("test difference, high", 0.0, 0),
            ("test difference", -0.3, 1),
            ("test difference", 0.2, 2),
            ("the file's less the module's", 0.0, 0),
            ("layers in floating point", 0, 0),
        ]
    ]
    here = {"processor": "AMD EPYC, AVX-512"}
    lines = table(
        "lenet5",
        [{"seed": 0, **(here if row["metric"].startswith("batch") else {}), **row} for row in rows],
    ).splitlines()
    assert lines[0] == (
        "**LeNet-5, MNIST** (float32 in ONNX Runtime, batch 1 and 32: 0.5 ms, 4 ms on AMD EPYC, "
        "AVX-512)"
    )
    assert lines[2] == (
        "| | bytes | test score % | difference, points (95 %) | times as fast, batch 1 (AMD EPYC, "
        "AVX-512) | batch 32 (AMD EPYC, AVX-512) | minutes |"
    )
    assert lines[4:] == [
        "| float32 | 1,000 | 99.00 |  |  |  |  |",
        "| ours | 300 | 98.90 | -0.10 (-0.20 to +0.00) |  |  |  |",
        # Half the time is twice as fast; the lower quartile of the time is the upper one of the
        # speed.
        "| fast | 250 | 98.50 | -0.50 (-0.70 to -0.30) | 2.00 (1.25 to 2.50) | not timed: no "
        "compiler | 1.2 |",
        "| broken | failed: no such operator | | | | | |",
        '| fast in OpenVINO | " | " | " | 0.50 (0.50 to 0.50) |  |  |',
        "",
        "Our module foretold what our file scores on validation data to 0.00 points. Two other "
        "seeds of ours: -0.30 and +0.20 points on test data.",
    ]
