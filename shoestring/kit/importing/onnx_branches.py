"""Branches of an ONNX graph whose condition is known before anything is computed.

The one taken is put in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def with_fixed(model: onnx.ModelProto, fixed: Mapping[str, Any], path: Path) -> None:
    """Make inputs constants, or axes that vary of one length, in place.

    Raises ValueError for a name of neither, and for values that do not fit.
    """
    ports = {one.name: one for one in model.graph.input}
    axes: dict[str, list[Any]] = {}
    for one in (*model.graph.input, *model.graph.output):
        for place, dim in enumerate(one.type.tensor_type.shape.dim):
            axes.setdefault(dim.dim_param or f"{one.name}.{place}", []).append(dim)
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
            also = ", ".join(axes)
            raise ValueError(
                f"{path} has no input {name!r}: it has {', '.join(ports)}, with the axes "
                f"{also or '(none)'}"
            )
    if fixed:
        del model.graph.value_info[:]  # what was inferred before may be open where it is known now


def _fitting(port: onnx.ValueInfoProto, value: Any, path: Path) -> np.ndarray:
    kind = port.type.tensor_type
    array = np.asarray(value).astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    sizes = [one.dim_value for one in kind.shape.dim]
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
    """Put the branch that is taken in place of each If whose condition is a constant, in place,
    those within it too.
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
"""What makes much of little: no condition is worth that."""


class _Known:
    """What is known of a graph's values before it runs."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.constants = {one.name: one for one in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.shapes = self._shapes()
        self._asked: set[str] = set()

    def _shapes(self) -> dict[str, list[int | None]]:
        """Shapes, None for an axis that is open."""
        try:
            inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        except Exception:  # a graph that says something wrong of a shape runs all the same
            inferred = self.graph
        found: dict[str, list[int | None]] = {}
        for one in (*inferred.input, *inferred.value_info):
            dims = one.type.tensor_type.shape.dim
            if one.type.tensor_type.HasField("shape"):
                found[one.name] = [
                    dim.dim_value if dim.WhichOneof("value") == "dim_value" else None
                    for dim in dims
                ]
        return found

    def value(self, name: str) -> np.ndarray | None:
        """A value; None where it depends on an input."""
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
        """Gather what a value is made of, in an order that runs; whether that is constants alone."""
        if not name or name in seen or name in tensors:
            return True
        if name in self._asked:  # it is made of itself
            return False
        if name in self.constants:
            tensors[name] = self.constants[name]
            return True
        node = self.makers.get(name)
        if (
            node is None
            or any(one.type in GRAPHS for one in node.attribute)
            or node.domain not in ("", "ai.onnx")
        ):
            return False
        if (size := self._size(node)) is not None:
            tensors[name] = numpy_helper.from_array(size, name)
            return True
        if node.op_type.startswith("Random") or node.op_type in _LARGE:
            return False
        self._asked.add(name)
        try:
            if not all(self._collect(one, nodes, tensors, seen) for one in node.input):
                return False
        finally:
            self._asked.discard(name)
        seen.update(node.output)
        nodes.append(node)
        return True

    def _size(self, node: onnx.NodeProto) -> np.ndarray | None:
        """A shape, its length, or sizes gathered from it, of axes that are not open.

        None where the node gives something else.
        """
        before = self.makers.get(node.input[0]) if node.op_type in ("Gather", "Size") else node
        if (
            before is None
            or before.op_type != "Shape"
            or before.attribute
            or before.input[0] not in self.shapes
        ):
            return None
        sizes = np.array(self.shapes[before.input[0]], object)
        if node.op_type == "Size":
            return np.array(len(sizes), np.int64)
        if node is not before:
            places = self.value(node.input[1])
            if places is None or (places >= len(sizes)).any() or (places < -len(sizes)).any():
                return None
            sizes = np.asarray(sizes[places], object)
        return sizes.astype(np.int64) if all(one is not None for one in sizes.reshape(-1)) else None


def _inline(graph: onnx.GraphProto, node: onnx.NodeProto, condition: bool, prefix: str) -> None:
    wanted = "then_branch" if condition else "else_branch"
    branch = next(one.g for one in node.attribute if one.name == wanted)
    own = {name for one in branch.node for name in one.output if name} | {
        one.name for one in branch.initializer
    }
    renamed = {name: f"{prefix}{name}" for name in own}
    for one in branch.initializer:
        graph.initializer.add().CopyFrom(one)
        graph.initializer[-1].name = renamed[one.name]
    made: list[onnx.NodeProto] = []
    for one in branch.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(one)
        _rename(copy, renamed)
        made.append(copy)
    for inner, outer in zip(branch.output, node.output, strict=False):
        if outer:
            made.append(
                helper.make_node("Identity", [renamed.get(inner.name, inner.name)], [outer])
            )
    nodes = list(graph.node)
    place = next(at for at, one in enumerate(nodes) if one is node or one.output == node.output)
    nodes[place : place + 1] = made
    kept = [onnx.NodeProto.FromString(one.SerializeToString()) for one in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _rename(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    """The names that a node takes and gives, those that the graphs within it take too."""
    for names in (node.input, node.output):
        names[:] = [renamed.get(name, name) for name in names]
    for one in node.attribute:
        for graph in (one.g, *one.graphs) if one.type in GRAPHS else ():
            for inner in graph.node:
                own = {name for other in graph.node for name in other.output} | {
                    other.name for other in graph.initializer
                }
                _rename(inner, {old: new for old, new in renamed.items() if old not in own})
            for output in graph.output:
                output.name = renamed.get(output.name, output.name)
