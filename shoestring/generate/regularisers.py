"""What holds a discriminator back: constraints on its weights, and penalties on its gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Judge = Callable[[Tensor], Tensor]
"""From pictures N×C×H×W to scores N."""


@dataclass(frozen=True)
class Constraint(ABC):
    """Limits the weights of a discriminator."""

    @abstractmethod
    def begin(self, discriminator: nn.Module) -> None:
        """Change a discriminator in place, before its training."""

    @abstractmethod
    def keep(self, discriminator: nn.Module) -> None:
        """Change its weights in place, before each step."""


@dataclass(frozen=True)
class Penalty(ABC):
    """Joins the loss of a discriminator."""

    @abstractmethod
    def of(self, judge: Judge, real: Tensor, made: Tensor) -> Tensor:
        """The penalty of a step, a scalar.

        `judge`: the discriminator, told of the classes of the real pictures where it takes them.
        `real`, `made`: as many pictures each, N×C×H×W.
        """


@final
@dataclass(frozen=True)
class Unregularised(Constraint):
    """Nothing holds the discriminator back."""

    def begin(self, discriminator: nn.Module) -> None: ...

    def keep(self, discriminator: nn.Module) -> None: ...


@final
@dataclass(frozen=True)
class WeightsClipped(Constraint):
    """Each weight stays within ±`most`.

    Source: Arjovsky, Chintala & Bottou 2017, algorithm 1.

    `most`: above 0.
    """

    most: float = 0.01

    def __post_init__(self) -> None:
        _check("weights clipped", self.most)

    def begin(self, discriminator: nn.Module) -> None: ...

    @torch.no_grad()
    def keep(self, discriminator: nn.Module) -> None:
        for weight in discriminator.parameters():
            weight.clamp_(-self.most, self.most)


@final
@dataclass(frozen=True)
class SpectralNorm(Constraint):
    """Each weight is divided by its largest singular value, found by power iteration.

    Source: Miyato et al. 2018, section 2.1, by `torch.nn.utils.parametrizations.spectral_norm`.
    """

    def begin(self, discriminator: nn.Module) -> None:
        for part in list(discriminator.modules()):
            if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
                spectral_norm(part)

    def keep(self, discriminator: nn.Module) -> None: ...


@final
@dataclass(frozen=True)
class BetweenRealAndMade(Penalty):
    """The gradient is to have length 1 at points between real and made pictures.

    Source: Gulrajani et al. 2017, section 4.

    `weight`: of the squared distance from 1, above 0.
    """

    weight: float = 10.0

    def __post_init__(self) -> None:
        _check("a penalty of weight", self.weight)

    def of(self, judge: Judge, real: Tensor, made: Tensor) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
        lengths = _slopes(judge, torch.lerp(real, made, share)).sqrt()
        return self.weight * (lengths - 1).square().mean()


@final
@dataclass(frozen=True)
class AroundReal(Penalty):
    """The gradient is to have length 1 at points around real pictures.

    Source: Kodali et al. 2017 (DRAGAN), section 2.4, with the noise of the authors' code: up to
    half of a standard deviation of the batch.
    Differs: the gradient is taken at the picture with its noise. The authors' code goes a uniform
    share of the way there, drawn for each picture (from memory).

    `weight`: of the squared distance from 1, above 0.
    """

    weight: float = 10.0

    def __post_init__(self) -> None:
        _check("a penalty of weight", self.weight)

    def of(self, judge: Judge, real: Tensor, made: Tensor) -> Tensor:
        lengths = _slopes(judge, real + 0.5 * real.std() * torch.rand_like(real)).sqrt()
        return self.weight * (lengths - 1).square().mean()


@final
@dataclass(frozen=True)
class AtReal(Penalty):
    """The gradient is to be short at real pictures (R1).

    Source: Mescheder, Geiger & Nowozin 2018, section 4.1.

    `weight`: twice that of its squared length, above 0.
    """

    weight: float = 10.0

    def __post_init__(self) -> None:
        _check("a penalty of weight", self.weight)

    def of(self, judge: Judge, real: Tensor, made: Tensor) -> Tensor:
        return self.weight / 2 * _slopes(judge, real).mean()


def _slopes(judge: Judge, pictures: Tensor) -> Tensor:
    """The squared length of the gradient of each score by its picture, N."""
    at = pictures.detach().requires_grad_()
    (slope,) = torch.autograd.grad(judge(at).sum(), at, create_graph=True)
    return slope.flatten(1).square().sum(1) + 1e-12  # where its root has a gradient too


def _check(what: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{what} {value!r}: give a number above 0")
