"""Networks as C on a microcontroller: flash, RAM, instructions and score, by us and by others.

`python benchmarks/microcontroller.py`. It needs the compilers and emulators that
docs/microcontroller.md names. Every peer has an environment of its own, whose Python a variable
names; the pip line is in its script. One that is not named, or fails, has a row that says so.

    EMX_PYTHON=… EMLEARN_PYTHON=… TFLITE_MICRO_PYTHON=… OMP_NUM_THREADS=1 \
        python benchmarks/microcontroller.py

All get the same network: the file in results/files, with its weights as floats in ONNX for the
peers. Networks in int8 are made of that file by `PostTraining()`, without training. Flash and RAM
are as `shoestring.artifact.plain_c.firmware` counts them: bytes beyond an empty program, as the
linker reports them, and variables, inputs, outputs and the deepest stack. Instructions are
*emulated*. The score is of examples from all over the test split, by the C code on this computer;
the emulated cores' outputs are compared with it on the first of them. Spoken digits go in as
features, to peers too; "sounds in" has the file's input chain, and takes sounds. ResNet-20
is measured on a Cortex-M3 alone. `--only`, `--add`: as in quantised.py.
--quick: LeNet-5 on a Cortex-M3, ours alone, 50 examples.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from microcontroller_table import BYTES_IN, CORES, NETWORKS, OURS, SOUNDS_IN
from rows import FILES, Rows, start

from shoestring.artifact import Content, ShoeError, load, read_model
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.plain_c.board.targets import TARGETS
from shoestring.artifact.plain_c.coded_weights import Coded, encode
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.fed import fed_inputs, fed_program
from shoestring.artifact.plain_c.firmware import Program, ToolError, measure, program_for
from shoestring.artifact.plain_c.weight_source import Decoded, Packed, WeightStorage
from shoestring.kit import Supervised, from_shoe, restore, write
from shoestring.models import ResNet20
from shoestring.quantize import PostTraining
from shoestring.tasks import cifar10, digits, fsdd, fsdd_recordings, mnist

EXAMPLES = {"resnet20": 500, "resnet20_int8": 500}
"""Examples of the test split that are scored; 1,000 of the networks that are not named."""
RATED = (
    *("lenet5_rate_5e-05", "lenet5_rate_3e-05", "lenet5_rate_1e-05"),
    *("lenet300_rate_1.5e-05", "lenet300_rate_8e-06", "lenet300_rate_4e-06"),
    *("lenet5_deep_compression", "lenet300_deep_compression"),
    *("resnet20_rate_4e-06", "vgg_rate_4e-06", "vgg_rate_1e-06"),
)
"""The files whose weights are counted in both codings."""
RUN = 1
"""How many of them the emulated cores run."""
WEIGHTS: dict[str, WeightStorage] = dict(zip(OURS, (Decoded(), Packed(), Coded()), strict=True))
PEERS = {
    "emx-onnx-cgen": ("emx_onnx_cgen.py", "EMX_PYTHON"),
    "emlearn": ("emlearn_mlp.py", "EMLEARN_PYTHON"),
    "TFLite Micro": ("tflite_micro_arena.py", "TFLITE_MICRO_PYTHON"),
}
DATA: dict[str, Callable[[], Supervised]] = {
    "lenet5": mnist,
    "lenet300": mnist,
    "lenet5_int8": mnist,
    "lenet300_int8": mnist,
    "digits": digits,
    "spoken": fsdd,
    "resnet20": cifar10,
    "resnet20_int8": cifar10,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network with the examples that it is scored on."""

    name: str
    content: Content
    inputs: np.ndarray
    labels: np.ndarray
    folder: Path


def main() -> None:
    rows = start("microcontroller", "mnist-digits-cifar10-jpeg-emulated", __doc__ or "")
    for name in ("lenet5",) if rows.quick else NETWORKS:
        mine = [*OURS, BYTES_IN] if name.endswith("_int8") or name == "spoken" else [*OURS]
        mine += [SOUNDS_IN] if name == "spoken" else []
        tools = mine if rows.quick else [*mine, *PEERS]
        subjects = [f"{name} / {tool}" for tool in tools]
        if not any(rows.wanted(one) and not rows.done(one, None) for one in subjects):
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = case_of(name, Path(folder), 50 if rows.quick else EXAMPLES.get(name, 1000))
            file_rows(rows, case)
            for tool in tools:
                subject = f"{name} / {tool}"
                if rows.wanted(subject) and not rows.done(subject, None):
                    tool_rows(rows, case, subject, tool)
                    rows.add(subject, "done", 1, "")
    for name in () if rows.quick else RATED:
        weight_rows(rows, name)
    rows.close()


