"""Networks as C on a microcontroller: flash, RAM, instructions and score, by us and by others.

`python benchmarks/microcontroller.py`. It needs the compilers and emulators that
docs/microcontroller.md names. A variable names what a peer needs: the Python of its environment,
the program, or the folder of its sources. Its script in benchmarks/peers says how to get that. A
peer that is not named, or fails, has a row that says so.

    EMX_PYTHON=… EMLEARN_PYTHON=… ONNX2C=… TFLITE_MICRO_SOURCES=… OMP_NUM_THREADS=1 \
        python benchmarks/microcontroller.py

All get the same network: the file in results/files, with its weights as floats in ONNX for the
peers. Networks in int8 are made of that file by `PostTraining()`, without training. Flash and RAM
are as `shoestring.artifact.plain_c.firmware` counts them: bytes beyond an empty program, as the
linker reports them, and variables, inputs, outputs and the deepest stack. Instructions are
*emulated*. The score is of examples from all over the test split, by the C code on this computer;
the emulated cores' outputs are compared with it on the first of them. Spoken digits go in as
features, to peers too; "sounds in" has the file's input chain, and takes sounds. ResNet-20 is
measured on a Cortex-M3 alone. Small networks are measured on an AVR too, and a recurrent one with
its weights in several forms. `--only`, `--add`: as in quantised.py.
--quick: LeNet-5 on a Cortex-M3, ours alone, 50 examples.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from microcontroller_peers import PEERS, Made, PeerError, made_by
from microcontroller_table import (
    AS_BYTES,
    BYTES_IN,
    CORES,
    NETWORKS,
    OURS,
    SMALL,
    SOUNDS_IN,
    TAGGER,
    TAGGERS,
)
from rows import FILES, Rows, start

from shoestring.artifact import Content, ShoeError, load, read_model
from shoestring.artifact.plain_c.board.targets import TARGETS
from shoestring.artifact.plain_c.coded_weights import Coded, encode
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.fed import fed_inputs, fed_program
from shoestring.artifact.plain_c.firmware import ToolError, measure, program_for
from shoestring.artifact.plain_c.layers import Rows as Table
from shoestring.artifact.plain_c.weight_source import Decoded, Packed, WeightStorage
from shoestring.kit import Supervised, Training, from_shoe, restore, write
from shoestring.models import ResNet20
from shoestring.quantize import PostTraining, WeightSharing
from shoestring.tasks import cifar10, digits, ewt, fsdd, fsdd_recordings, mnist

EXAMPLES = {"resnet20": 500, "resnet20_int8": 500, "resnet20_rate_int8": 500}
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
FEW = 3
"""How many of them an AVR runs."""
LENGTH = 20
"""The words of a sentence."""
ALL = {**NETWORKS, **SMALL}
COMPARED = 200
"""How many outputs at most are compared with those of ONNX Runtime, on this computer."""
SCORED = {"resnet20": 50, "resnet20_int8": 50, "resnet20_rate_int8": 50}
"""Examples that peers are scored on, where that takes them long; else as many as ours."""
WEIGHTS: dict[str, WeightStorage] = {
    **dict(zip(OURS, (Decoded(), Packed(), Coded()), strict=True)),
    **dict(zip(AS_BYTES, (Decoded(), Coded()), strict=True)),
    **dict(zip(BYTES_IN, (Decoded(), Coded()), strict=True)),
}
DATA: dict[str, Callable[[], Supervised]] = {
    "lenet5": mnist,
    "lenet300": mnist,
    "lenet5_int8": mnist,
    "lenet300_int8": mnist,
    "digits": digits,
    "digits_int8": digits,
    "spoken": fsdd,
    "resnet20": cifar10,
    "resnet20_int8": cifar10,
    "resnet20_rate_int8": cifar10,
    "normfirst_xnor": mnist,
    "normfirst_bwn": mnist,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network with the examples that it is scored on.

    `outputs`: those of ONNX Runtime for the first examples.
    `limits`: the least and the largest output on validation data.
    """

    name: str
    content: Content
    inputs: np.ndarray
    labels: np.ndarray
    outputs: np.ndarray
    limits: tuple[float, float]
    folder: Path


