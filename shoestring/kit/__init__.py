"""Mechanisms that several rooms use: weight states, training, export, progress.

Needs the extra `train`.
"""

from shoestring.artifact.errors import missing as _missing

try:
    import onnx as _onnx  # noqa: F401
    import onnxscript as _onnxscript  # noqa: F401
    import torch as _torch  # noqa: F401
except ModuleNotFoundError:
    raise _missing("torch", "onnx", "onnxscript", extra="train") from None

from shoestring.kit.exporting.export import (
    Exported,
    ExportError,
    export,
    pack,
    parameter_bytes,
    write,
)
from shoestring.kit.exporting.restoring import restore
from shoestring.kit.importing.from_onnx import from_onnx, from_shoe
from shoestring.kit.importing.network import Network
from shoestring.kit.progress import listening, progress
from shoestring.kit.quantised.module import Edges, Grid, Quantised, edges, plain_module, products
from shoestring.kit.study import Study, StudyHeld, StudyMismatch, Trial
from shoestring.kit.surgery.batch_norm import fold_batch_norm, settle_batch_norm
from shoestring.kit.surgery.units import remove_dead_units
from shoestring.kit.tracing.calls import Carried
from shoestring.kit.tracing.product import Product
from shoestring.kit.tracing.tape import Tape, record
from shoestring.kit.training.agreement import Agreement
from shoestring.kit.training.augment import mirrored, moved
from shoestring.kit.training.inputs import Pictures, Sounds
from shoestring.kit.training.loop import DivergedError, recover, taught, train
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
from shoestring.kit.training.settings import AdamW, Constant, Cosine, Mixed, Ramp, Single, Training
from shoestring.kit.training.supervised import Supervised, accuracy
from shoestring.kit.weights.layers import Patterns, chosen, touched
from shoestring.kit.weights.parameters import (
    ModelState,
    Parameters,
    ShortfallWarning,
    SkippedWarning,
    State,
    Weight,
    bake,
    check_finite,
    clone,
    compressible,
    first_fit,
    members,
    parameters_of,
    state_of,
    with_state,
)

__all__ = [
    "AdamW",
    "Agreement",
    "Carried",
    "Cents",
    "Constant",
    "Cosine",
    "DivergedError",
    "Edges",
    "Exactly",
    "ExportError",
    "Exported",
    "Grid",
    "Least",
    "Mean",
    "Mixed",
    "ModelState",
    "Network",
    "Overlap",
    "Parameters",
    "Patterns",
    "Pictures",
    "Product",
    "Quantised",
    "Ramp",
    "RelativeError",
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
    "Weight",
    "Within",
    "accuracy",
    "bake",
    "check_finite",
    "chosen",
    "clone",
    "compressible",
    "edges",
    "export",
    "first_fit",
    "fold_batch_norm",
    "from_onnx",
    "from_shoe",
    "listening",
    "members",
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
    "settle_batch_norm",
    "state_of",
    "taught",
    "touched",
    "train",
    "with_state",
    "write",
]
