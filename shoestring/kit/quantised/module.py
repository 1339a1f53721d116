"""A module that computes with integers, its activations on grids where integer kernels need them.

Which values these are is read off the module's tape (`edges`), since a residual sum has no module
of its own. `Quantised` rounds them while the module runs. In an exported graph each rounding is a
pair of QuantizeLinear and DequantizeLinear nodes, which `kit/exporting/lowering.py` completes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import unwrapped
from shoestring.kit.quantised.listener import listened, part_of
from shoestring.kit.tracing.product import CONVOLUTIONS, PRODUCTS, Product
from shoestring.kit.tracing.tape import Call, Tape
from shoestring.kit.weights.state import state_in

LEVELS = 255
"""The largest integer of an activation: unsigned, of 8 bits; kernels for signed ones are slower."""
_ACTIVATIONS = ("relu", "relu6", "hardtanh", "clamp")
_PASSING = (
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "flatten",
    "reshape",
    "view",
    "permute",
    "transpose",
    "squeeze",
    "unsqueeze",
    "contiguous",
    "getitem",
    "pad",
    "dropout",
    "dropout1d",
    "dropout2d",
    "chunk",
    "split",
    "unbind",
    "rows_where",
    "index_select",
)
"""Functions that give only numbers that they were given, or zero, so that grids pass through."""
_SUMS = ("add", "cat")
_AVERAGES = ("mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d")


class Grid(nn.Module):
    """The grid of an activation: the 256 values (0 to 255, minus `zero`) times `scale`.

    `zero`: the integer, 0 to 255, that stands for 0.0.
    `scale`: the distance between neighbouring values, above 0.
    """

    zero: Tensor

    def __init__(self, low: float, high: float) -> None:
        """A grid from `low` to `high`, widened to hold 0.0."""
        super().__init__()
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low if high - low > 1e-8 else 1.0) / LEVELS
        zero = min(max(round(-low / scale), 0), LEVELS)
        self.scale = nn.Parameter(torch.tensor(scale), requires_grad=False)
        self.register_buffer("zero", torch.tensor(zero, dtype=torch.uint8))

    def forward(self, value: Tensor) -> Tensor:
        """The value, rounded to the grid."""
        if torch.compiler.is_exporting():
            return torch.ops.shoestring.on_grid(value, self.scale, self.zero)
        return _OnGrid.apply(value, self.scale, float(self.zero))  # pyright: ignore[reportReturnType]


class _OnGrid(torch.autograd.Function):
    """Rounding to a grid, half to even, as runtimes round.

    The gradient passes straight through to values inside the grid, and to the scale as in Bhalgat
    et al. 2020 (LSQ+), equation 3.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: Tensor, zero: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of the value's shape and type."""
        integers = (value.float() / scale).round_()  # in half precision 255 levels do not fit
        clamped = integers.clamp(-zero, LEVELS - zero)
        inside = integers == clamped
        rounded = clamped.mul_(scale)
        ctx.save_for_backward(value, scale, rounded, inside)
        return rounded.to(value.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of the value and of the scale."""
        value, scale, rounded, inside = ctx.saved_tensors
        by_scale = None
        if ctx.needs_input_grad[1]:
            by_scale = ((rounded - value * inside) * gradients[0]).sum() / scale
        return gradients[0] * inside, by_scale, None  # pyright: ignore[reportReturnType]


@torch.library.custom_op("shoestring::on_grid", mutates_args=())
def _on_grid(value: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return ((value / scale).round().clamp(-int(zero), LEVELS - int(zero)) * scale).clone()


@_on_grid.register_fake
def _(value: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return torch.empty_like(value)


@dataclass(frozen=True)
class Edges:
    """Where values are rounded to grids. A call is (layer, function, turn), as in `Call.key`.

    `arguments`: the number of the grid of each rounded argument, by its call and index.
    `results`: the number of the grid of each rounded result, by its call and index.
    `products`: the calls that multiply integers, with (layer of the weight, number of the grid of
        the value).
    `calls`: the number of calls of each (layer, function) that is among these.
    `grids`: the number of grids.
    """

    arguments: Mapping[tuple[str, str, int, int], int]
    results: Mapping[tuple[str, str, int, int], int]
    products: Mapping[tuple[str, str, int], tuple[str, int]]
    calls: Mapping[tuple[str, str], int]
    grids: int

    @property
    def layers(self) -> dict[str, tuple[int, ...]]:
        """The layers that compute with integers, with the numbers of the grids of their inputs."""
        layers: dict[str, tuple[int, ...]] = {}
        for layer, number in self.products.values():
            layers[layer] = (*layers.get(layer, ()), number)
        return layers


def products(tape: Tape) -> dict[str, list[Call]]:
    """The calls of each layer that has integer kernels.

    These are convolutions and linear layers whose weight is a parameter.
    """
    calls: dict[str, list[Call]] = {}
    for call in tape.calls:
        if call.function in PRODUCTS and 1 in call.weights:
            calls.setdefault(call.weights[1].rpartition(".")[0], []).append(call)
    return calls


def plain_module(model: nn.Module) -> nn.Module:
    """The module itself; the inner module of a quantised one."""
    model = unwrapped(model)
    return model.inner if isinstance(model, Quantised) else model


def edges(tape: Tape, layers: Sequence[str]) -> Edges:
    """The values that must be on grids for these layers to compute with integers.

    These are the inputs of the layers; the results of convolutions, after an activation that a grid
    can represent; and the other terms of sums with such values.
    """
    return _Placement(tape).edges(layers)


class _Placement:
    """Gives grids to the values of a tape.

    `grid`: the number of the grid of each value that has one.
    `count`: the number of grids.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape, self.users, self.makers = tape, tape.users(), tape.makers()
        self.grid: dict[int, int] = {}
        self.count = 0

    def edges(self, layers: Sequence[str]) -> Edges:
        """The edges for these layers."""
        self.place(layers)
        return self.named(layers)

    def place(self, layers: Sequence[str]) -> None:
        """Give grids to all values that need one for these layers."""
        for calls in (calls for layer, calls in products(self.tape).items() if layer in layers):
            for call in calls:
                if call.inputs[0] is not None:
                    self.need(call.inputs[0])
                if call.function in CONVOLUTIONS:
                    self.need(self.activated(call.outputs[0]))
        for call in self.tape.calls:
            value = call.inputs[0] if call.inputs else None
            if (
                call.function in _AVERAGES
                and value is not None
                and call.outputs[0] in self.grid
                and self.is_sum(value)
            ):
                self.need(value)
        changed = True
        while changed:
            changed = any(self.complete(call) for call in self.tape.calls if call.function in _SUMS)

    def named(self, layers: Sequence[str]) -> Edges:
        """The grids by calls, in place of the values of this run."""
        arguments = {
            (*call.key, index): self.grid[value]
            for call in self.tape.calls
            for index, value in enumerate(call.inputs)
            if value is not None
            and value in self.grid
            and value not in self.makers
            and call.function in PRODUCTS
        }
        results = {
            (*maker.key, maker.outputs.index(value)): self.grid[value]
            for value, maker in self.makers.items()
            if value in self.grid
        }
        multiplied = {
            call.key: (layer, self.grid[call.inputs[0]])
            for layer, calls in products(self.tape).items()
            for call in calls
            if layer in layers and call.inputs[0] is not None
        }
        kinds = {key[:2] for key in (*arguments, *results, *multiplied)}
        calls = Counter(
            (call.layer, call.function)
            for call in self.tape.calls
            if (call.layer, call.function) in kinds
        )
        return Edges(arguments, results, multiplied, calls, self.count)

    def need(self, value: int) -> int:
        """The number of a value's grid, given now where it has none.

        It is that of the source, where the value was only moved.
        """
        if value not in self.grid:
            maker = self.makers.get(value)
            source = maker.inputs[0] if maker is not None and _is_passing(maker) else None
            if source is not None:
                self.grid[value] = self.need(source)
            else:
                self.grid[value] = self.count
                self.count += 1
        return self.grid[value]

    def activated(self, value: int) -> int:
        """The value after the activations that follow, where nothing else uses it."""
        while value not in self.tape.results:
            users = self.users.get(value, [])
            if len(users) != 1 or users[0].function not in _ACTIVATIONS:
                return value
            value = users[0].outputs[0]
        return value

    def is_sum(self, value: int) -> bool:
        """Whether a value is a sum, activated or not, with some terms on grids."""
        maker = self.makers.get(value)
        while maker is not None and maker.function in _ACTIVATIONS and maker.inputs[0] is not None:
            maker = self.makers.get(maker.inputs[0])
        return (
            maker is not None
            and maker.function in _SUMS
            and any(term in self.grid for term in maker.inputs)
        )

    def complete(self, call: Call) -> bool:
        """Give all terms of a sum grids, where its result and some of its terms have one.

        Whether any term was given one.
        """
        terms = [value for value in call.inputs if value is not None]
        missing = [value for value in terms if value not in self.grid]
        if (
            not missing
            or len(missing) == len(terms)
            or len(terms) < 2
            or self.activated(call.outputs[0]) not in self.grid
        ):
            return False
        for value in missing:
            self.need(value)
        return True


def _is_passing(call: Call) -> bool:
    """Whether a call gives only numbers that it was given, or zero."""
    if call.function == "pad":
        modes = [index for index, one in enumerate(call.arguments) if isinstance(one, str)]
        mode, *value = (
            call.arguments[modes[0] :] if modes else (call.keywords.get("mode", "constant"),)
        )
        return mode == "constant" and not any(value) and not call.keywords.get("value")
    return call.function in _PASSING


class Quantised(nn.Module):
    """A module some of whose layers compute with integers of 8 bits; called as the module is.

    Weights are on grids of their own, by their states. Without gradients, products are exact sums
    of integers, as the kernels of runtimes compute them. A technique that looks for layers finds
    those of `inner`, under its name.

    `inner`: the module.
    `places`: the edges where its activations are rounded.
    `grids`: a `Grid` for each number in `places`.
    Raises RuntimeError where forward() takes another path than it took on the example.
    """

    def __init__(self, inner: nn.Module, places: Edges, grids: Sequence[nn.Module]) -> None:
        super().__init__()
        self.inner, self.places, self.grids = inner, places, nn.ModuleList(grids)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the inner module returns, computed with integers."""
        return listened(self, self.inner, args, kwargs, whole=True)

    def __getattr__(self, name: str) -> Any:
        """An attribute of the inner module that this module lacks.

        A part or a method of it computes with integers too when it is called.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = self.__dict__.get("_modules", {}).get("inner")
            if inner is None or name.startswith("__"):
                raise
        return part_of(self, inner, name)

    def begin(self) -> None:
        """Called before the inner module, or a part of it, is called."""

    def multiply(self, call: Product, layer: str, number: int) -> Tensor:
        """The result of a call that multiplies by a layer's weight.

        It is a sum of integers times a unit, the product of the two scales; the bias is rounded to
        a multiple of the unit. Where that is not possible, or with gradients, it is the plain call.
        `number`: that of the value's grid.
        """
        grid, state = self.grids[number], state_in(self.inner.get_submodule(layer), "weight")
        scale = None if state is None else state.scale
        value, weight, bias = call.value, call.weight, call.bias
        if (
            torch.is_grad_enabled()
            or torch.compiler.is_exporting()
            or not isinstance(grid, Grid)
            or value.dtype != torch.float32
            or torch.is_autocast_enabled(value.device.type)  # the sums do not fit half precision
            or scale is None
            or scale.numel() not in (1, len(weight))
            or (bias is not None and bias.ndim != 1)
        ):
            return call(value, weight, bias)
        sums = call((value / grid.scale).round_(), (weight / scale).round_())
        unit = (grid.scale * scale).view(-1, *[1] * (weight.ndim - 2 if call.is_convolution else 0))
        if bias is None:
            return sums.mul_(unit)
        bias = bias.view(-1, *unit.shape[1:])
        if call.is_convolution or value.ndim == 2:
            return sums.add_((bias / unit).round_()).mul_(unit)
        return sums.mul_(unit).add_(bias)  # as runtimes do: the bias is not rounded
