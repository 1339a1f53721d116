"""Layers of low rank: one large matrix as two thin ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique, seeded
from shoestring.core import batches as training_batches
from shoestring.core.task import evaluating
from shoestring.kit import (
    AdamW,
    Patterns,
    SkippedWarning,
    Training,
    bake,
    check_finite,
    chosen,
    clone,
    parameters_of,
    recover,
)
from shoestring.kit.quantised.outliers import say_far_off, without_outliers
from shoestring.kit.surgery.cutting import answers
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.weights.layers import say_how_far
from shoestring.kit.weights.parametrizations import removal

_KINDS: tuple[type, ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_WORTH = 0.9  # a layer is left whole unless its operations fall to this share or below


def _check(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"the share is {share}: it must be above 0 and at most 1")


@dataclass(frozen=True)
class Energy:
    """As many directions as hold this share (above 0, at most 1) of the sum of squares."""

    share: float = 0.99

    def __post_init__(self) -> None:
        _check(self.share)


@dataclass(frozen=True)
class LayerOperations:
    """As many directions as leave this share (above 0, at most 1) of each layer's operations."""

    share: float = 0.5

    def __post_init__(self) -> None:
        _check(self.share)


@dataclass(frozen=True)
class Outputs:
    """Directions in which the layer's outputs vary most over `batches` batches of the training
    split: what inputs never do costs nothing.

    Source: Zhang et al. 2016, section 2.1 (without the nonlinearity).
    """

    batches: int = 8

    def __post_init__(self) -> None:
        if self.batches < 1:
            raise ValueError(f"Outputs looks at {self.batches} batches: give 1 or more")


@dataclass(frozen=True)
class Weights:
    """The largest singular directions of the weights; no data are looked at."""


@dataclass(frozen=True, kw_only=True)
class LowRank(Technique):
    """Compute linear layers and convolutions as two thin ones where that takes fewer operations.

    Saves: operations, milliseconds where the layers are large, and bytes.
    Costs: the time of `training`; score.
    Source: Denton et al. 2014; Zhang et al. 2016, section 2.1 (a k×k convolution to fewer channels,
    and a 1×1 one back).

    `rank`: how many directions a layer keeps: Energy(0.99) or LayerOperations(0.5).
    `directions`: which: Outputs(batches=8) or Weights().
    `training`: after, taught by the model as it was; Training(0) trains nothing.
    `only`, `keep`: patterns of names of layers, those that are factored and those that are not.
    A layer is left whole where two would take more than nine tenths of its operations. In its place
    is an nn.Sequential of two: to restore a file, call the technique with Training(0) on the model
    first. With a SkippedWarning: weights that are tied, frozen, parametrized, or have a state
    (prune, share and round after), and layers whose own attributes the model looks at. Raises
    ValueError for settings out of range, names of no layer, and weights that are NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="rank", gentle=0.9, harsh=0.2, wrap=LayerOperations)

    rank: Energy | LayerOperations = Energy()
    directions: Outputs | Weights = Outputs()
    training: Training = Training(1000, AdamW(5e-4))
    only: Patterns = ()
    keep: Patterns = ()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with pairs of thin layers in it."""
        check_finite(model)
        thin = clone(model)
        names = _layers(thin)
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
            return thin
        seen = (
            _seen(model, task, names, self.directions.batches)
            if isinstance(self.directions, Outputs)
            else {}
        )
        examples = examples_of(task)
        before = after = 0
        for name in names:
            layer: Any = thin.get_submodule(name)
            pair = self._pair(layer, seen.get(name))
            before, after = before + layer.weight.numel(), after + layer.weight.numel()
            if pair is None:
                continue
            trial = _with(thin, name, pair)
            try:
                with torch.no_grad():
                    answers(bake(clone(trial)).eval().cpu(), examples)
            except Exception as error:
                text = (
                    f"LowRank skipped {name}: the model fails with two layers in its place "
                    f"({type(error).__name__}: {error})"
                )
                warnings.warn(text, SkippedWarning, stacklevel=2)
            else:
                thin = trial
                after += (
                    sum(one.numel() for one in pair.parameters() if one.ndim > 1)
                    - layer.weight.numel()
                )
        if isinstance(self.rank, LayerOperations) and not self.only and not self.keep:
            why = (
                "a layer keeps one direction at least, and is left whole where two in its "
                "place would not pay"
            )
            say_how_far(
                "LowRank", self.rank.share, after / max(before, 1), "weights of its layers", why
            )
        return recover(
            thin, task, model, self.training, what="training thin layers", key=repr(self)
        )

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may have."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)
            return _layers(model)

    def _pair(self, layer: Any, seen: tuple[Tensor, Tensor] | None) -> nn.Sequential | None:
        """Two layers in place of one; None where they would not pay."""
        matrix = layer.weight.detach().double().flatten(1).cpu()  # outputs × inputs
        outputs, inputs = matrix.shape
        if seen is None:
            directions, values, _ = torch.linalg.svd(matrix, full_matrices=False)
            energies, mean = values.square(), matrix.new_zeros(outputs)
        else:
            mean, covariance = seen
            energies, directions = torch.linalg.eigh(covariance)
            energies, directions = energies.flip(0).clamp(min=0), directions.flip(1)
        if isinstance(self.rank, Energy):
            parts = energies.cumsum(0) / energies.sum().clamp(min=1e-300)
            rank = int((parts < self.rank.share - 1e-12).sum()) + 1
        else:
            rank = max(1, int(self.rank.share * outputs * inputs / (outputs + inputs)))
        if rank * (outputs + inputs) > _WORTH * outputs * inputs:
            return None
        back = directions[:, :rank]
        # What varies little is taken for its mean, which the bias takes up.
        bias = mean - back @ (back.T @ mean)
        if layer.bias is not None:
            bias = bias + layer.bias.detach().double().cpu()
        return _two(
            layer,
            back.T @ matrix,
            back,
            bias if layer.bias is not None or seen is not None else None,
        )


