"""What a runtime is, and sessions of ONNX Runtime.

The graph may be hostile, so the work of ONNX Runtime while it loads is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.format.tensors import Tensor
from shoestring.artifact.runtime import load_limits
from shoestring.artifact.wire import ShoeError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Feeds = dict[str, np.ndarray]
"""Inputs by name, in the types and shapes that the graph declares."""


class Session(Protocol):
    """A graph that is ready to run."""

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order."""
        ...

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs, for meters to time.

        It does as little else as the runtime allows.
        """
        ...


class Runtime(Protocol):
    """What runs a graph: `OnnxRuntime()`, which is always installed, or `OpenVINO()`.

    It is part of a configuration, so it has a `repr`.
    """

    def start(self, graph: Graph, tensors: list[Tensor], threads: int | None) -> Session:
        """The graph ready to run.

        `tensors`: its tensors, as many as `graph.weights`.
        `threads`: how many threads a run may use; None: as many as there are cores.
        Raises ShoeError for a graph that the runtime cannot run.
        """
        ...


def checked(runtime: Any) -> Runtime:
    """The runtime itself; raises TypeError for anything else, such as the class of a runtime."""
    if isinstance(runtime, type) or not hasattr(runtime, "start"):
        name = f"the class {runtime.__name__}" if isinstance(runtime, type) else repr(runtime)
        raise TypeError(f"runtime is {name}: give OnnxRuntime() or OpenVINO(), with their brackets")
    return runtime


@dataclass(frozen=True)
class OnnxSession:
    """A graph that ONNX Runtime computes in one session, `inner`."""

    inner: InferenceSession

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order."""
        return self.inner.run(None, feeds)

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs."""
        return partial(self.inner.run, None, feeds)


_ALLOWANCE = 1 << 28
"""How many bytes constant folding may take beyond four times the tensors."""
# The operators that exporters apply to weights. Each takes time linear in what it reads and writes.
# A graph that applies others to constants runs too, but then they are computed in each run.
_FOLDABLE = frozenset(
    (
        "Abs",
        "Add",
        "And",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Concat",
        "ConstantOfShape",
        "CumSum",
        "DequantizeLinear",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "IsInf",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pad",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Round",
        "ScatterElements",
        "ScatterND",
        "Shape",
        "Sigmoid",
        "Sign",
        "Size",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "Xor",
    )
)


def session(
    graph: Graph, tensors: list[Tensor], threads: int | None, *, parts: int | None = None
) -> InferenceSession:
    """An ONNX Runtime session for a graph.

    `threads`: how many threads a run may use; None: as many as there are cores.
    `parts`: how many segments there are, if the graph is one of them; None: it is not a segment.
    Raises ShoeError for a graph that ONNX Runtime cannot run.
    """
    import onnxruntime

    refuse(graph, tensors)
    load_limits.check([(graph, tensors)])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not load_limits.optimised(graph, tensors):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    if parts is not None:  # otherwise idle threads of one segment keep the cores from the next
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    limits = _limits(graph, tensors, parts or 1)
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", str(limits.largest)
    )
    if not limits.prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    # Versions before 1.27 do not have the limit on constant folding.
    old = tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 27)
    off = ["ConstantFolding"] if old or not limits.fold else []
    try:
        model = onnx_bytes(load_limits.named_shortly(graph), tensors, segment=parts is not None)
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=off
        )
    except Exception as error:  # its errors have no common class
        raise ShoeError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run this graph: {first_line(error)}"
        ) from None


def first_line(error: Exception) -> str:
    """The first line of an error's message, at most 300 characters, or the error's type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def refuse(graph: Graph, tensors: list[Tensor]) -> None:
    """Raises ShoeError for a graph that would end the process of a runtime, or fill its memory."""
    load_limits.check_axes(graph, tensors)
    static = enumerate((*tensors, *graph.constants), len(graph.inputs))
    single = {number for number, tensor in static if tensor.bits.size == 1}
    for node in graph.nodes:
        # OneHot reads the first element of its depth, even if the depth is empty.
        if node.operator == "OneHot" and (len(node.inputs) < 2 or node.inputs[1] not in single):
            raise ShoeError(
                "this graph is refused: the depth of OneHot must be a constant of one element"
            )
        # Split assumes that it has `num_outputs` outputs.
        if node.operator == "Split" and any(
            name == "num_outputs" and n != node.outputs for name, _, n in node.attributes
        ):
            raise ShoeError("this graph is refused: a Split has not as many outputs as it says")


class _Limits(NamedTuple):
    """What ONNX Runtime may do while it makes a session.

    `largest`: the most bytes of the result of a node that constant folding computes.
    `fold`: whether constant folding is allowed.
    `prepack`: whether kernels may copy weights into another layout.
    """

    largest: int
    fold: bool
    prepack: bool


def _limits(graph: Graph, tensors: list[Tensor], parts: int = 1) -> _Limits:
    """What ONNX Runtime may do while it makes a session.

    `parts`: how many sessions the graph has.
    ONNX Runtime computes nodes that depend on constants only, and kernels copy their weights. Four
    times the tensors plus 256 MB was enough for every honest graph that we have seen. If a tiny
    file has a huge or slow constant, it is not computed before the graph runs. If a file reads a
    tensor thousands of times, its weights are not copied.
    """
    held = [tensor.bits.nbytes for tensor in (*tensors, *graph.constants)]
    # Sizes in bytes of the values that are constant or may be folded; 0: not known.
    sizes = dict(enumerate(held, len(graph.inputs)))
    value = len(graph.inputs) + len(held)
    folded: set[int] = set()
    for index, node in enumerate(graph.nodes):
        if node.operator in ("Shape", "Size") or all(
            number is None or number in sizes for number in node.inputs
        ):
            folded.add(index)
            sizes |= dict.fromkeys(range(value, value + node.outputs), 0)
        value += node.outputs
    allowance = 4 * sum(held) + _ALLOWANCE // parts
    largest = allowance // max(len(folded), 1)
    reads = [
        sum(
            sizes[number] or largest
            for number in node.inputs
            if number is not None and number in sizes
        )
        for node in graph.nodes
    ]
    foldable = all(graph.nodes[index].operator in _FOLDABLE for index in folded)
    folding = sum(reads[index] for index in folded)
    copies = sum(
        read
        for node, read in zip(graph.nodes, reads, strict=True)
        if node.operator not in _FOLDABLE
    )
    return _Limits(largest, foldable and folding <= 8 * allowance, copies <= 2 * allowance)
