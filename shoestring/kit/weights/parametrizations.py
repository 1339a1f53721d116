"""Weights that torch computes before each call, and the calls that make them plain parameters."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from shoestring.kit.weights.state import State

PARAMETRIZED = ".parametrizations."
"""What the names of parametrized tensors contain."""


def removal(module: nn.Module, attribute: str) -> str:
    """The call that makes an attribute a plain parameter, with the module called `layer` in it.

    `attribute`: a weight that a parametrization or a hook computes, or a tensor that it is computed
        from. "" where nothing computes it.
    """
    for hook in module._forward_pre_hooks.values():
        masked = isinstance(hook, BasePruningMethod)
        name = getattr(hook, "_tensor_name" if masked else "name", None)
        known = masked or isinstance(hook, WeightNorm | SpectralNorm)
        if isinstance(name, str) and (
            attribute.startswith(f"{name}_") or (known and attribute == name)
        ):
            if masked:
                return f"torch.nn.utils.prune.remove(layer, {name!r})"
            if known:
                kind = "weight_norm" if isinstance(hook, WeightNorm) else "spectral_norm"
                argument = "" if name == "weight" else f", {name!r}"
                return f"torch.nn.utils.remove_{kind}(layer{argument})"
            return f"taking its hook {type(hook).__name__} off"
    listed = module
    if parametrize.is_parametrized(module, attribute):
        listed = module.parametrizations[attribute]  # type: ignore[index]
    if isinstance(listed, parametrize.ParametrizationList) and not isinstance(listed[0], State):
        return f"torch.nn.utils.parametrize.remove_parametrizations(layer, {attribute!r})"
    return ""


def is_masked(module: nn.Module, attribute: str) -> bool:
    """Whether torch.nn.utils.prune masks this parameter before each call."""
    return "prune.remove" in removal(module, attribute)
