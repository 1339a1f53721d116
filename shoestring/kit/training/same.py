"""What "the same answer" means: per kind of output, how well an answer agrees with the one before."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, final

import numpy as np

from shoestring.core import (
    BinaryLogits,
    BinaryProbabilities,
    Boxes,
    ClassLogits,
    Directions,
    Kind,
    Numbers,
    Probabilities,
    array,
)
from shoestring.core.kinds import are_probabilities


class Same(ABC):
    """How well answers agree.

    `merits(before, after)` takes two arrays N×… and gives N numbers from 0 to 1, the mean over all
    else.
    Answers that are NaN agree with nothing.
    """

    @abstractmethod
    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray: ...

    def fitted(self, before: np.ndarray) -> Same:
        """The same measure in the unit of these answers, where it has one."""
        return self

    def kind(self, before: np.ndarray) -> Kind | None:
        """As what kind such an output is taught; None where this does not say."""
        return None

    @abstractmethod
    def __str__(self) -> str: ...


@final
@dataclass(frozen=True)
class SameClass(Same):
    """The largest along an axis is the same: of logits or probabilities of classes.

    Of several places (pixels, words), their share.
    """

    axis: int = 1

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        same = before.argmax(self.axis) == after.argmax(self.axis)
        return _each(same & ~np.isnan(after).any(self.axis))

    def kind(self, before: np.ndarray) -> Kind:
        return (
            Probabilities(self.axis)
            if are_probabilities(before, self.axis)
            else ClassLogits(self.axis)
        )

    def __str__(self) -> str:
        return "the same class"


@final
@dataclass(frozen=True)
class SameAnswer(Same):
    """Yes or no, on the same side of a threshold: 0 for logits, 0.5 for probabilities.

    Of several answers, their share.
    """

    threshold: float = 0.0

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return _each(((before > self.threshold) == (after > self.threshold)) & ~np.isnan(after))

    def kind(self, before: np.ndarray) -> Kind:
        shares = 0 < self.threshold < 1 and before.min() >= 0 and before.max() <= 1
        return BinaryProbabilities() if shares else BinaryLogits()

    def __str__(self) -> str:
        return f"the same side of {self.threshold:g}"


@final
@dataclass(frozen=True)
class Exactly(Same):
    """The very same number: of whole numbers and truths. Of several, their share."""

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return _each(before == after)

    def __str__(self) -> str:
        return "exactly the same"


@final
@dataclass(frozen=True)
class Overlap(Same):
    """Boxes (left, top, right, bottom along the last axis) that overlap.

    Intersection over union of at least so much, 0 to 1.
    """

    least: float = 0.5

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        low, high = (
            np.maximum(before[..., :2], after[..., :2]),
            np.minimum(before[..., 2:], after[..., 2:]),
        )
        both = np.clip(high - low, 0, None).prod(-1)
        areas = [np.clip(one[..., 2:] - one[..., :2], 0, None).prod(-1) for one in (before, after)]
        union = areas[0] + areas[1] - both
        shares = np.divide(both, union, out=np.zeros_like(union), where=union > 0)
        return _each((shares >= self.least) | (before == after).all(-1))

    def kind(self, before: np.ndarray) -> Kind:
        return Boxes()

    def __str__(self) -> str:
        return f"boxes that overlap by {self.least:g} or more"


@final
@dataclass(frozen=True)
class Within(Same):
    """Numbers that differ by no more than `absolute`, plus `relative` times what they were.

    Of several, their share.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        if not (self.absolute >= 0 and self.relative >= 0 and self.absolute + self.relative > 0):
            raise ValueError(
                f"{self!r} lets no number differ: give absolute= or relative=, above 0"
            )

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return _each(abs(after - before) <= self.absolute + self.relative * abs(before))

    def __str__(self) -> str:
        return f"within {self.absolute:g} + {self.relative:g} of what it was"


@final
@dataclass(frozen=True)
class Cents(Same):
    """Frequencies, above 0, that differ by no more than so many cents: hundredths of a semitone."""

    most: float = 50.0

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            near = abs(1200 * np.log2(after / before)) <= self.most
        return _each(near | (before == after))

    def __str__(self) -> str:
        return f"within {self.most:g} cents"


@final
@dataclass(frozen=True)
class SameDirection(Same):
    """Vectors along an axis whose angle has a cosine of at least so much. Of several, their share."""

    cosine: float = 0.99
    axis: int = -1

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        lengths = np.linalg.norm(before, axis=self.axis) * np.linalg.norm(after, axis=self.axis)
        along = (before * after).sum(self.axis)
        nowhere = ~before.any(self.axis) & ~after.any(
            self.axis
        )  # zeros have no direction but that of zeros
        return _each(((along >= self.cosine * lengths - 1e-6 * lengths) & (lengths > 0)) | nowhere)

    def kind(self, before: np.ndarray) -> Kind:
        return Directions(self.axis)

    def __str__(self) -> str:
        return f"a cosine of {self.cosine:g} or more"


