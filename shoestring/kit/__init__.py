"""Mechanisms that several rooms use: weight states, training, export, progress. Needs the extra `train`."""

from shoestring.artifact.extras import missing as _missing

try:
    import onnx as _onnx  # noqa: F401
    import onnxscript as _onnxscript  # noqa: F401
    import torch as _torch  # noqa: F401
except ModuleNotFoundError:
    raise _missing("torch", "onnx", "onnxscript", extra="train") from None

from shoestring.kit.agreement import Agreement
from shoestring.kit.augment import mirrored, moved
from shoestring.kit.batch_norm import fold_batch_norm, settle_batch_norm
from shoestring.kit.calls import Carried
from shoestring.kit.export import (
    Exported,
    ExportError,
    export,
    pack,
    parameter_bytes,
    write,
)
from shoestring.kit.from_onnx import from_onnx, from_shoe
from shoestring.kit.inputs import Pictures, Sounds
from shoestring.kit.layers import Patterns, chosen, layers_of, touched
from shoestring.kit.network import Network
from shoestring.kit.product import Product
from shoestring.kit.progress import listening, progress
from shoestring.kit.quantised import Edges, Grid, Quantised, edges, plain_module, products
from shoestring.kit.restoring import restore
from shoestring.kit.resume import resuming
from shoestring.kit.same import (
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
)  # fmt: skip
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
    "AdamW", "Agreement", "Carried", "Cents", "Constant", "Cosine", "DivergedError", "Edges", "Exactly", "ExportError", "Exported", "Grid", "Least", "Mean", "Mixed", "ModelState", "Network", "Overlap", "Patterns",
    "Pictures", "Product",
    "Quantised", "Ramp", "RelativeError", "Same", "SameAnswer", "SameClass", "SameDirection", "ShortfallWarning", "Single", "SkippedWarning", "Sounds", "State", "Study", "StudyHeld", "StudyMismatch", "Supervised", "Tape", "Training", "Trial",
    "Weight", "Within", "accuracy",
    "bake", "check_finite", "chosen", "clone", "compressible", "edges", "export", "first_fit", "fold_batch_norm", "from_onnx", "from_shoe", "layers_of", "listening", "members", "mirrored", "moved",
    "pack", "parameter_bytes", "plain_module", "products", "progress", "record", "recover", "remove_dead_units", "restore", "resuming", "settle_batch_norm", "state_of",
    "taught", "touched", "train", "with_state", "write",
]  # fmt: skip
