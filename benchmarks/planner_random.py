"""Random search over the planner's own moves.

The cheapest rival of its choices, on the same experiments in the same minutes.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from planner_runs import outline
from torch import nn

from shoestring.artifact import save
from shoestring.core import Stage, Task
from shoestring.kit import listening
from shoestring.plan.aiming import MOST_PASSES, TAUGHT
from shoestring.kit.clock import Clock, TimeUpError
from shoestring.plan.experiments import Proposal
from shoestring.plan.job import Job
from shoestring.plan.moves import Arm, Move, moves, round_steps
from shoestring.plan.training_time import step_seconds
from shoestring.plan.verdict import better


def random_search(
    model: nn.Module, task: Task, budget: str, minutes: float, path: Path, seed: int
) -> str:
    """The best that random chains come to in so many minutes, at `path`; what it is, in words.

    What is best is decided as the planner decides it. Nothing else of the planner is used: no order
    of kinds of chain, no aim, no rounds.
    """
    job = Job.of(model, task, budget, path, minutes=minutes, seed=seed)
    experiments, clock = job.experiments, job.clock
    chance, known = Random(seed), moves()
    tried = 0
    with listening(clock):
        try:
            step, passes = (
                step_seconds(experiments.model, experiments.taught, seed),
                sum(1 for _ in experiments.sealed.batches("train")),
            )
            while not clock.is_up:
                experiments(drawn(chance, known, clock, step, passes))
                tried += 1
        except TimeUpError:
            pass
    best = min(experiments.trials(), key=better(job.limits, experiments.base))  # type: ignore[arg-type]
    save(path, experiments.bytes_of(best))
    return f"{outline(best.technique)}, of {tried} chains"


def drawn(chance: Random, known: list[Move], clock: Clock, step: float, passes: int) -> Proposal:
    """A chain: each stage with one chance in two, of its moves any, pressed anyhow, trained for any
    share of the time that is left.
    """
    chosen: list[Move] = []
    while not chosen:
        for stage in Stage:
            there = [move for move in known if move.stage is stage]
            if there and chance.random() < 0.5:
                chosen.append(chance.choice(there))
    arm, share = Arm(tuple(chosen)), chance.random()
    dials = tuple(round(chance.random(), 3) for _ in chosen)
    steps = (
        round_steps(min(max(share * clock.left / (step * TAUGHT), 1), MOST_PASSES * passes))
        if arm.trains
        else 0
    )
    return Proposal(
        techniques=arm.chain(dials, steps),
        arm=arm.name,
        dials=dials,
        steps=steps,
        fidelity=share if steps else 0.0,
    )
