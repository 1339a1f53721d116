"""Binary networks: weights of -1 and +1 with a scale per filter, and perhaps binary inputs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique, batches
from shoestring.core.device import called_from_processor
from shoestring.kit import (
    AdamW,
    Parameters,
    Patterns,
    SkippedWarning,
    Training,
    check_finite,
    chosen,
    clone,
    parameters_of,
    recover,
)
from shoestring.kit.quantised.outliers import say_far_off, without_outliers
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.weights.layers import say_what_is_left
from shoestring.quantize.binary_layers import (
    BinaryConv2d,
    BinaryLinear,
    Inputs,
    Real,
    ScaledSigns,
    Signs,
    freeze,
    thaw,
)

_NORM_BATCHES = 20  # from which a new batch norm takes its statistics before training


@dataclass(frozen=True, kw_only=True)
class Binary(Technique):
    """Train convolutions and linear layers with weights of -1 and +1 and a scale per filter.

    Saves: bytes of the file (one bit per weight); with `inputs=Signs()` milliseconds too, where
    llvmlite is installed.
    Costs: score, little with `Real()` inputs, more with signs; the time of `training`.
    Source: Rastegari et al. 2016 (XNOR-Net), sections 3.1 (`Real()`) and 3.2 (`ScaledSigns()`); the
    gradient of a sign is that of Courbariaux et al. 2016 (Binarized Neural Networks), equation 4.
    Differs: the model that it is given is the teacher; `Signs()`, the default, leaves out the scale
    of each input position; the signs of inputs may be trained before those of weights.

    `inputs`: `Real()`, `Signs()` or `ScaledSigns()`.
    `training`: Training(0) trains nothing.
    `inputs_first`: the share of its steps in which the weights are still real, 0 to 1; ignored with
        `Real()`.
    `only`, `keep`: patterns of names of layers; `*` matches anything.

    Signs of inputs need inputs of both signs. Where a layer's input does not come from a batch norm
    (directly or through `nn.Hardtanh` or `nn.Tanh`), one is put before the layer. The first and the
    last layer stay as they are unless `only` names them. Layers that are binary already are trained
    on.
    Skipped with a SkippedWarning: layers whose weights are pruned, tied, frozen or parametrized by
    something else; convolutions of other than two dimensions; layers of classes with a `forward` of
    their own or with hooks; and, for signs, convolutions with groups or with padding other than
    zeros, and linear layers without a norm whose inputs have more than two axes.
    Raises ValueError for settings out of range, weights that are NaN or infinite, and patterns that
    match no layer; TypeError for `inputs` that are none of the three.
    """

    stage: ClassVar = Stage.NUMBERS

    inputs: Inputs = Signs()
    training: Training = Training(2000, AdamW(2e-3))
    inputs_first: float = 0.3
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Real | Signs | ScaledSigns):
            raise TypeError(
                f"inputs is {self.inputs!r}: give Real(), Signs() or ScaledSigns(), with their "
                "parentheses"
            )
        if not 0 <= self.inputs_first <= 1:
            raise ValueError(
                f"inputs_first is {self.inputs_first}: it is a share of the steps, 0 to 1"
            )

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with binary layers."""
        check_finite(model)
        binary = clone(model)
        candidates = _layers(binary, task)
        names = chosen([candidate.name for candidate in candidates], self.only, self.keep, "Binary")
        if not self.only:
            ends = {candidate.name for candidate in (*candidates[:1], *candidates[-1:])}
            names = [name for name in names if name not in ends]
        parameters = parameters_of(binary)
        candidates = [
            candidate
            for candidate in candidates
            if candidate.name in names and self._can(candidate, binary, parameters)
        ]
        layers = [self._converted(binary, candidate) for candidate in candidates]
        if not layers:
            warnings.warn(
                "Binary found no layer to change: name some in only=", SkippedWarning, stacklevel=2
            )
            return binary
        if not self.only and not self.keep:
            parameters = parameters_of(binary)
            signs = [weight for layer in layers if (weight := parameters.of(layer)) is not None]
            why = (
                "the first and the last layer, or no kernels for them. Name them in only=, or "
                "round them with WeightOnly or WeightSharing"
            )
            say_what_is_left(parameters, signs, "Binary binarized", why)
        norms = [layer.norm for layer in layers if layer.norm is not None]
        _set_statistics(binary, [norm for norm in norms if not norm.num_batches_tracked], task)
        first = (
            0 if isinstance(self.inputs, Real) else round(self.training.steps * self.inputs_first)
        )
        for steps, trains_weights in ((first, False), (self.training.steps - first, True)):
            for layer in layers:
                layer.trains_weights = trains_weights
            what = (
                "training the signs of weights"
                if trains_weights
                else "training the signs of inputs"
            )
            recover(
                binary, task, model, replace(self.training, steps=steps), what=what, key=repr(self)
            )
        for layer in layers:
            freeze(layer)
        return binary

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match."""
        return [layer.name for layer in _layers(clone(model), task)]

    def _can(self, candidate: _Candidate, model: nn.Module, parameters: Parameters) -> bool:
        """Whether the layer can be made binary; if not, a SkippedWarning gives the reason."""
        reason, layer = _reason_not(candidate, model, parameters), candidate.layer
        if not reason and not isinstance(self.inputs, Real):
            if isinstance(layer, nn.Conv2d) and (layer.groups > 1 or layer.padding_mode != "zeros"):
                reason = (
                    f"it has {layer.groups} groups and padding {layer.padding_mode!r}, for which "
                    "there is no kernel"
                )
            elif isinstance(layer, nn.Linear) and candidate.axes != 2 and not candidate.normed:
                reason = f"its input has {candidate.axes} axes, and no batch norm before it"
        if reason:
            warnings.warn(
                f"Binary skipped {candidate.name}: {reason}", SkippedWarning, stacklevel=3
            )
        return not reason

    def _converted(self, model: nn.Module, candidate: _Candidate) -> Any:
        """The binary layer that replaces the candidate in the model."""
        layer, norm = candidate.layer, None
        is_binary = isinstance(layer, BinaryConv2d | BinaryLinear)
        if (
            not isinstance(self.inputs, Real)
            and not candidate.normed
            and not (is_binary and layer.norm is not None)
        ):
            kind = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d
            norm = kind(layer.weight.shape[1]).to(layer.weight).train(layer.training)
        if is_binary:
            thaw(layer)
            layer.inputs, layer.norm = self.inputs, layer.norm if norm is None else norm
            return layer
        converted = (
            BinaryConv2d(layer, self.inputs, norm)
            if isinstance(layer, nn.Conv2d)
            else BinaryLinear(layer, self.inputs, norm)
        )
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if child is layer:
                    setattr(parent, name, converted)
        return converted


@dataclass(frozen=True)
class _Candidate:
    """A layer that may be made binary.

    `axes`: how many axes its input had in the example.
    `normed`: whether its input came from a batch norm each time.
    """

    name: str
    layer: Any
    axes: int
    normed: bool


def _layers(model: nn.Module, task: Task) -> list[_Candidate]:
    """The convolutions and linear layers that the examples run through, in that order."""
    examples = examples_of(task)
    candidates: dict[str, _Candidate] = {}
    normed: list[tuple[Tensor, int]] = []  # outputs of norms, each with its version then
    names = {id(module): name for name, module in model.named_modules()}

    def is_normed(value: Tensor, changes: int = 0) -> bool:
        return any(
            value is output and value._version == version + changes for output, version in normed
        )

    def before_layer(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        name, value = names[id(module)], args[0] if args else kwargs["input"]
        earlier, input_is_normed = candidates.get(name), is_normed(value)
        candidates[name] = _Candidate(
            name, module, value.ndim, input_is_normed and (earlier is None or earlier.normed)
        )

    def after_norm(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> None:
        value, changes = (
            args[0] if args else kwargs["input"],
            int(getattr(module, "inplace", False)),
        )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) or is_normed(value, changes):
            normed.append((output, output._version))

    inner = {
        id(part.norm) for part in model.modules() if isinstance(part, BinaryConv2d | BinaryLinear)
    }
    kinds = (nn.modules.batchnorm._BatchNorm, nn.Hardtanh, nn.Tanh, nn.Identity)
    hooks: list[Any] = []
    for module in model.modules():
        if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
            hooks.append(module.register_forward_pre_hook(before_layer, with_kwargs=True))
        elif isinstance(module, kinds) and id(module) not in inner:
            hooks.append(module.register_forward_hook(after_norm, with_kwargs=True))
    modes = [(part, part.training) for part in model.modules()]
    try:
        with torch.no_grad(), called_from_processor(model):
            model.eval()
            for example in examples:
                example.run(model)
    finally:
        for hook in hooks:
            hook.remove()
        for part, training in modes:
            part.training = training
    return list(candidates.values())


def _reason_not(candidate: _Candidate, model: nn.Module, parameters: Parameters) -> str:
    """Why the weight of the layer cannot become binary; "" if it can."""
    if isinstance(candidate.layer, BinaryConv2d | BinaryLinear):
        return ""
    if candidate.layer is model:
        return "it is the whole model: put it into another, as nn.Sequential(layer)"
    if not _is_plain(candidate.layer):
        return (
            f"it is a {type(candidate.layer).__name__}, and only nn.Conv2d and nn.Linear as they "
            "are, without hooks, can be binary"
        )
    weight = parameters.of(candidate.layer)
    if weight is None or weight.is_foreign:
        return f"its weight is {weight.why_foreign if weight else 'parametrized by something else'}"
    if weight.mask is not None:
        return "it is pruned, and a binary weight is never zero"
    if len(weight.owners) > 1:
        return "its weight is tied to another layer's"
    if not (weight.raw.requires_grad if weight.state is None else weight.state.trainable):
        return "its weight is frozen (requires_grad=False)"
    return ""


def _is_plain(layer: nn.Module) -> bool:
    """Whether it computes as nn.Conv2d or nn.Linear does, and has no hooks that would be lost."""
    kind: Any = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Linear
    methods = [getattr(type(layer), name, None) for name in ("forward", "_conv_forward")]
    return methods == [getattr(kind, name, None) for name in ("forward", "_conv_forward")] and not (
        layer._forward_hooks or layer._forward_pre_hooks
    )


def _set_statistics(model: nn.Module, norms: list[Any], task: Task) -> None:
    """Give new batch norms the statistics of some training batches.

    The rest of the model is in evaluation mode meanwhile.
    """
    modes = [(part, part.training) for part in model.modules()]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        data = list(islice(iter(batches(task, "train", model)), _NORM_BATCHES)) if norms else []
        for batch in say_far_off(without_outliers(data, "Binary"), "Binary"):
            task.loss(model, batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for part, training in modes:
        part.training = training
