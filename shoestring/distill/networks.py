"""Which network a student is: the model's own with narrower layers, or one that is given."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from shoestring.core import Task, device_of
from shoestring.kit import SkippedWarning, bake, clone, parameters_of
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.surgery.groups import Group
from shoestring.kit.surgery.removing import removed
from shoestring.kit.weights.layers import say_how_far


@runtime_checkable
class _Resettable(Protocol):
    """A layer that can draw its weights anew."""

    def reset_parameters(self) -> None:
        """Draw the weights as the constructor does."""
        ...


@dataclass(frozen=True)
class Narrower:
    """The model's own network with a share of the width of each layer, and fresh weights.

    Units that belong together (channels with their batch norm and their readers, attention heads)
    go together, as in pruning; of which are left nothing remains but their number. Layers whose
    units must stay keep their width.

    `share`: of the units of each layer that is kept, above 0 and at most 1.
    `multiple`: layers that have more channels than this are left with a multiple of it, 1 or more.

    Raises ValueError for numbers out of range.
    """

    share: float = 0.5
    multiple: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"the share is {self.share}: it must be above 0 and at most 1")
        if self.multiple < 1:
            raise ValueError(f"channels in multiples of {self.multiple}: give 1 or more")

    def made(self, model: nn.Module, task: Task) -> nn.Module | None:
        """The untrained student; warns where it is clearly wider than the share.

        None, with a SkippedWarning, where no layer can be narrower.
        """
        plain = bake(clone(model))
        groups = dependency_groups(plain, task, who="Student")
        before = sum(map(len, groups.groups))
        gone = [torch.arange(self._kept(group), len(group)) for group in groups.groups]
        if not before:
            warnings.warn(
                "Student found no layer that could be narrower, and leaves the model as it is",
                SkippedWarning,
                stacklevel=3,
            )
            return None
        if any(map(len, gone)):
            plain, groups = removed(plain, task, groups, gone, who="Student")
        why = (
            "the other layers must stay as they are, or have few channels (multiple=1 goes further)"
        )
        reached = sum(map(len, groups.groups)) / before
        say_how_far("Student", self.share, reached, "channels", why)
        return refreshed(plain)

    def _kept(self, group: Group) -> int:
        """How many units of a group stay: of heads and the like to the next whole one."""
        each = min(
            slices.shape[1] for key, slices in group.slices.items() if key not in group.reads
        )
        multiple = 1 if group.are_parts else self.multiple // gcd(self.multiple, each)
        wanted = max(1, -int(-self.share * len(group) // multiple)) * multiple
        return min(len(group), wanted)


@dataclass(frozen=True, repr=False)
class Given:
    """A network of one's own: `Given(Small)` for a function or class that makes it, or a module.

    What a function makes is drawn from torch's generator. Of a module a copy is trained, from the
    weights that it has.

    `network`: the module, or what makes it when it is called without arguments.

    Raises TypeError for anything else.
    """

    network: nn.Module | Callable[[], nn.Module]

    def __post_init__(self) -> None:
        if not callable(self.network):
            raise TypeError(
                f"the student is {self.network!r:.80}: give a module, or a function that makes one"
            )

    def made(self, model: nn.Module, task: Task) -> nn.Module:
        """The student, on the model's device; raises TypeError where no module is made."""
        given = self.network
        made = clone(given) if isinstance(given, nn.Module) else given()
        if not isinstance(made, nn.Module):
            raise TypeError(
                f"the function that makes the student returned {type(made).__name__}: it must "
                "return a module"
            )
        return made.to(device_of(model))

    def __repr__(self) -> str:
        """The name of the function; of a module its class, and a digest of its weights."""
        given = self.network
        if not isinstance(given, nn.Module):
            return f"Given({getattr(given, '__qualname__', type(given).__qualname__)})"
        digest = hashlib.sha256()
        for weight in parameters_of(given):
            digest.update(f"{weight.name} {tuple(weight.raw.shape)}".encode())
            flat = weight.value().detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
        return f"Given({type(given).__qualname__} {digest.hexdigest()[:8]})"


def refreshed(model: nn.Module) -> nn.Module:
    """Draw all weights of a module anew, in place, as if it had not been trained; returns it.

    Layers that have `reset_parameters` draw them as their constructor does. Embeddings, and weights
    of two axes or more in other modules, become normal numbers with the standard deviation that
    they had, since only their owner knows how they began; other weights there become their mean.
    """
    for part in model.modules():
        own = [one for one in part.parameters(recurse=False) if one.is_floating_point()]
        if isinstance(part, _Resettable) and not isinstance(part, nn.Embedding):
            part.reset_parameters()
            continue
        with torch.no_grad():
            for parameter in own:
                _redraw(parameter)
    return model


def _redraw(parameter: Tensor) -> None:
    if parameter.ndim < 2 or parameter.numel() < 2:
        parameter.fill_(float(parameter.mean()) if parameter.numel() else 0.0)
    else:
        parameter.normal_(std=float(parameter.float().std()))
