"""The tape of a module: the calls of torch's functions in a run, with their layers and values.

The module is run on an example, so that any forward() will do, traceable or not. Control flow that
depends on the values of tensors is recorded as it was for that example.
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
    """The name of a function; one for its forms in place, as an operator and as a method."""
    name = getattr(function, "__name__", str(function))
    return _ALIASES.get(name, name)


@dataclass(frozen=True)
class Call:
    """A call that gave tensors.

    `function`: its name.
    `turn`: which of the layer's calls of the function it is, from 0.
    `layer`: the path of the module that is running.
    `inputs`: the number of the value of each argument; None for what is no computed tensor.
    `outputs`: the numbers of the values of the results.
    `weights`: names of the parameters among the arguments, by the index of the argument.
    `arguments`: the arguments, with None in place of tensors.
    `keywords`: the keyword arguments.
    `axes`: the number of axes of the first result.
    """

    function: str
    turn: int
    layer: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    weights: dict[int, str] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    axes: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies the call in a run: (layer, function, turn)."""
        return self.layer, self.function, self.turn


@dataclass
class Tape:
    """The calls of a run, in order.

    Values are numbered from 0 as they appear, an example's tensors first.
    `results`: the numbers of what the module returned; -1 for what no call gave.
    """

    calls: list[Call] = field(default_factory=list)
    results: tuple[int, ...] = ()

    def users(self) -> dict[int, list[Call]]:
        """The calls that take each value."""
        users: dict[int, list[Call]] = {}
        for call in self.calls:
            for value in dict.fromkeys(value for value in call.inputs if value is not None):
                users.setdefault(value, []).append(call)
        return users

    def makers(self) -> dict[int, Call]:
        """The call that gave each value."""
        return {value: call for call in self.calls for value in call.outputs}


def record(model: nn.Module, *examples: Example) -> Tape:
    """The tape of a module in evaluation mode on examples, one of each entry, one after the other.

    Raises what the calls raise.
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
    """Within, the last item of `layers` is the path of the module that is running."""
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
        self.alive: list[Tensor] = []  # keeps tensors alive, so that no id is used twice
        self.turns: dict[tuple[str, str], int] = {}
        self.names = {id(weight): name for name, weight in model.named_parameters()}

    def value(self, tensor: Tensor) -> int:
        """A new number for the tensor's present value."""
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
            self.numbers.get(id(leaf)) if isinstance(leaf, Tensor) else None for leaf in leaves
        )
        answer = func(*args, **kwargs)
        made = tensors(answer)
        if name == "__setitem__" and isinstance(args[0], Tensor):
            self.value(args[0])  # another value from now on, which no call gave
        elif made and name != "__get__":
            layer = self.layers[-1] if self.layers else ""
            turn = self.turns[layer, name] = self.turns.get((layer, name), -1) + 1
            weights = {
                index: self.names[id(leaf)]
                for index, leaf in enumerate(leaves)
                if id(leaf) in self.names
            }
            others = tuple(None if isinstance(leaf, Tensor) else leaf for leaf in leaves)
            numbers = tuple(self.value(tensor) for tensor in made)
            self.tape.calls.append(
                Call(name, turn, layer, inputs, numbers, weights, others, kwargs, made[0].ndim)
            )
        return answer
