"""The `.shoe` file: writing and reading its bytes, and running it. Needs no torch."""

from shoestring.artifact.format.file import MAX_BYTES, Checkpoint, Content, Line, bill, read
from shoestring.artifact.format.saving import save
from shoestring.artifact.runtime.loaded import Loaded, OnnxRuntime, load
from shoestring.artifact.runtime.openvino import OpenVINO
from shoestring.artifact.runtime.session import Runtime
from shoestring.artifact.wire import ShoeError

__all__ = [
    "MAX_BYTES",
    "Checkpoint",
    "Content",
    "Line",
    "Loaded",
    "OnnxRuntime",
    "OpenVINO",
    "Runtime",
    "ShoeError",
    "bill",
    "load",
    "read",
    "save",
]
