"""The table of every old task before and after, the warning, and budgets on old abilities."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from made_few import All, one_head, two_heads
from torch import nn

from shoestring import kit
from shoestring.adapt import (
    Ability,
    Forgetting,
    ForgettingWarning,
    Frozen,
    Keeping,
    LastLayers,
    Prototypes,
    adapted,
    forgetting,
)
from shoestring.core import Ledger, SealedError, score, scores, seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.tasks import digits


def constant(answer: int) -> nn.Module:
    layer = nn.Linear(1, 2)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([1.0 - answer, answer]))
    return layer


def halves(labels: list[int]) -> Supervised:
    split = torch.zeros(len(labels), 1), torch.tensor(labels)
    return Supervised(train=split, validation=split, test=split)


def test_a_row_as_computed_by_hand():
    found = forgetting(constant(0), constant(1), {"mostly 0": halves([0, 0, 0, 1])})
    (row,) = found.rows
    assert (row.before, row.after, row.change) == (0.75, 0.25, -0.5)
    # paired differences: -1, -1, -1, +1
    assert row.standard_error == pytest.approx(np.std([-1, -1, -1, 1]) / 2)
    assert str(found).splitlines()[1].split() == [
        "mostly", "0", "0.7500", "0.2500", "-0.5000", "±", "0.4330",
    ]  # fmt: skip
    assert "mostly 0" in found._repr_html_()


def test_what_is_lost_is_more_than_chance_and_more_than_is_allowed():
    lost = Ability(name="a", before=0.9, after=0.8, standard_error=0.02)
    noise = Ability(name="b", before=0.9, after=0.87, standard_error=0.02)
    gone = Ability(name="c", before=0.9, after=None, why="cannot be asked")
    better = Ability(name="d", before=0.9, after=0.95)
    table = Forgetting((lost, noise, gone, better))
    assert table.lost() == (lost, gone) and table.lost(0.15) == (gone,)


def test_a_head_for_other_classes_has_lost_the_old_task():
    split = torch.eye(3), torch.tensor([0, 1, 0])
    old = Supervised(train=split, validation=split, metric=lambda out, y: out[:, 2].mean())
    model = nn.Linear(3, 3)
    made = Prototypes()(model, old)
    (row,) = forgetting(model, made, {"old": old}).rows
    assert row.after is None and "cannot be asked" in row.why and row.is_lost(9.0)
    assert "none" in str(Forgetting((row,)))


def test_the_guard_warns_of_what_adapting_cost(tmp_path: Path):
    task = one_head()
    with seeded(0):
        model = kit.train(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
            task.others()["zero to four"],
            Training(80, AdamW(5e-3)),
        )
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with pytest.warns(ForgettingWarning, match=r"zero to four 0\.\d+ to 0\.\d+\): try Rehearsal"):
        technique = All(training=Training(80, AdamW(5e-3)), head=None)
        made, found = adapted(technique, model, task, ledger=ledger)
    assert found.rows[0].after == score(task.others()["zero to four"], made) < 0.2
    (row,) = ledger.rows()
    assert row.scores_after["zero to four"] == found.rows[0].after


def test_a_head_of_its_own_costs_nothing():
    model, task = two_heads()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, found = adapted(
            Frozen(trained=LastLayers(1), training=Training(20, AdamW(1e-2))), model, task
        )
    assert found.rows[0].change == 0
    assert scores(task, made) == {"zero to four": found.rows[0].after}


def test_what_it_cannot_compare_is_refused():
    with pytest.raises(ValueError, match="no task: give those"):
        forgetting(constant(0), constant(1), {})
    with pytest.raises(ValueError, match="names no other tasks"):
        adapted(Prototypes(), nn.Flatten(), digits())
    with pytest.raises(ValueError, match="allowed=-1: give what may be lost"):
        adapted(Prototypes(), nn.Flatten(), one_head(), allowed=-1)
    with pytest.raises(TypeError, match="a task is needed"):
        Keeping(digits(), {"old": 3})  # type: ignore[dict-item]


def test_the_others_are_sealed_with_the_task():
    other = one_head().sealed().others()["zero to four"]
    with pytest.raises(SealedError):
        other.batches("test")
