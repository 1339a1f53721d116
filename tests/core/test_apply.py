"""A row for every step, and the caller's dice left alone."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.core import (
    Cost,
    Ledger,
    Purchases,
    SealedError,
    Task,
    Technique,
    apply,
    chain,
    label_task,
    score,
    seeded,
    spend,
)

from .games import Nim, Shop, network


@dataclass(frozen=True, kw_only=True)
class Scale(Technique):
    """Multiplies the last layer's weights."""

    by: float = 1.0

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        scaled = network()
        scaled.load_state_dict(model.state_dict())
        with torch.no_grad():
            scaled[4].weight.mul_(self.by)  # type: ignore[index, union-attr]
        return scaled


@dataclass(frozen=True)
class Draw(Technique):
    """Notes what the dice give, and what the task is."""

    seen: list[Any]

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        self.seen.append((torch.rand(()).item(), np.random.rand(), random.random()))
        with pytest.raises(SealedError):
            task.batches("test")
        return model


@dataclass(frozen=True, kw_only=True)
class Noise(Technique):
    """Adds random numbers of three generators to the weights."""

    size: float = 1.0

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        noisy = network()
        noisy.load_state_dict(model.state_dict())
        with torch.no_grad():
            for weight in noisy.parameters():
                weight.add_(
                    self.size * (torch.randn_like(weight) + np.random.rand() + random.random())
                )
        return noisy


@dataclass(frozen=True, kw_only=True)
class Buy(Technique):
    """Buys labels, and fails after where asked to."""

    labels: int = 3
    fails: bool = False

    def __call__(self, model: nn.Module, task: Any) -> nn.Module:
        label_task(task).buy(range(self.labels))
        if self.fails:
            raise ZeroDivisionError("one by zero")
        return model


@dataclass(frozen=True, kw_only=True)
class Spend(Technique):
    """Says what it spent; None: nobody knows how much."""

    operations: tuple[int | None, ...] = ()
    fails: bool = False

    def __call__(self, model: nn.Module, task: Any) -> nn.Module:
        for amount in self.operations:
            spend("training_operations", amount)
        spend("person_seconds", 2.5)
        if self.fails:
            raise ZeroDivisionError
        return model


@dataclass(frozen=True)
class Count:
    """A meter that counts its own calls."""

    calls: list[Any]

    def __call__(self, subject: Any, task: Task) -> Cost:
        self.calls.append(subject)
        with pytest.raises(SealedError):
            task.batches("test")
        return Cost(bytes=100 - len(self.calls))


@dataclass(frozen=True)
class Dice:
    """A meter that draws random numbers."""

    def __call__(self, subject: Any, task: Task) -> Cost:
        return Cost(bytes=int(1000 * torch.rand(()).item()))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def test_a_row_for_each_step_of_a_chain(nim: Nim, beginner: nn.Module, ledger: Ledger):
    result = apply(
        chain(Scale(by=2.0), chain(Scale(), Scale(by=-1.0))), beginner, nim, ledger=ledger, seed=5
    )
    torch.testing.assert_close(result[4].weight, -2 * beginner[4].weight, rtol=0, atol=0)  # type: ignore[index, union-attr]
    rows = ledger.rows()
    assert [row.technique for row in rows] == ["Scale(by=2.0)", "Scale(by=1.0)", "Scale(by=-1.0)"]
    assert [(row.kind, row.seed, row.cost_after.settings) for row in rows] == [
        ("apply", 5, 1),
        ("apply", 5, 0),
        ("apply", 5, 1),
    ]
    assert rows[0].score_before == score(nim, beginner) and rows[2].score_after == score(
        nim, result
    )
    assert [row.score_after for row in rows[:-1]] == [row.score_before for row in rows[1:]]
    for row in rows:
        assert row.cost_after.labels is None and row.cost_before == Cost()
        assert (
            0 <= (row.cost_after.seconds or -1) < 60
            and (row.cost_after.processor_seconds or 0) >= 0
        )
    assert nim.test_reads == []


def test_without_a_ledger_nothing_is_weighed(nim: Nim, beginner: nn.Module):
    calls: list[Any] = []
    assert apply(chain(), beginner, nim, meters=[Count(calls)]) is beginner and calls == []
    with pytest.raises(ZeroDivisionError):
        apply(Buy(fails=True), beginner, Shop())


def test_the_empty_chain_writes_no_row(nim: Nim, beginner: nn.Module, ledger: Ledger):
    assert apply(chain(), beginner, nim, ledger=ledger) is beginner and ledger.rows() == []


def test_the_seed_is_fixed_and_the_callers_dice_left_alone(
    nim: Nim, beginner: nn.Module, ledger: Ledger
):
    seen: list[Any] = []
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]
    for seed, kept in ((0, None), (0, ledger), (1, None)):
        apply(Draw(seen), beginner, nim, seed=seed, ledger=kept)
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # type: ignore[arg-type]
    assert seen[0] == seen[1] != seen[2], "weighing uses none of the technique's dice"
    with seeded(0):
        assert seen[0] == (torch.rand(()).item(), np.random.rand(), random.random())


def test_a_chain_gives_what_its_steps_give_one_after_the_other(
    nim: Nim, beginner: nn.Module, ledger: Ledger
):
    first, second, third = Noise(), Noise(size=2.0), Noise(size=0.5)
    whole = apply(
        chain(first, second, third), beginner, nim, seed=3, ledger=ledger, meters=[Dice()]
    )
    prefix = apply(first, beginner, nim, seed=3)
    for made in (
        apply(third, apply(second, prefix, nim, seed=3), nim, seed=3),
        apply(chain(second, third), prefix, nim, seed=3),
        apply(chain(first, second, third), beginner, nim, seed=3),
    ):
        for ours, theirs in zip(made.parameters(), whole.parameters(), strict=True):
            assert torch.equal(ours, theirs)
    other = apply(chain(first, second, third), beginner, nim, seed=4)
    assert not torch.equal(other[0].weight, whole[0].weight)


