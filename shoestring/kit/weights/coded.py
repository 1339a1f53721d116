"""What a file knows of a weight beyond its values, and the weight state that a module gets from it.

That is masks, codebooks and scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.format.tensors import ELEMENTS, Packed
from shoestring.artifact.format.tensors import Tensor as Kept
from shoestring.kit.weights.parameters import Weight

LARGEST_INT8 = 127
"""The reach of weights that a file keeps as signed integers of 8 bits."""
_MOST_LEVELS = 65536


def torch_of(kept: Kept) -> Tensor:
    """A file's tensor as a tensor of torch."""
    signed = kept.bits.view(kept.bits.dtype.str.replace("u", "i").replace("<i1", "|i1"))
    return torch.from_numpy(np.ascontiguousarray(signed).reshape(kept.bits.shape).copy()).view(
        getattr(torch, ELEMENTS[kept.element][0])
    )


def give_state(
    weight: Weight, *, scale: Tensor | None, reach: int | None, levels: int, has_zeros: bool = True
) -> None:
    """Give a weight the state that its file knew, without changing its value.

    Buffers, integers and weights that something else parametrizes are left alone.
    `scale`, `reach`: as in `State`.
    `levels`: without a scale, the number of distinct values that the file kept; 2 to 65,536 make a
        codebook of the values, where the weight has two elements or more for each.
    `has_zeros`: whether the zeros of a weight with two axes or more become a mask.
    """
    value = weight.raw.detach().clone()
    if not weight.is_parameter or not value.is_floating_point() or weight.is_foreign:
        return
    if scale is not None:
        weight.round(scale.to(value).clamp_min(torch.finfo(value.dtype).tiny), reach)
    elif 1 < levels <= min(_MOST_LEVELS, value.numel() // 2):
        codebook, indices = torch.unique(value, return_inverse=True)
        weight.share(codebook, indices)
    if has_zeros and value.ndim >= 2 and (value == 0).any():
        weight.prune(value != 0)


@dataclass(frozen=True, eq=False)
class Coded:
    """What is known of a constant; it stays known where the constant is only rearranged.

    `scale`: the scale of each element, of the constant's shape; None where there is none. Expanded,
        so that equal scales take no memory.
    `reach`, `levels`, `has_zeros`: as in `give_state`.
    """

    scale: Tensor | None = None
    reach: int | None = None
    levels: int = 0
    has_zeros: bool = False

    def moved(self, move: Callable[[Tensor], Any]) -> Coded:
        """What is known of the constant once `move` has rearranged its elements."""
        return self if self.scale is None else replace(self, scale=move(self.scale))

    def give(self, weight: Weight) -> None:
        """Give a weight of the constant's shape the state; scales that no state can hold are lost.

        Such are scales of columns.
        """
        scale = None if self.scale is None else compact(self.scale)
        lost = self.scale is not None and scale is None
        give_state(
            weight,
            scale=scale,
            reach=self.reach,
            levels=0 if lost else self.levels,
            has_zeros=self.has_zeros,
        )


def coded(value: Tensor, packed: Packed | None) -> Coded | None:
    """What a file knows of a tensor; None where nothing is known.

    `packed`: how a `.shoe` file kept it; None for other files.
    """
    if value.dtype == torch.int8 and value.ndim >= 2:
        return Coded(torch.ones(()).expand(value.shape), LARGEST_INT8, has_zeros=packed is not None)
    if packed is None or not value.is_floating_point():
        return None
    if packed.scales is None:
        return Coded(levels=packed.levels, has_zeros=True)
    scale = torch.from_numpy(packed.scales.astype(np.float32)).reshape(
        scales_shape(packed.scales, value.ndim)
    )
    return Coded(scale.expand(value.shape), has_zeros=True)


def scales_shape(scales: np.ndarray, axes: int) -> tuple[int, ...]:
    """The shape in which a file's scales broadcast to a weight: one number, or (O, 1, 1, ...).

    `axes`: the number of axes of the weight.
    """
    return (-1, *[1] * (axes - 1)) if scales.size > 1 else ()


def together(parts: Sequence[Coded | None], join: Callable[[list[Tensor]], Any]) -> Coded | None:
    """What is known of a constant that is joined from parts; None where it differs in kind.

    `join`: joins the scales of the parts.
    """
    known = [part for part in parts if part is not None]
    if (
        len(known) != len(parts)
        or len({(part.scale is None, part.reach, part.has_zeros) for part in known}) != 1
    ):
        return None
    scales = [part.scale for part in known if part.scale is not None]
    levels = sum(part.levels for part in known) if all(part.levels for part in known) else 0
    return Coded(join(scales) if scales else None, known[0].reach, levels, known[0].has_zeros)


def compact(scale: Tensor) -> Tensor | None:
    """The scales of a weight's elements in the smallest shape that `State` takes; None for others.

    `scale`: of the weight's shape. See `State.scale` for the shapes.
    """
    if scale.ndim == 0 or scale.numel() == 0:
        return scale.clone() if scale.numel() else None
    rows = scale.reshape(len(scale), -1)
    if bool((rows == rows[0, 0]).all()):
        return rows[0, 0].clone()
    if bool((rows == rows[:, :1]).all()):
        return rows[:, 0].clone().reshape(-1, *[1] * (scale.ndim - 1))
    columns = rows.shape[1]
    for groups in range(2, columns // 2 + 1) if scale.ndim == 2 else ():
        if columns % groups:
            continue
        parted = rows.reshape(len(rows), groups, -1)
        if bool((parted == parted[:, :, :1]).all()):
            return parted[:, :, 0].clone()
    return None
