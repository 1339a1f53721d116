"""A layer of several experts, of which each example uses one or two."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from shoestring.core.task import evaluating
from shoestring.kit.routing.added_loss import with_loss
from shoestring.kit.routing.rows import in_order, rows_where

_REMEMBERED = 0.98
"""How much of the shares of a training step is what they were: about 50 steps count."""


class MixtureOfExperts(nn.Module):
    """Experts of one shape, and a router that sends each example to the best one or two of them.

    In a file only the experts that some example of the batch is sent to are computed, so that more
    experts take more bytes and hardly more milliseconds.

    Saves: milliseconds, against one network as large as all experts.
    Costs: bytes; about 3 microseconds for each expert in a run.
    Source: Shazeer et al. 2017, section 2 (two active experts); Fedus, Zoph & Shazeer 2021, section
    2 (one active expert, capacity, the balance loss); Zoph et al. 2022, equation 5 (the z-loss).
    Differs: the balance and z-losses reach the weights in the backward pass (`with_loss`), so that
    every task trains the layer and none knows of it; no capacity in evaluation mode.

    `experts`: modules that take rows (M, ...) and give as many; all give the same shape.
    `router`: a module that takes the layer's input and gives logits, (N, experts) for an example
        each, or (N, T, experts) for a word each. The leading axes of the logits are the rows that
        are sent apart.
    `active`: how many experts a row is sent to, 1 up to their number. One is weighted by its
        probability; of several the weights add up to 1.
    `balance`: the weight of the loss that is least where all experts get equal shares; 0: none.
    `z`: the weight of the loss that keeps logits small; 0: none.
    `jitter`: in training, the router's input is multiplied by numbers from 1 - jitter to
        1 + jitter; 0 up to 1.
    `capacity`: in training, the most rows that an expert takes, as a multiple of an equal share,
        above 0; None: all. The output of the experts for a row beyond that is 0, and
        `RoutingWarning` says after the training how many there were. In
        evaluation mode and in files no row is dropped.

    `forward` takes (N, ...) or (N, T, ...), and, where the caller decides, the logits. Raises
    ValueError for other numbers, for logits that are not one for each expert, and for experts whose
    outputs differ in shape.
    """

    def __init__(
        self,
        experts: Iterable[nn.Module],
        router: nn.Module | None = None,
        *,
        active: int = 1,
        balance: float = 0.01,
        z: float = 0.001,
        jitter: float = 0.0,
        capacity: float | None = None,
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)
        if not 1 <= active <= len(self.experts):
            raise ValueError(
                f"{active} of {len(self.experts)} experts are active: give 1 up to their number"
            )
        if balance < 0 or z < 0 or not 0 <= jitter < 1:
            raise ValueError(
                f"balance is {balance}, z {z} and jitter {jitter}: give 0 or more, and a jitter "
                "below 1"
            )
        if capacity is not None and not capacity > 0:
            raise ValueError(
                f"the capacity is {capacity}: give a multiple of an equal share, such as 1.25, or "
                "None for no limit"
            )
        self.router = router
        self.choose = Choice(active)
        self.balance, self.z, self.jitter, self.capacity = balance, z, jitter, capacity
        self.shares: Tensor | None = None
        """The share of the rows that each expert got lately in training; None: not trained."""
        self.dropped = 0.0
        """The share of the rows that were beyond the capacity lately in training."""

    def forward(self, values: Tensor, logits: Tensor | None = None) -> Tensor:
        """The weighted sum of the outputs of each row's experts.

        `logits`: in place of the router's.
        """
        logits = self._routed(values) if logits is None else logits
        if logits.shape[-1] != len(self.experts):
            raise ValueError(
                f"the router gives {logits.shape[-1]} logits for {len(self.experts)} experts: give "
                "it one output for each"
            )
        lead = logits.ndim - 1
        rows, logits = values.flatten(0, lead - 1), logits.flatten(0, lead - 1).float()
        weights, route = self.choose(logits)
        output = self._mixed(rows, weights, route)
        if self.training:
            output = with_loss(output, self._added_loss(logits, route))
        return output.unflatten(0, values.shape[:lead]) if lead > 1 else output

    def _routed(self, values: Tensor) -> Tensor:
        if self.router is None:
            raise ValueError("this mixture has no router: call it with logits, or give it a router")
        if self.training and self.jitter:
            values = values * torch.empty_like(values).uniform_(1 - self.jitter, 1 + self.jitter)
        return self.router(values)

    def _mixed(self, rows: Tensor, weights: Tensor, route: Tensor) -> Tensor:
        """The output of rows M, from the weights and the numbers of their experts, M×active."""
        kept = self._within_capacity(route) if self.training else route
        parts: list[Tensor] = []
        for number, expert in enumerate(self.experts):
            parts.append(self._answer(expert, rows_where(rows, (kept == number).any(-1)), number))
        if not torch.compiler.is_exporting():
            _check_shapes(parts)
        if self.training and (dropped := int((kept == len(self.experts)).sum())):
            parts.append(parts[0].new_zeros(dropped, *parts[0].shape[1:]))
        mixed = in_order(parts, kept.flatten())
        weights = weights.to(mixed.dtype).view(-1, *[1] * (mixed.ndim - 1))
        mixed = mixed * weights
        active = route.shape[-1]
        return mixed if active == 1 else mixed.unflatten(0, (-1, active)).sum(1)

    def _answer(self, expert: nn.Module, sent: Tensor, number: int) -> Tensor:
        """What an expert gives; raises ValueError where that is not a row for each."""
        if self.training and len(sent) < 2:  # too few for the statistics of batch norm
            with evaluating(expert):
                answer = expert(sent)
        else:
            answer = expert(sent)
        if not torch.compiler.is_exporting() and len(answer) != len(sent):
            raise ValueError(
                f"expert {number} gives {len(answer)} rows for {len(sent)}: an expert must give a "
                "row for each"
            )
        return answer

    def _within_capacity(self, route: Tensor) -> Tensor:
        """The experts of each row, M×active; the number of experts where a row is dropped."""
        count = len(self.experts)
        sent = torch.nn.functional.one_hot(route.flatten(), count)
        kept = route
        if self.capacity is not None:
            most = max(1, math.ceil(self.capacity * route.numel() / count))
            turn = (sent.cumsum(0) * sent).sum(-1)  # from 1, among those of the same expert
            kept = torch.where((turn <= most).view_as(route), route, count)
        shares = sent.float().mean(0)
        dropped = float((kept == count).float().mean())
        if self.shares is None:
            self.shares, self.dropped = shares, dropped
        else:
            self.shares = _REMEMBERED * self.shares.to(shares.device) + (1 - _REMEMBERED) * shares
            self.dropped = _REMEMBERED * self.dropped + (1 - _REMEMBERED) * dropped
        return kept

    def _added_loss(self, logits: Tensor, route: Tensor) -> Tensor:
        """The balance loss and the z-loss, with their weights."""
        count = len(self.experts)
        shares = torch.nn.functional.one_hot(route, count).float().mean((0, 1))
        balance = count * (shares * logits.softmax(-1).mean(0)).sum()
        return self.balance * balance + self.z * logits.logsumexp(-1).square().mean()


class Choice(nn.Module):
    """Weights M×active and experts M×active (int64), from logits M×experts."""

    def __init__(self, active: int) -> None:
        super().__init__()
        self.active = active

    def forward(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely experts of each row, the best first; of equal ones the first."""
        if self.active == 1:
            return logits.softmax(-1).max(-1, keepdim=True)
        # Not topk: it leaves open which of equal ones comes first, and runtimes differ.
        best: list[Tensor] = []
        route: list[Tensor] = []
        left, numbers = logits, torch.arange(logits.shape[-1], device=logits.device)
        for _ in range(self.active):
            value, number = left.max(-1, keepdim=True)
            best.append(value)
            route.append(number)
            left = left.masked_fill(numbers == number, -1e30)
        return torch.cat(best, -1).softmax(-1), torch.cat(route, -1)


def _check_shapes(parts: list[Tensor]) -> None:
    """Raises ValueError where the experts give rows of several shapes."""
    for number, part in enumerate(parts):
        if part.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"expert {number} gives rows of shape {list(part.shape[1:])}, and expert 0 "
                f"{list(parts[0].shape[1:])}: experts must give one shape"
            )
