"""Classifiers on the way through a network, at which easy examples leave."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique, score
from shoestring.core.task import evaluating
from shoestring.kit import (
    AdamW,
    Patterns,
    SkippedWarning,
    Training,
    check_finite,
    chosen,
    clone,
    train,
)
from shoestring.kit.routing.exits import EarlyExits, Exit
from shoestring.kit.tracing.example import Example, examples_of

_HIDDEN = 32
"""Channels of a head's convolution, or the width inside a head."""
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
    block's output alone and treat each row by itself, which is tried on the task's example. Skipped
    with a SkippedWarning: blocks for which it does not, and models without such a block, or that do
    not answer with logits N×classes. A planner does not use it unseen, since a task's example is
    one path through the network, and not their mean. A model that has exits keeps them: they are
    trained on, and the threshold is chosen again.
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
        if self.exits < 1:
            raise ValueError(f"{self.exits} exits: give 1 or more")
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
        features = _features(model, task)
        if features:
            allowed = chosen(list(features), self.only, self.keep, "EarlyExit")
            features = {name: one for name, one in features.items() if name in allowed}
        if not features:
            warnings.warn(
                "EarlyExit found no block behind which the rest of the model could be left out",
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
        classes = _logits(inner, examples_of(task)[0])
        assert classes is not None
        device = next(inner.parameters()).device
        heads = {name: _head(features[name], classes.shape[-1]).to(device) for name in at}
        return EarlyExits(inner, heads)

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)
            return list(_features(model, task))


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
            sure = logits.softmax(-1).amax(-1, keepdim=True) > self.threshold
            answer = torch.where(sure, logits, answer)
        return answer


def _head(features: Tensor, classes: int) -> nn.Module:
    """A classifier for features N×C×H×W, N×T×C or N×C."""
    if features.ndim == 4:
        return nn.Sequential(
            nn.Conv2d(features.shape[1], _HIDDEN, 3, 2, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4) if features.shape[-1] % 8 == 0 else nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(_HIDDEN * (16 if features.shape[-1] % 8 == 0 else 1), classes),
        )
    before = [_MeanOfWords()] if features.ndim == 3 else [nn.Flatten()]
    width = features.shape[-1] if features.ndim == 3 else features[0].numel()
    return nn.Sequential(*before, nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, classes))


class _MeanOfWords(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        """N×C, of N×T×C."""
        return features.mean(1)


def _logits(model: nn.Module, example: Example) -> Tensor | None:
    """What the model answers on an example; None where that is not logits N×classes."""
    with torch.no_grad(), evaluating(model):
        answer = example.run(model)
    is_logits = isinstance(answer, Tensor) and answer.ndim == 2 and answer.is_floating_point()
    return answer if is_logits and answer.shape[-1] > 1 else None


def _features(model: nn.Module, task: Task) -> dict[str, Tensor]:
    """The blocks behind which the rest can be left out, in the order of their calls.

    With each comes its output on the task's example.
    """
    probed, (example, *others) = clone(model).eval().cpu(), examples_of(task)
    answer = None if others or example.entry else _logits(probed, example)
    if answer is None or len(answer) < 2:
        warnings.warn(
            "EarlyExit skipped the model: it takes one that is called in one way and answers with "
            "logits N×classes on an example of two rows or more",
            SkippedWarning,
            stacklevel=3,
        )
        return {}
    outputs: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(_keeper(outputs, name)) for name, module in _blocks(probed)
    ]
    with torch.no_grad():
        example.run(probed)
    for handle in handles:
        handle.remove()
    once = {name: found[0] for name, found in outputs.items() if len(found) == 1}
    rows = len(answer)
    fit = {
        name: one
        for name, one in once.items()
        if 2 <= one.ndim <= 4 and len(one) == rows and one.is_floating_point()
    }
    last = list(fit)[-1:]  # behind the last one nothing is left to leave out
    found = {n: one for n, one in fit.items() if n not in last and _is_apart(probed, n, example)}
    if left := [name for name in fit if name not in found and name not in last]:
        warnings.warn(
            f"EarlyExit skipped {', '.join(left)}: what follows needs more than the block's "
            "output, or does not treat each row by itself",
            SkippedWarning,
            stacklevel=3,
        )
    return found


def _blocks(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The children of the model's outermost containers, by name."""
    containers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
    ]
    outer = [
        name
        for name in containers
        if not any(name != o and (not o or name.startswith(f"{o}.")) for o in containers)
    ]
    return [
        (f"{name}.{child}" if name else child, module)
        for name in outer
        for child, module in model.get_submodule(name).named_children()
    ]


def _keeper(outputs: dict[str, list[Tensor]], name: str) -> Any:
    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.setdefault(name, []).append(output)

    return keep


def _is_apart(model: nn.Module, name: str, example: Example) -> bool:
    """Whether the model gives the same for half of the rows where the others leave at a block."""

    def halve(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return output[::2]

    with torch.no_grad():
        wanted = example.run(model)[::2]
        handle = model.get_submodule(name).register_forward_hook(halve)
        try:
            found = example.run(model)
        except Exception:  # whatever a model raises that wanted all rows
            return False
        finally:
            handle.remove()
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
