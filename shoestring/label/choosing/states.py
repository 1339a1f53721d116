"""What a model computes of examples just before its last linear layer, found by trying."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core.kinds import outputs_of
from shoestring.core.labels import LabelTask
from shoestring.kit import SkippedWarning
from shoestring.kit.tracing.last_linear import LastLinear, heard_inputs, last_linear
from shoestring.label.choosing.answers import Places, chunks, is_token, output_kind, places


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
    model: nn.Module, task: LabelTask, indices: Any, last: LastLinear | None
) -> Iterator[tuple[Any, Any, Tensor]]:
    """(outputs, inputs, state) of chunks; the state is the first output where there is no layer."""
    for chunk in chunks(indices):
        inputs = task.inputs(chunk)
        if last is None:
            outputs = task.outputs(model, inputs)
            yield outputs, inputs, _first_output(outputs)
            continue
        with heard_inputs(last.module) as heard:
            outputs = task.outputs(model, inputs)
        yield outputs, inputs, task.of_examples(heard[-1].float().cpu(), inputs, last.axis)


def _first_output(outputs: Any) -> Tensor:
    return next(leaf for leaf in outputs_of(outputs).values() if leaf.is_floating_point()).float()


def _by_place(state: Tensor, last: LastLinear | None) -> Tensor:
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


def _last_linear(model: nn.Module, task: LabelTask, indices: Any) -> LastLinear | None:
    """The last linear layer, or None with a SkippedWarning."""
    found = last_linear(model, lambda: task.outputs(model, task.inputs(np.asarray(indices)[:2])))
    if found is None:
        warnings.warn(
            f"{type(model).__name__} has no linear layer at its end that a module computes and "
            "whose input has one axis of features: its outputs are the features of an example",
            SkippedWarning,
            stacklevel=2,
        )
    return found
