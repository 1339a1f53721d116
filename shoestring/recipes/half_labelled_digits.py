"""Labels: digits of which 80 have one, and a network that learns from the others too."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Ledger, Technique, apply, prove, score, seeded
from shoestring.kit import AdamW, Supervised, Training, resuming, save, train
from shoestring.models import DigitsLeNet
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import digits
from shoestring.unlabelled import (
    Distorted,
    FixMatch,
    FreeMatch,
    MeanTeacher,
    PseudoLabel,
    RefusedWarning,
    Shifted,
)

LABELS = 80
PAID = 2 * LABELS
"""With the labels that the guard validates on, which labels alone do not need."""
TRAINING = Training(300, AdamW(5e-3, 1e-2))
WEAK = Shifted(0.02)
STRONG = Distorted(turn=15, scale=0.1, shear=0.1, shift=0.1, light=0.2, covered=0)
"""Changes that are small enough for pictures of 8×8 pixels."""
WAYS: tuple[Technique, ...] = tuple(
    kind(weak=WEAK, strong=STRONG) for kind in (MeanTeacher, FixMatch, FreeMatch, PseudoLabel)
)


def half_labelled(
    task: Supervised,
    model: nn.Module,
    path: Path,
    technique: Technique | None = None,
    *,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> tuple[float, float]:
    """A network that learns from labels and from examples without; its file is written to `path`.

    Published figures are of other networks and data: Tarvainen & Valpola 2017 (SVHN, CIFAR-10).
    Returns the (validation, test) score, 0 to 1. Where the unlabelled examples do not help, the
    file is that of the network that learnt from the labels alone, with a RefusedWarning.

    `task`: with labels for some, and the others as `unlabelled`.
    `model`: untrained; it gives logits N×C.
    `technique`: of `shoestring.unlabelled`; None: a mean teacher.
    """
    chosen = technique or MeanTeacher(training=TRAINING)
    with resuming(path.with_suffix(".unfinished")):
        made = apply(chosen, model, task.sealed(), ledger=ledger, seed=seed)
    save(made, task.sealed(), path)
    test = prove(path, task, ledger=ledger, seed=seed, note=f"half_labelled: {path.stem}")
    return score(task.sealed(), made), test


def few_digits(labels: int, seed: int) -> Supervised:
    """The digits with as many labels of each class; as many again to validate on; no more."""
    whole = digits()
    draw = torch.Generator().manual_seed(seed)
    images, targets = whole.train
    held_images, held_targets = whole.validation
    assert isinstance(images, Tensor) and isinstance(held_images, Tensor)
    given = of_each(targets, labels // 10, draw)
    held = of_each(held_targets, labels // 10, draw)
    rest = torch.tensor(sorted(set(range(len(targets))) - set(given.tolist())))
    return replace(
        whole,
        train=(images[given], targets[given]),
        unlabelled=images[rest],
        validation=(held_images[held], held_targets[held]),
        name=f"digits, {labels} labels",
    )


def of_each(targets: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """The places of `count` examples of each of ten classes, drawn at random."""
    order = torch.randperm(len(targets), generator=draw)
    return torch.cat([order[targets[order] == one][:count] for one in range(10)])


def end_to_end(run: Run) -> None:
    """Labels alone, up to 640 of them; then 80 labels and 917 pictures without, in four ways."""
    torch.set_num_threads(1)
    training = Training(150, AdamW(5e-3, 1e-2)) if run.quick else TRAINING
    errors = {count: _alone(run, count, training) for count in (LABELS, 160, 320, 640)}
    task = few_digits(LABELS, run.seed)
    for technique in WAYS[:1] if run.quick else WAYS:
        name = type(technique).__name__
        with seeded(run.seed):
            model = DigitsLeNet()
        path = run.folder / f"half_labelled_{name}.shoe"
        chosen = replace(technique, training=training)  # type: ignore[type-var, call-arg]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", RefusedWarning)
            validation, test = half_labelled(
                task, model, path, chosen, seed=run.seed, ledger=run.ledger
            )
        refused = any(issubclass(one.category, RefusedWarning) for one in said)
        subject = f"{LABELS} labels, {name}"
        run.row(subject, "refused", float(refused), "")
        run.scores(subject, path.stat().st_size, validation, test)
        if not run.quick:
            run.row(subject, "labels", PAID, "labels")
            as_many = labels_alone(errors, 100 - 100 * test)
            run.row(f"labels alone that do as well as {name}", "labels", as_many, "labels")
            run.row(f"labels alone that do as well as {name}", "test error", 100 - 100 * test, "%")
    for name, peer in peers(run.seed).items():
        run.row(f"{LABELS} labels, {name}", "test error", peer_error(peer, task), "%")
        run.row(f"{LABELS} labels, {name}", "labels", LABELS, "labels")


def labels_alone(errors: Mapping[int, float], error: float) -> float:
    """How many labels alone give a test error, by the curve, along the logarithm of the number.

    `errors`: by the number of labels. Beyond the ends of the curve, the number at its end.
    """
    counts = sorted(errors)
    falls = np.maximum.accumulate([-errors[count] for count in counts])
    return float(np.exp(np.interp(-error, falls, np.log(counts))))


def _alone(run: Run, count: int, training: Training) -> float:
    """The least test error of labels alone: with inputs as they are, and changed either way."""
    task, errors = few_digits(count, run.seed), list[float]()
    ways = {"": None, ", inputs changed weakly": WEAK, ", inputs changed strongly": STRONG}
    for name, change in ways.items():
        with seeded(run.seed):
            shown = replace(task, augment=change)
            network = train(DigitsLeNet(), shown.sealed(), training, what=f"{count} labels alone")
        errors.append(100 - 100 * score(task, network, "test"))
        run.row(f"{count} labels alone{name}", "test error", errors[-1], "%")
        run.row(f"{count} labels alone{name}", "labels", count, "labels")
    return min(errors)


def peers(seed: int) -> dict[str, Any]:
    """What scikit-learn has for a half-labelled table, by name."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

    inner = LogisticRegression(max_iter=1000, random_state=seed)
    return {
        "self-training (scikit-learn)": SelfTrainingClassifier(inner, threshold=0.95),
        "label spreading (scikit-learn)": LabelSpreading(kernel="knn", n_neighbors=7),
    }