def weight_rows(rows: Rows, name: str) -> None:
    """The bytes of the weights of a file, as it codes them and as C does."""
    subject = f"weights of {name}"
    if not rows.wanted(subject) or rows.done(subject, None):
        return
    content = read_model(FILES / f"{name}.shoe")
    assert isinstance(content, Content)
    matrices, bits = [], 0.0
    for packed in content.packed:
        values = packed.tensor.array()
        if (
            values.ndim < 2
            or values.dtype != np.float32
            or not (packed.levels or packed.scales is not None)
        ):
            continue
        levels = np.unique(values)
        steps = np.searchsorted(levels, values) - np.searchsorted(levels, 0.0)
        if packed.scales is not None:
            steps = np.rint(values / packed.scales[0])
        matrices.append(steps.reshape(len(values), -1).astype(np.int32))
        bits += packed.model_bits
    rows.add(subject, "weights in the file", bits / 8, "bytes")
    rows.add(subject, "weights in C", len(encode(matrices).data), "bytes")
    rows.add(subject, "done", 1, "")


def case_of(name: str, folder: Path, examples: int) -> Case:
    """A network, and examples of its test split: every tenth, say, since classes may be sorted."""
    task = DATA[name]()
    path = FILES / f"{NETWORKS[name][1]}.shoe"
    if name.endswith("_int8"):
        model = restore(path, ResNet20()) if name == "resnet20_int8" else from_shoe(path)
        model = model.eval()
        path = folder / "model.shoe"
        write(PostTraining()(model, task), task, path)
    content = read_model(path)
    assert isinstance(content, Content)
    step = max(len(task.test[1]) // examples, 1)
    inputs, labels = (np.asarray(part)[::step][:examples] for part in task.test)
    return Case(
        name=name, content=content, inputs=inputs.astype("f4"), labels=labels, folder=folder
    )


def file_rows(rows: Rows, case: Case) -> None:
    """What the file itself scores, in ONNX Runtime."""
    subject = f"{case.name} / file"
    if not rows.done(subject, None):
        path = case.folder / "model.shoe"
        if not path.exists():
            path = FILES / f"{NETWORKS[case.name][1]}.shoe"
        rows.add(subject, "file", path.stat().st_size, "bytes")
        rows.add(subject, "score", accuracy(case, np.asarray(load(path)(case.inputs))), "%")
        rows.add(subject, "done", 1, "")


def accuracy(case: Case, outputs: np.ndarray) -> float:
    """The share of right classes in percent; an output with one column is the class itself."""
    flat = outputs.reshape(len(outputs), -1)
    classes = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(1)
    return 100 * float((classes == case.labels).mean())


def tool_rows(rows: Rows, case: Case, subject: str, tool: str) -> None:
    """What one tool makes of a network, on every core."""
    inputs = case.inputs
    if tool in (*WEIGHTS, BYTES_IN, SOUNDS_IN):
        try:
            written = export_c(
                case.content,
                name="model",
                weights=WEIGHTS.get(tool, Coded()),
                integer_inputs=tool == BYTES_IN,
                raw_inputs=tool == SOUNDS_IN,
            )
        except ShoeError as error:
            rows.add(subject, f"failed: {error}", 1, "")
            return
        if tool == BYTES_IN:
            inputs = on_grid(written.text, inputs)
        path = case.folder / f"{tool.replace(' ', '_').replace(',', '')}.c"
        path.write_text(written.text)
        program = program_for(written, path)
        if tool == SOUNDS_IN:
            program = fed_program(written, path)
            inputs = fed_inputs(written, fsdd_recordings()["test"].sounds)
    else:
        found = peer(case, tool)
        if isinstance(found, str):
            rows.add(subject, f"failed: {found}", 1, "")
            return
        if isinstance(found, dict):
            for metric, (value, unit) in found.items():
                rows.add(subject, metric, value, unit)
            return
        program = found
    truth = measure(program, "host", inputs).outputs
    assert truth is not None
    rows.add(subject, "score", accuracy(case, truth), "%")
    for core in CORES[:1] if rows.quick or "resnet" in case.name else CORES:
        try:
            one = measure(program, TARGETS[core], inputs[:RUN])
        except ToolError as error:
            rows.add(subject, f"{core}: failed: {str(error).splitlines()[-1][:200]}", 1, "")
            continue
        assert one.outputs is not None and one.ram is not None and one.instructions is not None
        apart = float(np.abs(one.outputs - truth[:RUN]).max())
        rows.add(subject, f"{core}: flash", one.flash, "bytes")
        rows.add(subject, f"{core}: RAM", one.ram, "bytes")
        rows.add(subject, f"{core}: stack", one.ram_stack or 0, "bytes")
        rows.add(subject, f"{core}: instructions", one.instructions, "emulated instructions a run")
        rows.add(subject, f"{core}: largest difference to this computer", apart, "")


def on_grid(text: str, inputs: np.ndarray) -> np.ndarray:
    """The inputs as the bytes that a C file wants, by its macros."""
    scale, zero = (
        float(found[1].rstrip("f"))
        for name in ("SCALE", "ZERO")
        if (found := re.search(rf"#define MODEL_INPUT_{name} \(?([-+.0-9a-fxpe]+)", text))
    )
    kind = np.int8 if "int8_t *" in text and "uint8_t *" not in text else np.uint8
    limits = np.iinfo(kind)
    return np.clip(np.rint(inputs / np.float32(scale)) + zero, limits.min, limits.max).astype(kind)


def peer(case: Case, tool: str) -> Program | dict[str, tuple[float, str]] | str:
    """A peer's program, or what could be measured of it, or why there is neither."""
    script, variable = PEERS[tool]
    python = os.environ.get(variable)
    if python is None:
        return f"{variable} is not set"
    given, out = case.folder / "given", case.folder / tool.replace(" ", "_")
    given.mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    (given / "model.onnx").write_bytes(onnx_bytes(case.content.graph, case.content.tensors))
    np.save(given / "inputs.npy", case.inputs)
    chain = layers_of(case)
    if tool != "emx-onnx-cgen" and not chain:
        return "it is no chain of layers in floats, and this peer was given no other"
    arrays = {f"{i}": one.array() for i, one in enumerate(case.content.tensors)}
    np.savez(given / "layers.npz", **arrays)  # pyright: ignore[reportArgumentType]
    (given / "layers.json").write_text(json.dumps(chain))
    if tool == "emlearn":
        if any(layer["kind"] != "dense" for layer in chain):
            return "it has layers of other kinds than dense ones, which emlearn does not write"
        dense = {
            f"{kind}{i}": arrays[layer[name]].T
            for i, layer in enumerate(chain)
            for kind, name in (("w", "weight"), ("b", "bias"))
        }
        np.savez(given / "dense.npz", **dense)  # pyright: ignore[reportArgumentType]
    done = subprocess.run(
        [python, str(Path(__file__).parent / "peers" / script), str(given), str(out)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it gave no reason"])[-1][:200]
    found = json.loads((out / "result.json").read_text())
    if "error" in found:
        return found["error"][:200]
    if "bytes" in found:
        score = accuracy(case, np.load(out / "outputs.npy"))
        return {**{name: (value, "bytes") for name, value in found["bytes"].items()}} | {
            "score": (score, "%")
        }
    classes = 1 if tool == "emlearn" else int(case.labels.max()) + 1
    include = (out, Path(found["include"])) if "include" in found else (out,)
    return Program(
        sources=(out / "model.c",),
        entry="peer",
        inputs=(case.inputs[0].nbytes,),
        outputs=(4 * classes,),
        include=include,
        flags=("-w",),
    )


def layers_of(case: Case) -> list[dict[str, Any]]:
    """The layers of a network that is a chain of them in floats; [] for another.

    Of each its kind (conv, pool, dense), the numbers of its weight and bias, and whether an
    activation follows.
    """
    chain: list[dict[str, Any]] = []
    first = len(case.content.graph.inputs)
    for node in case.content.graph.nodes:
        options = {name: value for name, _, value in node.attributes}
        one: dict[str, Any] = {"relu": False}
        match node.operator:
            case "Conv" | "Gemm":
                weight, bias = (str((number or 0) - first) for number in node.inputs[1:])
                one |= {"weight": weight, "bias": bias, "same": "pads" in options}
                one["kind"] = "conv" if node.operator == "Conv" else "dense"
                if options.get("strides", (1, 1)) != (1, 1) or options.get("group", 1) != 1:
                    return []
            case "MaxPool":
                one["kind"] = "pool"
                if options["kernel_shape"] != (2, 2) or options["strides"] != (2, 2):
                    return []
            case "Relu":
                chain[-1]["relu"] = True
                continue
            case "Reshape" | "Flatten":
                continue
            case _:
                return []
        chain.append(one)
    return chain


if __name__ == "__main__":
    main()
