"""`shoestring export --target`: what the C takes on a core, with each way to keep weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact import read
from shoestring.artifact.plain_c import Coded, Decoded, Packed, export_c
from shoestring.artifact.plain_c.board import targets
from shoestring.artifact.plain_c.firmware import measure, program_for

FILES = Path(__file__).parents[1] / "benchmarks" / "results" / "files"
LENET = FILES / "lenet300_rate_1.5e-05.shoe"
needs_m3 = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None,
    reason="there is no compiler or no emulator for a Cortex-M3",
)


def table(out: str) -> dict[str, list[int]]:
    """The figures of each way to keep weights, of the last core that was printed."""
    rows: dict[str, list[int]] = {}
    for line in out.splitlines():
        words = line.replace(", written", "").replace(",", "").split()
        if line.startswith("  ") and words[0] in ("decoded", "packed", "coded"):
            rows[words[0]] = [int(word) for word in words[1:] if word.isdigit()]
    return rows


@needs_m3
def test_each_way_is_measured_on_the_core(shoestring, tmp_path):
    status, out, err = shoestring(
        "export", LENET, "net.c", "--target", "cortex-m3", "--weights", "packed"
    )
    assert (status, err) == (0, "")
    assert "packed, written" in out and "coded, written" not in out and "would measure" not in out
    found = table(out)
    ways = {"decoded": Decoded(), "packed": Packed(), "coded": Coded()}
    assert set(found) == set(ways)
    image = np.random.default_rng(0).random((1, 784), np.float32)  # the first of the random ones
    for way, weights in ways.items():
        made = export_c(read(LENET), name="net", weights=weights)
        (tmp_path / "other.c").write_text(made.text)
        got = measure(program_for(made, tmp_path / "other.c"), "cortex-m3", image)
        assert got.instructions is not None
        wanted = [got.flash, got.ram, got.ram_static, got.ram_stack, round(got.instructions)]
        assert found[way] == wanted
    assert found["coded"][0] < found["packed"][0] < found["decoded"][0]
    assert found["coded"][4] > found["packed"][4] > found["decoded"][4]


@needs_m3
@pytest.mark.slow
def test_a_chain_is_fed_and_a_project_is_measured(shoestring):
    file = FILES / "fsdd_flash_16kb.shoe"
    status, out, err = shoestring(
        "export", file, "heard.c", "--project", "board", "--target", "cortex-m3"
    )
    assert (status, err) == (0, "") and "a run on noise:" in out
    heard = table(out)["coded"]
    status, out, _ = shoestring("export", file, "n.c", "--no-input-chain", "--target", "cortex-m3")
    assert "a run on the first input:" in out
    assert table(out)["coded"][0] < heard[0] and table(out)["coded"][4] < heard[4]


def test_floats_are_weighed_once_and_the_host_runs_nothing(shoestring):
    if shutil.which("cc") is None:
        pytest.skip("there is no cc")
    status, out, err = shoestring(
        "export", FILES / "baseline_tabular.shoe", "net.c", "--target", "host,host"
    )
    assert (status, err) == (0, "") and out.count("on host") == 1
    flash = {way: figures[0] for way, figures in table(out).items()}
    assert len(flash) == 3 and len(set(flash.values())) == 1


@pytest.mark.skipif(shutil.which("avr-gcc") is None, reason="there is no avr-gcc")
@pytest.mark.skipif(shutil.which("simavr") is None, reason="there is no simavr")
def test_what_has_no_room_is_said_and_the_file_is_there(shoestring, tmp_path):
    file = FILES / "lenet5_rate_5e-05.shoe"
    status, out, err = shoestring("export", file, "net.c", "--target", "avr")
    assert (status, err) == (0, "") and (tmp_path / "net.c").exists()
    lines = [line for line in out.splitlines() if "not measured: " in line]
    assert len(lines) == 3 and "is too large" in lines[0] and "not within region" in lines[2]
    assert not any("ld returned" in line or str(tmp_path.parent) in line for line in lines)


def test_what_cannot_be_measured_is_an_error_before_anything_is_written(
    shoestring, tmp_path, monkeypatch
):
    status, out, _ = shoestring("export", LENET, "net.c")
    assert status == 0 and "--target cortex-m3 would measure flash, RAM" in out
    (tmp_path / "net.c").unlink()
    status, _, err = shoestring("export", LENET, "net.c", "--target", "cortex-m4")
    assert status == 1 and "did you mean cortex-m4f?" in err
    status, _, err = shoestring("export", LENET, "net.onnx", "--target", "cortex-m3")
    assert status == 1 and "--target: for C, whose file ends in .c" in err
    monkeypatch.setattr(targets.shutil, "which", lambda name: None)
    status, _, err = shoestring("export", LENET, "net.c", "--target", "host,cortex-m3")
    assert status == 1 and "install the Debian packages gcc" in err
    status, _, err = shoestring("export", LENET, "net.c", "--target", "cortex-m3")
    assert status == 1 and "gcc-arm-none-eabi libnewlib-arm-none-eabi" in err
    assert not list(tmp_path.iterdir())
