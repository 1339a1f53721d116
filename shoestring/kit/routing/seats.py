"""The parts of a mixture that choose experts, and those that only a training computes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_REMEMBERED = 0.98
"""How much of the shares of a training step is what they were: about 50 steps count."""
_NEVER = -1e29
"""A logit that is as good as -inf."""
_SURE = 50.0
"""A logit beside zeros, of which the softmax is 1."""


class Choice(nn.Module):
    """Weights M×top_k and experts M×top_k (int64), from logits M×experts."""

    def __init__(self, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k

    def forward(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely experts of each row, the best first; of equal ones the first."""
        if self.top_k == 1:
            return logits.softmax(-1).max(-1, keepdim=True)
        # Not topk: it leaves open which of equal ones comes first, and runtimes differ.
        best: list[Tensor] = []
        route: list[Tensor] = []
        # What the caller gives as -inf stays above what was chosen already.
        left = logits.clamp(min=_NEVER)
        numbers = torch.arange(logits.shape[-1], device=logits.device)
        for _ in range(self.top_k):
            value, number = left.max(-1, keepdim=True)
            best.append(value)
            route.append(number)
            left = left.masked_fill(numbers == number, 10 * _NEVER)
        return torch.cat(best, -1).softmax(-1), torch.cat(route, -1)


class HashRouter(nn.Module):
    """A table that sends each id to its expert, in place of a router that learns.

    Source: Roller et al. 2021, section 3. A mixture with it is called with the logits that this
    gives for the ids: `mixture(values, mixture.router(ids))`.

    `assigned`: the expert of each id (int64). `experts`: how many there are; those that no id is
    assigned to get no row.
    Raises ValueError for a table that names an expert which does not exist.
    """

    assigned: Tensor

    def __init__(self, assigned: Tensor, experts: int) -> None:
        super().__init__()
        if not 0 <= int(assigned.min()) <= int(assigned.max()) < experts:
            raise ValueError(
                f"the table names the experts {int(assigned.min())} to {int(assigned.max())}, and "
                f"there are {experts}: give numbers from 0 to {experts - 1}"
            )
        self.experts = experts
        self.register_buffer("assigned", assigned)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (..., experts), of ids (...): of their softmax one is 1, and the others are 0.

        Raises ValueError for numbers that are no integers.
        """
        if ids.is_floating_point():
            raise ValueError(
                "a HashRouter is given ids, as integers, and got floating-point numbers: call the "
                "mixture with mixture(values, mixture.router(ids))"
            )
        numbers = torch.arange(self.experts, device=ids.device)
        return (self.assigned[ids].unsqueeze(-1) == numbers).float() * _SURE


class Jitter(nn.Module):
    """In training, multiplies values by numbers from 1 - width to 1 + width."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, values: Tensor) -> Tensor:
        """The values, in training with noise."""
        if not self.training or not self.width:
            return values
        return values * torch.empty_like(values).uniform_(1 - self.width, 1 + self.width)


class Seats(nn.Module):
    """Which rows an expert takes in training, where its capacity is limited.

    `shares`: the share of the rows that each expert got lately; None before any.
    `dropped`: the share of the rows that were beyond the capacity lately.
    """

    def __init__(self, experts: int, capacity_factor: float | None) -> None:
        super().__init__()
        self.experts, self.capacity_factor = experts, capacity_factor
        self.shares: Tensor | None = None
        self.dropped = 0.0

    def forward(self, route: Tensor, counted: Tensor | None) -> tuple[Tensor, int]:
        """The experts of each row, M×top_k, the number of experts where it is dropped; how many.

        First choices of all rows are served before any second choice. A row that does not count
        takes no seat and is never dropped.
        """
        sent = functional.one_hot(route, self.experts)  # M×top_k×experts
        if counted is not None:
            sent = sent * counted.flatten().view(-1, 1, 1)
        total = int(sent.sum())
        kept, dropped = route, 0
        if self.capacity_factor is not None:
            most = max(1, math.ceil(self.capacity_factor * total / self.experts))
            in_turn = sent.transpose(0, 1).flatten(0, 1)  # first choices first
            turn = (in_turn.cumsum(0) * in_turn).sum(-1)  # from 1, among those of an expert
            turn = turn.view(route.shape[1], route.shape[0]).transpose(0, 1)
            kept = torch.where(turn <= most, route, self.experts)
            dropped = int((kept == self.experts).sum())
        if total:
            self._remember(sent.float().sum((0, 1)) / total, dropped / total)
        return kept, dropped

    def _remember(self, shares: Tensor, dropped: float) -> None:
        if self.shares is None:
            self.shares, self.dropped = shares, dropped
        else:
            self.shares = _REMEMBERED * self.shares.to(shares.device) + (1 - _REMEMBERED) * shares
            self.dropped = _REMEMBERED * self.dropped + (1 - _REMEMBERED) * dropped


class AddedLoss(nn.Module):
    """The balance loss and the z-loss, with their weights."""

    def __init__(self, balance: float, router_z: float) -> None:
        super().__init__()
        self.balance, self.router_z = balance, router_z

    def forward(self, logits: Tensor, route: Tensor, counted: Tensor | None) -> Tensor:
        """One number, of logits M×experts and experts M×top_k of the rows that count."""
        if counted is not None:
            logits, route = logits[counted.flatten()], route[counted.flatten()]
            if not len(logits):
                return logits.sum()  # 0
        count = logits.shape[-1]
        shares = functional.one_hot(route, count).float().mean((0, 1))
        balance = count * (shares * logits.softmax(-1).mean(0)).sum()
        return self.balance * balance + self.router_z * logits.logsumexp(-1).square().mean()
