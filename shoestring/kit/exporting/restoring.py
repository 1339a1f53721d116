"""From a file back into a module, to go on training."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import nn

from shoestring.artifact.format import file
from shoestring.artifact.format.tensors import Tensor as Kept
from shoestring.kit.quantised.integers import scales_in
from shoestring.kit.weights.coded import INTEGER_FORM, give_state, scales_shape, torch_of
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


def load_into(path: str | Path, model: nn.Module, *, max_bytes: int = file.MAX_BYTES) -> nn.Module:
    """A copy of `model` with the weights of the file, to go on training.

    Zeros become a mask, levels a codebook, multiples a step.
    `model` may be the one from before hidden units were removed: the layers of torch become as
    small as the file has them. `max_bytes` is that of `load`. Parameters that the file has not (its
    graph does not use them) keep the model's values, with a SkippedWarning.

    The weights are the file's, bit for bit. Their states are guessed, since the file does not say
    which a weight had. A step, where the file has one, is the written one. The guess is another
    state than was written where

    - zeros of a tensor with two axes or more were no mask, as of a weight that happens to be 0 or
      of a grid that has 0: they stay 0.
    - a parameter that was free has few values, each two times or more on average (ones, signs, a
      table): it gets a codebook.
    - multiples of a step, as of a grid, that are coded as levels, or levels that are coded as
      multiples: whichever takes fewer bytes.
    - few weights had a state: where plain values take fewer bytes, it is not found again.

    `docs/format.md` has the rules, in "What a reader may guess". A weight whose state is to be none
    is given back by `bake(model)`. Raises ValueError where the file is of another model, ShoeError
    for a damaged file.
    """
    model = bake(clone(model))
    found = parameters_of(model)
    content = file.read_model(path, max_bytes)
    whole = scales_in(content)
    for place, (one, packed) in enumerate(zip(content.tensors, content.packed, strict=True)):
        if one.member is None:
            continue
        weight = _weight_of(one, found, path, are_integers=bool(whole))
        scales = whole.get(place) if weight.raw.is_floating_point() else None
        value = _value_of(one, weight, scales, path)
        _put(weight, value)
        _give_state_of(
            weight,
            packed.scales if scales is None else scales,
            packed.levels,
            is_integers=place in whole,
        )
    _name_what_is_left(found, {one.member for one in content.tensors}, path)
    return model


restore = load_into


def _weight_of(one: Kept, found: Parameters, path: str | Path, *, are_integers: bool) -> Weight:
    """The weight that a tensor of the file is for.

    Raises ValueError where the module has none, or one of another shape.
    `are_integers`: whether the file has integers for weights, which the error then says.
    """
    assert one.member is not None
    if one.member < len(found) and _fits(found[one.member], one.bits.shape):
        return found[one.member]
    name = found[one.member].name if one.member < len(found) else f"number {one.member}"
    other = (
        "; a quantised file is restored into the module that the technique returned"
        if are_integers
        else ""
    )
    raise ValueError(
        f"{path} is of another model: its tensor {list(one.bits.shape)} is not the shape of "
        f"{name}{other}"
    )


def _value_of(
    one: Kept, weight: Weight, scales: np.ndarray | None, path: str | Path
) -> torch.Tensor:
    """The value that a tensor of the file stands for.

    Integers times their `steps`, where it has such, else its numbers.
    Raises ValueError where it is of another type than the weight.
    """
    value = torch_of(one)
    if scales is not None:
        value = (value * spread(torch.from_numpy(scales), value) + 0.0).to(weight.raw.dtype)
    if value.dtype != weight.raw.dtype:
        raise ValueError(
            f"{path} is of another model: it holds {weight.name} as {value.dtype} and the model "
            f"as {weight.raw.dtype}; "
            "convert the model first, as with model.half()"
        )
    return value


def _put(weight: Weight, value: torch.Tensor) -> None:
    """Have a weight hold a value, and its layer be as small as that is."""
    if weight.raw.shape != value.shape:
        weight.raw.data = value
        resize(weight)
    with torch.no_grad():
        weight.raw.copy_(value)


def _give_state_of(
    weight: Weight, scales: np.ndarray | None, levels: int, *, is_integers: bool
) -> None:
    """Give a weight the state that the file shows: its scales or its levels, and its zeros."""
    scale = None if scales is None else torch.from_numpy(scales.copy())
    if scale is not None and scales is not None and not is_integers:
        scale = scale.reshape(scales_shape(scales, weight.raw.ndim))
    give_state(weight, scale=scale, reach=INTEGER_FORM if is_integers else None, levels=levels)


def _name_what_is_left(found: Parameters, held: Collection[int | None], path: str | Path) -> None:
    """Warn of parameters that the file has not."""
    if left := [
        weight.name
        for place, weight in enumerate(found)
        if weight.is_parameter and place not in held
    ]:
        warnings.warn(
            f"{path} does not hold {', '.join(left)}: they keep the model's values",
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
