"""Learning from labelled and unlabelled batches side by side, with an average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import LabelTask, Task, View
from shoestring.core.task import asked
from shoestring.kit import Training, clone, train
from shoestring.kit.training.averages import move_average
from shoestring.kit.training.splits import changed
from shoestring.unlabelled.augmentations import Augmentation, Augmentations
from shoestring.unlabelled.material import Material


class Pair(nn.Module):
    """A network that learns, and the moving average of its weights, which does not.

    Source: Tarvainen & Valpola 2017, section 3; Polyak & Juditsky 1992.

    As one module, a snapshot of the training has both, and what the loss remembers.

    `network`: learns; the pair answers as it does.
    `average`: its exponential moving average, in evaluation mode.
    `memory`: buffers of the loss, such as thresholds; None: it has none.
    `decay`: the share of the average that stays in each step; less in the first steps.
    """

    def __init__(self, network: nn.Module, decay: float, memory: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.decay = network, decay
        self.average = clone(network).requires_grad_(False).eval()
        self.memory = memory if memory is not None else nn.Module()

    def train(self, mode: bool = True) -> Pair:
        """Put the network into a mode; the average stays in evaluation mode."""
        super().train(mode)
        self.average.eval()
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the network answers."""
        return self.network(*args, **kwargs)

    def follow(self, step: int) -> None:
        """Move the average to the weights after `step` steps, 1 or more."""
        move_average(self.average, self.network, self.decay, step)


Term = Callable[[Pair, tuple[Tensor, ...], float], Tensor]
"""The loss of unlabelled inputs, N×… each: a scalar. The last argument is the share of the training
that is over, 0 to 1.
"""


@dataclass(frozen=True, eq=False)
class Weakly(View):
    """A task whose labelled training inputs are changed weakly in each batch."""

    task: LabelTask
    change: Augmentation

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        own = asked(self.task, split, model)
        return (_changed(batch, self.change) for batch in own) if split == "train" else own

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(model, batch)


@dataclass
class _Clock:
    step: int = 0
    steps: int = 1


@dataclass(frozen=True, eq=False)
class Alongside(View):
    """A task whose training batches have unlabelled inputs beside the labelled ones.

    The order of the unlabelled inputs is drawn when a pass begins, by a seed from torch's
    generator, so that a training that was killed goes on with the same ones.

    `change`: of labelled inputs.
    `inputs`: of all unlabelled examples.
    `size`: how many are in a batch, or all of them where there are fewer.
    `term`: their loss, which counts `weight` times.
    """

    task: LabelTask
    change: Augmentation
    inputs: tuple[Tensor, ...]
    size: int
    term: Term
    weight: float
    clock: _Clock = field(default_factory=_Clock)

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        network = model.network if isinstance(model, Pair) else model
        own = asked(self.task, split, network)
        return self._beside(own) if split == "train" else own

    def _beside(self, own: Iterable[Any]) -> Iterator[Any]:
        draw = torch.Generator().manual_seed(int(torch.randint(2**40, ())))
        count = len(self.inputs[0])
        for batch in own:
            rows = torch.randint(count, (min(self.size, count),), generator=draw)
            free = self.task.prepared(tuple(one[rows] for one in self.inputs))
            yield _changed(batch, self.change), free

    def loss(self, model: Any, batch: Any) -> Tensor:
        own, free = batch
        share = self.clock.step / max(1, self.clock.steps)
        return self.task.loss(model.network, own) + self.weight * self.term(model, free, share)


def _changed(batch: Any, change: Augmentation) -> Any:
    """A labelled batch with its inputs changed; raises TypeError where they are not its first."""
    if not isinstance(batch, tuple) or not isinstance(batch[0], tuple):
        raise TypeError(
            f"a training batch is {type(batch).__name__}: what learns from unlabelled examples "
            "takes (inputs, targets), with the inputs in a tuple, as Supervised gives them"
        )
    return changed(batch[0], change), *batch[1:]


def learn_alongside(
    model: nn.Module,
    given: Material,
    training: Training,
    term: Term,
    *,
    what: str,
    weight: float,
    size: int,
    decay: float,
    key: str,
    memory: nn.Module | None = None,
) -> Pair:
    """Train a copy of a model on labelled and unlabelled batches; returns it with its average.

    `key`: tells the training from others of the technique, as in `kit.train`.
    """
    pair = Pair(clone(model), decay, memory)
    if not model.training:  # in a model in training mode, parts in evaluation mode are frozen
        pair.network.train()
    clock = _Clock(steps=training.steps)
    task: Task = Alongside(
        given.task, given.augmentations.weak, given.inputs, size, term, weight, clock
    )

    def before(step: int) -> None:
        clock.step = step
        if step:
            pair.follow(step)

    train(pair, task, training, before_step=before, what=what, key=key)
    if training.steps:
        pair.follow(training.steps)
    return pair


def where_sure(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    changes: Augmentations,
    least: Callable[[Tensor, Tensor], float | Tensor],
) -> Tensor:
    """The loss of strong changes whose labels are what the network says of weak ones: a scalar.

    `least`: from the probabilities of the weak changes, N×C, and their likeliest classes, N, to the
        probability from which on a class is a label: one number, or N.
    """
    with torch.no_grad():
        belief_NC = network(*changed(inputs, changes.weak)).softmax(1)
        sure, label = belief_NC.max(1)
        threshold = least(belief_NC, label)
    own = network(*changed(inputs, changes.strong))
    losses = functional.cross_entropy(own, label, reduction="none")
    return (losses * (sure >= threshold)).mean()


def own_network(part: nn.Module, model: nn.Module) -> nn.Module:
    """A trained copy of a model, in the modes and with the gradients of the model."""
    modes = {name: one.training for name, one in model.named_modules()}
    for name, one in part.named_modules():
        one.training = modes.get(name, model.training)
    wanted = {name: one.requires_grad for name, one in model.named_parameters()}
    for name, one in part.named_parameters():
        one.requires_grad_(wanted.get(name, True))
        one.grad = None
    return part


def risen(share: float, over: float) -> float:
    """How far a weight has risen when a share of the training is over, 0 to 1.

    Source: Laine & Aila 2017, section 3: exp(-5 (1 - t)²) while t rises from 0 to 1.

    `over`: the share of the training in which it rises; 0: at once.
    """
    return math.exp(-5 * (1 - min(1.0, share / over)) ** 2) if over else 1.0
