"""Labels are bought of tasks that do not change, and a run counts each once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.core import (
    LabelBudgetError,
    LabelTask,
    Purchases,
    SealedError,
    Task,
    View,
    label_task,
)

from .games import Nim, Shop


def counted(task: Task) -> tuple[Any, Purchases]:
    run = Purchases()
    return run.counted(task), run


def test_a_task_says_whether_it_has_labels_for_sale():
    shop = Shop()
    assert shop.labelled() is shop is label_task(shop) and Nim().labelled() is None
    sealed = shop.sealed()
    assert sealed.labelled() is sealed and Nim().sealed().labelled() is None
    assert Nim().taught_by(nn.Linear(2, 2)).sealed().labelled() is None
    for game in (Nim(), Nim().sealed(), Nim().taught_by(nn.Linear(2, 2))):
        with pytest.raises(
            TypeError, match="has no labels that can be bought or changed: give a Supervised"
        ):
            label_task(game)
    with pytest.raises(TypeError, match="has no labels"):
        Nim().sealed().buy([1])  # type: ignore[attr-defined]

    class Half(Nim, LabelTask):
        def pool(self) -> list[int]:
            return []

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_a_task_without_labels_for_sale_is_handed_on_as_it_is():
    for task in (Nim(), Nim().sealed(), Shop(limit=0), Shop(bought=tuple(range(100)))):
        run = Purchases()
        assert run.counted(task) is task and not run.sells


def test_each_label_is_counted_once_and_the_task_is_what_it_was():
    shop = Shop()
    task, run = counted(shop)
    first, second = task.buy([3, 1, 3]), task.buy(torch.tensor([1, 2]))
    assert (
        first.known() == [3, 1]
        and second.known() == [1, 2]
        and task.known() == []
        and shop.bought == ()
    )
    assert run.indices == (1, 2, 3) and len(run) == 3 and run.sells
    assert first.buy(np.array([0, 3])).known() == [3, 1, 0] and len(run) == 4
    assert task.buy([]).known() == [] and len(run) == 4


@pytest.mark.parametrize(
    "seen",
    [
        lambda task: task,
        lambda task: task.sealed(),
        lambda task: task.taught_by(nn.Linear(2, 2)),
        lambda task: task.sealed().taught_by(nn.Linear(2, 2)).sealed(),
        lambda task: task.sampled(3, 0),
        lambda task: task.with_labels([], indices=()),
        lambda task: task.sealed().labelled(),
        copy.copy,
        copy.deepcopy,
    ],
    ids=[
        "itself",
        "sealed",
        "taught",
        "all of them",
        "sampled",
        "with labels",
        "labelled",
        "copy",
        "deepcopy",
    ],
)
@pytest.mark.parametrize(
    "inner",
    [Shop, lambda: Shop().sealed(), lambda: Shop().taught_by(nn.Linear(2, 2))],
    ids=["", "of sealed", "of taught"],
)
def test_purchases_are_counted_through_every_view(
    seen: Callable[[Any], Any], inner: Callable[[], Any]
):
    task, run = counted(inner())
    view = seen(task)
    bought = view.buy([4, 5])
    assert type(bought) is type(view) and bought.known() == [4, 5] and run.indices == (4, 5)
    bought.buy([5, 6])
    assert run.indices == (4, 5, 6)


def test_purchases_of_tasks_that_a_method_makes_are_counted():
    class Maker(Shop):
        def other(self) -> Shop:
            return Shop()

    for task in (Maker(), Maker().sealed()):
        handed, run = counted(task)
        handed.other().buy([7])
        handed.sealed().other().buy([8])
        assert run.indices == (7, 8)
    with pytest.raises(SealedError):
        Maker().taught_by(nn.Linear(2, 2)).sealed().other().batches("test")  # type: ignore[attr-defined]


def test_a_view_of_a_label_task_has_its_teacher_still():
    teacher = nn.Linear(2, 2)
    task: Any = Shop().taught_by(teacher)
    assert (
        isinstance(task, View) and task.buy([1]).teacher is teacher and task.buy([1]).known() == [1]
    )


def test_past_the_limit_nothing_is_bought():
    asked: list[Any] = []
    task, run = counted(Shop(limit=3, answer=asked.append))  # type: ignore[arg-type]
    first = task.buy([0, 1])
    with pytest.raises(
        LabelBudgetError, match="4 labels in all were asked for and 3 may be bought: ask for fewer"
    ):
        first.buy([1, 2, 3])
    with pytest.raises(LabelBudgetError, match="4 labels in all"):
        task.buy([2, 3])  # the task itself has bought nothing, and the run has
    assert run.indices == (0, 1) and asked == [[0, 1]]
    assert first.buy([1, 2]).known() == [0, 1, 2] and run.indices == (0, 1, 2)


def test_the_limit_of_a_run_holds_for_its_later_tasks():
    run, shop = Purchases(), Shop(limit=3)
    run.counted(shop).buy([0, 1])  # type: ignore[attr-defined]
    later: Any = run.counted(shop)
    assert later.known() == [0, 1]
    with pytest.raises(LabelBudgetError):
        later.buy([2, 3])
    grown: Any = run.counted(shop.buy([0, 1]))
    assert grown.buy([2]).known() == [0, 1, 2] and len(run) == 3


@pytest.mark.parametrize(
    "indices",
    [
        [True, False],
        np.array([True, False]),
        torch.tensor([False, True]),
        [-1],
        np.array([2, -3]),
        torch.tensor([-1]),
        [1.5],
        [2.0],
        torch.tensor([1.0]),
        ["3"],
        [None],
    ],
)
def test_labels_are_bought_by_integers(indices: Any):
    task, run = counted(Shop())
    with pytest.raises(ValueError, match=r"labels have indices, integers from 0 up: .* is none"):
        task.buy(indices)
    assert len(run) == 0


def test_what_was_not_delivered_is_not_paid_for():
    def fail(indices: Any) -> Any:
        raise ConnectionError("nobody there")

    task, run = counted(Shop(answer=fail))
    with pytest.raises(ConnectionError):
        task.buy([1, 2])
    assert len(run) == 0
