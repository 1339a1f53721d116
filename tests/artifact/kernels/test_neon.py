"""The sign kernels on an ARM processor: compiled for it here, and run under emulation.

LLVM compiles the kernels and a small program that calls them (no C compiler and no C library). The
program takes calls on its standard input and gives their memory back. What a call may touch is all
that it is given, and comes back whole.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from math import ceil
from typing import IO

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from llvmlite import binding
from test_signs import drawn, plus_minus, slow_convolution

from shoestring.artifact.kernels import sign_code
from shoestring.artifact.kernels.signs import LANES, SignConvolution, SignProduct

TRIPLE = "aarch64-unknown-linux-gnu"
EMULATOR = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
LINKER = shutil.which("aarch64-linux-gnu-ld") or shutil.which("ld.lld")
MISSING = [
    name
    for name, path in (
        ("qemu-aarch64 (package qemu-user)", EMULATOR),
        ("a linker (package binutils-aarch64-linux-gnu or lld)", LINKER),
    )
    if path is None
]

SYSTEM = (0xAA0003E8, 0xAA0103E0, 0xAA0203E1, 0xAA0303E2, 0xD4000001, 0xD65F03C0)
"""A call of the operating system, its number in front, in ARM's code: LLVM's assembler is only here
for the processor that it runs on. mov x8, x0; mov x0, x1; mov x1, x2; mov x2, x3; svc 0; ret.
"""
ROOM, WORDS = 1 << 24, 16  # bytes of memory for a call, and numbers in its header
PROGRAM = """
@room = internal global [{room} x i8] zeroinitializer, align 64
@head = internal global [{words} x i64] zeroinitializer, align 64
@system = internal constant [6 x i32] [{system}], section ".text.system", align 4
{declared}
define internal void @whole(i64 %number, i64 %file, ptr %place, i64 %count) {{
  br label %more
more:
  %at = phi i64 [0, %0], [%next, %go]
  %left = sub i64 %count, %at
  %enough = icmp eq i64 %left, 0
  br i1 %enough, label %end, label %go
go:
  %here = getelementptr i8, ptr %place, i64 %at
  %done = call i64 @system(i64 %number, i64 %file, ptr %here, i64 %left)
  %next = add i64 %at, %done
  %over = icmp sle i64 %done, 0
  br i1 %over, label %leave, label %more
leave:
  call i64 @system(i64 93, i64 0, ptr null, i64 0)
  unreachable
end:
  ret void
}}
define void @_start() {{
  br label %next
next:
  call void @whole(i64 63, i64 0, ptr @head, i64 {head_bytes})
  %which = load i64, ptr @head
  %size_at = getelementptr i64, ptr @head, i64 1
  %size = load i64, ptr %size_at
  call void @whole(i64 63, i64 0, ptr @room, i64 %size)
  switch i64 %which, label %told [{cases}]
{calls}
told:
  call void @whole(i64 64, i64 1, ptr @room, i64 %size)
  br label %next
}}
"""


def program() -> str:
    """The program in LLVM's language: 63, 64 and 93 are read, write and exit."""
    declared, cases, calls = [], [], []
    for number, (name, kinds) in enumerate(sign_code.ARGUMENTS.items()):
        types = ["ptr" if kind == "P" else "i64" for kind in kinds]
        declared.append(f"declare void @{name}({', '.join(types)})")
        cases.append(f"i64 {number}, label %{name}")
        lines, given = [f"{name}:"], []
        for place, kind in enumerate(kinds):
            value = f"%{name}_{place}"
            lines.append(f"  {value}_at = getelementptr i64, ptr @head, i64 {place + 2}")
            lines.append(f"  {value} = load i64, ptr {value}_at")
            if kind == "P":
                lines.append(f"  {value}_here = getelementptr i8, ptr @room, i64 {value}")
            given.append(f"ptr {value}_here" if kind == "P" else f"i64 {value}")
        calls += [*lines, f"  call void @{name}({', '.join(given)})", "  br label %told"]
    return PROGRAM.format(
        room=ROOM,
        words=WORDS,
        system=", ".join(f"i32 {code}" for code in SYSTEM),
        head_bytes=8 * WORDS,
        declared="\n".join(declared),
        cases=" ".join(cases),
        calls="\n".join(calls),
    )


