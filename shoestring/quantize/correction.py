"""Biases that take up what rounding shifts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from shoestring.kit import Product, Quantised, SkippedWarning, Weight, parameters_of
from shoestring.quantize.calibration import Calibration
from shoestring.quantize.examples import ChannelMeans, means
from shoestring.quantize.settling import Settling, sections

PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers that give their product and nothing else."""
_WORSE, _FAR_OFF = 3.0, 0.1
"""From which on a correction is taken back.

Times the distance from the network as it was that there is without it, on examples that it was not
measured on, and as a share of how far the answers of these are from their mean. Both: small
networks move by more, and lose nothing by it.
"""


def correct(quantised: Quantised, known: Calibration, layers: list[str]) -> None:
    """Shift each bias by what rounding shifts the mean of its channel, layer by layer, since each
    sees what those before have become.

    Measured on one batch. Where other examples are answered much worse than without, all biases
    stay as they were, with a SkippedWarning: one may have been far from all others, and clipping it
    is what shifted the means.
    """
    # What a layer of another class gives may be something else than the product.
    layers = [layer for layer in layers if type(known.before.get_submodule(layer)) in PLAIN]
    wanted = known.means(layers)
    parameters = parameters_of(quantised.inner)
    biases = {
        layer: parameters.of(quantised.inner.get_submodule(layer), "bias") for layer in wanted
    }
    free = {
        layer: bias
        for layer, bias in biases.items()
        if bias is not None and len(bias.owners) == 1 and not _is_fixed(bias)
    }

    before = {layer: bias.raw.detach().clone() for layer, bias in free.items()}

    def is_simple(layer: str) -> bool:
        module = quantised.inner.get_submodule(layer)
        changed = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
        return wanted[layer].calls == 1 and not changed

    for section in sections(quantised.places, free, is_simple):
        if all(map(is_simple, section)):
            _Correcting(quantised, section, free, wanted).run(known.task, known.batches[0])
            continue
        for layer, found in means(
            quantised, quantised.inner, known.task, section, known.batches[0]
        ).items():
            with torch.no_grad():
                _shift(free[layer], wanted[layer], found)
    _keep_if_better(quantised, known, free, before)


def _keep_if_better(
    quantised: Quantised,
    known: Calibration,
    biases: Mapping[str, Weight],
    before: Mapping[str, Tensor],
) -> None:
    """Put the biases back as they were `before`, where that answers a batch much better that they
    were not measured on.
    """
    if not biases:
        return
    last = list(biases)[-1]
    wanted, after = (
        known.answers(last),
        {layer: bias.raw.detach().clone() for layer, bias in biases.items()},
    )

    def distance(values: Mapping[str, Tensor]) -> float:
        with torch.no_grad():
            for layer, bias in biases.items():
                bias.raw.copy_(values[layer])
        return _distance(known.answers(last, quantised), wanted)

    without, corrected = distance(before), distance(after)
    spread = _distance(wanted, [one.mean().expand_as(one) for one in wanted])
    if corrected > max(_WORSE * without, _FAR_OFF * spread):
        distance(before)
        warnings.warn(
            "biases stay as they were: corrected by what rounding shifts on the first batch of "
            "calibration, they take other "
            f"examples {corrected / max(without, 1e-300):.3g} times as far from the network as it "
            "was. Look for examples in the training data "
            "that are unlike all others",
            SkippedWarning,
            stacklevel=4,
        )


def _distance(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """How far numbers are apart in the mean, without the tenth of them that are farthest."""
    if not ones or [one.shape for one in ones] != [one.shape for one in others]:
        return math.nan  # of which nothing follows
    apart = (
        torch.cat([(one - other).abs().flatten() for one, other in zip(ones, others, strict=True)])
        .sort()
        .values
    )
    return float(apart[: max(1, len(apart) - len(apart) // 10)].mean())


class _Correcting(Settling):
    """A run that corrects the biases of layers that are called once, as they are."""

    def __init__(
        self,
        quantised: Quantised,
        section: Sequence[str],
        biases: Mapping[str, Weight],
        wanted: Mapping[str, ChannelMeans],
    ) -> None:
        super().__init__(quantised.inner, quantised.places, list(quantised.grids), section)
        self._biases, self._wanted = biases, wanted

    def settle(self, call: Product, layer: str, number: int) -> Product:
        """The call, with the bias that it then has."""
        if self.key(layer)[0] != layer:
            return call
        found = ChannelMeans(self.inner.get_submodule(layer))
        found.add(self.given(call, layer, number))
        _shift(self._biases[layer], self._wanted[layer], found)
        return replace(call, bias=self._biases[layer].value())


def _shift(bias: Weight, wanted: ChannelMeans, found: ChannelMeans) -> None:
    bias.raw.add_((wanted.mean - found.mean).to(bias.raw))


def _is_fixed(weight: Weight) -> bool:
    """Whether a weight is masked or on levels or a grid, which no shift would leave it on."""
    state = weight.state
    return state is not None and any(
        one is not None for one in (state.codebook, state.scale, state.mask)
    )
