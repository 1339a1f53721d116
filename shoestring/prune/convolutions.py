"""Cheaper convolutions in the place of a model's own, where they pay."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.artifact.progress import tell
from shoestring.core import Gauge, Stage, Strength, Task, Technique
from shoestring.kit import (
    Patterns,
    SkippedWarning,
    Supervised,
    Training,
    check_finite,
    chosen,
    clone,
    parameters_of,
    recover,
)
from shoestring.kit.surgery.in_sequence import reason_to_leave
from shoestring.kit.surgery.replacing import replaced, those_needed
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.weights.layers import say_how_far
from shoestring.prune.convolution_choice import Candidate, Found, cheapest, those_that_pay
from shoestring.prune.convolution_fit import Seen, fitted, seen
from shoestring.prune.convolution_kinds import (
    BlueprintSeparable,
    DepthwiseSeparable,
    Grouped,
    Kind,
    LowRankConvolution,
    SpatiallySeparable,
    check_kinds,
    made,
)
from shoestring.prune.unchanged import unchanged

_KINDS: tuple[type, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ALL = (
    DepthwiseSeparable(),
    BlueprintSeparable(),
    SpatiallySeparable(),
    Grouped(2),
    Grouped(4),
    LowRankConvolution(),
)
_COPIES = 4
"""So many of a layer in a row are weighed where that is possible, to see less of the surroundings.
"""
_FAR = 0.1
"""A share of the `share` that was asked for: what is further from it is said."""
_WHO = "CheapConvolutions"


@dataclass(frozen=True, kw_only=True)
class CheapConvolutions(Technique):
    """Replace dense convolutions by grouped, separable or low-rank ones where they pay.

    Saves: operations, milliseconds where a kind is fast in the runtime, and bytes.
    Costs: the time of `training`; score; with a meter, a second or two for each kind and shape of
    layer, and for each layer that is replaced.
    Source: Crowley et al. 2018 (cheap convolutions, taught by the network as it was); Guo et al.
    2018 (weights by decomposition). Differs: each layer gets its own kind, or stays as it is; the
    last of the new layers is fitted to the old one's outputs.

    `share`: the share that is kept of the cost of all convolutions that could be replaced, above 0
        and at most 1. What loses the least of a layer's outputs for the cost saved is replaced
        first.
    `kinds`: what may replace a layer, each a `Kind`.
    `meter`: what a layer costs is measured with it, on a file of the layer at its own shapes:
        meters.Latency(), say. None: operations are counted from the shapes.
        With a meter, layers are also put back one by one, where the whole model costs no more
        without the replacement; beyond 24 of them, some at a time.
    `margin`: a kind is considered where it takes at most this share of the layer's cost, above 0
        and at most 1. With a meter, so must the whole model, or it stays as it is.
    `batches`: how many batches of the training split the layers are fitted to, 1 or more.
    `training`: after the replacement, with the model as it was as teacher; Training(0) trains
        nothing, and a model in which nothing was replaced is not trained.
    `only`, `keep`: patterns of names of layers that may be replaced, and of those that stay.

    An nn.Sequential of two or three layers replaces a layer. One line on standard error, and in the
    logger "shoestring", says which kind replaced which layer and what share of the cost is left. To
    restore a file into the model's class, call `converted` with these kinds on the model, or
    without a meter the technique with Training(0). A ShortfallWarning says that a tenth more than
    the `share` is left. Skipped with a SkippedWarning:
    weights that are tied, frozen, parametrized or have a state (prune, share and quantize
    afterwards), layers with hooks, layers that are not called, or of which the model reads
    attributes or asks what they are, `kinds` that fit no layer, and layers for which no kind pays.
    Transposed convolutions, and those that have groups already, stay as they are. Raises ValueError
    for settings out of range, patterns that match no layer, a meter that measures nothing, and
    weights that are NaN or infinite; TypeError and ValueError for `kinds` that are none, or whose
    layers cannot replace one.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="share", gentle=0.9, harsh=0.2)

    share: float = 0.5
    kinds: tuple[Kind, ...] = _ALL
    meter: Gauge | None = None
    margin: float = 0.9
    batches: int = 8
    training: Training = Training(2000)
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        for what, value in (("share", self.share), ("margin", self.margin)):
            if not 0 < value <= 1:
                raise ValueError(f"the {what} is {value}: it must be above 0 and at most 1")
        if not isinstance(self.batches, int) or self.batches < 1:
            raise ValueError(
                f"layers are fitted to {self.batches} batches: give a whole number, 1 or more"
            )
        check_kinds(self.kinds)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with cheaper convolutions."""
        check_finite(model)
        names = _layers(model)
        if names or self.only or self.keep:
            names = chosen(names, self.only, self.keep, _WHO)
        if not names:
            _skip("found no convolution in the model that it could replace", 3)
            return clone(model)
        found = self._found(model, task, names)
        cheap, plan = self._replaced(model, task, found)
        if not plan:
            return unchanged(model, self.training, _WHO)
        key = f"{self!r}, {plan}"  # a meter may choose otherwise the next time
        return recover(cheap, task, model, self.training, what="training cheap layers", key=key)

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)
            return _layers(model)

    def _found(self, model: nn.Module, task: Task, names: list[str]) -> Found:
        """Of each layer its cost, and the candidates that pay."""
        samples = seen(model, task, names, self.batches, _WHO)
        needed = those_needed(model, samples, examples_of(task))
        if uncalled := [name for name in names if name not in samples]:
            _skip(f"skipped {_several(uncalled)}: nothing calls them on the training data", 4)
        known: dict[Any, float] = {}
        found: Found = {}
        unfit: list[str] = []
        useless: list[str] = []
        fits: set[Kind] = set()
        for name in samples:
            layer: Any = model.get_submodule(name)
            inputs = samples[name].inputs
            fitting = {
                kind: layers
                for kind in self.kinds
                if (layers := made(kind, layer, inputs, name)) is not None
            }
            fits |= fitting.keys()
            if not fitting:
                unfit.append(name)
            elif name in needed:
                _skip(f"skipped {name}: {needed[name]}", 4)
                continue
            cost = self._cost(nn.Sequential(layer), samples[name], known, None)
            candidates: list[Candidate] = []
            for kind, layers in fitting.items():
                price = self._cost(layers, samples[name], known, kind)
                if price <= self.margin * cost:
                    error = fitted(layers, samples[name])
                    candidates.append(Candidate(kind, layers, price, error))
            found[name] = cost, candidates
            useless += [name] if fitting and not candidates else []
        if unfit:
            _skip(f"leaves {_as_is(unfit)}: no kind fits there: {_channels(model, unfit)}", 4)
        if useless:
            _skip(f"leaves {_as_is(useless)}: no kind pays there, {self._why_not()}", 4)
        none = [kind for kind in self.kinds if kind not in fits]
        if none and self.kinds != _ALL:
            text = ", ".join(map(repr, none))
            _skip(f"could use {text} for no layer: {_channels(model, list(samples))}", 4)
        return found

    def _cost(
        self, layers: nn.Sequential, what: Seen, known: dict[Any, float], kind: Kind | None
    ) -> float:
        """What layers cost on an example; `known` has what was measured of such layers before."""
        if self.meter is None:
            return float(_products(layers, what.inputs[:1]))
        signature = (kind, str(layers), what.inputs.shape[1:])
        if signature not in known:
            known[signature] = self._measured(*_alone(layers, what.inputs))
        return known[signature]

    def _measured(self, model: nn.Module, task: Task, times: int = 1) -> float:
        assert self.meter is not None
        value = getattr(self.meter(model, task), self.meter.measures)
        if value is None:
            raise ValueError(
                f"the meter {self.meter!r} measured no {self.meter.measures} of a layer: "
                f"{self.meter.why_not() or 'give one that does, such as meters.Latency()'}"
            )
        return float(value) / times

    def _replaced(self, model: nn.Module, task: Task, found: Found) -> tuple[nn.Module, str]:
        """A copy with the best candidates in place, and which these are in words; "" for none."""
        total = sum(cost for cost, _ in found.values())
        taken = cheapest(found, self.share * total)
        cheap = _with(model, taken)
        if self.meter is not None and taken:
            before, after = self._measured(model, task), self._measured(cheap, task)

            def measured(some: dict[str, Candidate]) -> float:
                return self._measured(_with(model, some), task) if some else before

            taken, back, after = those_that_pay(found, taken, after, measured)
            if back:
                _skip(f"put back {'; '.join(one.told(self.meter.measures) for one in back)}", 4)
                cheap = _with(model, taken)
            if taken and after > self.margin * before:
                _skip(
                    f"left the model as it is: {self.meter.measures} would go from {before:.4g} "
                    f"to {after:.4g} with {len(taken)} layers replaced, which does not pay",
                    4,
                )
                taken = {}
        left = total + sum(one.cost - found[name][0] for name, one in taken.items())
        if taken:
            self._say_what(found, taken, left / total)
        return cheap, ", ".join(f"{name}: {one.kind!r}" for name, one in taken.items())

    def _say_what(self, found: Found, taken: dict[str, Candidate], left: float) -> None:
        """Say which kinds replaced layers, and the share `left` of the cost, as against `share`."""
        measure = self.meter.measures if self.meter is not None else "operations"
        far = ""
        if left < (1 - _FAR) * self.share:
            total = sum(cost for cost, _ in found.values())
            whole = {
                name: left + (found[name][0] - one.cost) / total for name, one in taken.items()
            }
            # of the layers without which the share is not reached, that which saves the least
            nearest = min(whole, key=lambda name: (whole[name] <= self.share, whole[name]))
            far = (
                f", less than the {self.share:g} asked for, since layers are replaced whole: with "
                f"{nearest} as it was, {whole[nearest]:.3f} would be left"
            )
        kinds = {name: one.kind for name, one in taken.items()}
        tell(
            f"{_WHO} left {left:.3f} of the convolutions' {measure}{far}; "
            f"converted(model, {kinds!r}) gives a model these layers"
        )
        stay = [name for name in found if name not in taken]
        why = f"no kind saves more{f', and {_as_is(stay, stays=True)}' if stay else ''}"
        what, tolerance = "cost of the convolutions", _FAR * self.share
        say_how_far(_WHO, self.share, left, what, why, tolerance=tolerance)

    def _why_not(self) -> str:
        """Why a kind does not pay at a layer."""
        measure = self.meter.measures if self.meter is not None else "operations"
        return f"as each takes more than {self.margin:g} (the margin) of the layer's {measure}"


def converted(model: nn.Module, kinds: Mapping[str, Kind]) -> nn.Module:
    """A copy of the model with layers of these kinds in the place of its convolutions.

    Nothing is measured, fitted or trained: it makes the layers that a file of CheapConvolutions
    has, for `load_into`.

    `kinds`: the kind of each layer, by its name, as CheapConvolutions tells them. Raises ValueError
        for a name that is no dense convolution of the model, and for a kind that does not fit it.
    """
    check_kinds(tuple(kinds.values()))
    modules, new = dict(model.named_modules()), dict[str, nn.Module]()
    for name, kind in kinds.items():
        layer: Any = modules.get(name)
        if not isinstance(layer, _KINDS) or getattr(layer, "groups", 1) > 1:
            what = "has no such layer" if layer is None else f"has {type(layer).__name__} there"
            raise ValueError(
                f"converted: {name!r} is no dense convolution, the model {what}: give the names "
                "that CheapConvolutions told, and the model as it was before"
            )
        layers = kind.of(layer)
        if layers is None:
            raise ValueError(
                f"converted: {kind!r} does not fit {name}, {layer}: give the kinds that "
                "CheapConvolutions told, and the model as it was before"
            )
        new[name] = layers
    return replaced(model, new)


def _with(model: nn.Module, taken: dict[str, Candidate]) -> nn.Module:
    """A copy of the model with candidates in the place of the layers of these names."""
    return replaced(model, {name: one.layers for name, one in taken.items()})


def _layers(model: nn.Module) -> list[str]:
    """The names of the dense convolutions that can be replaced.

    The other dense convolutions are named in a SkippedWarning.
    """
    parameters = parameters_of(model)
    reasons: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if not isinstance(module, _KINDS) or getattr(module, "groups", 1) > 1:
            continue
        reason = reason_to_leave(module, name, parameters.of(module), _KINDS)
        reasons.setdefault(reason, []).append(name or type(module).__name__)
    for reason, names in reasons.items():
        if reason:
            _skip(f"skipped {', '.join(names)}: {reason}", 4)
    return reasons.get("", [])


def _products(layers: nn.Sequential, example: Tensor) -> int:
    """Multiply-adds of all convolutions in some layers on an example."""
    total = 0

    def add(layer: Any, _args: Any, output: Tensor) -> None:
        nonlocal total
        total += output[0, 0].numel() * layer.weight.numel()

    plain = clone(layers).float().cpu().eval()
    for part in plain.modules():
        if isinstance(part, _KINDS):
            part.register_forward_hook(add)
    with torch.no_grad():
        plain(example)
    return total


def _alone(layers: nn.Sequential, inputs: Tensor) -> tuple[nn.Module, Task, int]:
    """(a model of the layers alone, a task of what they see, how often the layers are in it)."""
    plain = clone(layers).float().cpu().eval()
    with torch.no_grad():
        fits = plain(inputs[:1]).shape == inputs[:1].shape
    times = _COPIES if fits else 1
    data = inputs[:2], torch.zeros(len(inputs[:2]), dtype=torch.long)
    task = Supervised(train=data, validation=data, test=data)
    return nn.Sequential(*(clone(plain) for _ in range(times))), task, times


def _several(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _as_is(names: list[str], *, stays: bool = False) -> str:
    """ "a, b as they are", or with `stays` "a, b stay as they are"; of one layer, "as it is"."""
    several = len(names) > 1
    verb = ("stay " if several else "stays ") if stays else ""
    return f"{_several(names)} {verb}as {'they are' if several else 'it is'}"


def _channels(model: nn.Module, names: list[str]) -> str:
    """Why a kind may fit no layer: the channels that the layers have."""
    layers: list[Any] = [model.get_submodule(name) for name in names]
    pairs = sorted({(layer.in_channels, layer.out_channels) for layer in layers})
    told = ", ".join(f"{inputs} to {outputs}" for inputs, outputs in pairs[:5])
    return f"the layers' channels are {told}{', …' if len(pairs) > 5 else ''}"


def _skip(text: str, depth: int) -> None:
    warnings.warn(f"{_WHO} {text}", SkippedWarning, stacklevel=depth)
