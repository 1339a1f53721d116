"""Training on inputs without labels, and then on the labels that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import LabelTask, View
from shoestring.core.task import asked
from shoestring.kit import Training, clone, train
from shoestring.unlabelled.consistency import Weakly, own_network
from shoestring.unlabelled.material import Material

Term = Callable[[Any, tuple[Tensor, ...]], Tensor]
"""The loss of the module that is trained, on inputs N×… each: a scalar."""


@dataclass(frozen=True, eq=False)
class Unlabelled(View):
    """A task whose training batches are inputs, in an order that is drawn for each pass.

    The seed of an order is drawn from torch's generator, so that a training that was killed goes on
    with the same inputs. What is left of a pass and is no whole batch is left out.

    `inputs`: of all examples, labelled or not.
    `size`: how many are in a batch, or all of them where there are fewer.
    `term`: the loss.
    """

    task: LabelTask
    inputs: tuple[Tensor, ...]
    size: int
    term: Term

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        return self._drawn() if split == "train" else asked(self.task, split, model)

    def _drawn(self) -> Iterator[tuple[Tensor, ...]]:
        draw = torch.Generator().manual_seed(int(torch.randint(2**40, ())))
        order = torch.randperm(len(self.inputs[0]), generator=draw)
        size = min(self.size, len(order))
        for rows in order[: len(order) // size * size].split(size):
            yield self.task.prepared(tuple(one[rows] for one in self.inputs))

    def loss(self, model: Any, batch: Any) -> Tensor:
        return self.term(model, batch)


def pretrained(
    module: nn.Module,
    given: Material,
    training: Training,
    term: Term,
    *,
    size: int,
    what: str,
    key: str,
) -> None:
    """Train a module in place on all inputs, without a label; `key` as in `kit.train`."""
    train(module, Unlabelled(given.task, given.inputs, size, term), training, what=what, key=key)


def fine_tuned(
    network: nn.Module, model: nn.Module, given: Material, training: Training, key: str
) -> None:
    """Train a pretrained network in place on the labels; it gets the modes of the model."""
    task = Weakly(given.task, given.augmentations.weak)
    train(own_network(network, model), task, training, what="fine-tuning on the labels", key=key)
    for one in network.parameters():
        one.grad = None


def learning(model: nn.Module) -> nn.Module:
    """A copy of a model in training mode; in one that is in it, other parts are frozen."""
    made = clone(model)
    return made if model.training else made.train()
