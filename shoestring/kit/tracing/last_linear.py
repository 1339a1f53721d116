"""The last linear layer of a model, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core.task import evaluating


@dataclass(frozen=True)
class LastLinear:
    """A linear layer: the module, and which axis of its input has the features."""

    module: nn.Module
    axis: int


@dataclass(frozen=True)
class _Call:
    """A call of a module: what it was given, and what it made of it."""

    module: nn.Module
    given: Tensor
    made: Tensor


_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@contextmanager
def heard_inputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """What a module is given, call by call, within the context; without gradients."""
    heard: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0].detach()))
    try:
        yield heard
    finally:
        hook.remove()


def last_linear(model: nn.Module, run: Callable[[], Any]) -> LastLinear | None:
    """The last module in the order of calls that is linear in its input and has a matrix.

    None where there is none whose input has one axis of features.
    `run`: calls the model in evaluation mode on an example or two.

    A head that pools, flattens and multiplies is linear as a whole too, but its input has no axis
    of features: then its parts are tried.
    """
    calls: list[_Call] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        one = inputs[0] if len(inputs) == 1 else None
        if isinstance(one, Tensor) and isinstance(output, Tensor) and one.is_floating_point():
            calls.append(_Call(module, one, output))

    wide = [part for part in model.modules() if any(p.ndim >= 2 for p in part.parameters())]
    hooks = [part.register_forward_hook(note) for part in wide]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    # A call ends after those inside it: outer modules come first here, then their parts.
    unreadable: set[nn.Module] = set()
    for call in reversed(calls):
        if unreadable and call.module not in unreadable:
            break  # what comes before the last linear layer is not its input
        if _is_linear(call.module, call.given):
            if (axis := _axis(call)) is not None:
                return LastLinear(call.module, axis)
            unreadable = unreadable or set(call.module.modules())
    return None


def _is_linear(module: nn.Module, given: Tensor) -> bool:
    """Whether f(a + b) + f(0) = f(a) + f(b) for two random inputs, and f is not constant."""
    first, second = _random(given, 0), _random(given, 1)
    tried = _tried(module, first + second, torch.zeros_like(given), first, second)
    if tried is None:
        return False
    both, zero, of_first, of_second = tried
    apart = of_first + of_second
    size = (apart - 2 * zero).abs().max()
    return bool(size > 0 and (both + zero - apart).abs().max() <= 1e-3 * size)


def _random(given: Tensor, seed: int) -> Tensor:
    draw = torch.Generator(device=given.device).manual_seed(seed)
    return torch.randn(given.shape, generator=draw, device=given.device, dtype=given.dtype)


def _tried(module: nn.Module, *inputs: Tensor) -> list[Tensor] | None:
    """The answers to inputs, or None where the module takes only what it was given."""
    try:
        with evaluating(module), torch.no_grad():
            f: Callable[[Tensor], Tensor] = module
            return [f(one) for one in inputs]
    except (RuntimeError, ValueError, TypeError):
        return None


def _axis(call: _Call) -> int | None:
    """The axis of the features, or None where it cannot be told.

    It is known of PyTorch's own layers. Of others it is the axis as long as a side of a matrix,
    along which the answers do not move as the inputs are moved: along an axis of places they do.
    A layer that changes the number of axes pools or flattens, and has no axis of features.
    """
    module, given, made = call.module, call.given, call.made
    if isinstance(module, nn.Linear):
        return given.ndim - 1
    if isinstance(module, _CONVOLUTIONS):
        return 1
    if given.ndim != made.ndim:
        return None
    sides = {side for p in module.parameters() if p.ndim >= 2 for side in p.shape[:2]}
    found = [axis for axis in range(1, given.ndim) if given.shape[axis] in sides]
    if len(found) > 1:
        found = [axis for axis in found if not _moves(call, axis)]
    return found[0] if len(found) == 1 else None


def _moves(call: _Call, axis: int) -> bool:
    """Whether answers are moved along an axis as the inputs are."""
    if call.given.shape[axis] != call.made.shape[axis]:
        return False
    inputs = _random(call.given, 0)
    tried = _tried(call.module, inputs, inputs.roll(1, axis))
    return tried is not None and torch.allclose(
        tried[0].roll(1, axis), tried[1], rtol=1e-3, atol=1e-4
    )
