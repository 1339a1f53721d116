"""Read torch's table of translations to ONNX once in a process.

torch.onnx.export parses the sources of its 500 translations at every call. For a small model that
takes longer than the rest of the export.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_READ: dict[Any, Any] = {}
"""The tables that torch read, by the arguments of the call."""


def _registry() -> Any:
    """Torch's class of the table; None in a version of torch that has it elsewhere.

    There every export reads the table itself.
    """
    # Imported late: it imports onnxscript, which takes seconds.
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:
        return None
    return ONNXRegistry


@contextmanager
def read_once() -> Iterator[None]:
    """A context in which torch.onnx.export starts from a copy of the table that was read first.

    It needs a copy of its own: it adds the translations of `custom_translation_table`.
    """
    registry = _registry()
    if registry is None or "from_torchlib" not in vars(registry):
        yield
        return
    plain = vars(registry)["from_torchlib"]

    def from_torchlib(cls: Any, **arguments: Any) -> Any:
        key = tuple(arguments.items())
        if key not in _READ:
            _READ[key] = plain.__func__(cls, **arguments)
        table = copy.copy(_READ[key])
        table.functions = {name: list(known) for name, known in table.functions.items()}
        return table

    registry.from_torchlib = classmethod(from_torchlib)
    try:
        yield
    finally:
        registry.from_torchlib = plain
