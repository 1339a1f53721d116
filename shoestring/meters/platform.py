"""Names of what runs a file, such as `openvino:all-threads` or `remote:http://raspberry:8731`."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.util import find_spec
from typing import NamedTuple

from shoestring.artifact import InBFloat16, OnnxRuntime, OpenVINO, Runtime
from shoestring.artifact.errors import missing
from shoestring.meters.remote import Remote

ALL_THREADS = ":all-threads"
BFLOAT16 = ":bfloat16"
_NAMES = ("onnxruntime", "openvino", "remote")
_THERE_IS = (
    f"there is onnxruntime, openvino, openvino{BFLOAT16}, and remote:URL for another device "
    f"(remote:http://raspberry:8731), each on one thread, or with {ALL_THREADS} after it on all "
    "cores"
)


class Platform(NamedTuple):
    """What runs files, and with how many threads; its `str` is what `parse_runtime` reads.

    `runtime`: a runtime of this machine, or the `Remote` device.
    `threads`: threads of a run; None for all cores.
    """

    runtime: Runtime | Remote
    threads: int | None = 1

    def __str__(self) -> str:
        match self.runtime:
            case OnnxRuntime():
                name = "onnxruntime"
            case OpenVINO(floats=InBFloat16()):
                name = f"openvino{BFLOAT16}"
            case OpenVINO():
                name = "openvino"
            case Remote():
                name = f"remote:{self.runtime.url}"
            case other:
                name = repr(other)
        if self.threads is None:
            return name + ALL_THREADS
        return name if self.threads == 1 else f"{name}, {self.threads} threads"


def parse_runtime(text: str) -> Platform:
    """The platform that a text names.

    Raises ValueError with a list of the names for an unknown one, and ModuleNotFoundError with the
    name of the extra where openvino is not installed.
    """
    name = text.strip().removesuffix(ALL_THREADS)
    threads = None if name != text.strip() else 1
    if name.startswith("remote:"):
        return Platform(Remote(name.removeprefix("remote:")), threads)
    if name == "onnxruntime":
        return Platform(OnnxRuntime(), threads)
    if name in ("openvino", f"openvino{BFLOAT16}"):
        if find_spec("openvino") is None:
            raise missing("openvino", extra="openvino", what="the runtime")
        return Platform(OpenVINO() if name == "openvino" else OpenVINO(InBFloat16()), threads)
    raise ValueError(f"{text!r} is no runtime{_near(name)}: {_THERE_IS}")


def _near(name: str) -> str:
    """A suggestion of the name that was meant, or ""."""
    if name.startswith(("http://", "https://")):
        return f" (remote:{name}?)"
    head, colon, tail = name.partition(":")
    if colon and head in _NAMES:
        return f" ({head}{ALL_THREADS}?)" if head != "remote" else ""
    squeezed = head.lower().replace("-", "").replace("_", "").replace(" ", "")
    close = get_close_matches(
        {"onnx": "onnxruntime", "ort": "onnxruntime"}.get(squeezed, squeezed), _NAMES, 1
    )
    if not close:
        return ""
    return f" ({close[0]}{':' + (tail or 'URL') if close[0] == 'remote' else ''}?)"
