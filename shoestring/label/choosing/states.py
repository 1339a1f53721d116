"""What a model computes of examples just before its last linear layer, found by trying."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core.kinds import outputs_of
from shoestring.core.labels import LabelTask
from shoestring.core.task import evaluating
from shoestring.kit import SkippedWarning
from shoestring.label.choosing.answers import Places, chunks, is_token, output_kind, places


@dataclass(frozen=True)
class _Last:
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


def states(model: nn.Module, task: LabelTask, indices: Any) -> Tensor:
    """The features of examples, N×D: the input of the last linear layer, a mean over its places.

    Padding is left out of the mean (see `answers`). A layer counts as linear where it is so when it
    is tried: any module with a matrix among its parameters, which takes one tensor and gives one.
    Where a model has none, its outputs are the features, and a SkippedWarning says so.
    """
    last = _last_linear(model, task, indices)
    rows = []
    for _, inputs, state in _seen(model, task, indices, last):
        pooled, is_place = _by_place(state, last), None
        if pooled.ndim == 3:
            is_place = is_token(inputs, pooled.shape[1])
        rows.append(_mean(pooled, is_place))
    features_ND = torch.cat(rows)
    if not features_ND.isfinite().all():
        bad = int(np.asarray(indices)[int((~features_ND.isfinite().all(1)).nonzero()[0])])
        raise ValueError(
            f"the features of example {bad} are not finite: nothing can be chosen by them. See "
            "shoestring.diagnose(model, task)"
        )
    return features_ND


def states_of_places(
    model: nn.Module, task: LabelTask, indices: Any
) -> Iterator[tuple[Places, Tensor]]:
    """The places of examples with the input P×D of the last linear layer at each, in chunks.

    Where the layer sees another number of places than there are answers, each place has the mean
    over its example.
    """
    (kind, path), last = output_kind(model, task, indices), _last_linear(model, task, indices)
    for outputs, inputs, state in _seen(model, task, indices, last):
        found = places(outputs, kind, path, inputs, range(len(state)))
        rows = _by_place(state, last)
        at = found.owner_P
        if rows.ndim == 3 and len(at) == rows.shape[0] * rows.shape[1]:
            yield found, rows.flatten(0, 1)
            continue
        is_place = is_token(inputs, rows.shape[1]) if rows.ndim == 3 else None
        if is_place is not None and int(is_place.sum()) == len(at):
            yield found, rows[is_place]
        else:
            yield found, _mean(rows, is_place)[at]


def _seen(
    model: nn.Module, task: LabelTask, indices: Any, last: _Last | None
) -> Iterator[tuple[Any, Any, Tensor]]:
    """(outputs, inputs, state) of chunks; the state is the first output where there is no layer."""
    for chunk in chunks(indices):
        inputs = task.inputs(chunk)
        if last is None:
            outputs = task.outputs(model, inputs)
            yield outputs, inputs, _first_output(outputs)
            continue
        with _listening(last.module) as heard:
            outputs = task.outputs(model, inputs)
        yield outputs, inputs, task.of_examples(heard[-1].float().cpu(), inputs, last.axis)


@contextmanager
def _listening(module: nn.Module) -> Iterator[list[Tensor]]:
    heard: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0].detach()))
    try:
        yield heard
    finally:
        hook.remove()


def _first_output(outputs: Any) -> Tensor:
    return next(leaf for leaf in outputs_of(outputs).values() if leaf.is_floating_point()).float()


def _by_place(state: Tensor, last: _Last | None) -> Tensor:
    """N×D, or N×places×D."""
    axis = (2 if state.ndim == 3 else 1) if last is None else last.axis
    if state.ndim <= 2:
        return state.reshape(len(state), -1)
    return state.movedim(axis, -1).flatten(1, -2)


def _mean(rows: Tensor, is_place: Tensor | None) -> Tensor:
    """N×D from N×D or N×places×D; `is_place` N×places or None for all."""
    if rows.ndim == 2:
        return rows
    if is_place is None:
        return rows.mean(1)
    weights = is_place.to(rows)[:, :, None]
    return (rows * weights).sum(1) / weights.sum(1).clamp(min=1)


def _last_linear(model: nn.Module, task: LabelTask, indices: Any) -> _Last | None:
    """The last module in the order of calls that is linear in its input and has a matrix.

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
        task.outputs(model, task.inputs(np.asarray(indices)[:2]))
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
                return _Last(call.module, axis)
            unreadable = unreadable or set(call.module.modules())
    warnings.warn(
        f"{type(model).__name__} has no linear layer at its end that a module computes and whose "
        "input has one axis of features: its outputs are the features of an example",
        SkippedWarning,
        stacklevel=2,
    )
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
