"""What unlabelled examples are worth: MNIST, SST-2 and CIFAR-10 with few labels.

    python benchmarks/few_labels.py

MNIST with 10, 40 and 100 labels and 54,900 or more unlabelled pictures; SST-2 with 40 and 200
labels and the other training texts; CIFAR-10 (the JPEG copy), a subset of 10,000 pictures, with
250, 1,000 and 4,000 labels. Labels are balanced over classes; the guard's validation split has as
many labels again. Networks, trainings and settings are the same for every technique of a set.
Rates, steps and networks of pictures were chosen on 5,000 validation pictures with the labels of
seed 9, which is none of those below. What pretrains has as many steps again without labels. Each
technique has the test error of the network that it learnt, of what the guard returned, and whether
it was refused. Baselines: labels alone, without and with the weak and the strong changes of inputs;
and scikit-learn's self-training and label spreading on the raw pixels or words, with up to 10,000
of the unlabelled examples. A technique of MNIST with 100 labels and one of CIFAR-10 with 250 are
trained longer too, with the labels alone beside them.

Goes on where it was interrupted. `--only "MNIST, 100"` runs a part. --quick: 60 steps, one seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from rows import RESULTS, Rows, start
from torch import Tensor, nn

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Mixed, Supervised, Training, resuming, train
from shoestring.models import NgramClassifier
from shoestring.recipes.hundred_labels_mnist import WEAK, pooled
from shoestring.tasks import cifar10, mnist, sst2, sst2_vocabulary
from shoestring.unlabelled import (
    Distorted,
    FixMatch,
    FreeMatch,
    LayerWise,
    MaskedTokens,
    MeanTeacher,
    PiModel,
    PseudoLabel,
    SemiSupervisedGAN,
    ShiftedMirrored,
    SimSiam,
)
from shoestring.unlabelled.consistency import Weakly

SEEDS = (0, 1, 2)
PEERS_SEE = 10_000
"""Unlabelled examples of scikit-learn's peers, which keep all in memory."""


@dataclass(frozen=True, kw_only=True)
class Set:
    """A data set: how it comes, the network and its training, and the numbers of labels."""

    task: Callable[[], Supervised]
    network: Callable[[], nn.Module]
    training: Training
    labels: tuple[int, ...]
    most: int | None = None
    """Training examples that are taken; None for all."""
    changes: Any = None
    """Settings of the techniques besides their training."""
    pretrainers: tuple[str, ...] = ("SimSiam", "layer-wise")
    """What pretrains on such inputs, of PRETRAINERS."""
    generated: bool = True
    """Whether a generator can make such inputs: pictures, and no texts."""


@dataclass(frozen=True, kw_only=True)
class Longer:
    """A technique with more time and another network, and the labels alone with the same."""

    way: str
    network: Callable[[], nn.Module]
    technique: Any


def strided(channels: int, width: int, side: int, classes: int = 10) -> nn.Module:
    """A small convolutional network that halves the picture three times."""
    last = side
    for _ in range(3):
        last = (last + 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * width * last * last, classes),
    )


