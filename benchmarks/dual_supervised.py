"""A class and its way back, trained with and without a term for their joint probability.

    python benchmarks/dual_supervised.py

SST-2, all labels: a text encoder tells the mood of a sentence, a transformer writes sentences of a
mood. CIFAR-10 (the JPEG copy), a subset of 5,000 pictures: ResNet-20 at half the published width
tells the class, `Portraits` makes pictures of a class. Both directions are trained together on the
pairs; then as many steps again for each way: without the term (weight 0), and with it
(`dual.DualSupervised`) at two weights. The marginal of examples is the mixture over the classes of
the backward direction as it was at the beginning, that of classes their frequencies. The score is
the error of the classifier, three seeds. The peer is the same training without the term; we know no
library that has it.

Goes on where it was interrupted; `--only SST-2 --seed 0` runs a part. --quick: a few steps, one
seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import process_time
from typing import Any

import torch
from rows import RESULTS, Rows, start
from torch import nn

from shoestring.core import score, seeded
from shoestring.dual import DualSupervised, DualTask, Marginals, Mixture, TwoWay
from shoestring.kit import AdamW, Mixed, Supervised, Training, resuming, train
from shoestring.models import Portraits, ResNet20, TextEncoder
from shoestring.recipes.labels_both_ways import (
    Words,
    pictures_both_ways,
    sentences_both_ways,
)
from shoestring.tasks import cifar10, sst2, sst2_vocabulary

SEEDS = (0, 1, 2)
PICTURES = 5_000
LONGEST = 40


@dataclass(frozen=True, kw_only=True)
class Set:
    """A data set: its task and network, the trainings, and the weights of the term.

    `first`: of both directions, before the ways part; `then`: of each way.
    """

    task: Callable[[], DualTask]
    network: Callable[[], nn.Module]
    first: Training
    then: Training
    weights: tuple[float, ...]


def _words() -> Words:
    return Words(words=len(sst2_vocabulary()), longest=LONGEST)


def _sentences() -> DualTask:
    return sentences_both_ways(sst2(batch_size=64), _words())


def _readers() -> TwoWay:
    words = _words()
    return TwoWay(
        TextEncoder(words.ids, width=64, layers=2, heads=4, hidden=128),
        words.writer(width=64, dropout=0.1),
    )


def _pictures() -> DualTask:
    task = cifar10(batch_size=64)
    images, labels = task.train
    assert isinstance(images, torch.Tensor) and isinstance(labels, torch.Tensor)
    few: Supervised = replace(task, train=(images[:PICTURES], labels[:PICTURES]))
    return pictures_both_ways(few)


def _networks() -> nn.Module:
    return nn.ModuleDict(
        {"read": ResNet20(8), "portray": Portraits(10, (3, 32, 32), mean=0.5, deviation=0.25)}
    )


def _training(steps: int, rate: float) -> Training:
    return Training(steps, AdamW(rate, 1e-2), precision=Mixed())


SETS = {
    "SST-2": Set(
        task=_sentences,
        network=_readers,
        first=_training(250, 2e-3),
        then=_training(100, 1e-3),
        weights=(1.0, 10.0),
    ),
    "CIFAR-10": Set(
        task=_pictures,
        network=_networks,
        first=_training(500, 5e-3),
        then=_training(300, 2e-3),
        weights=(10.0, 1_000.0),
    ),
}


def main() -> None:
    torch.set_num_threads(1)
    rows = start("dual_supervised", "cpu", __doc__ or "", seeds=True)
    for name, chosen in SETS.items():
        its = chosen
        if rows.quick:
            its = replace(its, first=replace(its.first, steps=3), then=replace(its.then, steps=2))
        for seed in (0,) if rows.quick else SEEDS:
            if rows.seed in (None, seed):
                _seed(rows, name, its, seed)
    if rows.seed is None:
        rows.close()


def _seed(rows: Rows, name: str, its: Set, seed: int) -> None:
    """The rows of one seed: before, and each way."""
    ways: dict[str, float | None] = {"before": None, "without the term": 0.0}
    ways |= {f"weight {weight:g}": weight for weight in its.weights}
    left = [
        way
        for way in ways
        if rows.wanted(f"{name}, {way}") and not rows.done(f"{name}, {way}", seed)
    ]
    if not left:
        return
    folder = RESULTS / "unfinished" / ("dual_supervised" + (".quick" if rows.quick else ""))
    with resuming(folder / f"{name} {seed}"):
        task = its.task()
        with seeded(seed):
            begun = train(its.network(), task.sealed(), its.first, what=f"{name}, both directions")
        counts = task.marginals.target.counts
        part = task.backward.of(begun)
        source = Mixture(task.backward, part, counts)
        shown = replace(task, marginals=Marginals(source=source, target=task.marginals.target))
        for way in left:
            _way(rows, f"{name}, {way}", shown, begun, ways[way], its.then, seed)


def _way(
    rows: Rows,
    subject: str,
    task: DualTask,
    begun: nn.Module,
    weight: float | None,
    training: Training,
    seed: int,
) -> None:
    """Train one way, and score its classifier; None: the model that they all go on from."""
    began, model = process_time(), begun
    if weight is not None:
        with seeded(seed):
            model = DualSupervised(weight=weight, training=training)(begun, task.sealed())
        rows.add(subject, "minutes of a core", (process_time() - began) / 60, "minutes", seed)
    for split in ("validation", "test"):
        seen: Any = task.sealed() if split == "validation" else task
        rows.add(subject, f"{split} error", 100 * (1 - score(seen, model, split)), "%", seed)
    back = score(task.back, task.backward.of(model))
    rows.add(subject, "log-likelihood of the way back", back, "nats an item", seed)
    rows.add(subject, "done", 1, "", seed)


if __name__ == "__main__":
    main()
