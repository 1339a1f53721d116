"""OpenVINO as a second runtime, for files that you trust."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from shoestring.artifact.errors import missing
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.format.tensors import Tensor
from shoestring.artifact.runtime.folding import fold_transposes
from shoestring.artifact.runtime.session import Feeds, refuse
from shoestring.artifact.wire import ShoeError

if TYPE_CHECKING:
    from openvino import CompiledModel, Core, InferRequest, Model


@dataclass(frozen=True)
class InFloat32:
    """What is in floating point is computed in float32."""


@dataclass(frozen=True)
class InBFloat16:
    """What is in floating point is computed in bfloat16 where the processor has it.

    Products have 8 significant bits then. Elsewhere they are computed in float32.
    """


_HINTS = {InFloat32(): "f32", InBFloat16(): "bf16"}


@dataclass(frozen=True)
class OpenVINO:
    """OpenVINO on the processor (the extra `openvino`), with the same graph as ONNX Runtime.

    `floats`: what floating point is computed in; OpenVINO's own default is `InBFloat16()`, which is
        faster for what int8 models leave in floating point, and rounds it.

    Integers between quantise and dequantise nodes stay integers. It computes float64 in float32 and
    integers of 64 bits in 32 bits, and sums of integers of 8 bits saturate.

    It is for files that you trust. Nothing is loaded from outside the file, and operators come from
    the same list. But OpenVINO's time and memory are not bounded, and it does not check while it
    runs that shapes fit together.

    Raises TypeError for floats that are neither `InFloat32()` nor `InBFloat16()`.
    """

    floats: InFloat32 | InBFloat16 = InFloat32()

    def __post_init__(self) -> None:
        if not isinstance(self.floats, InFloat32 | InBFloat16):
            raise TypeError(f"floats is {self.floats!r}: give InFloat32() or InBFloat16()")

    def start(self, graph: Graph, tensors: list[Tensor], threads: int | None) -> OpenVINOSession:
        """The graph ready to run.

        `threads`: how many threads a run may use; None: as many as there are cores.
        Raises ModuleNotFoundError where OpenVINO is not installed, ShoeError for a graph that it
        cannot run.
        """
        core = _core()
        refuse(graph, tensors)
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.floats],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # A thread that is pinned to a core waits while another program uses that core.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(onnx_bytes(*fold_transposes(graph, tensors)))
            _reduce_in_four_axes(model)
            return OpenVINOSession(
                core.compile_model(model, "CPU", settings), [port.name for port in graph.inputs]
            )
        except Exception as error:  # its errors have no common class
            import openvino

            version = openvino.__version__.split("-")[0]
            raise ShoeError(f"OpenVINO {version} cannot run this graph: {reason(error)}") from None


class OpenVINOSession:
    """A compiled model that is ready to run."""

    def __init__(self, compiled: CompiledModel, names: list[str]) -> None:
        """`names`: the names of the graph's inputs."""
        self._compiled = compiled
        # OpenVINO leaves out inputs that nothing reads.
        self._names = [
            next(name for name in names if name in port.get_names()) for port in compiled.inputs
        ]
        self._request, self._free = compiled.create_infer_request(), Lock()

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order, which later runs do not overwrite; raises ShoeError."""
        inputs = [feeds[name] for name in self._names]
        try:
            with self._free:  # otherwise threads would get each other's outputs
                return list(self._request.infer(inputs).values())
        except Exception as error:
            raise ShoeError(reason(error)) from None

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs, which are passed to OpenVINO once.

        Each run overwrites the outputs of the run before.
        """
        import openvino

        request = self._compiled.create_infer_request()
        inputs = [openvino.Tensor(feeds[name], shared_memory=True) for name in self._names]
        for index, tensor in enumerate(inputs):
            request.set_input_tensor(index, tensor)
        return partial(_again, request, (inputs, feeds))

    def kernels(self) -> list[tuple[str, str]]:
        """(type of layer, name of its kernel) in order.

        The name of a kernel ends with its precision, such as `_I8` or `_f32`.
        """
        infos = [
            node.get_rt_info() for node in self._compiled.get_runtime_model().get_ordered_ops()
        ]
        return [
            (info["layerType"].astype(str), info["primitiveType"].astype(str)) for info in infos
        ]


def _again(request: InferRequest, kept: Any) -> Any:
    """Run a request with the inputs that were set.

    `kept`: the inputs. The request has only their addresses, so they must stay in memory.
    """
    return request.infer(share_outputs=True)


def _reduce_in_four_axes(model: Model) -> None:
    """Change a model's reductions so that they have four axes or more, and keep the reduced ones.

    Means, sums, maxima and minima get axes of length 1 in front. The axes that must go are removed
    afterwards. Without this, OpenVINO 2026.4 computes wrong numbers where the inputs of these nodes
    are integers or are rounded; with some models from 16 examples on, with others always.
    """
    from openvino import opset13
    from openvino.op import Constant

    makers = {
        "ReduceMean": opset13.reduce_mean,
        "ReduceSum": opset13.reduce_sum,
        "ReduceMax": opset13.reduce_max,
        "ReduceMin": opset13.reduce_min,
    }
    for node in model.get_ordered_ops():
        make = makers.get(node.get_type_name())
        if make is None or node.get_input_partial_shape(0).rank.is_dynamic:
            continue
        value, reduced = node.input_value(0), node.input_value(1).get_node()
        if not isinstance(reduced, Constant):
            continue
        rank = node.get_input_partial_shape(0).rank.get_length()
        added = list(range(4 - rank))  # in front
        axes = [int(axis) % rank + len(added) for axis in reduced.data.reshape(-1)]
        wide = opset13.unsqueeze(value, added).output(0) if added else value
        result = make(wide, axes, keep_dims=True)
        surplus = added + ([] if node.get_attributes()["keep_dims"] else axes)
        result = opset13.squeeze(result, surplus) if surplus else result
        node.output(0).replace(result.output(0))


@cache
def _core() -> Core:
    """OpenVINO's core, of which a process has one; raises ModuleNotFoundError."""
    try:
        import openvino
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        raise missing("openvino", extra="openvino", what="OpenVINO()") from None
    return openvino.Core()


def reason(error: Exception) -> str:
    """The message of an OpenVINO error without its positions in OpenVINO's source code."""
    lines = [line.strip() for line in str(error).splitlines()]
    messages = [
        line
        for line in lines
        if line and not line.startswith(("Exception from", "Check '", "FrontEnd API", "Model "))
    ]
    reasons = [line.removeprefix("-- ") for line in messages if line.startswith("-- No ")]
    reasons += [
        line
        for line in messages
        if " failed at src/" not in line and not line.startswith(("-- ", "While ", "Summary:"))
    ]
    return [*reasons, *messages[1:2], *messages, type(error).__name__][0][:300]
