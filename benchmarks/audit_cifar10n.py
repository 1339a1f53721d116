"""CIFAR-10N for `audit.py`: people's wrong labels, ours found, and a network trained without them.

10,000 pictures of CIFAR-10 (the JPEG copy), a thousand of each class, drawn once. Their labels are
the worst of three that people gave each (Wei et al. 2022, "worse"). The probabilities come from
four folds, five passes each, of ResNet-20; the flags are made once, and each way of cleaning is
trained with three seeds, four passes of all 10,000 (as many steps where examples are left out).
"""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np
import torch
from rows import RESULTS, Rows

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training, resuming, train
from shoestring.kit.training.splits import Split
from shoestring.label.audit.confident import ByConfidence, LabelErrors, label_errors
from shoestring.label.audit.out_of_sample import out_of_sample
from shoestring.models import ResNet20
from shoestring.recipes.baselines import pictures
from shoestring.tasks import cifar10

COUNT, FOLDS, FOLD_PASSES, PASSES = 10_000, 4, 5, 4
OPTIMIZER = AdamW(3e-3, weight_decay=0.05)
SUBJECT = "cifar10n worse"


@dataclass(frozen=True, kw_only=True, eq=False)
class Noisy:
    """Pictures with the labels that people gave, and those of the data set.

    `task`: its "train" split has the given labels; its test split is that of the data set.
    `given`, `clean`: N.
    """

    task: Supervised
    given: np.ndarray
    clean: np.ndarray


