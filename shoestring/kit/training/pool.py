"""The labels of a Supervised task: which examples have one, and which can be bought."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from shoestring.core.labels import LabelBudgetError, checked_indices

Answer = Callable[[Sequence[int]], Any] | Tensor | None
"""What labels the unlabelled examples.

A function `answer(indices)` that returns their labels in this order, or a tensor with all labels.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The examples of a task and their labels.

    Indices 0 to P-1 are the unlabelled examples; the ones that came with a label follow.

    `unlabelled`, `given`: the inputs of both, with the example along axis 0.
    `answer`: what labels the unlabelled examples; None: nothing.
    `limit`: how many labels may be bought in all; None for no limit.
    `targets`: the labels of the training examples, N×….
    `indices`: the indices of the training examples, N.
    `bought`: whether the label of each unlabelled example was bought, P.
    `weights`: of the training examples, N; None for 1 each.
    """

    unlabelled: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    answer: Answer
    limit: int | None
    targets: Tensor
    indices: Tensor
    bought: Tensor
    weights: Tensor | None = None
    _source: Any = None  # the unlabelled inputs as they were given: replace() hands them on
    _trained: tuple[Tensor, ...] = ()  # the inputs of the training split that a task has of it
    _answered: dict[int, Tensor] = field(default_factory=dict)
    """The labels that `answer` returned to this task and to tasks derived from it, by index."""

    @classmethod
    def of(
        cls,
        train: tuple[tuple[Tensor, ...], Tensor],
        unlabelled: Any,
        answer: Answer,
        limit: int | None,
    ) -> Pool:
        """The pool of a new task.

        `train`: (inputs, targets).
        `unlabelled`: inputs of the same shapes, but for axis 0; None for none.
        `answer`, `limit`: as in Pool.

        Raises ValueError for unlabelled inputs of other shapes or types than those of training, or
        with NaN;
        for another number of answers than of examples; and for a limit that is not an integer of 0
        or more.
        """
        given, targets = train
        inputs = tuple(one[:0] for one in given) if unlabelled is None else unlabelled
        inputs = tuple(map(torch.as_tensor, inputs if isinstance(inputs, tuple) else (inputs,)))
        shapes = [list(one.shape[1:]) for one in inputs], [list(one.shape[1:]) for one in given]
        if shapes[0] != shapes[1] or len({len(one) for one in inputs}) != 1:
            raise ValueError(
                f"the unlabelled inputs have shapes {[list(one.shape) for one in inputs]}, and "
                f"those to train on {[list(one.shape) for one in given]}: give as many, of the "
                "same lengths along all axes but the first"
            )
        kinds = [str(one.dtype) for one in inputs], [str(one.dtype) for one in given]
        if len(given[0]) and kinds[0] != kinds[1]:
            raise ValueError(
                f"the unlabelled inputs are {', '.join(kinds[0])}, and those to train on "
                f"{', '.join(kinds[1])}: give both in one type, such as by x.float()"
            )
        if any(one.is_floating_point() and not torch.isfinite(one).all() for one in inputs):
            raise ValueError("the unlabelled inputs hold NaN or infinity: clean the data first")
        count = len(inputs[0])
        _check_sale(answer, limit, count)
        return cls(
            unlabelled=inputs,
            given=given,
            answer=answer,
            limit=limit,
            targets=targets,
            indices=torch.arange(count, count + len(targets)),
            bought=torch.zeros(count, dtype=torch.bool),
            _source=unlabelled,
            _trained=given,
        )

    def handed_out(self) -> tuple[Pool, tuple[Tensor, ...]]:
        """The pool, and the inputs of its training examples, by which it knows a task of it."""
        inputs = self.inputs(self.indices)
        return replace(self, _trained=inputs), inputs

    def sold_by(self, answer: Answer, limit: int | None) -> Pool:
        """The same labels, sold from now on by another answer or under another limit.

        Returns itself where both are as they were. Raises ValueError as `of`.
        """
        if answer is self.answer and limit == self.limit:
            return self
        _check_sale(answer, limit, len(self.bought))
        answered = self._answered if answer is self.answer else {}
        return replace(self, answer=answer, limit=limit, _answered=answered)

    def is_of(self, unlabelled: Any, inputs: tuple[Tensor, ...], targets: Tensor) -> bool:
        """Whether it is of these unlabelled inputs, and of these inputs and labels to train on."""
        return (
            self._source is unlabelled
            and self.targets is targets
            and len(inputs) == len(self._trained)
            and all(one is other for one, other in zip(inputs, self._trained, strict=True))
        )

    def left(self) -> int | None:
        """How many more labels may be bought; None for all of them."""
        if self.answer is None:
            return 0
        return None if self.limit is None else self.limit - int(self.bought.sum())

    def inputs(self, indices: Any) -> tuple[Tensor, ...]:
        """The inputs at these indices, in this order."""
        chosen = torch.tensor(self._checked(indices), dtype=torch.long)
        count = len(self.bought)
        if not (chosen >= count).any():
            return tuple(one[chosen] for one in self.unlabelled)
        if not (chosen < count).any():
            return tuple(one[chosen - count] for one in self.given)
        return tuple(
            torch.cat(pair)[chosen] for pair in zip(self.unlabelled, self.given, strict=True)
        )

    def labels(self, indices: Any) -> Tensor:
        """The labels at these indices, in this order; raises ValueError where one has no label."""
        wanted = self._checked(indices)
        rows = {int(index): row for row, index in enumerate(self.indices)}
        if missing := [index for index in wanted if index not in rows]:
            raise ValueError(
                f"index {missing[0]} has no label: buy it, or ask for indices that known() has"
            )
        return self.targets[torch.tensor([rows[index] for index in wanted], dtype=torch.long)]

    def buy(self, indices: Any) -> Pool:
        """The pool with the labels at these indices too; a label is paid for once.

        Raises LabelBudgetError for more new labels than may be bought.
        """
        count = len(self.bought)
        fresh = [
            index
            for index in dict.fromkeys(self._checked(indices))
            if index < count and not self.bought[index]
        ]
        if not fresh:
            return self
        left = self.left()
        if left is not None and len(fresh) > left:
            why = (
                "there is nobody to ask (answer=None)"
                if self.answer is None
                else f"{left} more may be bought"
            )
            raise LabelBudgetError(f"{len(fresh)} labels were asked for, and {why}: ask for fewer")
        return self._with(fresh, self._answers(fresh))

    def recalled(self, indices: Any, labels: Any) -> Pool:
        """The pool with labels that an earlier run bought: they count, and nobody is asked.

        Raises ValueError for an index that is not for sale and for labels that do not fit.
        """
        wanted = self._checked(indices)
        if not wanted:
            return self
        if any(index >= len(self.bought) or self.bought[index] for index in wanted):
            raise ValueError(
                f"labels that were bought earlier are of the {len(self.bought)} examples of "
                "unlabelled=, each once: these are of others, or of some that are bought already"
            )
        return self._with(wanted, self._fitting(labels, wanted))

    def _with(self, fresh: list[int], answers: Tensor) -> Pool:
        """The pool with these labels bought."""
        chosen = torch.tensor(fresh, dtype=torch.long)
        # a label that was bought replaces any label that the example had
        others = ~torch.isin(self.indices, chosen)
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
            indices=torch.cat([self.indices[others], chosen]),
            bought=bought,
            weights=weights,
        )

    def with_labels(self, labels: Any, weights: Any, indices: Any) -> Pool:
        """The pool with exactly these labels.

        Raises ValueError for labels or weights that do not fit the indices.
        """
        chosen = (
            self.indices
            if indices is None
            else torch.tensor(self._checked(indices), dtype=torch.long)
        )
        labels = _as_labels(labels).clone()  # the caller may change its own tensor later
        if len(labels) != len(chosen) or len(chosen.unique()) < len(chosen):
            raise ValueError(
                f"there are {len(labels)} labels for {len(chosen)} indices: give one for each, and "
                "no index twice"
            )
        if weights is not None:
            weights = torch.as_tensor(weights, dtype=torch.float32).clone()
            if weights.shape != (len(chosen),) or not bool(
                (weights >= 0).all() and weights.isfinite().all()
            ):
                raise ValueError(
                    f"weights of shape {list(weights.shape)}: give one number, 0 or more, for each "
                    f"of {len(chosen)} labels"
                )
        return replace(self, targets=labels, indices=chosen, weights=weights)

    def _answers(self, indices: list[int]) -> Tensor:
        """The answers as targets; raises ValueError where they are not one label each."""
        if isinstance(self.answer, Tensor):
            return self._fitting(self.answer[torch.tensor(indices)], indices)
        assert self.answer is not None
        if unknown := [index for index in indices if index not in self._answered]:
            answers = self._fitting(self.answer(unknown), unknown)
            self._answered.update(zip(unknown, answers, strict=True))
        return torch.stack([self._answered[index] for index in indices])

    def _fitting(self, answers: Any, indices: list[int]) -> Tensor:
        labels = _as_labels(answers)
        if labels.shape != (len(indices), *self.targets.shape[1:]):
            raise ValueError(
                f"the answer to {len(indices)} indices has shape {list(labels.shape)}, and labels "
                f"{list(self.targets.shape)}: give one for each"
            )
        fitted = labels.to(self.targets.dtype)
        are_integers = not (self.targets.is_floating_point() or self.targets.is_complex())
        if are_integers and not torch.equal(fitted.to(labels.dtype), labels):
            raise ValueError(
                f"the answers are {labels.dtype}, and as the {self.targets.dtype} of the targets "
                "they would be other numbers: answer with labels of the targets' kind"
            )
        return fitted

    def _checked(self, indices: Any) -> list[int]:
        wanted, count = checked_indices(indices), len(self.bought) + len(self.given[0])
        if beyond := [index for index in wanted if index >= count]:
            raise ValueError(f"there is no index {beyond[0]}: the indices are 0 to {count - 1}")
        return wanted


def _as_labels(labels: Any) -> Tensor:
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"the labels are {reprlib.repr(labels)}, which are not numbers of one shape ({error}): "
            "give a number for each example, such as the index of its class, or masks of one size"
        ) from None
    if labels.is_floating_point() and not torch.isfinite(labels).all():
        raise ValueError("the labels hold NaN or infinity")
    is_integer = (
        not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
    )
    return labels.long() if is_integer else labels


def _check_sale(answer: Answer, limit: int | None, count: int) -> None:
    if isinstance(answer, Tensor) and len(answer) != count:
        raise ValueError(
            f"there are {len(answer)} answers for {count} unlabelled examples: give one for each"
        )
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ValueError(
            f"limit={limit!r}: give how many labels may be bought, an integer from 0 up, or None"
        )
