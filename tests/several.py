"""Models that are called in several ways, and tasks that name these.

Two towers, and an encoder with the step of its decoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Task, Vary, array, seeded
from shoestring.kit import AdamW, Training, train

WORDS, WIDTH, LENGTH = 300, 24, 3
START = 9
_SEEDS = {"train": 0, "validation": 1, "test": 2}


class Tower(nn.Module):
    """Ids N×T to vectors N×8."""

    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        self.words, self.hidden, self.out = words, nn.Linear(WIDTH, 16), nn.Linear(16, 8)

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(self.words(ids).mean(1))))


def towers() -> nn.ModuleDict:
    """Two towers over one embedding."""
    with seeded(0):
        words = nn.Embedding(WORDS, WIDTH)
        return nn.ModuleDict({"query": Tower(words), "item": Tower(words)})


@dataclass(frozen=True)
class Matching(Task):
    """Which of 16 items belongs to a query: that which has the same words, in another order."""

    name: str = "matching"

    def pairs(self, split: str) -> tuple[Tensor, Tensor]:
        """Ids 64×5 of queries and of their items."""
        with seeded(_SEEDS[split]):
            ids = torch.randint(0, WORDS, (64, 5))
        return ids, ids.flip(1)

    def batches(self, split: str) -> Iterable[Any]:
        query, item = self.pairs(split)
        return [(query[at : at + 16], item[at : at + 16]) for at in range(0, 64, 16)]

    def loss(self, model: Any, batch: Any) -> Tensor:
        likeness = model.query(batch[0]) @ model.item(batch[1]).T
        return functional.cross_entropy(likeness, torch.arange(len(likeness)))

    def merits(self, predict: Any, split: str) -> Any:
        found: list[Tensor] = []
        for query, item in self.batches(split):
            one, other = (
                torch.as_tensor(array(v)) for v in (predict.query(query), predict.item(item))
            )
            found.append((one @ other.T).argmax(1) == torch.arange(len(query)))
        return torch.cat(found).double().numpy()

    def score(self, predict: Any, split: str) -> float:
        return float(self.merits(predict, split).mean())

    def example(self) -> dict[str, Any]:
        ids = torch.randint(0, WORDS, (4, 5))
        return {
            "query": ((Vary(ids, {0: "N", 1: "T"}),), {}),
            "item": ((), {"ids": Vary(ids, {0: "N", 1: "T"})}),
        }


class Copier(nn.Module):
    """Reads digits and writes them again, one at a time. It has no forward()."""

    def __init__(self) -> None:
        super().__init__()
        self.digits = nn.Embedding(10, 16)
        self.reader = nn.GRU(16, 48, batch_first=True)
        self.bridge = nn.Sequential(nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 48))
        self.writer = nn.GRUCell(16, 48)
        self.out = nn.Linear(48, 10)

    def encode(self, ids: Tensor) -> Tensor:
        """Ids N×T to a state N×48."""
        return self.bridge(self.reader(self.digits(ids))[1][0])

    def step(self, last: Tensor, state: Tensor) -> dict[str, Tensor]:
        """The digit N before, and the state, to logits N×10 and the next state."""
        state = self.writer(self.digits(last), state)
        return {"logits": self.out(state), "state": state}


def greedy(predict: Any, ids: Tensor) -> Tensor:
    """What a model or a file writes for ids N×T, one digit after the other, N×T."""
    state, last, said = predict.encode(ids), torch.full((len(ids),), START), []
    for _ in range(ids.shape[1]):
        answer = predict.step(last, state)
        state, last = answer["state"], torch.as_tensor(array(answer["logits"])).argmax(-1)
        said.append(last)
    return torch.stack(said, 1)


@dataclass(frozen=True)
class Copying(Task):
    """The share of digits that are written as they were read."""

    name: str = "copying"

    def ids(self, split: str) -> Tensor:
        """128 rows of three digits below 9."""
        with seeded(_SEEDS[split]):
            return torch.randint(0, 9, (128, LENGTH))

    def batches(self, split: str) -> Iterable[Tensor]:
        if split == "train":
            return (torch.randint(0, 9, (32, LENGTH)) for _ in range(40))
        return self.ids(split).split(32)

    def loss(self, model: Any, batch: Tensor) -> Tensor:
        state, last, total = model.encode(batch), torch.full((len(batch),), START), torch.zeros(())
        for target in batch.unbind(1):
            answer = model.step(last, state)
            state, last, total = (
                answer["state"],
                target,
                total + functional.cross_entropy(answer["logits"], target),
            )
        return total / batch.shape[1]

    def merits(self, predict: Any, split: str) -> Any:
        ids = self.ids(split)
        return (greedy(predict, ids) == ids).double().mean(1).numpy()

    def score(self, predict: Any, split: str) -> float:
        return float(self.merits(predict, split).mean())

    def example(self) -> dict[str, Any]:
        ids = torch.randint(0, 9, (4, LENGTH))
        return {
            "encode": ((Vary(ids, {0: "N", 1: "T"}),), {}),
            "step": ((torch.zeros(4, dtype=torch.long),), {"state": torch.randn(4, 48)}),
        }


def copier(steps: int = 300) -> nn.Module:
    """One that was trained for so many steps: 300 are enough for nearly all digits."""
    with seeded(0):
        return train(Copier(), Copying().sealed(), Training(steps, AdamW(1e-2)))
