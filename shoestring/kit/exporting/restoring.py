"""From a file back into a module, to go on training."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from shoestring.artifact.format import file
from shoestring.kit.quantised.integers import scales_in
from shoestring.kit.weights.coded import INTEGER_FORM, give_state, scales_shape, torch_of
from shoestring.kit.weights.parameters import SkippedWarning, Weight, bake, clone, members
from shoestring.kit.weights.sizes import RESIZABLE, resize
from shoestring.kit.weights.state import spread


def restore(path: str | Path, model: nn.Module, *, max_bytes: int = file.MAX_BYTES) -> nn.Module:
    """A copy of `model` with the weights of the file, to go on training.

    Zeros become a mask, levels a codebook, multiples a step.
    `model` may be the one from before hidden units were removed: the layers of torch become as
    small as the file has them. `max_bytes` is that of `load`. Parameters that the file has not (its
    graph does not use them) keep the model's values, with a SkippedWarning. Raises ValueError where
    the file is of another model, ShoeError for a damaged file.
    """
    model = bake(clone(model))
    found = members(model)
    content = file.read_model(path, max_bytes)
    whole = scales_in(content)
    for place, (one, packed) in enumerate(zip(content.tensors, content.packed, strict=True)):
        if one.member is None:
            continue
        if one.member >= len(found) or not _fits(found[one.member], one.bits.shape):
            name = found[one.member].name if one.member < len(found) else f"number {one.member}"
            other = (
                "; a quantised file is restored into the module that the technique returned"
                if whole
                else ""
            )
            raise ValueError(
                f"{path} is of another model: its tensor {list(one.bits.shape)} is not the shape "
                f"of {name}{other}"
            )
        weight = found[one.member]
        value, scales = torch_of(one), packed.scales
        if place in whole and weight.raw.is_floating_point():
            scales = whole[place]
            value = (value * spread(torch.from_numpy(scales), value) + 0.0).to(weight.raw.dtype)
        if value.dtype != weight.raw.dtype:
            raise ValueError(
                f"{path} is of another model: it holds {weight.name} as {value.dtype} and the "
                f"model as {weight.raw.dtype}; "
                "convert the model first, as with model.half()"
            )
        if weight.raw.shape != value.shape:
            weight.raw.data = value
            resize(weight)
        with torch.no_grad():
            weight.raw.copy_(value)
        is_integer = place in whole
        scale = None if scales is None else torch.from_numpy(scales.copy())
        if scale is not None and scales is not None and not is_integer:
            scale = scale.reshape(scales_shape(scales, value.ndim))
        give_state(
            weight, scale=scale, reach=INTEGER_FORM if is_integer else None, levels=packed.levels
        )
    held = {one.member for one in content.tensors}
    if left := [
        weight.name
        for place, weight in enumerate(found)
        if weight.is_parameter and place not in held
    ]:
        warnings.warn(
            f"{path} does not hold {', '.join(left)}: they keep the model's values",
            SkippedWarning,
            stacklevel=2,
        )
    return model


def _fits(weight: Weight, shape: tuple[int, ...]) -> bool:
    """Whether the weight has this shape, or can be cut to it because units were removed."""
    own = tuple(weight.raw.shape)
    if own == shape:
        return True
    smaller = len(own) == len(shape) and all(
        0 < new <= old for new, old in zip(shape, own, strict=True)
    )
    return smaller and len(weight.owners) == 1 and isinstance(weight.owners[0][0], RESIZABLE)
