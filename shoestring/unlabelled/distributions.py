"""Whether two sets of inputs look drawn from one distribution: a permutation test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_MOST, _PERMUTATIONS, _IDS = 300, 999, 500


@dataclass(frozen=True, kw_only=True)
class TwoSamples:
    """What a two-sample test found.

    `distance`: the squared maximum mean discrepancy, 0 or more.
    `p`: how often such a distance or a larger one comes by chance, above 0 and up to 1.
    `counts`: how many examples of each set were compared.
    """

    distance: float
    p: float
    counts: tuple[int, int]


def two_samples(
    first: tuple[Tensor, ...], second: tuple[Tensor, ...], *, seed: int = 0
) -> TwoSamples:
    """Compare two sets of inputs by their maximum mean discrepancy, with 999 permutations.

    It sees the inputs themselves: real numbers in standard deviations, ids as counts of the 500
    most frequent ones. It does not use the features of a network that learnt from one of the sets,
    since those tell what was learnt from what was not. At most 300 examples of each are compared.

    Source: Gretton et al. 2012, "A Kernel Two-Sample Test", section 5.

    `first`, `second`: one tensor or more, with the example along axis 0 and the same other axes.
    `seed`: of the draw and of the permutations.

    Raises ValueError for fewer than two examples in either.
    """
    counts = len(first[0]), len(second[0])
    if min(counts) < 2:
        raise ValueError(f"sets of {counts[0]} and {counts[1]} examples: give two or more in each")
    draw = np.random.default_rng(seed)
    kept = [draw.permutation(count)[:_MOST] for count in counts]
    columns = [
        _columns(torch.cat([one[kept[0]], other[kept[1]]]))
        for one, other in zip(first, second, strict=True)
    ]
    kernel_NN = _kernel(np.concatenate(columns, 1))
    count, total = len(kept[0]), len(kernel_NN)
    signs = np.where(np.arange(total) < count, 1 / count, -1 / (total - count))
    drawn = np.stack([signs, *(draw.permutation(signs) for _ in range(_PERMUTATIONS))])
    distances = ((drawn @ kernel_NN) * drawn).sum(1)
    as_far = int((distances[1:] >= distances[0] - 1e-12).sum())
    return TwoSamples(
        distance=float(distances[0]),
        p=(1 + as_far) / (1 + _PERMUTATIONS),
        counts=(count, total - count),
    )


def _columns(values: Tensor) -> np.ndarray:
    """Numbers in standard deviations, N×F; of ids, how often each frequent one is in a row."""
    flat = values.detach().cpu().reshape(len(values), -1)
    if not flat.is_floating_point():
        ids, places = flat.long().unique(return_inverse=True)
        often = torch.zeros(len(flat), len(ids)).scatter_add_(1, places, torch.ones(flat.shape))
        flat = often[:, (often > 0).sum(0).argsort(descending=True)[:_IDS]]
    found = flat.double().numpy()
    deviations = found.std(0)
    kept = deviations > 1e-9
    return (found[:, kept] - found[:, kept].mean(0)) / deviations[kept]


def _kernel(rows_NF: np.ndarray) -> np.ndarray:
    """The Gaussian kernel of each pair, whose width is the median distance."""
    squares = (rows_NF**2).sum(1)
    apart = np.maximum(squares[:, None] + squares - 2 * rows_NF @ rows_NF.T, 0)
    return np.exp(-apart / max(float(np.median(apart)), 1e-12))
