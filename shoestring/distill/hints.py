"""Hints: a student's hidden layers learn to tell what the teacher's hidden layers tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.artifact import tree
from shoestring.core import Task, View
from shoestring.core.task import asked, evaluating
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.weights.layers import NoLayerError

_LEAST_VARIANCE = 1e-4  # as a share of the mean square
_TINY = 1e-12
_POOLS: dict[int, Any] = {
    3: functional.adaptive_avg_pool1d,
    4: functional.adaptive_avg_pool2d,
    5: functional.adaptive_avg_pool3d,
}
_CONVOLUTIONS: dict[int, Any] = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}


@dataclass(frozen=True, kw_only=True)
class Hints:
    """Which hidden layers of the student learn from which of the teacher, how much and how long.

    Where widths differ, a regressor (a linear layer, or a 1×1 convolution) maps the student's layer
    to the teacher's width; it is trained with the student and then thrown away. Where pictures
    differ in size, both are averaged to the smaller one. The distance is the squared error of all
    channels as a share of their variance.
    Source: Romero et al. 2015 (FitNets), section 2.2. Differs: hints are followed beside the loss
    of the answers and fade out, instead of a training of their own before it.

    `pairs`: names of layers, (of the student, of the teacher). Empty: chosen by `depths`.
    `depths`: of layers, from 0 for the first with weights to 1 for the last before the answer. The
        student's layer there, and the teacher's nearest one that has as many positions.
    `weight`: of the mean distance when the training begins, above 0.
    `share`: of the training over which the weight falls to 0, above 0 and at most 1.

    Raises ValueError for numbers out of range.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    depths: tuple[float, ...] = (0.5,)
    weight: float = 1.0
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf") or not 0 < self.share <= 1:
            raise ValueError(
                f"hints with a weight of {self.weight} over {self.share} of the training: the "
                "weight must be above 0, and the share above 0 and at most 1"
            )
        if not self.pairs and (not self.depths or not all(0 <= one <= 1 for one in self.depths)):
            raise ValueError(f"hints at the depths {self.depths}: give some, each from 0 to 1")

    def at(self, step: int, steps: int) -> float:
        """The weight at a step of the training, counted from 0."""
        return self.weight * max(0.0, 1 - step / (self.share * steps))


