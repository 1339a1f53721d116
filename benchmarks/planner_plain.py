"""What plain tools come to: magnitude pruning by torch, static int8 by ONNX Runtime, xz.

The best of all that they make.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import torch
from planner_runs import Bench, Weighed
from torch import nn
from torch.nn.utils import prune

from shoestring.artifact import read, save
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.runtime.folding import fold_transposes
from shoestring.core import seeded
from shoestring.kit import clone, write
from shoestring.plan.verdict import better

DENSITIES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
EXAMPLES = 512
LEARNING_RATE = 1e-3
ENDING = 0.15  # of the time, for quantising, coding and timing


def plain_tools(bench: Bench, budget: str, minutes: float, folder: Path, seed: int) -> Path:
    """The file that keeps the budget on validation data, else the nearest, of.

    Float and int8, each whole and at several densities.
    A density gets an equal share of the minutes to train in, by Adam on the task's own loss. Raises
    RuntimeError where nothing was made.
    """
    began = monotonic()
    found: list[tuple[Path, Weighed]] = []
    said: list[str] = []
    for file in made(bench, began + 60 * minutes * (1 - ENDING), folder, seed):
        quantised = file.with_name(f"{file.stem}_int8.onnx")
        try:
            static_int8(bench, file, quantised)
        except Exception as error:  # a tool that fails on a model is an answer
            said.append(f"{type(error).__name__}: {error}")
        found += [
            (one, bench.weigh(one, budget, quick=True, test=False))
            for one in (file, quantised)
            if one.exists()
        ]
    if not found:
        raise RuntimeError("; ".join(said) or "nothing was made")
    key = better(bench.limits(budget), bench.base)
    return min(found, key=lambda one: key(one[1].trial))[0]  # type: ignore[operator]


def made(bench: Bench, ends: float, folder: Path, seed: int) -> Iterator[Path]:
    """The network as it came in, and at each density, as float ONNX."""
    yield as_onnx(bench, bench.model, folder / "whole.onnx")
    for place, density in enumerate(DENSITIES):
        model = clone(bench.model)
        for weight in model.parameters():
            weight.data = weight.data.contiguous()  # what torch prunes must be in one piece
        with seeded(seed):
            share = (ends - monotonic()) / (len(DENSITIES) - place)
            pruned(model, density)
            fine_tune(bench, model, max(share, 1.0))
        for module, name in weights_of(model):
            if prune.is_pruned(module) and hasattr(module, f"{name}_mask"):
                prune.remove(module, name)
        yield as_onnx(bench, model.eval(), folder / f"density_{density}.onnx")


def weights_of(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """The weights with two axes or more, each with its module."""
    return [
        (module, name.removesuffix("_orig"))
        for module in model.modules()
        for name, one in list(module.named_parameters(recurse=False))
        if one.ndim > 1
    ]


def pruned(model: nn.Module, density: float) -> None:
    """The smallest weights of all layers, masked."""
    prune.global_unstructured(
        weights_of(model), pruning_method=prune.L1Unstructured, amount=1 - density
    )


def fine_tune(bench: Bench, model: nn.Module, seconds: float) -> None:
    """Train on for so many seconds, at a rate that falls to nothing."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    began = monotonic()
    model.train()
    while True:
        for batch in bench.sealed.batches("train"):
            gone = (monotonic() - began) / seconds
            if gone >= 1:
                return
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 - gone)
            optimizer.zero_grad()
            bench.sealed.loss(model, batch).backward()
            optimizer.step()


def as_onnx(bench: Bench, model: nn.Module, path: Path) -> Path:
    """The model as an ONNX file, as our own exporter leaves it."""
    packed = path.with_suffix(".shoe")
    write(model, bench.sealed, packed)
    content = read(packed)
    save(path, onnx_bytes(*fold_transposes(content.graph, content.tensors)))
    return path


def static_int8(bench: Bench, file: Path, out: Path) -> None:
    """ONNX Runtime's static quantisation, calibrated on training examples.

    QDQ, unsigned activations, weights per channel.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs, targets = bench.sealed._split("train")
    chosen = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))[:EXAMPLES]
    names = [port.name for port in bench.content.graph.inputs]

    class Reader(CalibrationDataReader):
        """The calibration examples, 32 at a time."""

        def __init__(self) -> None:
            self.batches = iter(chosen.split(32))

        def get_next(self):  # pyright: ignore[reportIncompatibleMethodOverride]
            part = next(self.batches, None)
            return (
                None
                if part is None
                else {name: one[part].numpy() for name, one in zip(names, inputs, strict=True)}
            )

    ready = out.with_suffix(".ready.onnx")
    quant_pre_process(file, ready, skip_symbolic_shape=True)
    quantize_static(
        ready,
        out,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    ready.unlink()
