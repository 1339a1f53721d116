"""Reading a Dataset, a DataLoader or a list of pairs once, as the tensors of a split."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset

MOST_BYTES = 4_000_000_000
"""The most bytes that are read into memory; larger data needs a task that reads batch by batch."""
_TASK = "write a class from shoestring.Task, whose batches() may give anything (docs/tasks.md)"


def collected(split: str, given: Any) -> tuple[Tensor | tuple[Tensor, ...], Tensor]:
    """The (inputs, targets) of all items, with the item along axis 0.

    The last part of an item is the target. The last batch of a DataLoader is read too, even with
    `drop_last`. Warns where a sampler leaves out items, and where an item changes between two
    readings: random changes would be frozen, and belong into `augment`.

    `split`: names the split in errors.
    `given`: a Dataset, a DataLoader or a list of pairs.

    Raises TypeError for other objects and for items that are not tensors, and ValueError for items
    of several shapes, for no items and for more than 4 GB.
    """
    loader = isinstance(given, DataLoader)
    pairs = (
        isinstance(given, list)
        and bool(given)
        and all(isinstance(one, tuple | list) and len(one) >= 2 for one in given)
    )
    if not loader and not pairs and not isinstance(given, Dataset):
        raise TypeError(
            f"{split} must be a pair (inputs, targets) of tensors, not {type(given).__name__}: "
            "read a data set first, or give a Dataset or a DataLoader of (input, target)"
        )
    _warn_of_change(split, given.dataset if loader else given)
    given = with_last_batch(given) if loader else given
    in_order = isinstance(given, Dataset) and not isinstance(given, IterableDataset)
    items: Any = (given[index] for index in range(len(given))) if in_order else given  # type: ignore[arg-type]
    columns = _columns(split, items, "batch" if loader else "item")
    try:
        tensors = [torch.cat(column) if loader else torch.stack(column) for column in columns]
    except (RuntimeError, TypeError) as error:
        shapes = {
            tuple(one.shape[1 if loader else 0 :]) for column in columns for one in column[:1000]
        }
        raise ValueError(
            f"{split}: items are of several shapes ({', '.join(map(str, sorted(shapes)[:4]))}): "
            f"pad them to one, or {_TASK}"
        ) from error
    *inputs, targets = tensors
    if isinstance(given, DataLoader):
        say_what_is_left_out(split, given, len(targets))
    return (inputs[0] if len(inputs) == 1 else tuple(inputs)), targets


def with_last_batch(loader: DataLoader) -> DataLoader:
    """A loader of the same items in the same order, without `drop_last`."""
    sampler, options = (
        loader.batch_sampler,
        {"collate_fn": loader.collate_fn, "num_workers": loader.num_workers},
    )
    if isinstance(loader.dataset, IterableDataset):
        return (
            DataLoader(loader.dataset, loader.batch_size, **options) if loader.drop_last else loader
        )
    if isinstance(sampler, BatchSampler) and sampler.drop_last:
        return DataLoader(
            loader.dataset,
            batch_sampler=BatchSampler(sampler.sampler, sampler.batch_size, False),
            **options,
        )
    return loader


def say_what_is_left_out(what: str, loader: DataLoader, read: int) -> None:
    """Warn where a loader gave fewer items than its data set has; the warning has both numbers.

    `read`: how many items the loader gave.
    """
    try:
        count = len(loader.dataset)  # type: ignore[arg-type]
    except TypeError:  # a stream does not say
        return
    if read < count:
        warnings.warn(
            f"{what}: the DataLoader gives {read:,} of the {count:,} items that its data set has, "
            "as its sampler says: of the others nothing is learned or measured. Give the Dataset "
            "itself where all are meant",
            stacklevel=6,
        )


def _columns(split: str, items: Iterable[Any], what: str) -> list[list[Tensor]]:
    """For each part of an item, the tensors of all items or batches."""
    columns: list[list[Tensor]] = []
    held = 0
    for index, item in enumerate(items):
        parts = _parts(split, item, f"{what} {index}")
        if columns and len(parts) != len(columns):
            raise ValueError(
                f"{split}: {what} {index} has {len(parts)} parts, and {what} 0 has {len(columns)}: "
                "make them alike"
            )
        columns = columns or [[] for _ in parts]
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
            held += part.nbytes
        if held > MOST_BYTES:
            raise ValueError(
                f"{split} has more than {MOST_BYTES / 1e9:g} GB, and would be read into memory: "
                f"{_TASK}"
            )
    if not columns:
        raise ValueError(f"the {split} split is empty: give it at least one example")
    return columns


def _parts(split: str, item: Any, where: str) -> list[Tensor]:
    """The tensors of an item, with the target last.

    `where`: names the item in errors.
    """
    if isinstance(item, Mapping):
        keys = ", ".join(map(repr, list(item)[:4]))
        raise TypeError(
            f"{split}: {where} is a mapping with {keys}: give pairs (input, target), or {_TASK}"
        )
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise TypeError(
            f"{split}: {where} is of type {type(item).__name__}, and a pair (input, target) is "
            "wanted"
        )
    *inputs, target = item
    if len(inputs) == 1 and isinstance(inputs[0], tuple | list):
        inputs = list(inputs[0])
    tensors = []
    for part in (*inputs, target):
        try:
            tensors.append(torch.as_tensor(part).detach())
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"{split}: {where} holds a {type(part).__name__}, which is no tensor: convert it "
                "in the Dataset (pictures with torchvision's ToTensor, words to their numbers), or "
                f"{_TASK}"
            ) from None
    return tensors


def _warn_of_change(split: str, given: Any) -> None:
    """Warn where the first item changes between two readings."""
    if not isinstance(given, Dataset) or isinstance(given, IterableDataset) or not len(given):  # type: ignore[arg-type]
        return
    try:
        first, again = (_parts(split, given[0], "item 0") for _ in range(2))
    except TypeError:  # a DataLoader may make pairs of them
        return
    if any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(first, again, strict=True)):
        warnings.warn(
            f"{split}: an item differs from one reading to the next, and all are read once: leave "
            "random changes out of the Dataset, and give them as Supervised(augment=...)",
            stacklevel=5,
        )
