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
    "avr": ("avr-gcc", "-mmcu=atmega2560"),
    "riscv32": (
        "riscv64-unknown-elf-gcc",
        "-march=rv32imc",
        "-mabi=ilp32",
        "--specs=picolibc.specs",
    ),
}

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")


def driver(made: Sequence[CFile]) -> str:
    """A program that reads cases from standard input and writes outputs to standard output.

    Its argument is the number of the network in `made`.
    """
    lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <stdint.h>"]
    for number, one in enumerate(made):
        out = one.emitted
        ports = (*out.inputs, *out.outputs)
        lines += [out.declarations, f"static void network_{number}(void) {{"]
        # Each in memory of its own, so that the sanitizer sees what is beyond it.
        lines += [
            f"    {port.kind} *a{place} = malloc({max(port.count, 1)} * sizeof *a{place});"
            for place, port in enumerate(ports)
        ]
        lines += ["    for (;;) {"]
        for place, port in enumerate(out.inputs):
            lines += [
                f"        if (fread(a{place}, sizeof *a{place}, {port.count}, stdin) != "
                f"{port.count}) break;"
            ]
        lines += [f"        {one.name}_run({', '.join(f'a{at}' for at in range(len(ports)))});"]
        for place, port in enumerate(out.outputs, len(out.inputs)):
            lines += [f"        fwrite(a{place}, sizeof *a{place}, {port.count}, stdout);"]
        lines += ["    }", *(f"    free(a{place});" for place in range(len(ports))), "}"]
    lines += [
        "int main(int count, char **words) {",
        "    switch (count > 1 ? atoi(words[1]) : 0) {",
    ]
    lines += [f"    case {number}: network_{number}(); break;" for number in range(len(made))]
    return "\n".join([*lines, "    }", "    return 0;", "}", ""])


def build(made: CFile | Sequence[CFile], folder: Path, flags: Sequence[str] = SANITIZED) -> Path:
    """The program of `driver` with the C, compiled for this machine.

    The names of networks that are compiled together must differ.
    """
    networks = [made] if isinstance(made, CFile) else list(made)
    folder.mkdir(parents=True, exist_ok=True)
    for one in networks:
        (folder / f"{one.name}.c").write_text(one.text)
        if one.header is not None:
            (folder / f"{one.name}.h").write_text(one.header)
    (folder / "main.c").write_text(driver(networks))
    program = folder / "program"
    sources = [f"{one.name}.c" for one in networks]
    strict = ["gcc", *STRICT, *flags, *sources, "-c"]
    for command in (
        strict,
        ["gcc", *flags, "main.c", *(f"{one.name}.o" for one in networks), "-lm", "-o", "program"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:3000]
    return program


def outputs(
    made: CFile, program: Path, cases: Sequence[Sequence[np.ndarray]], number: int = 0
) -> list[list[np.ndarray]]:
    """The outputs for each case, which has an array for each input.

    `number`: of the network in the program.
    """
    ports = made.emitted.inputs
    data = b"".join(
        np.ascontiguousarray(array.astype(TYPES[port.kind])).tobytes()
        for case in cases
        for array, port in zip(case, ports, strict=True)
    )
    done = subprocess.run([str(program), str(number)], input=data, capture_output=True)
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
    strict = ["-std=gnu99", *STRICT[1:]] if target == "avr" else STRICT  # has __flash
    command = [compiler, *options, *strict, *flags, "-c", f"{made.name}.c", "-o", str(target_file)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    return target_file
