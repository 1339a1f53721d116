"""Reviews of films, labelled by rules: a network learns from them and from a hundred labels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from shoestring.core import Ledger, apply, prove, score, seeded
from shoestring.kit import AdamW, Supervised, Training, resuming, save
from shoestring.label import Votes, Weak, rule_table, votes_of
from shoestring.models import NgramClassifier
from shoestring.recipes.film_rules import FILM_RULES
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import sst2, sst2_vocabulary

LABELS, CHECKED = 40, 60
"""Labels that are trained on, and that are validated on."""
TRAINING = Training(200, AdamW(1e-2))
TUNING = Training(40, AdamW(1e-3))


def weak_reviews(
    task: Supervised,
    votes: Votes,
    model: nn.Module,
    path: Path,
    *,
    training: Training = TRAINING,
    tuning: Training = TUNING,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> tuple[float, float]:
    """A network that learns from rules; its file is written to `path`.

    Returns the (validation, test) score, 0 to 1. Where the rules hurt, the network has learnt from
    the true labels alone.

    `task`: with the few labels that there are, and a pool.
    `votes`: of rules on the texts of the pool, in its order.
    `model`: untrained.
    `training`: on the labels of the rules; `tuning`: on the true ones.
    """
    technique = Weak(rules=votes, training=training, tuning=tuning)
    with resuming(path.with_suffix(".unfinished")):
        made = apply(technique, model, task.sealed(), ledger=ledger, seed=seed)
    save(made, task.sealed(), path)
    test = prove(path, task, ledger=ledger, seed=seed, note=f"weak_reviews: {path.stem}")
    return score(task.sealed(), made), test


def few_reviews(seed: int, most: int | None = None) -> tuple[Supervised, Votes, int]:
    """SST-2 with 40 labels to train on and 60 to validate on; votes on the others; words.

    `most`: texts of the training split that are taken; None for all.
    """
    whole, words = sst2(), sst2_vocabulary().words
    ids, labels = whole.train
    assert isinstance(ids, torch.Tensor)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:most]
    held, given, rest = order.split([CHECKED, LABELS, len(order) - CHECKED - LABELS])
    task = Supervised(
        train=(ids[given], labels[given]),
        validation=(ids[held], labels[held]),
        test=whole.test,
        unlabelled=ids[rest],
        name="sst2, few labels",
        batch_size=64,
        axes={1: "T"},
        prepare=whole.prepare,
    )
    known = ("", "?", *words)
    texts = [" ".join(known[word] for word in row if word) for row in ids[rest].tolist()]
    return task, votes_of(FILM_RULES, texts, ("0", "1")), len(known)


def end_to_end(run: Run) -> None:
    """The rules' table, then a network that learns from them and 100 labels."""
    task, votes, words = few_reviews(run.seed, 1500 if run.quick else None)
    run.say(str(rule_table(votes)))
    with seeded(run.seed):
        model = NgramClassifier(words, 2, width=64, dropout=0.3)
    path = run.folder / "weak_reviews.shoe"
    training = Training(100, AdamW(1e-2)) if run.quick else TRAINING
    validation, test = weak_reviews(
        task, votes, model, path, training=training, seed=run.seed, ledger=run.ledger
    )
    run.scores(f"SST-2, rules and {LABELS + CHECKED} labels", path.stat().st_size, validation, test)


RECIPE = Recipe(
    name="weak_reviews",
    line="reviews of films: a network learns from 24 rules about words, and from 100 labels",
    scarce="labels",
    instead="rules that a person writes",
    data=("SST-2",),
    minutes=1,
    quick_minutes=0.5,
    page="weak-labels.md",
    run=end_to_end,
    elsewhere="Ratner et al. 2016 and 2019, on other texts and rules",
    results=Results(
        file="weak_labels.sst2-trec-cpu.jsonl",
        before=(
            Line(
                "SST-2, true labels alone, as good",
                "SST-2, true labels for the score of rules and 100 labels",
            ),
        ),
        ours=(
            Line("SST-2, 24 rules and labels", "SST-2, rules and 100 labels"),
            Line("SST-2, 24 rules, all labels to validate", "SST-2, rules and 60 labels"),
            Line("TREC, 16 rules and labels", "TREC, rules and 100 labels"),
        ),
        baselines=(
            Line(
                "TREC, true labels alone, as good",
                "TREC, true labels for the score of rules and 100 labels",
            ),
        ),
        saved=Measure("labels", "labels", "labels", ",.0f"),
    ),
)
