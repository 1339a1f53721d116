"""Labels alone: what no unlabelled example can change."""

from __future__ import annotations

from dataclasses import replace

import torch
from half_moons import moons, network

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training, train
from shoestring.unlabelled import LabelsAlone


def test_it_learns_from_labels_and_from_nothing_else():
    task, model, training = moons(), network(), Training(100, AdamW(1e-2))
    with seeded(0):
        plain = train(network(), task.sealed(), training)
    found = []
    for one in (task, replace(task, unlabelled=None)):
        with seeded(0):
            found.append(LabelsAlone(training=training)(model, one.sealed()))
    for made in found:
        for own, wanted in zip(made.parameters(), plain.parameters(), strict=True):
            assert torch.equal(own, wanted)
    assert score(task, found[0]) > score(task, model)
