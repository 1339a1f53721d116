"""Sequences of one to three items from tables, so that all of them can be counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from made_spelling import ALPHABET, directions, every_ending, spelling
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import seeded
from shoestring.dual import DualTask, Marginals, TwoWay

MOST, IDS = 3, 5
GIVEN = torch.tensor([[3, 2, 0], [4, 3, 2]])
"""What there is of each side: a short and a long example."""
NEVER = torch.tensor([-40.0, -40.0, 0, 0, 0])
"""Keeps the ids of padding and of the start from being written."""
PAIRS = GIVEN, torch.tensor([[3, 4, 4, 2], [4, 2, 0, 0]])


class Written(nn.Module):
    """p(next | last, first of what is given) as a table."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(IDS, IDS, IDS, generator=generator))

    def encode(self, source: Tensor) -> dict[str, Tensor]:
        return {"first": source[:, 0]}

    def step(self, last: Tensor, first: Tensor) -> dict[str, Tensor]:
        return {"logits": self.table[first, last] + NEVER}

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.table[source[:, :1], target] + NEVER


def tables() -> TwoWay:
    return TwoWay(Written(3), Written(4))


def lengths(examples: Tensor) -> Tensor:
    """Fluency: shorter examples are likelier, and those of many 3."""
    return (examples == 3).sum(1) - 0.7 * (examples != 0).sum(1)


def both_tables() -> DualTask:
    """What `tables` learn."""
    short = replace(ALPHABET, most=MOST)
    ahead, back = (replace(one, alphabet=short) for one in directions())
    return replace(
        spelling(),
        forward=ahead,
        backward=back,
        marginals=Marginals(source=lengths, target=lengths),
    )


def every_pair(given: Tensor) -> tuple[Tensor, Tensor]:
    """Each of these examples with each sequence that may be written of it."""
    every = every_ending(MOST, IDS)
    ended = (every == ALPHABET.end).cumsum(1) > 0
    every = every[((every > 1) | ended).all(1)]
    return given.repeat_interleave(len(every), 0), every.repeat(len(given), 1)


def expected_gradient(
    there: Any, part: nn.Module, alone: Tensor, reward: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Of the mean over `alone` of E[r] = sum over y of p(y|x) r(y), by counting all y."""
    given, made = every_pair(alone)
    chance = there.log_likelihood(part, given, made).exp()
    assert float(chance.detach().sum()) > 0.9999 * len(alone)
    total = (chance * reward(given, made).detach()).sum() / len(alone)
    (found,) = torch.autograd.grad(total, list(part.parameters()))
    return found


def policy_gradients(lesson: Callable[[float], Any], model: nn.Module, batch: Any) -> list[Tensor]:
    """What a policy of weight 1 adds to minus the gradients of the loss that trains, by part."""
    found = []
    for policy in (1.0, 0.0):
        with seeded(0):
            loss = lesson(policy).loss(model, batch)
        wrt = [one for one in model.parameters() if one.requires_grad]
        found.append(torch.autograd.grad(loss, wrt, allow_unused=True))
    return [b - a for a, b in zip(*found, strict=True) if a is not None and b is not None]


def check_like(got: Tensor, wanted: Tensor) -> None:
    """That two gradients are the same but for the noise of many samples."""
    cosine = functional.cosine_similarity(got.flatten(), wanted.flatten(), dim=0)
    assert float(cosine) > 0.995
    assert float(got.norm() / wanted.norm()) > 0.97 and float(got.norm() / wanted.norm()) < 1.03
