"""The command line with a model that is called in several ways, and with its file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from time import monotonic

import numpy as np
import onnx
import onnxruntime
import pytest
from several import Matching

from shoestring import cli
from shoestring.artifact import Entries, load, read_model
from shoestring.core import score

TESTS = Path(__file__).parent
GOLDEN = TESTS / "artifact" / "format" / "golden" / "v3_two_entries.shoe"
SOURCE = f"""
import sys
sys.path.append({str(TESTS)!r})
from several import Matching, towers
from shoestring.core import seeded
from shoestring.kit import AdamW, Training, train

def matched():
    task = Matching()
    with seeded(0):
        return train(towers(), task.sealed(), Training(150, AdamW(1e-2))), task
"""


@pytest.fixture
def shoestring(tmp_path, monkeypatch, capsys):
    """Calls the program in a folder with a file of entries, and returns (exit status, standard
    output, standard error).
    """
    shutil.copy(GOLDEN, tmp_path / "two.shoe")
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["shoestring", *map(str, arguments)])
        monkeypatch.setattr(cli.search, "BEGAN", monotonic())
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return call


def test_inspect_has_a_line_for_each_graph(shoestring):
    status, out, _ = shoestring("inspect", "two.shoe")
    assert status == 0 and "graph encode" in out and "graph step" in out


def test_export_writes_an_onnx_file_for_each_entry(shoestring, tmp_path):
    assert shoestring("export", "two.shoe", "out.onnx")[0] == 0
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == [
        "out.encode.onnx",
        "out.step.onnx",
    ]
    session = onnxruntime.InferenceSession(
        onnx.load(tmp_path / "out.encode.onnx").SerializeToString()
    )
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], load("two.shoe").encode(x))
    assert len(onnx.load(tmp_path / "out.encode.onnx").graph.initializer) == 2, (
        "only what the entry reads"
    )
    assert shoestring("export", "two.shoe", "one.onnx", "--entry", "step")[0] == 0
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "out.step.onnx").read_bytes()


def test_run_takes_the_name_of_an_entry(shoestring, tmp_path):
    x = np.ones((2, 3), np.float32)
    np.savez(tmp_path / "in.npz", x)
    assert shoestring("run", "two.shoe", "in.npz", "--entry", "encode", "--out", "out.npz")[0] == 0
    with np.load(tmp_path / "out.npz") as results:
        np.testing.assert_allclose(results["y"], load("two.shoe").encode(x))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("run", "two.shoe", "in.npz"),
            "error: two.shoe has entries: give --entry encode or --entry step",
        ),
        (
            ("run", "two.shoe", "in.npz", "--entry", "stp"),
            "none is called 'stp'; did you mean step?: give --entry encode or",
        ),
        (
            ("export", "two.shoe", "out.onnx", "--entry", "x"),
            "none is called 'x': give --entry encode or --entry step",
        ),
        (
            ("run", TESTS / "artifact/format/golden/v2_half_plain.shoe", "in.npz", "--entry", "x"),
            "no name: leave --entry out",
        ),
        (
            ("compress", "two.shoe", "--inputs", "in.npz"),
            "this file has several entries (encode, step), and one graph is wanted here",
        ),
    ],
)
def test_entries_that_are_not_named(arguments, said, shoestring, tmp_path):
    np.savez(tmp_path / "in.npz", np.ones((2, 3), np.float32))
    status, _, err = shoestring(*arguments)
    assert status == 1 and said in err


@pytest.mark.slow
def test_compress_and_score_a_model_with_entries(shoestring, tmp_path):
    status, out, err = shoestring(
        "compress",
        "mine.py:matched",
        "--budget",
        "size<=14KB, latency<=1000%, drop<=20%",
        "--out",
        "small.shoe",
    )
    assert status == 0, out + err
    content = read_model(tmp_path / "small.shoe")
    assert isinstance(content, Entries) and list(content.graphs) == ["query", "item"]
    assert (tmp_path / "small.shoe").stat().st_size <= 14_000
    assert score(Matching(), load(tmp_path / "small.shoe")) > 0.3  # one in 16 by chance
    status, out, _ = shoestring("score", "small.shoe", "mine.py:matched")
    assert status == 0 and 0 <= float(out) <= 1