@final
@dataclass(frozen=True)
class RelativeError(Same):
    """1 minus the mean error of an example's numbers, in units of how much each column of answers
    varies; 0 where it is larger than that.

    Columns are those of `core.Numbers`, along its `axis`.
    `spread`: the standard deviation of each; None: Agreement fills it in.
    """

    spread: tuple[float, ...] | None = None
    axis: int | None = None

    def fitted(self, before: np.ndarray) -> Same:
        if self.spread is not None:
            return self
        axes = tuple(axis for axis in range(before.ndim) if axis != _column(before, self.axis))
        spread = np.atleast_1d(np.asarray(before, np.float64).std(axes))
        whole = float(before.std()) or float(abs(before).max()) or 1.0
        # One that hardly varies beside its size is constant: what it is then counts.
        floor = 1e-2 * np.atleast_1d(np.sqrt((np.asarray(before, np.float64) ** 2).mean(axes)))
        return replace(
            self,
            spread=tuple(
                float(one)
                for one in np.where(np.maximum(spread, floor) > 0, np.maximum(spread, floor), whole)
            ),
        )

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        if self.spread is None:
            return self.fitted(before).merits(before, after)
        shape = [1] * before.ndim
        if before.ndim > 1:
            shape[_column(before, self.axis)] = -1
        errors = abs(after - before) / np.asarray(self.spread).reshape(shape)
        means = errors.reshape(len(errors), -1).mean(1)
        return np.where(np.isfinite(means), np.clip(1 - means, 0, 1), 0.0)

    def __str__(self) -> str:
        return "1 minus the relative error"


def same_for(kind: Kind | None, before: np.ndarray) -> Same:
    """What agreement means for a kind of output."""
    match kind:
        case ClassLogits(axis) | Probabilities(axis):
            return SameClass(axis)
        case BinaryLogits():
            return SameAnswer(0.0)
        case BinaryProbabilities():
            return SameAnswer(0.5)
        case Directions(axis):
            return SameDirection(axis=axis)
        case Boxes():
            return Overlap()
        case Numbers(axis) if before.dtype.kind == "f":
            return RelativeError(axis=axis)
    return RelativeError() if before.dtype.kind == "f" else Exactly()


@final
@dataclass(frozen=True)
class Mean:
    """Of several outputs, the mean of what each agrees."""

    def of(self, merits: Sequence[np.ndarray]) -> np.ndarray:
        """N numbers of several rows of N."""
        return np.mean(np.stack(list(merits)), 0)


@final
@dataclass(frozen=True)
class Least:
    """Of several outputs, what the worst agrees: an example is right where all are."""

    def of(self, merits: Sequence[np.ndarray]) -> np.ndarray:
        """N numbers of several rows of N."""
        return np.min(np.stack(list(merits)), 0)


def identity(value: Any) -> str:
    """What tells a way of measuring from others, the same in every process.

    Of functions their code, constants and what they hold, of objects their class and what they
    hold, never where they lie in memory.
    """
    return _identity(value, ())


def _identity(value: Any, within: tuple[int, ...]) -> str:
    if id(value) in within:  # a function that calls itself
        return "itself"
    told = partial(_identity, within=(*within, id(value)))
    if isinstance(value, CodeType):
        return f"{value.co_code.hex()} {value.co_names} {told(value.co_consts)}"
    if isinstance(value, FunctionType):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        return (
            f"function {told(value.__code__)} {told(value.__defaults__)} "
            f"{told(value.__kwdefaults__)} {told(held)}"
        )
    if isinstance(value, MethodType):
        return f"{told(value.__func__)} of {told(value.__self__)}"
    if isinstance(value, partial):
        return f"partial {told(value.func)} {told(value.args)} {told(value.keywords)}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{told(key)}: {told(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(told, value))}]"
    if isinstance(value, set | frozenset):  # whose order goes by the process
        return f"{{{', '.join(sorted(map(told, value)))}}}"
    if isinstance(value, np.ndarray):
        return (
            f"{value.dtype} {value.shape} "
            f"{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
        )
    if hasattr(value, "detach"):
        return told(array(value))
    if type(value).__repr__ is object.__repr__:
        return (
            f"{type(value).__module__}.{type(value).__qualname__} "
            f"{told(getattr(value, '__dict__', None))}"
        )
    return (
        repr(value)
        if not is_dataclass(value)
        else f"{type(value).__qualname__} {told(vars(value))}"
    )


def _each(values: Any) -> np.ndarray:
    """The mean of each example."""
    return values.reshape(len(values), -1).mean(1, dtype=np.float64)


def _column(values: np.ndarray, axis: int | None) -> int:
    if axis is not None:
        return axis % values.ndim
    return (
        values.ndim - 1 if values.ndim == 3 else min(1, values.ndim - 1) if values.ndim > 1 else -1
    )
