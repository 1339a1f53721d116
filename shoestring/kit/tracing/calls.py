"""How a model is called on named inputs: by position or by name, and with states between calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Axis
from shoestring.core.kinds import by_path, outputs_of, shown


@dataclass(frozen=True)
class Carried:
    """A state that a streaming model gives to its own next call: an output that becomes an input.

    Example: Carried("h_out", (2, "N", 128)).

    `output`: the path or the index of the output.
    `shape`: that of the state, which begins as zeros; "N" stands for the number of examples.
    """

    output: str | int
    shape: tuple[int | str, ...]

    def zeros(self, examples: int, like: torch.dtype) -> Tensor:
        """The state before the first call, of the dtype `like`."""
        return torch.zeros(
            [examples if size == "N" else int(size) for size in self.shape], dtype=like
        )

    @property
    def axes(self) -> dict[int, str]:
        """The axes of the examples, each called "N"."""
        return {axis: "N" for axis, size in enumerate(self.shape) if size == "N"}


@dataclass(frozen=True)
class Calls:
    """Calls a module or a loaded file on inputs by name.

    A streaming model is called for each index along axis 1, with states that begin as zeros.
    `position`: the names of the inputs that go by position, in order.
    `keyword`: the names of the others.
    `states`: the inputs that are states, by name.
    `dtype`: that of the states.
    """

    position: tuple[str, ...]
    keyword: tuple[str, ...]
    states: Mapping[str, Carried]
    dtype: torch.dtype = torch.float32

    def __call__(self, predict: Callable[..., Any], inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        """The outputs by path, N×…; of a streaming model N×T×…, without the states."""
        if not self.states:
            return outputs_of(self.once(predict, inputs))
        states: dict[str, Any] = self.begun(count_of(inputs))
        steps: list[dict[str, Any]] = []
        for time in range(max(value.shape[1] for value in inputs.values() if value.ndim)):
            now = {name: value[:, time] if value.ndim else value for name, value in inputs.items()}
            outputs = outputs_of(self.once(predict, {**now, **states}))
            paths = by_path(
                {state.output: name for name, state in self.states.items()}, list(outputs), "states"
            )
            states = {name: outputs.pop(path) for path, name in paths.items()}
            steps.append(outputs)
        joined = {path: [outputs[path] for outputs in steps] for path in steps[0]}
        return {
            path: torch.stack(values, 1) if isinstance(values[0], Tensor) else np.stack(values, 1)
            for path, values in joined.items()
        }

    def once(self, predict: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """What one call returns."""
        return predict(
            *(values[name] for name in self.position),
            **{name: values[name] for name in self.keyword},
        )

    def begun(self, examples: int) -> dict[str, Tensor]:
        """The states before the first call."""
        return {name: state.zeros(examples, self.dtype) for name, state in self.states.items()}


def count_of(inputs: Mapping[str, Tensor]) -> int:
    """The number of examples: the length of the first input with axes."""
    return next(len(value) for value in inputs.values() if value.ndim)


def axes_of(
    axes: Mapping[Any, Any], inputs: Mapping[str, Any]
) -> dict[str, Mapping[int, str | Axis]]:
    """The axes that vary of each input, {axis: name}.

    `axes`: {axis: name} for all inputs, or {input: {axis: name}}.
    `inputs`: the inputs by name.
    Raises ValueError for an input that does not exist.
    """
    if not axes or all(isinstance(key, int) for key in axes):
        return dict.fromkeys(inputs, axes)
    if wrong := [key for key in axes if key not in inputs or not isinstance(axes[key], Mapping)]:
        name = next(iter(inputs))
        raise ValueError(
            f"axes names {wrong[0]!r}, and the inputs are {', '.join(inputs)}: give axes={{1: "
            f"'T'}} for all of them, or by name, axes={{{name!r}: {{1: 'T'}}}}"
        )
    return {name: axes.get(name, {}) for name in inputs}


def calls_of(
    model: nn.Module, given: Mapping[str, Tensor] | Sequence[Tensor], states: Mapping[str, Any]
) -> tuple[Calls, dict[str, Tensor]]:
    """(how a model is called, the inputs by name).

    `given`: the inputs, in the order of forward()'s arguments or by their names.
    `states`: what the states are, by the names of their inputs.
    Raises ValueError where names or numbers do not fit forward().
    """
    forward = _Forward(model)
    if wrong := [name for name in states if name not in forward.names and not forward.is_open]:
        raise ValueError(f"states names the input {wrong[0]!r}, and {forward.takes}")
    inputs = forward.by_name(given, states)
    if missing := [
        name for name in forward.required() if name not in inputs and name not in states
    ]:
        raise ValueError(
            f"{forward.takes}, and the inputs have no {missing[0]!r}: add it, by that name, or, "
            "where it is a state, write Agreement(model, inputs, states={...}) in Python and "
            "return (model, task)"
        )
    position, keyword = forward.split(inputs, states)
    floats = [one.dtype for one in model.parameters() if one.is_floating_point()]
    return Calls(position, keyword, dict(states), floats[0] if floats else torch.float32), inputs


class _Forward:
    """The arguments of a model's forward().

    `named`: those with a name.
    `names`: their names.
    `takes_any`: whether it takes `*args`.
    `is_open`: whether it takes `*args` or `**kwargs`.
    `takes`: which arguments it takes, as the middle of a message.
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = inspect.signature(model.forward).parameters.values()
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        self.named = [one for one in parameters if one.kind not in variadic]
        self.names = [one.name for one in self.named]
        self.takes_any = any(one.kind == one.VAR_POSITIONAL for one in parameters)
        self.is_open = len(self.named) < len(parameters)
        named = ", ".join(self.names) or "no named arguments"
        self.takes = f"{type(model).__name__}.forward() takes {named}"

    def required(self) -> list[str]:
        """The names of the arguments without a default."""
        return [one.name for one in self.named if one.default is one.empty]

    def by_name(
        self, given: Mapping[str, Tensor] | Sequence[Tensor], states: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """The inputs by name; raises ValueError where they are too many, or have other names.

        Inputs have no names in a sequence, or where numpy.savez named them (arr_0). A single input
        may have any name where forward() requires one at most.
        """
        free = [name for name in self.names if name not in states]
        if isinstance(given, Mapping):
            unnamed = all(name.startswith("arr_") for name in given)
            alone = len(given) == 1 and len([one for one in self.required() if one in free]) <= 1
            if not unnamed and not alone:
                unknown = [name for name in given if name not in self.names]
                if unknown and not self.is_open:
                    raise ValueError(
                        f"there is an input {unknown[0]!r}, and {self.takes}: name the arrays as "
                        "forward() does"
                    )
                return dict(given)
        values = list(given.values()) if isinstance(given, Mapping) else list(given)
        if len(values) > len(free) and not self.takes_any:
            raise ValueError(
                f"there are {len(values)} inputs, and {self.takes}: give the inputs alone, without "
                f"labels{' and states' if states else ''}"
            )
        free += [f"input_{index}" for index in range(len(free), len(values))]
        return dict(zip(free, values, strict=False))

    def split(
        self, inputs: Mapping[str, Any], states: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the inputs and states that go by position, and of those that go by name."""
        have = {*inputs, *states}
        position: list[str] = []
        for one in self.named:
            if one.name not in have or one.kind == one.KEYWORD_ONLY:
                break
            position.append(one.name)
        if self.takes_any:
            position += [
                name for name in inputs if name.startswith("input_") and name not in self.names
            ]
        keyword = [
            name
            for name in dict.fromkeys([*self.names, *inputs, *states])
            if name in have and name not in position
        ]
        return tuple(position), tuple(keyword)


def with_shapes(
    states: Mapping[str, str | int | Carried], call: Callable[[int], Any]
) -> dict[str, Carried]:
    """The states with their shapes, those that are missing read off the model's outputs.

    `states`: of each input that is a state, the output that it comes from, or a Carried.
    `call`: calls the model without states on a number of examples.
    Raises ValueError where the model cannot be called without states, or where the shape of a state
    does not tell the axis of the examples.
    """
    if all(isinstance(state, Carried) for state in states.values()):
        return {name: state for name, state in states.items() if isinstance(state, Carried)}
    try:
        two, three = outputs_of(call(2)), outputs_of(call(3))
    except Exception as error:
        name = next(name for name, state in states.items() if not isinstance(state, Carried))
        raise ValueError(
            f"what shape the state {name!r} begins with is not known, and the model cannot be "
            f"called without it ({error}): give it, such as states={{{name!r}: "
            f"Carried({states[name]!r}, (1, 'N', 64))}}"
        ) from None
    carried: dict[str, Carried] = {}
    for name, state in states.items():
        if isinstance(state, Carried):
            carried[name] = state
            continue
        (path,) = by_path({state: name}, list(two), "states")
        if two[path].ndim != three[path].ndim:
            raise ValueError(
                f"the state {shown(path)} has {two[path].ndim} axes for 2 examples and "
                f"{three[path].ndim} for 3: give its shape in a Carried"
            )
        if two[path].shape == three[path].shape:
            raise ValueError(
                f"the state {shown(path)} is {list(two[path].shape)} for 2 examples and for 3: the "
                "model takes what it is given for one sequence, so that examples would run into "
                "each other (nn.GRU and nn.LSTM do with N×C). Give the inputs as N×T×1×C, a step "
                f"of each at a time, or the state's shape, such as states={{{name!r}: "
                f"Carried({state!r}, (1, 'N', 64))}}"
            )
        shapes = zip(two[path].shape, three[path].shape, strict=True)
        carried[name] = Carried(state, tuple("N" if a != b else a for a, b in shapes))
    return carried
