"""Whole blocks taken out: what comes in goes through."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique, batches
from shoestring.core.task import evaluating
from shoestring.kit import (
    AdamW,
    Patterns,
    SkippedWarning,
    Training,
    check_finite,
    chosen,
    clone,
    parameters_of,
    recover,
)
from shoestring.kit.surgery.cutting import answers
from shoestring.kit.tracing.example import Example, examples_of
from shoestring.kit.weights.layers import say_how_far

_AS_LIGHT = 1.1
"""Times the weights of the lightest block, that another may have and count as light."""


@dataclass(frozen=True)
class LeastLoss:
    """Blocks whose loss is least when they are passed by go first."""

    def among(self, model: nn.Module, names: list[str]) -> list[str]:
        """The blocks to choose from."""
        return names


@dataclass(frozen=True)
class Lightest:
    """Those of the fewest weights go first, of these the ones whose loss is least.

    In convolutional networks early blocks hold few weights and take as long as any: what is left
    has more to learn with, and loses more until it has.
    """

    def among(self, model: nn.Module, names: list[str]) -> list[str]:
        """The blocks to choose from: the lightest, and those that are nearly as light."""
        weights = {
            name: sum(p.numel() for p in model.get_submodule(name).parameters()) for name in names
        }
        return [name for name in names if weights[name] <= _AS_LIGHT * min(weights.values())]


class Through(nn.Module):
    """Returns its first argument: what is left of a block that was taken out."""

    def forward(self, first: Any, *others: Any, **named: Any) -> Any:
        """The first argument as it came."""
        return first


@dataclass(frozen=True, kw_only=True)
class Blocks(Technique):
    """Take out the blocks whose loss is least when they are passed by, one after the other,
    measured each time.

    Saves: operations, milliseconds and bytes: a block is gone as a whole.
    Costs: the time of `training`; score; for each block taken out, a run of every other over
    `batches` batches.
    Source: Fan, Grave & Joulin 2020, section 3; Sajjad et al. 2023. Differs: which ones go is
    measured, one after the other.

    `share`: of the blocks that is kept, above 0 and at most 1; one stays at least.
    `batches`: of the training split that the loss is measured on.
    `first`: which blocks go first, LeastLoss() or Lightest().
    `training`: after the last block went; Training(0) trains nothing.
    `only`, `keep`: patterns of names of blocks that may go, and of those that must stay.
    A block is a module with weights and parts of its own in an nn.Sequential or nn.ModuleList,
    called once, that returns a tensor like its first argument. A `Through` takes its place: to
    restore a file into the model's class, take the same blocks out with `bypassed` first. With a
    SkippedWarning: blocks with weights that others share, those that the model asks for more than
    their answer, and those without which the loss is NaN or infinite. Raises ValueError for
    settings out of range, names of no block, and weights that are NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="share", gentle=0.9, harsh=0.3)

    share: float = 0.5
    batches: int = 8
    first: LeastLoss | Lightest = LeastLoss()
    training: Training = Training(1000, AdamW(5e-4))
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"the share is {self.share}: it must be above 0 and at most 1")
        if self.batches < 1:
            raise ValueError(f"the loss is measured on {self.batches} batches: give 1 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with fewer blocks."""
        check_finite(model)
        found = _blocks(model, task)
        if not found:
            warnings.warn(
                "Blocks found no block in the model that it could take out",
                SkippedWarning,
                stacklevel=2,
            )
            return clone(model)
        candidates = chosen(found, self.only, self.keep, "Blocks")
        count = min(len(found) - max(1, round(self.share * len(found))), len(candidates))
        shorter = clone(model)
        given = list(islice(iter(batches(task, "train", shorter)), self.batches))
        for _ in range(count):
            near = self.first.among(shorter, candidates)
            losses = {name: _loss(bypassed(shorter, (name,)), task, given) for name in near}
            least = min(
                losses, key=lambda name: losses[name] if math.isfinite(losses[name]) else math.inf
            )
            if not math.isfinite(losses[least]):
                text = (
                    f"Blocks skipped {', '.join(near)}: without any of these the loss is "
                    f"{losses[least]}"
                )
                warnings.warn(text, SkippedWarning, stacklevel=2)
                break
            candidates.remove(least)
            shorter = bypassed(shorter, (least,))
        if not self.only and not self.keep:
            reached = len(candidates) / len(found)
            why = "one stays at least, and so do those that the model cannot do without"
            say_how_far("Blocks", self.share, reached, "blocks", why, len(found))
        return recover(
            shorter, task, model, self.training, what="training what is left", key=repr(self)
        )

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may have."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)  # that is for those who cut
            return _blocks(model, task)


def bypassed(model: nn.Module, names: Patterns) -> nn.Module:
    """A copy of the model in which the blocks of these names (paths of modules) return their first
    argument.

    Raises ValueError for a name of no module.
    """
    model = clone(model)
    modules = dict(model.named_modules())
    for name in chosen(list(modules), names, (), "bypassed") if names else ():
        parent, _, last = name.rpartition(".")
        setattr(modules[parent], last, Through())
    return model


def _loss(model: nn.Module, task: Task, batches: list[Any]) -> float:
    with torch.no_grad(), evaluating(model):
        return sum(float(task.loss(model, batch)) for batch in batches) / len(batches)


def _blocks(model: nn.Module, task: Task) -> list[str]:
    """The names of the blocks of a model, in its order."""
    judged, examples = clone(model).eval().cpu(), examples_of(task)
    shared = {
        id(module)
        for one in parameters_of(judged)
        if len(one.owners) > 1
        for module, _ in one.owners
    }
    holders = {
        name
        for name, module in judged.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
    }
    calls: dict[str, list[bool]] = {}

    def listen(name: str) -> Any:
        def heard(_module: nn.Module, args: tuple, answer: Any) -> None:
            all_close = bool(args) and isinstance(args[0], Tensor) and isinstance(answer, Tensor)
            calls.setdefault(name, []).append(
                all_close and args[0].shape == answer.shape and args[0].dtype == answer.dtype
            )

        return heard

    for name, module in judged.named_modules():
        if (
            name
            and name.rpartition(".")[0] in holders
            and next(module.parameters(), None) is not None
            and any(module.children())
        ):
            module.register_forward_hook(listen(name))
    with torch.no_grad():
        for example in examples:
            example.run(judged)
    found = [name for name, module in judged.named_modules() if calls.get(name) == [True]]
    tied = [
        name
        for name in found
        if any(id(part) in shared for part in judged.get_submodule(name).modules())
    ]
    if tied:
        warnings.warn(
            f"Blocks skipped {', '.join(tied)}: weights of theirs are tied",
            SkippedWarning,
            stacklevel=3,
        )
    inside = [name for name in found if any(name.startswith(f"{other}.") for other in found)]
    return [
        name
        for name in found
        if name not in tied and name not in inside and not _is_looked_at(judged, name, examples)
    ]


def _is_looked_at(model: nn.Module, name: str, examples: Sequence[Example]) -> bool:
    """Whether the model fails where a block is passed by, as when it asks for an attribute of it.

    Said in a SkippedWarning.
    """
    try:
        with torch.no_grad():
            answers(bypassed(model, (name,)), examples)
    except Exception as error:
        text = (
            f"Blocks skipped {name}: without it the model fails ({type(error).__name__}: {error})"
        )
        warnings.warn(text, SkippedWarning, stacklevel=4)
        return True
    return False
