"""LARS and LAMB for torch, which has neither: each layer's step has a size by the layer's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_EPSILON = 1e-6
"""Of LAMB, as published: it is added to the root of the mean square."""
_SECOND = 0.999
"""Of LAMB: the share of the mean square that stays in each step (β₂)."""


def by_layer(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same parameter groups, each split into layers and what is left out of the sizes.

    Left out are parameters with fewer than two axes (biases, norms), which do not decay either, and
    the scales of quantisers: those are groups with a "least", and have a rate of their own.
    """
    split: list[dict[str, Any]] = []
    for group in groups:
        layers = [p for p in group["params"] if p.ndim > 1 and "least" not in group]
        others = [p for p in group["params"] if p.ndim <= 1 or "least" in group]
        if layers:
            split.append(group | {"params": layers, "adapted": True})
        if others:
            split.append(group | {"params": others, "adapted": False, "weight_decay": 0.0})
    return split


class LayerwiseSGD(torch.optim.Optimizer):
    """The optimizer that `LARS` stands for, with its numbers; `groups` are those of `by_layer`."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        *,
        momentum: float,
        weight_decay: float,
        trust: float,
    ) -> None:
        numbers = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(groups, numbers)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the parameters that have gradients.

        The rate is inside of the momentum, so that a rate that rises or falls does not change what
        earlier steps left.
        """
        for group, parameter, weight, gradient in _with_gradients(self):
            if group["adapted"]:
                decay, size = group["weight_decay"], weight.norm()
                rate = group["trust"] * size / (gradient.norm() + decay * size)
                rate = torch.where(size > 0, rate, 1.0).nan_to_num(0.0, 0.0)  # a gradient of 0
                gradient = gradient.add(weight, alpha=decay).mul_(rate)
            state = self.state[parameter]
            if not state:
                state["moved"] = torch.zeros_like(weight)
            weight.sub_(state["moved"].mul_(group["momentum"]).add_(gradient, alpha=group["lr"]))


class LayerwiseAdam(torch.optim.Optimizer):
    """The optimizer that `LAMB` stands for, with its numbers; `groups` are those of `by_layer`."""

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, *, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the parameters that have gradients."""
        for group, parameter, weight, gradient in _with_gradients(self):
            state, first = self.state[parameter], group["momentum"]
            if not state:
                state |= {"step": 0, "mean": torch.zeros_like(weight)}
                state["square"] = torch.zeros_like(weight)
            state["step"] += 1
            mean = state["mean"].lerp_(gradient, 1 - first) / (1 - first ** state["step"])
            square = state["square"].mul_(_SECOND).addcmul_(gradient, gradient, value=1 - _SECOND)
            step = mean.div_((square / (1 - _SECOND ** state["step"])).sqrt_().add_(_EPSILON))
            if group["adapted"]:
                step.add_(weight, alpha=group["weight_decay"])
                size, length = weight.norm(), step.norm()
                step.mul_(torch.where((size > 0) & (length > 0), size / length, 1.0))
            weight.sub_(step, alpha=group["lr"])


def _with_gradients(
    optimizer: torch.optim.Optimizer,
) -> Iterator[tuple[dict[str, Any], Tensor, Tensor, Tensor]]:
    """Of each parameter that has a gradient: its group, itself, and both as real numbers."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                both = parameter.detach(), parameter.grad
                weight, gradient = map(torch.view_as_real, both) if parameter.is_complex() else both
                yield group, parameter, weight, gradient
