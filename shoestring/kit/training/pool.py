"""Which examples of a Supervised have a label, which can be bought, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from shoestring.core.labels import LabelBudgetError, checked_places

Answer = Callable[[Sequence[int]], Any] | Tensor | None
"""Who labels: `answer(places)` gives the labels of these unlabelled examples in this order.

A tensor has those of all of them.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The examples of a task.

    Places 0 to P-1 are the unlabelled ones, those after it the ones that came with a label.
    `unlabelled`, `given`: the inputs of both, axis 0 being the example.
    `targets`: the labels of the training examples, N×…; `places`, N: which examples these are.
        `bought`, P: whether a label was paid for. `weights`, N: of the training examples; None: 1
        each.
    """

    unlabelled: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    answer: Answer
    limit: int | None
    targets: Tensor
    places: Tensor
    bought: Tensor
    weights: Tensor | None = None
    _answered: dict[int, Tensor] = field(default_factory=dict)
    """What `answer` said, in this task and in those that came of it: nobody is asked twice."""

    @classmethod
    def of(
        cls,
        train: tuple[tuple[Tensor, ...], Tensor],
        unlabelled: Any,
        answer: Answer,
        limit: int | None,
    ) -> Pool:
        """The pool of a task as it is made.

        Raises ValueError for unlabelled inputs that are unlike those of training.
        """
        given, targets = train
        inputs = tuple(one[:0] for one in given) if unlabelled is None else unlabelled
        inputs = tuple(map(torch.as_tensor, inputs if isinstance(inputs, tuple) else (inputs,)))
        shapes = [list(one.shape[1:]) for one in inputs], [list(one.shape[1:]) for one in given]
        if shapes[0] != shapes[1] or len({len(one) for one in inputs}) != 1:
            raise ValueError(
                f"the unlabelled inputs have shapes {[list(one.shape) for one in inputs]}, and "
                "those to train on "
                f"{[list(one.shape) for one in given]}: give as many, of the same lengths along "
                "all axes but the first"
            )
        if any(one.is_floating_point() and not torch.isfinite(one).all() for one in inputs):
            raise ValueError("the unlabelled inputs hold NaN or infinity: clean the data first")
        count = len(inputs[0])
        if isinstance(answer, Tensor) and len(answer) != count:
            raise ValueError(
                f"there are {len(answer)} answers for {count} unlabelled examples: give one for "
                "each"
            )
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int) or limit < 0
        ):
            raise ValueError(
                f"limit={limit!r}: give how many labels may be bought, an integer from 0 up, or "
                "None"
            )
        return cls(
            unlabelled=inputs,
            given=given,
            answer=answer,
            limit=limit,
            targets=targets,
            places=torch.arange(count, count + len(targets)),
            bought=torch.zeros(count, dtype=torch.bool),
        )

    def left(self) -> int | None:
        """How many labels more may be bought; None: as many as there are."""
        if self.answer is None:
            return 0
        return None if self.limit is None else self.limit - int(self.bought.sum())

    def inputs(self, places: Any) -> tuple[Tensor, ...]:
        """The inputs of these places, in this order."""
        chosen = torch.tensor(self._checked(places), dtype=torch.long)
        count = len(self.bought)
        if not (chosen >= count).any():
            return tuple(one[chosen] for one in self.unlabelled)
        if not (chosen < count).any():
            return tuple(one[chosen - count] for one in self.given)
        return tuple(
            torch.cat(pair)[chosen] for pair in zip(self.unlabelled, self.given, strict=True)
        )

    def labels(self, places: Any) -> Tensor:
        """The labels of these places, in this order; raises ValueError for a place without one."""
        wanted = self._checked(places)
        where = {int(place): row for row, place in enumerate(self.places)}
        if missing := [place for place in wanted if place not in where]:
            raise ValueError(
                f"place {missing[0]} has no label: buy it, or ask for places that known() has"
            )
        return self.targets[torch.tensor([where[place] for place in wanted], dtype=torch.long)]

    def buy(self, places: Any) -> Pool:
        """With these labels too, each of which is paid for once."""
        count = len(self.bought)
        fresh = [
            one
            for one in dict.fromkeys(self._checked(places))
            if one < count and not self.bought[one]
        ]
        if not fresh:
            return self
        left = self.left()
        if left is not None and len(fresh) > left:
            nobody = (
                "there is nobody to ask (answer=None)"
                if self.answer is None
                else f"{left} more may be bought"
            )
            raise LabelBudgetError(
                f"{len(fresh)} labels were asked for, and {nobody}: ask for fewer"
            )
        answers = self._answers(fresh)
        chosen = torch.tensor(fresh, dtype=torch.long)
        others = ~torch.isin(
            self.places, chosen
        )  # an example that had some label gets the one that was paid for
        weights = (
            None
            if self.weights is None
            else torch.cat([self.weights[others], torch.ones(len(fresh))])
        )
        bought = self.bought.clone()
        bought[chosen] = True
        return replace(
            self,
            targets=torch.cat([self.targets[others], answers]),
            places=torch.cat([self.places[others], chosen]),
            bought=bought,
            weights=weights,
        )

    def with_labels(self, labels: Any, weights: Any, places: Any) -> Pool:
        """With these labels and no others."""
        chosen = (
            self.places if places is None else torch.tensor(self._checked(places), dtype=torch.long)
        )
        labels = _as_labels(labels).clone()  # the caller may go on changing what it gave
        if len(labels) != len(chosen) or len(chosen.unique()) < len(chosen):
            raise ValueError(
                f"there are {len(labels)} labels for {len(chosen)} places: give one for each, and "
                "no place twice"
            )
        if weights is not None:
            weights = torch.as_tensor(weights, dtype=torch.float32).clone()
            if weights.shape != (len(chosen),) or not bool(
                (weights >= 0).all() and weights.isfinite().all()
            ):
                raise ValueError(
                    f"weights of shape {list(weights.shape)}: give one number, 0 or more, for "
                    f"each of {len(chosen)} labels"
                )
        return replace(self, targets=labels, places=chosen, weights=weights)

    def _answers(self, places: list[int]) -> Tensor:
        """What is answered, as targets; raises ValueError where it is no label for each place."""
        if isinstance(self.answer, Tensor):
            return self._fitting(self.answer[torch.tensor(places)], places)
        assert self.answer is not None
        if unknown := [place for place in places if place not in self._answered]:
            told = self._fitting(self.answer(unknown), unknown)
            self._answered.update(zip(unknown, told, strict=True))
        return torch.stack([self._answered[place] for place in places])

    def _fitting(self, answers: Any, places: list[int]) -> Tensor:
        labels = _as_labels(answers)
        if labels.shape != (len(places), *self.targets.shape[1:]):
            raise ValueError(
                f"the answer to {len(places)} places has shape {list(labels.shape)}, and labels "
                f"{list(self.targets.shape)}: give one for each place"
            )
        return labels.to(self.targets.dtype)

    def _checked(self, places: Any) -> list[int]:
        wanted, count = checked_places(places), len(self.bought) + len(self.given[0])
        if beyond := [one for one in wanted if one >= count]:
            raise ValueError(f"there is no place {beyond[0]}: the places are 0 to {count - 1}")
        return wanted


def _as_labels(labels: Any) -> Tensor:
    labels = torch.as_tensor(labels)
    if labels.is_floating_point() and not torch.isfinite(labels).all():
        raise ValueError("the labels hold NaN or infinity")
    whole = (
        not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
    )
    return labels.long() if whole else labels
