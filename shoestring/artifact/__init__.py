"""The `.shoe` file: writing and reading its bytes, and running it. Needs no torch."""

from shoestring.artifact.file import MAX_BYTES, Checkpoint, Content, Line, bill, read
from shoestring.artifact.openvino_runtime import OpenVINO
from shoestring.artifact.runtime import Loaded, load
from shoestring.artifact.saving import save
from shoestring.artifact.session import OnnxRuntime, Runtime
from shoestring.artifact.wire import ShoeError

__all__ = [
    "MAX_BYTES", "Checkpoint", "Content", "Line", "Loaded", "OnnxRuntime", "OpenVINO", "Runtime", "ShoeError", "bill", "load",
    "read", "save",
]  # fmt: skip
