"""Labels that cost something: what a task that has them can be asked, and what a run has bought."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import index as as_integer
from typing import Any, ClassVar, Protocol, Self, final, runtime_checkable

from shoestring.core.task import Task
from shoestring.core.view import View


class LabelBudgetError(RuntimeError):
    """More labels were asked for than may be bought. Nothing was bought."""


@runtime_checkable
class LabelTask(Task, Protocol):
    """A task whose examples have places, so that a technique can ask for, buy and change labels.

    A place is an integer from 0 up and means the same example in every task that came of this one.
    Nothing here changes the task: `buy` and `with_labels` return a new one, whose "train" split has
    the labels. So the same seed buys the same labels. Ask any task by `task.labelled()` or
    `label_task(task)`; views (sealed, taught, sampled) pass all of this on.
    """

    def labelled(self) -> Self:
        """The task itself."""
        return self

    @abstractmethod
    def pool(self) -> Any:
        """Places whose labels have not been bought, in ascending order: an array of integers, P."""

    @abstractmethod
    def left(self) -> int | None:
        """How many labels more may be bought, 0 or more; None: as many as the pool has."""

    @abstractmethod
    def known(self) -> Any:
        """Places of the examples in the "train" split, in its order: an array of integers, N."""

    @abstractmethod
    def inputs(self, places: Any) -> Any:
        """The inputs of these places, as `outputs` takes them. They cost nothing."""

    @abstractmethod
    def labels(self, places: Any) -> Any:
        """The labels that the "train" split has for these places, in this order.

        Raises ValueError for a place without one.
        """

    @abstractmethod
    def outputs(self, model: Any, inputs: Any) -> Any:
        """What a module in evaluation mode, or a loaded file, gives for inputs.

        Its structure, with tensors N×… without gradients in it.
        """

    @abstractmethod
    def losses(self, outputs: Any, labels: Any) -> Any:
        """The loss of each example: a tensor, N."""

    @abstractmethod
    def buy(self, places: Any) -> LabelTask:
        """A new task whose "train" split has these labels too.

        A place that was bought before costs nothing.
        Raises LabelBudgetError where more than `left` are asked for, ValueError for what is no
        place; both before anything is bought.
        """

    @abstractmethod
    def with_labels(self, labels: Any, weights: Any = None, places: Any = None) -> LabelTask:
        """A new task whose "train" split has exactly these labels.

        Of `places`, or of `known()` where none are given. They cost nothing.
        `weights`: a number per example, 0 or more, by which its loss is multiplied; None: 1 each.
        """


def label_task(task: Task) -> LabelTask:
    """The task, as one that can be asked for labels; raises TypeError where it cannot."""
    labelled = task.labelled()
    if labelled is None:
        kind = type(task).__name__
        raise TypeError(
            f"{task.name or kind} has no labels that can be bought or changed: give a Supervised "
            "(with unlabelled= and answer=), or have "
            f"the task derive from shoestring.core.LabelTask"
        )
    return labelled


def checked_places(places: Iterable[Any]) -> list[int]:
    """The places as integers, in the order given.

    Raises ValueError for what is no integer, 0 or more.
    """
    return [_place(one) for one in places]


def _place(place: Any) -> int:
    """A mask or a negative place would be counted wrongly."""
    try:
        number = (
            -1
            if isinstance(place, bool) or str(getattr(place, "dtype", "")).endswith("bool")
            else as_integer(place)
        )
    except TypeError:  # a fraction, a word
        number = -1
    if number < 0:
        raise ValueError(f"labels have places, integers from 0 up: {place!r} is none (a mask?)")
    return number


@final
@dataclass(eq=False)
class Purchases:
    """The labels that a run has bought, each counted once, whichever task it was bought of.

    `apply` makes one, or takes the caller's. Within one run a later step has what an earlier step
    bought, and does not pay for it again. After a run, `task.buy(purchases.places)` is the task
    with all that it bought. What another process buys is not counted.
    """

    sells: bool = False
    """Whether a task of the run had labels for sale."""
    _places: set[int] = field(default_factory=set)

    @property
    def places(self) -> tuple[int, ...]:
        """Those bought so far, in ascending order."""
        return tuple(sorted(self._places))

    def __len__(self) -> int:
        return len(self._places)

    def __deepcopy__(self, memo: Any) -> Purchases:
        return self  # who copies a task does not leave the run

    def counted(self, task: Task) -> Task:
        """The task as this run has it.

        With the labels that the run has bought, and with what is bought of it written down here.
        Itself where it has no labels for sale.
        """
        labelled = task.labelled()
        if labelled is None or not len(pool := labelled.pool()) or labelled.left() == 0:
            return task
        self.sells = True
        elsewhere = len(self._places - {int(one) for one in pool})
        left = labelled.left()
        counted = Counted(task, self, None if left is None else left + elsewhere)
        return counted.buy(self.places) if self._places else counted

    def check(self, places: Iterable[int], most: int | None) -> None:
        """Raises LabelBudgetError where the run would have more than `most` labels with these."""
        count = len(self._places | set(places))
        if most is not None and count > most:
            raise LabelBudgetError(
                f"{count} labels in all were asked for and {most} may be bought: ask for fewer"
            )

    def add(self, places: Iterable[int]) -> None:
        """Count these too."""
        self._places |= set(places)


@final
@dataclass(frozen=True, eq=False)
class Counted(View):
    """A task whose purchases are counted by the run.

    `_most`: how many the run may have; None for no limit.
    """

    _wraps: ClassVar[bool] = True
    _task: Task
    _purchases: Purchases
    _most: int | None

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)

    def buy(self, places: Any) -> Counted:
        seen, wanted = label_task(self._task), checked_places(places)
        fresh = set(wanted) & {int(one) for one in seen.pool()}
        self._purchases.check(fresh, self._most)
        bought = seen.buy(wanted)
        self._purchases.add(fresh)  # after the answer: what was not delivered is not paid for
        return replace(self, _task=bought)
