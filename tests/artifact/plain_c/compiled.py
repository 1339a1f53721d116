"""Compiles C that was written for a file, and runs it on arrays, under the sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact.plain_c.export import CFile

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TYPES = {"float": np.float32, "int32_t": np.int32, "uint8_t": np.uint8, "int8_t": np.int8}
CROSS = {
    "cortex-m0plus": ("arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"),
    "cortex-m3": ("arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb"),
    "cortex-m4f": (
        "arm-none-eabi-gcc",
        "-mcpu=cortex-m4",
        "-mthumb",
        "-mfloat-abi=hard",
        "-mfpu=fpv4-sp-d16",
    ),
    "cortex-m7": (
        "arm-none-eabi-gcc",
        "-mcpu=cortex-m7",
        "-mthumb",
        "-mfloat-abi=hard",
        "-mfpu=fpv5-d16",
    ),
    "riscv32": ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding"),
}

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")


def driver(made: CFile) -> str:
    """A program that reads cases from standard input and writes outputs to standard output."""
    out = made.emitted
    lines = ["#include <stdio.h>", *(f"#include <{name}>" for name in out.includes)]
    lines += [out.declarations]
    ports = (*out.inputs, *out.outputs)
    # Each in memory of its own, so that the sanitizer sees what is beyond it.
    lines += [
        f"static {one.kind} a{place}[{max(one.count, 1)}];" for place, one in enumerate(ports)
    ]
    lines += ["int main(void) {", "    for (;;) {"]
    for place, one in enumerate(out.inputs):
        lines += [
            f"        if (fread(a{place}, sizeof *a{place}, {one.count}, stdin) != {one.count}) "
            "{ return 0; }"
        ]
    names = ", ".join(f"a{place}" for place in range(len(ports)))
    lines += [f"        {made.name}_run({names});"]
    for place, one in enumerate(out.outputs, len(out.inputs)):
        lines += [f"        fwrite(a{place}, sizeof *a{place}, {one.count}, stdout);"]
    lines += ["    }", "}", ""]
    return "\n".join(lines)


def build(made: CFile, folder: Path, flags: Sequence[str] = SANITIZED) -> Path:
    """The program of `driver` with the C, compiled for this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{made.name}.c").write_text(made.text)
    if made.header is not None:
        (folder / f"{made.name}.h").write_text(made.header)
    (folder / "main.c").write_text(driver(made))
    program = folder / "program"
    command = ["gcc", *STRICT, *flags, f"{made.name}.c", "main.c", "-lm", "-o", str(program)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    return program


def outputs(
    made: CFile, program: Path, cases: Sequence[Sequence[np.ndarray]]
) -> list[list[np.ndarray]]:
    """The outputs for each case, which has an array for each input."""
    ports = made.emitted.inputs
    data = b"".join(
        np.ascontiguousarray(array.astype(TYPES[port.kind])).tobytes()
        for case in cases
        for array, port in zip(case, ports, strict=True)
    )
    done = subprocess.run([str(program)], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[:3000]
    found: list[list[np.ndarray]] = []
    at = 0
    for _ in cases:
        now = []
        for port in made.emitted.outputs:
            kind = np.dtype(TYPES[port.kind])
            size = port.count * kind.itemsize
            now.append(np.frombuffer(done.stdout[at : at + size], kind).reshape(port.shape))
            at += size
        found.append(now)
    assert at == len(done.stdout)
    return found


def crosses(made: CFile, folder: Path, target: str, flags: Sequence[str] = ("-Os",)) -> Path:
    """The object file for a core; skips where its compiler is missing."""
    compiler, *options = CROSS[target]
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler} here")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{made.name}.c").write_text(made.text)
    if made.header is not None:
        (folder / f"{made.name}.h").write_text(made.header)
    target_file = folder / f"{made.name}.{target}.o"
    command = [compiler, *options, *STRICT, *flags, "-c", f"{made.name}.c", "-o", str(target_file)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    return target_file