def arm() -> binding.TargetMachine:
    """An ARM processor of 64 bits with nothing that not all of them have."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding.Target.from_triple(TRIPLE).create_target_machine(
        cpu="generic", opt=3, reloc="static", codemodel="small"
    )


def machine_code(source: str) -> bytes:
    """An object file for ARM."""
    target = arm()
    module = binding.parse_assembly(source)
    module.triple, module.data_layout = TRIPLE, str(target.target_data)
    module.verify()
    return target.emit_object(module)


def sizes(name: str, arguments: tuple[int, ...]) -> list[int]:
    """How many words of 4 bytes each pointer of a call points to, in their order."""
    if name == "pack_rows":
        _, rows, columns, _ = arguments
        return [rows * columns, rows * ceil(columns / 32)]
    if name == "multiply":
        _, steps, rows, _, panels, columns, _, _, _, length, _ = arguments
        out = (rows - 1) * length + columns
        return [rows * steps, panels * steps * LANES, rows, panels * LANES, out]
    _, images, channels, pixels, _, taps, _, _, _, filters, _, _, _, out_pixels = arguments
    planes, across = ceil(channels / 32), ceil(out_pixels / LANES) * LANES
    return [
        images * channels * pixels,
        taps * across,
        planes * (pixels + 1),
        planes * taps * across,
        filters * planes * taps,
        filters,
        across,
        images * filters * out_pixels,
    ]


def emulated(name: str, to: IO[bytes], back: IO[bytes]) -> Callable[..., None]:
    """A kernel that runs in the emulator on the memory that its pointers point to."""
    number, kinds = list(sign_code.ARGUMENTS).index(name), sign_code.ARGUMENTS[name]

    def call(*arguments: int) -> None:
        counts, memory, given = iter(sizes(name, arguments)), [], []
        for kind, value in zip(kinds, arguments, strict=True):
            given.append(sum(map(len, memory)) if kind == "P" else value)
            if kind == "P":
                memory.append((ctypes.c_char * (4 * next(counts))).from_address(value))
        size = sum(map(len, memory))
        assert size <= ROOM
        head = [number, size, *given]
        to.write(np.array(head + [0] * (WORDS - len(head)), "<i8").tobytes())
        for part in memory:
            to.write(bytes(part))
        to.flush()
        for part in memory:
            told = back.read(len(part))
            assert len(told) == len(part), f"{name} did not come to its end"
            part.raw = told

    return call


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """The kernels on an emulated ARM processor, by name."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    folder = tmp_path_factory.mktemp("arm")
    for name, source in (
        ("signs", sign_code.source(sign_code.shape_for({}))),
        ("program", program()),
    ):
        (folder / f"{name}.o").write_bytes(machine_code(source))
    command = [str(LINKER), *(["-m", "aarch64linux"] if "ld.lld" in str(LINKER) else [])]
    subprocess.run([*command, "-o", "kernels", "program.o", "signs.o"], cwd=folder, check=True)
    running = subprocess.Popen(
        [str(EMULATOR), folder / "kernels"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdin and running.stdout
    yield {name: emulated(name, running.stdin, running.stdout) for name in sign_code.ARGUMENTS}
    running.stdin.close()
    assert running.wait(60) == 0
    running.stdout.close()


def test_the_code_counts_bits_with_the_instruction_of_neon():
    text = arm().emit_assembly(binding.parse_assembly(sign_code.source(sign_code.shape_for({}))))
    assert text.count("\tcnt\tv") >= 16, "16 bytes in an instruction"


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(1, 1, 1), (3, 31, 15), (4, 32, 16), (5, 33, 17), (130, 70, 40), (9, 31 * 32 + 1, 33)],
)
def test_products_on_arm(functions, rows, inputs, outputs):
    rng = np.random.default_rng(inputs)
    x, weights = drawn(rng, rows, inputs), plus_minus(rng.normal(size=(outputs, inputs)))
    scales = rng.random(outputs).astype(np.float32)
    product = SignProduct(weights * scales[:, None], functions=functions)
    assert np.array_equal(product(x), (plus_minus(x) @ weights.T) * scales)


@pytest.mark.parametrize(
    ("images", "channels", "filters", "image", "size", "strides", "pads", "dilations"),
    [
        (1, 1, 1, (2, 2), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        (2, 33, 17, (9, 7), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        (1, 64, 20, (12, 12), (5, 1), (2, 3), (2, 0, 1, 0), (1, 1)),
        (3, 5, 16, (8, 11), (2, 3), (1, 2), (0, 3, 2, 1), (2, 2)),
    ],
)
def test_convolutions_on_arm(
    functions, images, channels, filters, image, size, strides, pads, dilations
):
    rng = np.random.default_rng(channels)
    x = drawn(rng, images, channels, *image)
    weights = plus_minus(rng.normal(size=(filters, channels, *size)))
    scales = rng.random(filters).astype(np.float32)
    made = SignConvolution(
        weights * scales[:, None, None, None],
        strides=strides,
        pads=pads,
        dilations=dilations,
        functions=functions,
    )
    expected = slow_convolution(x, weights, strides, pads, dilations) * scales[:, None, None]
    assert np.array_equal(made(x), expected)
