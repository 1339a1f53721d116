"""Classifiers on the way through a network, at which easy examples leave."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique, score
from shoestring.core.task import evaluating
from shoestring.distill.exit_places import head_for, logits_of, places
from shoestring.kit import (
    AdamW,
    Patterns,
    ShortfallWarning,
    SkippedWarning,
    Training,
    check_finite,
    chosen,
    clone,
    train,
)
from shoestring.kit.routing.exits import EarlyExits, Exit, are_sure
from shoestring.kit.tracing.example import examples_of

_THRESHOLDS = (*(round(0.3 + 0.02 * step, 2) for step in range(35)), 0.99, 0.995, 0.999, 1.0)


@dataclass(frozen=True, kw_only=True)
class EarlyExit(Technique):
    """Let an example leave the network at the first classifier on its way that is sure of it.

    Saves: operations and milliseconds, on the examples that leave early: how many do depends on the
    data, so look at means over real inputs (`meters.over_inputs`).
    Costs: bytes, for the classifiers; score; the time of `training`.
    Source: Teerapittayanon, McDanel & Kung 2016 (BranchyNet). Differs: the network is left as it
    is, and only the classifiers are trained, on its own answers; the highest probability decides.

    `exits`: how many classifiers, 1 or more; they stand behind blocks at equal distances.
    `lost`: how much of the score may be lost on validation data, in the score's own units, 0 or
        more. The lowest threshold that loses no more is chosen; where none does, no example leaves.
    `training`: of the classifiers; Training(0) leaves them untrained.
    `only`, `keep`: patterns of names of blocks behind which classifiers may stand, and may not.

    A block is a child of an nn.Sequential or nn.ModuleList. The rest of the network must take the
    block's output alone and treat each row by itself, which is tried on the task's example, and
    must take more operations than the classifier, where these can be counted. Skipped with a
    SkippedWarning: blocks for which it does not, and models without such a block, or that do not
    answer with logits N×classes. A ShortfallWarning says where there are fewer exits than asked
    for. A planner does not use it unseen, since a task's example is one path through the network,
    and not their mean. A model that has exits keeps them: they are trained on, and the threshold
    is chosen again.
    Raises ValueError for settings out of range, patterns that match no block, and weights that are
    NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE

    exits: int = 2
    lost: float = 0.005
    training: Training = Training(1000, AdamW(3e-3))
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not isinstance(self.exits, int) or self.exits < 1:
            raise ValueError(f"{self.exits} exits: give an integer, 1 or more")
        if not self.lost >= 0:
            raise ValueError(f"{self.lost} of the score may be lost: give 0 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with classifiers; the model's own part has its weights."""
        check_finite(model)
        with_exits = clone(model) if isinstance(model, EarlyExits) else self._made(model, task)
        if not isinstance(with_exits, EarlyExits):
            return with_exits
        _teach(with_exits, task, self.training, repr(self))
        with_exits.threshold = threshold_for(with_exits, task, self.lost)
        return with_exits.train(model.training)

    def _made(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy with new classifiers, untrained; without any where no block will do."""
        features = places(model, task)
        if features:
            allowed = chosen(list(features), self.only, self.keep, "EarlyExit")
            features = {name: one for name, one in features.items() if name in allowed}
        dear = ", ".join(
            f"{name} ({one.head:,} operations, and {one.rest:,} after it)"
            for name, one in features.items()
            if not one.saves
        )
        why = f": a classifier costs as much as what follows {dear}" if dear else ""
        features = {name: one for name, one in features.items() if one.saves}
        if not features:
            warnings.warn(
                "EarlyExit found no block behind which the rest of the model could be left out, to "
                f"save anything{why}",
                SkippedWarning,
                stacklevel=3,
            )
            return clone(model)
        inner = clone(model)
        names = list(features)
        count = min(self.exits, len(names))
        at = dict.fromkeys(
            names[min(len(names), max(1, round((k + 1) * (len(names) + 1) / (count + 1)))) - 1]
            for k in range(count)
        )
        if len(at) < self.exits:
            warnings.warn(
                f"EarlyExit was asked for {self.exits} exits and set {len(at)}, behind each block "
                f"that will do{why}",
                ShortfallWarning,
                stacklevel=3,
            )
        classes = logits_of(inner, examples_of(task)[0])
        assert classes is not None
        device = next(inner.parameters()).device
        heads = {
            name: head_for(features[name], classes.shape[-1]).to(
                device, features[name].output.dtype
            )
            for name in at
        }
        return EarlyExits(inner, heads)

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)
            return list(places(model, task))


def _teach(model: EarlyExits, task: Task, training: Training, key: str) -> None:
    """Train the heads; the network itself stays in evaluation mode and keeps its weights."""
    exits = [part for part in model.modules() if isinstance(part, Exit)]
    own = {id(p) for one in exits for p in one.head.parameters()}
    wanted = [(p, p.requires_grad) for p in model.parameters()]
    model.train()
    model.inner.eval()
    for one in exits:
        one.head.train()
    for p, _ in wanted:
        p.requires_grad_(id(p) in own)
    try:
        train(model, task, training, what="training the exits", key=key)
    finally:
        for p, before in wanted:
            p.requires_grad_(before or id(p) in own)


def threshold_for(model: EarlyExits, task: Task, lost: float) -> float:
    """The lowest threshold with which the validation score is at most `lost` below that of none.

    It is 1, at which no example leaves, where no lower one will do.
    """
    with torch.no_grad(), evaluating(model):
        replay = _Replay(model)
        wanted = score(task, replay) - lost
        for threshold in _THRESHOLDS:
            replay.begin(threshold)
            if score(task, replay) >= wanted:
                return threshold
    warnings.warn(  # at 1 the answers are those of the last layer, so that its score is the same
        f"the score with no exit taken, {wanted + lost:g} at first, was lower the second time: the "
        "task's score differs from call to call, and no example leaves early",
        SkippedWarning,
        stacklevel=3,
    )
    return 1.0


class _Replay(nn.Module):
    """Answers as a network with exits does, at any threshold; the network runs once for each call.

    The first pass over the data gives the answers of the last layer. A later pass must make the
    same calls in the same order, which a score on validation data does.
    """

    def __init__(self, model: EarlyExits) -> None:
        super().__init__()
        self.model, self.calls = model, list[list[Tensor]]()
        self.threshold: float | None = None
        self.at = 0

    def begin(self, threshold: float) -> None:
        """Begin another pass, at this threshold."""
        self.threshold, self.at = threshold, 0

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The logits of the next call."""
        if self.threshold is None:
            self.calls.append(self.model.at_each(*args, **kwargs))
            return self.calls[-1][-1]
        *early, answer = self.calls[self.at]
        self.at += 1
        for logits in reversed(early):
            sure = are_sure(logits, self.threshold)
            answer = torch.where(sure[:, None], logits, answer)
        return answer
