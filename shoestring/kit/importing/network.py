"""A graph of ONNX operators runs as a torch module.

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
    """One step of a program, which runs a layer or a function.

    `name`: of the function in `operators.table.FUNCTIONS`; of a layer, only a description.
    `layer`: the path of the layer in the module; None for a function.
    `inputs`: the numbers of the values it takes; None for an absent input.
    `outputs`: the numbers of the values it gives; None for an unused output.
    `attributes`: of the function.
    `done`: the numbers of values that no later step takes.
    """

    name: str
    layer: str | None
    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    attributes: Attributes = field(default_factory=Attributes)
    done: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """What a `Network` computes. Values are numbered, inputs first.

    `inputs`: name, type and shape of each input.
    `outputs`: the name of each output.
    `steps`: in the order in which they run.
    `tensors`: the path of each value that is a parameter or buffer.
    `numbers`: the values that are known and not tensors of the module.
    `results`: the numbers of the values that are outputs.
    `arguments`, `structure`: as in a Graph.
    `names`: the path of each weight by its name in the file.
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
        return self  # it is immutable


class Network(nn.Module):
    """A graph, called as the file is: with tensors in the order of its `inputs`, or by their names.

    It returns a tensor, or tensors in tuples, lists and dictionaries as in the file. Layers are
    those of torch.nn where torch has them, under the names that their weights have in the file.
    `names` maps the weights of the file to paths. Batch norm and dropout act in training as in
    torch.

    It is made by `from_onnx` and `from_shoe`. A call raises TypeError for a missing or unknown
    argument, and UnservedError for a step that torch has no function for.
    """

    program: Program

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.__class__ = _called_with(_arguments(program), _Network)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The name, ONNX element type and shape of each input.

        A string in a shape is the name of an axis that varies.
        """
        return self.program.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return self.program.outputs

    @property
    def names(self) -> Mapping[str, str]:
        """The path of each parameter and buffer, by the name of its weight in the file."""
        return self.program.names

    def example(
        self, *values: Any, length: int = 2, **named: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments for a task's `example()`, with the axes that vary.

        `values`, `named`: the inputs, in order or by name. Others are random, or zeros for
            integers.
        `length`: of an axis that varies, where no value is given.
        """
        given = {port.name: value for port, value in zip(self.inputs, values, strict=False)} | named
        generator = torch.Generator().manual_seed(0)
        inputs: list[Vary] = []
        for port in self.inputs:
            axes = {axis: size for axis, size in enumerate(port.shape) if isinstance(size, str)}
            if port.name in given:
                value = torch.as_tensor(given[port.name])
            else:
                sizes, kind = (
                    [length if isinstance(size, str) else size for size in port.shape],
                    TYPES[port.element],
                )
                is_float = kind.is_floating_point
                value = (
                    torch.randn(sizes, generator=generator).to(kind)
                    if is_float
                    else torch.zeros(sizes, dtype=kind)
                )
            inputs.append(Vary(value, axes))
        return tree.fill(self.program.arguments, inputs)

    def signature(self) -> str:
        """The inputs in words: the name, type and shape of each."""
        shapes = (
            f"{p.name}: {ELEMENTS[p.element][0]}[{', '.join(map(str, p.shape))}]"
            for p in self.inputs
        )
        return ", ".join(shapes) or "no inputs"

    def run(self, args: Sequence[Any]) -> Any:
        """What `forward` returns, for the arguments in order, named ones last.

        None for an argument that is left out.
        """
        program, inputs = self.program, dict[int, Any]()
        positions, names = program.arguments
        descriptions = [
            *(f"argument {index + 1}" for index in range(len(positions))),
            *(f"the argument {name!r}" for name in names),
        ]
        for structure, value, where in zip(
            (*positions, *names.values()), args, descriptions, strict=True
        ):
            if value is not None:
                inputs |= tree.match(structure, value, where)
        values: dict[int, Any] = dict(program.numbers)
        for index, port in enumerate(program.inputs):
            if index not in inputs:
                raise TypeError(
                    f"the input {port.name!r} is missing; this network takes {self.signature()}"
                )
            value = inputs[index]
            values[index] = (
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
        """The value of a number, read from the module where it is a tensor."""
        if number not in values:
            owner, _, name = self.program.tensors[number].rpartition(".")
            values[number] = getattr(self.get_submodule(owner), name)
        return values[number]

    def _take(self, step: Step, values: dict[int, Any]) -> None:
        inputs = [None if number is None else self._value(number, values) for number in step.inputs]
        try:
            if step.layer is not None:
                outputs = self.get_submodule(step.layer)(*map(as_tensor, inputs))
            else:
                outputs = FUNCTIONS[step.name].run(step.attributes, inputs)
        except UnservedError as error:
            raise UnservedError(
                f"torch has no function for {error}: leave that step out of the graph"
            ) from None
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        values.update(
            (number, output)
            for number, output in zip(step.outputs, outputs, strict=False)
            if number is not None
        )
        for number in step.done:
            values.pop(number, None)

    def __reduce__(self) -> Any:
        return _blank, (_arguments(self.program),), self.__dict__


class _Network(Network):
    """A network with a `forward` of its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        legal = {port.name: name for port, name in _plain_arguments(self.program)}
        return super().__call__(
            *args, **{legal.get(name, name): value for name, value in kwargs.items()}
        )


def _plain_arguments(program: Program) -> list[tuple[Port, str]]:
    """The inputs that are arguments by themselves, with their names in forward()."""
    positions, names = program.arguments
    trees = (*positions, *names.values())
    own = _arguments(program)
    return [
        (program.inputs[tree], name)
        for tree, name in zip(trees, own, strict=True)
        if isinstance(tree, int)
    ]


def _arguments(program: Program) -> tuple[str, ...]:
    """The names of forward()'s arguments: those of the file where Python allows them."""
    positions, names = program.arguments
    proposed = [
        program.inputs[tree].name if isinstance(tree, int) else f"argument_{index + 1}"
        for index, tree in enumerate(positions)
    ]
    arguments = list[str]()
    for name in (*proposed, *names):
        arguments.append(
            legal(
                f"_{name}" if not name or name[0].isdigit() else name, ("self", *kwlist, *arguments)
            )
        )
    return tuple(arguments)


def legal(name: str, taken: Container[str] = ()) -> str:
    """A name as a legal attribute that no other has: `taken` holds those in use."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    # Names of Python, or attributes of the module itself.
    if made == "__debug__" or (made.startswith("_") and hasattr(Network, made)):
        made = f"of{made}"
    while made in taken:
        made += "_"
    return made


@cache
def _called_with(names: tuple[str, ...], kind: type) -> type:
    """A class whose forward() has arguments of these names.

    Exporters, tracers and people read them from its signature.
    """
    if not all(name.isidentifier() for name in names):
        raise ValueError(f"{names} are not all names of arguments")
    listed, given = (
        "".join(f", {name}=None" for name in names),
        "".join(f"{name}, " for name in names),
    )
    scope: dict[str, Any] = {}
    # The names were checked above, so nothing else can be executed.
    exec(f"def forward(self{listed}):\n    return self.run(({given}))\n", scope)
    return type(
        "Network",
        (kind,),
        {"forward": scope["forward"], "__doc__": Network.__doc__, "__module__": __name__},
    )


def _blank(names: tuple[str, ...]) -> Network:
    kind: Any = _called_with(names, _Network)
    return kind.__new__(kind)
