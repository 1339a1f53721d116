"""Training that makes channels removable."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import (
    Parameters,
    Patterns,
    SkippedWarning,
    Training,
    check_finite,
    clone,
    parameters_of,
    recover,
)
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.surgery.groups import DependencyGroups, Group
from shoestring.prune.thinning import named


@dataclass(frozen=True, kw_only=True)
class GroupLasso(Technique):
    """Train with a penalty on the length of the weights that read each channel, so that those of
    needless channels become zero.

    Saves: bytes of the file; then operations, when the channels are taken out: by
    Channels(training=Training(0)) or `kit.remove_dead_units`, without any loss.
    Costs: the time of `training`; score, with the penalty.
    Source: Wen et al. 2016, section 3; Yuan & Lin 2006. Differs: a group is all weights that read
    one unit, in whatever layers, and a step of the penalty is proximal (it reaches zero); a unit
    that reached zero stays there.

    `penalty`: how fast weights shrink, as a share of the learning rate, above 0: with 1, as fast as
        Adam could let them grow.
    `training`: with the penalty; Training(0) does nothing. Weights shrink by the rate that its
        schedule has, but for the warm-up.
    `only`, `keep`: patterns of names of layers, those whose channels may become zero and those
        whose do not. Units are those of Channels and Heads. With a SkippedWarning: those that
        weights of half precision or with levels or steps read, and what these skip. Raises
        ValueError for settings out of range, names of no layer, and weights that are NaN or
        infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="penalty", gentle=0.02, harsh=1.0, logarithmic=True)

    penalty: float = 0.1
    training: Training = Training(2000)
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise ValueError(f"the penalty is {self.penalty}: it must be above 0")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model in which nothing reads some of its channels."""
        check_finite(model)
        trained = clone(model)
        found = parameters_of(trained)
        groups = _shrinkable(
            dependency_groups(model, task, self.only, self.keep, who="GroupLasso"), found
        )
        if not groups:
            warnings.warn(
                "GroupLasso found no channel in the model that it could shrink",
                SkippedWarning,
                stacklevel=2,
            )
            return trained
        sizes = [len(group) for group in groups]
        gone = torch.zeros(sum(sizes), dtype=torch.bool)
        trained.register_buffer(
            "units_gone", gone
        )  # of the model while it trains: one that is resumed must know of them

        schedule = replace(self.training.schedule, warm_up=0.0)

        def shrink(step: int) -> None:
            rate = self.training.optimizer.learning_rate * schedule.height(
                step, self.training.steps
            )
            with torch.no_grad():
                for group, done in zip(groups, gone.split(sizes), strict=True):
                    _shrink(found, group, done, self.penalty * rate)

        trained = recover(
            trained,
            task,
            model,
            self.training,
            before_step=shrink,
            what="training with group lasso",
            key=repr(self),
        )
        if self.training.steps:
            shrink(self.training.steps)
        del trained.units_gone
        return trained

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may have: of layers whose outputs are added, the first."""
        return [name for parts in (False, True) for name in named(model, task, parts=parts)]


def _shrinkable(coupling: DependencyGroups, found: Parameters) -> list[Group]:
    kept: list[Group] = []
    for group in coupling.groups:
        states = [found[place].state for place, _ in group.reads]
        if not states or any(
            state is not None and (state.codebook is not None or state.scale is not None)
            for state in states
        ):
            text = (
                f"GroupLasso skipped {group.name}: weights that read its channels have "
                "levels or steps"
            )
        elif any(torch.finfo(found[place].raw.dtype).bits < 32 for place, _ in group.reads):
            # They are trained in copies of single precision, and what one step shrinks them by
            # would be rounded away.
            text = (
                f"GroupLasso skipped {group.name}: weights that read its channels are of "
                "half precision, use model.float()"
            )
        else:
            kept.append(group)
            continue
        warnings.warn(text, SkippedWarning, stacklevel=3)
    return kept


def _shrink(found: Parameters, group: Group, gone: Tensor, by: float) -> None:
    """Have the weights that read each unit shrink by that much in the mean square, to zero and not
    beyond.
    """
    squares, count = torch.zeros(len(group)), 0
    for place, axis in group.reads:
        raw, slices = found[place].raw, group.slices[place, axis]
        own = raw.float().square().movedim(axis, 0).reshape(raw.shape[axis], -1)
        squares += own.sum(1).cpu()[slices].sum(1)
        count += own.shape[1] * slices.shape[1]
    length = (squares / count).sqrt()
    factor = (1 - by / length.clamp(min=1e-12)).clamp(min=0)
    gone |= factor == 0
    factor[gone] = 0
    for place, axis in group.reads:
        raw, slices = found[place].raw, group.slices[place, axis]
        scale = torch.ones(raw.shape[axis])
        scale[slices.flatten()] = factor.repeat_interleave(slices.shape[1])
        # A zero that is added makes one of negative zeros, which files keep apart.
        raw.mul_(scale.to(raw).view(-1, *[1] * (raw.ndim - axis - 1))).add_(0.0)
