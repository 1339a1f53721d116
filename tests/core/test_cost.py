"""Costs put together."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.core import Cost
from shoestring.core.resource import GETTING

values = st.one_of(st.none(), st.integers(0, 10**6))
costs = st.builds(Cost, **{f.name: values for f in fields(Cost)})


def test_nothing_is_measured_at_first():
    assert Cost().measured() == {} and all(getattr(Cost(), f.name) is None for f in fields(Cost))
    assert Cost(bytes=0, seconds=1.5).measured() == {"bytes": 0, "seconds": 1.5}
    with pytest.raises(FrozenInstanceError):
        Cost().bytes = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        Cost(3)  # type: ignore[misc]


def test_both_measurements_together():
    assert Cost(bytes=1, labels=2) | Cost(bytes=3, joules=4.0) == Cost(
        bytes=3, labels=2, joules=4.0
    )
    assert Cost(bytes=1) | Cost(bytes=0) == Cost(bytes=0)


def test_two_steps_one_after_the_other():
    first = Cost(labels=10, seconds=1.0, settings=2, bytes=500, milliseconds=3.0)
    second = Cost(labels=5, seconds=2.0, bytes=100, operations=7)
    assert first + second == Cost(
        labels=15, seconds=3.0, settings=2, bytes=100, milliseconds=3.0, operations=7
    )
    shared = Cost(person_seconds=60.0, training_operations=10**15, communicated_bytes=7)
    assert shared + shared + Cost(training_operations=1) == Cost(
        person_seconds=120.0, training_operations=2 * 10**15 + 1, communicated_bytes=14
    )


@given(costs, costs, costs)
def test_laws(a: Cost, b: Cost, c: Cost):
    assert a | Cost() == a == Cost() | a == a + Cost() == Cost() + a
    assert (a | b) | c == a | (b | c)
    assert (a + b) + c == a + (b + c)
    for name in GETTING:
        parts = [v for one in (a, b) if (v := getattr(one, name)) is not None]
        assert getattr(a + b, name) == (sum(parts) if parts else None)
