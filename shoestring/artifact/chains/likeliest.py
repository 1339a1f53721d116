"""The likeliest class of each example, by its scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoestring.artifact.wire import ShoeError


def likeliest(scores_NC: np.ndarray, labels: Sequence[str]) -> list[tuple[str, float]]:
    """Of each example the class with the highest score, and its probability by the softmax, 0..1.

    `scores_NC`: logits. `labels`: the names of the C classes.
    Raises ValueError for scores of another shape, and ShoeError where one is NaN or infinite.
    """
    if scores_NC.ndim != 2 or scores_NC.shape[1] != len(labels):
        raise ValueError(
            f"scores of {len(labels)} classes have the shape N×{len(labels)}, and these are "
            f"{list(scores_NC.shape)}"
        )
    if not np.isfinite(scores_NC.max(1, initial=-np.inf)).all():
        raise ShoeError("the network gives NaN or infinity: no class is the likeliest")
    shares_NC = np.exp(scores_NC - scores_NC.max(1, keepdims=True, initial=-np.inf))
    best_N, top_N = scores_NC.argmax(1), shares_NC.max(1) / shares_NC.sum(1)
    return [(labels[int(at)], float(top)) for at, top in zip(best_N, top_N, strict=True)]
