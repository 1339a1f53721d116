"""Knobs: what is turned, and that every training sees as many examples."""

from __future__ import annotations

import math
from typing import Any

import pytest
from zoo import classified

from shoestring.kit import LARS, SGD, Adagrad, AdamW, Clipped, Constant, Cosine, Training, Unclipped
from shoestring.search import Knobs
from shoestring.search.knobs import batch_size


class Ends:
    """Picks the lowest or the highest of everything, and notes what it was asked."""

    def __init__(self, end: int) -> None:
        self.end, self.asked = end, dict[str, Any]()

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        assert log
        self.asked[name] = low, high
        return (low, high)[self.end]

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked[name] = choices
        return choices[self.end]


def test_both_ends_by_hand():
    task = classified((3,))
    size = batch_size(task)
    assert size is not None
    low, high = Ends(0), Ends(-1)
    assert Knobs().turned(low, size, 100).training == Training(
        200, AdamW(3.333e-5, weight_decay=1e-3), Cosine()
    )
    chosen = Knobs().turned(high, size, 100)
    assert chosen.training == Training(50, Adagrad(3.0), Constant(), clipping=Clipped(0.1))
    assert chosen.batch_size == 2 * size and batch_size(chosen.task(task)) == 2 * size
    assert list(low.asked) == [
        "optimizer",
        "AdamW: learning rate",
        "AdamW: weight decay",
        "batch size",
        "schedule",
        "clipping",
    ]
    assert low.asked["optimizer"] == ("AdamW", "Adagrad")


def test_a_task_without_a_batch_size_and_knobs_of_one_value():
    one = Knobs(
        optimizers=(AdamW(1e-2),),
        rate_factor=1.0,
        weight_decays=(0.1, 0.1),
        schedules=(Constant(),),
        clippings=(Unclipped(),),
    )
    fixed, by = classified((3,)).sealed(), Ends(0)  # a view has no field of its own
    assert batch_size(fixed) is None
    assert one.names(None) == () and one.names(8) == ("batch size",)
    chosen = one.turned(by, None, 70)
    assert chosen.training == Training(70, AdamW(1e-2, weight_decay=0.1), Constant())
    assert chosen.batch_size is None and chosen.task(fixed) is fixed and not by.asked
    assert len(Knobs().names(8)) == 6
    assert "weight decay" not in Knobs(optimizers=(Adagrad(),)).names(8)


def test_optimizers_for_large_batches_keep_what_is_not_turned():
    knobs = Knobs(optimizers=(LARS(0.3, trust=0.01, weight_decay=0.1), SGD(0.1, momentum=0.5)))
    for end, wanted in (
        (0, LARS(0.01, trust=0.01, weight_decay=0.1)),
        (-1, SGD(3.0, momentum=0.5)),
    ):
        assert knobs.turned(Ends(end), None, 70).training.optimizer == wanted


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizers": ()}, r"optimizers=\(\): give one value or more"),
        ({"optimizers": (AdamW(), AdamW(1e-2))}, "at most one of each kind"),
        ({"weight_decays": (0.0, 1.0)}, "two decays above 0"),
        ({"weight_decays": (1.0, 0.1)}, "the lower one first"),
        ({"rate_factor": 0.5}, "a factor of 1 or more"),
        ({"rate_factor": math.nan}, "a factor of 1 or more"),
        ({"batch_sizes": (1.0, -1.0)}, "multiples above 0"),
    ],
)
def test_bad_input(settings: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        Knobs(**settings)
