"""An exported ONNX graph that is rewritten in place, with an index of its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class EditableGraph:
    """The body of an ONNX model, whose first inputs are the weights.

    `body`: the graph, which is changed in place; call `index()` after each change of its nodes.
    `weights`: the values of its first inputs, in their order.
    `weight_indices`: the index of each weight, by the name of its input.
    `makers`: the node that computes each value. `users`: the nodes that take each value.
    """

    def __init__(self, body: onnx.GraphProto, weights: list[np.ndarray]) -> None:
        self.body, self.weights = body, weights
        self.weight_indices = {
            port.name: index for index, port in enumerate(body.input[: len(weights)])
        }
        self.constants = {constant.name: constant for constant in body.initializer}
        self.index()

    def index(self) -> None:
        """Find the maker and the users of each value again."""
        self.makers = {name: node for node in self.body.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.body.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def nodes(self, *operators: str) -> list[onnx.NodeProto]:
        """The nodes with one of these operators, as a list of its own."""
        return [node for node in self.body.node if node.op_type in operators]

    def value(self, name: str) -> np.ndarray | None:
        """The value of a weight or a constant; None for what only running the graph computes."""
        if name in self.weight_indices:
            return self.weight(name)
        if name in self.constants:
            return numpy_helper.to_array(self.constants[name])
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "Constant":
            return numpy_helper.to_array(helper.get_attribute_value(maker.attribute[0]))  # type: ignore[arg-type]
        return None

    def weight(self, name: str) -> np.ndarray:
        """The value of the weight with this name."""
        return self.weights[self.weight_indices[name]]

    def only_user(self, name: str) -> onnx.NodeProto | None:
        """The node that takes a value, where there is exactly one."""
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 else None

    def channels(self, name: str) -> int:
        """The channels of a value of shape (N, C, H, W); 0 where they are not known."""
        for port in (*self.body.value_info, *self.body.input):
            sizes = port.type.tensor_type.shape.dim
            if port.name == name and len(sizes) == 4:
                return sizes[1].dim_value
        return 0

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant to the graph and return its name."""
        self.body.initializer.append(numpy_helper.from_array(value, name))
        return name

    def dequantize(self, name: str, output: str, scale: np.ndarray, axis: int) -> None:
        """Append a node that gives `output`, the signed integers of value `name` times their scale.

        `scale`: one number, or one for each index along `axis`.
        """
        scale = scale.reshape(-1) if scale.size > 1 else scale.reshape(())
        factors = self.add_constant(f"{output}.scale", scale.astype(np.float32))
        zero = self.add_constant(f"{output}.zero", np.zeros(scale.shape, np.int8))
        keywords: dict[str, Any] = {"axis": axis} if scale.size > 1 else {}
        self.body.node.append(
            helper.make_node("DequantizeLinear", [name, factors, zero], [output], **keywords)
        )

    def sort(self) -> None:
        """Put each node after those that compute what it takes."""
        made = {name for node in self.body.node for name in node.output}
        waiting, ordered, ready = list(self.body.node), list[onnx.NodeProto](), set[str]()
        while waiting:
            later: list[onnx.NodeProto] = []
            for node in waiting:
                if all(name not in made or name in ready for name in node.input):
                    ordered.append(node)
                    ready.update(node.output)
                else:
                    later.append(node)
            waiting = later
        del self.body.node[:]
        self.body.node.extend(ordered)
