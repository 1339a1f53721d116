"""The command line as a user has it: what is printed, what is written, the exit status."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import save_file

from shoestring import cli

SOURCE = """
from torch import nn
from shoestring.core import seeded
from shoestring.kit import Training, train
from shoestring.tasks import digits

def small():
    task = digits()
    with seeded(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        return train(network, task.sealed(), Training(300)), task

def wrong():
    return 42

def task():
    return digits()

def fails():
    return {}["absent"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "mine.py").write_text(SOURCE)
    return folder


@pytest.fixture
def shoestring(folder, monkeypatch, capsys):
    """Calls the program and returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["shoestring", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def file(folder, shoestring):
    path = folder / "small.shoe"
    if not path.exists():
        assert shoestring("compress", "mine.py:small", "--budget", "size<=2KB", "--steps", 60)[0] == 0
    return path


def test_compress_prints_one_json_object_with_the_promised_keys(folder, shoestring):
    status, out, _ = shoestring("compress", "mine:small", "--budget", "size<=2KB, drop<=20%", "--steps", 60, "--json")
    assert status == 0
    found = json.loads(out)
    promised = (
        "bytes_before bytes_after score_before score_after milliseconds_before milliseconds_after path onnx_bytes_before"
    )
    assert set(promised.split()) <= found.keys()
    assert found["bytes_before"] == 4 * (64 * 32 + 32 + 32 * 10 + 10)
    assert found["bytes_after"] == (folder / found["path"]).stat().st_size <= 2000
    assert found["met"] is True


def test_compress_says_nearest_and_exits_with_3_where_the_budget_cannot_be_kept(folder, shoestring):
    arguments = ("compress", "mine.py:small", "--budget", "size<=50B", "--steps", 1, "--out", "nearest.shoe")
    status, out, _ = shoestring(*arguments)
    assert status == cli.BUDGET_NOT_MET == 3
    assert "nearest" in out
    assert (folder / "nearest.shoe").exists()
    assert json.loads(shoestring(*arguments, "--json")[1])["nearest"] is True


def test_inspect_adds_up_to_the_file(file, shoestring):
    _, out, _ = shoestring("inspect", file, "--json")
    assert sum(line["bytes"] for line in json.loads(out)) == file.stat().st_size
    status, text, _ = shoestring("inspect", file)
    numbers = [int(line.split()[0].replace(",", "")) for line in text.splitlines()]
    assert status == 0 and sum(numbers[:-1]) == numbers[-1] == file.stat().st_size


def test_export_gives_onnx_that_answers_as_the_file_does(file, folder, shoestring):
    assert shoestring("export", file, "out.onnx")[0] == 0
    images = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    model = onnx.load(folder / "out.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (expected,) = session.run(None, {session.get_inputs()[0].name: images})
    np.savez(folder / "in.npz", images)
    assert shoestring("run", file, "in.npz", "--out", "out.npz")[0] == 0
    with np.load(folder / "out.npz") as results:
        np.testing.assert_allclose(results["output"], expected, rtol=1e-5, atol=1e-6)
    assert "float32[3, 10]" in shoestring("run", file, "in.npz")[1]


def test_a_checkpoint_is_packed_and_given_back(folder, shoestring):
    weights = {"layer.weight": np.random.default_rng(0).normal(0, 0.02, (80, 50)).astype(np.float32), "ids": np.arange(4)}
    save_file(weights, folder / "mine.safetensors", {"format": "np"})
    status, out, err = shoestring("pack", "mine.safetensors")
    packed = folder / "mine.shoe"
    assert status == 0 and not err and f"{packed.stat().st_size:,}" in out.splitlines()[-1]
    assert packed.stat().st_size < 0.85 * (folder / "mine.safetensors").stat().st_size
    status, out, _ = shoestring("unpack", "mine.shoe", "again.safetensors")
    assert status == 0 and "byte for byte" in out
    assert (folder / "again.safetensors").read_bytes() == (folder / "mine.safetensors").read_bytes()
    lines = json.loads(shoestring("inspect", "mine.shoe", "--json")[1])
    assert {"layer.weight", "ids"} <= {line["name"] for line in lines}
    assert sum(line["bytes"] for line in lines) == packed.stat().st_size
    assert "already" in shoestring("unpack", "mine.shoe")[2]
    assert "must end in" in shoestring("unpack", "mine.shoe", "mine.txt")[2]
    assert "no graph" in shoestring("run", "mine.shoe", "in.npz")[2]
    assert "no graph" in shoestring("export", "mine.shoe", "out.onnx")[2]
    assert "already" in shoestring("pack", "mine.shoe")[2]


def test_a_file_of_pytorch_is_packed_and_given_back(folder, shoestring):
    torch.save({"model": {"weight": torch.ones(30, 20)}, "epoch": 3}, folder / "mine.pt")
    assert shoestring("pack", "mine.pt", "pt.shoe", "--smallest")[0] == 0
    status, out, _ = shoestring("unpack", "pt.shoe", "again.pt")
    assert status == 0 and "bit for bit" in out
    back = torch.load(folder / "again.pt", weights_only=True)
    assert back["epoch"] == 3 and torch.equal(back["model"]["weight"], torch.ones(30, 20))
    assert "max_bytes" in shoestring("unpack", "pt.shoe", "again.pt", "--max-bytes", 100)[2]


def test_a_model_is_not_unpacked(file, shoestring):
    status, _, err = shoestring("unpack", file, "model.safetensors")
    assert status == 1 and "shoestring export" in err


def test_score_and_ledger(file, shoestring):
    status, out, _ = shoestring("score", file, "mine.py:task", "--ledger", "my.ledger")
    assert status == 0 and 0.7 < float(out) <= 1
    _, out, _ = shoestring("ledger", "my.ledger", "--json")
    assert json.loads(out)["score_after"] == pytest.approx(float(shoestring("score", file, "mine:small")[1]), abs=1e-4)
    assert "prove" in shoestring("ledger", "my.ledger")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compress", "--budget", "size<=0KB"), "more than 0"),
        (("compress", "--budget", "size<=4 parsecs"), "not in 'parsecs'"),
        (("compress", "mine.py:absent"), "no function 'absent'"),
        (("compress", "mine.py:wrong"), "must return (trained model, task)"),
        (("compress", "nothing_here:small"), "there is no module"),
        (("compress", "small"), "MODULE:FUNCTION"),
        (("compress", "mine.py:small", "--out", "no/such/folder/x.shoe"), "no folder"),
        (("compress", "mine.py:fails"), "mine.py:20, in fails"),
        (("inspect", "absent.shoe"), "absent.shoe: no such file"),
        (("inspect", "mine.py"), "not a .shoe file"),
        (("pack", "absent.safetensors"), "absent.safetensors: no such file"),
        (("pack", "mine.py"), "neither a .safetensors file nor"),
        (("unpack", "mine.py", "not.pt"), "not a .shoe file"),
        (("ledger", "absent.ledger"), "no ledger"),
        (("ledger", "mine.py"), "not a ledger"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_status_1(shoestring, arguments, message):
    status, _, err = shoestring(*arguments)
    assert status == 1
    assert message in err and err.startswith("error: ") and "Traceback" not in err


def test_inputs_that_do_not_fit(file, folder, shoestring):
    np.savez(folder / "bad.npz", images=np.zeros((2, 3), np.float32))
    assert "shape" in shoestring("run", file, "bad.npz")[2]
    (folder / "text.npz").write_text("not an archive")
    assert "not an .npz file" in shoestring("run", file, "text.npz")[2]


def test_version_and_usage(shoestring):
    from shoestring import __version__

    assert shoestring("--version")[1].strip() == __version__
    assert shoestring("compress", "--nonsense")[0] == 2


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX systems")
def test_interrupted_it_keeps_the_best_file_so_far_and_exits_with_130(folder):
    command = [sys.executable, "-m", "shoestring.cli", "compress", "mine.py:small", "--budget", "size<=60B, drop<=0%"]
    process = subprocess.Popen(
        [*command, "--steps", "400", "--out", "cut.shoe"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # shells have what they run in the background ignore it
    )
    assert process.stdout is not None and process.stderr is not None
    while "stage 1" not in (line := process.stdout.readline()):
        assert line or process.poll() is None, process.stderr.read()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert (folder / "cut.shoe").exists()
