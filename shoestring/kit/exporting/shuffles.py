"""Shuffles of channels are written as one operator, and moved into the operator that splits them.

A module shuffles channels by a reshape, a transpose and a reshape. ONNX Runtime copies the values
in the second, and each of the three costs the start of an operator, which in ShuffleNet, with its
small layers, is a large part of the time of one image. The graph is changed in place; its results
stay the same, bit for bit.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from shoestring.kit.exporting.editable_graph import EditableGraph


def gather_shuffled(graph: EditableGraph) -> None:
    """Turn shuffles of channels into a Gather along the channels, or into one for each part.

    Where only a Split takes what was shuffled, each of its parts is gathered directly.
    """
    results = {port.name for port in graph.body.output}
    for transpose in graph.nodes("Transpose"):
        found = _shuffle(graph, transpose)
        if found is None:
            continue
        grouping, joining, groups = found
        graph.body.node.remove(joining)
        graph.body.node.remove(transpose)
        if graph.only_user(grouping.output[0]) is transpose:
            graph.body.node.remove(grouping)
        # What is also a result of the model is still needed whole.
        whole = joining.output[0] in results
        split = None if whole else graph.only_user(joining.output[0])
        ends = _ends(graph, split, joining.output[0], groups[0] * groups[1])
        made = [joining.output[0]]
        if split is not None and ends:
            graph.body.node.remove(split)
            made = list(split.output)
        orders = _orders(graph, groups, ends if ends else [groups[0] * groups[1]])
        for output, order in zip(made, orders, strict=True):
            inputs = [grouping.input[0], order]
            graph.body.node.append(helper.make_node("Gather", inputs, [output], axis=1))
        graph.sort()
        graph.index()


def _shuffle(
    graph: EditableGraph, transpose: onnx.NodeProto
) -> tuple[onnx.NodeProto, onnx.NodeProto, tuple[int, int]] | None:
    """The reshapes before and after a transpose, and (how many groups, of how many channels each).

    None where the three do something else than to shuffle channels, or where the sizes are known
    only when the graph runs.
    """
    grouping, joining = graph.makers.get(transpose.input[0]), graph.only_user(transpose.output[0])
    if grouping is None or joining is None:
        return None
    if (grouping.op_type, joining.op_type) != ("Reshape", "Reshape"):
        return None
    results = {port.name for port in graph.body.output}
    if {transpose.output[0], grouping.output[0]} & results:
        return None
    grouped, joined = graph.value(grouping.input[1]), graph.value(joining.input[1])
    sizes = _sizes(graph, grouping.input[0])
    permutation = next((list(item.ints) for item in transpose.attribute if item.name == "perm"), [])
    if grouped is None or joined is None or len(sizes) < 3:
        return None
    groups, rest = grouped[1:3].tolist(), sizes[2:]
    if permutation != [0, 2, 1, *range(3, len(sizes) + 1)]:
        return None
    # -1 and 0 stand for the batch; all other axes must be as they were.
    if not _keeps_batch(sizes[0], int(grouped[0])) or not _keeps_batch(sizes[0], int(joined[0])):
        return None
    if min(sizes[1:]) < 1 or groups[0] * groups[1] != sizes[1] or min(groups) < 1:
        return None
    if grouped[3:].tolist() != rest or joined[1:].tolist() != sizes[1:]:
        return None
    return grouping, joining, (groups[0], groups[1])


def _keeps_batch(before: int, after: int) -> bool:
    """Whether a first size of a reshape leaves the first axis as it is, where the others are."""
    return after in (-1, 0) or before == after


def _sizes(graph: EditableGraph, name: str) -> list[int]:
    """The sizes of a value; 0 for those that vary, and an empty list where they are not known."""
    for port in (*graph.body.value_info, *graph.body.input):
        if port.name == name and port.type.tensor_type.HasField("shape"):
            return [size.dim_value for size in port.type.tensor_type.shape.dim]
    return []


def _ends(
    graph: EditableGraph, split: onnx.NodeProto | None, value: str, channels: int
) -> list[int]:
    """Where the parts of a Split along the channels end; empty where there is no such Split."""
    if split is None or split.op_type != "Split" or split.input[0] != value:
        return []
    axis = next((item.i for item in split.attribute if item.name == "axis"), 0)
    given = len(split.input) > 1 and bool(split.input[1])
    sizes = graph.value(split.input[1]) if given else None
    count = len(split.output)
    if axis != 1 or not all(split.output) or (given and sizes is None):
        return []
    if sizes is None:  # equal parts, of which the last may be smaller
        part = -(-channels // count)
        sizes = np.array([part] * (count - 1) + [channels - part * (count - 1)])
    ends = np.cumsum(sizes).tolist()
    return ends if len(ends) == count and ends[-1] == channels and min(sizes) > 0 else []


def _orders(graph: EditableGraph, groups: tuple[int, int], ends: list[int]) -> list[str]:
    """The values with the channels that come to each place, one for each part.

    They are computed from the number of groups and of channels, which takes fewer bytes than the
    channels themselves. Runtimes do it once, when they load the file. All shuffles of the same
    groups and parts take the same values.
    """
    name = f"channels.{groups[0]}.{groups[1]}." + ".".join(map(str, ends))
    outputs = [f"{name}.{end}" for end in ends]
    if outputs[0] in graph.makers:
        return outputs
    channels = groups[0] * groups[1]
    numbers = [
        graph.add_constant(f"{name}.{what}", np.array(number, np.int64))
        for what, number in (("first", 0), ("channels", channels), ("step", 1))
    ]
    shape = graph.add_constant(f"{name}.groups", np.array(groups, np.int64))
    flat = graph.add_constant(f"{name}.flat", np.array([-1], np.int64))
    counted, grouped, turned = (f"{name}.{stage}" for stage in ("counted", "grouped", "turned"))
    order = outputs[0] if len(ends) == 1 else f"{name}.order"
    graph.body.node.extend(
        [
            helper.make_node("Range", numbers, [counted]),
            helper.make_node("Reshape", [counted, shape], [grouped]),
            helper.make_node("Transpose", [grouped], [turned], perm=[1, 0]),
            helper.make_node("Reshape", [turned, flat], [order]),
        ]
    )
    if len(ends) > 1:
        sizes = graph.add_constant(f"{name}.sizes", np.diff([0, *ends]).astype(np.int64))
        graph.body.node.append(helper.make_node("Split", [order, sizes], outputs, axis=0))
    return outputs
