"""Pseudo-labels: which examples get one, and what weighs how much."""

from __future__ import annotations

import pytest
import torch
from label_pools import Echo

from shoestring.kit import Supervised
from shoestring.unlabelled import PseudoLabel
from shoestring.unlabelled.material import material


def of_logits() -> Supervised:
    """Three labelled examples, and four of which a network says what is written in them."""
    given = torch.eye(3)
    free = torch.tensor([[9.0, 0, 0], [0.5, 0, 0], [0, 0, 9.0], [0, 0.4, 0.3]])
    return Supervised(
        train=(given, torch.arange(3)), validation=(given, torch.arange(3)), unlabelled=free
    )


def test_only_what_is_sure_gets_a_label():
    task = of_logits()
    given = material(Echo(3), task, torch.clone, torch.clone)
    made = PseudoLabel(weight=0.5, confidence=0.9)._labelled(Echo(3), given)
    assert made is not None
    labelled = made.labelled()
    assert labelled is not None
    assert labelled.known().tolist() == [4, 5, 6, 0, 2]
    assert labelled.labels([0, 2]).tolist() == [0, 2]
    (batch,) = made.batches("train")
    assert sorted(batch[2].tolist()) == [0.5, 0.5, 1.0, 1.0, 1.0]
    assert PseudoLabel(confidence=1.0)._labelled(Echo(3), given) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"rounds": 0}, "number of rounds is 0"), ({"confidence": -1}, "the confidence is -1")],
)
def test_settings_out_of_range(settings: dict, says: str):
    with pytest.raises(ValueError, match=says):
        PseudoLabel(**settings)
