"""Distances by hand: what each kind of output costs, and what it does not."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from shoestring.core.kinds import (
    BinaryLogits,
    BinaryProbabilities,
    Boxes,
    ClassLogits,
    Directions,
    NotTaught,
    Numbers,
    Probabilities,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_classes_along_the_last_axis_are_what_they_always_were():
    ours, theirs, t = random(5, 7), random(5, 7, seed=1), 3.0
    p, q = functional.log_softmax(theirs / t, -1), functional.log_softmax(ours / t, -1)
    assert (
        ClassLogits().apart(ours, theirs, t)
        == ClassLogits(-1).apart(ours, theirs, t)
        == (p.exp() * (p - q)).sum(-1).mean() * t * t
    )


def test_classes_of_pixels_lie_along_axis_1():
    ours, theirs = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    rows = [one.permute(0, 2, 3, 1).reshape(-1, 3) for one in (ours, theirs)]
    torch.testing.assert_close(
        ClassLogits(1).apart(ours, theirs, 3.0), ClassLogits(1).apart(*rows, 3.0)
    )
    assert ClassLogits(1).apart(theirs + random(2, 1, 4, 5), theirs, 3.0) < 1e-6, (
        "an offset of all classes means nothing"
    )
    assert ClassLogits(-1).apart(theirs + random(2, 1, 4, 5), theirs, 3.0) > 0.1, (
        "the last axis is that of the columns"
    )


def test_yes_or_no_is_a_choice_of_two():
    ours, theirs = random(6, 4), random(6, 4, seed=1)
    pairs = [torch.stack([torch.zeros_like(one), one], -1) for one in (ours, theirs)]
    for t in (1.0, 3.0):
        torch.testing.assert_close(
            BinaryLogits().apart(ours, theirs, t), ClassLogits(-1).apart(*pairs, t)
        )
    # Sure of 3/4 where the model says 1/2: 3/4 log(3/2) + 1/4 log(1/2).
    by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert BinaryLogits().apart(
        torch.zeros(1), torch.tensor([math.log(3)]), 1.0
    ).item() == pytest.approx(by_hand, rel=1e-5)
    assert BinaryProbabilities().apart(
        torch.tensor([0.5]), torch.tensor([0.75]), 1.0
    ).item() == pytest.approx(by_hand, rel=1e-5)


def test_probabilities_are_compared_as_their_logits_are():
    ours, theirs = random(6, 4), random(6, 4, seed=1)
    torch.testing.assert_close(
        Probabilities().apart(ours.softmax(1), theirs.softmax(1), 3.0),
        ClassLogits().apart(ours, theirs, 3.0),
    )
    torch.testing.assert_close(
        BinaryProbabilities().apart(ours.sigmoid(), theirs.sigmoid(), 3.0),
        BinaryLogits().apart(ours, theirs, 3.0),
    )
    sure = torch.tensor([[1.0, 0.0]], requires_grad=True)
    for kind in (Probabilities(), BinaryProbabilities()):
        apart = kind.apart(sure, torch.tensor([[0.0, 1.0]]), 3.0)
        apart.backward()
        assert (
            apart > 1 and apart.isfinite() and sure.grad is not None and sure.grad.isfinite().all()
        )


def test_an_offset_of_numbers_costs_and_their_unit_does_not():
    theirs = torch.stack(
        [torch.arange(100.0), 1e-6 * torch.arange(100.0), 1e3 + torch.arange(100.0)], 1
    )
    deviation = theirs.std(0, correction=0)
    for kind in (Numbers(), Boxes()):
        assert kind.apart(theirs, theirs, 3.0) == 0
        # Half a standard deviation too much in every column.
        assert kind.apart(theirs + deviation / 2, theirs, 3.0).item() == pytest.approx(
            0.25, rel=0.01
        )
    assert Numbers().apart(theirs.mean(0).expand(100, 3), theirs, 3.0).item() == pytest.approx(
        1, rel=0.01
    )


@pytest.mark.parametrize("shape", [(16, 3), (16, 3, 5, 5), (16, 9, 3)])
def test_each_column_has_its_own_unit(shape: tuple[int, ...]):
    ours, theirs = random(*shape), random(*shape, seed=1)
    unit = torch.tensor([1.0, 1e3, 1e-3])
    unit = unit.view(1, 3, 1, 1) if len(shape) == 4 else unit
    torch.testing.assert_close(
        Numbers().apart(ours * unit, theirs * unit, 3.0),
        Numbers().apart(ours, theirs, 3.0),
        rtol=1e-3,
        atol=0,
    )


def test_a_constant_column_does_not_drown_one_that_is_all_wrong():
    varying = random(100, 1)
    theirs = torch.cat([torch.full((100, 1), 50.0), varying], 1)
    near, wrong = theirs.clone(), theirs.clone()
    near[:, 0] *= 1.01
    wrong[:, 1] = random(100, seed=1)
    # A hundredth off where a hundredth is the unit: 1, of two columns the half. One that has
    # nothing to do with it: 2, the half.
    assert Numbers().apart(near, theirs, 3.0).item() == pytest.approx(0.5, rel=0.01)
    assert Numbers().apart(wrong, theirs, 3.0).item() == pytest.approx(1, rel=0.3)


def test_columns_lie_where_it_is_said():
    ours, theirs, unit = (
        random(16, 3, 9),
        random(16, 3, 9, seed=1),
        torch.tensor([1.0, 1e3, 1e-3]).view(1, 3, 1),
    )
    for kind, same in ((Numbers(axis=1), True), (Numbers(), False)):
        apart = kind.apart(ours * unit, theirs * unit, 3.0), kind.apart(ours, theirs, 3.0)
        assert (abs(apart[0] / apart[1] - 1) < 1e-3) == same
    assert str(Numbers(axis=1)) == "numbers in columns along axis 1" and str(Numbers()) == "numbers"
    sides = torch.tensor([1.0, 1e3, 1e-3, 1.0])  # of boxes N×A×B×4 the last axis
    ours, theirs = random(16, 3, 2, 4), random(16, 3, 2, 4, seed=1)
    torch.testing.assert_close(
        Boxes().apart(ours * sides, theirs * sides, 3.0),
        Boxes().apart(ours, theirs, 3.0),
        rtol=1e-3,
        atol=0,
    )


def test_what_a_distance_of_1_is():
    theirs = random(1000, 6)
    assert Numbers().apart(theirs.mean(0).expand(1000, 6), theirs, 3.0).item() == pytest.approx(
        1, rel=0.01
    )
    assert Directions().apart(
        torch.tensor([[1.0, 0]]), torch.tensor([[0, 2.0]]), 3.0
    ).item() == pytest.approx(1)
    for sure in (1, 10, 100):  # of classes it is what it is
        equal, teacher = torch.zeros(10, 2), torch.tensor([[sure / 2, -sure / 2]]).expand(10, 2)
        p = 1 / (1 + math.exp(-sure / 3))
        by_hand = 9 * sum(q * math.log(2 * q) for q in (p, 1 - p) if q > 1e-12)
        assert ClassLogits().apart(equal, teacher, 3.0).item() == pytest.approx(by_hand, rel=1e-4)


def test_constant_and_empty_numbers_give_no_nan():
    theirs = torch.stack([torch.zeros(10), torch.arange(10.0)], 1)
    assert (
        Numbers().apart(theirs, theirs, 3.0) == 0
        and Numbers().apart(theirs + 1, theirs, 3.0).isfinite()
    )
    assert Numbers().apart(torch.ones(10, 2), torch.zeros(10, 2), 3.0) == 1
    assert Numbers().apart(torch.ones(1, 2), torch.full((1, 2), 2.0), 3.0) == 0.25, (
        "of one example, the mean square"
    )


def test_directions_have_no_length():
    ours, theirs = random(6, 4), random(6, 4, seed=1)
    assert Directions().apart(5 * theirs, theirs, 3.0).abs() < 1e-6 and Directions().apart(
        -theirs, theirs, 3.0
    ) == pytest.approx(2)
    cosines = functional.normalize(ours) * functional.normalize(theirs)
    torch.testing.assert_close(Directions().apart(ours, theirs, 3.0), 1 - cosines.sum(1).mean())


def test_nothing_to_teach_costs_nothing():
    assert NotTaught().apart(random(3), random(3, seed=1), 3.0) == 0