class Pupil(nn.Module):
    """A student with the regressors of its hints, so that one training has all their weights.

    `student`: the module that is trained.
    `pairs`: the layers, (of the student, of the teacher).
    `regressors`: one for each pair.
    """

    def __init__(
        self, student: nn.Module, pairs: Sequence[tuple[str, str]], regressors: Iterable[nn.Module]
    ) -> None:
        super().__init__()
        self.student, self.pairs = student, tuple(pairs)
        self.regressors = nn.ModuleList(regressors)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the student answers."""
        return self.student(*args, **kwargs)


def pupil(student: nn.Module, teacher: nn.Module, task: Task, hints: Hints) -> Pupil:
    """The student with a regressor for each pair of layers.

    Raises NoLayerError (a ValueError) for a name of no layer, and ValueError for layers whose
    outputs cannot be compared, and where a network has no layer for a hint.
    """
    examples = examples_of(task)
    ours = _outputs(student, examples, [name for name, _ in hints.pairs], "student")
    theirs = _outputs(teacher, examples, [name for _, name in hints.pairs], "teacher")
    pairs = hints.pairs or _by_depth(ours, theirs, hints.depths)
    device = next(student.parameters()).device
    regressors = [
        _regressor(name, ours[name], other, theirs[other]).to(device) for name, other in pairs
    ]
    return Pupil(student, pairs, regressors)


def _outputs(
    model: nn.Module, examples: Sequence[Any], names: list[str], whose: str
) -> dict[str, Tensor]:
    """The first tensor that each layer returns on the examples, in the order of the calls.

    `names`: of the layers; empty: all with weights of two axes or more but the last, which answers.
    """
    modules = dict(model.named_modules())
    if missing := [name for name in names if name not in modules]:
        raise NoLayerError(missing[0], list(modules)[1:], f"pairs= (of the {whose})")
    chosen = names or [
        name
        for name, part in modules.items()
        if any(one.ndim > 1 for one in part.parameters(recurse=False))
        and not isinstance(part, nn.Embedding)
    ]
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        outputs.setdefault(name, output.detach())

    with _tapped(model, chosen, keep), evaluating(model), torch.no_grad():
        for example in examples:
            moved = tree.map(_to_device_of(model), (example.args, example.kwargs))
            type(example)(*moved, {}, example.entry).run(model)
    if uncalled := [name for name in names if name not in outputs]:
        raise ValueError(
            f"hints name {uncalled[0]!r}, which the {whose} does not call on the task's example, "
            "or which returns no tensor"
        )
    return outputs if names else dict(list(outputs.items())[:-1])


def _to_device_of(model: nn.Module) -> Any:
    device = next(model.parameters()).device
    return lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf


def _by_depth(
    ours: dict[str, Tensor], theirs: dict[str, Tensor], depths: Sequence[float]
) -> list[tuple[str, str]]:
    """A pair for each depth; the teacher's layer has as many axes, and positions where it can."""
    if not ours or not theirs:
        whose = "teacher" if ours else "student"
        raise ValueError(
            f"the {whose} has no hidden layer with weights for a hint: name pairs=, or give none"
        )
    pairs: list[tuple[str, str]] = []
    for depth in depths:
        name = list(ours)[round(depth * (len(ours) - 1))]
        alike = [other for other in theirs if theirs[other].ndim == ours[name].ndim]
        if not alike:
            raise ValueError(
                f"the student's layer {name} gives {list(ours[name].shape)}, and no layer of the "
                "teacher gives as many axes: name pairs="
            )
        positions = ours[name].shape[2:]
        same = [other for other in alike if theirs[other].shape[2:] == positions] or alike
        places = {other: place / max(len(theirs) - 1, 1) for place, other in enumerate(theirs)}
        pairs.append((name, min(same, key=lambda other: abs(places[other] - depth))))
    return list(dict.fromkeys(pairs))


def _axis(ours: Tensor, theirs: Tensor) -> int | None:
    """The axis of the channels; None where the outputs cannot be compared."""
    if ours.ndim != theirs.ndim or ours.ndim < 2 or ours.ndim > 5:
        return None
    if ours.ndim == 3:  # N×T×C, as from linear and recurrent layers, or N×C×T
        return (
            2
            if ours.shape[1] == theirs.shape[1]
            else 1
            if ours.shape[2] == theirs.shape[2]
            else None
        )
    return 1


def _regressor(name: str, ours: Tensor, other: str, theirs: Tensor) -> nn.Module:
    """What maps the student's layer to the width of the teacher's."""
    axis = _axis(ours, theirs)
    if axis is None:
        raise ValueError(
            f"the student's layer {name} gives {list(ours.shape)} and the teacher's {other} gives "
            f"{list(theirs.shape)}: a hint needs as many axes, and of three axes an equal one"
        )
    ins, outs = ours.shape[axis], theirs.shape[axis]
    if ins == outs:
        return nn.Identity()
    last = axis == ours.ndim - 1
    return nn.Linear(ins, outs) if last else _CONVOLUTIONS[ours.ndim](ins, outs, 1)


