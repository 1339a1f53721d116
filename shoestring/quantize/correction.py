"""Bias correction: biases compensate the shift of channel means that rounding causes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from shoestring.kit import Product, Quantised, SkippedWarning, Weight, parameters_of
from shoestring.quantize.calibration import Calibration
from shoestring.quantize.examples import ChannelMeans, channel_means
from shoestring.quantize.sequential import SequentialRun, sections

PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose output is their product and nothing else."""
_WORSE, _FAR_OFF = 3.0, 0.1
"""When a correction is undone, judged on examples that it was not measured on.

It is undone if the distance to the original answers is more than `_WORSE` times the distance
without it, and more than `_FAR_OFF` of the spread of those answers. Both are needed: small networks
move by more, and lose nothing by it.
"""


def correct(quantised: Quantised, calibration: Calibration, layers: list[str]) -> None:
    """Shift each bias by what rounding shifts the mean of its channel, layer by layer.

    Each layer is corrected with those before it corrected already. Means are measured on one batch.
    If other examples are answered much worse than without the correction, all biases stay as they
    were, with a SkippedWarning: an example far from all others may have been in the batch, and
    clipping it is what shifted the means.
    """
    # The output of a layer of another class may be something else than the product.
    layers = [layer for layer in layers if type(calibration.before.get_submodule(layer)) in PLAIN]
    wanted = calibration.means(layers)
    parameters = parameters_of(quantised.inner)
    biases = {
        layer: parameters.of(quantised.inner.get_submodule(layer), "bias") for layer in wanted
    }
    adjustable = {
        layer: bias
        for layer, bias in biases.items()
        if bias is not None and len(bias.owners) == 1 and not _is_fixed(bias)
    }

    before = {layer: bias.raw.detach().clone() for layer, bias in adjustable.items()}

    def is_simple(layer: str) -> bool:
        module = quantised.inner.get_submodule(layer)
        is_altered = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
        return wanted[layer].calls == 1 and not is_altered

    for section in sections(quantised.places, adjustable, is_simple):
        if all(map(is_simple, section)):
            correcting = _Correcting(quantised, section, adjustable, wanted)
            correcting.run(calibration.task, calibration.batches[0])
            continue
        measured = channel_means(
            quantised, quantised.inner, calibration.task, section, calibration.batches[0]
        )
        for layer, actual in measured.items():
            with torch.no_grad():
                _shift(adjustable[layer], wanted[layer], actual)
    _keep_if_better(quantised, calibration, adjustable, before)


def _keep_if_better(
    quantised: Quantised,
    calibration: Calibration,
    biases: Mapping[str, Weight],
    before: Mapping[str, Tensor],
) -> None:
    """Restore the biases of `before` where the corrected ones answer other examples much worse."""
    if not biases:
        return
    last = list(biases)[-1]
    original = calibration.answers(last)
    corrected = {layer: bias.raw.detach().clone() for layer, bias in biases.items()}

    def distance(values: Mapping[str, Tensor]) -> float:
        with torch.no_grad():
            for layer, bias in biases.items():
                bias.raw.copy_(values[layer])
        return _distance(calibration.answers(last, quantised), original)

    error_before, error = distance(before), distance(corrected)
    spread = _distance(original, [answer.mean().expand_as(answer) for answer in original])
    if error > max(_WORSE * error_before, _FAR_OFF * spread):
        distance(before)
        warnings.warn(
            "biases stay as they were: corrected on the first batch of calibration, they take "
            f"other examples {error / max(error_before, 1e-300):.3g} times as far from the network "
            "as it was. Look for examples in the training data that are unlike all others",
            SkippedWarning,
            stacklevel=4,
        )


def _distance(values: Sequence[Tensor], references: Sequence[Tensor]) -> float:
    """The mean distance between numbers, without the largest tenth; NaN if shapes differ."""
    if not values or [value.shape for value in values] != [value.shape for value in references]:
        return math.nan  # compares false with everything
    distances = (
        torch.cat(
            [
                (value - reference).abs().flatten()
                for value, reference in zip(values, references, strict=True)
            ]
        )
        .sort()
        .values
    )
    return float(distances[: max(1, len(distances) - len(distances) // 10)].mean())


class _Correcting(SequentialRun):
    """A run that corrects the biases of plain layers that are called once, as they are called."""

    def __init__(
        self,
        quantised: Quantised,
        section: Sequence[str],
        biases: Mapping[str, Weight],
        wanted: Mapping[str, ChannelMeans],
    ) -> None:
        super().__init__(quantised.inner, quantised.places, list(quantised.grids), section)
        self._biases, self._wanted = biases, wanted

    def _adjust(self, call: Product, layer: str, grid: int) -> Product:
        """The call, with the corrected bias."""
        if self._key(layer)[0] != layer:
            return call
        actual = ChannelMeans(self.inner.get_submodule(layer))
        actual.add(self._output(call, layer, grid))
        _shift(self._biases[layer], self._wanted[layer], actual)
        return replace(call, bias=self._biases[layer].value())


def _shift(bias: Weight, wanted: ChannelMeans, actual: ChannelMeans) -> None:
    bias.raw.add_((wanted.mean - actual.mean).to(bias.raw))


def _is_fixed(weight: Weight) -> bool:
    """Whether a weight has a mask, a codebook or a scale, which a shift would break."""
    state = weight.state
    return state is not None and any(
        part is not None for part in (state.codebook, state.scale, state.mask)
    )
