"""Inline the branches of an ONNX graph whose condition is known before the graph runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def with_fixed(model: onnx.ModelProto, fixed: Mapping[str, Any], path: Path) -> None:
    """Make inputs constants, and axes that vary fixed, in place.

    `fixed`: values of inputs, and lengths of axes, by name.
    `path`: of the file, for errors.
    Raises ValueError for a name that is neither, and for values that do not fit.
    """
    ports = {port.name: port for port in model.graph.input}
    axes: dict[str, list[Any]] = {}
    for port in (*model.graph.input, *model.graph.output):
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            axes.setdefault(dim.dim_param or f"{port.name}.{axis}", []).append(dim)
    for name, value in fixed.items():
        if name in ports:
            model.graph.initializer.append(
                numpy_helper.from_array(_fitting(ports[name], value, path), name)
            )
            model.graph.input.remove(ports[name])
        elif name in axes:
            for dim in axes[name]:
                dim.dim_value = int(value)
        else:
            raise ValueError(
                f"{path} has no input {name!r}: it has {', '.join(ports)}, with the axes "
                f"{', '.join(axes) or '(none)'}"
            )
    if fixed:
        del model.graph.value_info[:]  # shapes that were inferred before are out of date


def _fitting(port: onnx.ValueInfoProto, value: Any, path: Path) -> np.ndarray:
    """The value in an input's type and shape; raises ValueError where it does not fit."""
    kind = port.type.tensor_type
    array = np.asarray(value).astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    sizes = [dim.dim_value for dim in kind.shape.dim]
    if array.size == 1 and len(sizes) != array.ndim:
        array = array.reshape([1] * len(sizes))
    if array.ndim != len(sizes) or any(
        want and want != have for want, have in zip(sizes, array.shape, strict=True)
    ):
        raise ValueError(
            f"the input {port.name!r} was given shape {list(array.shape)}, and {path} wants "
            f"{sizes} (0: any)"
        )
    return array


def inline_branches(model: onnx.ModelProto) -> None:
    """Replace each If whose condition is a constant by the branch that is taken, in place.

    The same is done inside the branches.
    """
    while True:
        nodes = [
            node
            for node in model.graph.node
            if node.op_type == "If" and node.domain in ("", "ai.onnx")
        ]
        if not nodes:
            return
        known = _Known(model)
        taken = [
            (node, value) for node in nodes if (value := known.value(node.input[0])) is not None
        ]
        if not taken:
            return
        for turn, (node, value) in enumerate(taken):
            _inline(
                model.graph,
                node,
                bool(value.reshape(-1)[0]),
                f"{node.name or 'if'}.{len(model.graph.node)}.{turn}.",
            )


_LARGE = ("ConstantOfShape", "EyeLike", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile")
"""Operators with large outputs from small inputs: they are not run for a condition."""


class _Known:
    """The values of a graph that are known before it runs."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.shapes = self._shapes()
        self._pending: set[str] = set()

    def _shapes(self) -> dict[str, list[int | None]]:
        """The shapes of values; None for an axis that varies."""
        try:
            inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        except Exception:  # a graph with a wrong shape runs all the same
            inferred = self.graph
        shapes: dict[str, list[int | None]] = {}
        for value in (*inferred.input, *inferred.value_info):
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape"):
                shapes[value.name] = [
                    dim.dim_value if dim.WhichOneof("value") == "dim_value" else None
                    for dim in dims
                ]
        return shapes

    def value(self, name: str) -> np.ndarray | None:
        """The value of a name; None where it depends on an input."""
        nodes: list[onnx.NodeProto] = []
        tensors: dict[str, onnx.TensorProto] = {}
        if not self._collect(name, nodes, tensors, set()):
            return None
        body = helper.make_graph(
            nodes,
            "known",
            [],
            [helper.make_value_info(name, onnx.TypeProto())],
            list(tensors.values()),
        )
        known = helper.make_model(
            body, opset_imports=list(self.model.opset_import), ir_version=self.model.ir_version
        )
        from onnx.reference import ReferenceEvaluator

        results: Any = ReferenceEvaluator(known).run([name], {})
        return np.asarray(results[0])

    def _collect(
        self,
        name: str,
        nodes: list[onnx.NodeProto],
        tensors: dict[str, onnx.TensorProto],
        seen: set[str],
    ) -> bool:
        """Collect the nodes and tensors of a value, in an order that runs.

        Returns whether it depends on constants alone.
        """
        if not name or name in seen or name in tensors:
            return True
        if name in self._pending:  # it depends on itself
            return False
        if name in self.constants:
            tensors[name] = self.constants[name]
            return True
        node = self.makers.get(name)
        if (
            node is None
            or any(attribute.type in GRAPHS for attribute in node.attribute)
            or node.domain not in ("", "ai.onnx")
        ):
            return False
        if (size := self._size(node)) is not None:
            tensors[name] = numpy_helper.from_array(size, name)
            return True
        if node.op_type.startswith("Random") or node.op_type in _LARGE:
            return False
        self._pending.add(name)
        try:
            if not all(
                self._collect(name_of_input, nodes, tensors, seen) for name_of_input in node.input
            ):
                return False
        finally:
            self._pending.discard(name)
        seen.update(node.output)
        nodes.append(node)
        return True

    def _size(self, node: onnx.NodeProto) -> np.ndarray | None:
        """A shape, its length, or sizes gathered from it, where the axes are fixed.

        None where the node computes something else.
        """
        shape_node = self.makers.get(node.input[0]) if node.op_type in ("Gather", "Size") else node
        if (
            shape_node is None
            or shape_node.op_type != "Shape"
            or shape_node.attribute
            or shape_node.input[0] not in self.shapes
        ):
            return None
        sizes = np.array(self.shapes[shape_node.input[0]], object)
        if node.op_type == "Size":
            return np.array(len(sizes), np.int64)
        if node is not shape_node:
            indices = self.value(node.input[1])
            if indices is None or (indices >= len(sizes)).any() or (indices < -len(sizes)).any():
                return None
            sizes = np.asarray(sizes[indices], object)
        return (
            sizes.astype(np.int64) if all(size is not None for size in sizes.reshape(-1)) else None
        )


def _inline(graph: onnx.GraphProto, node: onnx.NodeProto, condition: bool, prefix: str) -> None:
    wanted = "then_branch" if condition else "else_branch"
    branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
    own = {name for inner in branch.node for name in inner.output if name} | {
        tensor.name for tensor in branch.initializer
    }
    renamed = {name: f"{prefix}{name}" for name in own}
    for tensor in branch.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = renamed[tensor.name]
    copies: list[onnx.NodeProto] = []
    for inner in branch.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(inner)
        _rename(copy, renamed)
        copies.append(copy)
    for result, outer in zip(branch.output, node.output, strict=False):
        if outer:
            copies.append(
                helper.make_node("Identity", [renamed.get(result.name, result.name)], [outer])
            )
    nodes = list(graph.node)
    index = next(
        number for number, known in enumerate(nodes) if known is node or known.output == node.output
    )
    nodes[index : index + 1] = copies
    kept = [onnx.NodeProto.FromString(known.SerializeToString()) for known in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _rename(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    """Rename the inputs and outputs of a node, in graphs within it too."""
    for names in (node.input, node.output):
        names[:] = [renamed.get(name, name) for name in names]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in GRAPHS else ():
            for inner in graph.node:
                own = {name for maker in graph.node for name in maker.output} | {
                    tensor.name for tensor in graph.initializer
                }
                _rename(inner, {old: new for old, new in renamed.items() if old not in own})
            for output in graph.output:
                output.name = renamed.get(output.name, output.name)
