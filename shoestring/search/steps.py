"""What a network computes on one example, as the operators that its file will have.

One run of the network tells. Nothing is exported, so this takes milliseconds, not seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from shoestring.artifact import Content, tree
from shoestring.artifact.format.axes import Axis
from shoestring.artifact.format.graph import LARGEST_CONSTANT, Graph, Node, Port
from shoestring.artifact.format.tensors import NUMBERS, tensor
from shoestring.core import Task
from shoestring.kit.tracing.example import Example, examples_of, lengthened, tensors
from shoestring.search.step_rules import CONSTANT, RULES, SAME, Attribute, Made, arguments

OPSET = 20  # that of the files that `kit.export` makes


@dataclass(frozen=True)
class Value:
    """A tensor of a run.

    `shape`: its lengths.
    `type`: numpy's name of its elements.
    `constant`: its elements where no input decides them; None for what is computed.
    """

    shape: tuple[int, ...]
    type: str
    constant: np.ndarray | None = None


@dataclass(frozen=True)
class Step:
    """An operator of ONNX in a run.

    `inputs`, `output`: the numbers of values.
    """

    operator: str
    inputs: tuple[int, ...]
    output: int
    attributes: tuple[Attribute, ...] = ()


@dataclass
class Steps:
    """The steps of a run, in order.

    `values`: all values, by their numbers.
    `inputs`, `results`: the numbers of what is given and returned.
    `unknown`: the names of torch's operators for which there is no rule, and how often each ran.
    """

    values: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    results: list[int] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)

    def value(self, shape: Sequence[int], type: str, constant: np.ndarray | None = None) -> int:
        """The number of a new value."""
        self.values.append(Value(tuple(shape), type, constant))
        return len(self.values) - 1

    def constant(self, array: np.ndarray) -> int:
        """The number of a new constant."""
        return self.value(array.shape, array.dtype.name, array)

    def given(self, shape: Sequence[int], type: str = "float32") -> int:
        """The number of a new input."""
        self.inputs.append(self.value(shape, type))
        return self.inputs[-1]

    def add(
        self, operator: str, inputs: Sequence[int], shape: Sequence[int], *attributes: Attribute
    ) -> int:
        """The number of the output of a new step; it has the type of the step's first input."""
        output = self.value(shape, self.values[inputs[0]].type)
        self.steps.append(Step(operator, tuple(inputs), output, attributes))
        return output

    def users(self) -> dict[int, list[Step]]:
        """The steps that read each value."""
        users: dict[int, list[Step]] = {}
        for step in self.steps:
            for one in dict.fromkeys(step.inputs):
                users.setdefault(one, []).append(step)
        return users


def steps_of(network: nn.Module, task: Task) -> Steps:
    """The steps of a network in evaluation mode on the task's example with batch 1.

    An example that names several entries gives the steps of each, one after the other.
    Raises what the network raises, and ExportError for an example that is no call.
    """
    recorder, modes = _Recorder(), [(one, one.training) for one in network.modules()]
    network.eval()
    try:
        for example in examples_of(task):
            one = _alone(example)
            for given in tensors((one.args, one.kwargs)):
                recorder.given(given)
            with torch.no_grad(), recorder:
                answer = one.run(network)
            recorder.steps.results += [recorder.number(leaf) for leaf in tensors(answer)]
    finally:
        for one, mode in modes:
            one.training = mode
    return _needed(recorder.steps)


def _needed(steps: Steps) -> Steps:
    """The same run without the steps that no result needs, which the exporter leaves out too."""
    wanted, kept = set(steps.results), list[Step]()
    for step in reversed(steps.steps):
        if step.output in wanted:
            wanted.update(step.inputs)
            kept.append(step)
    steps.steps = kept[::-1]
    return steps


def _alone(example: Example) -> Example:
    """The example with a batch of 1: along "N", or the first axis 0 that varies, as meters do."""
    given = tensors((example.args, example.kwargs))
    named = [example.axes.get(id(one), {}) for one in given]
    names = {Axis.read(name).name for axes in named for name in axes.values()}
    firsts = (Axis.read(axes[0]).name for axes in named if 0 in axes)
    batch = "N" if "N" in names else next(firsts, None)

    def cut(leaf: Any) -> Any:
        for axis, name in example.axes.get(id(leaf), {}).items():
            if Axis.read(name).name == batch:
                leaf = lengthened(leaf, axis, 1)
        return leaf

    args, kwargs = tree.map(cut, example.args), tree.map(cut, example.kwargs)
    return Example(args, kwargs, {}, example.entry)


