"""Which layer breaks: what a quantised network answers on examples that it was not calibrated on,
and which layers make it answer so.
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

_OFF = 0.25
"""How far off answers are of which the score is likely to suffer.

Of the networks of docs/without-labels.md, answers up to 0.11 off cost 0.01 of the agreement at
most, 0.16 cost CREPE 0.07, and 0.5 and more cost from 0.01 to 0.34. Where a score looks at some of
the outputs only, another may be the one that is off: RNet's boxes are 0.28 off in 5 bits, and its
classes the same.
"""
_WORSE, _NAMED = 2.0, 3
"""How much worse than the middle one of the others a layer is that is to blame, and how many are
named at most.
"""
_SECONDS = 20.0
"""How long layers are looked at, one after the other."""


def off(known: Calibration, quantised: Quantised, last: str) -> float:
    """How far answers are from those of the network as it was, in the mean, as a share of how far
    those are from their mean over the examples: of the output of which that is most; infinity where
    answers are no longer finite, 0 where nothing can be compared. `last`: the layer whose answers
    are compared where the loss calls parts of the network only.
    """
    wanted, found = known.answers(last), known.answers(last, quantised)
    if [one.shape for one in wanted] != [one.shape for one in found]:
        return 0.0
    return max(
        (_share(one, other) for one, other in zip(wanted, found, strict=True) if one.ndim),
        default=0.0,
    )


def _share(wanted: Tensor, found: Tensor) -> float:
    """Of one output, where it was finite."""
    finite = wanted.isfinite()
    if not finite.any():
        return 0.0
    if not found[finite].isfinite().all():
        return math.inf
    kept = wanted.where(finite, 0.0)
    middle = kept.mean(0) if len(kept) > 1 else kept.mean()
    spread = float((kept - middle)[finite].abs().mean())
    return float((found - kept)[finite].abs().mean()) / spread if spread > 0 else 0.0


def say_what_breaks(
    known: Calibration,
    quantised: Quantised,
    layers: Sequence[str],
    alone: Callable[[str], nn.Module],
    keep: Sequence[str],
    more: str,
) -> None:
    """Warn where answers are far off, with the layers that are to blame.

    `alone`: the network with one layer quantised, to the nearest.
    `keep`: the patterns of layers that are left alone already.
    `more`: what else would do.
    """
    last = layers[-1]
    if not (share := off(known, quantised, last)) > _OFF:
        return
    found: list[tuple[float, str]] = []
    ends = monotonic() + _SECONDS
    with (
        progress("looking for the layer that breaks", len(layers)) as advance,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for layer in layers:
            made = alone(layer)
            found.append((off(known, made, last) if isinstance(made, Quantised) else 0.0, layer))
            advance(layer)
            if monotonic() > ends:
                break
    found.sort(key=lambda one: -one[0])
    named = ", ".join(f"{layer or 'forward()'} {_told(one)}" for one, layer in found[:_NAMED])
    some = (
        ""
        if len(found) == len(layers)
        else f" ({len(found)} of {len(layers)} were looked at in {_SECONDS:.0f} s)"
    )
    worst = [
        layer
        for at, (one, layer) in enumerate(found[:_NAMED])
        if one > max(_OFF, _WORSE * _middle(found, at))
    ]
    names = (*keep, *(escape(layer) for layer in worst if layer))
    way = (
        f"Leave alone what stands out, keep={names!r}, or" if any(worst) else "No layer stands out:"
    )
    warnings.warn(
        f"PostTraining: answers are {_told(share)} off on examples that it was not calibrated on "
        "(of how far they are from their mean). Each layer "
        f"alone, to the nearest: {named}{some}. {way} {more}",
        ShortfallWarning,
        stacklevel=3,
    )


def _middle(found: Sequence[tuple[float, str]], place: int) -> float:
    """The middle one of the others; 0 where there are none."""
    return median([one for at, (one, _) in enumerate(found) if at != place] or [0.0])


def _told(share: float) -> str:
    return (
        "not finite" if math.isinf(share) else "more than 1000%" if share > 10 else f"{share:.0%}"
    )
