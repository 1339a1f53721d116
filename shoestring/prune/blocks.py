"""Remove whole blocks: the input of a removed block becomes its output."""

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
from shoestring.prune.unchanged import unchanged

_NEARLY_LIGHTEST = 1.1
"""A block counts as one of the lightest up to this multiple of the lightest's weights."""


@dataclass(frozen=True)
class LeastLoss:
    """Next goes the block without which the loss is least."""

    def among(self, model: nn.Module, names: list[str]) -> list[str]:
        """The candidates for the next removal: all of `names`."""
        return names


@dataclass(frozen=True)
class Lightest:
    """Next goes the block without which the loss is least, among those with the fewest weights.

    In convolutional networks early blocks hold few weights but take as long as any other. What is
    left has more capacity to recover with, and loses more score until it is trained.
    """

    def among(self, model: nn.Module, names: list[str]) -> list[str]:
        """The candidates for the next removal: the lightest blocks, and those nearly as light."""
        weights = {
            name: sum(p.numel() for p in model.get_submodule(name).parameters()) for name in names
        }
        return [name for name in names if weights[name] <= _NEARLY_LIGHTEST * min(weights.values())]


class Through(nn.Module):
    """Returns its first argument: what replaces a block that was removed."""

    def forward(self, first: Any, *others: Any, **named: Any) -> Any:
        """The first argument, unchanged."""
        return first


@dataclass(frozen=True, kw_only=True)
class Blocks(Technique):
    """Remove the blocks without which the loss is least, one after the other.

    Saves: operations, milliseconds and bytes: a block is removed whole.
    Costs: the time of `training`; score; for each block removed, the loss of the model without each
    candidate, over `batches` batches.
    Source: Fan, Grave & Joulin 2020, section 3; Sajjad et al. 2023. Differs: which blocks go is
    measured, one after the other.

    `share`: the share of the blocks that is kept, above 0 and at most 1; at least one block stays.
    `batches`: how many batches of the training split the loss is measured on, 1 or more.
    `first`: which blocks go first, LeastLoss() or Lightest().
    `training`: after the last removal; Training(0) trains nothing, and a model that keeps all its
        blocks is not trained.
    `only`, `keep`: patterns of names of blocks that may be removed, and of those that must stay.

    A block is a child of an nn.Sequential or nn.ModuleList that has weights and child modules, is
    called once, and returns a tensor of the shape and type of its first argument. A `Through`
    replaces it. To restore a file into the model's class, remove the same blocks with `bypassed`
    first.
    Skipped with a SkippedWarning: blocks with tied weights, blocks without which the model fails
    (because it reads an attribute of them, say), and blocks without which the loss is NaN or
    infinite.
    Raises ValueError for settings out of range, patterns that match no block, and weights that are
    NaN or infinite.
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
        blocks = _blocks(model, task)
        if not blocks:
            warnings.warn(
                "Blocks found no block in the model that it could take out",
                SkippedWarning,
                stacklevel=2,
            )
            return clone(model)
        candidates = chosen(blocks, self.only, self.keep, "Blocks")
        count = min(len(blocks) - max(1, round(self.share * len(blocks))), len(candidates))
        shorter, before = clone(model), len(candidates)
        data = list(islice(iter(batches(task, "train", shorter)), self.batches))
        for _ in range(count):
            removable = self.first.among(shorter, candidates)
            losses = {name: _loss(bypassed(shorter, (name,)), task, data) for name in removable}
            best = min(
                losses, key=lambda name: losses[name] if math.isfinite(losses[name]) else math.inf
            )
            if not math.isfinite(losses[best]):
                text = (
                    f"Blocks skipped {', '.join(removable)}: without any of these the loss is "
                    f"{losses[best]}"
                )
                warnings.warn(text, SkippedWarning, stacklevel=2)
                break
            candidates.remove(best)
            shorter = bypassed(shorter, (best,))
        if not self.only and not self.keep:
            reached = len(candidates) / len(blocks)
            why = "one stays at least, and so do those that the model cannot do without"
            say_how_far("Blocks", self.share, reached, "blocks", why, len(blocks))
        if len(candidates) == before:
            return unchanged(model, self.training, "Blocks")
        return recover(
            shorter, task, model, self.training, what="training what is left", key=repr(self)
        )

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)  # only the removal itself warns
            return _blocks(model, task)


def bypassed(model: nn.Module, names: Patterns) -> nn.Module:
    """A copy of the model in which these blocks return their first argument.

    `names`: paths of modules, or patterns of them. Raises ValueError for one that matches no
        module.
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
    """The names of the blocks of a model, in the order of its modules."""
    probed, examples = clone(model).eval().cpu(), examples_of(task)
    shared = {
        id(module)
        for weight in parameters_of(probed)
        if len(weight.owners) > 1
        for module, _ in weight.owners
    }
    containers = {
        name
        for name, module in probed.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
    }
    calls: dict[str, list[bool]] = {}

    def hook_for(name: str) -> Any:
        def hook(_module: nn.Module, args: tuple, output: Any) -> None:
            are_tensors = bool(args) and isinstance(args[0], Tensor) and isinstance(output, Tensor)
            calls.setdefault(name, []).append(
                are_tensors and args[0].shape == output.shape and args[0].dtype == output.dtype
            )

        return hook

    for name, module in probed.named_modules():
        if (
            name
            and name.rpartition(".")[0] in containers
            and next(module.parameters(), None) is not None
            and any(module.children())
        ):
            module.register_forward_hook(hook_for(name))
    with torch.no_grad():
        for example in examples:
            example.run(probed)
    blocks = [name for name, module in probed.named_modules() if calls.get(name) == [True]]
    tied = [
        name
        for name in blocks
        if any(id(part) in shared for part in probed.get_submodule(name).modules())
    ]
    if tied:
        warnings.warn(
            f"Blocks skipped {', '.join(tied)}: they have tied weights",
            SkippedWarning,
            stacklevel=3,
        )
    nested = [name for name in blocks if any(name.startswith(f"{outer}.") for outer in blocks)]
    return [
        name
        for name in blocks
        if name not in tied and name not in nested and not _is_needed(probed, name, examples)
    ]


def _is_needed(model: nn.Module, name: str, examples: Sequence[Example]) -> bool:
    """Whether the model fails without a block, as when it reads an attribute of the block.

    Warns with a SkippedWarning if so.
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
