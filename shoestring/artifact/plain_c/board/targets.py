"""Targets: the cores that a C file is compiled for, and what emulates them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

BOARD = Path(__file__).parent
"""The folder of startup code, linker scripts and programs: this one."""
ARM, RISCV = (
    "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
)
AVR = "gcc-avr avr-libc"


class ToolError(RuntimeError):
    """A compiler or an emulator is missing or failed."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A core with its compiler and, for all but the host, its emulator.

    `name`: as in `--target`.
    `about`: the core in words.
    `compiler`: the program, and `packages` the packages of Debian that have it and its library.
    `flags`: choose the core.
    `library`: choose the C library and the floating-point functions.
    `standard`: the C that sources are compiled as.
    `startup`: the startup code and the linker script, in `BOARD`; `link`: how they are linked.
    `measured`: the program that runs a network on examples.
    `call_graphs`: whether the compiler writes them, with the stack of each function.
    `linked_inputs`: how many bytes of examples are linked into a program, of a core that reads no
        files; 0: it does.
    `emulator`: the command that emulates it, from the package `emulator_package`; () for none.
    `instructions_per_tick`: how many instructions one step of its clock is; on AVR, clock cycles.
    `fpu`: whether it has a unit for float32.
    """

    name: str
    about: str
    compiler: str
    packages: str
    flags: tuple[str, ...] = ()
    library: tuple[str, ...] = ()
    standard: str = "-std=c99"
    startup: tuple[str, ...] = ()
    link: tuple[str, ...] = ("-nostartfiles",)
    measured: str = "main_measured.c"
    call_graphs: bool = True
    linked_inputs: int = 0
    emulator: tuple[str, ...] = ()
    emulator_package: str = ""
    instructions_per_tick: int = 1
    fpu: bool = False

    def missing_compiler(self) -> str | None:
        """What to install for its compiler, as a sentence; None where it is there."""
        if shutil.which(self.compiler) is not None:
            return None
        return f"{self.name} needs {self.compiler}: install the Debian packages {self.packages}"

    def missing_emulator(self) -> str | None:
        """What to install for its emulator, as a sentence; None where it is there."""
        if not self.emulator or shutil.which(self.emulator[0]) is not None:
            return None
        return (
            f"{self.name} needs {self.emulator[0]}: install the Debian package "
            f"{self.emulator_package}"
        )


def _arm(name: str, about: str, machine: str, *flags: str, fpu: bool = False) -> Target:
    return Target(
        name=name,
        about=about,
        compiler="arm-none-eabi-gcc",
        packages=ARM,
        flags=("-mthumb", *flags),
        library=("--specs=nano.specs",),
        startup=("start_arm.c", "arm.ld"),
        emulator=("qemu-system-arm", "-M", machine),
        emulator_package="qemu-system-arm",
        instructions_per_tick=40,  # of a clock of 25 MHz, at 1 ns an instruction
        fpu=fpu,
    )


TARGETS: dict[str, Target] = {
    one.name: one
    for one in (
        # The emulator has no board with a Cortex-M0+ that has enough memory: its code, ARMv6-M,
        # is a part of what a Cortex-M3 understands, and takes as many instructions there.
        _arm("cortex-m0plus", "Cortex-M0+", "mps2-an385", "-mcpu=cortex-m0plus"),
        _arm("cortex-m3", "Cortex-M3", "mps2-an385", "-mcpu=cortex-m3"),
        _arm(
            "cortex-m4f",
            "Cortex-M4 with a floating-point unit",
            "mps2-an386",
            "-mcpu=cortex-m4",
            "-mfpu=fpv4-sp-d16",
            "-mfloat-abi=hard",
            fpu=True,
        ),
        _arm(
            "cortex-m7",
            "Cortex-M7 with a floating-point unit for float32",
            "mps2-an500",
            "-mcpu=cortex-m7",
            "-mfpu=fpv5-sp-d16",
            "-mfloat-abi=hard",
            fpu=True,
        ),
        Target(
            name="riscv32",
            about="RV32IMAC",
            compiler="riscv64-unknown-elf-gcc",
            packages=RISCV,
            flags=("-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany"),
            library=("--specs=picolibc.specs",),
            startup=("start_riscv32.c", "riscv32.ld"),
            emulator=("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
            emulator_package="qemu-system-misc",
        ),
        Target(
            name="avr",
            about="ATmega2560, 8 bits: 256 KB of flash, 8 KB of RAM",
            compiler="avr-gcc",
            packages=AVR,
            flags=("-mmcu=atmega2560",),
            standard="-std=gnu99",  # has __flash
            startup=("avr.ld",),
            link=(),
            measured="main_measured_avr.c",
            call_graphs=False,
            linked_inputs=160_000,
            emulator=("simavr", "-m", "atmega2560", "-f", "16000000"),
            emulator_package="simavr",
            instructions_per_tick=64,  # cycles
        ),
        Target(name="host", about="this computer", compiler="cc", packages="gcc", fpu=True),
    )
}


def target_named(name: str) -> Target:
    """The target of a name; raises ValueError with the list of names for another."""
    key = name.strip().lower()
    if key in TARGETS:
        return TARGETS[key]
    near = get_close_matches({"cortex-m4": "cortex-m4f"}.get(key, key), TARGETS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"{name!r} is no target{hint}: the targets are {', '.join(TARGETS)}")