SETS = {
    "MNIST": Set(
        task=lambda: mnist(batch_size=64),
        network=lambda: strided(1, 24, 28),
        training=Training(1200, AdamW(5e-3, 1e-2)),
        labels=(100, 40, 10),
    ),
    "SST-2": Set(
        task=lambda: sst2(batch_size=64),
        network=lambda: NgramClassifier(len(sst2_vocabulary().words) + 2, 2, width=64, dropout=0.3),
        training=Training(600, AdamW(5e-3, 1e-2)),
        labels=(200, 40),
        pretrainers=("masked tokens",),
        generated=False,
    ),
    "CIFAR-10": Set(
        task=lambda: cifar10(batch_size=64),
        network=lambda: pooled(3, 24),
        training=Training(1200, AdamW(3e-3, 1e-2), precision=Mixed()),
        labels=(250, 1000, 4000),
        most=10_000,
        changes={"weak": ShiftedMirrored(), "strong": Distorted(mirror=0.5)},
    ),
}
PARTS = (
    ("MNIST", 100),
    ("CIFAR-10", 250),
    ("SST-2", 200),
    ("SST-2", 40),
    ("MNIST", 40),
    ("MNIST", 10),
    ("CIFAR-10", 1000),
    ("CIFAR-10", 4000),
)
"""In the order in which they are run: what matters most comes first."""
LEARNERS: dict[str, Any] = {
    "mean teacher": MeanTeacher,
    "FixMatch": FixMatch,
    "FreeMatch": FreeMatch,
    "pseudo-labels": PseudoLabel,
    "Π-model": PiModel,
    "semi-supervised GAN": SemiSupervisedGAN,
}
PRETRAINERS: dict[str, Any] = {
    "SimSiam": SimSiam,
    "masked tokens": MaskedTokens,
    "layer-wise": LayerWise,
}
LONGER: dict[tuple[str, int], Longer] = {
    ("MNIST", 100): Longer(
        way="FreeMatch, longer",
        network=lambda: pooled(1, 16),
        technique=FreeMatch(
            training=Training(2400, AdamW(5e-3, 1e-2), precision=Mixed()), weak=WEAK
        ),
    ),
    ("CIFAR-10", 250): Longer(
        way="FreeMatch, longer",
        network=lambda: pooled(3, 24),
        technique=FreeMatch(
            training=Training(2400, AdamW(3e-3, 1e-2), precision=Mixed()),
            weak=ShiftedMirrored(),
            strong=Distorted(mirror=0.5),
        ),
    ),
}
ALONE = ("labels alone", "labels alone, weak changes", "labels alone, strong changes")
PEERS = ("self-training (scikit-learn)", "label spreading (scikit-learn)")
ALL = "all labels"


def ways(name: str, labels: int) -> tuple[str, ...]:
    """The ways to learn from so many labels of a set, in the order in which they are run."""
    longer = LONGER.get((name, labels))
    learners = [one for one in LEARNERS if one != "semi-supervised GAN" or SETS[name].generated]
    own = (*learners, *PEERS, *([longer.way] if longer is not None else []))
    return (ALONE[0], *own, *SETS[name].pretrainers, *ALONE[1:], ALL)


@cache
def whole(name: str) -> Supervised:
    return SETS[name].task()


def few(name: str, labels: int, seed: int) -> Supervised:
    """A set with so many labels, as many of each class, and as many again to validate on."""
    task = whole(name)
    inputs, targets = task.train
    assert isinstance(inputs, Tensor) and isinstance(task.validation[0], Tensor)
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(targets), generator=draw)[: SETS[name].most]
    given = _balanced(order, targets, labels)
    rest = order[~torch.isin(order, given)]
    held_order = torch.randperm(len(task.validation[1]), generator=draw)
    held = _balanced(held_order, task.validation[1], labels)
    return replace(
        task,
        train=(inputs[given], targets[given]),
        unlabelled=inputs[rest],
        validation=(task.validation[0][held], task.validation[1][held]),
    )


