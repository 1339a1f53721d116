"""Labels of a task of two directions: those of its forward direction, bought for both."""

from __future__ import annotations

import pytest
import torch
from made_duals import Readers, pictures_and_labels
from made_spelling import spelling

from shoestring.core import Purchases, label_task, seeded
from shoestring.dual import BackTranslation
from shoestring.kit import AdamW, Training


def test_labels_that_are_bought_are_pairs_of_both_directions():
    task = pictures_and_labels(40)
    selling = label_task(task)
    chosen = selling.pool()[:3]
    bought = selling.buy(chosen)
    rows = torch.cat([source for source, _ in bought.batches("train")])
    assert len(rows) == 43 and len(selling.known()) == 40 and len(bought.known()) == 43
    assert set(chosen) <= set(bought.known()) and not set(chosen) & set(bought.pool())
    with seeded(0):
        model = Readers()
    outputs = selling.outputs(model, selling.inputs(chosen))
    assert torch.equal(outputs, model["read"].eval()(selling.inputs(chosen)[0]))
    losses = bought.losses(outputs, bought.labels(chosen))
    assert losses.shape == (3,) and bool((losses > 0).all())
    again = task.recalled(chosen, bought.labels(chosen))
    assert again.known().tolist() == bought.known().tolist()
    wrong = bought.with_labels((bought.labels(chosen) + 1) % 10, indices=chosen)
    assert wrong.known().tolist() == list(chosen)


def test_a_run_counts_them_and_the_techniques_go_on():
    task = pictures_and_labels(40)
    purchases = Purchases(most=5)
    counted = purchases.counted(task)
    some = label_task(counted).pool()[:2]
    bought = label_task(counted).buy(some)
    assert purchases.indices == tuple(int(one) for one in some)
    with seeded(0):
        result = BackTranslation(training=Training(2, AdamW(1e-3)))(Readers(), bought)
    assert all(torch.isfinite(one).all() for one in result.parameters())


def test_what_cannot_be_is_refused():
    task = pictures_and_labels(40)
    known = task.known()
    with pytest.raises(ValueError, match="weights of examples do not reach the two directions"):
        task.with_labels(task.labels(known), weights=torch.ones(len(known)))
    assert spelling().labelled() is None
    with pytest.raises(TypeError, match="no labels that can be bought or changed"):
        label_task(spelling())
