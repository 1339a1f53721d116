"""How a model is called on named inputs.

Which go by position, and what of one call is given to the next.
"""

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
    """What a streaming model gives to its own next call.

    The output of this path or place becomes an input.
    It begins as zeros of `shape`, in which "N" stands for the number of examples: Carried("h_out",
    (2, "N", 128)).
    """

    output: str | int
    shape: tuple[int | str, ...]

    def zeros(self, examples: int, like: torch.dtype) -> Tensor:
        """The state before the first call."""
        return torch.zeros(
            [examples if size == "N" else int(size) for size in self.shape], dtype=like
        )

    @property
    def axes(self) -> dict[int, str]:
        """The axis of the examples."""
        return {axis: "N" for axis, size in enumerate(self.shape) if size == "N"}


@dataclass(frozen=True)
class Calls:
    """Calls a module, or a file, on inputs by name.

    A streaming one step by step along axis 1, its states beginning as zeros.
    `position`: names of what goes by position, in order.
    `keyword`: the rest.
    `states`: inputs that are states, by name.
    `dtype`: of states.
    """

    position: tuple[str, ...]
    keyword: tuple[str, ...]
    states: Mapping[str, Carried]
    dtype: torch.dtype = torch.float32

    def __call__(self, predict: Callable[..., Any], inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        """Outputs N×… by path; of a streaming model N×T×…, without the states."""
        if not self.states:
            return outputs_of(self.once(predict, inputs))
        held: dict[str, Any] = self.begun(count_of(inputs))
        steps: list[dict[str, Any]] = []
        for step in range(max(one.shape[1] for one in inputs.values() if one.ndim)):
            now = {name: one[:, step] if one.ndim else one for name, one in inputs.items()}
            found = outputs_of(self.once(predict, {**now, **held}))
            paths = by_path(
                {one.output: name for name, one in self.states.items()}, list(found), "states"
            )
            held = {name: found.pop(path) for path, name in paths.items()}
            steps.append(found)
        joined = {path: [one[path] for one in steps] for path in steps[0]}
        return {
            path: torch.stack(ones, 1) if isinstance(ones[0], Tensor) else np.stack(ones, 1)
            for path, ones in joined.items()
        }

    def once(self, predict: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """What one call returns."""
        return predict(
            *(values[name] for name in self.position),
            **{name: values[name] for name in self.keyword},
        )

    def begun(self, examples: int) -> dict[str, Tensor]:
        """The states before the first call."""
        return {name: one.zeros(examples, self.dtype) for name, one in self.states.items()}


def count_of(inputs: Mapping[str, Tensor]) -> int:
    """How many examples there are."""
    return next(len(one) for one in inputs.values() if one.ndim)


def axes_of(
    axes: Mapping[Any, Any], inputs: Mapping[str, Any]
) -> dict[str, Mapping[int, str | Axis]]:
    """By input, which of its axes vary and what they are called.

    `axes` is one mapping from axes for all, or one by an input's name.
    Raises ValueError for an input that there is not.
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
    """How a model is called on what was given, and that by name.

    Raises ValueError where names or numbers do not fit forward().
    """
    parameters = inspect.signature(model.forward).parameters.values()
    named = [
        one
        for one in parameters
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    ]
    open_ended = {one.kind for one in parameters} & {
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    }
    names = [one.name for one in named]
    takes = f"{type(model).__name__}.forward() takes {', '.join(names) or 'no named arguments'}"
    if wrong := [name for name in states if name not in names and not open_ended]:
        raise ValueError(f"states names the input {wrong[0]!r}, and {takes}")
    free = [name for name in names if name not in states]
    unnamed = not isinstance(given, Mapping) or all(
        name.startswith("arr_") for name in given
    )  # as numpy.savez calls them
    if (
        not isinstance(given, Mapping)
        or unnamed
        or (
            len(given) == 1
            and len([one for one in named if _needed(one) and one.name in free]) <= 1
        )
    ):
        values = list(given.values()) if isinstance(given, Mapping) else list(given)
        if len(values) > len(free) and inspect.Parameter.VAR_POSITIONAL not in open_ended:
            raise ValueError(
                (
                    f"there are {len(values)} inputs, and {takes}: give the inputs alone, without "
                    "labels"
                )
                + (" and states" if states else "")
            )
        free += [f"input_{place}" for place in range(len(free), len(values))]
        inputs = dict(zip(free, values, strict=False))
    else:
        inputs = dict(given)
        if (unknown := [name for name in inputs if name not in names]) and not open_ended:
            raise ValueError(
                f"there is an input {unknown[0]!r}, and {takes}: name the arrays as forward() does"
            )
    if missing := [
        one.name
        for one in named
        if _needed(one) and one.name not in inputs and one.name not in states
    ]:
        raise ValueError(
            f"{takes}, and the inputs have no {missing[0]!r}: add it, by that name, or, where it "
            "is a state, write "
            "Agreement(model, inputs, states={...}) in Python and return (model, task)"
        )
    have = {*inputs, *states}
    position: list[str] = []
    for one in named:
        if one.name not in have or one.kind == one.KEYWORD_ONLY:
            break
        position.append(one.name)
    position += [
        name
        for name in inputs
        if name.startswith("input_")
        and name not in names
        and inspect.Parameter.VAR_POSITIONAL in open_ended
    ]
    keyword = [name for name in [*names, *inputs, *states] if name in have and name not in position]
    floats = [one.dtype for one in model.parameters() if one.is_floating_point()]
    return Calls(
        tuple(position),
        tuple(dict.fromkeys(keyword)),
        dict(states),
        floats[0] if floats else torch.float32,
    ), inputs


def _needed(one: inspect.Parameter) -> bool:
    return one.default is one.empty


def with_shapes(
    states: Mapping[str, str | int | Carried], call: Callable[[int], Any]
) -> dict[str, Carried]:
    """The states, those without a shape in the shape that the model gives back where it is called
    without: `call(examples)`.

    Raises ValueError where it cannot be called so.
    """
    if all(isinstance(one, Carried) for one in states.values()):
        return {name: one for name, one in states.items() if isinstance(one, Carried)}
    try:
        two, three = outputs_of(call(2)), outputs_of(call(3))
    except Exception as error:
        name = next(name for name, one in states.items() if not isinstance(one, Carried))
        raise ValueError(
            f"what shape the state {name!r} begins with is not known, and the model cannot be "
            f"called without it ({error}): give it, such as "
            f"states={{{name!r}: Carried({states[name]!r}, (1, 'N', 64))}}"
        ) from None
    found: dict[str, Carried] = {}
    for name, one in states.items():
        if isinstance(one, Carried):
            found[name] = one
            continue
        (path,) = by_path({one: name}, list(two), "states")
        if two[path].ndim != three[path].ndim:
            raise ValueError(
                f"the state {shown(path)} has {two[path].ndim} axes for 2 examples and "
                f"{three[path].ndim} for 3: give its shape in a Carried"
            )
        if two[path].shape == three[path].shape:
            raise ValueError(
                f"the state {shown(path)} is {list(two[path].shape)} for 2 examples and for 3: "
                "the model takes what it is given for one sequence, so "
                "that examples would run into each other (nn.GRU and nn.LSTM do with N×C). Give "
                "the inputs as N×T×1×C, a step of each at a time, or "
                f"the state's shape, such as states={{{name!r}: Carried({one!r}, (1, 'N', 64))}}"
            )
        found[name] = Carried(
            one,
            tuple(
                "N" if a != b else a
                for a, b in zip(two[path].shape, three[path].shape, strict=True)
            ),
        )
    return found