def main() -> None:
    rows = start("microcontroller", "mnist-digits-cifar10-jpeg-emulated", __doc__ or "")
    for name in ("lenet5",) if rows.quick else NETWORKS:
        mine = [*OURS, *BYTES_IN] if name.endswith("_int8") or name == "spoken" else [*OURS]
        mine += AS_BYTES if name == "normfirst_xnor" else ()
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
    for name in () if rows.quick else SMALL:
        avr_rows(rows, name)
    if not rows.quick:
        tagger_rows(rows)
    rows.close()


def avr_rows(rows: Rows, name: str) -> None:
    """A small network on an ATmega2560, beside its file."""
    tools = [*OURS[1:], *(BYTES_IN[1:] if name.endswith("_int8") else [])]
    subjects = {tool: f"avr {name} / {tool}" for tool in tools}
    if not any(rows.wanted(one) and not rows.done(one, None) for one in subjects.values()):
        return
    with tempfile.TemporaryDirectory() as folder:
        case = case_of(name, Path(folder), 1000)
        path = case.folder / "model.shoe"
        path = path if path.exists() else FILES / f"{SMALL[name][1]}.shoe"
        wanted = np.asarray(load(path)(case.inputs[:FEW])).reshape(FEW, -1)
        for tool, subject in subjects.items():
            written = export_c(
                case.content,
                name="model",
                weights=WEIGHTS.get(tool, Coded()),
                integer_inputs=tool in BYTES_IN,
            )
            inputs = on_grid(written.text, case.inputs) if tool in BYTES_IN else case.inputs
            (case.folder / "model.c").write_text(written.text)
            one = measure(program_for(written, case.folder / "model.c"), "avr", inputs[:FEW])
            assert one.outputs is not None and one.ram is not None and one.instructions is not None
            rows.add(subject, "flash", one.flash, "bytes")
            rows.add(subject, "RAM", one.ram, "bytes")
            rows.add(subject, "clock cycles", one.instructions, "emulated clock cycles a run")
            apart = float(np.abs(one.outputs - wanted).max())
            rows.add(subject, "largest difference", apart, "")
            rows.add(subject, "done", 1, "")


