"""A layer of several experts, of which each example uses one or two."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core.task import evaluating
from shoestring.kit.routing.added_loss import with_loss
from shoestring.kit.routing.rows import in_order, rows_where
from shoestring.kit.routing.seats import AddedLoss, Choice, Jitter, Seats
from shoestring.kit.routing.traced import takes_every_row
from shoestring.kit.routing.verdict import Routing, RoutingWarning


class MixtureOfExperts(nn.Module):
    """Experts of one shape, and a router that sends each example to the best one or two of them.

    In a file only the experts that some example of the batch is sent to are computed, so that more
    experts take more bytes and hardly more milliseconds.

    Saves: milliseconds, against one network as large as all experts.
    Costs: bytes; in a run, some operators on no rows for each expert.
    Source: Shazeer et al. 2017, section 2 (two active experts); Fedus, Zoph & Shazeer 2021, section
    2 (one active expert, capacity, the balance loss); Lepikhin et al. 2021 (GShard), algorithm 1
    (the first choices of all rows take their seats before any second choice); Zoph et al. 2022,
    equation 5 (the z-loss).
    Differs: the balance and z-losses reach the weights in the backward pass (`with_loss`), so that
    every task trains the layer and none knows of it; no capacity in evaluation mode.

    `experts`: modules that take rows (M, ...) and give as many; all give the same shape.
    `router`: a module that takes the layer's input and gives logits, (N, experts) for an example
        each, or (N, T, experts) for a word each. The leading axes of the logits are the rows that
        are sent apart.
    `top_k`: how many experts a row is sent to, 1 up to their number. One is weighted by its
        probability; of several the weights add up to 1.
    `balance`: the weight of the loss that is least where all experts get equal shares; 0: none.
    `router_z`: the weight of the loss that keeps logits small; 0: none.
    `jitter`: in training, the router's input is multiplied by numbers from 1 - jitter to
        1 + jitter; 0 up to 1.
    `capacity_factor`: in training, the most rows that an expert takes, as a multiple of an equal
        share, above 0; None: all. The output of the experts for a row beyond that is 0, and
        `RoutingWarning` says after the training how many there were. In evaluation mode and in
        files no row is dropped.

    The two losses count whole in each backward pass. A loop that adds up the gradients of K
    batches, each divided by K, divides `balance` and `router_z` by K.

    `forward` takes (N, ...) or (N, T, ...), where the caller decides, the logits, and, where some
    rows are padding, which rows count. Raises ValueError for other numbers, for logits that are not
    one for each expert and row, and for experts whose outputs differ in shape or that take no
    batch of 0 rows, which they get where no row is sent to them.
    """

    def __init__(
        self,
        experts: Iterable[nn.Module],
        router: nn.Module | None = None,
        *,
        top_k: int = 1,
        balance: float = 0.01,
        router_z: float = 0.001,
        jitter: float = 0.0,
        capacity_factor: float | None = None,
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)
        if not len(self.experts):
            raise ValueError("the mixture has no experts: give a list of two modules or more")
        if not isinstance(top_k, int) or not 1 <= top_k <= len(self.experts):
            raise ValueError(
                f"top_k is {top_k} of {len(self.experts)} experts: give an integer, 1 up to their "
                "number"
            )
        if not (0 <= balance < math.inf and 0 <= router_z < math.inf and 0 <= jitter < 1):
            raise ValueError(
                f"balance is {balance}, router_z {router_z} and jitter {jitter}: give 0 or more, "
                "and a jitter below 1"
            )
        if capacity_factor is not None and not 0 < capacity_factor < math.inf:
            raise ValueError(
                f"the capacity_factor is {capacity_factor}: give a multiple of an equal share, "
                "such as 1.25, or None for no limit"
            )
        self.router = router
        self.choose = Choice(top_k)
        # What only a training computes has modules of its own: what reads or rounds the calls of
        # this one finds as many in training as in evaluation.
        self.jittered = Jitter(jitter)
        self.seats = Seats(len(self.experts), capacity_factor)
        self.added_loss = AddedLoss(balance, router_z)

    def forward(
        self, values: Tensor, logits: Tensor | None = None, *, counted: Tensor | None = None
    ) -> Tensor:
        """The weighted sum of the outputs of each row's experts.

        `logits`: in place of the router's.
        `counted`: which rows count, bool (N) or (N, T), as the logits' leading axes; None: all. The
            others, such as padding, are sent to experts as well, so that a file needs no mask. In
            training they take no seats of the capacity and have no part in the losses and shares.
        """
        if logits is not None and not logits.is_floating_point():
            raise ValueError(
                f"the logits are {logits.dtype}: where these are ids, and the router a HashRouter, "
                "call the mixture with mixture(values, mixture.router(ids))"
            )
        logits = self._routed(values) if logits is None else logits
        if logits.shape[-1] != len(self.experts):
            raise ValueError(
                f"the router gives {logits.shape[-1]} logits for {len(self.experts)} experts: give "
                "it one output for each"
            )
        lead = logits.ndim - 1
        if not torch.compiler.is_exporting() and not (
            lead and logits.shape[:-1] == values.shape[:lead]
        ):
            raise ValueError(
                f"the logits are {list(logits.shape)} for values {list(values.shape)}: give logits "
                f"for each row, [N, {len(self.experts)}] or [N, T, {len(self.experts)}], whose "
                "leading axes are those of the values"
            )
        if counted is not None and (
            counted.shape != logits.shape[:-1] or counted.dtype is not torch.bool
        ):
            raise ValueError(
                f"the rows that count are {list(counted.shape)} of {counted.dtype}, and the rows "
                f"{list(logits.shape[:-1])}: give a bool for each"
            )
        rows, logits = values.flatten(0, lead - 1), logits.flatten(0, lead - 1).float()
        if takes_every_row() and not self.training:
            output = self._of_all(rows, logits)
        else:
            output = self._of_chosen(rows, logits, counted)
        return output.unflatten(0, values.shape[:lead]) if lead > 1 else output

    @property
    def shares(self) -> Tensor | None:
        """The share of the rows that each expert got lately in training; None: not trained."""
        return self.seats.shares

    @property
    def dropped(self) -> float:
        """The share of the rows that were beyond the capacity lately in training."""
        return self.seats.dropped

    def of_training(self) -> dict[str, Any]:
        """What the layer remembers of its training: `shares` and `dropped`."""
        return {"shares": self.shares, "dropped": self.dropped}

    def go_on_from(self, remembered: Mapping[str, Any]) -> None:
        """Remember what `of_training` gave."""
        self.seats.shares, self.seats.dropped = remembered["shares"], remembered["dropped"]

    def after_training(self, name: str) -> Warning | None:
        """What is to be said after a training. `name`: the layer's, in the model."""
        if self.shares is None:
            return None
        total = float(self.shares.sum())
        shares = tuple(share / total for share in self.shares.tolist())
        told = Routing(name=name, shares=shares, dropped=self.dropped).verdict()
        return RoutingWarning(f"after the training, {told}") if told else None

    def _routed(self, values: Tensor) -> Tensor:
        if self.router is None:
            raise ValueError("this mixture has no router: call it with logits, or give it a router")
        return self.router(self.jittered(values))

    def _of_chosen(self, rows: Tensor, logits: Tensor, counted: Tensor | None) -> Tensor:
        weights, route = self.choose(logits)
        if not self.training:
            return self._mixed(rows, weights, route, 0)
        output = self._mixed(rows, weights, *self.seats(route, counted))
        return with_loss(output, self.added_loss(logits, route, counted))

    def _mixed(self, rows: Tensor, weights: Tensor, kept: Tensor, dropped: int) -> Tensor:
        """The output of rows M, from the weights and the numbers of their experts, M×top_k.

        `dropped`: how many of the numbers are that of no expert.
        """
        parts: list[Tensor] = []
        for number, expert in enumerate(self.experts):
            parts.append(self._answer(expert, rows_where(rows, (kept == number).any(-1)), number))
        if not torch.compiler.is_exporting():
            _check_shapes(parts)
        if dropped:
            parts.append(parts[0].new_zeros(dropped, *parts[0].shape[1:]))
        mixed = in_order(parts, kept.flatten())
        weights = weights.to(mixed.dtype).view(-1, *[1] * (mixed.ndim - 1))
        mixed = mixed * weights
        top_k = kept.shape[-1]
        return mixed if top_k == 1 else mixed.unflatten(0, (-1, top_k)).sum(1)

    def _of_all(self, rows: Tensor, logits: Tensor) -> Tensor:
        """The weighted sum of all experts on all rows, with a weight above 0 for each."""
        # By way of Python, as where the flow of control depends on a value: so whoever follows
        # dependencies sees that the router must keep its outputs, and not that each number of the
        # answer depends on it.
        count = len(self.experts)
        mixed = (0.5 * logits.softmax(-1) + 0.5 / count).tolist()
        weights = torch.tensor(mixed, dtype=rows.dtype, device=rows.device)
        parts = [self._answer(expert, rows, number) for number, expert in enumerate(self.experts)]
        _check_shapes(parts)
        weights = weights.view(-1, count, *[1] * (parts[0].ndim - 1))
        total = parts[0] * weights[:, 0]
        for number, part in enumerate(parts[1:], 1):
            total = total + part * weights[:, number]
        return total

    def _answer(self, expert: nn.Module, sent: Tensor, number: int) -> Tensor:
        """What an expert gives; raises ValueError where that is not a row for each."""
        if torch.compiler.is_exporting():  # how many rows there will be is not known
            return expert(sent)
        if len(sent) == 0:
            answer = _of_none(expert, sent, number)
        elif self.training and len(sent) < 2:  # too few for the statistics of batch norm
            with evaluating(expert):
                answer = expert(sent)
        else:
            answer = expert(sent)
        if len(answer) != len(sent):
            raise ValueError(
                f"expert {number} gives {len(answer)} rows for {len(sent)}: an expert must give a "
                "row for each"
            )
        return answer


def _of_none(expert: nn.Module, none: Tensor, number: int) -> Tensor:
    """What an expert gives for 0 rows; raises ValueError where it takes no such batch."""
    try:
        with evaluating(expert):
            return expert(none)
    except Exception as error:  # whatever a module raises
        raise ValueError(
            f"expert {number} ({type(expert).__name__}) cannot take 0 rows ({type(error).__name__}:"
            f" {error}), and it gets none where the router sends it none, in a file too: write its "
            "forward() for any number of rows, as with x.flatten(1) or x.unflatten(1, (2, -1)) in "
            "place of x.view(len(x), 2, -1)"
        ) from error


def _check_shapes(parts: list[Tensor]) -> None:
    """Raises ValueError where the experts give rows of several shapes."""
    for number, part in enumerate(parts):
        if part.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"expert {number} gives rows of shape {list(part.shape[1:])}, and expert 0 "
                f"{list(parts[0].shape[1:])}: experts must give one shape"
            )