class _Recorder(TorchDispatchMode):
    """Writes down the steps of what torch runs within."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = Steps()
        self.numbers: dict[int, int] = {}
        self.alive: list[Tensor] = []  # keeps tensors alive, so that no id is used twice

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, which takes seconds

    def given(self, one: Tensor) -> None:
        self.keep(one, self.steps.given(one.shape, _type(one)))

    def keep(self, one: Tensor, number: int) -> None:
        self.numbers[id(one)] = number
        self.alive.append(one)

    def number(self, one: Tensor) -> int:
        """The number of a tensor; one that nothing made is a constant, as weights are."""
        if id(one) not in self.numbers:
            self.keep(one, self.steps.value(one.shape, _type(one), _array(one)))
        return self.numbers[id(one)]

    def is_computed(self, one: Tensor) -> bool:
        number = self.numbers.get(id(one))
        return number is not None and self.steps.values[number].constant is None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        taken = [leaf for leaf in tensors((args, kwargs)) if self.is_computed(leaf)]
        before = [self.numbers[id(leaf)] for leaf in taken]
        answer = func(*args, **kwargs)
        made = tensors(answer)
        if not taken:
            for one in made:  # constants: what is there at the end is what counts
                self.numbers.pop(id(one), None)
            return answer
        name = func._overloadpacket.__name__ if hasattr(func, "_overloadpacket") else str(func)
        name = name.rstrip("_") if name not in RULES else name
        if name in SAME and self._is_alike(made[0], before[0]):
            self.keep(made[0], before[0])
        elif name in CONSTANT:
            pass
        elif name not in RULES or not self._write(name, func, args, kwargs, made):
            self.steps.unknown[name] = self.steps.unknown.get(name, 0) + 1
            for one in made:
                self.keep(one, self.steps.value(one.shape, _type(one)))
        return answer

    def _is_alike(self, one: Tensor, number: int) -> bool:
        value = self.steps.values[number]
        return (value.shape, value.type) == (tuple(one.shape), _type(one))

    def _write(
        self, name: str, func: Any, args: Any, kwargs: dict[str, Any], made: list[Tensor]
    ) -> bool:
        """Write the steps of an operator down; whether its rule is for these arguments."""
        named = arguments(func, args, kwargs)
        rule = RULES[name](named, made)
        if rule is None:
            return False
        for target, chain in rule:
            number = None
            for one in chain:
                number = self._add(one, number)
            assert number is not None
            # A comparison gives another type than it takes
            value = self.steps.values[number]
            self.steps.values[number] = replace(value, type=_type(target))
            self.keep(target, number)
        return True

    def _add(self, one: Made, last: int | None) -> int:
        inputs = list[int]()
        for operand in one.operands:
            if operand is None:
                assert last is not None
                inputs.append(last)
            elif isinstance(operand, np.ndarray):
                inputs.append(self.steps.constant(operand))
            else:
                inputs.append(self.number(operand))
        return self.steps.add(one.operator, inputs, one.shape, *one.attributes)


def _type(one: Tensor) -> str:
    return str(one.dtype).removeprefix("torch.")


def _array(one: Tensor) -> np.ndarray:
    with _undispatched():
        return one.detach().cpu().contiguous().numpy()


@contextmanager
def _undispatched() -> Iterator[None]:
    with torch._C._DisableTorchDispatch():  # type: ignore[attr-defined]
        yield


def draft(steps: Steps) -> Content:
    """A file's content that computes these steps, with their constants as its weights.

    Raises ValueError where an operator is unknown, which it names.
    """
    if steps.unknown:
        raise ValueError(
            f"no file can be drafted of {', '.join(sorted(steps.unknown))}: there is no rule for "
            "what they are in a file; measure the network's own file"
        )
    read = {one for step in steps.steps for one in step.inputs} | set(steps.results)
    constants = [n for n, one in enumerate(steps.values) if one.constant is not None and n in read]
    large = [n for n in constants if _is_large(steps.values[n])]
    small = [n for n in constants if not _is_large(steps.values[n])]
    order = [*steps.inputs, *large, *small, *(step.output for step in steps.steps)]
    at = {number: index for index, number in enumerate(order)}
    given = [steps.values[number] for number in steps.inputs]
    outputs = [steps.values[number] for number in steps.results]
    graph = Graph(
        opset=OPSET,
        inputs=tuple(
            Port(f"input_{n}", NUMBERS[one.type], one.shape) for n, one in enumerate(given)
        ),
        weights=len(large),
        constants=tuple(_tensor(steps.values[number], None) for number in small),
        nodes=tuple(
            Node(step.operator, tuple(at[one] for one in step.inputs), 1, step.attributes)
            for step in steps.steps
        ),
        outputs=tuple(Port(f"output_{n}", NUMBERS[one.type]) for n, one in enumerate(outputs)),
        results=tuple(at[number] for number in steps.results),
        arguments=(tuple(range(len(given))), {}),
        structure=tuple(range(len(outputs))),
    )
    return Content(graph, [_tensor(steps.values[number], n) for n, number in enumerate(large)])


def _is_large(value: Value) -> bool:
    assert value.constant is not None
    return value.constant.size > LARGEST_CONSTANT or value.type == "float32"


def _tensor(value: Value, member: int | None) -> Any:
    assert value.constant is not None
    return tensor(value.constant, member)
