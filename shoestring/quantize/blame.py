"""Which layers are to blame when a quantised network answers badly.

Its answers are compared on examples that it was not calibrated on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from glob import escape
from statistics import median
from time import monotonic

from torch import Tensor, nn

from shoestring.kit import Quantised, ShortfallWarning, progress
from shoestring.quantize.calibration import Calibration

_FAR_OFF = 0.25
"""From this relative error of the answers on, the score is likely to suffer.

Of the networks of docs/without-labels.md, an error up to 0.11 cost at most 0.01 of the agreement,
0.16 cost CREPE 0.07, and 0.5 and more cost from 0.01 to 0.34. Where a score uses only some of the
outputs, the error may be in another one: RNet's boxes have an error of 0.28 in 5 bits, and its
classes are the same.
"""
_WORSE = 2.0
"""A layer stands out if its error is this many times the median of the others."""
_NAMED = 3
"""How many layers the warning names at most."""
_MAX_SECONDS = 20.0
"""How long layers are tried, one after the other."""


def relative_error(calibration: Calibration, quantised: Quantised, last: str) -> float:
    """The mean error of the answers relative to those of the original network.

    The error of an output is divided by the mean distance of the original answers from their mean
    over the examples; of several outputs the largest counts. Infinity where answers are no longer
    finite, 0 where nothing can be compared.

    `last`: the layer whose outputs are compared where the loss calls only parts of the network.
    """
    wanted, answers = calibration.answers(last), calibration.answers(last, quantised)
    if [answer.shape for answer in wanted] != [answer.shape for answer in answers]:
        return 0.0
    return max(
        (
            _output_error(expected, answer)
            for expected, answer in zip(wanted, answers, strict=True)
            if expected.ndim
        ),
        default=0.0,
    )


def _output_error(expected: Tensor, answer: Tensor) -> float:
    """The relative error of one output, where the original answers were finite."""
    finite = expected.isfinite()
    if not finite.any():
        return 0.0
    if not answer[finite].isfinite().all():
        return math.inf
    kept = expected.where(finite, 0.0)
    mean = kept.mean(0) if len(kept) > 1 else kept.mean()
    spread = float((kept - mean)[finite].abs().mean())
    return float((answer - kept)[finite].abs().mean()) / spread if spread > 0 else 0.0


def warn_if_far_off(
    calibration: Calibration,
    quantised: Quantised,
    layers: Sequence[str],
    alone: Callable[[str], nn.Module],
    keep: Sequence[str],
    more: str,
) -> None:
    """Warn with a ShortfallWarning where answers are far off, and name the layers to blame.

    `alone`: the network with only one layer quantised, to the nearest.
    `keep`: the patterns of layers that are left alone already.
    `more`: what else would help, in words.
    """
    last = layers[-1]
    error = relative_error(calibration, quantised, last)
    if not error > _FAR_OFF:
        return
    errors: list[tuple[float, str]] = []
    deadline = monotonic() + _MAX_SECONDS
    with (
        progress("looking for the layer to blame", len(layers)) as advance,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for layer in layers:
            quantised_alone = alone(layer)
            own = (
                relative_error(calibration, quantised_alone, last)
                if isinstance(quantised_alone, Quantised)
                else 0.0
            )
            errors.append((own, layer))
            advance(layer)
            if monotonic() > deadline:
                break
    errors.sort(key=lambda entry: -entry[0])
    named = ", ".join(f"{layer or 'forward()'} {_percent(own)}" for own, layer in errors[:_NAMED])
    tried = (
        ""
        if len(errors) == len(layers)
        else f" ({len(errors)} of {len(layers)} were tried in {_MAX_SECONDS:.0f} s)"
    )
    worst = [
        layer
        for index, (own, layer) in enumerate(errors[:_NAMED])
        if own > max(_FAR_OFF, _WORSE * _median_of_others(errors, index))
    ]
    names = (*keep, *(escape(layer) for layer in worst if layer))
    advice = (
        f"Leave alone what stands out, keep={names!r}, or" if any(worst) else "No layer stands out:"
    )
    warnings.warn(
        f"PostTraining: answers are {_percent(error)} off on examples that it was not calibrated "
        "on (of how far they are from their mean). Each layer alone, to the nearest: "
        f"{named}{tried}. {advice} {more}",
        ShortfallWarning,
        stacklevel=3,
    )


def _median_of_others(errors: Sequence[tuple[float, str]], index: int) -> float:
    """The median error of the other layers; 0 where there are none."""
    return median([error for other, (error, _) in enumerate(errors) if other != index] or [0.0])


def _percent(error: float) -> str:
    """An error as a percentage, in words where it is very large."""
    return (
        "not finite" if math.isinf(error) else "more than 1000%" if error > 10 else f"{error:.0%}"
    )