def noisy(quick: bool) -> Noisy:
    """The pictures that are used, in the order of their drawing."""
    whole = cifar10()
    order = torch.randperm(50_000, generator=torch.Generator().manual_seed(0)).argsort()
    images = torch.cat([_images(whole.train), _images(whole.validation)])[order]
    labels = torch.cat([whole.train[1], whole.validation[1]])[order].numpy()
    path = Path(os.environ["SHOESTRING_DATA"]) / "cifar10n" / "CIFAR-10_human.pt"
    with zipfile.ZipFile(path) as archive:
        people = pickle.loads(archive.read("archive/data.pkl"))
    # The archive of pictures has them class by class, each class in the original order.
    by_class = np.argsort(people["clean_label"], kind="stable")
    given = np.asarray(people["worse_label"])[by_class]
    assert (np.asarray(people["clean_label"])[by_class] == labels).all()
    draw, each = np.random.default_rng(0), (100 if quick else COUNT // 10)
    chosen = np.concatenate(
        [draw.permutation(np.flatnonzero(labels == c))[:each] for c in range(10)]
    )
    chosen = draw.permutation(chosen)
    inputs, targets = images[chosen], torch.from_numpy(given[chosen]).long()
    assert whole.test is not None
    test = (_images(whole.test)[::20], whole.test[1][::20]) if quick else whole.test
    task = replace(
        whole,
        train=(inputs, targets),
        validation=(inputs[:500], targets[:500]),  # nothing is chosen by it
        test=test,
        augment=pictures,
        autocast=torch.bfloat16,
        name="cifar10n-jpeg",
    )
    return Noisy(task=task, given=given[chosen], clean=labels[chosen])


def _images(split: Split) -> torch.Tensor:
    images, _ = split
    assert isinstance(images, torch.Tensor)
    return images


def probabilities(rows: Rows, data: Noisy) -> np.ndarray:
    """N×10, out of sample; kept in a file."""
    folder = RESULTS / "unfinished" / f"audit_cifar10n{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "probabilities.npy"
    if not kept.exists():
        passes = 1 if rows.quick else FOLD_PASSES
        steps = passes * -(-len(data.given) * (FOLDS - 1) // FOLDS // data.task.batch_size)
        began = process_time()
        found = out_of_sample(
            _network(0), data.task, Training(steps, OPTIMIZER), FOLDS, folder=folder
        )
        minutes = (process_time() - began) / 60
        rows.add(SUBJECT, "cross-validation", minutes, "minutes of a core", 0, timed=True)
        np.save(kept, found.probabilities)
    return np.load(kept)


def flag_rows(rows: Rows, data: Noisy, table: np.ndarray, theirs: dict[str, np.ndarray]) -> None:
    """Rows of how many of the flags are wrong labels, and how many wrong labels are flagged."""
    wrong = data.given != data.clean
    name = f"{SUBJECT}, flags"
    if rows.done(name, 0):
        return
    rows.add(name, "pictures", len(wrong), "", 0)
    rows.add(name, "wrong labels", float(wrong.mean()) * 100, "%", 0)
    rows.add(
        name, "accuracy of the folds", float((table.argmax(1) == data.clean).mean()) * 100, "%", 0
    )
    flags = {"ours, " + kind: _flags(errors) for kind, errors in ours(table, data.given).items()}
    flags |= {"cleanlab, " + kind: indices for kind, indices in theirs.items()}
    flags["disagreement"] = np.flatnonzero(table.argmax(1) != data.given)
    for kind, indices in flags.items():
        hits = float(wrong[indices].sum())
        rows.add(name, f"{kind}: flags", len(indices), "", 0)
        rows.add(name, f"{kind}: precision", 100 * hits / max(len(indices), 1), "%", 0)
        rows.add(name, f"{kind}: recall", 100 * hits / wrong.sum(), "%", 0)
    rows.add(name, "done", 1, "", 0)


def ours(table: np.ndarray, given: np.ndarray) -> dict[str, LabelErrors]:
    """What we flag, by noise rate and by confidence."""
    return {
        "by noise rate": label_errors(table, given),
        "by confidence": label_errors(table, given, pruning=ByConfidence()),
    }


def trained_rows(rows: Rows, data: Noisy, table: np.ndarray) -> None:
    """Rows of the accuracy of a network trained on noisy, cleaned and clean labels."""
    found = ours(table, data.given)["by noise rate"]
    flags = _flags(found)
    everything = np.arange(len(data.given))
    kept = np.setdiff1d(everything, flags)
    chance = np.sort(np.random.default_rng(0).permutation(everything)[: len(kept)])
    suggested = data.given.copy()
    suggested[flags] = [row.suggested for row in found.rows]
    ways = {
        "noisy labels": (data.given, everything),
        "cleaned: flags left out": (data.given, kept),
        "clean labels": (data.clean, everything),
        "as many left out at random": (data.given, chance),
        "cleaned: flags relabelled": (suggested, everything),
    }
    late = list(ways)[3:]
    jobs = [(way, seed) for seed in range(3) for way in ways if way not in late]
    jobs += [(way, seed) for way in late for seed in range(3)]
    for way, seed in jobs[:3] if rows.quick else jobs:
        name = f"{SUBJECT}, {way}"
        if rows.done(name, seed):
            continue
        labels, indices = ways[way]
        _one(rows, data, name, labels[indices], indices, seed)


def _one(
    rows: Rows, data: Noisy, name: str, labels: np.ndarray, indices: np.ndarray, seed: int
) -> None:
    """The row of one network; the test split is read once, at its end."""
    passes = 1 if rows.quick else PASSES
    steps = passes * -(-len(data.given) // data.task.batch_size)
    folder = RESULTS / "unfinished" / f"audit_cifar10n{'.quick' if rows.quick else ''}"
    task = data.task.with_labels(labels, indices=indices)
    with resuming(folder), seeded(1000 + seed):
        model = train(_network(seed), task.sealed(), Training(steps, OPTIMIZER), key=name)
    rows.add(name, "examples", len(indices), "", seed)
    rows.add(name, "test accuracy", 100 * score(task, model, "test"), "%", seed)
    rows.add(name, "done", 1, "", seed)


def _network(seed: int) -> ResNet20:
    with seeded(seed):
        return ResNet20().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _flags(found: LabelErrors) -> np.ndarray:
    return found.order[: len(found.rows)]
