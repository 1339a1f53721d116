"""From rounded numbers to whole ones: an exported graph whose layers read integers where they may.

The exporter writes activations on grids as QuantizeLinear and DequantizeLinear; here the weights
that such layers take become integers with a DequantizeLinear of their own, and their biases 32-bit
ones, which is what runtimes look for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shoestring.kit.quantised.integers import Integers

_PRODUCTS = ("Conv", "Gemm", "MatMul")
_MOVING = ("MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""What gives nothing but numbers that it was given, and is known by runtimes to."""


def lower(
    proto: onnx.ModelProto, weights: list[np.ndarray], steps: Mapping[int, np.ndarray]
) -> dict[int, Integers]:
    """Rewrite the graph in place.

    Which of its first inputs, the weights, are to be given as whole numbers.
    `weights` are the values of these inputs, `steps` those of `steps_of`.
    """
    graph = _Graph(proto, weights)
    graph.drop_activations()
    graph.average()
    graph.shortcuts()
    found = graph.integers(steps)
    graph.drop_repetitions()
    return found


class _Graph:
    def __init__(self, proto: onnx.ModelProto, weights: list[np.ndarray]) -> None:
        self.body = proto.graph
        self.places = {one.name: place for place, one in enumerate(self.body.input[: len(weights)])}
        self.weights = weights
        self.constants = {one.name: one for one in self.body.initializer}
        self.index()

    def index(self) -> None:
        """Who makes each value, and who takes it."""
        self.makers = {name: node for node in self.body.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.body.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def value(self, name: str) -> np.ndarray | None:
        """What is known of a value before the graph runs."""
        if name in self.places:
            return self.weights[self.places[name]]
        if name in self.constants:
            return numpy_helper.to_array(self.constants[name])
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "Constant":
            return numpy_helper.to_array(helper.get_attribute_value(maker.attribute[0]))  # type: ignore[arg-type]
        return None

    # -- activations

    def drop_activations(self) -> None:
        """Leave out what a grid does by itself: it ends where a Relu or Clip would."""
        for node in [one for one in self.body.node if one.op_type in ("Relu", "Clip")]:
            takers = self.users.get(node.output[0], [])
            if takers and all(
                taker.op_type == "QuantizeLinear" and self._ends_there(node, taker)
                for taker in takers
            ):
                for taker in takers:
                    taker.input[0] = node.input[0]
                self.body.node.remove(node)
                self.index()

    def _ends_there(self, activation: onnx.NodeProto, rounding: onnx.NodeProto) -> bool:
        step, zero = self.value(rounding.input[1]), self.value(rounding.input[2])
        if step is None or zero is None or zero.any():
            return False
        if activation.op_type == "Relu":
            return True
        low, high = (
            self.value(name) if name else None for name in (*activation.input[1:3], "", "")[:2]
        )
        return (
            low is not None
            and high is not None
            and float(low) == 0
            and float(step) * 255 <= float(high) * (1 + 1e-6)
        )

    def _taker(self, name: str) -> onnx.NodeProto | None:
        """The only node that takes a value."""
        takers = self.users.get(name, [])
        return takers[0] if len(takers) == 1 else None

    def average(self) -> None:
        """Means over all of an image are pools, for which runtimes have kernels for whole numbers."""
        for node in [one for one in self.body.node if one.op_type == "ReduceMean"]:
            axes = self.value(node.input[1]) if len(node.input) > 1 else None
            before, after = self.makers.get(node.input[0]), self._taker(node.output[0])
            if axes is None or sorted(axes.reshape(-1).tolist()) not in ([2, 3], [-2, -1]):
                continue
            if (
                before is None
                or before.op_type != "DequantizeLinear"
                or after is None
                or after.op_type != "QuantizeLinear"
            ):
                continue
            if not self._channels(node.input[0]):  # not an image
                continue
            keeps = next((one.i for one in node.attribute if one.name == "keepdims"), 1)
            pooled, output = f"{node.output[0]}.pooled", node.output[0]
            place = list(self.body.node).index(node)
            self.body.node.remove(node)
            made = [
                helper.make_node(
                    "GlobalAveragePool", [node.input[0]], [output if keeps else pooled]
                )
            ]
            if not keeps:
                made += [
                    helper.make_node(
                        "QuantizeLinear", [pooled, *after.input[1:]], [f"{pooled}.whole"]
                    ),
                    helper.make_node(
                        "DequantizeLinear",
                        [f"{pooled}.whole", *after.input[1:]],
                        [f"{pooled}.number"],
                    ),
                    helper.make_node("Flatten", [f"{pooled}.number"], [output], axis=1),
                ]
            for step, one in enumerate(made):
                self.body.node.insert(place + step, one)
            self.index()

    def shortcuts(self) -> None:
        """Every so many pixels, and channels of zeros after the others.

        A convolution with an identity, which is exact.
        """
        for pad in [one for one in self.body.node if one.op_type == "Pad"]:
            after = self._taker(pad.output[0])
            wide = self.value(pad.input[1])
            if (
                after is None
                or after.op_type != "QuantizeLinear"
                or wide is None
                or len(wide) != 8
                or wide[[0, 1, 2, 3, 4, 6, 7]].any()
            ):
                continue
            filled = (
                self.value(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
            )
            if filled is None or filled.any():
                continue
            value, strides = pad.input[0], {2: 1, 3: 1}
            while (source := self._unsliced(value, list(after.input[1:]), strides)) is not None:
                value = source
            channels = self._channels(value)
            if value == pad.input[0] or not channels:
                continue
            weight = np.eye(channels + int(wide[5]), channels, dtype=np.int8)[:, :, None, None]
            name = f"{pad.output[0]}.identity"
            self.body.initializer.append(numpy_helper.from_array(weight, name))
            self._add(f"{name}.number", name, np.ones((), np.float32), 0)
            new = helper.make_node(
                "Conv", [value, f"{name}.number"], [pad.output[0]], strides=[strides[2], strides[3]]
            )
            self.body.node.remove(pad)
            self.body.node.append(new)
            _in_order(self.body)
            self.index()

    def _unsliced(self, value: str, grid: list[str], strides: dict[int, int]) -> str | None:
        """What a value was taken from, by rounding to the grid that it is on or by taking every so
        many of an axis.
        """
        maker = self.makers.get(value)
        if maker is None:
            return None
        if maker.op_type == "DequantizeLinear" and list(maker.input[1:]) == grid:
            whole = self.makers.get(maker.input[0])
            sliced = self.makers.get(whole.input[0]) if whole is not None else None
            return (
                whole.input[0]
                if whole is not None and sliced is not None and sliced.op_type == "Slice"
                else None
            )
        if maker.op_type != "Slice" or len(maker.input) < 5:
            return None
        values = [one for one in map(self.value, maker.input[1:5]) if one is not None]
        if len(values) < 4 or any(one.size != 1 for one in values):
            return None
        start, end, axis, step = (one.item() for one in values)
        if start != 0 or end < 1 << 31 or axis not in strides or step < 1:
            return None
        strides[axis] *= step
        return maker.input[0]

    def _channels(self, value: str) -> int:
        """How many channels a value has, 0 where that is not known."""
        for one in (*self.body.value_info, *self.body.input):
            dims = one.type.tensor_type.shape.dim
            if one.name == value and len(dims) == 4:
                return dims[1].dim_value
        return 0

    def drop_repetitions(self) -> None:
        """Leave out rounding to the grid that a value is on already.

        OpenVINO would do it, number by number.
        """
        self.index()
        for rounding in [one for one in self.body.node if one.op_type == "QuantizeLinear"]:
            source = self.makers.get(rounding.input[0])
            while source is not None and source.op_type in _MOVING:
                source = self.makers.get(source.input[0])
            if (
                source is None
                or source.op_type != "DequantizeLinear"
                or source.input[1:] != rounding.input[1:]
            ):
                continue
            if any(
                number.output[0] == one.name
                for number in self.users[rounding.output[0]]
                for one in self.body.output
            ):
                continue
            for number in self.users[rounding.output[0]]:
                for user in self.users.get(number.output[0], []):
                    for place, name in enumerate(user.input):
                        if name == number.output[0]:
                            user.input[place] = rounding.input[0]
                self.body.node.remove(number)
            self.body.node.remove(rounding)
            self.index()

    # -- weights

    def integers(self, steps: Mapping[int, np.ndarray]) -> dict[int, Integers]:
        """Have layers whose activations are on grids take their weights as integers."""
        found: dict[int, Integers] = {}
        layers = [
            node
            for node in self.body.node
            if node.op_type in _PRODUCTS and self._step_of_input(node) is not None
        ]
        for place, step in steps.items():
            name = self.body.input[place].name
            if step.ndim == 2 and step.shape[1] > 1:
                self._group(name, step)
                found[place] = Integers(step)
                continue
            ends = self._ends(name)
            if any(self._too_large(node, step) for _, node in ends):
                continue
            if not ends or not all(node in layers and node.input[1] == at for at, node in ends):
                continue  # something else takes it too: it stays a number for all
            for at, node in ends:
                output = self._dequantise(node, 1, name, at, step)
                self._bias(node, f"{output}.step")
            self.body.input[place].type.tensor_type.elem_type = TensorProto.INT8
            self._retype(name)
            found[place] = Integers(step)
        _in_order(self.body)
        return found

    def _group(self, name: str, step: np.ndarray) -> None:
        """Multiply a matrix of whole numbers by the steps of its groups.

        Runtimes do it once, when they load the file.
        """
        rows, columns = self.weights[self.places[name]].shape
        constants = {
            "step": step[:, :, None],
            "groups": np.array([rows, step.shape[1], columns // step.shape[1]]),
            "whole": np.array([rows, columns]),
        }
        self.body.initializer.extend(
            numpy_helper.from_array(one, f"{name}.{kind}") for kind, one in constants.items()
        )
        for node in self.users.get(name, []):
            for place, one in enumerate(node.input):
                if one == name:
                    node.input[place] = f"{name}.number"
        self.body.node.extend(
            [
                helper.make_node("Reshape", [name, f"{name}.groups"], [f"{name}.grouped"]),
                helper.make_node(
                    "Cast", [f"{name}.grouped"], [f"{name}.float"], to=TensorProto.FLOAT
                ),
                helper.make_node("Mul", [f"{name}.float", f"{name}.step"], [f"{name}.scaled"]),
                helper.make_node(
                    "Reshape", [f"{name}.scaled", f"{name}.whole"], [f"{name}.number"]
                ),
            ]
        )
        self.body.input[self.places[name]].type.tensor_type.elem_type = TensorProto.INT8

    def _step_of_input(self, node: onnx.NodeProto) -> np.ndarray | None:
        maker = self.makers.get(node.input[0])
        return (
            self.value(maker.input[1])
            if maker is not None and maker.op_type == "DequantizeLinear"
            else None
        )

    def _ends(self, name: str) -> list[tuple[str, onnx.NodeProto]]:
        """The (value, node) pairs in which a weight, transposed or not, is used."""
        found: list[tuple[str, onnx.NodeProto]] = []
        for node in self.users.get(name, []):
            found += self._ends(node.output[0]) if node.op_type == "Transpose" else [(name, node)]
        return found

    def _dequantise(
        self, node: onnx.NodeProto, place: int, name: str, at: str, step: np.ndarray
    ) -> str:
        """Put the pair of a whole number and its step between a weight and a node.

        Returns what they make.
        """
        output = f"{at}.{node.output[0]}.number"
        axis = 0
        if step.size > 1:
            transposed = self.makers.get(at)
            if transposed is not None and transposed.op_type == "Transpose":
                order = next((list(a.ints) for a in transposed.attribute if a.name == "perm"), None)
                axis = order.index(0) if order else len(self.weights[self.places[name]].shape) - 1
        self._add(output, at, step, axis)
        node.input[place] = output
        return output

    def _add(self, output: str, value: str, step: np.ndarray, axis: int) -> None:
        scale = step.reshape(-1) if step.size > 1 else step.reshape(())
        constant = numpy_helper.from_array(scale.astype(np.float32), f"{output}.step")
        self.body.initializer.append(constant)
        zero = numpy_helper.from_array(np.zeros(scale.shape, np.int8), f"{output}.zero")
        self.body.initializer.append(zero)
        keywords: dict[str, Any] = {"axis": axis} if step.size > 1 else {}
        self.body.node.append(
            helper.make_node(
                "DequantizeLinear", [value, constant.name, zero.name], [output], **keywords
            )
        )

    def _too_large(self, node: onnx.NodeProto, step: np.ndarray) -> bool:
        """Whether a bias is no whole number of 32 bits, in units of the sums that it is added to."""
        bias = self.value(node.input[2]) if len(node.input) > 2 else None
        unit = self._step_of_input(node)
        if bias is None or unit is None or bias.ndim != 1:
            return False
        sizes = step.reshape(-1).astype(np.float64) * float(unit)
        return (
            bool((np.abs(bias) > sizes * 2.0**31 * 0.99).any())
            if sizes.size in (1, bias.size)
            else False
        )

    def _bias(self, node: onnx.NodeProto, step: str) -> None:
        """Have a bias rounded to units of the sums that it is added to.

        Runtimes do it once, when they load the file.
        """
        if (
            len(node.input) < 3
            or node.input[2] not in self.places
            or self.weights[self.places[node.input[2]]].ndim != 1
        ):
            return
        name, channels = node.input[2], len(self.weights[self.places[node.input[2]]])
        made = f"{name}.{node.output[0]}"
        zero = numpy_helper.from_array(np.zeros(channels, np.int32), f"{made}.zero")
        zeros = numpy_helper.from_array(np.zeros(channels, np.float32), f"{made}.zeros")
        self.body.initializer.extend([zero, zeros])
        unit = self.makers[node.input[0]].input[1]
        self.body.node.extend(
            [
                helper.make_node("Mul", [unit, step], [f"{made}.product"]),
                helper.make_node(
                    "Add", [f"{made}.product", zeros.name], [f"{made}.step"]
                ),  # one for each, of one for all
                helper.make_node("Div", [name, f"{made}.step"], [f"{made}.ratio"]),
                helper.make_node("Round", [f"{made}.ratio"], [f"{made}.rounded"]),
                helper.make_node(
                    "Cast", [f"{made}.rounded"], [f"{made}.whole"], to=TensorProto.INT32
                ),
                helper.make_node(
                    "DequantizeLinear",
                    [f"{made}.whole", f"{made}.step", zero.name],
                    [f"{made}.number"],
                    axis=0,
                ),
            ]
        )
        node.input[2] = f"{made}.number"

    def _retype(self, name: str) -> None:
        for node in self.users.get(name, []):
            if node.op_type == "Transpose":
                for one in self.body.value_info:
                    if one.name == node.output[0]:
                        one.type.tensor_type.elem_type = TensorProto.INT8


def _in_order(body: onnx.GraphProto) -> None:
    """Nodes after those that make what they take."""
    made = {name for node in body.node for name in node.output}
    waiting, ordered, ready = list(body.node), list[onnx.NodeProto](), set[str]()
    while waiting:
        later: list[onnx.NodeProto] = []
        for node in waiting:
            if all(name not in made or name in ready for name in node.input):
                ordered.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        waiting = later
    del body.node[:]
    body.node.extend(ordered)