def _layers(model: nn.Module) -> list[str]:
    """The names of the layers that can be factored.

    Others of their kind are named in a SkippedWarning.
    """
    reasons: dict[str, list[str]] = {}
    parameters = parameters_of(model)
    found: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, _KINDS):
            continue
        weight = parameters.of(module)
        reason = (
            (
                f"its weight is computed ({removal(module, 'weight') or 'by something else'} "
                "makes a "
                "plain parameter of it)"
            )
            if weight is None
            else "its weights are tied"
            if len(weight.owners) > 1
            else "its weights have a state"
            if weight.state is not None
            else f"it is {weight.why_foreign}"
            if weight.is_foreign
            else "it is frozen"
            if not weight.raw.requires_grad
            else "it has groups"
            if getattr(module, "groups", 1) > 1
            else "its class is the user's own"
            if type(module) not in _KINDS
            else "it is the model itself"
            if not name
            else ""
        )
        reasons.setdefault(reason, []).append(name or type(module).__name__)
        found += [] if reason else [name]
    for reason, names in reasons.items():
        if reason and reason != "it has groups":  # a layer with groups is cheap already
            warnings.warn(
                f"LowRank skipped {', '.join(names)}: {reason}", SkippedWarning, stacklevel=3
            )
    return found


def _seen(
    model: nn.Module, task: Task, names: list[str], batches: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and covariance of what each layer gives, without its bias."""
    plain = bake(clone(model))
    sums: dict[str, list[Any]] = {name: [0, 0.0, 0.0] for name in names}

    @contextmanager
    def listening() -> Iterator[None]:
        handles = [plain.get_submodule(name).register_forward_hook(hear(name)) for name in names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def hear(name: str) -> Any:
        def heard(layer: Any, _args: Any, output: Tensor) -> None:
            axis = -1 if isinstance(layer, nn.Linear) else -layer.weight.ndim + 1
            rows = output.detach().movedim(axis, -1).flatten(0, -2).float()
            if layer.bias is not None:
                rows = rows - layer.bias.detach().float()
            own = sums[name]
            own[0] += len(rows)
            own[1] += rows.sum(0).double().cpu()
            own[2] += (rows.T @ rows).double().cpu()

        return heard

    with torch.no_grad(), evaluating(plain), listening():
        given = list(islice(iter(training_batches(task, "train", plain)), batches))
        for batch in say_far_off(without_outliers(given, "LowRank"), "LowRank"):
            task.loss(plain, batch)
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name, (count, total, squares) in sums.items():
        if count:
            mean = total / count
            found[name] = mean, squares / count - torch.outer(mean, mean)
    return found


def _two(layer: Any, first: Tensor, second: Tensor, bias: Tensor | None) -> nn.Sequential:
    """Layers that compute second · first · x + bias, of the layer's type, device, mode and memory
    format.
    """
    rank = len(first)
    with seeded(0):
        if isinstance(layer, nn.Linear):
            pair = (
                nn.Linear(layer.in_features, rank, bias=False),
                nn.Linear(rank, layer.out_features, bias=bias is not None),
            )
        else:
            kind: Any = type(layer)
            pair = (
                kind(
                    layer.in_channels,
                    rank,
                    layer.kernel_size,
                    layer.stride,
                    layer.padding,
                    layer.dilation,
                    bias=False,
                    padding_mode=layer.padding_mode,
                ),
                kind(rank, layer.out_channels, 1, bias=bias is not None),
            )
    like = layer.weight
    for one, value in zip(pair, (first, second), strict=True):
        one.to(like.device, like.dtype)
        one.weight.data = value.reshape(one.weight.shape).to(like)
        if (
            like.ndim == 4
            and like.is_contiguous(memory_format=torch.channels_last)
            and not like.is_contiguous()
        ):
            one.weight.data = one.weight.data.contiguous(memory_format=torch.channels_last)
    if bias is not None:
        pair[1].bias.data = bias.to(like)
    return nn.Sequential(*pair).train(layer.training)


def _with(model: nn.Module, name: str, pair: nn.Sequential) -> nn.Module:
    """A copy with the pair in place of a layer, under all names that it has."""
    model, copied = clone(model), clone(pair)
    layer = model.get_submodule(name)
    for path in [
        path for path, module in model.named_modules(remove_duplicate=False) if module is layer
    ]:
        parent, _, last = path.rpartition(".")
        setattr(model.get_submodule(parent), last, copied)
    return model
