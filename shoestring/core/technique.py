"""Technique: a model in, a cheaper model that answers the same questions out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import IntEnum
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

from shoestring.core.labels import Purchases
from shoestring.core.model import unwrapped
from shoestring.core.task import Task

T = TypeVar("T", bound="Technique")


class Stage(IntEnum):
    """Where in a chain a technique belongs: labels first, code last."""

    LABELS = 0
    """What is learned from: labels bought, corrected or made."""
    WORKERS = 1
    """Who trains: several processes or machines."""
    STRUCTURE = 2
    """Which layers and channels there are."""
    WEIGHTS = 3
    """Which weights are not zero, and which few values they have, found by training."""
    NUMBERS = 4
    """In how many bits numbers are kept and computed with."""
    CODE = 5
    """How what is left is coded."""


@dataclass(frozen=True, kw_only=True)
class Strength:
    """The one field of a technique that presses harder, so that a planner can turn it without
    knowing the technique.

    `field`: its name.
    `gentle` and `harsh`: the values at the two ends of what is worth trying, in this order; going
        from the first to the second never costs bytes (the conformance test tries it).
    `logarithmic`: whether steps are of equal ratio rather than of equal size.
    `whole`: whether values are whole numbers. `wrap` makes the field's value of the number, where
        it is not a plain number.
    """

    field: str
    gentle: float
    harsh: float
    logarithmic: bool = False
    whole: bool = False
    wrap: Callable[[Any], Any] | None = None

    def value(self, press: float) -> float:
        """The number at `press`, 0 (gentle) to 1 (harsh)."""
        if self.logarithmic:
            value = math.exp(
                math.log(self.gentle) + press * (math.log(self.harsh) - math.log(self.gentle))
            )
        else:
            value = self.gentle + press * (self.harsh - self.gentle)
        return round(value) if self.whole else float(f"{value:.4g}")

    def set(self, technique: T, press: float) -> T:
        """The technique pressed so hard, 0 (gentle) to 1 (harsh)."""
        value = self.value(press)
        return replace(technique, **{self.field: value if self.wrap is None else self.wrap(value)})  # type: ignore[type-var]


class Technique(ABC):
    """A frozen, keyword-only dataclass whose fields are its configuration and whose `repr` is its
    name.

    Calling it returns a new model and leaves its argument alone. Randomness comes from torch's
    global generator. One that acts on layers has the fields `only` and `keep`, names of the layers
    that it changes and of those that it does not (`ActsOnLayers`); its name tells them where there
    are any.

    Two facts of a class let a planner use a technique that it has never seen: `stage`, where in a
    chain it belongs, and `strength`, the field that presses harder (None where there is nothing to
    turn). A technique with no stage is left alone by planners.
    """

    stage: ClassVar[Stage | None] = None
    strength: ClassVar[Strength | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__repr__" not in vars(cls):
            cls.__repr__ = _name  # before dataclass() looks, which leaves alone what a class has

    @abstractmethod
    def __call__(self, model: Any, task: Task) -> Any:
        """A new model that answers the same questions more cheaply."""

    def layers(self, model: Any, task: Task) -> list[str]:
        """Names of the layers of a torch module that `only` and `keep` may have, in the module's
        order: those with a parameter of two axes or more, for a technique that does not say
        otherwise.
        """
        found: dict[str, None] = {}
        for path, part in unwrapped(model).named_modules():
            name, parametrized, _ = f".{path}".partition(".parametrizations.")
            owner = name.removeprefix(".") if parametrized else path
            if any(
                one.ndim >= 2 and one.is_floating_point() for one in part.parameters(recurse=False)
            ):
                found[owner] = None
        return list(found)

    def prepared(self, model: Any, task: Task) -> Self:
        """An equal technique that has worked out already what it needs of this model and task
        whatever `only` and `keep` are: itself, for a technique that does not say otherwise.
        """
        return self

    def toward(self, size: float) -> Technique | None:
        """The technique set so that the weights of what it makes take about so many bytes.

        None where it cannot aim at that.
        """
        return None


@runtime_checkable
class ActsOnLayers(Protocol):
    """A technique that can be told which layers to change: what planners try layer by layer."""

    @property
    def only(self) -> tuple[str, ...]:
        """Patterns of names of the layers that it changes; empty: all that it can."""
        ...

    @property
    def keep(self) -> tuple[str, ...]:
        """Patterns of names of the layers that it leaves alone."""
        ...

    def layers(self, model: Any, task: Task) -> list[str]:
        """Names that `only` and `keep` may have."""
        ...

    def prepared(self, model: Any, task: Task) -> Self:
        """An equal technique that works faster on this model and task."""
        ...


def _name(self: Any) -> str:
    told = [
        f
        for f in fields(self)
        if f.repr and (f.name not in ("only", "keep", "pays") or getattr(self, f.name))
    ]
    return f"{type(self).__qualname__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in told)})"


@dataclass(frozen=True)
class Chain(Technique):
    """Techniques one after the other; the empty chain is the identity.

    Labels that one buys, those after it have too.
    """

    techniques: tuple[Technique, ...] = ()

    def __call__(self, model: Any, task: Task) -> Any:
        purchases = Purchases()
        for technique in self.techniques:
            model = technique(model, purchases.counted(task))
        return model

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.techniques))})"


def chain(*techniques: Technique) -> Chain:
    """One technique out of several, run from left to right; chains within are flattened."""
    return Chain(
        tuple(step for t in techniques for step in (t.techniques if isinstance(t, Chain) else (t,)))
    )


def settings(technique: Any) -> int:
    """How many settings somebody chose.

    The fields that differ from their defaults, those of nested choices included.
    """
    if isinstance(technique, Chain):
        return sum(map(settings, technique.techniques))
    count = 0
    for f in [one for one in fields(technique) if one.compare]:  # others are no part of what it is
        value = getattr(technique, f.name)
        default = (
            f.default
            if f.default is not MISSING
            else f.default_factory()
            if f.default_factory is not MISSING
            else MISSING
        )
        if default is MISSING or value != default:
            count += 1
            if is_dataclass(value) and not isinstance(value, type):
                count += settings(value)
    return count


def gist(technique: str) -> str:
    """A chain's repr in short: the names of its techniques with what was chosen first."""
    inner = (
        technique.removeprefix("chain(").removesuffix(")")
        if technique.startswith("chain(")
        else technique
    )
    words = []
    for part in _parts(inner):
        name, _, rest = part.partition("(")
        first = _parts(rest.removesuffix(")"))[0]
        words.append(f"{name}({first})" if first else name)
    return " + ".join(word for word in words if word) or "as it came in"


def _parts(arguments: str) -> list[str]:
    """What stands between the commas that are in no brackets; one part at least."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(arguments + ","):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(arguments[start:at].strip())
            start = at + 1
    return parts
