"""The pieces of a run that a runtime computes as one, and files that hold one piece alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from shoestring.artifact.format.graph import INTS
from shoestring.search.steps import Step, Steps, Value

_ACTIVATIONS = frozenset(("Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"))
_MULTIPLIES = frozenset(("Conv", "ConvTranspose"))


@dataclass(frozen=True)
class Piece:
    """Steps that a runtime computes as one: a convolution with what is folded into it, or one step.

    `steps`: in order.
    `given`: the values that it takes and that are computed, by their numbers, each once.
    `output`: the number of what it gives.
    `key`: tells pieces apart that take different time; equal for those that take the same.
    """

    steps: tuple[Step, ...]
    given: tuple[int, ...]
    output: int
    key: str

    @property
    def kind(self) -> str:
        """The operators, joined by "+"; of a convolution also how it shares its channels."""
        return self.key.split(" ", 1)[0]

    def work(self, steps: Steps) -> int:
        """About how much it computes: multiplications, and the numbers that it takes and gives."""
        read = {one for step in self.steps for one in step.inputs} - set(self.given)
        constants = [found for one in read if (found := steps.values[one].constant) is not None]
        weights = sum(one.size for one in constants if one.ndim > 1)
        maps = [steps.values[one].shape for one in (*self.given, self.output)]
        return weights * math.prod(maps[-1][2:]) + sum(map(math.prod, maps))


def pieces_of(steps: Steps) -> list[Piece]:
    """The pieces of a run, in the order of their first steps.

    A batch norm, the addition of what was computed before and an activation belong to the
    convolution before them, where nothing else reads what is between.
    """
    steps = without_repeats(steps)
    users, at = steps.users(), {step.output: n for n, step in enumerate(steps.steps)}
    taken, found = set[int](), list[Piece]()
    for number, step in enumerate(steps.steps):
        if number in taken:
            continue
        together = [step]
        for follower in _followers(step, steps, users, at):
            together.append(follower)
            taken.add(at[follower.output])
        found.append(_piece(tuple(together), steps))
    return found


def _followers(
    step: Step, steps: Steps, users: dict[int, list[Step]], at: dict[int, int]
) -> list[Step]:
    """The steps that a runtime folds into this one."""
    found = list[Step]()
    if step.operator not in _MULTIPLIES:
        return found
    allowed = ["BatchNormalization", "Add", ""]
    last = step
    while allowed and last.output not in steps.results and len(users.get(last.output, ())) == 1:
        (user,) = users[last.output]
        name = "" if user.operator in _ACTIVATIONS else user.operator
        if name not in allowed or (name == "Add" and not _is_later(user, last, step, steps, at)):
            break
        allowed = allowed[allowed.index(name) + 1 :]
        found.append(user)
        last = user
    return found


def _is_later(add: Step, last: Step, first: Step, steps: Steps, at: dict[int, int]) -> bool:
    """Whether the other summand is a map of the same shape that is there before `first` runs."""
    others = [one for one in add.inputs if one != last.output]
    if len(others) != 1 or steps.values[others[0]].constant is not None:
        return False
    same = steps.values[others[0]].shape == steps.values[last.output].shape
    return same and at.get(others[0], -1) < at[first.output]


def _piece(together: tuple[Step, ...], steps: Steps) -> Piece:
    inner = {step.output for step in together}
    read = [one for step in together for one in step.inputs if one not in inner]
    given = tuple(one for one in dict.fromkeys(read) if steps.values[one].constant is None)
    return Piece(together, given, together[-1].output, _key(together, steps))


def _key(together: tuple[Step, ...], steps: Steps) -> str:
    """The kind, then each step with its attributes and the shapes of what it reads."""
    numbers: dict[int, str] = {}
    words = [_kind(together, steps)]
    for step in together:
        operands = list[str]()
        for one in step.inputs:
            numbers.setdefault(one, str(len(numbers)))
            operands.append(f"{numbers[one]}:{_told(steps.values[one])}")
        numbers[step.output] = str(len(numbers))
        attributes = ",".join(f"{name}={value}" for name, _, value in step.attributes)
        words.append(f"{step.operator}({' '.join(operands)})[{attributes}]")
    return " ".join(words)


def _told(value: Value) -> str:
    shape = "x".join(map(str, value.shape))
    if value.constant is None:
        return f"{value.type}:{shape}"
    # What integers say (axes, ends, a shape) decides the time; what weights say does not.
    is_told = value.type == "int64" and value.constant.size <= 8
    return f"{'' if is_told else value.type}:{shape}" + (f"={value.constant}" if is_told else "!")


def _kind(together: tuple[Step, ...], steps: Steps) -> str:
    first = together[0]
    name = first.operator
    if name == "Conv":
        channels, per_group = (steps.values[n].shape[1] for n in first.inputs[:2])
        groups = channels // per_group
        name = "Conv" if groups == 1 else "ConvInEach" if per_group == 1 else "ConvInGroups"
    return "+".join((name, *(one.operator for one in together[1:] if one.operator == "Add")))


def without_repeats(steps: Steps) -> Steps:
    """The same run with a step left out that computes again what one before it gave.

    A runtime leaves those out as well: two poolings of one map are one.
    """
    same: dict[int, int] = {}
    first: dict[tuple[object, ...], int] = {}
    kept = list[Step]()
    for step in steps.steps:
        inputs = tuple(same.get(one, one) for one in step.inputs)
        told = tuple(
            one if _is_free(steps.values[one]) else _told(steps.values[one]) for one in inputs
        )
        is_alike = not any(isinstance(one, str) and one.endswith("!") for one in told)
        key = (step.operator, step.attributes, told)
        if is_alike and key in first:
            same[step.output] = first[key]
            continue
        first[key] = step.output
        kept.append(replace(step, inputs=inputs))
    results = [same.get(one, one) for one in steps.results]
    return replace(steps, steps=kept, results=results)


def _is_free(value: Value) -> bool:
    return value.constant is None


def alone(piece: Piece, steps: Steps, copies: int) -> Steps:
    """A run of so many copies of a piece, each with weights of its own.

    A map comes out of a convolution and is read by a pooling that takes its first pixel, as it
    would be in the midst of a network: a runtime keeps maps there in an order that suits it.
    """
    made, draw = Steps(), np.random.default_rng(0)
    for _ in range(copies):
        renamed = {number: _source(made, steps.values[number], draw) for number in piece.given}
        for step in piece.steps:
            inputs = [
                renamed[one] if one in renamed else _weight(made, steps.values[one], draw)
                for one in step.inputs
            ]
            output = steps.values[step.output]
            renamed[step.output] = made.value(output.shape, output.type)
            made.steps.append(
                Step(step.operator, tuple(inputs), renamed[step.output], step.attributes)
            )
        made.results.append(_sink(made, renamed[piece.output]))
    return made


def between(value: Value, copies: int, sinks: int = 1) -> Steps:
    """A run of what `alone` puts before and after a map, with no piece between.

    `sinks`: how many poolings follow each other, 1 or more.
    """
    made, draw = Steps(), np.random.default_rng(0)
    for _ in range(copies):
        last = _source(made, value, draw)
        for _ in range(sinks):
            last = _sink(made, last)
        made.results.append(last)
    return made


def nothing() -> Steps:
    """A run of one operator on one number: what a run takes whatever the network."""
    made = Steps()
    given = made.given((1, 1))
    made.results.append(made.add("Neg", (given,), (1, 1)))
    return made


def is_map(value: Value) -> bool:
    """Whether it is a picture's map: floats with a batch, channels, height and width."""
    return len(value.shape) == 4 and value.type == "float32"


def _source(made: Steps, value: Value, draw: np.random.Generator) -> int:
    """The number of a value of this shape; a map comes out of a convolution of one channel."""
    if not is_map(value):
        return made.given(value.shape, value.type)
    batch, channels, *pixels = value.shape
    given = made.given((batch, 1, *pixels))
    weight = made.constant(draw.standard_normal((channels, 1, 1, 1)).astype(np.float32))
    return made.add("Relu", (made.add("Conv", (given, weight), value.shape),), value.shape)


def _sink(made: Steps, number: int) -> int:
    """The number of what is returned of a value: of a map the first pixel of each channel."""
    value = made.values[number]
    if not is_map(value):
        return number
    batch, channels, *pixels = value.shape
    attributes = ("kernel_shape", INTS, (1, 1)), ("strides", INTS, tuple(pixels))
    return made.add("MaxPool", (number,), (batch, channels, 1, 1), *attributes)


def _weight(made: Steps, value: Value, draw: np.random.Generator) -> int:
    assert value.constant is not None
    if value.type != "float32" or value.constant.size == 1:
        return made.constant(value.constant)
    # Above 0, since the variances of a batch norm are
    return made.constant(draw.uniform(0.01, 0.1, value.shape).astype(np.float32))