@contextmanager
def _tapped(model: nn.Module, names: Iterable[str], keep: Any) -> Iterator[None]:
    """Call `keep(name, tensor)` with the first tensor that each layer returns, within."""
    modules = dict(model.named_modules())

    def hook_for(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            first = next((one for one in tree.leaves(output) if isinstance(one, Tensor)), None)
            if first is not None:
                keep(name, first.clone())  # an in-place activation may change it afterwards

        return hook

    hooks = [modules[name].register_forward_hook(hook_for(name)) for name in dict.fromkeys(names)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(eq=False)
class _Call:
    """A call of the student: its arguments, and what layers gave in it."""

    args: Any = None
    kwargs: Any = None
    ours: dict[str, Tensor] = field(default_factory=dict)
    theirs: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Hinted(View):
    """A taught task of a Pupil, whose loss adds the distances of hidden layers.

    `task`: with a teacher for the answers.
    `teacher`: whose layers give the hints.
    `weight`: of the hints, in a list of one, so that a training can change it.
    """

    task: Task
    teacher: nn.Module
    weight: list[float]

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        return asked(self.task, split, model.student if isinstance(model, Pupil) else model)

    def loss(self, model: Any, batch: Any) -> Any:
        if not isinstance(model, Pupil) or not self.weight[0]:
            student = model.student if isinstance(model, Pupil) else model
            return self.task.loss(student, batch)
        calls, loss = self._listened(model, batch)
        distances = [
            self._distance(regressor, call.ours[name], call.theirs[other])
            for call in calls
            for (name, other), regressor in zip(model.pairs, model.regressors, strict=True)
            if name in call.ours and other in call.theirs
        ]
        if not distances:
            raise RuntimeError(
                "the task's loss called none of the layers that hints name: name others with "
                "pairs=, or train without hints"
            )
        return loss + self.weight[0] * sum(distances) / len(distances)

    def _listened(self, model: Pupil, batch: Any) -> tuple[list[_Call], Any]:
        """The calls of the student within the loss, with what layers gave, and the loss.

        Where the loss does not call the teacher by itself (its answers were kept), it is called.
        """
        calls, learning = [_Call()], torch.is_grad_enabled()

        def begin(_module: nn.Module, args: Any, kwargs: Any) -> None:
            if torch.is_grad_enabled() == learning:
                if calls[-1].ours or calls[-1].theirs:
                    calls.append(_Call())
                calls[-1].args, calls[-1].kwargs = args, kwargs

        def ours(name: str, output: Tensor) -> None:
            if torch.is_grad_enabled() == learning:
                calls[-1].ours[name] = output

        def theirs(name: str, output: Tensor) -> None:
            calls[-1].theirs[name] = output.detach()

        with ExitStack() as stack:
            stack.enter_context(_tapped(model.student, [name for name, _ in model.pairs], ours))
            stack.enter_context(_tapped(self.teacher, [name for _, name in model.pairs], theirs))
            hook = model.student.register_forward_pre_hook(begin, with_kwargs=True)
            stack.callback(hook.remove)
            loss = self.task.loss(model.student, batch)
            for call in list(calls):
                if call.ours and not call.theirs and call.args is not None:
                    calls.append(call)  # what the teacher's layers give belongs to this call
                    with torch.no_grad(), evaluating(self.teacher):
                        self.teacher(*call.args, **call.kwargs)
                    calls.pop()
        return calls, loss

    @staticmethod
    def _distance(regressor: nn.Module, ours: Tensor, theirs: Tensor) -> Tensor:
        axis = 2 if isinstance(regressor, nn.Linear) and ours.ndim == 3 else 1
        if isinstance(regressor, nn.Identity):
            axis = _axis(ours, theirs) or 1
        mapped = regressor(ours)
        if axis == 1 and mapped.shape[2:] != theirs.shape[2:]:
            sizes = [min(pair) for pair in zip(mapped.shape[2:], theirs.shape[2:], strict=True)]
            pool = _POOLS[mapped.ndim]
            mapped, theirs = pool(mapped, sizes), pool(theirs, sizes)
        return _share_of_variance(mapped, theirs, axis)


def _share_of_variance(ours: Tensor, theirs: Tensor, axis: int) -> Tensor:
    """The squared error of all channels, as a share of their variance in the batch together.

    1 where the mean of each channel is predicted. Channels that hardly vary, such as those that a
    ReLU keeps at 0, count hardly: each with a variance of its own, they would be all that counts.
    """
    ours, theirs = ours.float().movedim(axis, -1), theirs.float().movedim(axis, -1)
    error = (ours - theirs).square().flatten(0, -2).mean(0).sum()
    variance = theirs.flatten(0, -2).var(0, correction=0).sum()
    square = theirs.square().flatten(0, -2).mean(0).sum()
    return error / variance.maximum(_LEAST_VARIANCE * square).clamp_min(_TINY)
