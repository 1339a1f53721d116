"""Restore a file into a module, to go on training."""

from __future__ import annotations

import warnings
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from shoestring.artifact.format import file
from shoestring.artifact.format.tensors import Tensor as FileTensor
from shoestring.kit.quantised.integers import scales_in
from shoestring.kit.weights.coded import LARGEST_INT8, give_state, scales_shape, torch_of
from shoestring.kit.weights.parameters import (
    Parameters,
    SkippedWarning,
    Weight,
    bake,
    clone,
    parameters_of,
)
from shoestring.kit.weights.sizes import RESIZABLE, resize
from shoestring.kit.weights.state import spread


def load_into(
    path: str | Path,
    model: nn.Module,
    *,
    max_bytes: int = file.MAX_BYTES,
    max_seconds: float | None = None,
) -> nn.Module:
    """A copy of `model` with the weights of the file, to go on training.

    The weights are the file's, bit for bit. Each gets a state: zeros become a mask, levels a
    codebook, multiples a scale. `bake(model)` removes the states.

    `path`: the file.
    `model`: the module that the file was written from, or the one from before hidden units were
        removed: torch's own layers become as small as the file has them.
    `max_bytes`, `max_seconds`: as `load` takes them.

    The file does not say which state a weight had, so that the state is guessed. A scale that the
    file has is the one that was written. The guess differs from what was written where

    - zeros of a tensor with two axes or more were no mask, such as a weight that happens to be 0 or
      a grid that has 0: they stay 0.
    - a parameter without a state has few values, each twice or more on average (ones, signs, a
      table): it gets a codebook.
    - multiples of a scale were coded as levels, or levels as multiples, whichever takes fewer
      bytes.
    - few weights of a tensor had a state, and plain values take fewer bytes: it gets none.

    `docs/format.md` has the rules, in "What a reader may guess".

    Parameters that the file does not have, since its graph does not use them, keep the model's
    values, with a SkippedWarning. Raises ValueError where the file is of another model, ShoeError
    for a damaged file.
    """
    model = bake(clone(model))
    parameters = parameters_of(model)
    content = file.read_model(path, max_bytes, max_seconds)
    integer_scales = scales_in(content)
    _check_shapes(content.tensors, parameters, path, has_integers=bool(integer_scales))
    for index, (tensor, packed) in enumerate(zip(content.tensors, content.packed, strict=True)):
        if tensor.member is None:
            continue
        weight = parameters[tensor.member]
        scales = integer_scales.get(index) if weight.raw.is_floating_point() else None
        _set_value(weight, _value_of(tensor, weight, scales, path))
        _give_state_of(
            weight,
            packed.scales if scales is None else scales,
            packed.levels,
            is_integers=index in integer_scales,
        )
    _warn_of_missing(parameters, {tensor.member for tensor in content.tensors}, path)
    return model


restore = load_into


def _check_shapes(
    tensors: Sequence[FileTensor], parameters: Parameters, path: str | Path, *, has_integers: bool
) -> None:
    """Raises ValueError where the module has no such weights as the file, or of other shapes.

    It names the first in the order of the module's weights, which is nearest to the cause: one
    layer more or less moves all that come after it.

    `has_integers`: whether the file has weights as integers, for which the error has a hint.
    """
    shapes = sorted(
        (tensor.member, tensor.bits.shape) for tensor in tensors if tensor.member is not None
    )
    for member, shape in shapes:
        if member < len(parameters) and _fits(parameters[member], shape):
            continue
        if member < len(parameters):
            weight = parameters[member]
            where = f"{weight.name}, which is {list(weight.raw.shape)} and the first that differs"
        else:
            where = f"number {member}, and the model has {len(parameters)} in all"
        quantised = "; a quantised file is restored into the module that the technique returned"
        raise ValueError(
            f"{path} is of another model: its tensor {list(shape)} is not the shape of {where}; "
            "if a technique changed the model's layers, call it with Training(0) on the model "
            f"first, and load the file into what it returns{quantised if has_integers else ''}"
        )


def _value_of(
    tensor: FileTensor, weight: Weight, scales: np.ndarray | None, path: str | Path
) -> torch.Tensor:
    """The value of a tensor of the file: its numbers, or its integers times their `scales`.

    Raises ValueError where it is of another type than the weight.
    """
    value = torch_of(tensor)
    if scales is not None:
        value = (value * spread(torch.from_numpy(scales), value) + 0.0).to(weight.raw.dtype)
    if value.dtype != weight.raw.dtype:
        raise ValueError(
            f"{path} is of another model: it holds {weight.name} as {value.dtype} and the model as "
            f"{weight.raw.dtype}; convert the model first, as with model.half()"
        )
    return value


def _set_value(weight: Weight, value: torch.Tensor) -> None:
    """Set the value of a weight, and make its layer as small as the value is."""
    if weight.raw.shape != value.shape:
        weight.raw.data = value
        resize(weight)
    with torch.no_grad():
        weight.raw.copy_(value)


def _give_state_of(
    weight: Weight, scales: np.ndarray | None, levels: int, *, is_integers: bool
) -> None:
    """Give a weight the state that the file shows: its scales or its levels, and its zeros.

    `levels`: as in `give_state`.
    `is_integers`: whether the file has the weight as integers of 8 bits.
    """
    scale = None if scales is None else torch.from_numpy(scales.copy())
    if scale is not None and scales is not None and not is_integers:
        scale = scale.reshape(scales_shape(scales, weight.raw.ndim))
    give_state(weight, scale=scale, reach=LARGEST_INT8 if is_integers else None, levels=levels)


def _warn_of_missing(
    parameters: Parameters, present: Container[int | None], path: str | Path
) -> None:
    """Warn of the parameters that the file does not have.

    `present`: the indices of those that it has.
    """
    if missing := [
        weight.name
        for index, weight in enumerate(parameters)
        if weight.is_parameter and index not in present
    ]:
        warnings.warn(
            f"{path} does not hold {', '.join(missing)}: they keep the model's values",
            SkippedWarning,
            stacklevel=3,
        )


def _fits(weight: Weight, shape: tuple[int, ...]) -> bool:
    """Whether the weight has this shape, or can be cut to it because units were removed."""
    own = tuple(weight.raw.shape)
    if own == shape:
        return True
    smaller = len(own) == len(shape) and all(
        0 < new <= old for new, old in zip(shape, own, strict=True)
    )
    return smaller and len(weight.owners) == 1 and isinstance(weight.owners[0][0], RESIZABLE)
