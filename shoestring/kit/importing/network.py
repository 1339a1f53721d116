"""A graph of ONNX's operators as a module of torch.

Its layers are modules, its other steps functions, its weights parameters.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from keyword import kwlist
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import tree
from shoestring.artifact.format.graph import Port, Tree
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.core import Vary
from shoestring.kit.importing.operators.operator import TYPES, Attributes, UnservedError, as_tensor
from shoestring.kit.importing.operators.table import FUNCTIONS


@dataclass(frozen=True)
class Step:
    """A function (of `operators.FUNCTIONS`, by its name), or the layer at a path of the module, of
    the values of these numbers (None: absent); what it gives has the numbers `outputs` (None: not
    wanted). `done`: the values that no later step takes.
    """

    name: str
    layer: str | None
    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    attributes: Attributes = field(default_factory=Attributes)
    done: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """What a `Network` computes: values are numbered, its inputs first.

    `tensors` are the paths of parameters and buffers that are values, `numbers` the values that are
    known and no tensors of the module; `arguments`, `structure` as in a Graph.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    tensors: Mapping[int, str]
    numbers: Mapping[int, np.ndarray]
    results: tuple[int, ...]
    arguments: Tree
    structure: Tree
    names: Mapping[str, str] = field(default_factory=dict)

    def __deepcopy__(self, memo: Any) -> Program:
        return self  # nothing in it changes


class Network(nn.Module):
    """A graph, called as the file is: with tensors in the order of its `inputs`, or by their names.

    It returns a tensor, or tensors in the tuples, lists and dictionaries that the file says. Its
    layers are those of torch.nn where torch has them, under the names that their weights have in
    the file; `names` says where each weight of the file is. Batch norm and dropout do in training
    what they do in torch. Made by `from_onnx` and `from_shoe`. Raises TypeError for an argument
    that is missing or none of its own, UnservedError for a step that torch has no function for.
    """

    program: Program

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.__class__ = _called_with(_arguments(program), _Network)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Name, ONNX element type and shape of each input.

        A text in a shape is the name of an axis that varies.
        """
        return self.program.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return self.program.outputs

    @property
    def names(self) -> Mapping[str, str]:
        """Of each weight of the file, by its name there, the path of the parameter or buffer that
        holds it.
        """
        return self.program.names

    def example(
        self, *values: Any, length: int = 2, **named: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a task's `example()` returns.

        Values, in order or by name, with the axes that vary; random numbers, or zeros of whole
        ones, where none is given. `length`: of an axis that varies, where no value says it.
        """
        given = {port.name: value for port, value in zip(self.inputs, values, strict=False)} | named
        generator = torch.Generator().manual_seed(0)
        found: list[Vary] = []
        for port in self.inputs:
            axes = {place: size for place, size in enumerate(port.shape) if isinstance(size, str)}
            if port.name in given:
                value = torch.as_tensor(given[port.name])
            else:
                sizes, kind = (
                    [length if isinstance(size, str) else size for size in port.shape],
                    TYPES[port.element],
                )
                exact = kind.is_floating_point
                value = (
                    torch.randn(sizes, generator=generator).to(kind)
                    if exact
                    else torch.zeros(sizes, dtype=kind)
                )
            found.append(Vary(value, axes))
        return tree.fill(self.program.arguments, found)

    def signature(self) -> str:
        """The inputs in words: name, type and shape of each."""
        shapes = (
            f"{p.name}: {ELEMENTS[p.element][0]}[{', '.join(map(str, p.shape))}]"
            for p in self.inputs
        )
        return ", ".join(shapes) or "no inputs"

    def run(self, args: Sequence[Any]) -> Any:
        """What `forward` returns, of the arguments in order, those by name after the others.

        None: left out.
        """
        program, found = self.program, dict[int, Any]()
        positions, names = program.arguments
        words = [
            *(f"argument {place + 1}" for place in range(len(positions))),
            *(f"the argument {name!r}" for name in names),
        ]
        for structure, value, where in zip((*positions, *names.values()), args, words, strict=True):
            if value is not None:
                found |= tree.match(structure, value, where)
        values: dict[int, Any] = dict(program.numbers)
        for place, port in enumerate(program.inputs):
            if place not in found:
                raise TypeError(
                    f"the input {port.name!r} is missing; this network takes {self.signature()}"
                )
            value = found[place]
            values[place] = (
                torch.from_numpy(np.ascontiguousarray(value))
                if isinstance(value, np.ndarray)
                else value
            )
        for step in program.steps:
            self._take(step, values)
        return tree.fill(
            program.structure,
            [as_tensor(self._value(number, values)) for number in program.results],
        )

    def _value(self, number: int, values: dict[int, Any]) -> Any:
        """A value, or a tensor of the module."""
        if number not in values:
            owner, _, name = self.program.tensors[number].rpartition(".")
            values[number] = getattr(self.get_submodule(owner), name)
        return values[number]

    def _take(self, step: Step, values: dict[int, Any]) -> None:
        given = [None if number is None else self._value(number, values) for number in step.inputs]
        try:
            if step.layer is not None:
                answer = self.get_submodule(step.layer)(*map(as_tensor, given))
            else:
                answer = FUNCTIONS[step.name].run(step.attributes, given)
        except UnservedError as error:
            raise UnservedError(
                f"torch has no function for {error}: leave that step out of the graph"
            ) from None
        given = answer if isinstance(answer, tuple | list) else (answer,)
        values.update(
            (number, one)
            for number, one in zip(step.outputs, given, strict=False)
            if number is not None
        )
        for number in step.done:
            values.pop(number, None)

    def __reduce__(self) -> Any:
        return _blank, (_arguments(self.program),), self.__dict__


