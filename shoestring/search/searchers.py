"""How a space is searched: at random, by evolution, or by a controller that learns."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from shoestring.search.space import Picks, Space


class Course(ABC):
    """One search of a space. What it asks for next depends on what it was told."""

    @abstractmethod
    def ask(self) -> Picks:
        """The next network to try; it may be one that was tried before."""

    @abstractmethod
    def tell(self, picks: Picks, reward: float) -> None:
        """How good a network was: higher is better. It need not be one that was asked for."""

    def refused(self, picks: Picks) -> None:
        """A network breaks a limit: by an estimate, and is not tried, or later by its file."""
        return


class Searcher(ABC):
    """A way to search; frozen, and its repr is its name."""

    @abstractmethod
    def begun(self, space: Space, seed: int) -> Course:
        """A search of this space from the beginning."""


@final
@dataclass(frozen=True)
class AtRandom(Searcher):
    """Each option is as likely, always: what all others have to beat.

    Source: Li & Talwalkar 2019, "Random search and reproducibility for neural architecture search".
    """

    def begun(self, space: Space, seed: int) -> Course:
        return _AtRandom(space, random.Random(seed))


class _AtRandom(Course):
    def __init__(self, space: Space, draw: random.Random) -> None:
        self.space, self.draw = space, draw

    def ask(self) -> Picks:
        return self.space.drawn(self.draw)

    def tell(self, picks: Picks, reward: float) -> None:
        pass


@final
@dataclass(frozen=True, kw_only=True)
class Evolution(Searcher):
    """The best of a few that are drawn from the last ones gets a child with one decision changed.

    Source: Real et al. 2019, algorithm 1 (regularised evolution: the oldest dies, not the worst).
    Differs: the few are drawn without putting back.

    `population`: how many of the last networks may have children, 2 or more; as many are drawn at
        random first.
    `drawn`: of how many the best becomes a parent, 1 to `population`.

    Raises ValueError for numbers out of range.
    """

    population: int = 12
    drawn: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.drawn <= self.population or self.population < 2:
            raise ValueError(
                f"{self!r}: give a population of 2 or more, and 1 to as many that are drawn"
            )

    def begun(self, space: Space, seed: int) -> Course:
        return _Evolution(space, self, random.Random(seed))


class _Evolution(Course):
    def __init__(self, space: Space, how: Evolution, draw: random.Random) -> None:
        self.space, self.how, self.draw = space, how, draw
        self.living = deque[tuple[float, Picks]](maxlen=how.population)

    def ask(self) -> Picks:
        if len(self.living) < self.how.population:
            return self.space.drawn(self.draw)
        some = self.draw.sample(list(self.living), min(self.how.drawn, len(self.living)))
        _, best = max(some, key=lambda one: one[0])  # of equal ones any, not the highest picks
        return self.space.changed(best, self.draw)

    def tell(self, picks: Picks, reward: float) -> None:
        self.living.append((reward, picks))

    def refused(self, picks: Picks) -> None:
        for one in [one for one in self.living if one[1] == picks]:
            self.living.remove(one)  # it is to have no more children


@final
@dataclass(frozen=True, kw_only=True)
class Controller(Searcher):
    """A recurrent network decides, one decision after the other, and learns from the reward.

    Its loss is the policy gradient with a moving average of rewards as the baseline, and a bonus
    for uncertainty that keeps it from always deciding alike.

    Source: Zoph & Le 2017, section 3.2; the bonus: Pham et al. 2018, section 3.1.
    Differs: a step after each reward and with Adam; it also learns from networks that others drew;
    what breaks a limit counts as the worst so far; a network is not tried again.

    `width`: of the recurrent network, 1 or more.
    `rate`: of learning, above 0.
    `baseline`: the share of the old average that stays, 0 to 1.
    `uncertainty`: the weight of the entropy of a decision, in nats, 0 or more.

    Raises ValueError for numbers out of range.
    """

    width: int = 32
    rate: float = 5e-3
    baseline: float = 0.9
    uncertainty: float = 0.01

    def __post_init__(self) -> None:
        if self.width < 1 or not self.rate > 0 or not 0 <= self.baseline < 1:
            raise ValueError(
                f"{self!r}: give a width of 1 or more, a rate above 0 and a baseline "
                "of 0 or more and below 1"
            )
        if not self.uncertainty >= 0:
            raise ValueError(f"an uncertainty of {self.uncertainty!r}: give 0 or more")

    def begun(self, space: Space, seed: int) -> Course:
        return _Controller(space, self, seed)


class _Controller(Course):
    def __init__(self, space: Space, how: Controller, seed: int) -> None:
        self.how, self.draw = how, torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = _Policy([len(one.options) for one in space.decisions], how.width)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), how.rate)
        self.mean: float | None = None
        self.worst = math.inf

    def ask(self) -> Picks:
        with torch.no_grad():
            return self.policy.drawn(self.draw)

    def refused(self, picks: Picks) -> None:
        if self.mean is not None:  # else nothing tells how much worse than others it is
            self._learn(picks, self.worst - self.mean)

    def tell(self, picks: Picks, reward: float) -> None:
        before = reward if self.mean is None else self.mean
        self.mean = self.how.baseline * before + (1 - self.how.baseline) * reward
        self.worst = min(self.worst, reward)
        self._learn(picks, reward - before)

    def _learn(self, picks: Picks, advantage: float) -> None:
        likely, entropy = self.policy.judged(picks)
        loss = -advantage * likely - self.how.uncertainty * entropy
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class _Policy(nn.Module):
    """An LSTM whose input is the option that was picked before, and whose output decides."""

    def __init__(self, counts: list[int], width: int) -> None:
        super().__init__()
        self.counts = counts
        self.cell = nn.LSTMCell(width, width)
        self.start = nn.Parameter(torch.zeros(1, width))
        self.options = nn.ModuleList(nn.Embedding(count, width) for count in counts)
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in counts)
        for head in self.heads:  # at first, all are as likely
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def drawn(self, draw: torch.Generator) -> Picks:
        picks, given, state = list[int](), self.start, None
        for head, options in zip(self.heads, self.options, strict=True):
            state = self.cell(given, state)
            pick = torch.multinomial(head(state[0]).softmax(1), 1, generator=draw)[:, 0]
            picks.append(int(pick))
            given = options(pick)
        return tuple(picks)

    def judged(self, picks: Picks) -> tuple[Tensor, Tensor]:
        """The log-probability of picks, and the sum of the entropies of the decisions, in nats."""
        likely, entropy = torch.zeros(()), torch.zeros(())
        given, state = self.start, None
        for head, options, pick in zip(self.heads, self.options, picks, strict=True):
            state = self.cell(given, state)
            of_each = head(state[0]).log_softmax(1)[0]
            likely = likely + of_each[pick]
            entropy = entropy - (of_each.exp() * of_each).sum()
            given = options(torch.tensor([pick]))
        return likely, entropy
