"""OpenVINO as a second runtime, for files that one trusts.

Another vendor's opinion of what is fast.
"""

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
class OpenVINO:
    """OpenVINO on the processor (the extra `openvino`), given the same ONNX bytes as ONNX Runtime.

    It computes float32 models in float32: left to itself it takes bfloat16 where the processor has
    it. Integers between quantise and dequantise nodes stay integers. It is for files that you
    trust: nothing is loaded from outside the file and operators come from the same list, but
    OpenVINO's time and memory are not bounded, and it does not check while it runs that shapes fit
    together. float64 is computed in float32, whole numbers of 64 bits in 32, and sums of those of 8
    bits stop at the largest.

    Raises ModuleNotFoundError where it is not installed, ShoeError for a graph that it cannot run.
    """

    def start(self, graph: Graph, tensors: list[Tensor], threads: int | None) -> OpenVINOSession:
        """The graph ready to run on so many threads (None: as many as there are cores)."""
        core = _core()
        refuse(graph, tensors)
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        settings["ENABLE_CPU_PINNING"] = (
            False  # a thread tied to one core waits while another program has it
        )
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(onnx_bytes(*fold_transposes(graph, tensors)))
            _reduce_in_four_axes(model)
            return OpenVINOSession(
                core.compile_model(model, "CPU", settings), [port.name for port in graph.inputs]
            )
        except Exception as error:  # its errors share no class of their own
            import openvino

            version = openvino.__version__.split("-")[0]
            raise ShoeError(f"OpenVINO {version} cannot run this graph: {reason(error)}") from None


class OpenVINOSession:
    """A compiled model."""

    def __init__(self, compiled: CompiledModel, names: list[str]) -> None:
        self._compiled = compiled
        # OpenVINO leaves out inputs that nothing reads.
        self._names = [
            next(name for name in names if name in port.get_names()) for port in compiled.inputs
        ]
        self._request, self._free = compiled.create_infer_request(), Lock()

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order, in memory of their own."""
        inputs = [feeds[name] for name in self._names]
        try:
            with self._free:  # or threads would be given each other's outputs
                return list(self._request.infer(inputs).values())
        except Exception as error:
            raise ShoeError(reason(error)) from None

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs, which are handed over once.

        Its outputs are overwritten by the next run.
        """
        import openvino

        request = self._compiled.create_infer_request()
        inputs = [openvino.Tensor(feeds[name], shared_memory=True) for name in self._names]
        for place, one in enumerate(inputs):
            request.set_input_tensor(place, one)
        return partial(_again, request, (inputs, feeds))

    def kernels(self) -> list[tuple[str, str]]:
        """(kind of layer, kernel that runs it) in order.

        The kernel's last letters are its precision, `_I8` or `_f32`.
        """
        infos = [
            node.get_rt_info() for node in self._compiled.get_runtime_model().get_ordered_ops()
        ]
        return [
            (info["layerType"].astype(str), info["primitiveType"].astype(str)) for info in infos
        ]


def _again(request: InferRequest, kept: Any) -> Any:
    """Run the inputs that the request was handed.

    `kept`: these, of which it knows the addresses only.
    """
    return request.infer(share_outputs=True)


def _reduce_in_four_axes(model: Model) -> None:
    """Have means, sums, and largest and smallest numbers be of four axes or more, and keep those
    that they are taken over until after.

    OpenVINO 2026.4 gives wrong numbers otherwise, from 16 examples on or at once, where these are
    of whole numbers or rounded.
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
        value, given = node.input_value(0), node.input_value(1).get_node()
        if not isinstance(given, Constant):
            continue
        rank = node.get_input_partial_shape(0).rank.get_length()
        more = list(range(4 - rank))  # in front
        axes = [int(one) % rank + len(more) for one in given.data.reshape(-1)]
        wide = opset13.unsqueeze(value, more).output(0) if more else value
        found = make(wide, axes, keep_dims=True)
        lost = more + ([] if node.get_attributes()["keep_dims"] else axes)
        node.output(0).replace((opset13.squeeze(found, lost) if lost else found).output(0))


@cache
def _core() -> Core:
    try:
        import openvino
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        raise missing("openvino", extra="openvino", what="OpenVINO()") from None
    return openvino.Core()


def reason(error: Exception) -> str:
    """What an error of OpenVINO's says, without where in its sources it was raised."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [
        line
        for line in lines
        if line and not line.startswith(("Exception from", "Check '", "FrontEnd API", "Model "))
    ]
    said = [line.removeprefix("-- ") for line in telling if line.startswith("-- No ")]
    said += [
        line
        for line in telling
        if " failed at src/" not in line and not line.startswith(("-- ", "While ", "Summary:"))
    ]
    return [*said, *telling[1:2], *telling, type(error).__name__][0][:300]
