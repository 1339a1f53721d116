"""Which layer breaks: what a quantised network answers on examples that it was not calibrated on, and which layers make it answer so."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor, nn

from shoestring.kit import Quantised, ShortfallWarning, progress
from shoestring.quantize.calibration import Calibration

_OFF = 0.25
"""How far off answers are of which the score is likely to suffer. Of the networks of docs/without-labels.md and of the planner's jobs, answers 0.15 off cost
0.003 of the score at most, 0.27 off from 0.01 to 0.03, 0.5 off and more from 0.1 to 0.3."""
_WORSE, _NAMED = 2.0, 3
"""How much worse than the middle one a layer is that is to blame, and how many are named at most."""


def off(known: Calibration, quantised: Quantised, last: str) -> float:
    """How far answers are from those of the network as it was, in the mean, as a share of how far those are from their mean over the examples; 0 where nothing
    can be compared. `last`: the layer whose answers are compared where the loss calls parts of the network only."""
    wanted, found = ([one for one in known.answers(last, by) if one.ndim] for by in (None, quantised))
    if not wanted or [one.shape for one in wanted] != [one.shape for one in found]:
        return 0.0
    spread = _apart(wanted, [(one.mean(0) if len(one) > 1 else one.mean()).expand_as(one) for one in wanted])
    return _apart(found, wanted) / spread if spread > 0 else 0.0


def say_what_breaks(
    known: Calibration, quantised: Quantised, layers: Sequence[str], alone: Callable[[str], nn.Module]
) -> None:
    """Warn where answers are far off, with the layers that are to blame. `alone`: the network with one layer quantised."""
    last = layers[-1]
    if not (share := off(known, quantised, last)) > _OFF:
        return
    found: list[tuple[float, str]] = []
    with progress("looking for the layer that breaks", len(layers)) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for layer in layers:
            made = alone(layer)
            found.append((off(known, made, last) if isinstance(made, Quantised) else 0.0, layer))
            advance(layer)
    found.sort(key=lambda one: -one[0])
    named = ", ".join(f"{layer or 'forward()'} {one:.0%}" for one, layer in found[:_NAMED])
    worst = [layer for one, layer in found[:_NAMED] if one > max(_OFF, _WORSE * median(one for one, _ in found))]
    way = (
        f"Leave alone what stands out: keep={tuple(worst)!r} leaves it in floating point, and WeightOnly rounds weights alone"
        if worst
        else "None stands out: give more bits, rounding=GPTQ(), or train with the rounding (QuantizationAware)"
    )
    warnings.warn(
        f"PostTraining: answers are {share:.0%} off on examples that it was not calibrated on (of how far they are from their mean). Each layer "
        f"alone: {named}. {way}",
        ShortfallWarning,
        stacklevel=3,
    )


def _apart(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    return float(torch.cat([(one - other).abs().flatten() for one, other in zip(ones, others, strict=True)]).mean())