def _balanced(order: Tensor, targets: Tensor, labels: int) -> Tensor:
    classes = int(targets.max()) + 1
    each = max(1, labels // classes)
    return torch.cat([order[targets[order] == one][:each] for one in range(classes)])


def main() -> None:
    torch.set_num_threads(1)
    rows = start("few_labels", "mnist-sst2-cifar10-jpeg-cpu", __doc__ or "", seeds=True)
    for name, labels in PARTS:
        if rows.quick and labels != SETS[name].labels[0]:
            continue
        seeds = SEEDS[:1] if rows.quick else SEEDS
        # An interrupted run has as many seeds of each way.
        for seed in seeds if rows.seed is None else (rows.seed,):
            for way in ways(name, labels):
                measured(rows, name, labels, way, seed)
    if rows.seed is None:
        rows.close()


def measured(rows: Rows, name: str, labels: int, way: str, seed: int) -> None:
    """The rows of a way and seed, unless they are there."""
    subject = f"{name}, {way}" if way == ALL else f"{name}, {labels} labels, {way}"
    if rows.done(subject, seed) or not rows.wanted(subject):
        return
    task = few(name, labels, seed)
    began = process_time()
    longer = _longer(name, labels, way)
    training = SETS[name].training if longer is None else longer.technique.training
    training = Training(60) if rows.quick else training
    folder = unfinished(rows.quick) / f"{name} {labels} {seed}"  # a task of its own each
    with resuming(folder):
        found = {
            **({} if way in PEERS else {"steps": float(training.steps)}),
            **_found(name, way, task, training, seed, longer),
        }
    for metric, value in found.items():
        rows.add(subject, metric, value, "" if metric in ("steps", "refused") else "%", seed)
    rows.add(subject, "seconds of a core", process_time() - began, "s", seed, timed=True)
    rows.add(subject, "done", 1, "", seed)


def _longer(name: str, labels: int, way: str) -> Longer | None:
    found = LONGER.get((name, labels))
    return found if found is not None and found.way == way else None


def unfinished(quick: bool) -> Path:
    """Where trainings are kept that are not at their end."""
    return RESULTS / f"few_labels{'.quick' if quick else ''}.unfinished"


def _found(
    name: str, way: str, task: Supervised, training: Training, seed: int, longer: Longer | None
) -> dict[str, float]:
    """The test error of a way, and what else is told of it."""
    if way in PEERS:
        return {"test error": peer(way, task, seed)}
    with seeded(seed):
        model = (SETS[name] if longer is None else longer).network()
    changes = SETS[name].changes or {}
    technique = _technique(way, training, changes, longer)
    if technique is not None:
        with seeded(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tried = technique.tried(model, task.sealed())
        found = {
            "test error": _error(task, tried.learnt),
            "test error, guarded": _error(task, tried.network),
            "refused": float(tried.refused),
            "validation error": 100 - 100 * tried.scores[0],
        }
        beside = {} if longer is None else {"labels alone": _error(task, tried.labels_only)}
        return found | beside
    if way == ALL:
        task = replace(whole(name), validation=task.validation)
    elif way != ALONE[0]:
        from shoestring.unlabelled import augmentations

        found = augmentations(task.inputs([0]), changes.get("weak"), changes.get("strong"))
        task_of = Weakly(task, found.weak if way == ALONE[1] else found.strong)
        with seeded(seed):
            learnt = train(model, task_of.sealed(), training, what=f"training, {way}", key=way)
            return {"test error": _error(task, learnt)}
    with seeded(seed):
        learnt = train(model, task.sealed(), training, what=f"training, {way}", key=way)
        return {"test error": _error(task, learnt)}


def _technique(way: str, training: Training, changes: Any, longer: Longer | None) -> Any:
    """The technique of a way; None where the way is the labels alone."""
    if longer is not None:
        return replace(longer.technique, training=training)
    if way in LEARNERS:
        return LEARNERS[way](training=training, **changes)
    if way not in PRETRAINERS:
        return None
    each = replace(training, steps=training.steps // 3) if way == "layer-wise" else training
    return PRETRAINERS[way](training=training, pretraining=each, **changes)


def _error(task: Supervised, network: nn.Module) -> float:
    return 100 - 100 * score(task, network, "test")


def peer(way: str, task: Supervised, seed: int) -> float:
    """The test error of a peer, in per cent, on the raw pixels or on which words a text has."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

    given, free = task.train[0], task.inputs(task.pool()[:PEERS_SEE])[0]
    assert task.test is not None and isinstance(given, Tensor)
    ids = None if given.is_floating_point() else int(max(given.max(), free.max())) + 1
    seen, unseen, test = (_features(one, ids) for one in (given, free, task.test[0]))
    labels = np.concatenate([task.train[1].numpy(), np.full(len(unseen), -1)])
    if way == PEERS[0]:
        learner: Any = SelfTrainingClassifier(
            LogisticRegression(max_iter=300, random_state=seed), threshold=0.95
        )
    else:
        learner = LabelSpreading(kernel="knn", n_neighbors=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a solver that stopped before its end
        learner.fit(np.concatenate([seen, unseen]), labels)
    return 100 - 100 * float((learner.predict(test) == task.test[1].numpy()).mean())


def _features(inputs: Any, ids: int | None) -> np.ndarray:
    """Pixels in a row; of texts, which words are in them."""
    if ids is None:
        return inputs.flatten(1).numpy()
    found = torch.zeros(len(inputs), ids)
    found.scatter_(1, inputs.clamp(max=ids - 1), 1.0)
    found[:, 0] = 0
    return found.numpy()


if __name__ == "__main__":
    main()
