"""ShuffleNets beside a network like AlexNet on CIFAR-10: `python benchmarks/cheap_convolutions.py`.

First the times of untrained networks of many widths: what could be won. Then the trainings, from
the start and alike: ten passes of all, one seed. ResNet-20 (30 passes) and MobileNet (25) are those
of results/files/baseline_NAME.shoe. Each network gives a file in float32 and one in int8. Times are
ratios to AlexNet's float32 file in ONNX Runtime, one thread, in alternation, by the clock of the
thread. About two hours of one core; goes on where it was interrupted. `--only alexnet` or
`--only widths` runs a part, and `--publish` puts the rows so far in the results file.
--quick: 2,000 images, one pass.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import process_time, thread_time
from typing import Any

import torch
from rows import FILES, RESULTS, Rows, start
from torch import nn

from shoestring.artifact import OnnxRuntime, read_model
from shoestring.core import Task, apply, prove, score, seeded
from shoestring.kit import Supervised, restore, save
from shoestring.meters import Operations
from shoestring.meters.inputs import feeds, runner
from shoestring.meters.interleaved import in_turn as timed_in_turn
from shoestring.meters.interleaved import ratio
from shoestring.models import AlexNet, MobileNet, ResNet20, ShuffleNet, ShuffleNetV2
from shoestring.quantize import PostTraining
from shoestring.recipes.running import few
from shoestring.recipes.shufflenets import SETTINGS, cheap_convolutions, int8
from shoestring.tasks import cifar10

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "shufflenet_v2_32": lambda: ShuffleNetV2(32, features=256),
    "alexnet": AlexNet,
    "shufflenet_v2_16": lambda: ShuffleNetV2(16, features=256),
    "resnet20_8": lambda: ResNet20(8),
    "shufflenet_64_2": lambda: ShuffleNet(64, 2),
    "alexnet_512": lambda: AlexNet(dense=512),
    "shufflenet_v2_64": lambda: ShuffleNetV2(64, features=256),
}
BASELINES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "resnet20": (ResNet20, "30 passes"),
    "mobilenet": (MobileNet, "25 passes"),
}
WIDTHS: dict[str, Callable[[], nn.Module]] = {
    "AlexNet": AlexNet,
    "ShuffleNet V2, width 32": lambda: ShuffleNetV2(32, features=256),
    "ResNet-20": ResNet20,
    "ShuffleNet, width 64, 2 groups": lambda: ShuffleNet(64, 2),
    "ResNet-20, width 8": lambda: ResNet20(8),
    "MobileNet": MobileNet,
    **{
        f"ShuffleNet V2, width {width}": lambda width=width: ShuffleNetV2(width, features=256)
        for width in (64, 48, 16, 116)
    },
    **{
        f"ShuffleNet, width {width}, {groups} group{'s' * (groups > 1)}": (
            lambda width=width, groups=groups: ShuffleNet(width, groups)
        )
        for width, groups in ((60, 3), (240, 3), (120, 3), (64, 1), (128, 2))
    },
    "MobileNet, width 12": lambda: MobileNet(12),
    "AlexNet, first stride 1": lambda: AlexNet(stride=1),
    "AlexNet, narrow dense layers": lambda: AlexNet(dense=512),
}
PASSES = 10
FOLDER = RESULTS / "unfinished" / "cheap_convolutions"


def main() -> None:
    torch.set_num_threads(1)
    task = cifar10()
    rows = start("cheap_convolutions", f"{task.name}-cpu", __doc__ or "")
    folder = FOLDER.with_suffix(".quick") if rows.quick else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if rows.quick:
        task = few(task, 2000, 500)
    reference = untrained(AlexNet, task, folder / "alexnet_untrained.shoe")
    widths(rows, task, reference)
    for name, (network, passes) in BASELINES.items():
        subject = f"{name}, {passes}"
        if not rows.done(subject, 0) and rows.wanted(subject):
            from_baseline(rows, subject, FILES / f"baseline_{name}.shoe", network, task, reference)
    passes = 1 if rows.quick else PASSES
    for name, network in NETWORKS.items():
        subject = f"{name}, {passes} passes"
        if rows.done(subject, 0) or not rows.wanted(subject):
            continue
        with seeded(0):
            made = network()
        trained(rows, subject, made, passes, task, reference)
    rows.close()


def untrained(network: Callable[[], nn.Module], task: Task, path: Path) -> Path:
    """The file of a network as it begins."""
    if not path.exists():
        with seeded(0):
            model = network().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        save(model, task, path)
    return path


def widths(rows: Rows, task: Supervised, reference: Path) -> None:
    """What networks of each width cost, untrained: operations, bytes, times."""
    for name, network in WIDTHS.items():
        subject = f"widths: {name}"
        if rows.done(subject, None) or not rows.wanted(subject):
            continue
        path = reference.with_name(f"{name}.shoe")
        if network is AlexNet:
            shutil.copy(reference, path)
        untrained(network, task, path)
        costs(rows, subject, path, task, None)
        in_turn(rows, {subject: path}, task, reference, 1.5)
        rows.add(subject, "done", 1, "")
        path.unlink()


def costs(rows: Rows, subject: str, path: Path, task: Supervised, seed: int | None) -> None:
    """Rows of what is counted: operations of an image, and bytes."""
    operations = Operations()(path, task.sealed()).operations
    assert operations is not None
    rows.add(subject, "operations", operations, "", seed)
    rows.add(subject, "file", path.stat().st_size, "bytes", seed)


def trained(
    rows: Rows, subject: str, network: nn.Module, passes: int, task: Supervised, reference: Path
) -> None:
    """The rows of a network that is trained from the start, and of its int8 file."""
    settings = replace(SETTINGS[type(network)], passes=passes)
    path = reference.with_name(f"{subject}.shoe")
    began = process_time()
    whole = not path.exists() and not path.with_suffix(".unfinished").exists()
    made = cheap_convolutions(network, task, path, settings=settings)
    for index, name in enumerate((subject, f"{subject}, int8")):
        rows.add(name, "validation error", 100 * (1 - made.validation[index]), "%", 0)
        rows.add(name, "test error", 100 * (1 - made.test[index]), "%", 0)
        rows.add(name, "operations", made.operations, "", 0)
        rows.add(name, "file", made.bytes[index], "bytes", 0)
    if whole:  # an interrupted training does not know its minutes
        rows.add(subject, "minutes", (process_time() - began) / 60, "minutes of a core", 0)
    in_turn(rows, {subject: path, f"{subject}, int8": int8(path)}, task, reference)
    rows.add(subject, "done", 1, "", 0)


def from_baseline(
    rows: Rows,
    subject: str,
    path: Path,
    network: Callable[[], nn.Module],
    task: Supervised,
    reference: Path,
) -> None:
    """The rows of a baseline that is in the repository, and of its int8 file."""
    sealed = task.sealed()
    model = restore(path, network().to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]
    small = apply(PostTraining(), model, sealed)
    there = reference.with_name(f"{subject}, int8.shoe")
    save(small, sealed, there)
    for name, made, file in ((subject, model, path), (f"{subject}, int8", small, there)):
        rows.add(name, "validation error", 100 * (1 - score(sealed, made)), "%", 0)
        rows.add(name, "test error", 100 * (1 - prove(file, task)), "%", 0)
        costs(rows, name, file, task, 0)
    in_turn(rows, {subject: path, f"{subject}, int8": there}, task, reference)
    rows.add(subject, "done", 1, "", 0)


def in_turn(
    rows: Rows, files: dict[str, Path], task: Supervised, reference: Path, seconds: float = 3.0
) -> None:
    """Rows of the processor's time that files take, as a share of that of AlexNet's float32 file.

    The meter's clock is that of this thread, which computes alone: on a busy machine, a run that is
    longer than the scheduler's slice would else have the time of other processes in it, and a short
    one would not.
    """
    for batch in (1, 32):
        runs = [
            runner(content, feeds(content, task.sealed(), batch), 1, OnnxRuntime())
            for content in map(_content, (reference, *files.values()))
        ]
        seconds = 0.5 if rows.quick else seconds
        first, *others = timed_in_turn(runs, seconds=seconds, clock=thread_time)
        for subject, timing in zip(files, others, strict=True):
            share = ratio(timing, first)
            for part in ("median", "low", "high"):
                value = getattr(share, part)
                metric = f"processor time at batch {batch}, {part}"
                rows.add(subject, metric, value, "of AlexNet's", _seed(subject), timed=True)
            metric = f"milliseconds of the processor at batch {batch}"
            rows.add(subject, metric, timing.median, "ms", _seed(subject), timed=True)


@cache
def _content(path: Path) -> Any:
    """What a file holds; AlexNet's takes ten seconds to decode."""
    return read_model(path)


def _seed(subject: str) -> int | None:
    return None if subject.startswith("widths") else 0


if __name__ == "__main__":
    main()
