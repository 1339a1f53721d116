"""Size against error: networks trained for the length of their code, at several prices of a bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Ledger, Task, apply, prove, seeded
from shoestring.core import score as score_of
from shoestring.core.taught import Taught
from shoestring.kit import (
    AdamW,
    Supervised,
    Training,
    clone,
    load_into,
    mirrored,
    moved,
    parameter_bytes,
    resuming,
    save,
    train,
)
from shoestring.models import LeNet5, LeNet300, ResNet20, SmallVGG
from shoestring.quantize import Rate
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import cifar10, mnist


@dataclass(frozen=True)
class Point:
    """A file of the curve.

    `price`: of a bit, in units of the loss; 0 for the uncompressed network.
    `bytes`: of the file, or of the parameters of the uncompressed network.
    `validation`, `test`: the scores of the file, 0 to 1.
    """

    price: float
    bytes: int
    validation: float
    test: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings for one network.

    `prices`: of a bit, one for each file.
    `training_passes`, `training_rate`, `weight_decay`: of the uncompressed network's training.
    `rate_passes`: over the training images at each price: one number for all, or one each.
    `learning_rate`, `coarseness`: of Rate and its training.
    `teaching`: the weight of the distance from the uncompressed network, 0 to 1.
    `batch_size`, `autocast`: as in Supervised.
    """

    prices: tuple[float, ...]
    training_passes: int
    rate_passes: int | tuple[int, ...]
    training_rate: float = 1e-3
    weight_decay: float = 0.0
    learning_rate: float = 2e-3
    coarseness: float = 2.0
    teaching: float = 0.4
    batch_size: int = 128
    autocast: torch.dtype | None = field(default=torch.bfloat16)


SETTINGS: dict[type[nn.Module], Settings] = {
    LeNet300: Settings(prices=(8e-6, 4e-6, 1.5e-5), training_passes=20, rate_passes=60),
    LeNet5: Settings(prices=(3e-5, 1e-5, 5e-5), training_passes=15, rate_passes=60),
    ResNet20: Settings(
        prices=(4e-6,),
        training_passes=30,
        rate_passes=20,
        training_rate=3e-3,
        weight_decay=0.05,
        coarseness=1.0,
    ),
    SmallVGG: Settings(
        prices=(4e-6, 1e-6),
        training_passes=25,
        rate_passes=(20, 8),
        training_rate=3e-3,
        weight_decay=0.05,
        coarseness=1.0,
    ),
}


def rate_lenet(
    network: type[nn.Module],
    task: Supervised,
    folder: Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[Point], None] = lambda point: None,
) -> list[Point]:
    """The points of a network on MNIST, the uncompressed one first; files are left in `folder`.

    The network is trained on the images as they are. In the training for the rate, images are
    shifted by up to a pixel and the uncompressed network teaches. After a kill, the same call goes
    on.

    Published, weights only: LeNet-5 2.84 KB at 1.0 % error (Oktay et al. 2020), 1.52 KB at 0.96 %
    (Havasi et al. 2019); LeNet-300-100 8.56 KB at 1.9 % (Oktay et al. 2020). Ours (whole files,
    three seeds) are in `docs/rate.md`, made by `python benchmarks/rate_lenet.py`; on one core a
    point takes about 12 minutes for LeNet-5 and 4 for LeNet-300-100.

    `network`: LeNet300 or LeNet5; `task`: `tasks.mnist()`.
    `settings`: None for those of `SETTINGS`; `say`: called with each point.
    """
    chosen = settings or SETTINGS[network]
    shown = replace(task, augment=lambda images: _flat(moved(images)), autocast=chosen.autocast)
    return _points(
        network,
        task,
        replace(task, autocast=chosen.autocast),
        shown,
        folder,
        chosen,
        seed,
        ledger,
        say,
    )


def rate_cifar(
    network: type[nn.Module],
    task: Supervised,
    folder: Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[Point], None] = lambda point: None,
) -> list[Point]:
    """The points of a network on CIFAR-10, the uncompressed one first; files are left in `folder`.

    Images are shifted by up to four pixels and mirrored in all training. After a kill, the same
    call goes on.

    Published, weights only: ResNet-20-4, which is sixteen times larger, 128 KB at 8.8 % error, 134×
    (Oktay et al. 2020). Ours are in `docs/rate.md`, made by `python benchmarks/rate_cifar.py`; on
    one core with bfloat16 the network takes about 30 minutes, and so does each point.

    `network`: ResNet20 or SmallVGG; `task`: `tasks.cifar10()`.
    `settings`: None for those of `SETTINGS`; `say`: called with each point.
    """
    chosen = settings or SETTINGS[network]
    shown = replace(
        task, augment=lambda images: _flat(mirrored(moved(images, 4))), autocast=chosen.autocast
    )
    return _points(network, task, shown, shown, folder, chosen, seed, ledger, say)


