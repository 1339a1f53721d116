"""Fine-tuning of a part: a new head, or the last layers, on a frozen body."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from shoestring.adapt.support import BeforeLastLinear, ModelOutputs, Support, with_head
from shoestring.core import Stage, Task, Technique, evaluating, seeded
from shoestring.kit import AdamW, Training, check_finite, clone, train
from shoestring.kit.tracing.example import examples_of


@dataclass(frozen=True)
class NewHead:
    """A new linear head is trained, for the classes of the task's labels (a linear probe).

    `features`: what it reads: BeforeLastLinear(), whose place it takes, or ModelOutputs().
    """

    features: BeforeLastLinear | ModelOutputs = BeforeLastLinear()


@dataclass(frozen=True)
class LastLayers:
    """The layers that are called last are trained, from where they are.

    A layer is a module with a matrix of its own. What is called after the first of them, such as a
    norm, is trained too.

    `count`: of layers, 1 or more.

    Raises ValueError for a count out of range.
    """

    count: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"the last {self.count!r} layers: give an integer, 1 or more")


@dataclass(frozen=True, kw_only=True)
class Frozen(Technique):
    """Train a new head or the last layers on the task, and leave the body as it is.

    Saves: nothing by itself: whether it needs fewer labels than the training of all weights depends
    on how near the old task is; docs/adapt.md has what we measured.
    Costs: score, where the body's features do not tell the new classes apart.
    Source: Donahue et al. 2014 (features of a trained network); Yosinski et al. 2014, section 4.

    `trained`: NewHead() or LastLayers(count).
    `training`: of what is trained.

    Batch norms and dropouts of the body run as in evaluation. Raises as `Prototypes` for NewHead(),
    and ValueError for a model without a layer that has a matrix.
    """

    stage: ClassVar = Stage.LABELS

    trained: NewHead | LastLayers = NewHead()
    training: Training = Training(300, AdamW(1e-2))

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, of which a part was trained on the task."""
        if isinstance(self.trained, NewHead):
            result, head = with_head(model, task, self.trained.features, _linear)
            free = {head: list(head.parameters())}
        else:
            check_finite(model)
            result = clone(model)
            free = last_layers(result, task, self.trained.count)
        with _frozen_but(free, result):
            train(result, task, self.training, what="training the rest", key=repr(self))
        return result


def _linear(support: Support) -> nn.Module:
    return nn.Linear(support.features_SD.shape[1], support.classes)


def last_layers(model: nn.Module, task: Task, count: int) -> dict[nn.Module, list[nn.Parameter]]:
    """The modules that are called from the count-th last layer on, with their own parameters.

    A parameter belongs to the innermost module that is called and has it. Raises ValueError where
    no module that is called has a matrix.
    """
    owners = _owners(model, task)
    matrices = [place for place, own in enumerate(owners.values()) if any(p.ndim >= 2 for p in own)]
    if not matrices:
        raise ValueError(
            f"{type(model).__name__} calls no module that has a matrix: there is no last layer to "
            "train"
        )
    return dict(list(owners.items())[matrices[-min(count, len(matrices))] :])


def _owners(model: nn.Module, task: Task) -> dict[nn.Module, list[nn.Parameter]]:
    """The parameters of each module that is called, in the order in which calls begin."""
    called: dict[nn.Module, None] = {}

    def note(module: nn.Module, _inputs: Any) -> None:
        called.pop(module, None)  # a module that is called again belongs to its last call
        called[module] = None

    hooks = [part.register_forward_pre_hook(note) for part in model.modules()]
    try:
        with seeded(0), evaluating(model), torch.no_grad():
            for example in examples_of(task):
                example.run(model)
    finally:
        for hook in hooks:
            hook.remove()
    inner: dict[nn.Parameter, nn.Module] = {}
    for module in called:  # a part is called after what it is a part of
        inner.update(dict.fromkeys(module.parameters(), module))
    owners: dict[nn.Module, list[nn.Parameter]] = {}
    for module in called:
        if own := [parameter for parameter, owner in inner.items() if owner is module]:
            owners[module] = own
    return owners


@contextmanager
def _frozen_but(free: dict[nn.Module, list[nn.Parameter]], model: nn.Module) -> Iterator[None]:
    """Within, only these parameters are trained, and all other modules run as in evaluation."""
    kept = {parameter for own in free.values() for parameter in own}
    needed = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(part, part.training) for part in model.modules()]
    try:
        for parameter, _ in needed:
            parameter.requires_grad_(parameter in kept)
        for part, _ in modes:
            part.training = part in free
        model.training = True  # else the training would put every part into training mode
        yield
    finally:
        for parameter, before in needed:
            parameter.requires_grad_(before)
            parameter.grad = None
        for part, mode in modes:
            part.training = mode
