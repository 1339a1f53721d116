"""What the command line says where something is not as it should be.

Interrupted, mistyped, in the way, or not installed.
"""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from shoestring.artifact import Content, save
from shoestring.artifact import errors as extras
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import Graph, Node, Port

posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX systems")
SLOW = """
import time

def slow():
    print("called", flush=True)
    time.sleep(60)

def network():
    return 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- interrupted


def interrupted(number, *arguments, after: str) -> tuple[int, str]:
    """(exit status, standard error) of a command that gets a signal once it has printed `after`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shoestring.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells have what they run in the background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None and process.stderr is not None
    while after not in (line := process.stdout.readline()):
        assert line or process.poll() is None, process.stderr.read()
    process.send_signal(number)
    _, err = process.communicate(timeout=900)
    return process.returncode, err


@posix
@pytest.mark.by_default("SIGINT-layers", "SIGTERM-compress")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("sensitivity",),
            "nothing was kept, and with --folder NAME the trials would be; the same command begins "
            "again",
        ),
        (
            ("sensitivity", "--folder", "layers"),
            "the trials that were made are in layers; the same command goes on from there",
        ),
        (("compress", "--out", "old.shoe"), "old.shoe is as it was; the same command begins again"),
    ],
    ids=["sensitivity", "layers", "compress"],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_command_that_is_interrupted_says_what_is_kept(folder, number, arguments, said):
    (folder / "layers").mkdir()
    (folder / "old.shoe").write_bytes(b"old")
    status, err = interrupted(number, arguments[0], "mine.py:slow", *arguments[1:], after="called")
    assert (status, err) == (130, f"interrupted: {said}\n")
    assert (folder / "old.shoe").read_bytes() == b"old"


@posix
def test_a_pack_that_is_interrupted_leaves_what_was_there(folder):
    save_file(
        {"weight": np.random.default_rng(0).normal(size=(4000, 2500)).astype(np.float32)},
        folder / "large.safetensors",
    )
    status, err = interrupted(signal.SIGTERM, "pack", "large.safetensors", after="packing")
    assert (status, err) == (
        130,
        "interrupted: large.shoe is not there; the same command begins again\n",
    )
    assert sorted(os.listdir(folder)) == ["large.safetensors", "mine.py"]


@posix
def test_a_pack_of_onnx_that_is_interrupted_says_what_is_there(folder):
    weight = numpy_helper.from_array(
        np.random.default_rng(0).normal(size=(4000, 2500)).astype(np.float32), "weight"
    )
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in (("x", 4000), ("y", 2500))
    ]
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "graph",
        ports[:1],
        ports[1:],
        [weight],
    )
    onnx.save(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        folder / "large.onnx",
    )
    status, err = interrupted(signal.SIGTERM, "pack", "large.onnx", after="packing")
    assert (status, err) == (
        130,
        "interrupted: large.shoe is not there; the same command begins again\n",
    )
    assert sorted(os.listdir(folder)) == ["large.onnx", "mine.py"]


# -- mistyped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compress", "--budget", "latncy<=50%"), "did you mean latency?"),
        (("compress", "--budget", "accuracy>=90%"), "did you mean score?"),
        (("compress", "--budget", "flops<=1M"), "did you mean operations?"),
        (("compress", "mine.py:slwo"), "mine.py has no function 'slwo'; did you mean slow?"),
        (("compress", "mien.py:slow"), "there is no file mien.py; did you mean mine.py?"),
        (("compress", "--runtime", "openvno"), "(openvino?)"),
        (("compress", "--target", "cortex-m33"), "(did you mean cortex-m3?)"),
        (
            ("compress", "--target", "cortex-m3", "--budget", "size<=3KB"),
            "--target cortex-m3: the budget limits nothing on it; limit flash, ram, instructions",
        ),
        (("compress", "mine.py:network"), "must return (trained model, task), and returned int"),
    ],
)
def test_what_was_meant_is_named(shoestring, arguments, message):
    status, _, err = shoestring(*arguments)
    assert status == 1 and message in err, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compress", "--budgt", "x"), "--budget"),
        (("comprss",), "compress"),
        (("pack", "x", "--smalest"), "--smallest"),
    ],
)
def test_the_nearest_option_or_command_is_named(shoestring, arguments, message):
    status, _, err = shoestring(*arguments)
    assert status == 2 and message in err, err


# -- in the way


def test_a_device_is_not_replaced_by_a_file(shoestring):
    status, _, err = shoestring("compress", "mine.py:slow", "--out", "/dev/full")
    assert (
        status == 1
        and "error: /dev/full is a device, and would be replaced by a file: name a path for a file"
        in err
    )
    status, _, err = shoestring("inspect", "/dev/zero")
    assert (
        status == 1 and "/dev/zero is a device: write what comes from it into a file first" in err
    )


# -- arrays


@pytest.fixture
def scaled(folder):
    """A file that multiplies images N×3 by scales N×3."""
    ports = (Port("images", 1, ("N", 3)), Port("scales", 1, ("N", 3)))
    graph = Graph(
        opset=20,
        inputs=ports,
        weights=0,
        constants=(),
        nodes=(Node("Mul", (0, 1), 1),),
        outputs=(Port("y", 1),),
        results=(2,),
        arguments=((0, 1), {}),
        structure=0,
    )
    save(folder / "scaled.shoe", file.pack(Content(graph, [])))
    return folder / "scaled.shoe"


A = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"image": A, "scales": A},
            "there is no input 'image' (did you mean 'images'?); this file takes images: "
            "float32[N, 3]",
        ),
        (
            {"images": A},
            "the input 'scales' is missing; this file takes images: float32[N, 3], scales: "
            "float32[N, 3]",
        ),
        (
            {"images": A, "scales": A[:1]},
            "'scales' has shape [1, 3] and [N, 3] is wanted, where N is 2 as in 'images'",
        ),
        ({"images": A.T, "scales": A}, "the input 'images' has shape [3, 2] and [N, 3] is wanted"),
        (
            {"images": A.astype(int), "scales": A},
            "'images' is of type int64 and float32 is wanted: .*.astype('float32')",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_told_what_does(shoestring, folder, scaled, arrays, message):
    np.savez(folder / "in.npz", **arrays)
    status, _, err = shoestring("run", scaled, "in.npz")
    first, _, last = message.partition(".*")
    assert status == 1 and first in err and last in err, err


def test_arrays_without_names_are_taken_in_their_order(shoestring, folder, scaled):
    np.savez(folder / "in.npz", A, 10 * A)
    assert shoestring("run", scaled, "in.npz", "--out", "out.npz")[0] == 0
    with np.load(folder / "out.npz") as found:
        np.testing.assert_array_equal(found["y"], 10 * A * A)


def test_what_is_no_archive_says_how_to_write_one(shoestring, folder, scaled):
    np.save(folder / "in.npy", A)
    assert (
        "numpy.savez('in.npz', images=..., scales=...), of images: float32[N, 3]"
        in shoestring("run", scaled, "in.npy")[2]
    )


# -- not installed


def test_what_is_missing_is_named_with_the_extra_and_where_it_comes_from(monkeypatch):
    error = extras.missing("absent_one", "absent_two", "numpy", extra="train", what="training")
    said = (
        "training: absent_one and absent_two are not installed: they come with the extra `train` "
        "(pip install '.[train]' in the folder"
    )
    assert str(error).startswith(said) and error.name == "absent_one"
    assert "it comes with the extra `fast`" in str(extras.missing("absent_one", extra="fast"))


WITHOUT = """
import sys
for name in {absent!r}:
    sys.modules[name] = None
from shoestring.cli import main
for arguments in {commands!r}:
    sys.argv = ["shoestring", *arguments]
    try:
        main()
    except SystemExit as end:
        print("status", end.code or 0, file=sys.stderr)
"""


def without(absent, commands) -> list[tuple[int, str]]:
    """(exit status, what was said) of commands that run in one process, in which some packages are
    not installed.
    """
    code = WITHOUT.format(absent=absent, commands=commands)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = re.split(r"^status (\d+)\n", done.stderr, flags=re.MULTILINE)
    assert len(said) == 2 * len(commands) + 1, done.stderr
    return [(int(status), text) for text, status in zip(said[::2], said[1::2], strict=False)]


@pytest.mark.parametrize("absent", [("torch", "onnx", "onnxscript"), ("onnx",)])
def test_a_command_that_needs_torch_says_so_and_no_other(folder, absent):
    (folder / "x.pt").write_bytes(b"PK\x03\x04")
    told = (
        "torch, onnx and onnxscript are not installed: they come"
        if len(absent) > 1
        else "onnx is not installed: it comes"
    )
    commands = (
        ("compress",),
        ("compress", "mine.py:slow"),
        ("forecast",),
        ("pack", "x.pt"),
        ("sensitivity", "mine.py:slow"),
    )
    for status, said in without(absent, commands):
        assert (
            status == 1 and f"error: {told} with the extra `train` (pip install '.[train]'" in said
        ), said


def test_running_and_packing_need_no_torch(folder, scaled):
    np.savez(folder / "in.npz", A, A)
    save_file({"weight": np.ones((30, 20), np.float32)}, folder / "plain.safetensors")
    commands = (
        ("run", "scaled.shoe", "in.npz"),
        ("inspect", "scaled.shoe"),
        ("pack", "plain.safetensors"),
        ("export", "scaled.shoe", "x.onnx"),
    )
    for status, said in without(("torch", "onnx", "onnxscript"), commands):
        assert status == 0, said


def test_ctrl_c_while_the_command_line_is_imported_gives_no_traceback() -> None:
    code = """
import sys
class Pressed:
    def find_spec(self, name, *_):
        if name == "shoestring.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Pressed())
from shoestring.__main__ import main
main()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 130
    assert run.stderr == "interrupted: nothing was written; the same command begins again\n"


@pytest.mark.parametrize(
    ("command", "default"),
    [
        ("compress", "cortex-m3"),
        ("compress", "10"),
        ("export", "random"),
        ("run", "print them; of pictures their classes"),
        ("recipe", "NAME, here, or NAME-quick"),
    ],
)
def test_the_help_shows_defaults_that_are_written_in_it(shoestring, command, default):
    status, out, _ = shoestring(command, "--help")
    said = " ".join(out.replace("│", " ").split())
    assert status == 0 and f"[default: {default}]" in said and "\\[" not in said
