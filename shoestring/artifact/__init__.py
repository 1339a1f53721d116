"""Writing, reading and running `.shoe` files. Nothing here needs torch."""

from shoestring.artifact.format.bill import Line, bill
from shoestring.artifact.format.file import (
    MAX_BYTES,
    Checkpoint,
    Content,
    Entries,
    by_entry,
    read,
    read_model,
)
from shoestring.artifact.format.saving import save
from shoestring.artifact.runtime.loaded import Loaded, OnnxRuntime, load
from shoestring.artifact.runtime.openvino import OpenVINO
from shoestring.artifact.runtime.session import Runtime
from shoestring.artifact.wire import ShoeError

__all__ = [
    "MAX_BYTES",
    "Checkpoint",
    "Content",
    "Entries",
    "Line",
    "Loaded",
    "OnnxRuntime",
    "OpenVINO",
    "Runtime",
    "ShoeError",
    "bill",
    "by_entry",
    "load",
    "read",
    "read_model",
    "save",
]
