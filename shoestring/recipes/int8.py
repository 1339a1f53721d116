"""Faster files of the reference networks: fewer layers where that costs nothing, then int8."""

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
from shoestring.kit import AdamW, Patterns, Supervised, Training, resuming, save
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
    """A file in int8.

    `bytes`: its size.
    `before`, `module`, `file`: the validation scores, 0 to 1, of the original network, of the
        quantised module and of the file.
    `test`: the test score of the file.
    `kept`: the names of the layers that stay in floating point.
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
    thin: Path | None = None,
    ledger: Ledger | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Int8Result:
    """A trained convolutional network in int8; its file is written to `path`.

    Blocks are removed first, with training in which the original model teaches; a warning says
    where that alone loses more than `drop`. Then PostTraining quantises all layers, except for the
    fewest that must stay in floating point to lose at most `drop`. Removing channels instead
    (Channels, three quarters of the operations, in eighths) did not make ResNet-20 faster in int8,
    because the integer kernels process sixteen channels at once. After a kill, the same call goes
    on.

    Published (Krishnamoorthi 2018, many ImageNet networks): 8 bits per channel, not trained, within
    2 % of floating point, and 2 to 3 times as fast on processors. Ours, beside those of six tools
    on the same network, are in `docs/faster.md`, made by `python benchmarks/quantised.py`.

    `model`: a trained ResNet20 or MobileNet (`baseline`).
    `task`: `tasks.cifar10()`.
    `share`: of the blocks that are left, above 0; 1 removes none.
    `passes`: of training after that.
    `first`: the blocks that may be removed; by default where images are largest.
    `drop`: of the validation score that may be lost in all, 0 or more.
    `thin`: where to write the network with fewer blocks as it is before it is quantised, in
        float32, for other tools to quantise; None for nowhere.
    `say`: called with the table of the fallback.
    """
    thinner: tuple[Technique, ...] = ()
    if share < 1:
        steps = passes * -(-len(task.train[1]) // task.batch_size)
        thinner = (Blocks(share=share, training=Training(steps, AdamW(2e-3)), only=first),)
    augmented = replace(task, augment=pictures, autocast=torch.bfloat16)
    prepare = chain(*thinner), chain()
    return _quantised(prepare, model, augmented, task, path, thin, drop, seed, ledger, say)


def int8_transformer(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    share: float = 0.5,
    passes: int = 3,
    drop: float = 0.005,
    seed: int = 0,
    thin: Path | None = None,
    ledger: Ledger | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Int8Result:
    """A trained text encoder in int8; its file is written to `path`.

    Layers are removed first, with training in which the original model teaches. Embeddings are
    rounded to 8 bits. Then PostTraining follows as in `int8_resnet`. After a kill, the same call
    goes on.

    Published (Zafrir et al. 2019, Q8BERT): BERT in 8 bits, trained with the rounding, four times
    smaller, 92.2 % on SST-2. Ours, beside those of six tools on the same network, are in
    `docs/faster.md`, made by `python benchmarks/quantised.py`.

    `model`: a trained TextEncoder (`baseline`).
    `task`: `tasks.sst2()`.
    `share`: of the layers that are left, above 0; 1 removes none.
    `passes`, `drop`, `thin`, `say`: as in `int8_resnet`.
    """
    settings = SETTINGS[type(model)]
    augmented = shown(task, settings)
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
    prepare = chain(*thinner), words
    return _quantised(prepare, model, augmented, task, path, thin, drop, seed, ledger, say)


def _quantised(
    prepare: tuple[Technique, Technique],
    model: nn.Module,
    augmented: Supervised,
    task: Supervised,
    path: Path,
    thin_path: Path | None,
    drop: float,
    seed: int,
    ledger: Ledger | None,
    say: Callable[[str], None],
) -> Int8Result:
    """Apply `prepare` with the augmented task, quantise to int8, and write the file.

    `prepare`: what removes layers, and what comes after it.
    `thin_path`: gets the file of the network between the two.
    """
    if not drop >= 0:
        raise ValueError(f"the drop is {drop}: how much of the score may be lost is 0 or more")
    sealed: Any = task.sealed()
    before = score_of(sealed, model)
    with resuming(path.with_suffix(".unfinished")):
        thin = apply(prepare[0], model, augmented.sealed(), ledger=ledger, seed=seed)
        if thin_path is not None:
            save(thin, sealed, thin_path)
        thin = apply(prepare[1], thin, augmented.sealed(), ledger=ledger, seed=seed)
        if (lost := before - score_of(sealed, thin)) > drop:
            warnings.warn(
                f"taking layers out lost {lost:.4f} of the score, before any rounding, and "
                f"{drop:g} may be lost: give more passes, or a larger share",
                stacklevel=3,
            )
        kept: FallbackResult = fallback(
            thin, sealed, PostTraining(), drop=max(drop - lost, 0.0), seed=seed, most=20
        )
        say(str(kept))
        integer = apply(kept.technique, thin, sealed, ledger=ledger, seed=seed)
    size = save(integer, sealed, path)
    test = prove(path, task, ledger=ledger, seed=seed, note=f"int8 {type(model).__name__}")
    return Int8Result(
        bytes=size,
        before=before,
        module=score_of(sealed, integer),
        file=score_of(sealed, load(path)),
        test=test,
        kept=tuple(name for group in kept.kept for name in group.layers),
    )


def resnet(run: Run) -> None:
    """ResNet-20: trained, then with fewer blocks and in int8."""
    model, task, path = trained_resnet(run)
    result = int8_resnet(
        model,
        task,
        run.folder / "int8.shoe",
        passes=3 if run.quick else 8,
        drop=0.02 if run.quick else 0.005,
        seed=run.seed,
        ledger=run.ledger,
        say=run.say,
    )
    _rows(run, "resnet20", path, result, task)


def transformer(run: Run) -> None:
    """The text encoder: trained, then with fewer layers and in int8.

    A quick run has an encoder of a quarter of the width, and 3,000 sentences.
    """
    task, settings = sst2(), SETTINGS[TextEncoder]
    if run.quick:
        task, settings = few(task, 3000, 500), replace(settings, passes=3, learning_rate=2e-3)
    with seeded(run.seed):
        sizes: dict[str, int] = {"width": 64, "hidden": 128} if run.quick else {}
        untrained = TextEncoder(len(sst2_vocabulary()), **sizes)
    path = run.folder / "baseline.shoe"
    model = baseline(untrained, task, path, settings=settings, seed=run.seed)
    result = int8_transformer(
        model,
        task,
        run.folder / "int8.shoe",
        passes=2 if run.quick else 3,
        drop=0.02 if run.quick else 0.005,
        seed=run.seed,
        ledger=run.ledger,
        say=run.say,
    )
    _rows(run, "text_encoder", path, result, task)


def _rows(run: Run, name: str, path: Path, result: Int8Result, task: Supervised) -> None:
    """Write the rows of the float32 file at `path` and of the int8 file, timed in alternation."""
    before = prove(path, task, ledger=run.ledger, seed=run.seed, note=f"int8 {name}: float32")
    timings = alternate([path, run.folder / "int8.shoe"], task.sealed(), seconds=4)
    sides = (
        ("float32", path.stat().st_size, result.before, before, timings[0]),
        ("ours", result.bytes, result.file, result.test, timings[1]),
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
            timed=True,
        )
    run.row(f"{name} / ours", "layers in floating point", len(result.kept), "layers")
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
    advantage="two blocks fewer, and training with the network as it was as a teacher",
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
            Line(
                "our ResNet-20 with two blocks fewer, ONNX Runtime, U8S8 per channel",
                "resnet20 / onnxruntime, U8S8 per channel, our thinned network",
            ),
            Line(
                "our ResNet-20 with two blocks fewer, NNCF in OpenVINO",
                "resnet20 / NNCF, OpenVINO, our thinned network",
            ),
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
    advantage="half of the layers, and the network as it was as a teacher",
    results=Results(
        file="quantised.mnist-sst2-cifar10-jpeg-cpu.jsonl",
        before=(Line("text encoder, float32", "text_encoder / float32"),),
        ours=(Line("half of the layers, 8 bits", "text_encoder / ours"),),
        baselines=(Line("ONNX Runtime's quantiser, defaults", "text_encoder / onnxruntime"),),
        peers=(
            Line("ONNX Runtime, U8S8 per channel", "text_encoder / onnxruntime, U8S8 per channel"),
            Line("NNCF in OpenVINO", "text_encoder / NNCF, OpenVINO"),
            Line(
                "our half of the layers, ONNX Runtime, U8S8 per channel",
                "text_encoder / onnxruntime, U8S8 per channel, our thinned network",
            ),
            Line(
                "our half of the layers, NNCF in OpenVINO",
                "text_encoder / NNCF, OpenVINO, our thinned network",
            ),
            Line("Neural Compressor", "text_encoder / Neural Compressor"),
            Line("torchao", "text_encoder / torchao"),
        ),
        saved=Measure("time at batch 1", "batch 1, time to float32's", "of float32's", ".2f"),
        lost=Measure("test score", "test score", "%", ".2f", higher=True),
        also=(Measure("file, bytes", "file", "bytes", ",.0f"),),
        price=Measure("minutes of a core", "minutes", "minutes of a core", ".1f"),
    ),
)
