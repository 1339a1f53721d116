"""A power law with a floor, weighed on a grid: what a few points leave open, as draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_DRAWS = 4000
_FLOORS = ((np.arange(40) + 0.5) / 40) ** 2
"""Shares of the error at the largest size that the floor may be: dense near to no floor.

Any share from 0 to 1 is as likely before.
"""
_EXPONENTS = np.geomspace(0.02, 3.0, 60)
_MISFITS = np.geomspace(0.004, 0.5, 16)
"""Standard deviations of the means from the law, as shares of the error.

These and the next were set before the benchmark, and checked on those of its cases that do not
count: hardly anything changed with them (docs/forecast-scale.md).
"""
_EXPONENT, _EXPONENT_SPREAD = 0.4, 0.7
"""The exponents before anything is seen: their median, and the deviation of their logarithm."""
_MISFIT = 0.03
"""The misfit before anything is seen: half of what is likely is below it."""
_SPREAD_COUNTS = 4.0
"""As so many trainings counts the spread of all sizes beside that of a size's own."""
_NEAR = 0.98
"""Share of a bound from which on an error counts as so much of it: it says nothing more exact."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Errors that were measured at P sizes.

    `sizes_P`: in ascending order, as shares of the largest.
    `errors`: for each size those of its trainings, 0 or more.
    `bounds`: errors that may bound the law, above 0, each as likely before; infinity for none.
    """

    sizes_P: np.ndarray
    errors: tuple[np.ndarray, ...]
    bounds: tuple[float, ...]

    @property
    def means_P(self) -> np.ndarray:
        """The mean error of each size; where it is 0, half the least error above 0 of any."""
        means_P = np.array([one.mean() for one in self.errors])
        every = np.concatenate(self.errors)
        return np.maximum(means_P, 0.5 * every[every > 0].min(initial=np.inf))

    def noise(self) -> tuple[np.ndarray, float]:
        """The variances of the logarithms of the means, P, and of one training at the last size.

        They are those of the noise among trainings: 0 where no size has two.
        """
        counts_P = np.array([len(one) for one in self.errors])
        squares_P = np.array([((one - one.mean()) ** 2).sum() for one in self.errors])
        squares_P = squares_P / self.means_P**2
        pooled = squares_P.sum() / max(int((counts_P - 1).sum()), 1)
        spread_P = (squares_P + _SPREAD_COUNTS * pooled) / (counts_P - 1 + _SPREAD_COUNTS)
        return spread_P / counts_P, float(spread_P[-1])

    def falls(self) -> bool:
        """Whether a straight line through the logarithms falls by more than its standard error."""
        logs_P, (noise_P, _) = np.log(self.means_P), self.noise()
        apart_P = np.log(self.sizes_P) - np.log(self.sizes_P).mean()
        slope = (apart_P * logs_P).sum() / (apart_P**2).sum()
        left_P = logs_P - logs_P.mean() - slope * apart_P
        variance = max((left_P**2).sum() / max(len(logs_P) - 2, 1), float(noise_P.mean()))
        return bool(slope + math.sqrt(variance / (apart_P**2).sum()) < 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """Laws that were drawn, R of them: x = scale · (floor + (1 - floor) · size^-exponent).

    x is the error without its bound (`unbounded`). Sizes are shares of the largest measured one.

    `scales_R`, `floors_R`, `exponents_R`, `bounds_R`: of each law.
    `noise_R`: how far the error of one training is from it, as a logarithm.
    """

    scales_R: np.ndarray
    floors_R: np.ndarray
    exponents_R: np.ndarray
    bounds_R: np.ndarray
    noise_R: np.ndarray

    def curves(self, sizes_G: np.ndarray) -> np.ndarray:
        """The errors of the laws at these sizes: R×G."""
        floors_R1 = self.floors_R[:, None]
        falling_RG = sizes_G[None] ** -self.exponents_R[:, None]
        laws_RG = self.scales_R[:, None] * (floors_R1 + (1 - floors_R1) * falling_RG)
        return bounded(laws_RG, self.bounds_R[:, None])

    def runs(self, size: float) -> np.ndarray:
        """The errors of one training of a size, a law each: R."""
        return self.curves(np.array([size]))[:, 0] * np.exp(self.noise_R)

    def floors(self) -> np.ndarray:
        """The errors that remain at any size: R."""
        return bounded(self.scales_R * self.floors_R, self.bounds_R)


def unbounded(errors: np.ndarray, bound: float) -> np.ndarray:
    """Errors below a bound, so that they grow without one: e / (1 - e / bound)."""
    return errors / (1 - errors / bound)


def bounded(errors: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The inverse of `unbounded`."""
    return errors / (1 + errors / bounds)


def posterior(measured: Measured, seed: int) -> Posterior:
    """Draws of the laws, as likely as the measurements and what is known before make them.

    For each bound, floor, exponent and misfit of a grid the scale has a normal distribution as a
    logarithm, which is integrated over.

    `seed`: of the draws.
    """
    grid = np.meshgrid(np.array(measured.bounds), _FLOORS, _EXPONENTS, _MISFITS, indexing="ij")
    bounds_G, floors_G, exponents_G, misfits_G = (one.ravel() for one in grid)
    noise_P, run = measured.noise()
    parts = [_weighed(measured, bound, noise_P) for bound in measured.bounds]
    centres_G, sums_G, likely_G = (np.concatenate(one) for one in zip(*parts, strict=True))
    share_G = np.exp(likely_G - likely_G.max())
    draw = np.random.default_rng(seed)
    # Systematic resampling: a grid of quantiles, so that little of the interval is luck.
    places = (np.arange(_DRAWS) + draw.random()) / _DRAWS
    rows_R = np.searchsorted(np.cumsum(share_G) / share_G.sum(), places).clip(0, len(share_G) - 1)
    normal_R, noise_R = draw.standard_normal((2, _DRAWS))
    return Posterior(
        scales_R=np.exp(centres_G[rows_R] + normal_R / np.sqrt(sums_G[rows_R])),
        floors_R=floors_G[rows_R],
        exponents_R=exponents_G[rows_R],
        bounds_R=bounds_G[rows_R],
        noise_R=noise_R * np.sqrt(misfits_G[rows_R] ** 2 + run),
    )


def _weighed(
    measured: Measured, bound: float, noise_P: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For one bound: the centres and weights of log scales, and how likely each law is: G each."""
    grid = np.meshgrid(_FLOORS, _EXPONENTS, _MISFITS, indexing="ij")
    floors_G, exponents_G, misfits_G = (one.ravel() for one in grid)
    errors_P = np.minimum(measured.means_P, _NEAR * bound)
    steep_P = 1 / (1 - errors_P / bound)  # of the logarithm without the bound over that with it
    falling_GP = measured.sizes_P[None] ** -exponents_G[:, None]
    laws_GP = np.log(floors_G[:, None] + (1 - floors_G[:, None]) * falling_GP)
    apart_GP = np.log(unbounded(errors_P, bound))[None] - laws_GP
    variances_GP = misfits_G[:, None] ** 2 + noise_P[None]
    weights_GP = 1 / (steep_P[None] ** 2 * variances_GP)
    sums_G = weights_GP.sum(1)
    centres_G = (weights_GP * apart_GP).sum(1) / sums_G
    squares_G = (weights_GP * (apart_GP - centres_G[:, None]) ** 2).sum(1)
    likely_G = -0.5 * (np.log(variances_GP).sum(1) + np.log(sums_G) + squares_G)
    # Before anything is seen. The grid of floors is even in square roots, the others are in
    # logarithms; misfits are half-Cauchy.
    apart_G = (np.log(exponents_G) - math.log(_EXPONENT)) / _EXPONENT_SPREAD
    shares_G = misfits_G / _MISFIT
    likely_G += 0.5 * np.log(floors_G) - 0.5 * apart_G**2 + np.log(shares_G / (1 + shares_G**2))
    return centres_G, sums_G, likely_G
