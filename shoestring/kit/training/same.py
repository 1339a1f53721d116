"""What agreement means: for each kind of output, how well it agrees with the output before."""

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
    """A measure of agreement between the outputs before and after; NaN agrees with nothing."""

    @abstractmethod
    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """The agreement of each example, averaged over all other axes: N numbers from 0 to 1.

        `before`, `after`: arrays N×… of one shape.
        """

    def fitted(self, before: np.ndarray) -> Same:
        """The same measure, with its unit taken from these outputs; by default, itself."""
        return self

    def kind(self, before: np.ndarray) -> Kind | None:
        """The kind as which such an output is taught; None where the measure implies none."""
        return None

    @abstractmethod
    def __str__(self) -> str: ...


@final
@dataclass(frozen=True)
class SameClass(Same):
    """The class with the largest logit or probability along an axis is the same.

    An output with several classifications (pixels, words) has the share that agrees.
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
    """Yes or no: a number stays on the same side of a threshold.

    An output with several numbers has the share that agrees.
    `threshold`: 0 for logits, 0.5 for probabilities.
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
    """Equal integers or booleans; an output of several has the share that agrees."""

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return _each(before == after)

    def __str__(self) -> str:
        return "exactly the same"


@final
@dataclass(frozen=True)
class Overlap(Same):
    """Boxes (left, top, right, bottom along the last axis) that overlap.

    `least`: the least intersection over union, 0 to 1.
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
    """Numbers that differ by at most `absolute` + `relative` × the number before.

    An output with several numbers has the share that agrees.
    `absolute`, `relative`: 0 or more, one of them above 0.
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
    """Frequencies (above 0) that differ by at most some cents, which are hundredths of a semitone.

    `most`: in cents, 0 or more.
    """

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
    """Vectors along an axis whose direction stays; an output of several has the share that agrees.

    `cosine`: the least cosine of the angle between them, -1 to 1.
    """

    cosine: float = 0.99
    axis: int = -1

    def merits(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        lengths = np.linalg.norm(before, axis=self.axis) * np.linalg.norm(after, axis=self.axis)
        along = (before * after).sum(self.axis)
        # a zero vector agrees with a zero vector alone
        both_zero = ~before.any(self.axis) & ~after.any(self.axis)
        near = (along >= self.cosine * lengths - 1e-6 * lengths) & (lengths > 0)
        return _each(near | both_zero)

    def kind(self, before: np.ndarray) -> Kind:
        return Directions(self.axis)

    def __str__(self) -> str:
        return f"a cosine of {self.cosine:g} or more"


@final
@dataclass(frozen=True)
class RelativeError(Same):
    """1 minus the mean error of an example, in standard deviations of each column; at least 0.

    `spread`: the standard deviation of each column; None: Agreement computes it.
    `axis`: of the columns, as in `core.Numbers`.
    """

    spread: tuple[float, ...] | None = None
    axis: int | None = None

    def fitted(self, before: np.ndarray) -> Same:
        if self.spread is not None:
            return self
        axes = tuple(axis for axis in range(before.ndim) if axis != _column(before, self.axis))
        spread = np.atleast_1d(np.asarray(before, np.float64).std(axes))
        overall = float(before.std()) or float(abs(before).max()) or 1.0
        # A column that varies little beside its size is constant: then its size is the unit.
        floor = 1e-2 * np.atleast_1d(np.sqrt((np.asarray(before, np.float64) ** 2).mean(axes)))
        unit = np.maximum(spread, floor)
        return replace(self, spread=tuple(map(float, np.where(unit > 0, unit, overall))))

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
    """The measure of agreement for a kind of output.

    `before`: outputs, N×…; their type decides where the kind is Numbers or None.
    """
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
    """The mean agreement of several outputs."""

    def of(self, merits: Sequence[np.ndarray]) -> np.ndarray:
        """One row of N numbers from several such rows."""
        return np.mean(np.stack(list(merits)), 0)


@final
@dataclass(frozen=True)
class Least:
    """The least agreement of several outputs: an example is right where all outputs are."""

    def of(self, merits: Sequence[np.ndarray]) -> np.ndarray:
        """One row of N numbers from several such rows."""
        return np.min(np.stack(list(merits)), 0)


def identity(value: Any) -> str:
    """A text that identifies a measure, the same in every process.

    For functions it has their code, constants and closures; for objects, their class and
    attributes. It never has an address in memory.
    """
    return _identity(value, ())


def _identity(value: Any, within: tuple[int, ...]) -> str:
    if id(value) in within:  # a function that calls itself
        return "itself"
    inner = partial(_identity, within=(*within, id(value)))
    if isinstance(value, CodeType):
        return f"{value.co_code.hex()} {value.co_names} {inner(value.co_consts)}"
    if isinstance(value, FunctionType):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        return (
            f"function {inner(value.__code__)} {inner(value.__defaults__)} "
            f"{inner(value.__kwdefaults__)} {inner(held)}"
        )
    if isinstance(value, MethodType):
        return f"{inner(value.__func__)} of {inner(value.__self__)}"
    if isinstance(value, partial):
        return f"partial {inner(value.func)} {inner(value.args)} {inner(value.keywords)}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{inner(key)}: {inner(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inner, value))}]"
    if isinstance(value, set | frozenset):  # whose order goes by the process
        return f"{{{', '.join(sorted(map(inner, value)))}}}"
    if isinstance(value, np.ndarray):
        return (
            f"{value.dtype} {value.shape} "
            f"{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
        )
    if hasattr(value, "detach"):
        return inner(array(value))
    if type(value).__repr__ is object.__repr__:
        return (
            f"{type(value).__module__}.{type(value).__qualname__} "
            f"{inner(getattr(value, '__dict__', None))}"
        )
    return (
        repr(value)
        if not is_dataclass(value)
        else f"{type(value).__qualname__} {inner(vars(value))}"
    )


def _each(values: Any) -> np.ndarray:
    """The mean of each example."""
    return values.reshape(len(values), -1).mean(1, dtype=np.float64)


def _column(values: np.ndarray, axis: int | None) -> int:
    """The axis of the columns of an output N×…, by the rule of `core.Numbers`."""
    if axis is not None:
        return axis % values.ndim
    return (
        values.ndim - 1 if values.ndim == 3 else min(1, values.ndim - 1) if values.ndim > 1 else -1
    )
