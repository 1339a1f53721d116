"""Operators that work on each element by itself, and chains of them in one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from shoestring.artifact.plain_c import quantised
from shoestring.artifact.plain_c.building import (
    Building,
    Handler,
    OnGrid,
    dequantise,
    float_literal,
)
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Operand, Term
from shoestring.artifact.plain_c.residual import floats_added_at_once
from shoestring.artifact.plain_c.signs import bits_fit, pack, signs_by, signs_of
from shoestring.artifact.plain_c.traced import Step

FLOAT = "float"
# C for each operator, with `{0}`, `{1}`, ... for what it reads and `{p}` for the prefix of names.
SIMPLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "Add": ("{0} + {1}", ()),
    "Sub": ("{0} - {1}", ()),
    "Mul": ("{0} * {1}", ()),
    "Div": ("{0} / {1}", ()),
    "Relu": ("{0} > 0 ? {0} : 0", ()),
    "Neg": ("-{0}", ()),
    "Abs": ("{0} < 0 ? -{0} : {0}", ()),
    "Identity": ("{0}", ()),
    "Sigmoid": ("1.0f / (1.0f + expf(-{0}))", ("math",)),
    "Tanh": ("tanhf({0})", ("math",)),
    "Exp": ("expf({0})", ("math",)),
    "Log": ("logf({0})", ("math",)),
    "Sqrt": ("sqrtf({0})", ("math",)),
    "Erf": ("erff({0})", ("math",)),
    "Sin": ("sinf({0})", ("math",)),
    "Cos": ("cosf({0})", ("math",)),
    "Floor": ("floorf({0})", ("math",)),
    "Ceil": ("ceilf({0})", ("math",)),
    "Softplus": ("{0} > 20.0f ? {0} : logf(1.0f + expf({0}))", ("math",)),
    "Softsign": ("{0} / (1.0f + ({0} < 0 ? -{0} : {0}))", ()),
    "Reciprocal": ("1.0f / {0}", ()),
    "Pow": ("powf({0}, {1})", ("math",)),
    "HardSwish": ("{0} * {p}_limited({0} / 6.0f + 0.5f, 0.0f, 1.0f)", ("limited",)),
    "PRelu": ("{0} < 0 ? {0} * {1} : {0}", ()),
    "Max": ("{0} > {1} ? {0} : {1}", ()),
    "Min": ("{0} < {1} ? {0} : {1}", ()),
    "Where": ("{0} ? {1} : {2}", ()),
    "Round": ("rintf({0})", ("math",)),
    "Sign": ("(float)(({0} > 0) - ({0} < 0))", ()),
    "Tan": ("tanf({0})", ("math",)),
    "Mish": ("{0} * tanhf({0} > 20.0f ? {0} : logf(1.0f + expf({0})))", ("math",)),
}
# Of these the result is a truth value, a byte that is 0 or 1.
TRUTHS = {
    "Equal": "{0} == {1}",
    "Less": "{0} < {1}",
    "LessOrEqual": "{0} <= {1}",
    "Greater": "{0} > {1}",
    "GreaterOrEqual": "{0} >= {1}",
    "Not": "!{0}",
    "IsNaN": "{0} != {0}",
    "And": "{0} && {1}",
    "Or": "{0} || {1}",
    "Xor": "{0} != {1}",
}
WHOLE = ("Add", "Sub", "Mul", "Neg", "Abs", "Identity", "Max", "Min", "Where", "Relu")
"""What integers are computed with too."""


def _number(step: Step, name: str, default: float) -> str:
    return float_literal(float(step.attributes.get(name, default)))


def _leaky(now: Building, step: Step) -> Term:
    return Term(text=f"{{0}} < 0 ? {{0}} * {_number(step, 'alpha', 0.01)} : {{0}}", arguments=(0,))


def _elu(now: Building, step: Step) -> Term:
    alpha = _number(step, "alpha", 1.0)
    return Term(
        text=f"{{0}} < 0 ? {alpha} * (expf({{0}}) - 1.0f) : {{0}}", arguments=(0,), needs=("math",)
    )


def _hard_sigmoid(now: Building, step: Step) -> Term:
    alpha, beta = _number(step, "alpha", 0.2), _number(step, "beta", 0.5)
    return Term(
        text=f"{{p}}_limited({{0}} * {alpha} + {beta}, 0.0f, 1.0f)",
        arguments=(0,),
        needs=("limited",),
    )


def _gelu(now: Building, step: Step) -> Term:
    if step.attributes.get("approximate", "none") == "tanh":
        inner = "0.7978846f * ({0} + 0.044715f * {0} * {0} * {0})"
        text = f"0.5f * {{0}} * (1.0f + tanhf({inner}))"
    else:
        text = "0.5f * {0} * (1.0f + erff({0} * 0.70710677f))"
    return Term(text=text, arguments=(0,), needs=("math",))


def _clip(now: Building, step: Step) -> Term:
    limits = [now.constant(number) for number in step.inputs[1:3]]
    given = [number for number in step.inputs[1:3] if number is not None]
    if len(given) > sum(limit is not None for limit in limits):
        raise NoPlainC(f"{step} has limits that are computed: C needs constant ones")
    low, high = (
        None if limit is None else float(limit.item()) for limit in [*limits, None, None][:2]
    )
    if low is not None and high is not None:
        low = min(low, high)  # where they cross, all is the upper one
    low_text = float_literal(-np.inf if low is None else low)
    high_text = float_literal(np.inf if high is None else high)
    return Term(
        text=f"{{p}}_limited({{0}}, {low_text}, {high_text})", arguments=(0,), needs=("limited",)
    )


def _cast(now: Building, step: Step) -> Term:
    kind = now.kind(step.outputs[0], step)
    source = now.graph.types[step.inputs[0] or 0]
    if source == "float32" and kind != FLOAT and now.graph.types[step.outputs[0]] != "bool":
        raise NoPlainC(f"{step} makes integers of floats, which C does not have")
    truth = now.graph.types[step.outputs[0]] == "bool"
    return Term(text="{0} != 0" if truth else f"({kind}){{0}}", arguments=(0,), kind=kind)


SPECIAL: dict[str, Callable[[Building, Step], Term]] = {
    "LeakyRelu": _leaky,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Clip": _clip,
    "Cast": _cast,
}
ONE_INPUT = ("Clip", "Cast", "LeakyRelu", "Elu", "HardSigmoid", "Gelu")


def _terms(now: Building, step: Step) -> tuple[list[Term], list[int]]:
    """(the terms of a step, the values that it reads), with operands numbered by the latter."""
    kind = now.kind(step.outputs[0], step)
    values = [number for number in step.inputs if number is not None]
    if step.operator in SPECIAL:
        if step.operator == "Clip" and kind != FLOAT:
            raise NoPlainC(f"{step} has limits for integers, which C does not have")
        return [SPECIAL[step.operator](now, step)], values[:1]
    if step.operator in TRUTHS:
        count = 1 if step.operator in ("Not", "IsNaN") else 2
        text = f"(uint8_t)({TRUTHS[step.operator]})"
        return [Term(text=text, arguments=tuple(range(count)), kind="uint8_t")], values[:count]
    text, needs = SIMPLE[step.operator]
    if kind != FLOAT and step.operator not in WHOLE:
        raise NoPlainC(f"{step} computes with integers, for which C has none")
    cast = "" if kind == FLOAT else f"({kind})"
    text = f"{cast}({text})" if cast else text
    if step.operator in ("Max", "Min"):  # of any number of values
        terms = [Term(text="{0}", arguments=(0,), kind=kind)]
        for place in range(1, len(values)):
            terms.append(Term(text=text, arguments=(-place, place), kind=kind))
        return terms, values
    return [Term(text=text, arguments=tuple(range(len(values))), kind=kind, needs=needs)], values


@dataclass
class Chain:
    """An element-wise layer while steps are added to it.

    `shape`: of its output.
    `value`: the value that its last term makes, if it has terms.
    """

    now: Building
    shape: tuple[int, ...]
    operands: list[Operand] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    value: int = -1

    def add(self, step: Step, terms: list[Term], values: list[int]) -> None:
        """Add the terms of a step, whose arguments are places in `values` or its own terms."""
        places = [self._argument(value, step) for value in values]
        before = len(self.terms)
        for term in terms:
            arguments = tuple(places[one] if one >= 0 else one - before for one in term.arguments)
            self.terms.append(replace(term, arguments=arguments))
        self.value = step.outputs[0]

    def _argument(self, value: int, step: Step) -> int:
        """Where terms find a value: the last term, or a new operand."""
        if value == self.value and self.terms:
            return -len(self.terms)
        now = self.now
        if value in now.grids and value not in now.holds:
            grid = now.grids[value]
            steps = now.steps(value, self.shape)
            kind = now.buffers[grid.buffer].kind
            self.operands.append(Operand(buffer=grid.buffer, steps=steps, kind=kind))
            self.terms.append(dequantise(grid, len(self.operands) - 1))
            return -len(self.terms)
        self.operands.append(now.operand(value, self.shape, step))
        return len(self.operands) - 1

    def follow(self) -> None:
        """Take in the steps after it that can be in the same layer."""
        while (after := _next(self.now, self.value, self.shape)) is not None:
            self.add(after, *_after(self.now, after, self.value))
            self.now.done.add(after.index)

    def sign(self) -> bool:
        """Take in what makes signs of its value; these are integers, -1 and 1."""
        found = signs_of(self.now, self.value)
        if found is None:
            return False
        last = -len(self.terms)
        self.terms.append(Term(text="{0} < 0 ? -1 : 1", arguments=(last,), kind="int8_t"))
        self.now.done |= {found.less.index, found.where.index}
        self.value = found.signs
        return True

    def finish(self, step: Step) -> None:
        """Add the layer."""
        now = self.now
        found = signs_of(now, self.value)
        if found is not None and bits_fit(now, found.signs):
            floats = now.target(self.value, step)
            now.pointwise(str(step), floats, tuple(self.operands), tuple(self.terms))
            pack(now, found, floats)
            return
        if self.sign():
            target = now.room(self.shape, "int8_t")
            now.grids[self.value] = OnGrid(target, 1.0, 0)
            now.pointwise(str(step), target, tuple(self.operands), tuple(self.terms))
            return
        target = self.now.target(self.value, step)
        self.now.pointwise(str(step), target, tuple(self.operands), tuple(self.terms))


def pointwise(now: Building, step: Step) -> None:
    """Add the layer of an operator, with the operators after it that only it is read by."""
    if step.operator == "Add" and (quantised.add(now, step) or floats_added_at_once(now, step)):
        return
    value = step.inputs[0]
    found = signs_by(now, step)
    if found is not None and bits_fit(now, found.signs):
        pack(now, found, now.source(found.value, step))
        return
    if step.operator == "Less" and value is not None and signs_of(now, value) is not None:
        chain = Chain(now, now.shape(value))
        chain.add(replace_output(step, value), [Term(text="{0}", arguments=(0,))], [value])
        chain.finish(step)
        return
    chain = Chain(now, now.shape(step.outputs[0]))
    chain.add(step, *_terms(now, step))
    chain.follow()
    chain.finish(step)


def replace_output(step: Step, value: int) -> Step:
    """The step as one that makes another value."""
    return replace(step, outputs=(value,))


def _next(now: Building, value: int, shape: tuple[int, ...]) -> Step | None:
    """The step after, if it can be in the same layer."""
    after = now.graph.reader(value)
    if after is None or now.shape(after.outputs[0]) != shape or len(after.outputs) != 1:
        return None
    if after.operator == "QuantizeLinear":
        return after if after.inputs[0] == value else None
    if after.operator not in SIMPLE and after.operator not in SPECIAL:
        return None
    if now.graph.types[value] != "float32" or now.graph.types[after.outputs[0]] != "float32":
        return None
    ready = all(number is None or number == value or now.known(number) for number in after.inputs)
    return after if ready else None


def _after(now: Building, step: Step, value: int) -> tuple[list[Term], list[int]]:
    if step.operator == "QuantizeLinear":
        scale, zero = quantised.grid_of_activations(now, step)
        kind = now.kind(step.outputs[0], step)
        if kind not in quantised.LIMITS:
            raise NoPlainC(f"{step} makes {kind}: C has grids of 8 bits")
        return [quantised.quantise(scale, zero, kind, 0)], [value]
    return _terms(now, step)


def batch_normalization(now: Building, step: Step) -> None:
    """Add the layer of a BatchNormalization that no layer before it took in."""
    arrays = [now.constant(number) for number in step.inputs[1:5]]
    if any(array is None for array in arrays):
        raise NoPlainC(f"{step} has scales that are computed: C needs constant ones")
    scale, shift, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    factors = scale / np.sqrt(variance + np.float64(step.attributes.get("epsilon", 1e-5)))
    offsets = shift - mean * factors
    shape = now.shape(step.outputs[0])
    chain = Chain(now, shape)
    steps = tuple(int(axis == 1) for axis in range(len(shape)))
    chain.operands += [
        Operand(constant=array.astype(np.float32), steps=steps) for array in (factors, offsets)
    ]
    chain.add(step, [Term(text="{0} * {1} + {2}", arguments=(0,))], [step.inputs[0] or 0])
    chain.terms[-1] = replace(chain.terms[-1], arguments=(*chain.terms[-1].arguments, 0, 1))
    chain.follow()
    chain.finish(step)


POINTWISE: dict[str, Handler] = {
    **dict.fromkeys((*SIMPLE, *TRUTHS, *SPECIAL), pointwise),
    "BatchNormalization": batch_normalization,
}
