"""Few examples of new classes for a network that knows other ones, and the curves of its labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from shoestring import kit
from shoestring.adapt import Entry, Episodes, Frozen, Keeping, ModelOutputs, NewHead, shared_body
from shoestring.core import Stage, Task, Technique, seeded
from shoestring.core.curve import Curve, Run, curve
from shoestring.kit import AdamW, Supervised, Training
from shoestring.models import Conv4, DigitsLeNet
from shoestring.recipes.one_picture_each import few_pictures
from shoestring.tasks import digits, omniglot_small
from shoestring.tasks.fetch import present
from shoestring.tasks.omniglot import SMALL

OLD, NEW = range(5), range(5, 10)
_SEEDS = (0, 1, 2)


def some_digits(classes: Sequence[int], *, first: int = 0) -> Supervised:
    """The digits of some classes; `first` is what the first of them is called."""
    whole, kept = digits(batch_size=32), torch.tensor(list(classes))

    def split(given: object) -> tuple[Tensor, Tensor]:
        images, labels = given  # type: ignore[misc]
        rows = torch.isin(labels, kept)
        return images[rows], labels[rows] - classes[0] + first

    return replace(
        whole,
        train=split(whole.train),
        validation=split(whole.validation),
        test=split(whole.test),
        name=f"digits {classes[0]} to {classes[-1]}",
    )


@cache
def two_heads() -> tuple[nn.Module, Keeping]:
    """A model that knows the digits 0 to 4 by its entry `old`, and is to learn 5 to 9 as `new`."""
    with seeded(0):
        body = nn.Sequential(*list(DigitsLeNet().layers)[:-1])
        model = shared_body(body, {"old": nn.Linear(128, 5), "new": nn.Linear(128, 5)})
        old = Entry(some_digits(OLD), "old")
        kit.train(model, old, Training(150, AdamW(3e-3)))
    return model, Keeping(Entry(some_digits(NEW), "new"), {"zero to four": old})


def one_head() -> Keeping:
    """The digits 5 to 9 as a task that is not to cost the digits 0 to 4, of one network for all."""
    return Keeping(some_digits(NEW, first=5), {"zero to four": some_digits(OLD)})


AFTER = NewHead(ModelOutputs())


@dataclass(frozen=True, kw_only=True)
class All(Technique):
    """The cheapest honest baseline: a linear head on the same body, and all weights are trained."""

    stage: ClassVar = Stage.LABELS

    training: Training = Training(150, AdamW(5e-3))
    head: NewHead | None = AFTER
    """None: the model has a head for these classes."""

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        if self.head is None:
            return kit.train(kit.clone(model), task, self.training)
        made = Frozen(trained=self.head, training=Training(0))(model, task)
        return kit.train(made, task, self.training)


@cache
def knows_characters() -> nn.Module:
    """A small network that learnt by episodes to tell the characters of three alphabets apart."""
    known = omniglot_small((1,)).of("Korean", "Latin", "Early_Aramaic")
    checked = omniglot_small((1,)).of("Greek")
    task = Episodes(
        train=(known.pictures, known.labels),
        validation=(checked.pictures, checked.labels + len(known.alphabets)),
        queries=3,
    )
    with seeded(0):
        return kit.train(Conv4(width=32), task, Training(250, AdamW(5e-3)))


def few_curves(technique: Technique) -> tuple[Curve, Curve]:
    """Curves of labels on the 24 characters of another alphabet: the technique's, and that of All.

    Both begin with the same body. Skips the test where Omniglot is not here.
    """
    if any(present(source) is None for source in SMALL.values()):
        pytest.skip(
            "Omniglot is not here: set SHOESTRING_DATA to a folder that holds omniglot/*.zip, or "
            "run shoestring.tasks.omniglot_small() once where there is a network"
        )
    new = omniglot_small((1,)).of("Balinese")

    def runs(one: Technique, points: Sequence[int]) -> Curve:
        def made(seed: int) -> Iterator[Run]:
            for each in points:
                yield one, knows_characters(), few_pictures(new, each, seed)

        return curve(made, resource="labels", seeds=_SEEDS, split="test")

    return runs(replace(technique, features=ModelOutputs()), (1, 2, 3)), runs(All(), (1, 2, 4))  # type: ignore[type-var]