class _Network(Network):
    """A network that has its forward()."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        legal = {port.name: name for port, name in _places(self.program)}
        return super().__call__(
            *args, **{legal.get(name, name): value for name, value in kwargs.items()}
        )


def _places(program: Program) -> list[tuple[Port, str]]:
    """Inputs that are arguments by themselves, with what forward() calls them."""
    positions, names = program.arguments
    trees = (*positions, *names.values())
    own = _arguments(program)
    return [
        (program.inputs[tree], name)
        for tree, name in zip(trees, own, strict=True)
        if isinstance(tree, int)
    ]


def _arguments(program: Program) -> tuple[str, ...]:
    """What forward() calls its arguments: as the file does, where Python allows that."""
    positions, names = program.arguments
    words = [
        program.inputs[tree].name if isinstance(tree, int) else f"argument_{place + 1}"
        for place, tree in enumerate(positions)
    ]
    found = list[str]()
    for word in (*words, *names):
        found.append(
            legal(f"_{word}" if not word or word[0].isdigit() else word, ("self", *kwlist, *found))
        )
    return tuple(found)


def legal(name: str, taken: Container[str] = ()) -> str:
    """A name with nothing in it that names of attributes have not, and that nothing else has."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    if made == "__debug__" or (
        made.startswith("_") and hasattr(Network, made)
    ):  # Python's, or of the module's own
        made = f"of{made}"
    while made in taken:
        made += "_"
    return made


@cache
def _called_with(names: tuple[str, ...], kind: type) -> type:
    """A class whose forward() has arguments of these names.

    Exporters, tracers and people read them off it.
    """
    if not all(name.isidentifier() for name in names):
        raise ValueError(f"{names} are no names of arguments")
    listed, given = (
        "".join(f", {name}=None" for name in names),
        "".join(f"{name}, " for name in names),
    )
    scope: dict[str, Any] = {}
    exec(
        f"def forward(self{listed}):\n    return self.run(({given}))\n", scope
    )  # of names that were just looked at
    return type(
        "Network",
        (kind,),
        {"forward": scope["forward"], "__doc__": Network.__doc__, "__module__": __name__},
    )


def _blank(names: tuple[str, ...]) -> Network:
    kind: Any = _called_with(names, _Network)
    return kind.__new__(kind)
