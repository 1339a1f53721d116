"""A folder that builds: the C file, a test with recorded inputs, a Makefile and a sketch.

It is an Arduino library too: `src` has the C, `examples` a sketch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoestring.artifact.plain_c.board.targets import BOARD
from shoestring.artifact.plain_c.c_text import array, comment, filled
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.fed import longest
from shoestring.artifact.plain_c.memory_picture import memory_svg
from shoestring.artifact.plain_c.recording import Recorded
from shoestring.artifact.plain_c.recording_raw import RAW_LOOP, raw_cases, raw_functions

_BOARD = ("start_arm.c", "arm.ld", "semihosting.h")


def project(made: CFile, cases: Recorded) -> dict[str, str]:
    """The text of each file of a project, by its path in the folder.

    `made`: with a header. `cases`: of the same network.
    Raises NoPlainC for a network with outputs that a test cannot compare.
    """
    if made.header is None:
        raise ValueError("a project needs the header: export_c(..., header=True)")
    name = made.name
    files = {
        "library.properties": filled(_PROPERTIES, NAME=name),
        f"src/{name}.c": made.text,
        f"src/{name}.h": made.header,
        "test_main.c": _main(made, cases),
        "test_cases.h": _cases(made, cases),
        "Makefile": filled(_MAKEFILE, NAME=name),
        "README.md": _readme(made, cases),
        "memory.svg": memory_svg(made),
        f"examples/{name}_once/{name}_once.ino": _sketch(made),
    }
    for one in _BOARD:
        files[f"board/{one}"] = (BOARD / one).read_text(encoding="utf-8")
    return files


def _cases(made: CFile, cases: Recorded) -> str:
    """The recorded inputs and outputs as constants."""
    out = made.emitted
    parts = [comment([cases.about])]
    for side, ports, rows in (
        ("input", out.inputs, cases.inputs),
        ("output", out.outputs, cases.outputs),
    ):
        for place, port in enumerate(ports):
            numbers = np.concatenate([np.asarray(row[place]).reshape(-1) for row in rows])
            if numbers.dtype == np.bool_:
                numbers = numbers.astype(np.uint8)
            if port.kind == "float" and not np.isfinite(numbers).all():
                raise NoPlainC(
                    f"the file answers with numbers that are not finite in {port.name}: give "
                    "other inputs"
                )
            parts.append(array(port.kind, f"{side}_{place}", numbers, ""))
    if cases.labels:
        parts.append(array("int", "label", np.array(cases.labels), ""))
    if cases.raw:
        parts.append(raw_cases(made, cases))
    return "\n".join(parts)


def _main(made: CFile, cases: Recorded) -> str:
    """The test: runs each case and compares."""
    out = made.emitted
    ports = (*out.inputs, *out.outputs)
    lines = [
        f"static {one.kind} a{place}[{one.count}] __attribute__((aligned(4)));"
        for place, one in enumerate(ports)
    ]
    copies = [
        f"        for (i = 0; i < {one.count}; i++) {{\n"
        f"            a{place}[i] = input_{place}[at * {one.count} + i];\n        }}"
        for place, one in enumerate(out.inputs)
    ]
    checks: list[str] = []
    for place, one in enumerate(out.outputs):
        own = len(out.inputs) + place
        halves = any(answer.dtype == np.float16 for answer in cases.outputs[0])
        apart = "4e-3f" if halves else "1e-4f"
        compare, more = ("differs", f", {apart}") if one.kind == "float" else ("unequal", "")
        checks.append(
            f"        right &= !{compare}_{place}(a{own}, output_{place} + at * {one.count}{more});"
        )
    functions = [
        filled(
            _DIFFERS if one.kind == "float" else _UNEQUAL,
            PLACE=str(place),
            COUNT=str(one.count),
            KIND=one.kind,
        )
        for place, one in enumerate(out.outputs)
    ]
    if cases.raw:
        functions.append(raw_functions(made))
    largest = f"largest(a{len(out.inputs)}, {out.outputs[0].count})"
    fed = filled(RAW_LOOP, RAW=str(len(cases.raw)), LARGEST=largest) if cases.raw else ""
    return filled(
        _MAIN,
        FED=fed,
        NAME=made.name,
        CASES=str(len(cases.inputs)),
        ARRAYS="\n".join(lines),
        FUNCTIONS="\n".join(functions),
        COPIES="\n".join(copies),
        ARGUMENTS=", ".join(f"a{place}" for place in range(len(ports))),
        CHECKS="\n".join(checks),
        LARGEST=largest,
        FIRST=out.outputs[0].kind,
        LABEL=_LABEL if cases.labels else "",
    )


def _sketch(made: CFile) -> str:
    out = made.emitted
    ports = (*out.inputs, *out.outputs)
    arrays = "\n".join(
        f"alignas(4) static {one.kind} {one.name}_values[{one.macro}];" for one in ports
    )
    arguments = ", ".join(f"{one.name}_values" for one in ports)
    first = out.outputs[0]
    if out.chain is not None:
        return filled(
            _SKETCH_FED,
            NAME=made.name,
            RAW=out.chain.raw,
            PIECES=str(-(-longest(made) // 64)),
            ARRAYS="\n".join(
                f"static {one.kind} {one.name}_values[{one.macro}];" for one in out.outputs
            ),
            ARGUMENTS=", ".join(f"{one.name}_values" for one in out.outputs),
            FIRST=f"{first.name}_values",
            MACRO=first.macro,
        )
    return filled(
        _SKETCH,
        NAME=made.name,
        ARRAYS=arrays,
        ARGUMENTS=arguments,
        FIRST=f"{first.name}_values",
        MACRO=first.macro,
    )


def _readme(made: CFile, cases: Recorded) -> str:
    arena = made.emitted.memory.arena_bytes
    if made.emitted.chain is not None:
        arena = max(arena, made.emitted.chain.frame_bytes)

    def sizes(ports: Sequence[tuple[str, int]]) -> int:
        return sum(made.network.buffers[number].bytes for _, number in ports)

    said = " ".join([*made.said(), cases.about])
    return filled(
        _README,
        NAME=made.name,
        DECLARED=made.emitted.declarations.strip(),
        ARENA=f"{arena:,}",
        INPUTS=f"{sizes(made.network.inputs):,}",
        OUTPUTS=f"{sizes(made.network.outputs):,}",
        SAID=said,
    )


_MAIN = """\
/* Runs the recorded inputs and compares with the recorded outputs. */
#include "@NAME@.h"
#include "test_cases.h"
#ifdef __arm__
#include "board/semihosting.h"
#define say semihosting_print
#else
#include <stdio.h>
#define say(text) fputs(text, stdout)
#endif

