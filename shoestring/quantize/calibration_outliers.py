"""What to do with calibration examples that are far from all others.

They are too many to be garbage for sure: the validation score decides whether ranges include them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shoestring.core import Task, score
from shoestring.kit import Quantised, clone, edges
from shoestring.kit.quantised.outliers import FarOff, far_off
from shoestring.quantize.calibration import Calibration
from shoestring.quantize.ranges import MinMax

_SCORED = 1000  # validation examples at most


def best_calibration(calibration: Calibration, layers: Sequence[str]) -> Calibration:
    """The calibration, with or without the examples that are far from all others.

    Whichever scores better is returned. Both are scored on validation data with the values around
    `layers` in eight bits. What was decided is added to `skipped`. A range that includes them
    leaves the other examples a thirty-second of its levels, or less; a range that does not clips
    them. Which is worse depends on whether they are meant, and on what the network makes of them.
    """
    if (far := far_off(calibration.batches)) is None:
        return calibration
    if far.others is None:
        return _reporting(calibration, far, "of so few examples none is left out")
    without = calibration.of_batches(far.others)
    task = calibration.task.sampled(_SCORED, 0)
    score_with, score_without = (
        _score(candidate, layers, task) for candidate in (calibration, without)
    )
    reason = (
        f"the validation score is {score_with:.4f} where ranges reach to them and "
        f"{score_without:.4f} where they do not"
    )
    return (
        _reporting(without, far, reason, left_out=True)
        if score_without > score_with
        else _reporting(calibration, far, reason)
    )


def _reporting(
    calibration: Calibration, far: FarOff, reason: str, left_out: bool = False
) -> Calibration:
    """The calibration, with the decision and its reason added to `skipped`."""
    decision = "It leaves them out" if left_out else "They stay in"
    advice = (
        "If they are meant, bring the inputs to one scale first (their logarithm, say)"
        if left_out
        else "If they are garbage, take them out of it"
    )
    text = (
        f"calibration met {far.told}. {decision}: {reason}. Look at them in the training data. "
        f"{advice}"
    )
    return replace(calibration, skipped=(*calibration.skipped, text))


def _score(calibration: Calibration, layers: Sequence[str], task: Task) -> float:
    """The score with eight bits around these layers, without those whose input never varies."""
    constant = calibration.constant(edges(calibration.tape, list(layers)))
    quantised_edges = edges(calibration.tape, [layer for layer in layers if layer not in constant])
    return score(
        task,
        Quantised(
            clone(calibration.inner), quantised_edges, calibration.grids(quantised_edges, MinMax())
        ),
    )