def _flat(images: Tensor) -> Tensor:
    """The images in channels-last memory, in which convolutions are fastest."""
    return images.contiguous(memory_format=torch.channels_last)


def _points(
    network: type[nn.Module],
    task: Supervised,
    plain: Supervised,
    shown: Supervised,
    folder: Path,
    chosen: Settings,
    seed: int,
    ledger: Ledger | None,
    say: Callable[[Point], None],
) -> list[Point]:
    """Train a network on the task `plain`, and compress it at each price on the task `shown`."""
    plain, shown = (replace(one, batch_size=chosen.batch_size) for one in (plain, shown))
    passes = -(-len(task.train[1]) // chosen.batch_size)
    points: list[Point] = []

    def point(name: str, price: float, model: nn.Module, counted: int | None = None) -> None:
        path = folder / f"{name}.shoe"
        size = save(model, task.sealed(), path, smallest=price > 0)
        test = prove(path, task, ledger=ledger, seed=seed, note=f"rate {network.__name__}: {name}")
        points.append(Point(price, counted or size, score_of(task.sealed(), model), test))
        say(points[-1])

    unfinished = folder / "unfinished"
    with resuming(unfinished / "uncompressed"):
        model = _trained(
            network, plain.sealed(), folder / "uncompressed.shoe", chosen, passes, seed
        )
    point("uncompressed", 0.0, model, parameter_bytes(model))
    taught: Task = Taught(shown.sealed(), clone(model).eval(), weight=chosen.teaching)
    each = (
        chosen.rate_passes
        if isinstance(chosen.rate_passes, tuple)
        else (chosen.rate_passes,) * len(chosen.prices)
    )
    for price, count in zip(chosen.prices, each, strict=True):
        rate = Rate(
            price=price,
            training=Training(passes * count, AdamW(chosen.learning_rate)),
            coarseness=chosen.coarseness,
        )
        with resuming(unfinished / f"price_{price:g}"):
            point(f"price_{price:g}", price, apply(rate, model, taught, ledger=ledger, seed=seed))
    return points


def _trained(
    network: type[nn.Module], task: Task, path: Path, chosen: Settings, passes: int, seed: int
) -> nn.Module:
    """The uncompressed network: read from its file where that exists, otherwise trained."""
    with seeded(seed):
        model = network().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if path.exists():
        return load_into(path, model)
    with seeded(seed):
        return train(
            model,
            task,
            Training(
                passes * chosen.training_passes,
                AdamW(chosen.training_rate, weight_decay=chosen.weight_decay),
            ),
            what="training the network",
        )


def lenets(run: Run) -> None:
    """The networks of `benchmarks/rate_lenet.py`; a quick run has LeNet-300-100 at one price."""
    task = few(mnist(), 20_000, 5000) if run.quick else mnist()
    networks = {"lenet300": LeNet300} if run.quick else {"lenet300": LeNet300, "lenet5": LeNet5}
    prices = SETTINGS[LeNet300].prices[:1]
    _each(run, rate_lenet, task, networks, training_passes=2, rate_passes=6, prices=prices)


def cifar(run: Run) -> None:
    """The networks of `benchmarks/rate_cifar.py`; a quick run has ResNet-20 on 2,000 images."""
    task = few(cifar10(), 2000, 500) if run.quick else cifar10()
    networks = {"resnet20": ResNet20} if run.quick else {"resnet20": ResNet20, "vgg": SmallVGG}
    _each(run, rate_cifar, task, networks, training_passes=4, rate_passes=6, prices=(2e-5,))


def _each(
    run: Run,
    recipe: Callable[..., Any],
    task: Supervised,
    networks: Mapping[str, type[nn.Module]],
    **quick: Any,
) -> None:
    """Run a recipe on each network and write its rows.

    `quick`: the settings of a quick run that differ.
    """
    for name, network in networks.items():
        settings = SETTINGS[network]
        recipe(
            network,
            task,
            _folder(run, name),
            settings=replace(settings, **quick) if run.quick else settings,
            seed=run.seed,
            ledger=run.ledger,
            say=_row_writer(run, name),
        )


def _folder(run: Run, name: str) -> Path:
    """The folder of a network, which is created."""
    folder = run.folder / name
    folder.mkdir(exist_ok=True)
    return folder


def _row_writer(run: Run, name: str) -> Callable[[Point], None]:
    """A function that writes the rows of a point."""
    sizes: list[int] = []

    def write_rows(point: Point) -> None:
        sizes.append(point.bytes)
        subject = f"{name}, price {point.price:g}" if point.price else f"{name}, uncompressed"
        run.row(subject, "ratio", sizes[0] / point.bytes, "times")
        run.scores(subject, point.bytes, point.validation, point.test)

    return write_rows


RATE_LENET = Recipe(
    name="rate_lenet",
    line="the LeNets on MNIST, trained for the length of their own code",
    scarce="bytes",
    instead="three to four times as much training for each point, taught by the uncompressed "
    "network",
    data=("MNIST",),
    minutes=60,
    quick_minutes=0.5,
    page="rate.md",
    run=lenets,
    published=(
        Published("file, bytes", 2840, "bytes", "Oktay et al. 2020 (EPR)", "LeNet-5, weights only"),
        Published("test error", 1.0, "%", "Oktay et al. 2020 (EPR)", "LeNet-5, weights only"),
        Published(
            "file, bytes",
            1520,
            "bytes",
            "Havasi et al. 2019 (MIRACLE), second-hand",
            "LeNet-5, weights only",
        ),
        Published(
            "test error",
            0.96,
            "%",
            "Havasi et al. 2019 (MIRACLE), second-hand",
            "LeNet-5, weights only",
        ),
        Published(
            "file, bytes", 8560, "bytes", "Oktay et al. 2020 (EPR)", "LeNet-300-100, weights only"
        ),
        Published("test error", 1.9, "%", "Oktay et al. 2020 (EPR)", "LeNet-300-100, weights only"),
    ),
    advantage="images shifted by up to a pixel, and the uncompressed network as a teacher",
    results=Results(
        file="rate_lenet.mnist-cpu.jsonl",
        before=(
            Line("LeNet-5, 4 bytes a parameter", "lenet5, uncompressed"),
            Line("LeNet-300-100, 4 bytes a parameter", "lenet300, uncompressed"),
        ),
        ours=(
            Line("LeNet-5, price 3e-05", "lenet5, price 3e-05"),
            Line("LeNet-5, price 1e-05", "lenet5, price 1e-05"),
            Line("LeNet-300-100, price 8e-06", "lenet300, price 8e-06"),
        ),
        baselines=(
            Line(
                "LeNet-5, pruned and shared (`deep_compression`)",
                "lenet5",
                metrics=("coded bytes", "coded test error"),
                file="deep_compression.mnist-cpu.jsonl",
            ),
            Line(
                "LeNet-300-100, pruned and shared (`deep_compression`)",
                "lenet300",
                metrics=("coded bytes", "coded test error"),
                file="deep_compression.mnist-cpu.jsonl",
            ),
        ),
        saved=Measure("file, bytes", "size", "bytes", ",.0f"),
    ),
)
RATE_CIFAR = Recipe(
    name="rate_cifar",
    line="ResNet-20 and a small VGG on CIFAR-10, trained for the length of their own code",
    scarce="bytes",
    instead="up to as much training again for each point, taught by the uncompressed network",
    data=("CIFAR-10",),
    minutes=150,
    quick_minutes=1,
    page="rate.md",
    run=cifar,
    published=(
        Published(
            "file, bytes",
            128000,
            "bytes",
            "Oktay et al. 2020 (EPR)",
            "ResNet-20-4, sixteen times larger, CIFAR-10, weights only; 134×",
        ),
        Published(
            "test error",
            8.8,
            "%",
            "Oktay et al. 2020 (EPR)",
            "ResNet-20-4, sixteen times larger, CIFAR-10, weights only; 134×",
        ),
    ),
    advantage="the uncompressed network as a teacher",
    results=Results(
        file="rate_cifar.cifar10-jpeg-cpu.jsonl",
        before=(
            Line("small VGG, 4 bytes a parameter", "vgg, uncompressed"),
            Line("ResNet-20, 4 bytes a parameter", "resnet20, uncompressed"),
        ),
        ours=(
            Line("small VGG, price 1e-06", "vgg, price 1e-06"),
            Line("small VGG, price 4e-06", "vgg, price 4e-06"),
            Line("ResNet-20, price 4e-06", "resnet20, price 4e-06"),
        ),
        saved=Measure("file, bytes", "size", "bytes", ",.0f"),
    ),
)
