"""The losses of a generator and a discriminator: ten ways to set two networks at each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from shoestring.generate.regularisers import (
    AroundReal,
    AtReal,
    BetweenRealAndMade,
    Constraint,
    Penalty,
    SpectralNorm,
    Unregularised,
    WeightsClipped,
)


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """What a discriminator and a generator minimise, from the scores of pictures.

    Three class attributes say how it is trained:
    `relative`: whether the generator's loss sees the scores of real pictures too.
    `saturates`: whether a discriminator that tells all pictures teaches the generator nothing.
    `lower_is_real`: whether a lower score means more real.

    `regulariser`: what holds the discriminator back.
    """

    relative: ClassVar[bool] = False
    saturates: ClassVar[bool] = True
    lower_is_real: ClassVar[bool] = False

    regulariser: Constraint | Penalty = Unregularised()

    @abstractmethod
    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        """The discriminator's loss, a scalar.

        `real`, `made`: the scores of pictures, N each.
        `balance`: a number that the loss may keep between steps, by changing it in place; 0 first.
        """

    @abstractmethod
    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        """The generator's loss, a scalar; `real` is empty where the loss is not `relative`."""


@final
@dataclass(frozen=True, kw_only=True)
class Minimax(Loss):
    """The generator lowers the probability that its pictures are told from real ones.

    Where the discriminator is sure, its gradient vanishes.

    Source: Goodfellow et al. 2014, equation 1.
    """

    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(made).mean()

    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        return -softplus(made).mean()


@final
@dataclass(frozen=True, kw_only=True)
class NonSaturating(Loss):
    """The generator raises the probability that its pictures are taken for real.

    With `regulariser=AroundReal()` it is DRAGAN (Kodali et al. 2017), and with `AtReal()` it is R1
    (Mescheder, Geiger & Nowozin 2018).

    Source: Goodfellow et al. 2014, section 3.
    """

    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(made).mean()

    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        return softplus(-made).mean()


@final
@dataclass(frozen=True, kw_only=True)
class LeastSquares(Loss):
    """Scores are to be 1 for real pictures and 0 for made ones.

    Source: Mao et al. 2017 (LSGAN), equation 9.
    """

    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        return ((real - 1).square().mean() + made.square().mean()) / 2

    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        return (made - 1).square().mean() / 2


@final
@dataclass(frozen=True, kw_only=True)
class Wasserstein(Loss):
    """Scores are to differ as far as a limit on their slope lets them: a distance of distributions.

    With `regulariser=BetweenRealAndMade()` it is WGAN-GP (Gulrajani et al. 2017).

    Source: Arjovsky, Chintala & Bottou 2017, algorithm 1.
    Differs: Adam instead of RMSProp, with a momentum of 0.5 by default, where WGAN-GP has 0. `GAN`
    takes one step of the discriminator before each of the generator by default, where both papers
    take five: give `discriminator_steps=5`.
    """

    saturates: ClassVar[bool] = False

    regulariser: Constraint | Penalty = WeightsClipped()

    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        return made.mean() - real.mean()

    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        return -made.mean()


@final
@dataclass(frozen=True, kw_only=True)
class Hinge(Loss):
    """Scores are to be above 1 for real pictures and below -1 for made ones, and no further.

    Source: Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17.
    Differs: `GAN` takes one step of the discriminator before each of the generator by default,
    where Miyato et al. take five (from memory): give `discriminator_steps=5`.
    """

    saturates: ClassVar[bool] = False

    regulariser: Constraint | Penalty = SpectralNorm()

    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + made).mean()

    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        return -made.mean()


@final
@dataclass(frozen=True, kw_only=True)
class Balanced(Loss):
    """BEGAN: an autoencoder is to know real pictures again, and made ones only so far.

    The discriminator gives how badly it knows a picture again, as `models.DCGANAutoencoder` does.

    Source: Berthelot, Schumm & Metz 2017, section 3.4.

    `diversity`: how badly made pictures are known again, as a share of real ones (γ), 0 to 1.
    `gain`: how fast the balance follows (λ), above 0.
    """

    lower_is_real: ClassVar[bool] = True
    saturates: ClassVar[bool] = False

    diversity: float = 0.5
    gain: float = 0.001

    def __post_init__(self) -> None:
        if not 0 <= self.diversity <= 1:
            raise ValueError(f"a diversity of {self.diversity!r}: give a number from 0 to 1")
        if not 0 < self.gain < float("inf"):
            raise ValueError(f"a gain of {self.gain!r}: give a number above 0")

    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        loss = real.mean() - balance.clone() * made.mean()
        with torch.no_grad():
            balance += self.gain * (self.diversity * real.mean() - made.mean())
            balance.clamp_(0, 1)
        return loss

    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        return made.mean()


@final
@dataclass(frozen=True, kw_only=True)
class RelativisticAverage(Loss):
    """Real pictures are to seem more real than made ones on average, and the other way round.

    Source: Jolicoeur-Martineau 2019, section 4.2 (RaSGAN).
    """

    relative: ClassVar[bool] = True

    def discriminator(self, real: Tensor, made: Tensor, balance: Tensor) -> Tensor:
        return softplus(made.mean() - real).mean() + softplus(made - real.mean()).mean()

    def generator(self, real: Tensor, made: Tensor) -> Tensor:
        return softplus(real - made.mean()).mean() + softplus(real.mean() - made).mean()


TEN: dict[str, Loss] = {
    "minimax": Minimax(),
    "non-saturating": NonSaturating(),
    "LSGAN": LeastSquares(),
    "WGAN": Wasserstein(),
    "WGAN-GP": Wasserstein(regulariser=BetweenRealAndMade()),
    "hinge, spectral norm": Hinge(),
    "DRAGAN": NonSaturating(regulariser=AroundReal()),
    "BEGAN": Balanced(),
    "relativistic average": RelativisticAverage(),
    "R1": NonSaturating(regulariser=AtReal()),
}
"""Ten losses by the names of their papers."""
