"""The dual protocol, and a task of two directions that are trained together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor

from shoestring.core import LabelTask, Predict, Task, label_task
from shoestring.core.entries import Call
from shoestring.core.task import asked
from shoestring.dual.directions import Direction
from shoestring.dual.marginals import Marginals


@runtime_checkable
class Dual(Protocol):
    """Two directions that undo one another, and how likely each side is by itself.

    A task that has these attributes can be given to the techniques of this room; views (sealed,
    taught) pass them on. Its training batches are pairs of tensors, a source and a target of each
    example, and its model is one module with a part for each direction.

    `forward`: from the source to the target.
    `backward`: from the target to the source.
    `marginals`: of both sides.
    `sources`, `targets`: examples of a side alone, as batches; each time they are iterated is a new
        pass, whose order is drawn from torch's generator. Empty where there are none.
    """

    @property
    def forward(self) -> Direction: ...
    @property
    def backward(self) -> Direction: ...
    @property
    def marginals(self) -> Marginals: ...
    @property
    def sources(self) -> Iterable[Tensor]: ...
    @property
    def targets(self) -> Iterable[Tensor]: ...


_ATTRIBUTES = ("forward", "backward", "marginals", "sources", "targets")


def dual_of(task: Any) -> Any:
    """The task, checked: raises TypeError for one without two directions."""
    try:
        found = {name: getattr(task, name) for name in _ATTRIBUTES}
    except AttributeError as error:
        raise TypeError(
            f"{getattr(task, 'name', '') or type(task).__name__} has one direction only ({error}): "
            "give a dual.DualTask, or a task with forward, backward, marginals, sources and targets"
        ) from None
    if not all(isinstance(found[name], Direction) for name in _ATTRIBUTES[:2]):
        raise TypeError(
            f"forward is {type(found['forward']).__name__} and backward "
            f"{type(found['backward']).__name__}: give directions, such as Sequences(...)"
        )
    return task


def _as_it_is(batch: Any) -> tuple[Tensor, Tensor]:
    source, target = batch
    return source, target


@dataclass(frozen=True, kw_only=True, eq=False)
class DualTask(Task):
    """Two tasks on the same pairs, of which one goes back: their losses are added.

    `ahead`: a task of the forward direction, whose training batches become pairs by `pair`. Its
        score is of `forward.of(predict)`.
    `back`: a task of the backward direction, for its score and example.
    `forward`, `backward`, `marginals`, `sources`, `targets`: as `Dual` has them.
    `pair`: makes a source and a target of a batch of `ahead`, tensors with N rows each.
    `shares`: of the scores of both directions in the score; (1, 0) scores the forward one alone.
    `name`: tells tasks apart in records.

    The score is the mean of both, in these shares. `scores` has both as "forward" and "backward".

    Labels are those of `ahead`: where it sells some, this task does (`core.LabelTask`), and what is
    bought is learnt in both directions. Where it sells none, as a translation does, `labelled()` is
    None, and what chooses, buys or audits labels says that there are none.

    Raises ValueError for shares below 0 or without a sum.
    """

    ahead: Task
    back: Task
    forward: Direction
    backward: Direction
    marginals: Marginals = Marginals()
    sources: Iterable[Tensor] = field(default=(), repr=False)
    targets: Iterable[Tensor] = field(default=(), repr=False)
    pair: Callable[[Any], tuple[Tensor, Tensor]] = _as_it_is
    shares: tuple[float, float] = (0.5, 0.5)
    name: str = "dual"

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or not sum(self.shares):
            raise ValueError(f"the shares of the scores are {self.shares}: give 0 or more each")

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of a source and a target batch."""
        inner = None if model is None else self.forward.of(model)
        for batch in asked(self.ahead, split, inner):
            yield self.pair(batch)

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The sum of both directions' losses on the pairs."""
        source, target = batch
        there = self.forward.loss(self.forward.of(model), source, target)
        return there + self.backward.loss(self.backward.of(model), target, source)

    def score(self, predict: Predict, split: str) -> float:
        """The mean of both scores, in the shares that they have."""
        both = [
            share * task.score(direction.of(predict), split)
            for share, task, direction in self._scored()
        ]
        return sum(both) / sum(self.shares)

    def scores(self, predict: Predict, split: str) -> Mapping[str, float]:
        """Those of the directions that have a share: "forward" and "backward"."""
        return {
            "forward" if direction is self.forward else "backward": task.score(
                direction.of(predict), split
            )
            for _, task, direction in self._scored()
        }

    def sampled(self, examples: int, seed: int) -> DualTask:
        """The same task with a sample of the validation examples of both directions."""
        return replace(
            self,
            ahead=self.ahead.sampled(examples, seed),
            back=self.back.sampled(examples, seed),
        )

    def labelled(self) -> LabelTask | None:
        """This task where the labels of `ahead` can be bought and changed; None elsewhere."""
        return None if self.ahead.labelled() is None else cast("LabelTask", self)

    def pool(self) -> Any:
        """The indices of `ahead` without a bought label."""
        return self._selling().pool()

    def left(self) -> int | None:
        """How many more labels may be bought of `ahead`."""
        return self._selling().left()

    def known(self) -> Any:
        """The indices of the training split of `ahead`."""
        return self._selling().known()

    def inputs(self, indices: Any) -> Any:
        """The inputs of `ahead` at these indices."""
        return self._selling().inputs(indices)

    def labels(self, indices: Any) -> Any:
        """The labels of `ahead` at these indices."""
        return self._selling().labels(indices)

    def outputs(self, model: Any, inputs: Any) -> Any:
        """What the forward direction of a module or a file gives for these inputs."""
        return self._selling().outputs(self.forward.of(model), inputs)

    def prepared(self, inputs: Any) -> Any:
        """Inputs of the pool as `ahead` prepares them."""
        return self._selling().prepared(inputs)

    def of_examples(self, values: Any, inputs: Any, axis: int = 1) -> Any:
        """What the forward direction computed, divided among the examples as `ahead` does."""
        return self._selling().of_examples(values, inputs, axis)

    def losses(self, outputs: Any, labels: Any) -> Any:
        """The forward direction's loss of each example."""
        return self._selling().losses(outputs, labels)

    def buy(self, indices: Any) -> DualTask:
        """The same task whose pairs have these labels of `ahead` too."""
        return replace(self, ahead=self._selling().buy(indices))

    def with_labels(self, labels: Any, weights: Any = None, indices: Any = None) -> DualTask:
        """The same task whose pairs have exactly these labels.

        Raises ValueError for weights: the pairs of two directions have none.
        """
        if weights is not None:
            raise ValueError(
                "weights of examples do not reach the two directions: leave out the examples whose "
                "weight is 0 (indices=), or train the forward direction alone on the task's ahead"
            )
        return replace(self, ahead=self._selling().with_labels(labels, None, indices))

    def recalled(self, indices: Any, labels: Any) -> DualTask:
        """The same task with these labels, which an earlier run bought."""
        return replace(self, ahead=self._selling().recalled(indices, labels))

    def _selling(self) -> LabelTask:
        return label_task(self.ahead)

    def example(self) -> dict[str, Call]:
        """The calls of both directions, by the names that these have in the whole model."""
        calls = dict(self.forward.entries(self.ahead.example()))
        for name, call in self.backward.entries(self.back.example()).items():
            if name in calls:
                raise ValueError(
                    f"both directions have an entry {name!r}: give one another name, such as "
                    "Sequences(encode='encode_back', step='step_back')"
                )
            calls[name] = call
        return calls

    def _scored(self) -> list[tuple[float, Task, Direction]]:
        both = (
            (self.shares[0], self.ahead, self.forward),
            (self.shares[1], self.back, self.backward),
        )
        return [one for one in both if one[0]]
