"""Where the examples of a task leave a network with early exits: a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, array, seeded
from shoestring.core.device import called_from_processor
from shoestring.core.task import evaluating
from shoestring.kit.routing.exits import EarlyExits, are_sure


@dataclass(frozen=True, kw_only=True)
class ExitShare:
    """How many examples leave at an exit, and how well these are answered.

    `name`: the block that the exit stands behind; "" for the end of the network.
    `share`: of the examples that leave there, 0 to 1; the shares add up to 1.
    `score`: the task's score of those alone; None where there are none, and for a score that is no
        mean over examples.
    """

    name: str
    share: float
    score: float | None


def exit_shares(model: nn.Module, task: Task, split: str = "validation") -> list[ExitShare]:
    """Where the examples of a split leave: a row for each exit, in order, and one for the end.

    Raises ValueError for a model that is no EarlyExits, and for a task whose score never calls it.
    """
    if not isinstance(model, EarlyExits):
        raise ValueError(
            f"the model is a {type(model).__name__} and has no early exits: give what "
            "distill.EarlyExit returns"
        )
    watched = _Watched(model)
    with (
        seeded(0),
        torch.no_grad(),
        evaluating(watched),
        called_from_processor(watched),
    ):
        merits = task.merits(watched, split)
        if merits is None:
            watched.left.clear()
            task.score(watched, split)
    if not watched.left or not len(left := torch.cat(watched.left)):
        raise ValueError(f"the task's score never called the model on the {split} split")
    each = None if merits is None else torch.from_numpy(array(merits)).double()
    if each is not None and each.shape != left.shape:  # not one for each example
        each = None
    rows: list[ExitShare] = []
    for at, name in enumerate((*model.names, "")):
        here = left == at
        own = each[here].mean().item() if each is not None and here.any() else None
        rows.append(ExitShare(name=name, share=here.double().mean().item(), score=own))
    return rows


class _Watched(nn.Module):
    """Answers as the network does, and notes at which exit each example leaves."""

    def __init__(self, model: EarlyExits) -> None:
        super().__init__()
        self.model, self.left = model, list[Tensor]()

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Logits N×classes."""
        *early, answer = self.model.at_each(*args, **kwargs)
        left = torch.full((len(answer),), len(early), device=answer.device)
        for at, logits in reversed(list(enumerate(early))):
            sure = are_sure(logits, self.model.sure_above)
            left = torch.where(sure, at, left)
            answer = torch.where(sure[:, None], logits, answer)
        self.left.append(left.cpu())
        return answer
