"""Compress a PyTorch model, for a task and within a budget, into a small file that runs.

This module imports the public names and the rooms when they are first used. `import shoestring`
imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from shoestring.artifact import load
    from shoestring.core import (
        Axis,
        Budget,
        Cost,
        Ledger,
        Task,
        Technique,
        Vary,
        apply,
        chain,
        prove,
    )
    from shoestring.kit import (
        Agreement,
        Supervised,
        Training,
        from_onnx,
        from_shoe,
        load_into,
        restore,
        save,
        write,
    )
    from shoestring.plan import compress, diagnose

_HOMES = {
    "shoestring.artifact": ["load"],
    "shoestring.core": [
        "Axis",
        "Budget",
        "Cost",
        "Ledger",
        "Task",
        "Technique",
        "Vary",
        "apply",
        "chain",
        "prove",
    ],
    "shoestring.kit": [
        "Agreement",
        "Supervised",
        "Training",
        "from_onnx",
        "from_shoe",
        "load_into",
        "restore",
        "save",
        "write",
    ],
    "shoestring.plan": ["compress", "diagnose"],
}
_ROOMS = (
    "adapt",
    "artifact",
    "core",
    "distill",
    "dual",
    "generate",
    "kit",
    "label",
    "meters",
    "models",
    "parallel",
    "plan",
    "prune",
    "quantize",
    "recipes",
    "report",
    "search",
    "tasks",
    "unlabelled",
)
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agreement",
    "Axis",
    "Budget",
    "Cost",
    "Ledger",
    "Supervised",
    "Task",
    "Technique",
    "Training",
    "Vary",
    "apply",
    "chain",
    "compress",
    "diagnose",
    "from_onnx",
    "from_shoe",
    "load",
    "load_into",
    "prove",
    "restore",
    "save",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME and name not in _ROOMS:
        raise AttributeError(f"module 'shoestring' has no attribute {name!r}")
    try:
        return (
            import_module(f"shoestring.{name}")
            if name in _ROOMS
            else getattr(import_module(_HOME[name]), name)
        )
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from shoestring.artifact.errors import missing

        raise missing(
            "torch",
            "onnx",
            "onnxscript",
            extra="train",
            what=f"shoestring.{name} trains or exports",
        ) from None


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_ROOMS})
