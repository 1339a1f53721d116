"""Calibration examples that are far from all others, and too many to be garbage for sure.

The validation data tells whether ranges reach to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shoestring.core import Task, score
from shoestring.kit import Quantised, clone, edges
from shoestring.kit.quantised.outliers import FarOff, far_off
from shoestring.quantize.calibration import Calibration
from shoestring.quantize.ranges import MinMax

_SCORED = 1000  # validation examples, at most


def settled(known: Calibration, layers: Sequence[str]) -> Calibration:
    """The calibration, or one without the examples that are far from all others, whichever scores
    better with the values around these layers in eight bits. What is done is added to what it says
    was skipped.

    A range that reaches to them leaves all other examples a thirty-second part of its levels, or
    less; one that does not clips them. Which is worse depends on whether they are meant, and on
    what the network makes of them.
    """
    if (far := far_off(known.batches)) is None:
        return known
    if far.others is None:
        return _saying(known, far, "of so few examples none is left out")
    without = known.of_batches(far.others)
    task = known.task.sampled(_SCORED, 0)
    reaching, clipping = (_score(one, layers, task) for one in (known, without))
    told = (
        f"the validation score is {reaching:.4f} where ranges reach to them and "
        f"{clipping:.4f} where they do not"
    )
    return (
        _saying(without, far, told, out=True) if clipping > reaching else _saying(known, far, told)
    )


def _saying(known: Calibration, far: FarOff, why: str, out: bool = False) -> Calibration:
    done = "It leaves them out" if out else "They stay in"
    advice = (
        "If they are meant, bring the inputs to one scale first (their logarithm, say)"
        if out
        else "If they are garbage, take them out of it"
    )
    text = f"calibration met {far.told}. {done}: {why}. Look at them in the training data. {advice}"
    return replace(known, skipped=(*known.skipped, text))


def _score(known: Calibration, layers: Sequence[str], task: Task) -> float:
    constant = known.constant(edges(known.tape, list(layers)))
    places = edges(known.tape, [layer for layer in layers if layer not in constant])
    return score(task, Quantised(clone(known.inner), places, known.grids(places, MinMax())))
