"""What other tools make of a network for a microcontroller: programs that can be measured.

Each peer has a script in `peers`, which says how to get it, and a variable that names what it
needs: a Python, a program, or a folder of sources. The script reads a folder of what is given, and
writes another of what it made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from microcontroller_layers import Network, NoLayersError, layers_of, save
from microcontroller_onnx import for_peers

from shoestring.artifact import Content
from shoestring.artifact.plain_c.board.targets import TARGETS
from shoestring.artifact.plain_c.firmware import Program

INTERPRETED = {
    "TFLite Micro": "reference",
    "TFLite Micro, CMSIS-NN": "cmsis-nn",
    "TFLite Micro, CMSIS-NN, -O2": "cmsis-nn -O2",
}
"""The rows of TensorFlow Lite Micro, with their kernels."""
INTERPRETED_ON = ("cortex-m3", "cortex-m4f")
"""The cores that it is compiled for: each takes minutes."""
PEERS = {
    "emx-onnx-cgen": ("emx_onnx_cgen.py", "EMX_PYTHON"),
    "emlearn": ("emlearn_mlp.py", "EMLEARN_PYTHON"),
    "onnx2c": ("onnx2c.py", "ONNX2C"),
    **dict.fromkeys(INTERPRETED, ("tflite_micro.py", "TFLITE_MICRO_SOURCES")),
}
"""The scripts of peers, with the variables that say what they need."""


class PeerError(RuntimeError):
    """A peer is not there, or does not take a network."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a tool made of a network.

    `programs`: the program for each core, this computer among them.
    `inputs`: the examples, as the programs take them.
    `setup`: the instructions of a first run, on each core, that later ones do not need.
    `spared`: bytes of the arrays of inputs and outputs that a caller does not have to have: the
        tool's own arrays take their place.
    `facts`: more that is worth a row, in bytes.
    `versions`: of the tool.
    """

    programs: dict[str, Program]
    inputs: np.ndarray
    setup: dict[str, float] = field(default_factory=dict)
    spared: int = 0
    facts: dict[str, float] = field(default_factory=dict)
    versions: str = ""


def made_by(
    tool: str,
    content: Content,
    inputs: np.ndarray,
    limits: tuple[float, float],
    folder: Path,
    cores: tuple[str, ...],
) -> Made:
    """Let a peer make a program of a network.

    `inputs`: examples, float32, N×C×H×W.
    `limits`: the least and the largest output, where a peer rounds outputs to 8 bits.
    `folder`: for what is given and made.
    `cores`: the cores that it is wanted for.

    Raises PeerError with the reason.
    """
    script, variable = PEERS[tool]
    if variable not in os.environ:
        raise PeerError(f"{variable} is not set: benchmarks/peers/{script} says to what")
    given, out = folder / "given", folder / tool.replace(" ", "_").replace(",", "")
    given.mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    (given / "model.onnx").write_bytes(for_peers(content))
    np.save(given / "inputs.npy", inputs)
    if tool == "emlearn":
        _give_dense(content, given)
    if tool in INTERPRETED:
        return _interpreted(tool, content, inputs, limits, given, out, cores)
    python = os.environ[variable] if variable.endswith("_PYTHON") else sys.executable
    found = _run([python, str(_script(script)), str(given), str(out)], out)
    include = (out, Path(found["include"])) if "include" in found else (out,)
    classes = layers_of(content).shapes[-1][0]
    program = Program(
        sources=(out / "model.c",),
        entry="entry" if tool == "onnx2c" else "peer",
        inputs=(inputs[0].nbytes,),
        outputs=(4 if tool == "emlearn" else 4 * classes,),
        include=include,
        flags=("-w",),
    )
    programs = dict.fromkeys(("host", *cores), program)
    return Made(programs=programs, inputs=inputs, versions=found.get("versions", ""))


def _script(name: str) -> Path:
    return Path(__file__).parent / "peers" / name


def _run(command: list[str], out: Path) -> dict[str, Any]:
    """What the script of a peer says that it made; PeerError where it says that it did not."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PeerError((done.stderr.strip().splitlines() or ["it gave no reason"])[-1][:200])
    found = json.loads((out / "result.json").read_text())
    if "error" in found:
        raise PeerError(found["error"][:200])
    return found


def _layers(content: Content) -> Network:
    try:
        return layers_of(content)
    except NoLayersError as error:
        raise PeerError(str(error)) from error


def _give_dense(content: Content, given: Path) -> None:
    """Write down a network of dense layers for emlearn."""
    network = _layers(content)
    if network.grids or any(layer.kind != "dense" for layer in network.layers):
        raise PeerError(
            "it has other layers than dense ones in floats, which emlearn does not write"
        )
    dense = {
        f"{name[0]}{number}": layer.arrays[name].T
        for number, layer in enumerate(network.layers)
        for name in ("weight", "bias")
    }
    np.savez(given / "dense.npz", **dense)  # pyright: ignore[reportArgumentType]


def _interpreted(
    tool: str,
    content: Content,
    inputs: np.ndarray,
    limits: tuple[float, float],
    given: Path,
    out: Path,
    cores: tuple[str, ...],
) -> Made:
    """A program of TensorFlow Lite Micro, which takes channels last, and bytes in place of floats.

    The caller fills the input tensor, and reads the output tensor, so that it needs no arrays of
    its own, unless it has floats that are normalised and rounded.
    """
    network = _layers(content)
    if not network.grids and tool != "TFLite Micro":
        raise PeerError("CMSIS-NN has kernels of 8 bits; those of floats are the reference ones")
    if network.grids:
        low, high = min(limits[0], 0.0), max(limits[1], 0.0)
        scale = (high - low) / 255
        network.grids[network.layers[-1].writes] = (scale, round(-128 - low / scale))
    save(network, given)
    examples = np.ascontiguousarray(np.moveaxis(inputs, 1, -1))
    rounded = bool(network.grids) and network.normalised is None
    if rounded:
        scale, zero = network.grids[0]
        steps = np.rint(examples / np.float32(scale)) + zero
        examples = np.clip(steps, -128, 127).astype(np.int8)
    names = ("host", *(one for one in cores if one in INTERPRETED_ON))
    command = [sys.executable, str(_script("tflite_micro.py")), str(given), str(out)]
    found = _run([*command, INTERPRETED[tool], *names], out)
    outputs = 4 * network.shapes[-1][0]
    programs = {
        name: Program(
            sources=(),
            entry="peer",
            inputs=(examples[0].nbytes,),
            outputs=(outputs,),
            objects=tuple(Path(one) for one in objects),
        )
        for name, objects in found["objects"].items()
    }
    needed = bool(network.grids) and not rounded
    return Made(
        programs=programs,
        inputs=examples,
        setup=found["setup"],
        spared=outputs + (0 if needed else examples[0].nbytes),
        facts={"model": found["model"]}
        | {f"{core}: arena": size for core, size in found["arena"].items() if core in TARGETS},
        versions=found["versions"],
    )
