"""Where a network can have an exit: blocks behind which the rest can be left out for a row."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, seeded
from shoestring.core.task import evaluating
from shoestring.kit import SkippedWarning, clone
from shoestring.kit.tracing.example import Example, examples_of
from shoestring.kit.tracing.operations import counted_as_trained

_HIDDEN = 32
"""Channels of a head's convolution, or the width inside a head."""

# Layers by the axis of their channels, where what they give has three axes.
_CHANNELS_FIRST = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.GroupNorm,
)
_CHANNELS_LAST = (
    nn.Linear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.Embedding,
    nn.MultiheadAttention,
    nn.RNNBase,
)


def head_for(at: Features, classes: int) -> nn.Module:
    """A classifier for features N×C×H×W, N×T×C, N×C×T or N×C."""
    features = at.output
    if features.ndim == 4:
        return nn.Sequential(
            nn.Conv2d(features.shape[1], _HIDDEN, 3, 2, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4) if features.shape[-1] % 8 == 0 else nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(_HIDDEN * (16 if features.shape[-1] % 8 == 0 else 1), classes),
        )
    before = [_MeanOver(3 - at.channels)] if at.channels is not None else [nn.Flatten()]
    width = features[0].numel() if at.channels is None else features.shape[at.channels]
    return nn.Sequential(*before, nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, classes))


class _MeanOver(nn.Module):
    """The mean over the words of a text, or the times of a signal: over `axis`."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, features: Tensor) -> Tensor:
        """N×C, of N×T×C or N×C×T."""
        return features.mean(self.axis)


def logits_of(model: nn.Module, example: Example) -> Tensor | None:
    """What the model answers on an example; None where that is not logits N×classes."""
    with torch.no_grad(), evaluating(model):
        answer = example.run(model)
    is_logits = isinstance(answer, Tensor) and answer.ndim == 2 and answer.is_floating_point()
    return answer if is_logits and answer.shape[-1] > 1 else None


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a block gives on the task's example.

    `channels`: of an output with three axes, which has the channels, 1 or 2; None for others.
    `rest`, `head`: operations for a row of what follows the block, and of a classifier behind it;
        None where an operator is not counted.
    """

    output: Tensor
    channels: int | None = None
    rest: int | None = None
    head: int | None = None

    @property
    def saves(self) -> bool:
        """Whether a row that leaves here saves more than the classifier costs, as far as known."""
        return self.rest is None or self.head is None or self.head < self.rest


def places(model: nn.Module, task: Task) -> dict[str, Features]:
    """The blocks behind which the rest can be left out, in the order of their calls.

    A SkippedWarning names those that will not do, and says why.
    """
    probed, (example, *others) = clone(model).eval().cpu(), examples_of(task)
    answer = None if others or example.entry else logits_of(probed, example)
    if answer is None or len(answer) < 2:
        warnings.warn(
            "EarlyExit skipped the model: it takes one that is called in one way and answers with "
            "logits N×classes on an example of two rows or more",
            SkippedWarning,
            stacklevel=3,
        )
        return {}
    once = _outputs(probed, example)
    rows = len(answer)
    fit = {
        name: one
        for name, one in once.items()
        if 2 <= one.output.ndim <= 4 and len(one.output) == rows and one.output.is_floating_point()
    }
    last = list(fit)[-1:]  # behind the last one nothing is left to leave out
    if unclear := [n for n, one in fit.items() if one.output.ndim == 3 and one.channels is None]:
        warnings.warn(
            f"EarlyExit skipped {', '.join(unclear)}: no layer before tells which of the three "
            "axes of the output has the channels. Stand a Conv1d, Linear or norm there, or name "
            "other blocks with only=",
            SkippedWarning,
            stacklevel=3,
        )
        fit = {name: one for name, one in fit.items() if name not in unclear}
    found = {n: one for n, one in fit.items() if n not in last and _is_apart(probed, n, example)}
    if left := [name for name in fit if name not in found and name not in last]:
        warnings.warn(
            f"EarlyExit skipped {', '.join(left)}: what follows needs more than the block's "
            "output, or does not treat each row by itself",
            SkippedWarning,
            stacklevel=3,
        )
    return _counted(probed, found, example, answer.shape[-1])


