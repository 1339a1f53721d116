"""Supervised learning from loaders, whose batches are read one by one and not kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from shoestring.artifact import tree
from shoestring.core import Predict, Vary, array, seeded
from shoestring.kit.training.collected import with_last_batch
from shoestring.kit.training.splits import as_targets, sample
from shoestring.kit.training.supervised import Supervised

Call = tuple[Any, ...] | dict[str, Any]
"""The arguments of one call, by position or by name: nests of tensors, with the example first."""
_TARGETS = ("labels", "label", "targets", "target", "y")
_SETTINGS_OF_SPLITS = ("batch_size", "augment", "prepare")


@dataclass(frozen=True, kw_only=True, eq=False)
class Streamed(Supervised):
    """Supervised with DataLoaders or other iterables of batches as splits; see `from_loaders`."""

    train: Any = field(repr=False)
    validation: Any = field(repr=False)
    test: Any = field(default=None, repr=False)
    target: str | None = None
    named: Sequence[str] | None = None
    _known: dict[str, Any] = field(init=False, repr=False)
    """"example": the first "count" validation examples; "sizes": those of validation batches."""

    def __post_init__(self) -> None:
        self._check_scores()
        object.__setattr__(self, "has_test", self.test is not None)
        with seeded(0):  # an __iter__ may draw an order: the caller's generators stay as they are
            for split in ("train", "validation", "test"):
                object.__setattr__(self, split, _source(split, getattr(self, split)))
            next(self._read("train"))
            call, targets = next(self._read("validation"))
        two = torch.arange(min(2, len(targets)))
        object.__setattr__(
            self, "_known", {"example": _rows(call, two, len(targets)), "count": len(two)}
        )
        self.example()  # raises for axes that do not fit

    def labelled(self) -> None:  # type: ignore[override]
        """None: labels that come in batches cannot be bought or changed by the index."""

    def _read(self, split: str) -> Iterator[tuple[Call, Tensor]]:
        """The batches of a split; raises ValueError where there are none."""
        if split not in ("train", "validation", "test"):
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        if (given := getattr(self, split)) is None:
            raise ValueError(f"{self.name} has no test split: give from_loaders a loader for test=")
        index = -1
        for index, batch in enumerate(given):
            yield _parsed(batch, f"{split}: batch {index}", self.target, self.named)
        if index < 0:
            raise ValueError(
                f"the {split} split of {self.name} has no batches: give at least one, by an "
                "iterable that begins anew each time that it is read"
            )

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Any, Tensor]]:
        """Batches of (arguments of a call, targets), in the loader's order and size."""
        return self._read(split)

    def _parts(self, predict: Predict, split: str) -> Iterator[tuple[Any, np.ndarray]]:
        for call, targets in self._read(split):
            outputs = predict(**call) if isinstance(call, dict) else predict(*call)
            yield tree.map(array, outputs), array(targets)

    def sampled(self, examples: int, seed: int) -> Streamed:
        """The same task with at most `examples` validation examples (1 or more), kept in memory.

        Returns itself where it has no more than these.
        """
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        with seeded(crc32(b"validation")):
            sizes = self._known.setdefault("sizes", [len(y) for _, y in self._read("validation")])
        if (total := sum(sizes)) <= examples:
            return self
        drawn, begin, kept = sample(total, examples, seed), 0, list[tuple[Call, Tensor]]()
        with seeded(crc32(b"validation")):
            for call, targets in self._read("validation"):
                rows = drawn[(drawn >= begin) & (drawn < begin + len(targets))] - begin
                begin += len(targets)
                if len(rows):
                    kept.append((_rows(call, rows, len(targets)), targets[rows]))
        task = copy(self)
        object.__setattr__(task, "validation", kept)
        object.__setattr__(task, "target", None)
        object.__setattr__(task, "_known", {**self._known, "sizes": [len(y) for _, y in kept]})
        return task

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call with two validation examples."""
        call, count = self._known["example"], self._known["count"]
        axes = iter(_axes_of(self.axes, call))

        def declared(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            own = next(axes)
            if not leaf.ndim or len(leaf) != count:
                return Vary(leaf, {})
            return Vary(
                leaf, {axis: name for axis, name in {0: "N", **own}.items() if axis < leaf.ndim}
            )

        example = tree.map(declared, call)
        return ((), example) if isinstance(example, dict) else (example, {})


def from_loaders(
    train: Iterable[Any],
    validation: Iterable[Any],
    test: Iterable[Any] | None,
    target: str | None,
    inputs: Sequence[str] | None,
    settings: Mapping[str, Any],
) -> Streamed:
    """The task of `Supervised.from_loaders`."""
    if wrong := [name for name in _SETTINGS_OF_SPLITS if name in settings]:
        raise TypeError(
            f"from_loaders takes no {wrong[0]}=: batches are what the loaders give, so make them "
            "so there"
        )
    return Streamed(
        train=train, validation=validation, test=test, target=target, named=inputs, **settings
    )


def _source(split: str, given: Any) -> Any:
    """The iterable that the batches of a split are read from; None for no test split.

    Raises TypeError for an object that cannot be read again and again.
    """
    if given is None and split == "test":
        return None
    if isinstance(given, Iterator):
        raise TypeError(
            f"{split} is a {type(given).__name__}, which can be read once, and a split is read "
            "again and again: give a DataLoader, a list of batches, or an object whose __iter__ "
            "begins anew"
        )
    if not isinstance(given, Iterable) or isinstance(given, str | Tensor):
        raise TypeError(
            f"{split} is a {type(given).__name__}: give a DataLoader, or another iterable of "
            "batches (a Dataset as DataLoader(dataset, batch_size=128))"
        )
    if not isinstance(given, DataLoader | Sequence) and iter(given) is iter(given):
        raise TypeError(
            f"the __iter__ of {split}, a {type(given).__name__}, gives one iterator each time: "
            "a split is read again and again, so it must begin anew"
        )
    return with_last_batch(given) if isinstance(given, DataLoader) and split != "train" else given


def _parsed(
    batch: Any, where: str, target: str | None, inputs: Sequence[str] | None
) -> tuple[Call, Tensor]:
    """A batch as (arguments of the model's call, targets).

    `where`: names the batch in errors.
    """
    if isinstance(batch, Mapping):
        name = _target_of(batch, where, target)
        if absent := [one for one in inputs or () if one not in batch]:
            raise ValueError(
                f"{where} has no {absent[0]!r}, but {_named(batch)}: name inputs= that it has"
            )
        call: Any = {str(one): batch[one] for one in inputs or batch if one != name}
        targets = batch[name]
    elif isinstance(batch, tuple | list) and len(batch) >= 2:
        *given, targets = batch
        if len(given) == 1 and isinstance(given[0], Mapping):
            call = {str(name): given[0][name] for name in inputs or given[0]}
        else:
            alone = len(given) == 1 and isinstance(given[0], tuple | list)
            call = tuple(given[0] if alone else given)
    else:
        kind = f"a {type(batch).__name__}"
        raise TypeError(
            f"{where} is {kind}, and (inputs, targets) or a dict with the targets in it is wanted: "
            "have the loader give these, or write a class from shoestring.Task (docs/tasks.md)"
        )
    try:
        targets = as_targets(targets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{where} has targets of type {type(targets).__name__}, which are no tensor ({error}): "
            "have the loader give a tensor, or write a class from shoestring.Task (docs/tasks.md)"
        ) from None
    if not targets.ndim or not len(targets):
        raise ValueError(f"{where} has no examples: axis 0 of the targets must be the example")
    return tree.map(_as_tensor, call), targets


def _target_of(batch: Mapping[Any, Any], where: str, target: str | None) -> Any:
    """The key of the targets in a batch that is a mapping."""
    if target is not None:
        if target not in batch:
            raise ValueError(
                f"{where} has no {target!r}, but {_named(batch)}: name the targets by target="
            )
        return target
    names = [name for name in _TARGETS if name in batch]
    if len(names) != 1:
        raise ValueError(
            f"{where} is a mapping of {_named(batch)}: say which of these are the targets, by "
            "target="
        )
    return names[0]


def _named(batch: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, batch))


def _as_tensor(leaf: Any) -> Any:
    return torch.as_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf


def _rows(call: Any, rows: Tensor, count: int) -> Any:
    """A call with some of its `count` examples; tensors without an axis of examples are kept."""

    def kept(leaf: Any) -> Any:
        return leaf[rows] if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == count else leaf

    return tree.map(kept, call)


def _axes_of(axes: Any, call: Call) -> list[Mapping[int, Any]]:
    """The axes that vary besides axis 0, for each tensor of a call in order."""
    arguments = call.items() if isinstance(call, dict) else enumerate(call)
    counts = {name: _count(nest) for name, nest in arguments}
    if not isinstance(axes, Mapping):
        if len(axes) != sum(counts.values()):
            raise ValueError(
                f"axes has {len(axes)} mappings, and a call has {sum(counts.values())} tensors: "
                "give one for each, in their order, {} where none varies"
            )
        return list(axes)
    if not axes or all(isinstance(axis, int) for axis in axes):
        return [axes] * sum(counts.values())  # type: ignore[list-item]
    if wrong := [name for name in axes if name not in counts]:
        raise ValueError(
            f"axes names {wrong[0]!r}, and the inputs are {', '.join(map(str, counts))}"
        )
    return [axes.get(name, {}) for name, count in counts.items() for _ in range(count)]


def _count(nest: Any) -> int:
    """The number of tensors in a nest."""
    leaves: list[Any] = []
    add: Callable[[Any], None] = leaves.append
    tree.map(add, nest)
    return sum(isinstance(leaf, Tensor) for leaf in leaves)
