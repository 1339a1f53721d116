"""The command that writes C, and the folder that builds."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from shoestring import __version__
from shoestring.artifact import load

FILES = Path(__file__).parents[1] / "benchmarks" / "results" / "files"
LENET = FILES / "lenet300_rate_1.5e-05.shoe"
needs_make = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("cc") is None, reason="there is no make or no cc"
)


def test_export_writes_c_and_says_what_it_takes(shoestring, tmp_path):
    status, out, err = shoestring("export", LENET, "my-net.c", "--header")
    assert (status, err) == (0, "")
    text = (tmp_path / "my-net.c").read_text()
    assert f"my-net.c: {len(text):,} bytes of C" in out
    assert "3,136 of the caller's inputs" in out and "The shape is fixed: N = 1." in out
    assert '#include "my_net.h"' in text and "void my_net_run(" in text
    assert "#define MY_NET_INPUT_SIZE 784" in (tmp_path / "my_net.h").read_text()
    head = text[: text.index("*/")]
    digest = hashlib.sha256(LENET.read_bytes()).hexdigest()[:16]
    assert f"Shoestring {__version__}; the sha256 of its .shoe file begins with {digest}." in head
    sizes = {"coded": len(text)}
    for weights in ("packed", "decoded"):
        assert shoestring("export", LENET, "net.c", "--weights", weights)[0] == 0
        sizes[weights] = (tmp_path / "net.c").stat().st_size
    assert sizes["coded"] < sizes["packed"] < sizes["decoded"]


def project(shoestring, tmp_path, *more) -> tuple[str, Path]:
    status, out, err = shoestring("export", LENET, "lenet.c", "--project", "board", *more)
    assert (status, err) == (0, "")
    return out, tmp_path / "board"


@needs_make
def test_a_project_builds_and_prints_ten_right_cases(shoestring, tmp_path):
    images = np.random.default_rng(3).random((12, 1, 28, 28), np.float32)
    np.savez(tmp_path / "images.npz", images)
    out, board = project(shoestring, tmp_path, "--inputs", "images.npz")
    assert "The inputs are the first 10 of those that were given." in out
    subprocess.run(["make"], cwd=board, check=True, capture_output=True)
    done = subprocess.run(["./test"], cwd=board, capture_output=True, text=True)
    labels = load(LENET)(images[:10]).argmax(1)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"OK     input {place}, the largest output is number {label}"
        for place, label in enumerate(labels)
    ]


@needs_make
def test_a_project_has_examples_of_a_task_with_their_labels(shoestring, tmp_path):
    digits = FILES / "digits_flash_6kb.shoe"
    source = ("--task", "shoestring.tasks:digits")
    assert shoestring("export", digits, "digits.c", "--project", "board", *source)[0] == 0
    subprocess.run(["make"], cwd=tmp_path / "board", check=True, capture_output=True)
    done = subprocess.run(["./test"], cwd=tmp_path / "board", capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(lines) == 10
    assert sum(line[-5].rstrip(",") == line[-1] for line in lines) >= 9, done.stdout
    status, _, err = shoestring("export", LENET, "a.c", "--project", "other", *source)
    assert status == 1 and "give cases along the first axis, each of the shape (1, 28, 28)" in err
    (tmp_path / "no_task.py").write_text("def made():\n    return object()\n")
    none = ("--task", "no_task.py:made", "--project", "other")
    status, _, err = shoestring("export", LENET, "a.c", *none)
    assert status == 1 and "gives a object, and no Supervised" in err
    both = (*none, "--inputs", "x.npz")
    status, _, err = shoestring("export", LENET, "a.c", *both)
    assert status == 1 and "--inputs and --task both say what is recorded" in err


def test_files_of_somebody_else_and_the_source_are_left(shoestring, tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "README.md").write_text("mine")
    status, _, err = shoestring("export", LENET, "lenet.c", "--project", "board")
    assert status == 1 and "board has README.md, which shoestring did not write" in err
    assert (tmp_path / "board" / "README.md").read_text() == "mine"
    shutil.copy(LENET, tmp_path / "lenet.c")
    status, _, err = shoestring("export", "lenet.c", "lenet.c")
    assert status == 1 and "is the file that is read: give another name" in err
    assert (tmp_path / "lenet.c").read_bytes() == LENET.read_bytes()


def a_wrong_case(board: Path) -> None:
    """Change the first answer that was recorded."""
    cases = (board / "test_cases.h").read_text()
    at = cases.index("output_0[] = {") + len("output_0[] = {\n    ")
    (board / "test_cases.h").write_text(cases[:at] + "9" + cases[at:].lstrip("-"))


@needs_make
def test_a_wrong_answer_is_found(shoestring, tmp_path):
    out, board = project(shoestring, tmp_path)
    assert "are random numbers: give real ones with --inputs" in out
    a_wrong_case(board)
    subprocess.run(["make"], cwd=board, check=True, capture_output=True)
    done = subprocess.run(["./test"], cwd=board, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line[:5] for line in done.stdout.splitlines()] == ["WRONG"] + ["OK   "] * 9


@needs_make
@pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None,
    reason="there is no compiler or no emulator for a Cortex-M3",
)
def test_a_project_runs_on_an_emulated_core(shoestring, tmp_path):
    _, board = project(shoestring, tmp_path)
    done = subprocess.run(["make", "qemu"], cwd=board, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and said.count("OK     input") == 10, said
    a_wrong_case(board)
    done = subprocess.run(["make", "qemu"], cwd=board, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and said.count("WRONG  input") == 1, said


def test_the_same_project_twice_is_the_same(shoestring, tmp_path):
    _, board = project(shoestring, tmp_path)
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    project(shoestring, tmp_path)
    assert before == {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    assert len(before) == 12
    sketch = (board / "examples" / "lenet_once" / "lenet_once.ino").read_text()
    assert "lenet_run(images_values, output_values);" in sketch


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("net.onnx", "--header"), "--header: for C, whose file ends in .c, and net.onnx does not"),
        (("net.onnx", "--weights", "packed"), "--weights: for C, whose file ends in .c"),
        (("net.onnx", "--inputs", "x.npz"), "--inputs: for C, whose file ends in .c"),
        (("net.d",), "net.d: its ending says what to write: .onnx for ONNX, .c for C, and .d is"),
        (("net",), "and no ending is neither"),
        (
            ("net.c", "--inputs", "x.npz"),
            "cases are recorded in a project; give --project FOLDER too",
        ),
        (("net.c", "--axis", "T"), "--axis T: write NAME=LENGTH, such as T=16"),
        (("net.c", "--axis", "T=4"), "the file has no axis 'T' that varies: it has N"),
        (("absent/net.c",), "absent"),
        (("net.c", "--project", "p", "--inputs", "wrong.npz"), "images has the shape (3, 7)"),
        (("net.c", "--project", "p", "--inputs", "named.npz"), "are called a, b, and the network"),
        (("net.c", "--project", "p", "--inputs", "text.npz"), "is not an .npz file of plain"),
        (("net.c", "--project", "file"), "file"),
    ],
)
def test_what_cannot_be_written_is_said(shoestring, tmp_path, arguments, said):
    np.savez(tmp_path / "wrong.npz", np.zeros((3, 7)))
    np.savez(tmp_path / "named.npz", a=np.zeros((3, 7)), b=np.zeros(2))
    (tmp_path / "text.npz").write_text("text")
    (tmp_path / "file").write_text("in the way")
    status, _, err = shoestring("export", LENET, *arguments)
    assert status == 1 and said in err and err.startswith("error: ")
    assert not (tmp_path / "net.c").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_may_not_be_written_is_named(shoestring, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    status, _, err = shoestring("export", LENET, "closed/net.c")
    assert status == 1 and "closed" in err


def test_an_operator_without_c_is_named(shoestring, tmp_path):
    two = FILES.parents[2] / "tests" / "artifact" / "format" / "golden" / "v3_two_entries.shoe"
    status, _, err = shoestring("export", two, "net.c", "--entry", "step")
    assert status == 1 and "there is no C for TopK (node 2)" in err


def test_a_network_whose_length_varies_needs_one(shoestring, tmp_path):
    status, _, err = shoestring("export", FILES / "baseline_tagger.shoe", "net.c")
    assert status == 1 and "fix it with --axis T=LENGTH" in err


def test_a_file_of_a_newer_format_is_refused(shoestring, tmp_path):
    data = bytearray(LENET.read_bytes())
    data[4] = 99
    (tmp_path / "newer.shoe").write_bytes(data)
    status, _, err = shoestring("export", "newer.shoe", "net.c")
    assert status == 1 and "version 99" in err