def test_meters_weigh_before_and_after(nim: Nim, beginner: nn.Module, ledger: Ledger):
    calls: list[Any] = []
    result = apply(
        chain(Scale(by=2.0), Scale()), beginner, nim, meters=[Count(calls)], ledger=ledger
    )
    assert len(calls) == 3 and calls[0] is beginner and calls[2] is result
    assert [(row.cost_before.bytes, row.cost_after.bytes) for row in ledger.rows()] == [
        (99, 98),
        (98, 97),
    ]


def test_rows_say_their_run_and_what_they_continue(nim: Nim, beginner: nn.Module, ledger: Ledger):
    apply(chain(Scale(), Scale()), beginner, nim, ledger=ledger)
    apply(Scale(by=2.0), beginner, nim, ledger=ledger, run="abcd", parent=2, sha256="f" * 64)
    with pytest.raises(TypeError, match="has no labels that can be bought"):
        apply(
            chain(Scale(), Buy()),
            beginner,
            nim,
            ledger=ledger,
            run="abcd",
            parent=3,
            sha256="0" * 64,
        )
    rows = ledger.rows()
    assert [row.parent for row in rows] == [None, 1, 2, 3, 4] and [row.kind for row in rows][
        -1
    ] == "failed"
    assert rows[0].run == rows[1].run != "abcd" and {row.run for row in rows[2:]} == {"abcd"}
    assert [row.model for row in rows] == [None, None, "f" * 64, "0" * 64, None] and {
        row.task for row in rows
    } == {nim.name}


def test_labels_are_counted_step_by_step(beginner: nn.Module, ledger: Ledger):
    task = Shop(bought=(0,))
    apply(
        chain(Buy(labels=3), Buy(labels=3), Scale(), Buy(labels=5)), beginner, task, ledger=ledger
    )
    assert [row.cost_after.labels for row in ledger.rows()] == [2, 0, 0, 2]
    assert task.bought == (0,)


def test_a_later_step_has_what_an_earlier_one_bought_in_the_run(
    beginner: nn.Module, ledger: Ledger
):
    seen: list[Any] = []

    @dataclass(frozen=True)
    class Look(Technique):
        def __call__(self, model: Any, task: Any) -> Any:
            seen.append(tuple(task.known()))
            return model

    task, run = Shop(), Purchases()
    apply(chain(Look(), Buy(labels=3), Look()), beginner, task)
    apply(Buy(labels=2), beginner, task, purchases=run)
    apply(chain(Look(), Buy(labels=4)), beginner, task, purchases=run, ledger=ledger)
    chain(Buy(labels=3), Look())(beginner, task)
    assert seen == [(), (0, 1, 2), (0, 1), (0, 1, 2)] and run.indices == (0, 1, 2, 3)
    assert [row.cost_after.labels for row in ledger.rows()] == [0, 2]


def test_what_a_step_says_that_it_spent_is_in_its_row(
    nim: Nim, beginner: nn.Module, ledger: Ledger
):
    with pytest.raises(ZeroDivisionError):
        apply(
            chain(
                Spend(operations=(3, 4)), Scale(), Spend(operations=(3, None, 4)), Spend(fails=True)
            ),
            beginner,
            nim,
            ledger=ledger,
        )
    rows = ledger.rows()
    assert [row.cost_after.training_operations for row in rows] == [7, None, None, None]
    assert [row.cost_after.person_seconds for row in rows] == [2.5, None, 2.5, 2.5] and rows[
        -1
    ].kind == "failed"


def test_a_step_that_fails_leaves_a_row_and_raises(beginner: nn.Module, ledger: Ledger):
    task = Shop()
    with pytest.raises(ZeroDivisionError, match="one by zero"):
        apply(
            chain(Scale(by=2.0), Buy(labels=4, fails=True), Scale()),
            beginner,
            task,
            ledger=ledger,
            seed=2,
        )
    first, second = ledger.rows()
    assert (first.kind, second.kind) == ("apply", "failed")
    assert (
        second.technique == "Buy(labels=4, fails=True)"
        and second.note == "ZeroDivisionError: one by zero"
    )
    assert second.cost_after.labels == 4 and second.seed == 2 and second.score_after is None
    assert second.cost_after.settings == 2 and second.cost_after.seconds is not None


def test_an_interrupted_step_leaves_a_row_too(nim: Nim, beginner: nn.Module, ledger: Ledger):
    @dataclass(frozen=True)
    class Stop(Technique):
        def __call__(self, model: Any, task: Task) -> Any:
            time.sleep(0.02)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(Stop(), beginner, nim, ledger=ledger)
    (row,) = ledger.rows()
    assert (
        row.kind == "interrupted"
        and row.note.startswith("KeyboardInterrupt")
        and (row.cost_after.seconds or 0) >= 0.02
    )


def test_what_is_no_technique_fails_before_it_costs_anything(nim: Nim, beginner: nn.Module):
    ran = []

    class Plain(Technique):
        def __call__(self, model: Any, task: Task) -> Any:
            ran.append(model)
            return model

    with pytest.raises(TypeError):
        apply(Plain(), beginner, nim)
    assert ran == []
