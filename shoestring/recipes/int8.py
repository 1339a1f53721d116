"""Faster files of the reference networks.

Thinner where that costs nothing, then whole numbers of 8 bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import Ledger, Technique, apply, chain, prove, seeded
from shoestring.core import score as score_of
from shoestring.kit import AdamW, Patterns, Supervised, Training, resuming, write
from shoestring.meters import alternate, ratio
from shoestring.models import TextEncoder
from shoestring.plan import FallbackResult, fallback
from shoestring.prune import Blocks
from shoestring.quantize import PerChannel, PostTraining, WeightOnly
from shoestring.recipes.baselines import SETTINGS, baseline, pictures, shown
from shoestring.recipes.channels import trained_resnet
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import sst2, sst2_vocabulary


@dataclass(frozen=True, kw_only=True)
class Int8Result:
    """A file: its bytes; the validation scores (0 to 1) of the network as it was, of the module
    that rounds, and of the file; the file's test score; and the layers that stayed in floating
    point.
    """

    bytes: int
    before: float
    module: float
    file: float
    test: float
    kept: tuple[str, ...]


def int8_resnet(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    share: float = 7 / 9,
    passes: int = 8,
    first: Patterns = ("blocks.0", "blocks.1", "blocks.2"),
    drop: float = 0.005,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Int8Result:
    """A trained convolutional network (ResNet20 or MobileNet, see `baseline`) in whole numbers, on
    `cifar10`; its file is at `path`.

    Blocks among `first`, where images are largest, are taken out until `share` of all are left (1:
    none), with `passes` passes of training taught by the model as it was; then PostTraining, with
    the fewest layers in floating point for which no more than `drop` of the validation score is
    lost in all; with a warning where taking blocks out alone loses more. Fewer channels instead
    (Channels, three quarters of the operations, in eighths) made ResNet-20 no faster in whole
    numbers: kernels for these work on sixteen channels at once. Killed and called again with the
    same path, it goes on.

    Published (Krishnamoorthi 2018, many ImageNet networks): 8 bits per channel, not trained, within
    2 % of floating point, and 2 to 3 times as fast on processors. Ours, beside those of six tools
    on the same network, are in `docs/faster.md`, made by `python benchmarks/quantised.py`.
    """
    thinner: tuple[Technique, ...] = ()
    if share < 1:
        steps = passes * -(-len(task.train[1]) // task.batch_size)
        thinner = (Blocks(share=share, training=Training(steps, AdamW(2e-3)), only=first),)
    lively = replace(task, augment=pictures, autocast=torch.bfloat16)
    return _quick(chain(*thinner), model, lively, task, path, drop, seed, ledger, say)


def int8_transformer(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    share: float = 0.5,
    passes: int = 3,
    drop: float = 0.005,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Int8Result:
    """A trained TextEncoder (see `baseline`) in whole numbers, on `sst2`; its file is at `path`.

    Layers are taken out first until `share` of them are left (1: none), with `passes` passes of
    training taught by the model as it was; words are rounded to 8 bits; then PostTraining, as in
    `int8_resnet`. Killed and called again with the same path, it goes on.

    Published (Zafrir et al. 2019, Q8BERT): BERT in 8 bits, trained with the rounding, four times
    smaller, 92.2 % on SST-2. Ours, beside those of six tools on the same network, are in
    `docs/faster.md`, made by `python benchmarks/quantised.py`.
    """
    settings = SETTINGS[type(model)]
    lively = shown(task, settings)
    thinner: tuple[Technique, ...] = ()
    if share < 1:
        steps = passes * -(-len(task.train[1]) // settings.batch_size)
        thinner = (
            Blocks(
                share=share,
                training=Training(steps, AdamW(settings.learning_rate / 2)),
                only=("layers.*",),
            ),
        )
    words = WeightOnly(bits=8, granularity=PerChannel(), only=("words", "positions"))
    return _quick(chain(*thinner, words), model, lively, task, path, drop, seed, ledger, say)


def _quick(
    prepare: Technique,
    model: nn.Module,
    lively: Supervised,
    task: Supervised,
    path: Path,
    drop: float,
    seed: int,
    ledger: Ledger | None,
    say: Callable[[str], None],
) -> Int8Result:
    """Make the network thinner, then whole, and write its file."""
    if not drop >= 0:
        raise ValueError(f"the drop is {drop}: how much of the score may be lost is 0 or more")
    sealed: Any = task.sealed()
    before = score_of(sealed, model)
    with resuming(path.with_suffix(".unfinished")):
        thin = apply(prepare, model, lively.sealed(), ledger=ledger, seed=seed)
        if (lost := before - score_of(sealed, thin)) > drop:
            warnings.warn(
                f"taking layers out lost {lost:.4f} of the score, before any rounding, and "
                f"{drop:g} may be lost: give more passes, "
                "or a larger share",
                stacklevel=3,
            )
        found: FallbackResult = fallback(
            thin, sealed, PostTraining(), drop=max(drop - lost, 0.0), seed=seed, most=20
        )
        say(str(found))
        whole = apply(found.technique, thin, sealed, ledger=ledger, seed=seed)
    size = write(whole, sealed, path)
    test = prove(path, task, ledger=ledger, seed=seed, note=f"int8 {type(model).__name__}")
    kept = tuple(name for one in found.kept for name in one.layers)
    return Int8Result(
        bytes=size,
        before=before,
        module=score_of(sealed, whole),
        file=score_of(sealed, load(path)),
        test=test,
        kept=kept,
    )


def resnet(run: Run) -> None:
    """ResNet-20 trained, then thinner and in 8 bits."""
    model, task, path = trained_resnet(run)
    found = int8_resnet(
        model,
        task,
        run.folder / "int8.shoe",
        passes=3 if run.quick else 8,
        drop=0.02 if run.quick else 0.005,
        seed=run.seed,
        ledger=run.ledger,
        say=run.say,
    )
    _rows(run, "resnet20", path, found, task)


def transformer(run: Run) -> None:
    """The text encoder trained, then thinner and in 8 bits.

    A quick run has one a quarter as wide, and 3,000 sentences.
    """
    task, settings = sst2(), SETTINGS[TextEncoder]
    if run.quick:
        task, settings = few(task, 3000, 500), replace(settings, passes=3, learning_rate=2e-3)
    with seeded(run.seed):
        sizes: dict[str, int] = {"width": 64, "hidden": 128} if run.quick else {}
        untrained = TextEncoder(len(sst2_vocabulary()), **sizes)
    path = run.folder / "baseline.shoe"
    model = baseline(untrained, task, path, settings=settings, seed=run.seed)
    found = int8_transformer(
        model,
        task,
        run.folder / "int8.shoe",
        passes=2 if run.quick else 3,
        drop=0.02 if run.quick else 0.005,
        seed=run.seed,
        ledger=run.ledger,
        say=run.say,
    )
    _rows(run, "text_encoder", path, found, task)


def _rows(run: Run, name: str, path: Path, found: Int8Result, task: Supervised) -> None:
    """The rows of the float32 file at `path` and of what was made of it, timed in alternation."""
    before = prove(path, task, ledger=run.ledger, seed=run.seed, note=f"int8 {name}: float32")
    timings = alternate([path, run.folder / "int8.shoe"], task.sealed(), seconds=4)
    sides = (
        ("float32", path.stat().st_size, found.before, before, timings[0]),
        ("ours", found.bytes, found.file, found.test, timings[1]),
    )
    for side, size, validation, test, timing in sides:
        subject = f"{name} / {side}"
        run.row(subject, "file", size, "bytes")
        run.row(subject, "validation score", 100 * validation, "%")
        run.row(subject, "test score", 100 * test, "%")
        run.row(
            subject,
            "batch 1, time to float32's",
            ratio(timing, timings[0]).median,
            "times",
            seeded=False,
        )
    run.row(f"{name} / ours", "layers in floating point", len(found.kept), "layers")
    run.say(f"  {run.time_left()}")


INT8_RESNET = Recipe(
    name="int8_resnet",
    line="ResNet-20 on CIFAR-10, two blocks fewer and in integers of 8 bits",
    scarce="milliseconds",
    instead="eight passes of training, and 512 examples to calibrate on",
    data=("CIFAR-10",),
    minutes=36,
    quick_minutes=1.2,
    page="faster.md",
    run=resnet,
    published=(
        Published(
            "times as fast on processors, at least",
            2,
            "times",
            "Krishnamoorthi 2018",
            "many ImageNet networks, 8 bits per channel, not trained, within 2 % of floating point",
        ),
        Published(
            "times as fast on processors, at most",
            3,
            "times",
            "Krishnamoorthi 2018",
            "many ImageNet networks, 8 bits per channel, not trained, within 2 % of floating point",
        ),
    ),
    results=Results(
        file="quantised.mnist-sst2-cifar10-jpeg-cpu.jsonl",
        before=(
            Line("ResNet-20, float32", "resnet20 / float32"),
            Line("MobileNet, float32", "mobilenet / float32"),
        ),
        ours=(
            Line("ResNet-20, two blocks fewer, 8 bits", "resnet20 / ours"),
            Line("MobileNet, 8 bits alone", "mobilenet / ours"),
        ),
        baselines=(
            Line("ResNet-20, ONNX Runtime's quantiser, defaults", "resnet20 / onnxruntime"),
        ),
        peers=(
            Line(
                "ResNet-20, ONNX Runtime, U8S8 per channel",
                "resnet20 / onnxruntime, U8S8 per channel",
            ),
            Line("ResNet-20, NNCF in OpenVINO", "resnet20 / NNCF, OpenVINO"),
            Line("ResNet-20, Neural Compressor", "resnet20 / Neural Compressor"),
            Line("ResNet-20, torchao", "resnet20 / torchao"),
        ),
        saved=Measure("time at batch 1", "batch 1, time to float32's", "of float32's", ".2f"),
        lost=Measure("test score", "test score", "%", ".2f", higher=True),
        also=(Measure("file, bytes", "file", "bytes", ",.0f"),),
        price=Measure("minutes of a core", "minutes", "minutes of a core", ".1f"),
    ),
)
INT8_TRANSFORMER = Recipe(
    name="int8_transformer",
    line="a text encoder on SST-2, half of its layers and in integers of 8 bits",
    scarce="milliseconds",
    instead="three passes of training, and 512 examples to calibrate on",
    data=("SST-2",),
    minutes=5,
    quick_minutes=0.9,
    page="faster.md",
    run=transformer,
    published=(
        Published(
            "times smaller",
            4,
            "times",
            "Zafrir et al. 2019 (Q8BERT)",
            "BERT on SST-2, 8 bits, trained with the rounding",
        ),
        Published(
            "test score",
            92.2,
            "%",
            "Zafrir et al. 2019 (Q8BERT)",
            "BERT on SST-2, 8 bits, trained with the rounding",
        ),
    ),
    results=Results(
        file="quantised.mnist-sst2-cifar10-jpeg-cpu.jsonl",
        before=(Line("text encoder, float32", "text_encoder / float32"),),
        ours=(Line("half of the layers, 8 bits", "text_encoder / ours"),),
        baselines=(Line("ONNX Runtime's quantiser, defaults", "text_encoder / onnxruntime"),),
        peers=(
            Line("ONNX Runtime, U8S8 per channel", "text_encoder / onnxruntime, U8S8 per channel"),
            Line("NNCF in OpenVINO", "text_encoder / NNCF, OpenVINO"),
            Line("Neural Compressor", "text_encoder / Neural Compressor"),
            Line("torchao", "text_encoder / torchao"),
        ),
        saved=Measure("time at batch 1", "batch 1, time to float32's", "of float32's", ".2f"),
        lost=Measure("test score", "test score", "%", ".2f", higher=True),
        also=(Measure("file, bytes", "file", "bytes", ",.0f"),),
        price=Measure("minutes of a core", "minutes", "minutes of a core", ".1f"),
    ),
)
