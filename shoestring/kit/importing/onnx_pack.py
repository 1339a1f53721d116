"""Packing ONNX files: the graph as it is and every bit of its tensors, as a file of ours that runs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from shoestring.artifact.checkpoints.checkpoint import (
    Packing,
    all_close,
    by_type,
    check_target,
    save_new,
    seen,
)
from shoestring.artifact.format import file
from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import encode
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.artifact.wire import ShoeError
from shoestring.kit.importing.onnx_file import read_onnx
from shoestring.kit.weights.parameters import SkippedWarning


def pack_onnx(
    source: Path, out: Path, *, fixed: Mapping[str, Any] | None = None, smallest: bool = False
) -> Packing:
    """Write an ONNX file as a .shoe file that runs, once what is written has been read back,
    compared and started.

    Nothing is exported again: the file has the same operators, opset and tensors, so that it
    answers as the ONNX file does. `fixed` as in `read_onnx`, which says what is refused. With a
    warning: metadata, which a file that runs has no place for. Raises ShoeError where ONNX Runtime
    does not take the graph.
    """
    began = perf_counter()
    check_target(source, out)
    there = seen(out)
    found = read_onnx(source, fixed=fixed)
    if found.beside:
        words = ", ".join(f"{name} ({size:,} bytes)" for name, size in found.beside.items())
        warnings.warn(
            f"{source}: left out, being metadata: {words}; keep what you need of it yourself",
            SkippedWarning,
            stacklevel=2,
        )
    data = file.pack(found.content, smallest=smallest)
    again = file.unpack_any(data, 1 << 62)
    same = isinstance(again, Content) and encode(again.graph) == encode(found.content.graph)
    if not same or not all(map(all_close, found.content.tensors, again.tensors)):
        raise ShoeError(
            "what was packed does not come back as it was; nothing is written: please report this"
        )
    assert isinstance(again, Content)
    Loaded(again, threads=1)
    save_new(out, data, there)
    return Packing(
        out,
        found.bytes,
        len(data),
        perf_counter() - began,
        by_type(again.packed),
        "graph, shapes, tables",
    )
