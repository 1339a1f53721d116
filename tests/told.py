"""What files hold, in words that the decoder in web/ has too, so that the two can be compared."""

from __future__ import annotations

import math
import zlib

import numpy as np

from shoestring.artifact.format.file import Checkpoint, Content, Entries
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.tensors import ELEMENTS, Tensor


def crc(bits: np.ndarray) -> int:
    return zlib.crc32(bits.astype(bits.dtype.newbyteorder("<")).tobytes())


def told(content: Content | Entries | Checkpoint) -> dict:
    """A content as the decoder in web/ tells it, without what only the file knows (codings)."""
    tensors = [
        {
            "member": one.member,
            "element": one.element,
            "shape": list(one.bits.shape),
            "crc": crc(one.bits),
        }
        for one in content.tensors
    ]
    about = {"names": list(content.names), "notes": dict(content.notes)}
    if isinstance(content, Checkpoint):
        return {"tensors": tensors, "graph": None, "entries": None, **about}
    if isinstance(content, Entries):
        entries = {name: told_graph(graph) for name, graph in content.graphs.items()}
        return {"tensors": tensors, "graph": None, "entries": entries, **about}
    return {"tensors": tensors, "graph": told_graph(content.graph), "entries": None, **about}


def told_graph(graph: Graph) -> dict:
    nodes, next_value = [], len(graph.inputs) + graph.weights + len(graph.constants)
    for node in graph.nodes:
        outputs = [None if k in node.absent else next_value + k for k in range(node.outputs)]
        next_value += node.outputs
        attributes = {
            name: {"type": kind, "value": told_value(value)}
            for name, kind, value in node.attributes
        }
        nodes.append(
            {
                "operator": node.operator,
                "inputs": list(node.inputs),
                "outputs": outputs,
                "attributes": attributes,
            }
        )
    return {
        "opset": graph.opset,
        "inputs": [
            {"name": port.name, "element": port.element, "shape": list(port.shape)}
            for port in graph.inputs
        ],
        "constants": [told_value(constant) for constant in graph.constants],
        "nodes": nodes,
        "outputs": [
            {"name": port.name, "element": port.element, "value": value}
            for port, value in zip(graph.outputs, graph.results, strict=True)
        ],
        "arguments": told_tree(graph.arguments),
        "structure": told_tree(graph.structure),
    }


def told_value(value: object) -> object:
    if isinstance(value, Tensor):
        return {"element": value.element, "shape": list(value.bits.shape), "crc": crc(value.bits)}
    if isinstance(value, tuple | list):
        return [told_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
        return "-0"
    return value


def told_tree(tree: object) -> dict:
    if tree is None:
        return {"kind": "nothing"}
    if isinstance(tree, int):
        return {"kind": "tensor", "index": tree}
    if isinstance(tree, dict):
        return {
            "kind": "dictionary",
            "items": [[key, told_tree(item)] for key, item in tree.items()],
        }
    assert isinstance(tree, tuple | list)
    return {
        "kind": "tuple" if isinstance(tree, tuple) else "list",
        "items": [told_tree(item) for item in tree],
    }


def stripped(line: dict) -> dict:
    """A line of the decoder in web/ in the same words as `told`."""
    assert "tensors" in line, line
    numbers = {name: number for number, (name, _) in ELEMENTS.items()}
    tensors = [
        {"element": numbers[one["type"]], **{key: one[key] for key in ("member", "shape", "crc")}}
        for one in line["tensors"]
    ]
    for graph in filter(None, [line["graph"], *(line["entries"] or {}).values()]):
        for port in graph["inputs"] + graph["outputs"]:
            assert numbers[port.pop("type")] == port["element"]
    return {
        "tensors": tensors,
        "graph": line["graph"],
        "entries": line["entries"],
        "names": line["names"],
        "notes": line["notes"],
    }
