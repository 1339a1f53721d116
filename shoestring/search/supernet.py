"""A supernet: one training whose weights give a score to every network of a space."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import Task, score, seeded
from shoestring.kit import AdamW, Training, average_batch_norm, train
from shoestring.search.rounds import CollapsedError, RankingRounds, Standing
from shoestring.search.shared_weights import SharedWeights
from shoestring.search.space import Architecture, Picks, Space

_PROBES, _EXAMPLES = 5, 1000
"""Networks, and validation examples at most, that say whether the supernet has learnt anything."""


@final
@dataclass(frozen=True, kw_only=True)
class Supernet:
    """Weights that all networks of a space share, trained once, so that each gets a score at once.

    Each training step takes one network at random and changes the weights that it uses. What two
    networks share is told by `Architecture.roles`.

    Saves: the training of each candidate.
    Costs: one training, and an order of candidates that is not that of trained networks. With a
        thousand steps in a space of 10¹¹ networks it was no order at all, where the number
        of parameters was a good one (benchmarks/supernet.py): give far more steps, or draw from few
        networks.
    Source: Guo et al. 2020, "Single path one-shot neural architecture search with uniform
    sampling", section 3; Bender et al. 2018, "Understanding and simplifying one-shot architecture
    search".

    `training`: of the shared weights; its steps are divided among all options, so give many.
    `batches`: training batches over which the statistics of each candidate's batch norms are
        averaged before it is scored, 1 or more.

    Raises ValueError for numbers out of range.
    """

    training: Training = Training(2000, AdamW(5e-3))
    batches: int = 8

    def __post_init__(self) -> None:
        if self.training.steps < 1:
            raise ValueError("a supernet that trains for 0 steps has no scores: give 1 or more")
        if isinstance(self.batches, bool) or not isinstance(self.batches, int) or self.batches < 1:
            raise ValueError(f"statistics of {self.batches!r} batches: give an integer, 1 or more")

    def trained(
        self,
        space: Space,
        task: Task,
        seed: int,
        *,
        draw: Callable[[random.Random], Picks] | None = None,
    ) -> Shared:
        """The shared weights, trained. Within `kit.resuming` a killed training goes on.

        `task`: its training split trains and its validation split decides; its test split is not
            read.
        `seed`: of the networks that are drawn, the first weights and the batches.
        `draw`: draws the network of a step, such as one within limits; None: `space.drawn`.

        Raises CollapsedError where networks score as if they did not see their inputs, ValueError
        for a space in which no two networks share a weight, and DivergedError for a loss that is
        NaN or infinite.
        """
        drawn, random_networks = draw or space.drawn, random.Random(seed)
        paths = [drawn(random_networks) for _ in range(self.training.steps)]
        made = {picks: space.made(picks) for picks in dict.fromkeys(paths)}
        different = list(dict.fromkeys(made.values()))
        with seeded(seed):
            weights = SharedWeights(different)
            _check_common(weights, different)
            train(
                weights,
                task.sealed(),
                self.training,
                before_step=lambda step: weights.walk(made[paths[step]]),
                what="supernet",
                key=f"{space!r}, seed {seed}",
            )
        shared = Shared(space, task.sealed(), weights, self.batches)
        shared.check(list(made)[:_PROBES])
        return shared


def _check_common(weights: SharedWeights, networks: Sequence[Architecture]) -> None:
    if len(networks) > 1 and max(weights.users.values(), default=0) < 2:
        names = ", ".join(repr(key) for key in list(weights.users)[:3])
        raise ValueError(
            f"no two of the {len(networks)} networks that were drawn share a weight (they have "
            f"{names}, …): there is nothing for a supernet to train. Give the space's "
            "architectures `roles` that are the same in several networks"
        )


@final
@dataclass(frozen=True)
class Shared:
    """Trained shared weights: a score for each network of a space, without further training."""

    space: Space
    task: Task = field(repr=False)
    weights: SharedWeights = field(repr=False)
    batches: int

    def network(self, picks: Picks) -> nn.Module:
        """A new network that begins with the shared weights, and with its own statistics.

        The statistics of its batch norms are averages over training batches, with its weights.
        Raises ValueError for picks that do not fit the space, or where no statistics are finite.
        """
        with seeded(0):
            network = self.weights.network(self.space.made(picks))
        return average_batch_norm(network, self.task, batches_read=self.batches)

    def score(self, picks: Picks, split: str = "validation", examples: int | None = None) -> float:
        """The task's score of a network with the shared weights; higher is better.

        It is of use to compare networks, and below what they reach when they are trained.

        `split`: "validation" or "train"; "test" raises SealedError.
        `examples`: of the validation split, the same for every network; None: all.
        """
        return score(self._task(examples), self.network(picks), split)

    def _task(self, examples: int | None) -> Task:
        return self.task if examples is None else self.task.sampled(examples, 0)

    def ranked(
        self, candidates: Iterable[Picks], rounds: RankingRounds | None = None
    ) -> list[Standing]:
        """Candidates, the best first, by successive halving on the validation split.

        `rounds`: None: RankingRounds().
        Raises what `RankingRounds.ranked` raises.
        """
        return (rounds or RankingRounds()).ranked(
            candidates, lambda picks, examples: self.score(picks, examples=examples)
        )

    def check(self, some: Sequence[Picks]) -> None:
        """Raise CollapsedError where none of these networks is better than without its inputs.

        That is: better by two standard errors than the best of the constant answers that they give.
        """
        task = self._task(_EXAMPLES)
        networks = [self.network(picks) for picks in some]
        seeing = [score(task, one) for one in networks]
        blind = [score(task, _Blind(one)) for one in networks]
        best = networks[seeing.index(max(seeing))]
        error = task.standard_error(best.eval(), "validation") or 0.0
        if not max(seeing) > max(blind) + 2 * error:
            raise CollapsedError(
                f"with the shared weights {len(some)} networks score {min(seeing):.4g} to "
                f"{max(seeing):.4g}, and up to {max(blind):.4g} without seeing their inputs (two "
                f"standard errors are {2 * error:.2g}): the supernet has collapsed, and its scores "
                "tell nothing. Train it for more steps, at another learning rate, or with fewer "
                "options in the space"
            )


class _Blind(nn.Module):
    """Gives every row the network's answer to the first row that it saw."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.first: list[Tensor] = []

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        answers = self.network(*args, **kwargs)
        if not self.first:
            self.first = [one[:1] if one.ndim else one for one in tree.leaves(answers)]
        kept = iter(self.first)

        def blind(answer: Tensor) -> Tensor:
            first = next(kept)
            same = answer.ndim and first.shape[1:] == answer.shape[1:]
            return (first if same else answer[:1]).expand_as(answer) if answer.ndim else answer

        return tree.map(blind, answers)
