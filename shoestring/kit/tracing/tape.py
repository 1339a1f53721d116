"""What a module computes, call by call: which function, for which layer, from which values.

A module is run once on an example and the calls of torch's functions are written down, so that any
forward() will do, traceable or not; what depends on the values of tensors is as it was for that
example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from shoestring.artifact import tree
from shoestring.kit.tracing.example import Example, tensors

_ALIASES = {
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add",
    "add_": "add",
    "__mul__": "mul",
    "__rmul__": "mul",
    "mul_": "mul",
    "__sub__": "sub",
    "sub_": "sub",
    "__truediv__": "div",
    "div_": "div",
    "__matmul__": "matmul",
    "bmm": "matmul",
    "relu_": "relu",
    "concat": "cat",
    "concatenate": "cat",
    "hardtanh_": "hardtanh",
    "clamp_": "clamp",
    "__getitem__": "getitem",
    "_max_pool2d": "max_pool2d",
    "_max_pool1d": "max_pool1d",
}


def function_name(function: Any) -> str:
    """One name for the several forms of a function."""
    name = getattr(function, "__name__", str(function))
    return _ALIASES.get(name, name)


@dataclass(frozen=True)
class Call:
    """A call that gave tensors.

    The function, the layer (path of the module that is running), which of the layer's calls of the
    function it is, the numbers of the values that went in, argument by argument (None: no tensor
    that was computed), and of those that came out, the first of which has so many `axes`.
    `weights`: names of the parameters among the arguments, by place.
    """

    function: str
    turn: int
    layer: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    weights: dict[int, str] = field(default_factory=dict)
    arguments: tuple[
        Any, ...
    ] = ()  # those that are no tensors, None in the places of those that are
    keywords: dict[str, Any] = field(default_factory=dict)
    axes: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it from the other calls of a run."""
        return self.layer, self.function, self.turn


@dataclass
class Tape:
    """The calls of a run, in order.

    Values are numbered from 0 as they appear, the example's tensors first.
    """

    calls: list[Call] = field(default_factory=list)
    results: tuple[int, ...] = ()

    def users(self) -> dict[int, list[Call]]:
        """Of each value, the calls that take it."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            for value in dict.fromkeys(one for one in call.inputs if one is not None):
                found.setdefault(value, []).append(call)
        return found

    def makers(self) -> dict[int, Call]:
        """Of each value, the call that gave it."""
        return {value: call for call in self.calls for value in call.outputs}


def record(model: nn.Module, *examples: Example) -> Tape:
    """The tape of a module in evaluation mode on an example, or on one of each entry, one after the
    other; raises whatever forward() does.
    """
    recorder = _Recorder(model)
    results: list[int] = []
    for example in examples:
        for tensor in tensors((example.args, example.kwargs)):
            recorder.value(tensor)
        with torch.no_grad(), inside(model, recorder.layers), recorder:
            answer = example.run(model)
        results += [recorder.numbers.get(id(one), -1) for one in tensors(answer)]
    recorder.tape.results = tuple(results)
    return recorder.tape


@contextmanager
def inside(model: nn.Module, layers: list[str]) -> Iterator[None]:
    """Within, the last of `layers` is the path of the module that is running."""
    paths = {id(module): path for path, module in model.named_modules()}

    def enter(module: nn.Module, _args: Any) -> None:
        layers.append(paths.get(id(module), layers[-1] if layers else ""))

    def leave(module: nn.Module, _args: Any, _output: Any) -> None:
        layers.pop()

    handles = (
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave, always_call=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        layers.clear()


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tape, self.layers = Tape(), list[str]()
        self.numbers: dict[int, int] = {}
        self.alive: list[Tensor] = []  # so that no id is used twice
        self.turns: dict[tuple[str, str], int] = {}
        self.names = {id(one): name for name, one in model.named_parameters(remove_duplicate=True)}

    def value(self, tensor: Tensor) -> int:
        """A new number for what the tensor holds now."""
        self.numbers[id(tensor)] = len(self.alive)
        self.alive.append(tensor)
        return len(self.alive) - 1

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = function_name(func)
        leaves = tree.leaves((*args, *(one for one in kwargs.values() if isinstance(one, Tensor))))
        inputs = tuple(
            self.numbers.get(id(one)) if isinstance(one, Tensor) else None for one in leaves
        )
        answer = func(*args, **kwargs)
        made = tensors(answer)
        if name == "__setitem__" and isinstance(args[0], Tensor):
            self.value(
                args[0]
            )  # it is another value from now on, which nothing is known to have made
        elif made and name != "__get__":
            layer = self.layers[-1] if self.layers else ""
            turn = self.turns[layer, name] = self.turns.get((layer, name), -1) + 1
            weights = {
                place: self.names[id(one)]
                for place, one in enumerate(leaves)
                if id(one) in self.names
            }
            others = tuple(None if isinstance(one, Tensor) else one for one in leaves)
            numbers = tuple(self.value(one) for one in made)
            self.tape.calls.append(
                Call(name, turn, layer, inputs, numbers, weights, others, kwargs, made[0].ndim)
            )
        return answer
