"""The recipe that finds wrong labels and leaves them out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoestring.core import seeded
from shoestring.kit import AdamW, Training
from shoestring.models import DigitsLeNet
from shoestring.recipes import audited
from shoestring.tasks import digits


def test_most_of_the_changed_labels_are_left_out_and_the_task_stays_as_it_was():
    whole = digits()
    task = replace(whole, train=tuple(part[:300] for part in whole.train))
    labels = task.train[1].clone()
    labels[:20] = (labels[:20] + 3) % 10
    noisy = task.with_labels(labels)
    with seeded(0):
        model = DigitsLeNet()
    found = audited(model, noisy.sealed(), Training(150, AdamW(3e-3)), folds=3)
    flags = {row.index for row in found.errors}
    assert len(flags & set(range(20))) >= 14 and len(flags - set(range(20))) <= 25
    left = np.asarray(found.task.known())
    assert set(left.tolist()) == set(range(300)) - flags
    assert found.task.labels(left).tolist() == labels[left].tolist()
    assert len(noisy.known()) == 300 and noisy.train[1].equal(labels)