def _counted(
    model: nn.Module, found: Mapping[str, Features], example: Example, classes: int
) -> dict[str, Features]:
    """The same, with the operations of the rest of the network and of the head, where counted."""
    until: dict[str, int | None] = {}

    def note(name: str) -> Any:
        def hook(*_: Any) -> None:
            until[name] = counted.operations

        return hook

    handles = [model.get_submodule(name).register_forward_hook(note(name)) for name in found]
    try:
        with counted_as_trained() as counted:
            example.run(model)
    finally:
        for handle in handles:
            handle.remove()
    total, known = counted.operations, dict[str, Features]()
    for name, one in found.items():
        with seeded(0), counted_as_trained() as own:
            head_for(one, classes).to(one.output.dtype)(one.output)
        before, head = until[name], own.operations
        if total is not None and before is not None and head is not None:
            rows = len(one.output)
            one = replace(one, rest=(total - before) // rows, head=head // rows)
        known[name] = one
    return known


def _outputs(model: nn.Module, example: Example) -> dict[str, Features]:
    """What the blocks give that are called once, in the order of their calls."""
    outputs: dict[str, list[Features]] = {}
    told: list[tuple[int, int]] = []  # the axis of the channels and their number, by the last layer

    def tell(module: nn.Module, _args: Any, output: Any) -> None:
        value = output[0] if isinstance(output, tuple) else output
        if isinstance(value, Tensor) and value.ndim == 3:
            axis = 1 if isinstance(module, _CHANNELS_FIRST) else 2
            told[:] = [(axis, value.shape[axis])]

    def keeper(name: str) -> Any:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                axis = _axis(output, told) if output.ndim == 3 else None
                outputs.setdefault(name, []).append(Features(output=output, channels=axis))

        return keep

    layers = [m for m in model.modules() if isinstance(m, _CHANNELS_FIRST + _CHANNELS_LAST)]
    handles = [layer.register_forward_hook(tell) for layer in layers]  # before those of the blocks
    handles += [module.register_forward_hook(keeper(name)) for name, module in _blocks(model)]
    with torch.no_grad():
        example.run(model)
    for handle in handles:
        handle.remove()
    return {name: found[0] for name, found in outputs.items() if len(found) == 1}


def _axis(output: Tensor, told: list[tuple[int, int]]) -> int | None:
    """Which axis of an output has the channels, by the last layer's; the other where it turned."""
    if not told:
        return None
    ((axis, channels),) = told
    turned = output.shape[axis] != channels and output.shape[3 - axis] == channels
    return 3 - axis if turned else axis


def _blocks(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The children of the model's outermost containers, by name."""
    containers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
    ]
    outer = [
        name
        for name in containers
        if not any(name != o and (not o or name.startswith(f"{o}.")) for o in containers)
    ]
    return [
        (f"{name}.{child}" if name else child, module)
        for name in outer
        for child, module in model.get_submodule(name).named_children()
    ]


def _is_apart(model: nn.Module, name: str, example: Example) -> bool:
    """Whether the model gives the same for half of the rows where the others leave at a block."""

    def halve(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return output[::2]

    with torch.no_grad():
        wanted = example.run(model)[::2]
        handle = model.get_submodule(name).register_forward_hook(halve)
        try:
            found = example.run(model)
        except Exception:  # whatever a model raises that wanted all rows
            return False
        finally:
            handle.remove()
    tolerance = max(1e-4, 4 * torch.finfo(wanted.dtype).eps)  # half precision rounds coarsely
    return found.shape == wanted.shape and torch.allclose(
        found, wanted, rtol=tolerance, atol=tolerance / 10
    )
