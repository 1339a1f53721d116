"""Mechanisms that several rooms use: weight states, training, export, progress. Needs the extra `train`."""

try:
    import onnx as _onnx  # noqa: F401
    import onnxscript as _onnxscript  # noqa: F401
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is not installed: it comes with the extra `train` (pip install 'shoestring[train]')", name=error.name
    ) from None

from shoestring.kit.augment import mirrored, moved
from shoestring.kit.batch_norm import fold_batch_norm, settle_batch_norm
from shoestring.kit.export import (
    Exported,
    ExportError,
    export,
    pack,
    parameter_bytes,
    restore,
    write,
)
from shoestring.kit.layers import Patterns, chosen, layers_of, touched
from shoestring.kit.product import Product
from shoestring.kit.progress import listening, progress
from shoestring.kit.quantised import Edges, Grid, Quantised, edges, plain_module, products
from shoestring.kit.resume import resuming
from shoestring.kit.study import Study, StudyHeld, StudyMismatch, Trial
from shoestring.kit.supervised import Supervised, accuracy
from shoestring.kit.tape import Tape, record
from shoestring.kit.train import DivergedError, recover, taught, train
from shoestring.kit.training import AdamW, Constant, Cosine, Mixed, Ramp, Single, Training
from shoestring.kit.units import remove_dead_units
from shoestring.kit.weights import (
    ModelState,
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
    state_of,
    with_state,
)

__all__ = [
    "AdamW", "Constant", "Cosine", "DivergedError", "Edges", "ExportError", "Exported", "Grid", "Mixed", "ModelState", "Patterns", "Product",
    "Quantised", "Ramp", "ShortfallWarning", "Single", "SkippedWarning", "State", "Study", "StudyHeld", "StudyMismatch", "Supervised", "Tape", "Training", "Trial",
    "Weight", "accuracy",
    "bake", "check_finite", "chosen", "clone", "compressible", "edges", "export", "first_fit", "fold_batch_norm", "layers_of", "listening", "members", "mirrored", "moved",
    "pack", "parameter_bytes", "plain_module", "products", "progress", "record", "recover", "remove_dead_units", "restore", "resuming", "settle_batch_norm", "state_of",
    "taught", "touched", "train", "with_state", "write",
]  # fmt: skip
