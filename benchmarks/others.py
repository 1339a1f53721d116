"""Networks that others trained, without labels.

What is left of them, beside ONNX Runtime's own quantisers and half precision.
    OTHERS=FOLDER OMP_NUM_THREADS=1 python benchmarks/others.py [NETWORK …]

FOLDER: see others_networks.py. The score is the agreement with the network as it came, on inputs
that neither training nor choosing saw. By hand, without training: packed as it is, 8 bits, 4 bits
with GPTQ, 16 levels, 8, 6 and 5 bits of weights alone. By the planner: three budgets, --minutes (3)
each. Peers: static and dynamic int8 of ONNX Runtime, and 16 bits for every weight, each as `xz -9e`
leaves the file. Time is of one example on one thread, in turn with the network as it came: the
median of the paired ratios.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import onnx
import others_networks
import torch
from onnx import numpy_helper
from planner_runs import onnx_session, outline, packed, processor
from rows import Rows, conditions

from shoestring.artifact import OnnxRuntime, load, read, save
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.runtime.folding import fold_transposes
from shoestring.core import array, score, seeded
from shoestring.kit import ExportError, Training, write
from shoestring.meters import in_turn, ratio
from shoestring.meters.inputs import feeds, runner
from shoestring.plan import compress
from shoestring.quantize import GPTQ, MinMax, PerChannel, PostTraining, WeightOnly, WeightSharing

NETWORKS = ("crepe-tiny", "rnet", "onet", "silero-vad")
BUDGETS = ("size<=25%, drop<=2%", "size<=12%, drop<=2%", "latency<=60%, drop<=2%")
BY_HAND = {
    "8 bits": PostTraining(),
    "4 bits, GPTQ": PostTraining(bits=4, rounding=GPTQ(most=2e11)),
    "16 levels": WeightSharing(levels=16, training=Training(0)),
    **{
        f"{bits} bits, weights alone": WeightOnly(
            bits=bits, granularity=PerChannel(), ranges=MinMax()
        )
        for bits in (8, 6, 5)
    },
}
CALIBRATED = 512
SECONDS = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)} [default: all]"
    )
    parser.add_argument(
        "--quick", action="store_true", help="rnet, one budget, half a minute; said so in the rows"
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON lines on standard output")
    parser.add_argument("--only", help="only subjects (NETWORK / TOOL) that contain this")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each budget")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(
        "others",
        f"pypi-{processor()}-cpu",
        chosen.quick,
        chosen.json,
        chosen.only,
        conditions(),
        appending=True,
    )
    minutes = 0.5 if chosen.quick else chosen.minutes
    for name in ("rnet",) if chosen.quick else chosen.networks or NETWORKS:
        tools = {**by_hand(), **by_planner(minutes, chosen.quick), **PEERS}
        wanted = {
            t: make
            for t, make in tools.items()
            if rows.wanted(f"{name} / {t}") and not rows.done(f"{name} / {t}", chosen.seed)
        }
        if wanted:
            with tempfile.TemporaryDirectory(prefix="others-") as folder:
                network_rows(rows, name, wanted, Path(folder), chosen.seed)


Tool = Callable[[Any, Any, Path, int], tuple[Path, str]]
"""(model, task, folder, seed) to a file and how it was made, in words."""


def network_rows(rows: Rows, name: str, tools: dict[str, Tool], folder: Path, seed: int) -> None:
    """All rows of a network."""
    with seeded(0):
        model, task = others_networks.one(name)
    original = folder / "original.shoe"
    write(model, task, original)
    parameters = 4 * sum(one.numel() for one in model.parameters())
    for tool, make in tools.items():
        subject, began = f"{name} / {tool}", monotonic()
        try:
            with seeded(seed):
                file, by = make(model, task, folder, seed)
            took = (monotonic() - began) / 60
            found = weighed(file, original, task)
        except Exception as error:
            # A file that would not answer as the module is refused, which is a row too.
            if tool not in PEERS and not isinstance(error, ExportError):
                raise
            rows.add(
                subject,
                f"failed: {type(error).__name__}: {str(error).splitlines()[0][:200]}",
                1,
                "",
                seed,
            )
        else:
            rows.add(subject, "parameters", parameters, "bytes", seed)
            for metric, value, unit in found:
                rows.add(subject, metric, value, unit, seed)
            rows.add(subject, "minutes", took, "minutes", seed)
            if by:
                rows.add(subject, f"technique: {by}", 1, "", seed)
        rows.add(subject, "done", 1, "", seed)


def weighed(file: Path, original: Path, task: Any) -> Iterator[tuple[str, float, str]]:
    """Bytes, agreement on both held-out parts, and time beside the network as it came."""
    predict = predicting(file)
    yield "file", packed(file), "bytes"
    yield "validation agreement", score(task.sealed(), predict), ""
    yield "test agreement", score(task, predict, "test"), ""
    given = feeds(read(original), task.sealed(), 1)
    ours, theirs = in_turn([running(one, given) for one in (file, original)], seconds=SECONDS)
    speed = ratio(ours, theirs)
    for metric, value in (("", speed.median), (", low", speed.low), (", high", speed.high)):
        yield f"milliseconds ratio{metric}", value, "times"


def running(file: Path, given: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A run of a file."""
    if file.suffix == ".shoe":
        return runner(read(file), given, 1, OnnxRuntime())
    return partial(onnx_session(file).run, None, given)


