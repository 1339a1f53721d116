"""Writing, reading and running `.shoe` files. Nothing here needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoestring.artifact.chains.bracketed_words import BracketedWords
from shoestring.artifact.chains.byte_prefix import BytePrefix
from shoestring.artifact.chains.hashed_characters import HashedCharacters
from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.hashed_text import HashedText
from shoestring.artifact.chains.hashed_words import HashedWords
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.chains.normalise import Normalise
from shoestring.artifact.format.bill import Bill, Line, bill
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
from shoestring.artifact.runtime.openvino import InBFloat16, InFloat32, OpenVINO
from shoestring.artifact.runtime.session import Runtime
from shoestring.artifact.wire import ShoeError

if TYPE_CHECKING:
    from shoestring.artifact.checkpoints.sharded import open_checkpoint

__all__ = [
    "MAX_BYTES",
    "Bill",
    "BracketedWords",
    "BytePrefix",
    "Checkpoint",
    "Content",
    "Entries",
    "HashedCharacters",
    "HashedNgrams",
    "HashedText",
    "HashedWords",
    "InBFloat16",
    "InFloat32",
    "InputChain",
    "Line",
    "Loaded",
    "LogMel",
    "Normalise",
    "OnnxRuntime",
    "OpenVINO",
    "Runtime",
    "ShoeError",
    "bill",
    "by_entry",
    "load",
    "open_checkpoint",
    "read",
    "read_model",
    "save",
]


def __getattr__(name: str) -> Any:
    if name != "open_checkpoint":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shoestring.artifact.checkpoints.sharded import open_checkpoint  # not needed to run a file

    return open_checkpoint
