"""ONNX files are packed as .shoe files that run, with the graph and every bit of its tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from shoestring.artifact.checkpoints.packing import (
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
    """Write an ONNX file as a .shoe file that runs.

    The packed bytes are first read back, compared and started. Nothing is exported again: the file
    has the same operators, opset and tensors, so it answers as the ONNX file does. Metadata is left
    out with a SkippedWarning, since a file that runs has no place for it.

    `source`, `out`: the two files.
    `fixed`: as in `read_onnx`, which lists what is refused.
    `smallest`: whether to take longer for a smaller file.

    Raises ShoeError where ONNX Runtime does not accept the graph.
    """
    began = perf_counter()
    check_target(source, out)
    seen_before = seen(out)
    imported = read_onnx(source, fixed=fixed)
    if imported.beside:
        listed = ", ".join(f"{name} ({size:,} bytes)" for name, size in imported.beside.items())
        warnings.warn(
            f"{source}: left out, being metadata: {listed}; keep what you need of it yourself",
            SkippedWarning,
            stacklevel=2,
        )
    data = file.pack(imported.content, smallest=smallest)
    again = file.unpack_any(data, 1 << 62)
    is_same = isinstance(again, Content) and encode(again.graph) == encode(imported.content.graph)
    if not is_same or not all(map(all_close, imported.content.tensors, again.tensors)):
        raise ShoeError(
            "what was packed does not come back as it was; nothing is written: please report this"
        )
    assert isinstance(again, Content)
    Loaded(again, threads=1)
    save_new(out, data, seen_before)
    return Packing(
        out,
        imported.bytes,
        len(data),
        perf_counter() - began,
        by_type(again.packed),
        "graph, shapes, tables",
    )
