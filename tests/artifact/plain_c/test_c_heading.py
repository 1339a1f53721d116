"""The head of a C file: where it comes from and its licence; and where its arena is placed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from c_compiled import SANITIZED, build, crosses, needs_gcc, outputs

from shoestring.artifact import load, read
from shoestring.artifact.plain_c import Coded, export_c, written_from

FILE = Path(__file__).parents[3] / "benchmarks" / "results" / "files" / "lenet300_rate_1.5e-05.shoe"
PLACED = """-DNET_ARENA=__attribute__((section(".ccm")))"""


def test_the_head_says_where_the_c_comes_from_and_that_it_is_free():
    data = FILE.read_bytes()
    line = written_from(data, "1.2.3")
    made = export_c(read(FILE), name="net", weights=Coded(), header=True, heading=(line,))
    assert made.header is not None
    for text in (made.text, made.header):
        head = text[: text.index("*/")]
        assert "Shoestring 1.2.3; " in head and hashlib.sha256(data).hexdigest()[:16] in head
        assert "SPDX-License-Identifier: 0BSD" in head and "its decoder included" in head
        assert "licence:" not in head
    again = export_c(read(FILE), name="net", weights=Coded(), header=True, heading=(line,))
    assert (made.text, made.header) == (again.text, again.header)
    assert written_from(data + b"x", "1.2.3") != line != written_from(data, "1.2.4")


@needs_gcc
def test_a_licence_of_the_file_is_passed_on_whatever_it_says(tmp_path):
    licence = "MIT */ #error <script> ??/\n\\" + "x" * 1_000_000
    content = replace(read(FILE), notes={"licence": licence})
    made = export_c(content, name="net", weights=Coded(), heading=("*/ #error",))
    head = made.text[: made.text.index("*/")]
    assert "of the network's own licence: MIT * / #error" in head and len(head) < 5000
    build(made, tmp_path)


@needs_gcc
@pytest.mark.skipif(shutil.which("objdump") is None, reason="there is no objdump")
def test_the_arena_is_where_a_user_puts_it(tmp_path):
    made = export_c(read(FILE), name="net", weights=Coded())
    images = np.random.default_rng(0).random((3, 1, 1, 28, 28), np.float32)
    program = build(made, tmp_path, (*SANITIZED, PLACED))
    wanted = np.asarray(load(FILE)(images[:, 0]))
    got = [row[0][0] for row in outputs(made, program, [[image] for image in images])]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())

    def sections(flags: tuple[str, ...]) -> str:
        build(made, tmp_path, flags)
        asked = ["objdump", "-t", str(tmp_path / "net.o")]
        table = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        return next(line for line in table.splitlines() if line.endswith("net_arena"))

    assert ".ccm" in sections((PLACED,)) and ".bss" in sections(())


@pytest.mark.parametrize("core", ["cortex-m3", "avr"])
def test_a_core_takes_the_place_of_the_arena(core, tmp_path):
    made = export_c(read(FILE), name="net", weights=Coded())
    assert b".ccm" in crosses(made, tmp_path, core, ("-Os", PLACED)).read_bytes()
