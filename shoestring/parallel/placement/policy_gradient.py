"""Reinforcement learning: a small recurrent policy chooses devices, and learns from their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.parallel.placement.devices import PlacementProblem
from shoestring.parallel.placement.method import PlacementMethod
from shoestring.parallel.placement.schedule import Schedule, simulated_run

_KEPT = 0.9  # of the moving average of rewards, for each update


@dataclass(frozen=True, kw_only=True)
class PolicyGradient(PlacementMethod):
    """A recurrent policy draws a device for each layer, and learns from the simulated times.

    The best placement that was drawn is the answer. It does not earn its keep: it takes longer than
    `DynamicProgramming`, and what it finds is no better than the best of as many random placements
    on graphs of 12 to 19 layers (see the table in docs/parallel.md).

    Source: Mirhoseini et al. 2017, "Device placement optimization with reinforcement learning",
    sections 3.1 and 3.2 (REINFORCE, a moving average of rewards as the baseline, the negative root
    of the time as the reward).
    Differs: a GRU of `width` that sees where the inputs of a layer are, in place of an LSTM with
    attention; times are simulated, where they ran the network; what does not fit is the worse the
    more bytes it lacks, where they gave it one bad reward; rewards are divided by their deviation
    in a batch, and a bonus for entropy (Williams & Peng 1991) keeps the policy from settling early.

    `samples`: placements that are drawn in all, 1 or more.
    `batch`: of them, before each update of the policy, 1 or more.
    `rate`: the learning rate, above 0.
    `entropy`: the weight of the bonus, 0 or more.
    `width`: of the policy, 1 or more.
    `seed`: of the policy and its draws.

    Raises ValueError for a number out of range.
    """

    samples: int = 2000
    batch: int = 20
    rate: float = 0.03
    entropy: float = 0.1
    width: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for what in ("samples", "batch", "width"):
            if getattr(self, what) < 1:
                raise ValueError(f"{what}={getattr(self, what)!r}: give 1 or more")
        if not self.rate > 0:
            raise ValueError(f"rate={self.rate!r}: give a learning rate above 0")
        if not self.entropy >= 0:
            raise ValueError(f"entropy={self.entropy!r}: give a weight, 0 or more")

    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """As `PlacementMethod` says."""
        best, least, average = None, np.inf, None
        with seeded(self.seed), torch.enable_grad():
            policy = _Policy(problem, self.width)
            optimizer = torch.optim.Adam(policy.parameters(), lr=self.rate)
            for _ in range(-(-self.samples // self.batch)):
                drawn, logs = policy(self.batch)
                rewards: list[float] = []
                for devices in drawn:
                    run = simulated_run(problem, devices)
                    rewards.append(_reward(problem, run))
                    if run.is_possible and run.milliseconds < least:
                        best, least = tuple(devices), run.milliseconds
                mean = float(np.mean(rewards))
                average = mean if average is None else _KEPT * average + (1 - _KEPT) * mean
                better = (torch.tensor(rewards) - average) / (float(np.std(rewards)) + 1e-3)
                # The gradient of the entropy is that of a reward of minus the log-chance.
                better = better - self.entropy * (logs - logs.mean()).detach()
                loss = -(better * logs).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return best


def _reward(problem: PlacementProblem, run: Schedule) -> float:
    """The negative root of the time, as a share of that of all layers on the slowest device.

    What takes longer than four times that has a reward of -2, and so has what is not possible for
    want of a link. What does not fit has -1, less the share of all bytes that it lacks.
    """
    slowest = problem.work.sum() / problem.speeds.min() or 1.0
    if run.is_possible or run.milliseconds == np.inf:
        return max(-2.0, -((run.milliseconds / slowest) ** 0.5))
    return -1.0 - sum(run.missing) / problem.bytes.sum()


class _Policy(nn.Module):
    """Chances of devices, layer by layer, each with a look at where its inputs are."""

    def __init__(self, problem: PlacementProblem, width: int) -> None:
        super().__init__()
        self.inputs, self.count = problem.inputs, len(problem.devices)
        told = np.stack([problem.work, problem.bytes, problem.output_bytes], 1)
        told = told / np.maximum(told.max(0), 1e-12)
        self.register_buffer("told", torch.from_numpy(told).float())  # L×3, each at most 1
        self.cell = nn.GRUCell(3 + 2 * self.count, width)
        self.head = nn.Linear(width, self.count)

    def forward(self, number: int) -> tuple[Sequence[list[int]], Tensor]:
        """(placements that are drawn, their log-chances)."""
        state = torch.zeros(number, self.head.in_features)
        nowhere, logs = torch.zeros(number, self.count), torch.zeros(number)
        told: Tensor = self.get_buffer("told")
        homes: list[Tensor] = []
        for layer, sources in enumerate(self.inputs):
            near = torch.stack([homes[one] for one in sources]).mean(0) if sources else nowhere
            before = homes[-1] if homes else nowhere
            layer_told = told[layer].expand(number, 3)
            state = self.cell(torch.cat([layer_told, near, before], 1), state)
            chances = self.head(state).log_softmax(1)
            device = torch.multinomial(chances.detach().exp(), 1)
            logs = logs + chances.gather(1, device).squeeze(1)
            homes.append(nn.functional.one_hot(device.squeeze(1), self.count).float())
        return torch.stack(homes, 1).argmax(2).tolist(), logs