@ARRAYS@

@FUNCTIONS@
static int largest(const @FIRST@ *values, int count)
{
    int i, best = 0;
    for (i = 1; i < count; i++) {
        if (values[i] > values[best]) {
            best = i;
        }
    }
    return best;
}

static void say_number(int number)
{
    char text[12];
    int at = 11;
    text[at] = 0;
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    say(text + at);
}

int main(void)
{
    int at, i, wrong = 0;
    for (at = 0; at < @CASES@; at++) {
        int right = 1;
@COPIES@
        @NAME@_run(@ARGUMENTS@);
@CHECKS@
        wrong += !right;
        say(right ? "OK     input " : "WRONG  input ");
        say_number(at);
        say(", the largest output is number ");
        say_number(@LARGEST@);
@LABEL@        say("\\n");
    }
@FED@#ifdef __arm__
    semihosting_exit(wrong != 0);
#endif
    return wrong != 0;
}
"""
_LABEL = """\
        say(", its label is ");
        say_number(label[at]);
"""
_DIFFERS = """\
/* Whether numbers are further apart than rounding in another order explains. */
static int differs_@PLACE@(const float *got, const float *wanted, float most_apart)
{
    float most = 0.0f;
    int i, far = 0;
    for (i = 0; i < @COUNT@; i++) {
        float size = wanted[i] < 0 ? -wanted[i] : wanted[i];
        most = size > most ? size : most;
    }
    for (i = 0; i < @COUNT@; i++) {
        float apart = got[i] - wanted[i];
        far |= !((apart < 0 ? -apart : apart) <= most_apart * most + 1e-7f);
    }
    return far;
}
"""
_UNEQUAL = """\
static int unequal_@PLACE@(const @KIND@ *got, const @KIND@ *wanted)
{
    int i, other = 0;
    for (i = 0; i < @COUNT@; i++) {
        other |= got[i] != wanted[i];
    }
    return other;
}
"""
_MAKEFILE = """\
# make && ./test runs the recorded inputs on this computer; make qemu on an emulated Cortex-M3.
CFLAGS = -std=c99 -Os -Wall -Wextra -pedantic -Isrc -I.
CROSS = arm-none-eabi-gcc
CORE = -mcpu=cortex-m3 -mthumb

