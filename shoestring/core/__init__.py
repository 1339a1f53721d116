"""The words of the house: six nouns and two verbs."""

from shoestring.core.apply import apply
from shoestring.core.budget import Budget, BudgetError
from shoestring.core.cost import Cost
from shoestring.core.ledger import Ledger, Row
from shoestring.core.meter import Meter
from shoestring.core.prove import prove
from shoestring.core.task import LabelBudgetError, Oracle, Predict, SealedError, Task, Vary, array, evaluating, score, seeded
from shoestring.core.technique import ActsOnLayers, Chain, Stage, Strength, Technique, chain

__all__ = [
    "ActsOnLayers", "Budget", "BudgetError", "Chain", "Cost", "LabelBudgetError", "Ledger", "Meter", "Oracle", "Predict", "Row",
    "SealedError", "Stage", "Strength", "Task", "Technique", "Vary", "apply", "array", "chain", "evaluating", "prove", "score", "seeded",
]  # fmt: skip
