"""What each of torch's operators is in a file: rules from its name to operators of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.format.graph import FLOAT, INT, INTS

Attribute = tuple[str, int, Any]
"""An attribute of an operator: its name, its ONNX attribute type and its value."""


class Made(NamedTuple):
    """An operator that a rule makes.

    `operands`: tensors of the run, arrays, or None for what the operator before it gave.
    `shape`: of what it gives.
    """

    operator: str
    operands: tuple[Tensor | np.ndarray | None, ...]
    shape: tuple[int, ...]
    attributes: tuple[Attribute, ...] = ()


Rule = Callable[[Mapping[str, Any], list[Tensor]], "list[tuple[Tensor, list[Made]]] | None"]
"""From the named arguments and the results of an operator to the operators of each result.

It gives None for arguments that it does not cover.
"""

SAME = frozenset(("alias", "clone", "contiguous", "detach", "dropout", "lift_fresh", "_to_copy"))
"""Operators whose result a file takes for their argument."""

CONSTANT = frozenset(("empty_like", "full_like", "ones_like", "zeros_like"))
"""Operators that look at a tensor's shape alone."""


def arguments(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an operator by their names, with its defaults."""
    named: dict[str, Any] = {}
    for index, one in enumerate(func._schema.arguments):
        named[one.name] = args[index] if index < len(args) else kwargs.get(one.name)
        if index >= len(args) and one.name not in kwargs and one.has_default_value():
            named[one.name] = one.default_value
    return named


def _ints(name: str, numbers: Sequence[int]) -> Attribute:
    return (name, INTS, tuple(int(one) for one in numbers))


def _int(name: str, number: int) -> Attribute:
    return (name, INT, int(number))


def _float(name: str, number: float) -> Attribute:
    return (name, FLOAT, float(np.float32(number)))


def _int64(numbers: Sequence[int]) -> np.ndarray:
    return np.array(list(numbers), np.int64)


def _only(made: list[Tensor], *chain: Made) -> list[tuple[Tensor, list[Made]]]:
    return [(made[0], list(chain))]


def _shape(one: Tensor) -> tuple[int, ...]:
    return tuple(one.shape)


def _convolution(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    weight = given["weight"]
    axes = weight.ndim - 2
    spread = {
        name: [*given[name]] * (axes if len(given[name]) == 1 else 1)
        for name in ("padding", "stride", "dilation", "output_padding")
    }
    attributes = [
        _ints("dilations", spread["dilation"]),
        _int("group", given["groups"]),
        _ints("pads", spread["padding"] * 2),
        _ints("strides", spread["stride"]),
    ]
    if given["transposed"]:
        attributes.append(_ints("output_padding", spread["output_padding"]))
    operands = (given["input"], weight, *([given["bias"]] if given["bias"] is not None else []))
    operator = "ConvTranspose" if given["transposed"] else "Conv"
    return _only(made, Made(operator, operands, _shape(made[0]), tuple(attributes)))


def _batch_norm(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    mean, variance = given["running_mean"], given["running_var"]
    if mean is None or given.get("training"):
        return None  # its statistics would come from the batch
    scale = given["weight"] if given["weight"] is not None else np.ones(len(mean), np.float32)
    shift = given["bias"] if given["bias"] is not None else np.zeros(len(mean), np.float32)
    operands = (given["input"], scale, shift, mean, variance)
    attributes = (_float("epsilon", given["eps"]),)
    return _only(made, Made("BatchNormalization", operands, _shape(made[0]), attributes))


def _layer_norm(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    axes = list(given["normalized_shape"])
    scale = given["weight"] if given["weight"] is not None else np.ones(axes, np.float32)
    shift = given["bias"] if given["bias"] is not None else np.zeros(axes, np.float32)
    attributes = (_int("axis", -len(axes)), _float("epsilon", given["eps"]))
    operands = (given["input"], scale, shift)
    return _only(made, Made("LayerNormalization", operands, _shape(made[0]), attributes))


def _pool(operator: str) -> Rule:
    def rule(given: Mapping[str, Any], made: list[Tensor]) -> Any:
        kernel = _pair(given["kernel_size"])
        attributes = [
            _int("ceil_mode", given["ceil_mode"]),
            _ints("kernel_shape", kernel),
            _ints("pads", _pair(given["padding"]) * 2),
            _ints("strides", _pair(given["stride"] or kernel)),
        ]
        if operator == "MaxPool":
            attributes.append(_ints("dilations", _pair(given["dilation"])))
        elif given["divisor_override"] is not None:
            return None
        else:
            attributes.append(_int("count_include_pad", given["count_include_pad"]))
        made_here = Made(operator, (given["self"],), _shape(made[0]), tuple(attributes))
        return _only(made[:1], made_here)

    return rule


def _pair(numbers: Sequence[int]) -> list[int]:
    return [*numbers] * (2 if len(numbers) == 1 else 1)


def _reduced(operator: str) -> Rule:
    def rule(given: Mapping[str, Any], made: list[Tensor]) -> Any:
        taken = given["self"]
        axes = given.get("dim")
        axes = [axes] if isinstance(axes, int) else axes or range(taken.ndim)
        attributes = (_int("keepdims", bool(given.get("keepdim"))),)
        operands = (taken, _int64(sorted(axis % taken.ndim for axis in axes)))
        return _only(made[:1], Made(operator, operands, _shape(made[0]), attributes))

    return rule


def _unary(operator: str, *names: tuple[str, str]) -> Rule:
    """A rule for a function of each element; `names`: of ONNX's attributes and torch's."""

    def rule(given: Mapping[str, Any], made: list[Tensor]) -> Any:
        attributes = tuple(_float(ours, given[theirs]) for ours, theirs in names)
        return _only(made, Made(operator, (_first(given),), _shape(made[0]), attributes))

    return rule


def _first(given: Mapping[str, Any]) -> Any:
    return given["self"] if "self" in given else given["input"]


def _binary(operator: str) -> Rule:
    def rule(given: Mapping[str, Any], made: list[Tensor]) -> Any:
        if given.get("alpha", 1) != 1 or given.get("rounding_mode"):
            return None
        other = given["other"]
        if not isinstance(other, Tensor):
            other = np.array(other, str(made[0].dtype).removeprefix("torch."))
        return _only(made, Made(operator, (given["self"], other), _shape(made[0])))

    return rule


def _compared(operator: str) -> Rule:
    def rule(given: Mapping[str, Any], made: list[Tensor]) -> Any:
        taken, other = given["self"], given["other"]
        if not isinstance(other, Tensor):
            if not taken.is_floating_point() and other != int(other):
                return None
            other = np.array(other, str(taken.dtype).removeprefix("torch."))
        elif other.dtype != taken.dtype:
            return None
        return _only(made, Made(operator, (taken, other), _shape(made[0])))

    return rule


def _both(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    if made[0].dtype != torch.bool:
        return None  # the bits of integers
    return _only(made, Made("And", (given["self"], given["other"]), _shape(made[0])))


def _either(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    operands = (given["condition"], given["self"], given["other"])
    if operands[1].dtype != operands[2].dtype:
        return None
    return _only(made, Made("Where", operands, _shape(made[0])))


def _clipped(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    low = given.get("min_val", given.get("min"))
    high = given.get("max_val", given.get("max"))
    if low is None or high is None:
        return None
    operands = (given["self"], np.array(low, np.float32), np.array(high, np.float32))
    return _only(made, Made("Clip", operands, _shape(made[0])))


def _hard_sigmoid(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    attributes = (_float("alpha", 1 / 6), _float("beta", 0.5))
    return _only(made, Made("HardSigmoid", (given["self"],), _shape(made[0]), attributes))


def _expanded(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    shape = _shape(made[0])
    return _only(made, Made("Expand", (given["self"], _int64(shape)), shape))


def _padded(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    # Torch has (before, after) of the last axis first; ONNX all before, then all after
    ends = np.zeros((2, made[0].ndim), np.int64)
    pairs = np.array(given["pad"], np.int64).reshape(-1, 2)[::-1]
    ends[:, made[0].ndim - len(pairs) :] = pairs.T
    value = np.array(given["value"], str(made[0].dtype).removeprefix("torch."))
    return _only(made, Made("Pad", (given["self"], ends.reshape(-1), value), _shape(made[0])))


def _silu(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    shape = _shape(made[0])
    gate = Made("Sigmoid", (given["self"],), shape)
    return _only(made, gate, Made("Mul", (given["self"], None), shape))


def _reshaped(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    shape = _shape(made[0])
    return _only(made, Made("Reshape", (given["self"], _int64(shape)), shape))


def _transposed(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    taken = given["self"]
    order = list(range(taken.ndim))
    if "dims" in given:
        order = [axis % taken.ndim for axis in given["dims"]]
    else:
        one, other = given.get("dim0", 0), given.get("dim1", taken.ndim - 1)
        order[one], order[other] = order[other], order[one]
    return _only(made, Made("Transpose", (taken,), _shape(made[0]), (_ints("perm", order),)))


def _joined(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    attributes = (_int("axis", given.get("dim", 0) % made[0].ndim),)
    return _only(made, Made("Concat", tuple(given["tensors"]), _shape(made[0]), attributes))


def _affine(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    if given["alpha"] != 1 or given["beta"] != 1:
        return None
    operands = (given["mat1"], given["mat2"], given["self"])
    return _only(made, Made("Gemm", operands, _shape(made[0])))


def _product(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    other = given["mat2"]
    return _only(made, Made("MatMul", (given["self"], other), _shape(made[0])))


def _embedding(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    operands = (given["weight"], given["indices"])
    return _only(made, Made("Gather", operands, _shape(made[0]), (_int("axis", 0),)))


def _shuffled(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    channels, groups = made[0].shape[1], given["groups"]
    order = np.arange(channels).reshape(groups, -1).T.reshape(-1)
    operands = (given.get("self", given.get("input")), order)
    return _only(made, Made("Gather", operands, _shape(made[0]), (_int("axis", 1),)))


def _sliced(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    taken, axis = given["self"], given["dim"] % given["self"].ndim
    start, end, step = slice(given["start"], given["end"], given["step"]).indices(taken.shape[axis])
    return _only(made, _slice(taken, axis, start, end, step, _shape(made[0])))


def _slice(
    taken: Tensor, axis: int, start: int, end: int, step: int, shape: tuple[int, ...]
) -> Made:
    numbers = (_int64([one]) for one in (start, end, axis, step))
    return Made("Slice", (taken, *numbers), shape)


def _split(given: Mapping[str, Any], made: list[Tensor]) -> Any:
    taken, axis, start = given["self"], given["dim"] % given["self"].ndim, 0
    found: list[tuple[Tensor, list[Made]]] = []
    for one in made:
        end = start + one.shape[axis]
        found.append((one, [_slice(taken, axis, start, end, 1, _shape(one))]))
        start = end
    return found


def _softmax(operator: str) -> Rule:
    def rule(given: Mapping[str, Any], made: list[Tensor]) -> Any:
        attributes = (_int("axis", given["dim"]),)
        return _only(made, Made(operator, (given["self"],), _shape(made[0]), attributes))

    return rule


RULES: dict[str, Rule] = {
    "_log_softmax": _softmax("LogSoftmax"),
    "_softmax": _softmax("Softmax"),
    "_unsafe_view": _reshaped,
    "add": _binary("Add"),
    "addmm": _affine,
    "amax": _reduced("ReduceMax"),
    "avg_pool2d": _pool("AveragePool"),
    "bitwise_and": _both,
    "bmm": _product,
    "cat": _joined,
    "channel_shuffle": _shuffled,
    "clamp": _clipped,
    "constant_pad_nd": _padded,
    "convolution": _convolution,
    "div": _binary("Div"),
    "elu": _unary("Elu", ("alpha", "alpha")),
    "embedding": _embedding,
    "exp": _unary("Exp"),
    "expand": _expanded,
    "ge": _compared("GreaterOrEqual"),
    "gelu": _unary("Gelu"),
    "hardsigmoid": _hard_sigmoid,
    "hardswish": _unary("HardSwish"),
    "hardtanh": _clipped,
    "leaky_relu": _unary("LeakyRelu", ("alpha", "negative_slope")),
    "log": _unary("Log"),
    "lt": _compared("Less"),
    "max_pool2d_with_indices": _pool("MaxPool"),
    "mean": _reduced("ReduceMean"),
    "mm": _product,
    "mul": _binary("Mul"),
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_channel_shuffle": _shuffled,
    "native_layer_norm": _layer_norm,
    "neg": _unary("Neg"),
    "permute": _transposed,
    "relu": _unary("Relu"),
    "sigmoid": _unary("Sigmoid"),
    "silu": _silu,
    "slice": _sliced,
    "split": _split,
    "split_with_sizes": _split,
    "sqrt": _unary("Sqrt"),
    "squeeze": _reshaped,
    "sub": _binary("Sub"),
    "sum": _reduced("ReduceSum"),
    "t": _transposed,
    "tanh": _unary("Tanh"),
    "transpose": _transposed,
    "unsqueeze": _reshaped,
    "view": _reshaped,
    "where": _either,
}
"""By the name of torch's operator; what works in place has the name without its last "_"."""
