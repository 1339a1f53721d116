"""What a runtime is, and a session of ONNX Runtime, whose work while it loads is bounded.

The graph may be anybody's.
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
from shoestring.artifact.wire import ShoeError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Feeds = dict[str, np.ndarray]  # inputs by name, in the types and shapes that the graph declares


class Session(Protocol):
    """A graph that is ready to run."""

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order."""
        ...

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs each time and does as little else as the runtime
        allows: what meters time.
        """
        ...


class Runtime(Protocol):
    """What runs a graph: `OnnxRuntime()`, which is there always, or `OpenVINO()`.

    A choice, so it has a `repr`.
    """

    def start(self, graph: Graph, tensors: list[Tensor], threads: int | None) -> Session:
        """The graph ready to run on so many threads (None: as many as there are cores).

        Raises ShoeError.
        """
        ...


def checked(runtime: Any) -> Runtime:
    """The runtime; raises TypeError for what is none."""
    if isinstance(runtime, type) or not hasattr(runtime, "start"):
        name = f"the class {runtime.__name__}" if isinstance(runtime, type) else repr(runtime)
        raise TypeError(f"runtime is {name}: give OnnxRuntime() or OpenVINO(), with their brackets")
    return runtime


@dataclass(frozen=True)
class OnnxSession:
    """A graph that ONNX Runtime computes as a whole."""

    inner: InferenceSession

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order."""
        return self.inner.run(None, feeds)

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs each time."""
        return partial(self.inner.run, None, feeds)


_ALLOWANCE = 1 << 28
# What exporters do to weights, all of it in time linear in what is read and written. A graph with
# other steps on constants runs too: they are then computed in each run.
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
    """A session that runs the graph on so many threads (None: as many as there are cores).

    Raises ShoeError.
    `parts`: of how many segments of a graph this is one, None if it is whole.
    """
    import onnxruntime

    refuse(graph, tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    if parts is not None:  # or the threads of one would keep the cores from the next
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    limits = _limits(graph, tensors, parts or 1)
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", str(limits.largest)
    )
    if not limits.prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    old = tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (
        1,
        27,
    )  # which know no such limit
    off = ["ConstantFolding"] if old or not limits.fold else []
    try:
        model = onnx_bytes(graph, tensors, segment=parts is not None)
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=off
        )
    except Exception as error:  # its errors share no class of their own
        raise ShoeError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run this graph: {first_line(error)}"
        ) from None


def first_line(error: Exception) -> str:
    """The beginning of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def refuse(graph: Graph, tensors: list[Tensor]) -> None:
    """Raises ShoeError for what runtimes do not survive."""
    single = {
        i
        for i, one in enumerate((*tensors, *graph.constants), len(graph.inputs))
        if one.bits.size == 1
    }
    for node in graph.nodes:
        # It reads the first element of an empty depth, which aborts the process.
        if node.operator == "OneHot" and (len(node.inputs) < 2 or node.inputs[1] not in single):
            raise ShoeError(
                "this graph is refused: the depth of OneHot must be a constant of one element"
            )
        # It counts on them to be as many.
        if node.operator == "Split" and any(
            name == "num_outputs" and n != node.outputs for name, _, n in node.attributes
        ):
            raise ShoeError("this graph is refused: a Split has not as many outputs as it says")


class _Limits(NamedTuple):
    largest: int  # bytes of the result of a step on constants that is computed at load
    fold: bool  # whether any such step may be
    prepack: bool  # whether kernels may copy weights into the order that they like


def _limits(graph: Graph, tensors: list[Tensor], parts: int = 1) -> _Limits:
    """What ONNX Runtime may do while it makes a session, of which there are so many.

    It computes what depends on constants only, and kernels copy their weights. Four times the
    tensors and 256 MB is enough for every honest graph seen. A tiny file that asks for a huge or a
    slow constant has it computed in its runs, if ever; one that reads a tensor thousands of times
    has no copies made.
    """
    held = [one.bits.nbytes for one in (*tensors, *graph.constants)]
    sizes = dict(
        enumerate(held, len(graph.inputs))
    )  # in bytes, of values that are or may become constant
    value = len(graph.inputs) + len(held)
    folded: set[int] = set()
    for place, node in enumerate(graph.nodes):
        if node.operator in ("Shape", "Size") or all(
            number is None or number in sizes for number in node.inputs
        ):
            folded.add(place)
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
    known = all(graph.nodes[place].operator in _FOLDABLE for place in folded)
    steps = sum(reads[place] for place in folded)
    copies = sum(
        read
        for node, read in zip(graph.nodes, reads, strict=True)
        if node.operator not in _FOLDABLE
    )
    return _Limits(largest, known and steps <= 8 * allowance, copies <= 2 * allowance)
