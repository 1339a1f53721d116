"""Nim as a Task without inputs and targets: who takes the last stone wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import LabelBudgetError, LabelTask, Predict, Task, array

STONES = 12
Player = Callable[[Tensor], Tensor]
"""Heaps N to the stones taken of each, 1 to 3."""


def features(heaps_N: Tensor) -> Tensor:
    """N×13: one hot."""
    return torch.nn.functional.one_hot(heaps_N, STONES + 1).float()


def network() -> nn.Module:
    """Heaps as `features` gives them to logits N×3 for taking one, two or three."""
    return nn.Sequential(
        nn.Linear(STONES + 1, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3)
    )


def legal(logits_N3: Tensor, heaps_N: Tensor) -> Tensor:
    """Minus infinity for what the heap has not got."""
    return logits_N3.masked_fill(torch.arange(1, 4) > heaps_N[:, None], -torch.inf)


def greedy(predict: Predict) -> Player:
    """Takes what a network says."""

    def player(heaps_N: Tensor) -> Tensor:
        return legal(torch.as_tensor(array(predict(features(heaps_N)))), heaps_N).argmax(-1) + 1

    return player


def anyhow(heaps_N: Tensor) -> Tensor:
    """A random legal move."""
    return torch.minimum(torch.randint(1, 4, heaps_N.shape), heaps_N)


def perfect(heaps_N: Tensor) -> Tensor:
    """Leaves a multiple of four where it can."""
    return torch.where(heaps_N % 4 > 0, heaps_N % 4, 1)


def play(mover: Player, other: Player, heaps_N: Tensor) -> Tensor:
    """1 for every heap whose last stone the mover takes, else -1."""
    heaps_N, result = heaps_N.clone(), torch.full(heaps_N.shape, -1.0)
    for ply in range(STONES):
        left = heaps_N > 0
        if not left.any():
            break
        heaps_N[left] -= (mover, other)[ply % 2](heaps_N[left])
        if ply % 2 == 0:
            result[left & (heaps_N == 0)] = 1.0
    return result


@dataclass(frozen=True, kw_only=True)
class Nim(Task):
    """Win against a random opponent, going first.

    The loss looks ahead: it plays each move out as the model would.
    """

    games: int = 300
    at_once: int = 48
    test_reads: list[str] | None = None

    def batches(self, split: str) -> Iterator[Tensor]:
        self._note(split)
        while True:
            yield torch.randint(1, STONES + 1, (self.at_once,))
            if split != "train":
                return

    def loss(self, model: Any, batch: Tensor) -> Tensor:
        heaps_N = batch
        with torch.no_grad():
            outcomes = torch.zeros(len(heaps_N), 3)
            for taken in range(1, 4):
                after = (heaps_N - taken).clamp_min(0)
                # Nothing left: the mover has won. Else the other is to move, and what it wins is
                # lost.
                outcomes[:, taken - 1] = torch.where(
                    after > 0, -play(greedy(model), greedy(model), after), 1.0
                )
        chances = legal(model(features(heaps_N)), heaps_N).softmax(-1)
        return -(chances * outcomes).sum(-1).mean()

    def score(self, predict: Predict, split: str) -> float:
        self._note(split)
        won = play(greedy(predict), anyhow, torch.randint(1, STONES + 1, (self.games,)))
        return float((won > 0).float().mean())

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (torch.zeros(2, STONES + 1),), {}

    def _note(self, split: str) -> None:
        if split == "test" and self.test_reads is not None:
            self.test_reads.append(split)


@dataclass(frozen=True, kw_only=True)
class Shop(Nim, LabelTask):
    """The game, with a hundred heaps of which an expert says, for a price, how many to take."""

    limit: int | None = None
    bought: tuple[int, ...] = ()
    answer: Callable[[list[int]], list[int]] = list

    def pool(self) -> list[int]:
        return [index for index in range(100) if index not in self.bought]

    def left(self) -> int | None:
        return None if self.limit is None else self.limit - len(self.bought)

    def known(self) -> list[int]:
        return list(self.bought)

    def inputs(self, indices: Any) -> Tensor:
        return features(torch.as_tensor(list(indices)) % STONES + 1)

    def labels(self, indices: Any) -> list[int]:
        return [index % 4 for index in indices]

    def outputs(self, model: Any, inputs: Tensor) -> Tensor:
        return model(inputs).detach()

    def losses(self, outputs: Tensor, labels: Any) -> Tensor:
        return torch.nn.functional.cross_entropy(outputs, torch.as_tensor(labels), reduction="none")

    def buy(self, indices: Any) -> Shop:
        fresh = [index for index in dict.fromkeys(indices) if index not in self.bought]
        if self.limit is not None and len(fresh) > self.limit - len(self.bought):
            raise LabelBudgetError(f"{len(fresh)} asked for")
        self.answer(fresh)
        return replace(self, bought=(*self.bought, *fresh))

    def with_labels(self, labels: Any, weights: Any = None, indices: Any = None) -> Shop:
        return replace(self, bought=tuple(indices))
