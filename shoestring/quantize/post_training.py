"""Whole numbers of 8 bits for a trained network: ranges from a few examples, no training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from glob import escape
from statistics import median
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Meter, Stage, Strength, Task, Technique
from shoestring.kit import (
    Parameters,
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
from shoestring.quantize.breaking import say_what_breaks
from shoestring.quantize.calibration import Calibration, folded
from shoestring.quantize.correction import PLAIN, correct
from shoestring.quantize.far_off import settled
from shoestring.quantize.granularity import PerChannel, PerTensor
from shoestring.quantize.ranges import MeanSquare, MinMax, Ranges, Seen
from shoestring.quantize.rounding import GPTQ, Nearest

_READINGS = 3


@dataclass(frozen=True, kw_only=True)
class PostTraining(Technique):
    """Have convolutions and linear layers compute with whole numbers of 8 bits, and train nothing.

    Batch norm is folded into the layers before it. A few training batches tell the range of each
    value that such a layer takes; weights are rounded to signed numbers, activations to unsigned
    ones, and biases take up what rounding shifts on average. Weights that are multiples of a step
    already, and within reach, as those of Rate and Trellis, stay what they are. The file holds
    whole numbers and runs with the integer kernels of the runtime; what it scores is what the
    module that is returned scores, but for the last bit of a float.
    Saves: bytes of the file; milliseconds where the processor multiplies bytes faster than floats.
    Costs: score, a fraction of a point with 8 bits; the time of two or three passes over the
    calibration examples, and of one batch for each layer that is called several times (where
    answers are far off, of twenty seconds more, to say which layer is to blame); with GPTQ() of two
    passes for each layer, or two in all where the examples are one batch.
    Source: Jacob et al. 2018, sections 2 and 3; Nagel et al. 2019, section 4.2, for the biases.
    Differs: these are measured, not computed.

    `bits` of weights: 2 to 8 (activations have 8).
    `granularity`: PerChannel() or PerTensor(), how many weights share a step.
    `ranges`: MinMax(), Percentile(), MeanSquare() or Entropy(), of activations; `weight_ranges`
        likewise.
    `rounding`: Nearest(), or GPTQ(), which keeps the score at 3 and 4 bits.
    `examples`: how many tell the ranges, 1 or more.
    `only`, `keep`: names of the layers that may and may not be touched.
    `pays`: a meter (`shoestring.meters.Latency()`): where what it reads of the file is not less
        than before, the model comes back as it was, with a ShortfallWarning; None looks at nothing,
        as planners do, which measure each file themselves.
    `calibration`: what `prepared` saw of a model, no setting of anybody's. Embeddings are not among
        the layers: they have no kernels, and WeightOnly rounds them. Raises ValueError for settings
        out of range, NaN and names that are no layers', ExportError for a model that fails on the
        task's example.
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
            raise ValueError(f"weights of {self.bits!r} bits: give 2 to 8, a whole number")
        if not isinstance(self.granularity, PerChannel | PerTensor):
            raise TypeError(
                "kernels for whole numbers take PerChannel() or PerTensor(), not "
                f"{self.granularity!r}: WeightOnly has groups"
            )
        if not isinstance(self.rounding, Nearest | GPTQ):
            raise TypeError(f"rounding is Nearest() or GPTQ(), not {self.rounding!r}")
        if self.examples < 1:
            raise ValueError(f"ranges from {self.examples} examples: give 1 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A module that wraps a copy of the model, its weights and activations rounded."""
        check_finite(model)
        known = self._calibrated(model, task)
        for text in known.skipped:
            warnings.warn(text, SkippedWarning, stacklevel=2)
        inner = clone(known.inner)
        layers = chosen(list(products(known.tape)), self.only, self.keep, "PostTraining")
        parameters = parameters_of(inner)
        weights = weights_of(parameters)
        weights = {layer: weight for layer, weight in weights.items() if layer in layers}
        weights = {
            layer: weight for layer, weight in weights.items() if weight.raw.dtype == torch.float32
        }
        empty = [
            one
            for one in layers
            if not getattr(inner.get_submodule(one), "weight", torch.ones(1)).numel()
        ]
        _say_what_stays(known, [one for one in layers if one not in weights and one not in empty])
        if not self.only and not self.keep:
            why = (
                "no kernels for whole numbers, or none that this technique knows. "
                "WeightOnly or Shared make such layers smaller"
            )
            say_what_is_left(
                parameters, list(weights.values()), "PostTraining put into whole numbers", why
            )
        places = edges(known.tape, list(weights))
        if constant := known.constant(places):
            _say_what_never_varies(constant)
            weights = {layer: weight for layer, weight in weights.items() if layer not in constant}
            places = edges(known.tape, list(weights))
        if not weights:
            if not constant:
                warnings.warn(
                    "PostTraining found nothing to do: no convolution or linear layer is left",
                    SkippedWarning,
                    stacklevel=2,
                )
            return inner.train(model.training)
        grids = known.grids(places, self.ranges)
        taken = places.layers
        free: dict[str, Weight] = {}
        for layer, weight in weights.items():
            scales = [float(grids[number].scale) for number in taken.get(layer, ())]
            bias = getattr(inner.get_submodule(layer), "bias", None)
            if not keep_grid(weight, self.bits, _least(bias, scales)):
                free[layer] = weight
                round_weight(weight, self.bits, self.granularity, self.weight_ranges)
                _reach_bias(weight, bias, scales)
        quantised = Quantised(inner, places, grids)
        self.rounding(quantised, known.before, task, free, known.batches)
        correct(quantised, known, list(weights))
        if self.pays is not None and (why := _what_it_cost(self.pays, model, quantised, task)):
            warnings.warn(
                f"PostTraining does not pay: {why}; the model is as it was",
                ShortfallWarning,
                stacklevel=2,
            )
            return clone(model)
        if self.calibration is None:  # planners, which have prepared it, score what they make

            def alone(layer: str) -> nn.Module:
                return replace(
                    self,
                    only=(escape(layer),),
                    keep=(),
                    pays=None,
                    rounding=Nearest(),
                    calibration=known,
                )(model, task)

            say_what_breaks(known, quantised, list(weights), alone, self.keep, self._what_else())
        return quantised.train(model.training)

    def _what_else(self) -> str:
        """What keeps more of the answers, in words."""
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

        It gives what it would have given, sooner, whatever bits, `only` and `keep` it is then
        given. For another model or task it calibrates anew.
        """
        check_finite(model)
        known = self._calibrated(model, task)
        layers = [
            layer
            for layer, weight in weights_of(parameters_of(known.inner)).items()
            if weight.raw.dtype == torch.float32
        ]
        layers = [
            layer
            for layer in chosen(list(products(known.tape)), self.only, self.keep, "PostTraining")
            if layer in layers
        ]
        if not layers:
            return replace(self, calibration=known)
        known.grids(edges(known.tape, layers), self.ranges)
        known.means([layer for layer in layers if type(known.before.get_submodule(layer)) in PLAIN])
        return replace(self, calibration=known)

    def _calibrated(self, model: nn.Module, task: Task) -> Calibration:
        known = self.calibration
        if known is not None and known.fits(model, task, self.examples):
            return known
        known = Calibration.of(model, task, self.examples)
        weights = weights_of(parameters_of(known.inner))
        return settled(
            known,
            [
                one
                for one in products(known.tape)
                if one in weights and weights[one].raw.dtype == torch.float32
            ],
        )


def _what_it_cost(meter: Meter, before: nn.Module, after: nn.Module, task: Task) -> str:
    """What a meter reads that has not become less, in words; "" where all has.

    Readings are taken in turn, and their medians compared.
    """
    readings = [
        (meter(before, task).measured(), meter(after, task).measured()) for _ in range(_READINGS)
    ]
    for name in readings[0][0]:
        was, now = (median(one[place][name] for one in readings) for place in (0, 1))
        if now >= was:
            return f"{now:.4g} {name} in place of {was:.4g}"
    return ""


def _say_what_stays(known: Calibration, other: list[str]) -> None:
    """Warn of convolutions and linear layers that cannot compute with whole numbers."""
    names = [name or "forward()" for name in other]
    names += [
        call.layer or "forward()"
        for call in known.tape.calls
        if call.function.startswith("conv_transpose")
        or (call.function in PRODUCTS and 1 not in call.weights)
    ]
    reasons: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        why = (
            "no kernels for it, or its weight is computed, foreign, of another type than "
            "float32 or not called weight"
        )
        if name != "forward()" and (call := removal(known.inner.get_submodule(name), "weight")):
            why = f"its weight is computed: {call} makes a plain parameter of it"
        reasons.setdefault(why, []).append(name)
    for why, own in reasons.items():
        warnings.warn(
            f"PostTraining left in floating point: {', '.join(own)} ({why})",
            SkippedWarning,
            stacklevel=3,
        )


def _say_what_never_varies(constant: Mapping[str, float]) -> None:
    """Warn of layers of which calibration tells no range."""
    names = [
        f"{layer or 'forward()'} (never beyond {number:.3g})" for layer, number in constant.items()
    ]
    warnings.warn(
        f"PostTraining left in floating point: {', '.join(names)}: what they take was the same in "
        "all calibration examples, so that nothing tells "
        "its range. Look at what task.batches('train') gives: it must be like what the model will "
        "meet",
        SkippedWarning,
        stacklevel=3,
    )


def weights_of(parameters: Parameters) -> dict[str, Weight]:
    """By layer, the weight that it multiplies by, where it may be rounded."""
    return {
        layer: weight
        for weight in parameters
        if weight.is_parameter
        and weight.raw.is_floating_point()
        and weight.raw.ndim >= 2
        and not weight.is_foreign
        and weight.raw.numel()
        for layer, _, attribute in (name.rpartition(".") for name in weight.names)
        if attribute == "weight"
    }


def round_weight(weight: Weight, bits: int, granularity: Any, ranges: Ranges) -> None:
    """Put a weight on a grid of signed numbers of so many bits, symmetric around zero."""
    weight.attach()
    value, reach = weight.value().float(), (1 << (bits - 1)) - 1
    shape = granularity(value)
    rows = value.reshape(len(value), -1) if len(shape) == value.ndim else value.reshape(1, -1)
    if len(shape) == 2 and shape[1] > 1:  # groups of columns
        rows = value.reshape(-1, value.shape[1] // shape[1])
    largest = rows.abs().amax(1)
    if ranges.counts:
        parts = []
        for row in rows:
            seen = Seen()
            seen.limits(torch.cat([row, -row]))
            seen.count(torch.cat([row, -row]))
            parts.append(ranges(seen, 2 * reach)[1])
        largest = torch.tensor(parts).to(value)
    # Of what is all zeros the step is of account for the bias only, which is rounded to multiples
    # of it: as fine as others are.
    others = largest[largest > 1e-12]
    scale = (
        torch.where(
            largest > 1e-12, largest, others.min() if len(others) else torch.ones_like(largest)
        )
        / reach
    )
    weight.round(scale.view(shape), reach)


def keep_grid(weight: Weight, bits: int, least: Tensor | None = None) -> bool:
    """Leave a weight on the grid that it is on, if its whole numbers have so many bits.

    Returns whether they have.
    So what another technique made cheap to code stays so.
    `least`: what the steps must be at least, of each slice along axis 0; a step below that is
        multiplied by a whole number, where the numbers of its slices are multiples of that.
    """
    state, reach = weight.state, (1 << (bits - 1)) - 1
    if state is None or state.scale is None or state.scale.numel() not in (1, len(weight.raw)):
        return False
    value, scale = weight.value(), state.scale.detach()
    numbers = (value / scale).round()
    if bool((numbers.abs() > reach).any()):
        return False
    if least is not None:
        needed = (
            least.to(scale).view(scale.shape)
            if scale.numel() > 1
            else least.max().to(scale).view(scale.shape)
        )
        factor = (needed / scale).ceil().clamp_min(1)
        if bool((numbers % factor != 0).any()):
            return False
        scale = scale * factor
    with torch.no_grad():
        weight.raw.copy_(value)
    weight.round(scale, reach)
    return True


def _least(bias: Tensor | None, scales: list[float]) -> Tensor | None:
    """How large the steps of a weight must be for its bias (O).

    That is a whole number of 32 bits, in units of the two steps.
    """
    if bias is None or not scales:
        return None
    return bias.detach().float().abs() / (min(scales) * 2.0**30)


def _reach_bias(weight: Weight, bias: Tensor | None, scales: list[float]) -> None:
    """Have the steps of a weight large enough for its bias."""
    state, least = weight.state, _least(bias, scales)
    if least is None or state is None or state.scale is None:
        return
    least = (
        least.view(state.scale.shape)
        if state.scale.numel() > 1
        else least.max().view(state.scale.shape)
    )
    state.scale.data = torch.maximum(state.scale.data, least.to(state.scale))
