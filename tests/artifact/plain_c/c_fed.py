"""Runs the C of an input chain on raw inputs, under the sanitizers."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from c_compiled import SANITIZED, STRICT

from shoestring.artifact.plain_c.board.targets import BOARD
from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.fed import fed_inputs, fed_program


def heard(made: CFile, raw: Sequence[np.ndarray | str], folder: Path) -> np.ndarray:
    """The outputs as uint8, (raw inputs, bytes); the C is compiled without a warning."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made.name}.c"
    path.write_text(made.text)
    program = fed_program(made, path)
    objects = []
    for source in program.sources:
        objects.append(f"{source}.o")
        _call(["gcc", *STRICT, *SANITIZED, "-c", str(source), "-o", objects[-1]])
    main = ["-std=gnu99", *program.defines(), str(BOARD / "main_host.c")]
    _call(["gcc", *SANITIZED, *main, *objects, "-lm", "-o", str(folder / "program")])
    done = subprocess.run(
        [str(folder / "program")], input=fed_inputs(made, raw).tobytes(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[:3000]
    return np.frombuffer(done.stdout, np.uint8).reshape(len(raw), -1)


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
