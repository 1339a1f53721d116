"""Technique: takes a model and returns a cheaper model that answers the same questions."""

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
    """The place of a technique in a chain: labels first, code last."""

    LABELS = 0
    """The data: labels that are bought, corrected or made."""
    WORKERS = 1
    """The processes or machines that train."""
    STRUCTURE = 2
    """The layers and channels of the model."""
    WEIGHTS = 3
    """Sparsity and weight sharing, found by training."""
    NUMBERS = 4
    """The number of bits in which weights and activations are stored and computed."""
    CODE = 5
    """The entropy coding of the result."""


@dataclass(frozen=True, kw_only=True)
class Strength:
    """The field of a technique that compresses harder, which a planner can turn.

    The planner need not know the technique.

    `field`: the name of the field.
    `gentle`, `harsh`: the two ends of the values worth trying. Going from gentle to harsh never
        adds bytes (the conformance tests check it).
    `logarithmic`: whether equal steps of the press are equal ratios, not equal differences.
    `whole`: whether values are integers.
    `wrap`: makes the value of the field from the number, where it is not a number; None: it is one.
    """

    field: str
    gentle: float
    harsh: float
    logarithmic: bool = False
    whole: bool = False
    wrap: Callable[[Any], Any] | None = None

    def value(self, press: float) -> float:
        """The number at `press`, from 0 (gentle) to 1 (harsh)."""
        if self.logarithmic:
            value = math.exp(
                math.log(self.gentle) + press * (math.log(self.harsh) - math.log(self.gentle))
            )
        else:
            value = self.gentle + press * (self.harsh - self.gentle)
        return round(value) if self.whole else float(f"{value:.4g}")

    def set(self, technique: T, press: float) -> T:
        """The technique with its field set to the value at `press`, 0 (gentle) to 1 (harsh)."""
        value = self.value(press)
        return replace(technique, **{self.field: value if self.wrap is None else self.wrap(value)})  # type: ignore[type-var]


class Technique(ABC):
    """A frozen, keyword-only dataclass: its fields are its configuration, its `repr` is its name.

    Calling it returns a new model and does not change its argument. Random numbers come from the
    global generator of torch. A technique that acts on layers has the fields `only` and `keep`,
    with the names of the layers that it changes and that it leaves alone (`ActsOnLayers`); its
    `repr` shows them where they are not empty.

    Three class attributes let a planner use a technique that it does not know:
    `stage`: the place in a chain; None: planners do not use it.
    `strength`: the field that compresses harder; None: there is nothing to turn.
    `first_choice`: whether it comes first in a stage of which planners use one technique without
        trying several, since each trial costs labels.
    """

    stage: ClassVar[Stage | None] = None
    strength: ClassVar[Strength | None] = None
    first_choice: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__repr__" not in vars(cls):
            cls.__repr__ = _name  # dataclass() runs later and keeps a __repr__ that a class has

    @abstractmethod
    def __call__(self, model: Any, task: Task) -> Any:
        """A new model that answers the same questions more cheaply."""

    def layers(self, model: Any, task: Task) -> list[str]:
        """The names that `only` and `keep` may have, in the module's order.

        By default these are the layers with a parameter of 2 axes or more.
        """
        names: dict[str, None] = {}
        for path, part in unwrapped(model).named_modules():
            name, parametrized, _ = f".{path}".partition(".parametrizations.")
            owner = name.removeprefix(".") if parametrized else path
            if any(
                parameter.ndim >= 2 and parameter.is_floating_point()
                for parameter in part.parameters(recurse=False)
            ):
                names[owner] = None
        return list(names)

    def prepared(self, model: Any, task: Task) -> Self:
        """An equal technique that keeps what it computes from the model and task alone.

        Trials with several `only` and `keep` then compute that once. By default, itself.
        """
        return self

    def toward(self, size: float) -> Technique | None:
        """The technique, set so that the weights of its result take about `size` bytes.

        None where it cannot aim at a size.
        """
        return None


@runtime_checkable
class ActsOnLayers(Protocol):
    """A technique that takes the names of the layers to change, so that planners can try each."""

    @property
    def only(self) -> tuple[str, ...]:
        """Patterns for the names of the layers that it changes; empty: all that it can change."""
        ...

    @property
    def keep(self) -> tuple[str, ...]:
        """Patterns for the names of the layers that it leaves alone."""
        ...

    def layers(self, model: Any, task: Task) -> list[str]:
        """The names that `only` and `keep` may have."""
        ...

    def prepared(self, model: Any, task: Task) -> Self:
        """An equal technique that works faster on this model and task."""
        ...


def _name(self: Any) -> str:
    values = [
        f"{f.name}={getattr(self, f.name)!r}"
        for f in fields(self)
        if f.repr and (f.name not in ("only", "keep", "pays") or getattr(self, f.name))
    ]
    return f"{type(self).__qualname__}({', '.join(values)})"


@dataclass(frozen=True)
class Chain(Technique):
    """Techniques one after the other; the empty chain is the identity.

    A technique also has the labels that the techniques before it bought.
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
    """One technique that runs several from left to right; nested chains are flattened."""
    return Chain(
        tuple(step for t in techniques for step in (t.techniques if isinstance(t, Chain) else (t,)))
    )


def settings(technique: Any) -> int:
    """How many settings a person chose: fields that differ from their defaults, nested ones too."""
    if isinstance(technique, Chain):
        return sum(map(settings, technique.techniques))
    count = 0
    for f in [f for f in fields(technique) if f.compare]:  # the others are not configuration
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


def steps_of(technique: str) -> list[str]:
    """The reprs of the techniques of a chain, from the chain's repr; [] for the empty chain."""
    inner = (
        technique.removeprefix("chain(").removesuffix(")")
        if technique.startswith("chain(")
        else technique
    )
    return [step for step in _parts(inner) if step]


def gist(technique: str) -> str:
    """A short form of a chain's repr: the names of its techniques, each with its first field."""
    words = []
    for part in steps_of(technique):
        name, _, rest = part.partition("(")
        first = _parts(rest.removesuffix(")"))[0]
        words.append(f"{name}({first})" if first else name)
    return " + ".join(word for word in words if word) or "as it came in"


def _parts(arguments: str) -> list[str]:
    """The text between the commas outside of all brackets; at least one part."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(arguments + ","):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(arguments[start:index].strip())
            start = index + 1
    return parts
