"""Training with a penalty that makes channels removable."""

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
    """Train with a group-lasso penalty: the weights that read needless channels become zero.

    Saves: bytes of the file; operations too once the channels are removed, which loses nothing: by
    Channels(training=Training(0)) or `kit.remove_dead_units`.
    Costs: the time of `training`; score, with the penalty.
    Source: Wen et al. 2016, section 3; Yuan & Lin 2006. Differs: a group is all weights that read
    one unit, in whatever layers; each step of the penalty is proximal, so that it reaches zero; a
    unit that reached zero stays there.

    `penalty`: how fast weights shrink, as a share of the learning rate, above 0. With 1 they shrink
        as fast as Adam could let them grow.
    `training`: with the penalty; Training(0) does nothing. Weights shrink by the learning rate of
        its schedule, without the warm-up.
    `only`, `keep`: patterns of names of layers whose channels may become zero, and of those whose
        do not.

    Units are those of Channels and Heads. Skipped with a SkippedWarning: units read by weights that
    are of half precision, or that have a codebook or a scale, and what Channels and Heads skip.
    Raises ValueError for settings out of range, patterns that match no layer, and weights that are
    NaN or infinite.
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
        """A copy of the model in which no weight reads some of its channels."""
        check_finite(model)
        trained = clone(model)
        weights = parameters_of(trained)
        groups = _shrinkable(
            dependency_groups(model, task, self.only, self.keep, who="GroupLasso"), weights
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
        # A buffer of the model while it trains, so that a resumed training knows of them.
        trained.register_buffer("units_gone", gone)

        schedule = replace(self.training.schedule, warm_up=0.0)

        def shrink(step: int) -> None:
            rate = self.training.optimizer.learning_rate * schedule.height(
                step, self.training.steps
            )
            with torch.no_grad():
                for group, done in zip(groups, gone.split(sizes), strict=True):
                    _shrink(weights, group, done, self.penalty * rate)

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
        """Names that `only` and `keep` may match.

        Of layers whose outputs are added, the name of the first.
        """
        return [name for parts in (False, True) for name in named(model, task, parts=parts)]


def _shrinkable(dependencies: DependencyGroups, weights: Parameters) -> list[Group]:
    """The groups whose readers can shrink; the others are named in a SkippedWarning."""
    kept: list[Group] = []
    for group in dependencies.groups:
        states = [weights[index].state for index, _ in group.reads]
        if not states or any(
            state is not None and (state.codebook is not None or state.scale is not None)
            for state in states
        ):
            text = (
                f"GroupLasso skipped {group.name}: weights that read its channels have a codebook "
                "or a scale"
            )
        elif any(torch.finfo(weights[index].raw.dtype).bits < 32 for index, _ in group.reads):
            # They are trained as copies of single precision; in half precision, what one step
            # takes off would be rounded away.
            text = (
                f"GroupLasso skipped {group.name}: weights that read its channels have half "
                "precision: use model.float()"
            )
        else:
            kept.append(group)
            continue
        warnings.warn(text, SkippedWarning, stacklevel=3)
    return kept


def _shrink(weights: Parameters, group: Group, gone: Tensor, by: float) -> None:
    """Shrink the weights that read each unit, down to zero and no further.

    `by`: how much the root mean square of the weights that read a unit loses.
    `gone`: (units), whether a unit has reached zero; updated in place.
    """
    squares, count = torch.zeros(len(group)), 0
    for index, axis in group.reads:
        raw, slices = weights[index].raw, group.slices[index, axis]
        squared = raw.float().square().movedim(axis, 0).reshape(raw.shape[axis], -1)
        squares += squared.sum(1).cpu()[slices].sum(1)
        count += squared.shape[1] * slices.shape[1]
    length = (squares / count).sqrt()
    factor = (1 - by / length.clamp(min=1e-12)).clamp(min=0)
    gone |= factor == 0
    factor[gone] = 0
    for index, axis in group.reads:
        raw, slices = weights[index].raw, group.slices[index, axis]
        scale = torch.ones(raw.shape[axis])
        scale[slices.flatten()] = factor.repeat_interleave(slices.shape[1])
        # Adding zero turns -0.0 into 0.0; files would keep the two apart.
        raw.mul_(scale.to(raw).view(-1, *[1] * (raw.ndim - axis - 1))).add_(0.0)
