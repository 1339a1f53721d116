"""Within `resuming`, a technique with other settings does not take up what the first one learnt."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from half_moons import CHANGES, moons, network

from shoestring.core import seeded
from shoestring.kit import AdamW, Training, resuming
from shoestring.unlabelled import FixMatch, MeanTeacher, PseudoLabel

pytestmark = pytest.mark.filterwarnings("ignore::shoestring.unlabelled.RefusedWarning")
FEW = Training(30, AdamW(1e-2))
HALF, TENTH = (lambda inputs: inputs * 0.5), (lambda inputs: inputs * 0.1)
OTHERS = (
    (MeanTeacher(training=FEW, **CHANGES), {"weight": 1.0}),
    (MeanTeacher(training=FEW, **CHANGES), {"rise": 0.0}),
    (MeanTeacher(training=FEW, **CHANGES), {"decay": 0.5}),
    (MeanTeacher(training=FEW, **CHANGES), {"size": 16}),
    (MeanTeacher(training=FEW, **CHANGES | {"strong": HALF}), {"strong": TENTH}),
    (FixMatch(training=FEW, **CHANGES | {"weak": HALF}), {"weak": TENTH}),
    (FixMatch(training=FEW, **CHANGES), {"confidence": 0.5}),
    (PseudoLabel(training=FEW, confidence=0.5, weak=CHANGES["weak"]), {"weight": 0.1}),
)


@pytest.mark.parametrize(("technique", "change"), OTHERS, ids=lambda one: str(one)[:20])
def test_another_setting_is_another_training(technique, change, tmp_path):
    task, model = moons().sealed(), network()
    found = []
    for one in (technique, replace(technique, **change)):
        with resuming(tmp_path), seeded(0):
            kept = one.tried(model, task).learnt
        with seeded(0):
            alone = one.tried(model, task).learnt
        for own, wanted in zip(kept.parameters(), alone.parameters(), strict=True):
            assert torch.equal(own, wanted)
        found.append(torch.cat([each.detach().flatten() for each in kept.parameters()]))
    assert not torch.equal(*found)
