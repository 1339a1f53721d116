"""TensorFlow Lite Micro: its interpreter, its kernels and a model, linked for a core.

    git clone https://github.com/tensorflow/tflite-micro, and google/flatbuffers, google/gemmlowp,
    google/ruy and ARM-software/CMSIS-NN, all into one folder, which TFLITE_MICRO_SOURCES names; the
    last four at the commits that tensorflow/lite/micro/tools/make of the first names, and with its
    flatbuffers.patch. Debian's libstdc++-arm-none-eabi-newlib has the headers of C++.

    PYTHON tflite_micro.py GIVEN OUT KERNELS CORE...    GIVEN/network.json and arrays.npz describe a
                                                        network (`save`); object files for each core
                                                        go to OUT, their paths, versions, the bytes
                                                        of model and arena, or the error, to
                                                        OUT/result.json

The function `peer` places its inputs in the input tensor, runs, and copies outputs as floats. The
first call makes the interpreter, in as many instructions as "setup" says. The resolver has the
operators of the model and no other. The arena is as large as the interpreter says that it uses, on
that core. On this computer, the kernels are always those of reference: CMSIS-NN gives the same
bytes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tflite_micro_build import BuildError, compiled, library, versions
from tflite_micro_model import Writer, schema_of

from shoestring.artifact.plain_c.board.targets import TARGETS, Target, ToolError
from shoestring.artifact.plain_c.firmware import Program, measure

LARGE = 1 << 20
"""Bytes of the arena of the program that tells how many are used."""
ADDED = {
    "CONV_2D": "AddConv2D(tflite::Register_CONV_2D{})",
    "FULLY_CONNECTED": "AddFullyConnected(tflite::Register_FULLY_CONNECTED{})",
    "MAX_POOL_2D": "AddMaxPool2D(tflite::Register_MAX_POOL_2D{})",
    "ADD": "AddAdd(tflite::Register_ADD{})",
    "PAD": "AddPad(tflite::Register_PAD{})",
    "MEAN": "AddMean()",
}
"""How the resolver learns an operator; those for 8 bits alone are smaller in some kernels."""


def header(network: dict[str, Any], arrays: Any, used: list[str], arena: int) -> str:
    """network.h of a network, as tflite_micro_run.cc wants it."""
    grid = network["grids"].get("0")
    kind, placed = "float", "input[at]"
    tables = ""
    if network["normalised"]:
        mean, deviation = arrays["mean"], arrays["deviation"]
        rows = [", ".join(f"{one:.9g}f" for one in each) for each in (mean, 1 / deviation)]
        tables = "".join(
            f"static const float {name}[] = {{{row}}};\n"
            for name, row in zip(("mean", "factor"), rows, strict=True)
        )
        placed = f"(input[at] - mean[at % {len(mean)}]) * factor[at % {len(mean)}]"
        if grid is not None:
            placed = f"rounded({placed})"
            tables += (
                "#include <stdint.h>\n"
                "static int8_t rounded(float value) {\n"
                f"  float step = nearbyintf(value * {1 / grid[0]:.9g}f) + {grid[1]};\n"
                "  return step < -128 ? -128 : step > 127 ? 127 : (int8_t)step;\n"
                "}\n"
            )
    elif grid is not None:
        kind = "signed char"
    suffix = "" if grid is None else "_INT8"
    operators = " ".join(f"resolver.{ADDED[one].format(suffix + '()')};" for one in used)
    return (
        f"{tables}#define INPUT {kind}\n#define PLACED(at) ({placed})\n"
        f"#define OPERATORS {operators}\n#define OPERATOR_COUNT {len(used)}\n"
        f"#define ARENA {arena}\n"
    )


def model_text(model: bytes) -> str:
    """The model as C, at a multiple of 16 bytes."""
    numbers = ",".join(map(str, model))
    return (
        "extern const unsigned char model_bytes[];\n"
        f"__attribute__((aligned(16))) const unsigned char model_bytes[] = {{{numbers}}};\n"
    )


def program(network: dict[str, Any], objects: list[Path]) -> Program:
    """The program of object files: its inputs are bytes or floats, as network.h says."""
    count = int(np.prod(network["shapes"][0]))
    size = 1 if network["grids"] and not network["normalised"] else 4
    outputs = network["shapes"][network["layers"][-1]["writes"]][0]
    return Program(
        sources=(),
        entry="peer",
        inputs=(size * count,),
        outputs=(4 * outputs,),
        objects=tuple(objects),
    )


def main(given: Path, out: Path, kernels: str, cores: list[str]) -> dict[str, Any]:
    sources = Path(os.environ["TFLITE_MICRO_SOURCES"]).resolve()
    found: dict[str, Any] = {"versions": versions(sources), "objects": {}, "arena": {}}
    found["setup"] = {}
    network = json.loads((given / "network.json").read_text())
    arrays = dict(np.load(given / "arrays.npz"))
    writer = Writer(schema_of(sources), network, arrays)
    model = writer.written()
    (out / "model.tflite").write_bytes(model)
    (out / "model.c").write_text(model_text(model))
    run = Path(__file__).with_name("tflite_micro_run.cc")

    def linked(core: Target, arena: int, *flags: str) -> list[Path]:
        chosen = "reference" if core.name == "host" else kernels
        folder = out / core.name
        folder.mkdir(exist_ok=True)
        (folder / "network.h").write_text(header(network, arrays, writer.used, arena))
        made = [folder / "run.o", folder / "model.o"]
        compiled(sources, core, chosen, run, made[0], "-Os", f"-I{folder}", *flags)
        compiled(sources, core, chosen, out / "model.c", made[1])
        return [*made, *library(sources, core, chosen)]

    example = np.zeros((1, program(network, []).input_bytes), np.uint8)
    for name in cores:
        core, arena = TARGETS[name], LARGE
        if name != "host":
            told = measure(program(network, linked(core, LARGE, "-DREPORT_ARENA")), core, example)
            assert told.outputs is not None
            if np.isnan(told.outputs[0, 0]):
                raise BuildError(f"the interpreter did not take the model, with {LARGE:,} bytes")
            arena = -(-int(told.outputs[0, 0]) // 16) * 16
            found["arena"][name], found["setup"][name] = arena, told.instructions
        found["objects"][name] = [str(one) for one in linked(core, arena)]
    return found | {"model": len(model)}


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    try:
        result = main(Path(sys.argv[1]), folder, sys.argv[3], sys.argv[4:])
    except (BuildError, ToolError, FileNotFoundError) as error:
        result = {"error": " ".join(str(error).split())}
    (folder / "result.json").write_text(json.dumps(result))
