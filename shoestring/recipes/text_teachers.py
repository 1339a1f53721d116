"""Recurrent networks that teach the small ones of `text_tools`, on text without labels too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from shoestring.artifact import HashedCharacters, HashedWords
from shoestring.core import score, seeded
from shoestring.distill import Ensemble, cached
from shoestring.kit import AdamW, Supervised, Training, resuming, train
from shoestring.models import RecurrentTagger
from shoestring.tasks import taught_rows


@dataclass(frozen=True, kw_only=True)
class Teachers:
    """Networks that are trained on the labelled rows, and whose mean answer is then taught.

    `count`: of the networks, 1 or more; each has a seed of its own.
    `width`, `vector`, `hidden`, `dropout`, `unseen`: as in RecurrentTagger.
    `passes`: over the labelled rows, of each.
    `learning_rate`: of AdamW.
    `own`: the share of the label in what is taught at a labelled word, 0 to 1.
    `copies`: how often a labelled row stands among those that are taught.
    `most`: words or characters without labels that are labelled, drawn by the sentence.
    """

    count: int = 2
    width: int = 12
    vector: int = 96
    hidden: int = 128
    dropout: float = 0.4
    unseen: float = 0.15
    passes: int = 6
    learning_rate: float = 3e-3
    own: float = 0.5
    copies: int = 2
    most: int = 900_000


def taught(
    task: Supervised,
    teachers: Teachers,
    clusters: Tensor | None,
    unlabelled: Sequence[Any],
    folder: Path,
) -> tuple[Supervised, float]:
    """The task with the teachers' answers as its targets, and their score on validation, 0 to 1.

    `task`: made by `tagging` or `segmenting`.
    `clusters`: as in WindowTagger.
    `unlabelled`: sentences as lists of words, or texts for a segmenter; only the teachers label
        them.
    `folder`: keeps the teachers and their answers: the same call finds them there. Another task
        needs another folder.
    """
    assert task.input_chain is not None
    step = task.input_chain.steps[0]
    assert isinstance(step, HashedWords | HashedCharacters)
    steps = -(-len(task.train[1]) // task.batch_size)
    training = Training(teachers.passes * steps, AdamW(teachers.learning_rate, weight_decay=0.0))
    members = []
    with resuming(folder):
        for number in range(teachers.count):
            with seeded(number):
                member = RecurrentTagger(
                    step.ids,
                    step.kinds,
                    len(task.input_chain.labels),
                    width=teachers.width,
                    vector=teachers.vector,
                    hidden=teachers.hidden,
                    dropout=teachers.dropout,
                    clusters=clusters,
                    unseen=teachers.unseen,
                )
                train(member, task.sealed(), training, what=f"training teacher {number + 1}")
                members.append(member.eval())
    teacher = cached(Ensemble(members), folder / "answers")
    chosen = _drawn(unlabelled, teachers.most)
    rows = taught_rows(task, teacher, chosen, own=teachers.own, copies=teachers.copies)
    return rows, score(task.sealed(), teacher.teacher)


def _drawn(sentences: Sequence[Any], most: int) -> list[Any]:
    """Sentences in an order drawn by chance, as many as have no more than `most` places."""
    order = np.random.default_rng(0).permutation(len(sentences)).tolist()
    ends = np.cumsum([len(sentences[at]) for at in order])
    return [sentences[at] for at in order[: int((ends <= most).sum())]]
