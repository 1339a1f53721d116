"""What is lost on the way through a network: its inputs or its gradients, as findings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from shoestring.artifact import tree
from shoestring.kit.tracing.product import CONVOLUTIONS, PRODUCTS
from shoestring.plan.diagnosis import Finding
from shoestring.plan.seen import Seen

STEEP = 1000.0
"""The gradient of one end of a network over that of the other from which on a finding is made."""
CONSTANT = 1e-3
"""The share of an output that differs between examples under which it is constant."""
_FEW = 5  # products from which on a depth is talked about


def constant_answers(seen: Seen) -> Iterator[Finding]:
    """Answers that hardly depend on the inputs."""
    weighted = [one for one in seen.signals if one.function in PRODUCTS]
    if not weighted or not weighted[-1].finite or not _several(seen.batches):
        return
    if seen.later is not None and next(constant_answers(seen.later), None) is None:
        return  # they only began so
    if weighted[-1].size and weighted[-1].spread < CONSTANT < weighted[0].spread:
        lost = next(one for one in weighted if one.spread < CONSTANT)
        yield Finding(
            name="constant answers",
            says=f"what {weighted[-1].name} gives differs from example to example by "
            f"{weighted[-1].spread:.1e} of its size: from {lost.name} on the inputs are lost"
            + _blame(seen),
            do=_NO_SIGMOIDS
            if _squashed(seen)
            else "Initialise with shoestring.kit.fan_in_variance(model) or "
            "shoestring.kit.unit_variance(model, task), or put a norm after each layer",
            layers=(lost.name,),
        )


def depth(seen: Seen) -> Iterator[Finding]:
    """Gradients that vanish or explode along the longest way through the network."""
    chain = seen.chain
    if len(chain) < _FEW:
        return
    ratio, per_layer = _through_depth([one.gradient or 0.0 for one in chain])
    ends = f"{chain[-1].gradient:.1e} at {chain[-1].name} and {chain[0].gradient:.1e} at "
    ends += f"{chain[0].name}, {len(chain)} layers before"
    if ratio < 1 / STEEP:
        yield Finding(
            name="vanishing gradients",
            says=f"the gradient is {ends}: each layer leaves {per_layer:.2g} of it" + _blame(seen),
            do=_NO_SIGMOIDS
            if _squashed(seen)
            else f"Add shortcuts around blocks of layers, {_shortcut(seen)}, initialise with "
            "shoestring.kit.fan_in_variance(model) or shoestring.kit.unit_variance(model, task), "
            "or add norms; a higher rate does not help",
            layers=(chain[0].name,),
        )
    elif ratio > STEEP:
        yield Finding(
            name="exploding gradients",
            says=f"the gradient is {ends}: each layer multiplies it by {per_layer:.2g}",
            do=f"Add shortcuts around blocks of layers, {_shortcut(seen)}, and clip gradients "
            "(Training(clipping=Clipped(1.0)), both of shoestring.kit). Norms alone do not stop "
            "it: batch norm multiplies the gradient of a network without shortcuts at each layer",
            layers=(chain[0].name,),
        )


def _through_depth(gradients: Sequence[float]) -> tuple[float, float]:
    """(first over last gradient, the factor per layer) of the line through the logarithms."""
    logs = torch.tensor([math.log(max(one, 1e-45)) for one in gradients], dtype=torch.float64)
    places = torch.arange(len(logs), dtype=torch.float64)
    centred = places - places.mean()
    slope = float((centred * (logs - logs.mean())).sum() / centred.square().sum())
    return math.exp(min(-slope * (len(logs) - 1), 700.0)), math.exp(min(-slope, 700.0))


_NO_SIGMOIDS = (
    "Replace the sigmoids between layers by ReLU or Tanh, with "
    "shoestring.kit.fan_in_variance(model), or put a BatchNorm before each, or make the layers "
    "blocks with shortcuts, x + f(norm(x)); new initial weights or a LayerNorm before each sigmoid "
    "do not help by themselves"
)


def _squashed(seen: Seen) -> bool:
    """Whether sigmoids stand behind half of the layers or more, and not only behind a few."""
    layers = len(seen.chain) or sum(one.function in PRODUCTS for one in seen.signals)
    return 0 < layers <= 2 * len(seen.sigmoids) + 1 and len(seen.sigmoids) > 1


def _blame(seen: Seen) -> str:
    """What sigmoids do to values and gradients, where they are many; "" where they are not."""
    if not _squashed(seen):
        return ""
    return (
        f". {len(seen.sigmoids)} sigmoids between the layers cause it: they give about a half for "
        "every example, and their slope is 1/4 at most"
    )


def _shortcut(seen: Seen) -> str:
    """A block with a shortcut, in words, and for images a network that has such blocks."""
    images = any(one.function in CONVOLUTIONS for one in seen.chain)
    return "x + f(norm(x))" + (" (shoestring.models.PreActivation)" if images else "")


def _several(batches: Sequence[Any]) -> bool:
    """Whether a batch has several examples that differ."""
    first = next((one for one in tree.leaves(batches[0]) if isinstance(one, Tensor)), None)
    if first is None or first.ndim == 0 or len(first) < 2:
        return False
    return bool((first != first[:1]).any())
