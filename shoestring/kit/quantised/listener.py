"""How a quantised module runs: values are rounded to their grids, and integers are multiplied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shoestring.artifact import tree
from shoestring.kit.tracing.example import tensors
from shoestring.kit.tracing.product import Product
from shoestring.kit.tracing.tape import function_name, inside


class Listener(TorchFunctionMode):
    """Within, values are rounded and integers multiplied where a module's `Edges` say so.

    `model`: a `Quantised` module.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.places = model, model.places
        self.layers: list[str] = []
        self.turns = dict.fromkeys(self.places.calls, 0)

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        kind = (self.layers[-1] if self.layers else "", function_name(func))
        if kind not in self.turns:
            return func(*args, **kwargs)
        key = (*kind, self.turns[kind])
        given = list(args)
        for index, value in enumerate(given):
            given[index] = self.rounded(self.places.arguments.get((*key, index)), value)
        named = [name for name, value in kwargs.items() if isinstance(value, Tensor)]
        for index, name in enumerate(named, len(tree.leaves(args))):
            kwargs[name] = self.rounded(self.places.arguments.get((*key, index)), kwargs[name])
        product = self.places.products.get(key)
        if product is None:
            answer = func(*given, **kwargs)
        else:
            answer = self.model.multiply(Product.of(func, key[1], given, kwargs), *product)
        if tensors(answer):
            self.turns[kind] += 1
        # Several results: parts of a tensor, or the output and states of a recurrent network.
        if isinstance(answer, tuple | list):
            parts = [
                self.rounded(self.places.results.get((*key, index)), part)
                for index, part in enumerate(answer)
            ]
            return getattr(type(answer), "_make", type(answer))(parts)
        return self.rounded(self.places.results.get((*key, 0)), answer)

    def rounded(self, number: int | None, value: Any) -> Any:
        """A value rounded to the grid of this number; as it is where it has none."""
        if number is None or not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        return self.model.grids[number](value)

    def check(self) -> None:
        """Raises RuntimeError where a function was not called as often as on the example."""
        for (layer, function), count in self.places.calls.items():
            if self.turns[layer, function] != count:
                raise RuntimeError(
                    f"{layer or 'forward()'} called {function} {self.turns[layer, function]} "
                    f"times, and {count} times on the task's example: forward() must take the same "
                    "steps for every input, in training too, to be quantised"
                )

    def check_part(self) -> None:
        """Raises RuntimeError where a function was called more often than on the example.

        This is the check for a part of the module that is called by itself.
        """
        for (layer, function), count in self.places.calls.items():
            if self.turns[layer, function] > count:
                raise RuntimeError(
                    f"{layer or 'forward()'} called {function} {self.turns[layer, function]} times "
                    f"in a part of the model that the loss calls, and {count} times in forward() "
                    "on the task's example: call each part as forward() does, to have it quantised"
                )


def listened(
    model: Any,
    function: Callable,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    whole: bool = False,
) -> Any:
    """The result of a function of a quantised module's inner module, computed with integers.

    `whole`: whether the function is the inner module itself, and not a part or a method of it.
    Raises RuntimeError where it takes another path than forward() took on the example.
    """
    listener = Listener(model)
    model.begin()
    with inside(model.inner, listener.layers), listener:
        answer = function(*args, **kwargs)
        listener.check() if whole else listener.check_part()
    return answer


def part_of(model: Any, owner: Any, name: str) -> Any:
    """An attribute of a part of a quantised module's inner module.

    Modules and methods compute with integers when they are called.
    """
    value = getattr(owner, name)
    if isinstance(value, nn.Module):
        return Part(model, value)
    is_own = name == "forward" or (
        isinstance(value, MethodType) and not value.__func__.__module__.startswith("torch.")
    )
    if not callable(value) or not is_own:
        return value

    @wraps(value)
    def called(*args: Any, **kwargs: Any) -> Any:
        return listened(model, value, args, kwargs)

    return called


class Part:
    """A part of a quantised module that is called by itself, as a loss calls `model.encoder`.

    It computes with integers, and otherwise behaves like the part.
    """

    def __init__(self, model: Any, module: nn.Module) -> None:
        self.__dict__.update(_model=model, _module=module)

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return listened(self._model, self._module, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return part_of(self._model, self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)

    def __len__(self) -> int:
        return len(self._module)  # pyright: ignore[reportArgumentType]

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        for value in self._module:  # pyright: ignore[reportGeneralTypeIssues]
            yield Part(self._model, value) if isinstance(value, nn.Module) else value

    def __getitem__(self, key: Any) -> Any:
        value = self._module[key]  # pyright: ignore[reportIndexIssue]
        return Part(self._model, value) if isinstance(value, nn.Module) else value

    def __repr__(self) -> str:
        return repr(self._module)
