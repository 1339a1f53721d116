"""What depth costs in training, and what stops it from costing: 200 steps of many networks.

`python benchmarks/depth.py`. About 30 minutes of a quiet core; one run at a time.
CIFAR-10 (JPEG copy), averaged to 8×8 pixels where the subject does not say 16×16, batches of 32;
SST-2 and English-EWT for text. All train with the defaults of `Training`, AdamW at 1e-3, unless the
subject says otherwise.

- `deep`: PreActivation(110) and (1001), of the published width, in single precision, in mixed
  precision and with weights of bfloat16. Batches of 16.
- `plain`: 20 and 56 layers with and without shortcuts and norms, and the cures, for 600 steps; a
  width of 8.
- `ways`: each network of the project without one of the defaults, and with each setting. Those for
  images have a width of 8, ShuffleNet of 48.

The loss after is the mean of the last 20 training steps. A run that diverges has the step at which
it did. --quick: PreActivation(110) of a width of 4, 20 steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean
from time import process_time
from typing import Any

import torch
from depth_starts import deepened, layer_wise
from rows import Rows, start
from torch import Tensor, nn

from shoestring.core import score, seeded
from shoestring.kit import (
    AdamW,
    Averaged,
    Clipped,
    Constant,
    Cosine,
    DivergedError,
    Mixed,
    Supervised,
    Training,
    average_batch_norm,
    clone,
    fan_in_variance,
    silent_branches,
    train,
    unit_variance,
)
from shoestring.models import (
    BiLSTMTagger,
    PlainNetwork,
    PreActivation,
    ResNet,
    ShuffleNet,
    TextEncoder,
)
from shoestring.recipes.deep_networks import small_images
from shoestring.tasks import ewt, ewt_vocabulary, sst2, sst2_vocabulary

STEPS, LONG, BATCH, LAST = 200, 600, 32, 20
DATA = Callable[[], Supervised]


@dataclass(frozen=True)
class Way:
    """How a network is trained, where it is not the default.

    `training`: of so many steps.
    `begun`: makes the initial model of the one that torch initialised.
    """

    training: Callable[[int], Training] = Training
    begun: Callable[[nn.Module, Supervised], nn.Module] = lambda model, _: model


WAYS: dict[str, Way] = {
    "default": Way(),
    "no warm-up": Way(lambda steps: Training(steps, schedule=Cosine(0))),
    "warm-up 10 %": Way(lambda steps: Training(steps, schedule=Cosine(0.1))),
    "clipped at 1": Way(lambda steps: Training(steps, clipping=Clipped(1.0))),
    "fan-in variance": Way(begun=lambda model, _: fan_in_variance(model)),
    "unit variance": Way(begun=unit_variance),
    "mixed": Way(lambda steps: Training(steps, precision=Mixed())),
    "bfloat16 weights": Way(begun=lambda model, _: model.bfloat16()),
    "rate × 10": Way(lambda steps: Training(steps, AdamW(1e-2))),
    "rate × 10, no warm-up": Way(lambda steps: Training(steps, AdamW(1e-2), Cosine(0))),
    "rate × 10, clipped at 1": Way(
        lambda steps: Training(steps, AdamW(1e-2), clipping=Clipped(1.0))
    ),
    "rate × 10, warm-up 10 %": Way(lambda steps: Training(steps, AdamW(1e-2), Cosine(0.1))),
    "rate stays": Way(lambda steps: Training(steps, schedule=Constant())),
    "rate stays, averaged": Way(
        lambda steps: Training(steps, schedule=Constant(), statistics=Averaged())
    ),
}
SILENT = Way(begun=silent_branches)


def without_norm(_channels: int) -> nn.Module:
    return nn.Identity()


@cache
def images() -> Supervised:
    return small_images(averaged=4)


@cache
def few_images() -> Supervised:
    return small_images(averaged=4, batch_size=16)


@cache
def words() -> Supervised:
    return replace(sst2(), batch_size=BATCH, autocast=None)


@cache
def tags() -> Supervised:
    return replace(ewt(), batch_size=BATCH)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], DATA]] = {
    "plain-56": (lambda: PlainNetwork(56, 8), images),
    "plain-56 without norms": (lambda: PlainNetwork(56, 8, norm=without_norm), images),
    "ResNet-20": (lambda: ResNet(20, 8), images),
    "pre-activation 110": (lambda: PreActivation(110, 8), images),
    "ShuffleNet": (lambda: ShuffleNet(48), images),
    "text encoder": (lambda: TextEncoder(len(sst2_vocabulary())), words),
    "tagger (LSTM)": (lambda: BiLSTMTagger(*ewt_vocabulary().sizes), tags),
}


def main() -> None:
    rows = start("depth", "cifar10-jpeg-sst2-ewt-cpu", __doc__ or "", seeds=True)
    torch.set_num_threads(1)
    seeds = (0, 1, 2) if rows.seed is None else (rows.seed,)
    if rows.quick:
        for way in ("default", "mixed"):
            name = f"deep: 110, {way}"
            once(rows, name, 0, lambda: PreActivation(110, 4), WAYS[way], 20, few_images)
    else:
        deep(rows, seeds)
        plain(rows)
        for seed in seeds:
            ways(rows, seed)
    rows.close()


def deep(rows: Rows, seeds: Sequence[int]) -> None:
    """The deepest networks in all precisions."""
    for way in ("default", "mixed", "bfloat16 weights"):
        for seed in seeds:
            name = f"deep: 110, {way}"
            once(rows, name, seed, lambda: PreActivation(110), WAYS[way], STEPS, few_images)
    for size, data in (("", few_images), (" 16×16", small_images)):
        for way in ("default", "mixed"):
            name = f"deep{size}: 1001, {way}"
            once(rows, name, 0, lambda: PreActivation(1001), WAYS[way], STEPS, data)
    once(
        rows, "deep 16×16: 110, default", 0, lambda: PreActivation(110), Way(), STEPS, small_images
    )


def ways(rows: Rows, seed: int) -> None:
    """Each network in each way."""
    for name, (network, data) in NETWORKS.items():
        for way, how in WAYS.items():
            once(rows, f"ways: {name}, {way}", seed, network, how, data=data)
        if name in ("ResNet-20", "pre-activation 110"):
            once(rows, f"ways: {name}, silent branches", seed, network, SILENT, data=data)


def plain(rows: Rows) -> None:
    """Plain networks of 20 and 56 layers, and the cures, for longer."""

    def bare() -> nn.Module:
        return PlainNetwork(56, 8, norm=without_norm)

    runs: dict[str, tuple[Callable[[], nn.Module], Way]] = {
        "20 layers, norms": (lambda: PlainNetwork(20, 8), WAYS["default"]),
        "56 layers, norms": (lambda: PlainNetwork(56, 8), WAYS["default"]),
        "56 layers, norms, clipped at 1": (lambda: PlainNetwork(56, 8), WAYS["clipped at 1"]),
        "56 layers, norms and shortcuts": (lambda: ResNet(56, 8), WAYS["default"]),
        "20 layers, norms and shortcuts": (lambda: ResNet(20, 8), WAYS["default"]),
        "56 layers, no norms": (bare, WAYS["default"]),
        "56 layers, no norms, fan-in variance": (bare, WAYS["fan-in variance"]),
        "56 layers, no norms, unit variance": (bare, WAYS["unit variance"]),
        "56 layers, norms, layer by layer": (lambda: PlainNetwork(56, 8), Way(begun=grown)),
        "56 layers, norms, from 20 trained layers": (
            lambda: PlainNetwork(56, 8),
            Way(begun=begun_20),
        ),
    }
    for name, (network, way) in runs.items():
        once(rows, f"plain: {name}", 0, network, way, LONG)


def grown(_: nn.Module, task: Supervised) -> nn.Module:
    """A plain network of 56 layers that grew from 8 in four trainings, as long as this one."""
    return layer_wise(task, (8, 20, 32, 44, 56), 8, Training(LONG // 4))


def begun_20(_: nn.Module, task: Supervised) -> nn.Module:
    """A plain network of 56 layers, 20 of which were trained as long; the others are new."""
    return deepened(train(PlainNetwork(20, 8), task, Training(LONG)), PlainNetwork(56, 8))


def once(
    rows: Rows,
    subject: str,
    seed: int,
    network: Callable[[], nn.Module],
    way: Way,
    steps: int = STEPS,
    data: DATA = images,
) -> None:
    """One training, and what came of it."""
    if not rows.wanted(subject) or rows.done(subject, seed):
        return
    losses: list[float] = []
    task = data()
    with seeded(seed):
        began = process_time()
        model = way.begun(network(), task)
        if next(model.parameters()).dtype == torch.bfloat16:
            task = replace(task, prepare=in_half(task))
        constructed = process_time()
        try:
            train(model, watched(task, losses), way.training(steps), what=subject)
        except DivergedError:  # the step is run once more, to see where it began
            first = next(at for at, one in enumerate(losses) if not math.isfinite(one))
            rows.add(subject, "diverged at step", first, "step", seed)
    taken = (process_time() - constructed) / len(losses)
    rows.add(subject, "seconds to construct", constructed - began, "s", seed, timed=True)
    rows.add(subject, "seconds a step", taken, "s", seed, timed=True)
    rows.add(subject, "loss at first", losses[0], "nats", seed)
    rows.add(
        subject, "highest loss", max(one for one in losses if math.isfinite(one)), "nats", seed
    )
    ended = losses[-LAST:]
    if all(math.isfinite(one) for one in ended):
        rows.add(subject, "loss after", mean(ended), "nats", seed)
        small = task.sampled(1000, 0)
        rows.add(subject, "validation score", 100 * score(small, InSingle(model)), "%", seed)
        rows.add(subject, "validation loss", validation_loss(model, small), "nats", seed)
        again = average_batch_norm(clone(model), task)
        rows.add(subject, "validation loss, averaged", validation_loss(again, small), "nats", seed)
    rows.add(subject, "done", 1, "", seed)


class InSingle(nn.Module):
    """A model whose outputs are in single precision, since numpy has no bfloat16."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(*inputs).float()


def in_half(task: Supervised) -> Callable[..., tuple[Tensor, ...]]:
    """Prepares inputs as the task does, and rounds images to bfloat16."""

    def prepare(*inputs: Tensor) -> tuple[Tensor, ...]:
        changed = inputs if task.prepare is None else task.prepare(*inputs)
        changed = changed if isinstance(changed, tuple) else (changed,)
        return tuple(one.bfloat16() if one.is_floating_point() else one for one in changed)

    return prepare


def watched(task: Supervised, losses: list[float]) -> Supervised:
    """The task, which appends each training loss to a list."""

    def criterion(outputs: Any, targets: Tensor) -> Tensor:
        loss = task.criterion(outputs.float(), targets)
        losses.append(float(loss.detach()))
        return loss

    return replace(task, criterion=criterion)


@torch.no_grad()
def validation_loss(model: nn.Module, task: Any) -> float:
    """The mean loss of the validation batches, in evaluation mode."""
    mode = model.training
    model.eval()
    found = [float(task.loss(model, batch)) for batch in task.batches("validation")]
    model.train(mode)
    return mean(found)


if __name__ == "__main__":
    main()
