"""Post-training quantization: 8-bit integers for a trained network, without training."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from glob import escape
from statistics import median
from typing import ClassVar

import torch
from torch import nn

from shoestring.core import Meter, Stage, Strength, Task, Technique
from shoestring.kit import (
    Edges,
    Grid,
    Patterns,
    Quantised,
    ShortfallWarning,
    SkippedWarning,
    Weight,
    check_finite,
    chosen,
    clone,
    edges,
    parameters_of,
    products,
)
from shoestring.kit.tracing.product import PRODUCTS
from shoestring.kit.weights.layers import say_what_is_left
from shoestring.kit.weights.parametrizations import removal
from shoestring.quantize.blame import warn_if_far_off
from shoestring.quantize.calibration import Calibration, folded
from shoestring.quantize.calibration_outliers import best_calibration
from shoestring.quantize.correction import PLAIN, correct
from shoestring.quantize.granularity import PerChannel, PerTensor
from shoestring.quantize.ranges import MeanSquare, MinMax, Ranges
from shoestring.quantize.rounding import GPTQ, Nearest
from shoestring.quantize.weight_grids import (
    fit_bias,
    keep_grid,
    least_scales,
    round_weight,
    weights_of,
)

_READINGS = 3  # of the meter `pays`, before and after


@dataclass(frozen=True, kw_only=True)
class PostTraining(Technique):
    """Make convolutions and linear layers compute with 8-bit integers, without training.

    Batch norm is folded into the layers before it. A few training batches give the range of each
    activation that such a layer takes. Weights are rounded to signed integers, activations to
    unsigned ones, and biases compensate the shift of the means. Weights that are on a grid that
    fits already, such as those of Rate and Trellis, stay as they are. The file holds integers and
    runs with the integer kernels of the runtime; it scores what the returned module scores, up to
    the last bit of a float. Embeddings have no integer kernels: WeightOnly rounds them.

    Saves: bytes of the file; milliseconds where the processor multiplies bytes faster than floats.
    Costs: score, a fraction of a point with 8 bits; the time of two or three passes over the
    calibration examples, and of one batch for each layer that is called several times. With GPTQ()
    two passes for each layer, or two in all where the examples are one batch. Where answers are far
    off, another twenty seconds to find out which layer is to blame.
    Source: Jacob et al. 2018, sections 2 and 3; Nagel et al. 2019, section 4.2, for the biases.
    Differs: the shifts of the means are measured, not computed.

    `bits`: of weights, 2 to 8 (activations have 8).
    `granularity`: how many weights share a scale, PerChannel() or PerTensor().
    `ranges`, `weight_ranges`: of activations and of weights: MinMax(), Percentile(), MeanSquare()
        or Entropy().
    `rounding`: Nearest(), or GPTQ(), which keeps the score at 3 and 4 bits.
    `examples`: how many the ranges are measured on, 1 or more.
    `only`, `keep`: patterns of names of layers that are quantised, and of those that are not.
    `pays`: a meter (`shoestring.meters.Latency()`). If what it reads of the file is not less than
        before, the model comes back as it was, with a ShortfallWarning. None does not check:
        planners measure each file themselves.
    `calibration`: what `prepared` measured; not a setting.

    Raises ValueError for settings out of range, weights or examples that are NaN or infinite, and
    patterns that match no layer; TypeError for other granularities and roundings; ExportError for a
    model that fails on the task's example.
    """

    stage: ClassVar = Stage.NUMBERS
    strength: ClassVar = Strength(field="bits", gentle=8, harsh=2, whole=True)

    bits: int = 8
    granularity: PerChannel | PerTensor = PerChannel()
    ranges: Ranges = MeanSquare()
    weight_ranges: Ranges = MinMax()
    rounding: Nearest | GPTQ = Nearest()
    examples: int = 512
    only: Patterns = ()
    keep: Patterns = ()
    pays: Meter | None = None
    calibration: Calibration | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.bits, int) or not 2 <= self.bits <= 8:
            raise ValueError(f"weights of {self.bits!r} bits: give an integer from 2 to 8")
        if not isinstance(self.granularity, PerChannel | PerTensor):
            raise TypeError(
                f"integer kernels take PerChannel() or PerTensor(), not {self.granularity!r}: "
                "WeightOnly has groups"
            )
        if not isinstance(self.rounding, Nearest | GPTQ):
            raise TypeError(f"rounding is Nearest() or GPTQ(), not {self.rounding!r}")
        if self.examples < 1:
            raise ValueError(f"ranges from {self.examples} examples: give 1 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A module that wraps a copy of the model with rounded weights and activations."""
        check_finite(model)
        calibration = self._calibrated(model, task)
        for text in calibration.skipped:
            warnings.warn(text, SkippedWarning, stacklevel=2)
        inner = clone(calibration.inner)
        layers = chosen(list(products(calibration.tape)), self.only, self.keep, "PostTraining")
        weights = _float32_weights(inner, layers)
        _warn_of_floats(calibration, layers, weights)
        if not self.only and not self.keep:
            reason = (
                "no integer kernels, or none that this technique knows. WeightOnly or "
                "WeightSharing make such layers smaller"
            )
            say_what_is_left(
                parameters_of(inner), list(weights.values()), "PostTraining quantized", reason
            )
        quantised_edges = edges(calibration.tape, list(weights))
        if constants := calibration.constant(quantised_edges):
            _warn_of_constants(constants)
            weights = {layer: weight for layer, weight in weights.items() if layer not in constants}
            quantised_edges = edges(calibration.tape, list(weights))
        if not weights:
            if not constants:
                warnings.warn(
                    "PostTraining found nothing to do: no convolution or linear layer is left",
                    SkippedWarning,
                    stacklevel=2,
                )
            return inner.train(model.training)
        grids = calibration.grids(quantised_edges, self.ranges)
        free = self._put_on_grids(inner, weights, quantised_edges, grids)
        quantised = Quantised(inner, quantised_edges, grids)
        self.rounding(quantised, calibration.before, task, free, calibration.batches)
        correct(quantised, calibration, list(weights))
        if self.pays is not None and (reason := _not_saved(self.pays, model, quantised, task)):
            warnings.warn(
                f"PostTraining does not pay: {reason}; the model is as it was",
                ShortfallWarning,
                stacklevel=2,
            )
            return clone(model)
        if self.calibration is None:  # planners, which have prepared it, score what they make
            alone = partial(self._alone, model, task, calibration)
            warn_if_far_off(
                calibration, quantised, list(weights), alone, self.keep, self._alternatives()
            )
        return quantised.train(model.training)

    def _put_on_grids(
        self,
        inner: nn.Module,
        weights: Mapping[str, Weight],
        edges: Edges,
        grids: Sequence[Grid],
    ) -> dict[str, Weight]:
        """Give the weights scales; returns those that were not on a grid that fits, by layer."""
        free: dict[str, Weight] = {}
        for layer, weight in weights.items():
            scales = [float(grids[index].scale) for index in edges.layers.get(layer, ())]
            bias = getattr(inner.get_submodule(layer), "bias", None)
            if not keep_grid(weight, self.bits, least_scales(bias, scales)):
                free[layer] = weight
                round_weight(weight, self.bits, self.granularity, self.weight_ranges)
                fit_bias(weight, bias, scales)
        return free

    def _alone(
        self, model: nn.Module, task: Task, calibration: Calibration, layer: str
    ) -> nn.Module:
        """The model with one layer quantised, to the nearest."""
        return replace(
            self,
            only=(escape(layer),),
            keep=(),
            pays=None,
            rounding=Nearest(),
            calibration=calibration,
        )(model, task)

    def _alternatives(self) -> str:
        """What would keep more of the answers, in words."""
        ways = ["more bits"] if self.bits < 8 else []
        ways += ["rounding=GPTQ()"] if self.bits < 7 and not isinstance(self.rounding, GPTQ) else []
        return ", ".join(
            [
                *ways,
                "training with the rounding (QuantizationAware)",
                "or weights alone (WeightOnly) would do",
            ]
        )

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names of the layers that it may change."""
        return list(products(folded(model, task)[1]))

    def prepared(self, model: nn.Module, task: Task) -> PostTraining:
        """The same, calibrated for this model and task.

        It gives the same results, sooner, whatever `bits`, `only` and `keep` are set to afterwards.
        For another model or task it calibrates anew.
        """
        check_finite(model)
        calibration = self._calibrated(model, task)
        layers = chosen(list(products(calibration.tape)), self.only, self.keep, "PostTraining")
        layers = list(_float32_weights(calibration.inner, layers))
        if not layers:
            return replace(self, calibration=calibration)
        calibration.grids(edges(calibration.tape, layers), self.ranges)
        calibration.means(
            [layer for layer in layers if type(calibration.before.get_submodule(layer)) in PLAIN]
        )
        return replace(self, calibration=calibration)

    def _calibrated(self, model: nn.Module, task: Task) -> Calibration:
        """The calibration of `prepared` if it fits, else a new one."""
        calibration = self.calibration
        if calibration is not None and calibration.fits(model, task, self.examples):
            return calibration
        calibration = Calibration.of(model, task, self.examples)
        return best_calibration(
            calibration, list(_float32_weights(calibration.inner, products(calibration.tape)))
        )


def _not_saved(meter: Meter, before: nn.Module, after: nn.Module, task: Task) -> str:
    """Which reading of a meter has not become less, in words; "" where all have.

    The files are read in alternation, and the medians of the readings are compared.
    """
    readings = [
        (meter(before, task).measured(), meter(after, task).measured()) for _ in range(_READINGS)
    ]
    for name in readings[0][0]:
        old, new = (median(reading[side][name] for reading in readings) for side in (0, 1))
        if new >= old:
            return f"{new:.4g} {name} in place of {old:.4g}"
    return ""


def _float32_weights(model: nn.Module, layers: Container[str]) -> dict[str, Weight]:
    """By layer, the float32 weights of these layers that may be rounded, in the model's order."""
    return {
        layer: weight
        for layer, weight in weights_of(model).items()
        if layer in layers and weight.raw.dtype == torch.float32
    }