def peer_error(learner: Any, task: Supervised) -> float:
    """The test error of one of `peers` on the raw pixels, in per cent."""
    (given,), (free,) = task.inputs(task.known()), task.inputs(task.pool())
    pixels = torch.cat([given, free]).flatten(1).numpy()
    labels = np.concatenate([task.train[1].numpy(), np.full(len(free), -1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a solver that stopped early, and rows without neighbours
        learner.fit(pixels, labels)
    assert task.test is not None and isinstance(task.test[0], Tensor)
    told = learner.predict(task.test[0].flatten(1).numpy())
    return 100 - 100 * float((told == task.test[1].numpy()).mean())


RECIPE = Recipe(
    name="half_labelled",
    line="digits of which 80 have a label: networks learn from the others too",
    scarce="labels",
    instead="examples without a label, and a training about four times as long",
    data=("digits (in scikit-learn)",),
    minutes=1,
    quick_minutes=0.3,
    page="unlabelled.md",
    run=end_to_end,
    elsewhere="Tarvainen & Valpola 2017 and Sohn et al. 2020, on SVHN and CIFAR-10",
    results=Results(
        file="half_labelled.digits-cpu.jsonl",
        before=(Line("labels alone, as good", "labels alone that do as well as MeanTeacher"),),
        ours=(
            Line("80 labels and 80 to validate, MeanTeacher", "80 labels, MeanTeacher"),
            Line("80 labels and 80 to validate, FixMatch", "80 labels, FixMatch"),
            Line("80 labels and 80 to validate, FreeMatch", "80 labels, FreeMatch"),
            Line("80 labels and 80 to validate, PseudoLabel", "80 labels, PseudoLabel"),
        ),
        baselines=(
            Line("80 labels alone", "80 labels alone"),
            Line("the same, inputs changed weakly", "80 labels alone, inputs changed weakly"),
            Line("the same, inputs changed strongly", "80 labels alone, inputs changed strongly"),
            Line("160 labels alone", "160 labels alone"),
            Line(
                "160 labels alone, inputs changed strongly",
                "160 labels alone, inputs changed strongly",
                cheaper=True,
            ),
            Line("640 labels alone", "640 labels alone"),
        ),
        peers=(
            Line("label spreading, pixels", "80 labels, label spreading (scikit-learn)"),
            Line("self-training, pixels", "80 labels, self-training (scikit-learn)"),
        ),
        saved=Measure("labels", "labels", "labels", ",.0f"),
    ),
)
