"""Mechanisms that several rooms use: weight states, training, export, progress.

Needs the extra `train`.
What is named here is read from its module when it is asked for: what needs no onnx does not wait
for it.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from shoestring.artifact.errors import missing as _missing

if any(find_spec(name) is None for name in ("torch", "onnx", "onnxscript")):
    raise _missing("torch", "onnx", "onnxscript", extra="train")

if TYPE_CHECKING:
    from shoestring.artifact.progress import listening, progress
    from shoestring.kit.exporting.export import (
        Exported,
        ExportError,
        export,
        pack,
        parameter_bytes,
        save,
        write,
    )
    from shoestring.kit.exporting.restoring import load_into, restore
    from shoestring.kit.importing.from_onnx import from_onnx, from_shoe
    from shoestring.kit.importing.network import Network
    from shoestring.kit.quantised.module import (
        Edges,
        Grid,
        Quantised,
        edges,
        plain_module,
        products,
    )
    from shoestring.kit.recovery import recover
    from shoestring.kit.routing.exit_shares import ExitShare, exit_shares
    from shoestring.kit.routing.exits import EarlyExits
    from shoestring.kit.routing.mixture import MixtureOfExperts
    from shoestring.kit.routing.rows import in_order, rows_where
    from shoestring.kit.routing.seats import HashRouter
    from shoestring.kit.routing.shares import expert_shares
    from shoestring.kit.routing.verdict import Routing, RoutingWarning
    from shoestring.kit.study import Study, StudyHeld, StudyMismatch, Trial
    from shoestring.kit.surgery.batch_norm import fold_batch_norm, settle_batch_norm
    from shoestring.kit.surgery.units import remove_dead_units
    from shoestring.kit.tracing.calls import Carried
    from shoestring.kit.tracing.product import Product
    from shoestring.kit.tracing.tape import Tape, record
    from shoestring.kit.training.agreement import Agreement
    from shoestring.kit.training.augment import mirrored, moved
    from shoestring.kit.training.initialisers import fan_in_variance, unit_variance
    from shoestring.kit.training.inputs import Pictures, Sounds
    from shoestring.kit.training.loop import DivergedError, taught, train
    from shoestring.kit.training.optimizers import LAMB, LARS, SGD, Adagrad, AdamW
    from shoestring.kit.training.resume import resuming
    from shoestring.kit.training.same import (
        Cents,
        Exactly,
        Least,
        Mean,
        Overlap,
        RelativeError,
        Same,
        SameAnswer,
        SameClass,
        SameDirection,
        Within,
    )
    from shoestring.kit.training.settings import (
        Averaged,
        Clipped,
        Constant,
        Cosine,
        Mixed,
        MovingAverage,
        Ramp,
        Single,
        Training,
        Unclipped,
        Workers,
    )
    from shoestring.kit.training.silent import silent_branches
    from shoestring.kit.training.statistics import average_batch_norm
    from shoestring.kit.training.supervised import Supervised, accuracy
    from shoestring.kit.weights.copying import clone
    from shoestring.kit.weights.layers import Patterns, chosen, touched
    from shoestring.kit.weights.model_state import ModelState, state_of, with_state
    from shoestring.kit.weights.parameters import (
        Parameters,
        ShortfallWarning,
        SkippedWarning,
        State,
        Weight,
        bake,
        check_finite,
        compressible,
        first_fit,
        parameters_of,
    )

_HOMES = {
    "shoestring.kit.training.agreement": ["Agreement"],
    "shoestring.kit.training.augment": ["mirrored", "moved"],
    "shoestring.kit.surgery.batch_norm": ["fold_batch_norm", "settle_batch_norm"],
    "shoestring.kit.tracing.calls": ["Carried"],
    "shoestring.kit.exporting.export": [
        "Exported",
        "ExportError",
        "export",
        "pack",
        "parameter_bytes",
        "save",
        "write",
    ],
    "shoestring.kit.importing.from_onnx": ["from_onnx", "from_shoe"],
    "shoestring.kit.training.initialisers": ["fan_in_variance", "unit_variance"],
    "shoestring.kit.training.inputs": ["Pictures", "Sounds"],
    "shoestring.kit.weights.copying": ["clone"],
    "shoestring.kit.weights.layers": ["Patterns", "chosen", "touched"],
    "shoestring.kit.importing.network": ["Network"],
    "shoestring.kit.tracing.product": ["Product"],
    "shoestring.artifact.progress": ["listening", "progress"],
    "shoestring.kit.quantised.module": [
        "Edges",
        "Grid",
        "Quantised",
        "edges",
        "plain_module",
        "products",
    ],
    "shoestring.kit.recovery": ["recover"],
    "shoestring.kit.exporting.restoring": ["load_into", "restore"],
    "shoestring.kit.training.resume": ["resuming"],
    "shoestring.kit.routing.exit_shares": ["ExitShare", "exit_shares"],
    "shoestring.kit.routing.exits": ["EarlyExits"],
    "shoestring.kit.routing.mixture": ["MixtureOfExperts"],
    "shoestring.kit.routing.rows": ["in_order", "rows_where"],
    "shoestring.kit.routing.seats": ["HashRouter"],
    "shoestring.kit.routing.shares": ["expert_shares"],
    "shoestring.kit.routing.verdict": ["Routing", "RoutingWarning"],
    "shoestring.kit.training.same": [
        "Cents",
        "Exactly",
        "Least",
        "Mean",
        "Overlap",
        "RelativeError",
        "Same",
        "SameAnswer",
        "SameClass",
        "SameDirection",
        "Within",
    ],
    "shoestring.kit.study.study": ["Study", "StudyHeld", "StudyMismatch", "Trial"],
    "shoestring.kit.training.supervised": ["Supervised", "accuracy"],
    "shoestring.kit.tracing.tape": ["Tape", "record"],
    "shoestring.kit.training.loop": ["DivergedError", "taught", "train"],
    "shoestring.kit.training.optimizers": ["LAMB", "LARS", "SGD", "Adagrad", "AdamW"],
    "shoestring.kit.training.settings": [
        "Averaged",
        "Clipped",
        "Constant",
        "Cosine",
        "Mixed",
        "MovingAverage",
        "Ramp",
        "Single",
        "Training",
        "Unclipped",
        "Workers",
    ],
    "shoestring.kit.training.silent": ["silent_branches"],
    "shoestring.kit.training.statistics": ["average_batch_norm"],
    "shoestring.kit.surgery.units": ["remove_dead_units"],
    "shoestring.kit.weights.model_state": ["ModelState", "state_of", "with_state"],
    "shoestring.kit.weights.parameters": [
        "Parameters",
        "ShortfallWarning",
        "SkippedWarning",
        "State",
        "Weight",
        "bake",
        "check_finite",
        "compressible",
        "first_fit",
        "parameters_of",
    ],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "LAMB",
    "LARS",
    "SGD",
    "Adagrad",
    "AdamW",
    "Agreement",
    "Averaged",
    "Carried",
    "Cents",
    "Clipped",
    "Constant",
    "Cosine",
    "DivergedError",
    "EarlyExits",
    "Edges",
    "Exactly",
    "ExitShare",
    "ExportError",
    "Exported",
    "Grid",
    "HashRouter",
    "Least",
    "Mean",
    "Mixed",
    "MixtureOfExperts",
    "ModelState",
    "MovingAverage",
    "Network",
    "Overlap",
    "Parameters",
    "Patterns",
    "Pictures",
    "Product",
    "Quantised",
    "Ramp",
    "RelativeError",
    "Routing",
    "RoutingWarning",
    "Same",
    "SameAnswer",
    "SameClass",
    "SameDirection",
    "ShortfallWarning",
    "Single",
    "SkippedWarning",
    "Sounds",
    "State",
    "Study",
    "StudyHeld",
    "StudyMismatch",
    "Supervised",
    "Tape",
    "Training",
    "Trial",
    "Unclipped",
    "Weight",
    "Within",
    "Workers",
    "accuracy",
    "average_batch_norm",
    "bake",
    "check_finite",
    "chosen",
    "clone",
    "compressible",
    "edges",
    "exit_shares",
    "expert_shares",
    "export",
    "fan_in_variance",
    "first_fit",
    "fold_batch_norm",
    "from_onnx",
    "from_shoe",
    "in_order",
    "listening",
    "load_into",
    "mirrored",
    "moved",
    "pack",
    "parameter_bytes",
    "parameters_of",
    "plain_module",
    "products",
    "progress",
    "record",
    "recover",
    "remove_dead_units",
    "restore",
    "resuming",
    "rows_where",
    "save",
    "settle_batch_norm",
    "silent_branches",
    "state_of",
    "taught",
    "touched",
    "train",
    "unit_variance",
    "with_state",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


class _Kit(ModuleType):
    """Keeps the module `progress`, once imported, from taking the name of the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _HOME):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Kit