def predicting(file: Path) -> Callable[..., Any]:
    """A file as the task calls it."""
    if file.suffix == ".shoe":
        return load(file, threads=1)
    session = onnx_session(file)
    names = [one.name for one in session.get_inputs()]

    def predict(*inputs: Any, **named: Any) -> Any:
        answers = session.run(
            None,
            dict(zip(names, map(array, inputs), strict=False))
            | {k: array(v) for k, v in named.items()},
        )
        return answers[0] if len(answers) == 1 else tuple(answers)

    return predict


def by_hand() -> dict[str, Tool]:
    """Files that a technique makes."""

    def whole(model: Any, task: Any, folder: Path, seed: int) -> tuple[Path, str]:
        return folder / "original.shoe", ""

    def made(technique: Any) -> Tool:
        def make(model: Any, task: Any, folder: Path, seed: int) -> tuple[Path, str]:
            write(technique(model, task.sealed()), task, folder / "by_hand.shoe")
            return folder / "by_hand.shoe", ""

        return make

    return {"packed": whole, **{name: made(one) for name, one in BY_HAND.items()}}


def by_planner(minutes: float, quick: bool) -> dict[str, Tool]:
    """Files that budgets make, each search from nothing."""

    def made(budget: str) -> Tool:
        def make(model: Any, task: Any, folder: Path, seed: int) -> tuple[Path, str]:
            outcome = compress(
                model,
                task,
                budget,
                folder / f"{abs(hash(budget))}.shoe",
                minutes=minutes,
                seed=seed,
            )
            return (
                outcome.file,
                f"{outline(outcome.trial.technique)}, {'kept' if outcome.met else 'not kept'}",
            )

        return make

    return {f"planner: {one}": made(one) for one in (BUDGETS[:1] if quick else BUDGETS)}


def float_onnx(folder: Path) -> Path:
    """The network as float ONNX."""
    content = read(folder / "original.shoe")
    path = folder / "original.onnx"
    save(path, onnx_bytes(*fold_transposes(content.graph, content.tensors)))
    return path


def static(model: Any, task: Any, folder: Path, seed: int) -> tuple[Path, str]:
    """ONNX Runtime's static quantisation: QDQ, unsigned activations, weights per channel."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    source, ready, out = float_onnx(folder), folder / "ready.onnx", folder / "static.onnx"
    names = [port.name for port in read(folder / "original.shoe").graph.inputs]

    class Reader(CalibrationDataReader):
        """Training examples, a batch at a time."""

        def __init__(self) -> None:
            self.batches, self.left = iter(task.sealed().batches("train")), CALIBRATED

        def get_next(self):  # pyright: ignore[reportIncompatibleMethodOverride]
            batch = next(self.batches, None) if self.left > 0 else None
            if batch is None:
                return None
            inputs, _ = batch
            self.left -= len(next(iter(inputs.values())))
            if not task.states:
                return {name: array(inputs[name]) for name in names}
            # A step of each window, with the states that the float network has reached by then.
            count = len(next(iter(inputs.values())))
            at, held = (
                self.left % task.window,
                {name: one.zeros(count, torch.float32) for name, one in task.states.items()},
            )
            for step in range(at):
                answers = dict(
                    enumerate(model(**{name: one[:, step] for name, one in inputs.items()}, **held))
                )
                held = {name: answers[int(one.output)] for name, one in task.states.items()}
            return {
                name: array(held[name] if name in held else inputs[name][:, at]) for name in names
            }

    quant_pre_process(source, ready, skip_symbolic_shape=True)
    quantize_static(
        ready,
        out,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return out, ""


def dynamic(model: Any, task: Any, folder: Path, seed: int) -> tuple[Path, str]:
    """ONNX Runtime's dynamic quantisation, as it comes."""
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(float_onnx(folder), folder / "dynamic.onnx", per_channel=True)
    return folder / "dynamic.onnx", ""


def half(model: Any, task: Any, folder: Path, seed: int) -> tuple[Path, str]:
    """Every weight in 16 bits, and a cast back to 32 behind it."""
    graph = onnx.load(float_onnx(folder))
    kept = list(graph.graph.initializer)
    del graph.graph.initializer[:]
    casts = []
    for one in kept:
        if one.data_type == onnx.TensorProto.FLOAT:
            narrow = numpy_helper.from_array(
                numpy_helper.to_array(one).astype(np.float16), f"{one.name}.half"
            )
            casts.append(
                onnx.helper.make_node("Cast", [narrow.name], [one.name], to=onnx.TensorProto.FLOAT)
            )
            one = narrow
        graph.graph.initializer.append(one)
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.save(graph, folder / "half.onnx")
    return folder / "half.onnx", ""


PEERS: dict[str, Tool] = {
    "ONNX Runtime, static": static,
    "ONNX Runtime, dynamic": dynamic,
    "16 bits": half,
}

if __name__ == "__main__":
    main()