def _warn_of_floats(
    calibration: Calibration, layers: Sequence[str], weights: Container[str]
) -> None:
    """Warn of convolutions and linear layers that cannot compute with integers.

    `layers`: those that were to; `weights`: those that will.
    """
    inner = calibration.inner
    names = [
        layer or "forward()"
        for layer in layers
        if layer not in weights
        and getattr(inner.get_submodule(layer), "weight", torch.ones(1)).numel()
    ]
    names += [
        call.layer or "forward()"
        for call in calibration.tape.calls
        if call.function.startswith("conv_transpose")
        or (call.function in PRODUCTS and 1 not in call.weights)
    ]
    reasons: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        reason = (
            "no kernels for it, or its weight is computed, foreign, of another type than float32 "
            "or not called weight"
        )
        if name != "forward()" and (call := removal(inner.get_submodule(name), "weight")):
            reason = f"its weight is computed: {call} makes a plain parameter of it"
        reasons.setdefault(reason, []).append(name)
    for reason, skipped in reasons.items():
        warnings.warn(
            f"PostTraining left in floating point: {', '.join(skipped)} ({reason})",
            SkippedWarning,
            stacklevel=3,
        )


def _warn_of_constants(constants: Mapping[str, float]) -> None:
    """Warn of layers whose inputs do not vary in calibration, so that their range is unknown."""
    names = [
        f"{layer or 'forward()'} (never beyond {number:.3g})" for layer, number in constants.items()
    ]
    warnings.warn(
        f"PostTraining left in floating point: {', '.join(names)}: their input was the same in all "
        "calibration examples, so that its range is unknown. Look at what task.batches('train') "
        "gives: it must be like what the model will meet",
        SkippedWarning,
        stacklevel=3,
    )
