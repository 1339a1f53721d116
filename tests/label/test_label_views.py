"""What wraps a task that sells labels takes back what it sold, as the task itself does."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import shoestring
from shoestring.core import Purchases, Task, View, label_task, seeded
from shoestring.core.labels import LabelTask
from shoestring.kit import Supervised
from shoestring.label import Regions


def pictures(known: int = 2, **settings: Any) -> Supervised:
    """A task with pictures of 8×8 pixels, each with a class."""
    with seeded(0):
        inputs = torch.rand(8, 1, 8, 8)
    masks = (inputs[:, 0] > 0.5).long()
    count = len(inputs) - known
    return Supervised(
        train=(inputs[count:], masks[count:]),
        unlabelled=inputs[:count],
        validation=(inputs, masks),
        test=(inputs, masks),
        merit=lambda outputs, targets: (outputs.argmax(1) == targets).mean((1, 2)),
        **{"answer": masks[:count], **settings},
    )


def regions(**settings: Any) -> Regions:
    whole = pictures(answer=None)
    answers = (whole.unlabelled[:, 0] > 0.5).long()  # type: ignore[index]
    return Regions(task=whole, side=4, **{"answer": answers, **settings})


TASKS: dict[str, Callable[[], Task]] = {
    "supervised": pictures,
    "regions": regions,
    "regions of known pictures": lambda: regions(limit=20),
}
VIEWS: dict[str, Callable[[Task], Task]] = {
    "itself": lambda task: task,
    "sealed": lambda task: task.sealed(),
    "taught": lambda task: task.taught_by(nn.Conv2d(1, 2, 1)),
    "sealed and taught": lambda task: task.sealed().taught_by(nn.Conv2d(1, 2, 1)).sealed(),
    "counted": lambda task: Purchases().counted(task),
    "sampled": lambda task: task.sampled(3, 0),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
@pytest.mark.parametrize("made", TASKS.values(), ids=list(TASKS))
def test_labels_that_were_sold_are_taken_back(
    made: Callable[[], Task], view: Callable[[Task], Task]
):
    sold = label_task(view(made()))
    chosen = np.asarray(sold.pool())[[-1, 0]]  # no index of the pictures, where these are tiles
    bought = sold.buy(chosen)
    again = label_task(view(made())).recalled(chosen, bought.labels(chosen))
    assert type(again) is type(bought)
    for part in ("pool", "known"):
        assert list(getattr(again, part)()) == list(getattr(bought, part)()), part
    assert again.left() == bought.left()
    assert torch.equal(again.labels(again.known()), bought.labels(bought.known()))
    for one, other in zip(*(trained(task) for task in (again, bought)), strict=True):
        assert torch.equal(one, other)
    assert list(sold.recalled([], []).known()) == list(sold.known())
    with pytest.raises(ValueError, match="there is no index"):
        sold.recalled([10_000], bought.labels(chosen)[:1])


def trained(task: LabelTask) -> list[torch.Tensor]:
    """The targets of a pass over the training data."""
    with seeded(3):
        return [batch[1] for batch in task.batches("train")]


def test_a_view_that_sells_by_itself_takes_back_by_itself():
    for module in pkgutil.walk_packages(shoestring.__path__, "shoestring."):
        if module.name.startswith(("shoestring.core", "shoestring.label", "shoestring.plan")):
            importlib.import_module(module.name)
    ours = [one for one in View.__subclasses__() if one.__module__.startswith("shoestring.")]
    assert Regions in ours
    for one in ours:
        if "buy" in vars(one) and one.__name__ != "_Rehearsal":  # which never sells
            assert "recalled" in vars(one), f"{one.__name__} sells, and takes nothing back"
