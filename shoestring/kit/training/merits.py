"""The merit of each example and the metric of a split, with errors that say what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from shoestring.core.kinds import are_probabilities


def accuracy(outputs: Any, targets: np.ndarray) -> np.ndarray:
    """1 for each target whose class has the largest output, else 0.

    `outputs`: an array …×C of C classes, 2 or more, or a mapping with such an array as "logits".
    `targets`: integers, of the shape of the other axes.

    Raises TypeError for outputs that are not an array, and ValueError for shapes and targets that
    do not fit; both say what to give instead.
    """
    if isinstance(outputs, Mapping) and "logits" in outputs:
        outputs = outputs["logits"]
    if not isinstance(outputs, np.ndarray):
        raise TypeError(
            f"accuracy compares an array, and the model returns {type(outputs).__name__}: give "
            "Supervised a merit="
        )
    if advice := _misfit(outputs, targets):
        shapes = f"outputs {list(outputs.shape)} and {targets.dtype} targets {list(targets.shape)}"
        raise ValueError(
            f"accuracy, the default score, does not fit {shapes}: give Supervised {advice}"
        )
    right = outputs.argmax(-1) == targets
    return (right & ~np.isnan(outputs).any(-1)).astype(np.float64)  # NaN is never right


def _misfit(outputs: np.ndarray, targets: np.ndarray) -> str:
    """The advice for outputs and targets that accuracy does not fit; "" where it fits."""
    several = outputs.ndim > 1 and outputs.shape[-1] > 1
    axes = tuple(range(1, targets.ndim))
    mean = f".mean({axes})" if axes else ""
    if (
        targets.dtype.kind == "f"
        and outputs.shape == targets.shape
        and several
        and are_probabilities(targets, -1)
    ):
        return (
            "merit=lambda out, y: out.argmax(-1) == y.argmax(-1), for labels that are shares of "
            "classes"
        )
    if (targets.dtype.kind in "fb" or outputs.size == targets.size) and not set(
        np.unique(targets)
    ) - {0, 1}:
        return (
            f"merit=lambda out, y: ((out > 0).reshape(y.shape) == y){mean}, for yes or no (0.5 in "
            "place of 0 for probabilities)"
        )
    if targets.dtype.kind == "f":
        return f"merit=lambda out, y: -((out.reshape(y.shape) - y) ** 2){mean}, for numbers"
    first = (
        outputs.ndim == targets.ndim + 1
        and (outputs.shape[0], *outputs.shape[2:]) == targets.shape
        and outputs.shape[1] > 1
    )
    if several and outputs.shape[:-1] == targets.shape:
        ways = (
            f"merit=lambda out, y: (out.argmax(1) == y){mean}, for classes along axis 1, as "
            "cross_entropy has them, or with argmax(-1)"
        )
        return ways if first and outputs.ndim > 2 else ""
    if first:
        return f"merit=lambda out, y: (out.argmax(1) == y){mean}, for classes along axis 1"
    return "merit=, a function of outputs and targets (arrays) that gives a number for each example"


def merits_of(
    merit: Callable[[Any, np.ndarray], np.ndarray], outputs: Any, targets: np.ndarray
) -> np.ndarray:
    """The merits of a batch: a number for each example or target, in one axis.

    Raises ValueError for a merit that returns anything else.
    """
    merits = np.asarray(merit(outputs, targets))
    if merits.ndim == 0:
        raise ValueError(
            f"the merit gives one number ({merits}) for {len(targets)} examples, and one for each "
            "is wanted: give it as metric= in place of merit= where it is of a whole split"
        )
    some = merits.ndim == 1 and len(targets) <= len(merits) <= max(targets.size, len(targets))
    if merits.shape != targets.shape and not some:
        raise ValueError(
            f"the merit gives shape {list(merits.shape)} for targets {list(targets.shape)}: a "
            "number for each example is wanted (a mean over the other axes), or one for each "
            "target; outputs and targets of unlike shapes make one of all pairs"
        )
    return merits.reshape(-1)


def metric_of(
    metric: Callable[[Any, np.ndarray], float],
    outputs: Any,
    targets: np.ndarray,
    what: str,
    advice: str = "",
) -> float:
    """The metric of a whole split; raises ValueError where it is not one number.

    `what`, `advice`: the beginning and the end of that error.
    """
    value = np.asarray(metric(outputs, targets))
    if value.size != 1:
        raise ValueError(
            f"{what} gives shape {list(value.shape)}, and one number is wanted{advice}"
        )
    return float(value.reshape(()))
