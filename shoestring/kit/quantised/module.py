"""A module that computes with whole numbers.

Activations rounded to grids where a runtime with integer kernels wants them.
Which values these are is read off the module's tape (`edges`), since a residual sum has no module
of its own. `Quantised` rounds them while the module runs; exported, each is a pair of
QuantizeLinear and DequantizeLinear, which `lowering.py` completes.
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
"""The largest whole number of an activation.

Unsigned, of 8 bits, since kernels for signed ones are slower.
"""
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
)
"""What gives nothing but numbers that it was given, or zero.

Its result is on the grid of its argument.
"""
_SUMS = ("add", "cat")
_AVERAGES = ("mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d")


class Grid(nn.Module):
    """A grid of an activation.

    `zero` (a whole number, 0 to 255) stands for 0.0, and `scale` is the distance of two neighbours.
    """

    zero: Tensor

    def __init__(self, low: float, high: float) -> None:
        """From `low` to `high`, or to 0.0 where that is outside."""
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
    """Rounds half to even, as runtimes do.

    The gradient goes straight through to what is inside the grid, and to the step as in Bhalgat et
    al. 2020 (LSQ+), equation 3.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: Tensor, zero: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of the value's shape and type."""
        whole = (value.float() / scale).round_()  # half precision has not 255 levels
        kept = whole.clamp(-zero, LEVELS - zero)
        inside = whole == kept
        rounded = kept.mul_(scale)
        ctx.save_for_backward(value, scale, rounded, inside)
        return rounded.to(value.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of the value and of the step."""
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
    """Where values go onto grids.

    `arguments` has (layer, function, turn, place) of values that a call takes, `results` of those
    that it gives, each with the number of its grid, of which there are `grids`. `products` are the
    calls (layer, function, turn) that multiply whole numbers, each with the layer whose weight it
    is and the grid of what it takes. `calls` counts the calls of each (layer, function) that is
    among these.
    """

    arguments: Mapping[tuple[str, str, int, int], int]
    results: Mapping[tuple[str, str, int, int], int]
    products: Mapping[tuple[str, str, int], tuple[str, int]]
    calls: Mapping[tuple[str, str], int]
    grids: int

    @property
    def layers(self) -> dict[str, tuple[int, ...]]:
        """Those that compute with whole numbers, each with the numbers of the grids of what it
        takes.
        """
        found: dict[str, tuple[int, ...]] = {}
        for layer, number in self.products.values():
            found[layer] = (*found.get(layer, ()), number)
        return found


def products(tape: Tape) -> dict[str, list[Call]]:
    """The calls of each layer that has kernels for whole numbers.

    Convolutions and linear layers with a weight that is a parameter.
    """
    found: dict[str, list[Call]] = {}
    for call in tape.calls:
        if call.function in PRODUCTS and 1 in call.weights:
            found.setdefault(call.weights[1].rpartition(".")[0], []).append(call)
    return found


def plain_module(model: nn.Module) -> nn.Module:
    """The module itself, of one that is quantised its inner one."""
    model = unwrapped(model)
    return model.inner if isinstance(model, Quantised) else model


def edges(tape: Tape, layers: Sequence[str]) -> Edges:
    """The values that must be on grids for these layers to compute with whole numbers.

    What goes into them; what comes out of convolutions, after an activation that a grid can do; and
    the other terms of sums of such.
    """
    return _Edges(tape).found(layers)


class _Edges:
    def __init__(self, tape: Tape) -> None:
        self.tape, self.users, self.makers = tape, tape.users(), tape.makers()
        self.grid: dict[int, int] = {}  # of a value
        self.count = 0

    def found(self, layers: Sequence[str]) -> Edges:
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
        arguments = {
            (*call.key, place): self.grid[value]
            for call in self.tape.calls
            for place, value in enumerate(call.inputs)
            if value is not None
            and value in self.grid
            and value not in self.makers
            and call.function in PRODUCTS
        }
        results = {
            (*m.key, m.outputs.index(v)): self.grid[v]
            for v, m in self.makers.items()
            if v in self.grid
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
        """The number of the grid of a value.

        That of what it was made of, where nothing was computed.
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
        """What becomes of a value that nothing but activations see."""
        while value not in self.tape.results:
            users = self.users.get(value, [])
            if len(users) != 1 or users[0].function not in _ACTIVATIONS:
                return value
            value = users[0].outputs[0]
        return value

    def is_sum(self, value: int) -> bool:
        """Whether a value is a sum, activated or not, of terms of which some are on grids."""
        maker = self.makers.get(value)
        while maker is not None and maker.function in _ACTIVATIONS and maker.inputs[0] is not None:
            maker = self.makers.get(maker.inputs[0])
        return (
            maker is not None
            and maker.function in _SUMS
            and any(one in self.grid for one in maker.inputs)
        )

    def complete(self, call: Call) -> bool:
        """Put all terms of a sum on grids whose result is on one, if some are."""
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
    if call.function == "pad":
        words = [place for place, one in enumerate(call.arguments) if isinstance(one, str)]
        mode, *value = (
            call.arguments[words[0] :] if words else (call.keywords.get("mode", "constant"),)
        )
        return mode == "constant" and not any(value) and not call.keywords.get("value")
    return call.function in _PASSING


class Quantised(nn.Module):
    """A module some of whose layers compute with whole numbers of 8 bits.

    `inner`, with its activations rounded to `grids`.
    Called as the module is. Weights are on grids of their own, by their state. Where no gradients
    are asked for, products are those of whole numbers, exact, as the kernels of runtimes compute
    them. A technique that looks for layers finds those of `inner`, under its name. Raises
    RuntimeError where forward() takes another path than it did on the example.
    """

    def __init__(self, inner: nn.Module, places: Edges, grids: Sequence[nn.Module]) -> None:
        super().__init__()
        self.inner, self.places, self.grids = inner, places, nn.ModuleList(grids)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return listened(self, self.inner, args, kwargs, whole=True)

    def __getattr__(self, name: str) -> Any:
        """What the module has and this one has not.

        A part of it or a method, when called, computes with whole numbers too.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = self.__dict__.get("_modules", {}).get("inner")
            if inner is None or name.startswith("__"):
                raise
        return part_of(self, inner, name)

    def begin(self) -> None:
        """Called before the module, or a part of it, is."""

    def multiply(self, call: Product, layer: str, number: int) -> Tensor:
        """What a call gives that multiplies by a layer's weight.

        A sum of whole numbers, in units of their two steps, the bias rounded to such a unit.
        """
        grid, state = self.grids[number], state_in(self.inner.get_submodule(layer), "weight")
        scale = None if state is None else state.scale
        value, weight, bias = call.value, call.weight, call.bias
        if (
            torch.is_grad_enabled()
            or torch.compiler.is_exporting()
            or not isinstance(grid, Grid)
            or value.dtype != torch.float32
            or torch.is_autocast_enabled(
                value.device.type
            )  # half precision has not so many whole numbers
        ):
            return call(value, weight, bias)
        if (
            scale is None
            or scale.numel() not in (1, len(weight))
            or (bias is not None and bias.ndim != 1)
        ):
            return call(value, weight, bias)
        whole = call((value / grid.scale).round_(), (weight / scale).round_())
        unit = (grid.scale * scale).view(-1, *[1] * (weight.ndim - 2 if call.is_convolution else 0))
        if bias is None:
            return whole.mul_(unit)
        bias = bias.view(-1, *unit.shape[1:])
        if (
            call.is_convolution or value.ndim == 2
        ):  # otherwise runtimes add it to the product as it is
            return whole.add_((bias / unit).round_()).mul_(unit)
        return whole.mul_(unit).add_(bias)
