"""Technique: a model in, a cheaper model that answers the same questions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from shoestring.core.task import Task


class Technique(ABC):
    """A frozen, keyword-only dataclass whose fields are its configuration and whose `repr` is its name.

    Calling it returns a new model and leaves its argument alone. Randomness comes from torch's global generator. One that acts
    on layers has the fields `only` and `keep`, names of the layers that it changes and of those that it does not; its name
    tells them where there are any.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__repr__" not in vars(cls):
            cls.__repr__ = _name  # before dataclass() looks, which leaves alone what a class has

    @abstractmethod
    def __call__(self, model: Any, task: Task) -> Any:
        """A new model that answers the same questions more cheaply."""


def _name(self: Any) -> str:
    told = [f for f in fields(self) if f.repr and (f.name not in ("only", "keep") or getattr(self, f.name))]
    return f"{type(self).__qualname__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in told)})"


@dataclass(frozen=True)
class Chain(Technique):
    """Techniques one after the other; the empty chain is the identity."""

    techniques: tuple[Technique, ...] = ()

    def __call__(self, model: Any, task: Task) -> Any:
        for technique in self.techniques:
            model = technique(model, task)
        return model

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.techniques))})"


def chain(*techniques: Technique) -> Chain:
    """One technique out of several, run from left to right; chains within are flattened."""
    return Chain(tuple(step for t in techniques for step in (t.techniques if isinstance(t, Chain) else (t,))))


def settings(technique: Any) -> int:
    """How many settings somebody chose: the fields that differ from their defaults, those of nested choices included."""
    if isinstance(technique, Chain):
        return sum(map(settings, technique.techniques))
    count = 0
    for f in fields(technique):
        value = getattr(technique, f.name)
        default = (
            f.default if f.default is not MISSING else f.default_factory() if f.default_factory is not MISSING else MISSING
        )
        if default is MISSING or value != default:
            count += 1
            if is_dataclass(value) and not isinstance(value, type):
                count += settings(value)
    return count
