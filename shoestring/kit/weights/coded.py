"""What a file knows of a weight beyond its numbers, and the state that a module gets of it.

Masks, codebooks and grids.
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

INTEGER_FORM = 127
"""How far whole numbers of 8 bits reach from zero, in steps."""
_MOST_LEVELS = 65536


def torch_of(one: Kept) -> Tensor:
    """A file's tensor as torch has it."""
    signed = one.bits.view(one.bits.dtype.str.replace("u", "i").replace("<i1", "|i1"))
    return torch.from_numpy(np.ascontiguousarray(signed).reshape(one.bits.shape).copy()).view(
        getattr(torch, ELEMENTS[one.element][0])
    )


def give_state(
    weight: Weight, *, scale: Tensor | None, reach: int | None, levels: int, has_zeros: bool = True
) -> None:
    """Have a weight keep to what its file knew.

    The state is read off its value, which stays the same.
    `scale`, as a State has it, makes it multiples, `reach` of them on either side of zero (None:
    however many); else `levels`, of a tensor that was kept by so many, a codebook.
    `has_zeros`: whether zeros of a tensor with two axes or more are a mask. Buffers, whole numbers
        and what something else parametrizes are left alone.
    """
    value = weight.raw.detach().clone()
    if not weight.is_parameter or not value.is_floating_point() or weight.is_foreign:
        return
    if scale is not None:
        weight.round(scale.to(value).clamp_min(torch.finfo(value.dtype).tiny), reach)
    elif 1 < levels <= min(_MOST_LEVELS, value.numel() // 2):
        found, indices = torch.unique(value, return_inverse=True)
        weight.share(found, indices)
    if has_zeros and value.ndim >= 2 and (value == 0).any():
        weight.prune(value != 0)


@dataclass(frozen=True, eq=False)
class Coded:
    """What is known of a constant, and goes with it where its numbers only change places.

    `scale`: of its shape, one for each number, which take no memory while they are alike; `reach`,
    `levels`, `has_zeros` as in `give_state`.
    """

    scale: Tensor | None = None
    reach: int | None = None
    levels: int = 0
    has_zeros: bool = False

    def moved(self, move: Callable[[Tensor], Any]) -> Coded:
        """That of the same numbers in other places."""
        return self if self.scale is None else replace(self, scale=move(self.scale))

    def give(self, weight: Weight) -> None:
        """Have a weight of this shape keep to it.

        Steps that no state has, as of columns, are given up.
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
    """What a file knows of a tensor; `packed`: how a file of ours kept it.

    None where nothing is known.
    """
    if value.dtype == torch.int8 and value.ndim >= 2:
        return Coded(torch.ones(()).expand(value.shape), INTEGER_FORM, has_zeros=packed is not None)
    if packed is None or not value.is_floating_point():
        return None
    if packed.scales is None:
        return Coded(levels=packed.levels, has_zeros=True)
    scale = torch.from_numpy(packed.scales.astype(np.float32)).reshape(
        scales_shape(packed.scales, value.ndim)
    )
    return Coded(scale.expand(value.shape), has_zeros=True)


def scales_shape(scales: np.ndarray, axes: int) -> tuple[int, ...]:
    """That of a file's steps for a weight of so many axes.

    One number, or one for each slice along axis 0.
    """
    return (-1, *[1] * (axes - 1)) if scales.size > 1 else ()


def together(parts: Sequence[Coded | None], join: Callable[[list[Tensor]], Any]) -> Coded | None:
    """What is known of numbers that come from several constants.

    None where it is not of the same kind for all.
    """
    known = [one for one in parts if one is not None]
    if (
        len(known) != len(parts)
        or len({(one.scale is None, one.reach, one.has_zeros) for one in known}) != 1
    ):
        return None
    scales = [one.scale for one in known if one.scale is not None]
    levels = sum(one.levels for one in known) if all(one.levels for one in known) else 0
    return Coded(join(scales) if scales else None, known[0].reach, levels, known[0].has_zeros)


def compact(scale: Tensor) -> Tensor | None:
    """Steps of a weight's shape as a State has them.

    One, one for each slice along axis 0, or of a matrix one for each group of columns of each row;
    None where they are none of these.
    """
    if scale.ndim == 0 or scale.numel() == 0:
        return scale.clone() if scale.numel() else None
    rows = scale.reshape(len(scale), -1)
    if bool((rows == rows[0, 0]).all()):
        return rows[0, 0].clone()
    if bool((rows == rows[:, :1]).all()):
        return rows[:, 0].clone().reshape(-1, *[1] * (scale.ndim - 1))
    columns = rows.shape[1]
    for groups in (
        one for one in range(2, columns // 2 + 1) if scale.ndim == 2 and columns % one == 0
    ):
        parted = rows.reshape(len(rows), groups, -1)
        if bool((parted == parted[:, :, :1]).all()):
            return parted[:, :, 0].clone()
    return None
