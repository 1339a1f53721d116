"""Low-rank factorisation: one large matrix becomes two thin ones."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import (
    AdamW,
    Patterns,
    SkippedWarning,
    Training,
    Weight,
    check_finite,
    chosen,
    clone,
    parameters_of,
    recover,
)
from shoestring.kit.surgery.in_sequence import reason_to_leave
from shoestring.kit.surgery.on_batches import on_batches
from shoestring.kit.surgery.replacing import replaced, those_needed
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.weights.layers import say_how_far
from shoestring.prune.thin_pair import largest_rank, thin_pair
from shoestring.prune.unchanged import unchanged

_KINDS: tuple[type, ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_GROUPED = "it has groups"  # no warning: a layer with groups is cheap already
_WORTH = 0.9  # a layer is factored only if its operations fall to this share or below


def _check(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"the share is {share}: it must be above 0 and at most 1")


@dataclass(frozen=True)
class Energy:
    """The fewest directions that hold this share of the sum of squared singular values.

    `share`: above 0, at most 1.
    """

    share: float = 0.99

    def __post_init__(self) -> None:
        _check(self.share)


@dataclass(frozen=True)
class LayerOperations:
    """As many directions as leave this share of each layer's operations, but at least one.

    `share`: above 0, at most 1.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        _check(self.share)


@dataclass(frozen=True)
class Outputs:
    """The directions in which the layer's outputs vary most.

    Directions that no input reaches cost nothing to drop.
    Source: Zhang et al. 2016, section 2.1 (without the nonlinearity).

    `batches`: how many batches of the training split are measured, 1 or more.
    """

    batches: int = 8

    def __post_init__(self) -> None:
        if self.batches < 1:
            raise ValueError(f"Outputs looks at {self.batches} batches: give 1 or more")


@dataclass(frozen=True)
class Weights:
    """The largest singular directions of the weights; no data are used."""


@dataclass(frozen=True, kw_only=True)
class LowRank(Technique):
    """Factor linear layers and convolutions into two thin ones where that takes fewer operations.

    Saves: operations, milliseconds where the layers are large, and bytes.
    Costs: the time of `training`; score.
    Source: Denton et al. 2014; Zhang et al. 2016, section 2.1 (a k×k convolution to fewer channels,
    and a 1×1 one back).

    `rank`: how many directions a layer keeps: Energy(0.99) or LayerOperations(0.5).
    `directions`: which ones: Outputs(batches=8) or Weights().
    `training`: after the factorisation, with the model as it was as teacher; Training(0) trains
        nothing, and a model in which nothing was factored is not trained.
    `only`, `keep`: patterns of names of layers that are factored, and of those that are not.

    A layer stays as it is where two would take more than nine tenths of its operations. Otherwise
    an nn.Sequential of two layers replaces it: to restore a file into the model's class, first call
    the technique with Training(0) on the model. Skipped with a SkippedWarning: weights that are
    tied, frozen, parametrized, or have a state (prune, share and quantize afterwards), layers with
    hooks, and layers of which the model reads attributes or asks what they are. Raises ValueError
    for settings out of range, patterns that match no layer, and weights that are NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="rank", gentle=0.9, harsh=0.2, wrap=LayerOperations)

    rank: Energy | LayerOperations = Energy()
    directions: Outputs | Weights = Outputs()
    training: Training = Training(1000, AdamW(5e-4))
    only: Patterns = ()
    keep: Patterns = ()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with pairs of thin layers."""
        check_finite(model)
        names = _layers(model)
        names = (
            chosen(names, self.only, self.keep, "LowRank")
            if names or self.only or self.keep
            else []
        )
        if not names:
            warnings.warn(
                "LowRank found no layer in the model that it could factor",
                SkippedWarning,
                stacklevel=2,
            )
            return clone(model)
        statistics = (
            _output_statistics(model, task, names, self.directions.batches)
            if isinstance(self.directions, Outputs)
            else {}
        )
        needed = those_needed(model, names, examples_of(task))
        before = after = 0
        pairs: dict[str, nn.Module] = {}
        for name in names:
            layer: Any = model.get_submodule(name)
            pair = self._pair(layer, statistics.get(name))
            before, after = before + layer.weight.numel(), after + layer.weight.numel()
            if pair is None:
                continue
            if why := needed.get(name):
                warnings.warn(f"LowRank skipped {name}: {why}", SkippedWarning, stacklevel=2)
                continue
            pairs[name] = pair
            after += (
                sum(weight.numel() for weight in pair.parameters() if weight.ndim > 1)
                - layer.weight.numel()
            )
        if isinstance(self.rank, LayerOperations) and not self.only and not self.keep:
            why = (
                "a layer keeps one direction at least, and is left whole where two in its place "
                "would not pay"
            )
            say_how_far(
                "LowRank", self.rank.share, after / max(before, 1), "weights of its layers", why
            )
        if not pairs:
            return unchanged(model, self.training, "LowRank")
        thin = replaced(model, pairs)
        return recover(
            thin, task, model, self.training, what="training thin layers", key=repr(self)
        )

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)
            return _layers(model)

    def _pair(self, layer: Any, statistics: tuple[Tensor, Tensor] | None) -> nn.Sequential | None:
        """The two layers that replace a layer; None where they would not pay."""
        matrix = layer.weight.detach().double().flatten(1).cpu()  # outputs × inputs
        outputs, inputs = matrix.shape
        if statistics is None:
            directions, values, _ = torch.linalg.svd(matrix, full_matrices=False)
            energies, mean = values.square(), matrix.new_zeros(outputs)
        else:
            mean, covariance = statistics
            energies, directions = torch.linalg.eigh(covariance)
            energies, directions = energies.flip(0).clamp(min=0), directions.flip(1)
        if isinstance(self.rank, Energy):
            shares = energies.cumsum(0) / energies.sum().clamp(min=1e-300)
            rank = int((shares < self.rank.share - 1e-12).sum()) + 1
        else:
            rank = largest_rank(self.rank.share, outputs, inputs)
        if rank * (outputs + inputs) > _WORTH * outputs * inputs:
            return None
        back = directions[:, :rank]
        # The directions that are dropped are replaced by their mean, which goes into the bias.
        bias = mean - back @ (back.T @ mean)
        if layer.bias is not None:
            bias = bias + layer.bias.detach().double().cpu()
        return thin_pair(
            layer,
            back.T @ matrix,
            back,
            bias if layer.bias is not None or statistics is not None else None,
        )


