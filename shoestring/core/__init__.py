"""The core words: task, cost, budget, technique, meter and ledger; apply and prove."""

from shoestring.artifact.format.axes import Axis
from shoestring.core.apply import apply
from shoestring.core.budget import Budget, BudgetError, Share
from shoestring.core.cost import Cost
from shoestring.core.device import device_of, on_device
from shoestring.core.kinds import (
    BinaryLogits,
    BinaryProbabilities,
    Boxes,
    ClassLogits,
    Directions,
    Kind,
    NotTaught,
    Numbers,
    Own,
    Probabilities,
)
from shoestring.core.labels import LabelBudgetError, LabelTask, Purchases, label_task
from shoestring.core.ledger import Ledger, Row
from shoestring.core.meter import Gauge, Meter
from shoestring.core.model import unwrapped
from shoestring.core.prove import prove
from shoestring.core.resource import RESOURCES, Resource
from shoestring.core.spending import spend
from shoestring.core.task import (
    Predict,
    SealedError,
    Task,
    Vary,
    array,
    batches,
    check_task,
    evaluating,
    score,
    scores,
    seeded,
)
from shoestring.core.technique import ActsOnLayers, Chain, Stage, Strength, Technique, chain
from shoestring.core.view import View

__all__ = [
    "RESOURCES",
    "ActsOnLayers",
    "Axis",
    "BinaryLogits",
    "BinaryProbabilities",
    "Boxes",
    "Budget",
    "BudgetError",
    "Chain",
    "ClassLogits",
    "Cost",
    "Directions",
    "Gauge",
    "Kind",
    "LabelBudgetError",
    "LabelTask",
    "Ledger",
    "Meter",
    "NotTaught",
    "Numbers",
    "Own",
    "Predict",
    "Probabilities",
    "Purchases",
    "Resource",
    "Row",
    "SealedError",
    "Share",
    "Stage",
    "Strength",
    "Task",
    "Technique",
    "Vary",
    "View",
    "apply",
    "array",
    "batches",
    "chain",
    "check_task",
    "device_of",
    "evaluating",
    "label_task",
    "on_device",
    "prove",
    "score",
    "scores",
    "seeded",
    "spend",
    "unwrapped",
]
