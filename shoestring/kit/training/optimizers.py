"""Optimizers of a training, as values: which, and with which numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any


def brief(self: Any) -> str:
    """A short repr: the first field, and the other fields that differ from their defaults."""
    shown = [
        (f.name, getattr(self, f.name))
        for index, f in enumerate(fields(self))
        if not index or getattr(self, f.name) != f.default
    ]
    words = [
        repr(value) if not index else f"{name}={value!r}"
        for index, (name, value) in enumerate(shown)
    ]
    return f"{type(self).__qualname__}({', '.join(words)})"


@dataclass(frozen=True)
class AdamW:
    """Adam with weight decay that is decoupled from the gradient.

    Source: Loshchilov & Hutter 2019, algorithm 2.

    `learning_rate`: the highest rate, above 0.
    `weight_decay`: the share of a weight that is lost in each step, divided by the rate; 0 or more.
    `momentum`: the share of the mean gradient that stays in each step (β₁), 0 or more and below 1.
        Where two networks learn against each other, 0.5 or 0 is usual.

    Raises ValueError for numbers out of range.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9

    __repr__ = brief

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate, "1e-3")
        _check_decay(self.weight_decay)
        _check_share("momentum", self.momentum)


@dataclass(frozen=True)
class Adagrad:
    """Each weight has its own rate, which falls with the squares of all gradients that it had.

    It is for inputs with a long tail: the vector of a word that comes rarely still learns at a high
    rate when it comes, and stays as it is when it does not come.

    Source: Duchi, Hazan & Singer 2011, figure 1 (diagonal matrices, no regulariser).

    `learning_rate`: the highest rate, above 0. As rates fall by themselves, it is higher than
        AdamW's, and the same for a schedule that falls too.
    `accumulated`: the sum of squares that each weight begins with, 0 or more; above 0 the first
        steps are smaller.

    There is no weight decay: it would shrink what comes rarely the most.
    Raises ValueError for numbers out of range.
    """

    learning_rate: float = 0.1
    accumulated: float = 0.0

    __repr__ = brief

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate, "0.1")
        if not 0 <= self.accumulated < math.inf:
            raise ValueError(
                f"the accumulated squares are {self.accumulated}: they must be 0 or more"
            )


@dataclass(frozen=True)
class SGD:
    """Steps along the gradient, with momentum: all weights have one rate.

    It is what methods for many workers are described with, and what large batches are scaled with.
    It needs a rate that was chosen for the network and the data, where `AdamW` often does not.

    Source: Sutskever et al. 2013, section 2 (momentum), as torch has it.

    `learning_rate`: the highest rate, above 0.
    `momentum`: the share of the last step that stays in each step, 0 or more and below 1.
    `weight_decay`: times the weights, it is added to the gradient; 0 or more.

    Raises ValueError for numbers out of range.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0

    __repr__ = brief

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate, "0.1")
        _check_share("momentum", self.momentum)
        _check_decay(self.weight_decay)


@dataclass(frozen=True)
class LARS:
    """SGD in which each layer has a rate in proportion to its size over that of its gradient.

    For batches so large that a rate which is right for some layers makes others diverge. Each
    parameter of two axes or more counts as a layer. One of fewer axes (a bias, those of a norm) has
    the plain rate and no decay, and so has a layer that is all zero until it has left it.

    Source: You, Gitman & Ginsburg 2017, "Large batch training of convolutional networks",
    algorithm 1.
    Differs: biases and norms are left out, as most programs do that train with it.

    `learning_rate`: the highest rate, above 0. At a rate of 1 a layer changes by `trust` of its own
        size in a step, and a bias by its whole gradient: where biases diverge, lower the rate and
        raise `trust`.
    `momentum`: the share of the last step that stays in each step, 0 or more and below 1.
    `weight_decay`: times the weights, it is added to the gradient; 0 or more.
    `trust`: η of the paper, above 0.

    Raises ValueError for numbers out of range.
    """

    learning_rate: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    trust: float = 1e-3

    __repr__ = brief

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate, "1.0")
        _check_share("momentum", self.momentum)
        _check_decay(self.weight_decay)
        if not 0 < self.trust < math.inf:
            raise ValueError(f"the trust is {self.trust}: it must be above 0, such as 1e-3")


@dataclass(frozen=True)
class LAMB:
    """Adam in which the step of each layer is in proportion to the layer's size.

    What is a layer, and what is left out, is as with `LARS`: those have plain Adam, without decay.

    Source: You et al. 2020, "Large batch optimization for deep learning: training BERT in 76
    minutes", algorithm 2, with φ(z) = z and β₂ = 0.999; biases and norms are left out as in the
    program of its authors.

    `learning_rate`: the highest rate, above 0: the share of its own size by which a layer changes.
    `weight_decay`: times the weights, it is added to the step before its size is taken; 0 or more.
    `momentum`: the share of the mean gradient that stays in each step (β₁), 0 or more and below 1.

    Raises ValueError for numbers out of range.
    """

    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    momentum: float = 0.9

    __repr__ = brief

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate, "1e-2")
        _check_decay(self.weight_decay)
        _check_share("momentum", self.momentum)


Optimizer = AdamW | Adagrad | SGD | LARS | LAMB
OPTIMIZERS = (AdamW, Adagrad, SGD, LARS, LAMB)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"the {name} is {value}: it must be 0 or more and below 1")


def _check_decay(value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"the weight decay is {value}: it must be 0 or more")


def _check_learning_rate(rate: float, such_as: str) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"the learning rate is {rate}: it must be above 0, such as {such_as}")