def _layers(model: nn.Module) -> list[str]:
    """The names of the layers that can be factored.

    The others of these types are named in a SkippedWarning.
    """
    reasons: dict[str, list[str]] = {}
    parameters = parameters_of(model)
    factorable: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, _KINDS):
            continue
        reason = _reason_not(module, name, parameters.of(module))
        reasons.setdefault(reason, []).append(name or type(module).__name__)
        factorable += [] if reason else [name]
    for reason, names in reasons.items():
        if reason and reason != _GROUPED:
            warnings.warn(
                f"LowRank skipped {', '.join(names)}: {reason}", SkippedWarning, stacklevel=3
            )
    return factorable


def _reason_not(module: nn.Module, name: str, weight: Weight | None) -> str:
    """Why a layer cannot be factored; "" if it can."""
    if getattr(module, "groups", 1) > 1 and weight is not None:
        return reason_to_leave(module, name, weight, (type(module),)) or _GROUPED
    return reason_to_leave(module, name, weight, _KINDS)


def _output_statistics(
    model: nn.Module, task: Task, names: list[str], batches: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and covariance of the outputs of each layer without its bias.

    Shapes: (outputs) and (outputs, outputs).
    """
    sums: dict[str, list[Any]] = {name: [0, 0.0, 0.0] for name in names}

    def hook_for(name: str) -> Any:
        def hook(layer: Any, _features: Tensor, output: Tensor) -> None:
            axis = -1 if isinstance(layer, nn.Linear) else -layer.weight.ndim + 1
            rows = output.detach().movedim(axis, -1).flatten(0, -2).float()
            if layer.bias is not None:
                rows = rows - layer.bias.detach().float()
            totals = sums[name]
            totals[0] += len(rows)
            totals[1] += rows.sum(0).double().cpu()
            totals[2] += (rows.T @ rows).double().cpu()

        return hook

    on_batches(model, task, {name: hook_for(name) for name in names}, batches, "LowRank")
    statistics: dict[str, tuple[Tensor, Tensor]] = {}
    for name, (count, total, products) in sums.items():
        if count:
            mean = total / count
            statistics[name] = mean, products / count - torch.outer(mean, mean)
    return statistics