test: test_main.c test_cases.h src/@NAME@.c src/@NAME@.h
\t$(CC) $(CFLAGS) -o $@ test_main.c src/@NAME@.c -lm

test.elf: test_main.c test_cases.h src/@NAME@.c src/@NAME@.h board/start_arm.c board/arm.ld
\t$(CROSS) $(CORE) -std=gnu99 -Os -ffunction-sections -Isrc -I. --specs=nano.specs \\
\t    -nostartfiles -Wl,--gc-sections -Tboard/arm.ld -o $@ test_main.c src/@NAME@.c \\
\t    board/start_arm.c -lm

qemu: test.elf
\tqemu-system-arm -M mps2-an385 -display none -serial none -monitor none \\
\t    -semihosting-config enable=on,target=native -kernel test.elf

# Code and constants of the network alone.
size: @NAME@.o
\tarm-none-eabi-size $<

@NAME@.o: src/@NAME@.c src/@NAME@.h
\t$(CROSS) $(CORE) -std=c99 -Os -Isrc -c -o $@ src/@NAME@.c

clean:
\trm -f test test.elf @NAME@.o

.PHONY: qemu size clean
"""
_PROPERTIES = """\
name=@NAME@
version=1.0.0
author=shoestring
maintainer=shoestring
sentence=A neural network as plain C.
paragraph=Written by shoestring from a .shoe file.
category=Data Processing
architectures=*
includes=@NAME@.h
"""
_SKETCH = """\
#include <@NAME@.h>

@ARRAYS@

void setup() {
    Serial.begin(115200);
}

void loop() {
    /* Fill the inputs here. */
    @NAME@_run(@ARGUMENTS@);
    for (int i = 0; i < @MACRO@; i++) {
        Serial.println(@FIRST@[i]);
    }
    delay(1000);
}
"""
_SKETCH_FED = """\
#include <@NAME@.h>

static @RAW@ piece[64];
@ARRAYS@

void setup() {
    Serial.begin(115200);
}

void loop() {
    @NAME@_begin();
    for (int pieces = 0; pieces < @PIECES@; pieces++) {
        /* Fill the piece here. What is too much is ignored. */
        @NAME@_feed(piece, 64);
    }
    @NAME@_finish(@ARGUMENTS@);
    for (int i = 0; i < @MACRO@; i++) {
        Serial.println(@FIRST@[i]);
    }
}
"""
_README = """\
# @NAME@

A neural network as one C99 file, without allocation. @SAID@

```
make && ./test    # the recorded inputs on this computer
make qemu         # the same on an emulated Cortex-M3
make size         # code and constants for a Cortex-M3, without the compiler's libraries
```

```c
@DECLARED@
```

![The memory map](memory.svg)

RAM: @ARENA@ bytes for the arena, @INPUTS@ for the inputs of the network, @OUTPUTS@ for
its outputs, and the stack. The map of the memory is at the head of `src/@NAME@.c`. In an Arduino
environment, this folder is a library: copy it to `libraries`.

What shoestring wrote into this folder may be used without any condition
(SPDX-License-Identifier: 0BSD).
"""