def tagger_rows(rows: Rows) -> None:
    """The recurrent network: as trained, and with 16 levels a tensor, without training."""
    task, path = ewt(), FILES / "baseline_tagger.shoe"
    words = np.zeros((1, 2, LENGTH), np.int32)
    assert task.test is not None
    for place, ids in enumerate(task.test[0]):
        words[0, place] = np.asarray(ids)[0, :LENGTH]
    for subject in TAGGERS:
        if not rows.wanted(subject) or rows.done(subject, None):
            continue
        tool = subject.removeprefix(f"{TAGGER}, ")
        with tempfile.TemporaryDirectory() as folder:
            file = path
            if tool in WEIGHTS:
                file = Path(folder) / "model.shoe"
                shared = WeightSharing(training=Training(0), keep=("embedding*",))
                write(shared(from_shoe(path), task), task, file)
            content = read_model(file)
            assert isinstance(content, Content)
            weights = WEIGHTS.get(tool, Decoded())
            written = export_c(content, name="model", weights=weights, axes={"T": LENGTH})
            (Path(folder) / "model.c").write_text(written.text)
            program = program_for(written, Path(folder) / "model.c")
            tables = [one.table for one in written.network.layers if isinstance(one, Table)]
            rows.add(subject, "tables of words", sum(one.nbytes for one in tables), "bytes")
            wanted = np.asarray(load(file)(*words.swapaxes(0, 1))).reshape(1, -1)
            for core in ("cortex-m3", "cortex-m4f"):
                one = measure(program, core, words)
                assert one.outputs is not None and one.ram is not None
                apart = float(np.abs(one.outputs - wanted).max())
                rows.add(subject, f"{core}: flash", one.flash, "bytes")
                rows.add(subject, f"{core}: RAM", one.ram, "bytes")
                rows.add(subject, f"{core}: instructions", one.instructions or 0, "emulated")
                rows.add(subject, f"{core}: largest difference to this computer", apart, "")
            rows.add(subject, "done", 1, "")


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
    path = FILES / f"{ALL[name][1]}.shoe"
    if name.endswith("_int8"):
        model = restore(path, ResNet20()) if name == "resnet20_int8" else from_shoe(path)
        model = model.eval()
        path = folder / "model.shoe"
        write(PostTraining()(model, task), task, path)
    content = read_model(path)
    assert isinstance(content, Content)
    assert task.test is not None
    step = max(len(task.test[1]) // examples, 1)
    inputs, labels = (np.asarray(part)[::step][:examples] for part in task.test)
    inputs, run = inputs.astype("f4"), load(path)
    calibration = np.asarray(run(np.asarray(task.validation[0][:COMPARED], "f4")))
    return Case(
        name=name,
        content=content,
        inputs=inputs,
        labels=labels,
        outputs=np.asarray(run(inputs[:COMPARED])),
        limits=(float(calibration.min()), float(calibration.max())),
        folder=folder,
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
    return 100 * float((classes == case.labels[: len(classes)]).mean())


def tool_rows(rows: Rows, case: Case, subject: str, tool: str) -> None:
    """What one tool makes of a network, on every core."""
    cores = CORES[:1] if rows.quick or "resnet" in case.name else CORES
    try:
        if tool in PEERS:
            made = made_by(tool, case.content, case.inputs, case.limits, case.folder, cores)
        else:
            made = ours(case, tool)
    except (PeerError, ShoeError) as error:
        rows.add(subject, f"failed: {error}", 1, "")
        return
    if made.versions:
        rows.add(subject, f"versions: {made.versions}", 1, "")
    for fact, value in made.facts.items():
        rows.add(subject, fact, value, "bytes")
    scored = SCORED.get(case.name, len(case.labels)) if tool in PEERS else len(case.labels)
    truth = measure(made.programs["host"], "host", made.inputs[:scored]).outputs
    assert truth is not None
    rows.add(subject, "score", accuracy(case, truth), "%")
    if scored < len(case.labels):
        rows.add(subject, "examples scored", scored, "")
    if truth.shape[1:] == case.outputs.shape[1:]:
        wanted = case.outputs[:scored]
        apart = np.abs(truth[: len(wanted)] - wanted).max() / np.abs(wanted).max()
        rows.add(subject, "largest difference to ONNX Runtime", 100 * float(apart), "% of largest")
    for core in [one for one in cores if one in made.programs]:
        try:
            core_rows(rows, subject, made, core, truth)
        except ToolError as error:
            rows.add(subject, f"{core}: failed: {str(error).splitlines()[-1][:200]}", 1, "")


def core_rows(rows: Rows, subject: str, made: Made, core: str, truth: np.ndarray) -> None:
    """What a program takes on a core, whose outputs are compared with those of this computer."""
    one = measure(made.programs[core], TARGETS[core], made.inputs[:RUN])
    assert one.outputs is not None and one.ram is not None and one.instructions is not None
    setup = made.setup.get(core, 0.0)
    rows.add(subject, f"{core}: flash", one.flash, "bytes")
    rows.add(subject, f"{core}: RAM", one.ram - made.spared, "bytes")
    rows.add(subject, f"{core}: stack", one.ram_stack or 0, "bytes")
    unit = "emulated instructions a run"
    rows.add(subject, f"{core}: instructions", one.instructions - setup / RUN, unit)
    if setup:
        rows.add(subject, f"{core}: setup", setup, "emulated instructions, once")
    apart = float(np.abs(one.outputs - truth[:RUN]).max())
    rows.add(subject, f"{core}: largest difference to this computer", apart, "")


def ours(case: Case, tool: str) -> Made:
    """The C file of one of our storages. Raises ShoeError where there is none."""
    with signs_as_bytes() if tool in AS_BYTES else nullcontext():
        written = export_c(
            case.content,
            name="model",
            weights=WEIGHTS.get(tool, Coded()),
            integer_inputs=tool in BYTES_IN,
            raw_inputs=tool == SOUNDS_IN,
        )
    path = case.folder / f"{tool.replace(' ', '_').replace(',', '')}.c"
    path.write_text(written.text)
    if tool == SOUNDS_IN:
        program = fed_program(written, path)
        inputs = fed_inputs(written, fsdd_recordings()["test"].sounds)
    else:
        program = program_for(written, path)
        inputs = on_grid(written.text, case.inputs) if tool in BYTES_IN else case.inputs
    return Made(programs=dict.fromkeys(("host", *CORES), program), inputs=inputs)


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


@contextmanager
def signs_as_bytes() -> Iterator[None]:
    """While it lasts, no signs are packed: layers of signs are computed in integers of 8 bits."""
    places = (f"shoestring.artifact.plain_c.{room}.bits_fit" for room in ("signs", "pointwise"))
    with ExitStack() as stack:
        for place in places:
            stack.enter_context(patch(place, return_value=False))
        yield


if __name__ == "__main__":
    main()
