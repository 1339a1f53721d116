"""Labels that cost something: the protocol of a task that sells them, and what a run has bought."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from operator import index as to_integer
from time import monotonic
from typing import Any, ClassVar, Protocol, Self, final, runtime_checkable

from shoestring.core.task import Task
from shoestring.core.view import View


class LabelBudgetError(RuntimeError):
    """More labels were requested than may be bought; nothing was bought."""


@runtime_checkable
class LabelTask(Task, Protocol):
    """A task whose labels can be bought and changed, by the index of the example.

    An index is an integer, 0 or more. It means the same example in every task that is derived from
    this one. Nothing here changes the task: `buy` and `with_labels` return a new task, whose
    "train" split has the labels, so that the same seed buys the same labels. Get one from any task
    with `task.labelled()` or `label_task(task)`; views (sealed, taught, sampled) pass it on.

        labelled = label_task(task)
        indices = labelled.pool()[:10]
        outputs = labelled.outputs(model, labelled.inputs(indices))   # free
        task = labelled.buy(indices)                                  # costs up to 10 labels
    """

    def labelled(self) -> Self:
        """The task itself."""
        return self

    @abstractmethod
    def pool(self) -> Any:
        """The indices without a bought label, in ascending order: an array of integers, P."""

    @abstractmethod
    def left(self) -> int | None:
        """How many more labels may be bought, 0 or more; None for the whole pool."""

    @abstractmethod
    def known(self) -> Any:
        """The indices of the "train" split, in its order: an array of integers, N."""

    @abstractmethod
    def inputs(self, indices: Any) -> Any:
        """The inputs at these indices, as `outputs` takes them; they cost nothing."""

    @abstractmethod
    def labels(self, indices: Any) -> Any:
        """The labels of the "train" split at these indices, in this order.

        Raises ValueError for an index without a label.
        """

    @abstractmethod
    def outputs(self, model: Any, inputs: Any) -> Any:
        """What a module in evaluation mode, or a loaded file, gives for these inputs.

        Returns the structure that the model returns, with tensors N×… without gradients.
        """

    def prepared(self, inputs: Any) -> Any:
        """Inputs of the pool as training batches have them, before random changes.

        By default they are the same. A task that changes inputs in every split does it here too.

        `inputs`: as `inputs` gives them.
        """
        return inputs

    def of_examples(self, values: Any, inputs: Any, axis: int = 1) -> Any:
        """What a network computed for these inputs, divided among the examples: N×….

        By default an example has a row of its own, and the values are returned as they are. A task
        whose examples are parts of what a network sees (tiles of a picture) cuts them out here.

        `values`: a tensor of the network, with what it was called with along axis 0.
        `inputs`: those that `outputs` got.
        `axis`: where the values have their features.
        """
        return values

    @abstractmethod
    def losses(self, outputs: Any, labels: Any) -> Any:
        """The loss of each example: a tensor of shape N."""

    @abstractmethod
    def buy(self, indices: Any) -> LabelTask:
        """A new task whose "train" split has the labels at these indices too.

        A label that was bought before costs nothing.
        Raises LabelBudgetError for more than `left()` new labels, and ValueError for an invalid
        index; both before anything is bought.
        """

    @abstractmethod
    def with_labels(self, labels: Any, weights: Any = None, indices: Any = None) -> LabelTask:
        """A new task whose "train" split has exactly these labels; they cost nothing.

        `labels`: one for each index, N×….
        `weights`: N numbers, 0 or more, which multiply the loss of each example; None for 1 each.
        `indices`: whose labels these are; None for `known()`.
        """

    def recalled(self, indices: Any, labels: Any) -> LabelTask:
        """A new task that has these labels of its pool, which an earlier run bought.

        They count as bought, and nobody is asked for them. A task that cannot take them up raises
        TypeError, as this one does, also for none; a run that keeps what it buys tries that before
        it buys anything.

        `labels`: one for each index, N×….
        """
        raise TypeError(
            f"{self.name or type(self).__name__} cannot take up labels that an earlier run bought: "
            "write its method recalled(indices, labels) (shoestring.core.LabelTask)"
        )


def label_task(task: Task) -> LabelTask:
    """The task as a LabelTask; raises TypeError where its labels cannot be bought or changed."""
    labelled = task.labelled()
    if labelled is None:
        kind = type(task).__name__
        raise TypeError(
            f"{task.name or kind} has no labels that can be bought or changed: give a Supervised "
            "(with unlabelled= and answer=), or have the task derive from shoestring.core.LabelTask"
        )
    return labelled


def checked_indices(indices: Iterable[Any]) -> list[int]:
    """The indices as integers, in the order given.

    Raises ValueError for a value that is not an integer of 0 or more.
    """
    return [_checked(index) for index in indices]


def _checked(index: Any) -> int:
    """One index; a mask or a negative index would select the wrong examples."""
    is_bool = isinstance(index, bool) or str(getattr(index, "dtype", "")).endswith("bool")
    try:
        number = -1 if is_bool else to_integer(index)
    except TypeError:  # a fraction, a word
        number = -1
    if number < 0:
        raise ValueError(f"labels have indices, integers from 0 up: {index!r} is none (a mask?)")
    return number


@final
@dataclass(eq=False)
class Purchases:
    """The labels that a run has bought; each counts once, whichever view of the task bought it.

    `apply` makes one, or takes the caller's. A later step of the run has the labels that an earlier
    step bought, and does not pay for them again. After a run, `task.buy(purchases.indices)` is the
    task with all of them. Labels that another process buys are not counted.
    """

    most: int | None = None
    """How many labels the run may buy, besides what the task allows; None: as many as that."""
    heard: Callable[[list[int], Any, float], None] | None = None
    """Gets the indices of labels that were just bought, the labels, and the seconds they took."""
    sells: bool = False
    """Whether a task of the run had labels for sale."""
    _indices: set[int] = field(default_factory=set)

    @property
    def indices(self) -> tuple[int, ...]:
        """The indices bought so far, in ascending order."""
        return tuple(sorted(self._indices))

    def __len__(self) -> int:
        return len(self._indices)

    def __deepcopy__(self, memo: Any) -> Purchases:
        return self  # a copy of a task belongs to the same run

    def counted(self, task: Task) -> Task:
        """The task with the labels that the run has bought, whose purchases are counted here.

        Returns the task itself where it has no labels for sale.
        """
        labelled = task.labelled()
        if labelled is None or not len(pool := labelled.pool()) or labelled.left() == 0:
            return task
        self.sells = True
        elsewhere = len(self._indices - {int(index) for index in pool})
        left = labelled.left()
        limits = [self.most, None if left is None else left + elsewhere]
        counted = Counted(task, self, min((one for one in limits if one is not None), default=None))
        return counted.buy(self.indices) if self._indices else counted

    def check(self, indices: Iterable[int], most: int | None) -> None:
        """Raise LabelBudgetError where the run would have more than `most` labels with these."""
        count = len(self._indices | set(indices))
        if most is not None and count > most:
            raise LabelBudgetError(
                f"{count} labels in all were asked for and {most} may be bought: ask for fewer"
            )

    def add(self, indices: Iterable[int]) -> None:
        """Count these indices too."""
        self._indices |= set(indices)


@final
@dataclass(frozen=True, eq=False)
class Counted(View):
    """A task whose purchases are counted by a run.

    `_most`: how many labels the run may have; None for no limit.
    """

    _wraps: ClassVar[bool] = True
    _task: Task
    _purchases: Purchases
    _most: int | None

    def __getattr__(self, name: str) -> Any:
        if name in ("answer", "_pool"):
            raise AttributeError(f"{name}: a run gets labels with buy(), which counts them")
        return super().__getattr__(name)

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)

    def left(self) -> int | None:
        left, most = label_task(self._task).left(), self._purchases.most
        more = None if most is None else most - len(self._purchases)
        return min((one for one in (left, more) if one is not None), default=None)

    def buy(self, indices: Any) -> Counted:
        inner, wanted = label_task(self._task), checked_indices(indices)
        pool = {int(index) for index in inner.pool()}
        fresh = [index for index in dict.fromkeys(wanted) if index in pool]
        self._purchases.check(fresh, self._most)
        began = monotonic()
        bought = inner.buy(wanted)
        self._purchases.add(fresh)  # after the answer: a label that was not delivered is free
        if fresh and self._purchases.heard is not None:
            self._purchases.heard(fresh, bought.labels(fresh), monotonic() - began)
        return replace(self, _task=bought)

    def recalled(self, indices: Any, labels: Any) -> Counted:
        return replace(self, _task=label_task(self._task).recalled(indices, labels))
