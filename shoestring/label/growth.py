"""Forms of learning curves, fitted to a few points again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_LEAST_NOISE = 1e-4
"""Of a score: what no curve is more certain than."""
_EVEN = 0.2
"""Share of the curves whose form is drawn without regard to the fit.

This and the next two are chosen so that the intervals hold on the curves of test scores of seeds 0
to 4 of each set in benchmarks/active_learning.py; docs/choose.md has how they do on other seeds of
the same sets.
"""
_KNOWN = 0.5
"""Share of the squared standard error of a score that is noise from point to point.

Scores of one test set err together.
"""
_PRIOR = 2
"""How many residuals the standard error counts as."""


@dataclass(frozen=True)
class Form:
    """score = a - b·g(labels, k), with b of 0 or more.

    `name`: in words.
    `falls`: g, which falls with the labels; labels are in units of the most there are.
    `shapes`: the values of k that are tried.
    `limited`: whether a is fitted too, at most the ceiling; else a is the ceiling.
    `bounded`: whether a is a bound of the form: that of the logarithm is not.
    """

    name: str
    falls: Callable[[np.ndarray, float], np.ndarray]
    shapes: tuple[float, ...]
    limited: bool
    bounded: bool = True


_EXPONENTS = tuple(np.geomspace(0.05, 2.5, 40).tolist())
_SCALES = tuple(np.geomspace(0.02, 20.0, 40).tolist())
FORMS = (
    Form("power law to the ceiling", lambda n, k: n**-k, _EXPONENTS, False),
    Form("power law with a limit", lambda n, k: n**-k, _EXPONENTS, True),
    Form("hyperbola", lambda n, k: k / (k + n), _SCALES, True),
    Form("exponential", lambda n, k: np.exp(-n / k), _SCALES, True),
    Form("logarithm", lambda n, k: -np.log(n), (1.0,), True, bounded=False),
)


@dataclass(frozen=True, eq=False)
class Fit:
    """Curves that were drawn, R of them.

    `forms_R`: the number of the form of each.
    `shapes_R`, `tops_R`, `slopes_R`: its k, a and b.
    `unit`: the labels by which all labels are divided.
    `ceiling`: no score is above it.
    """

    forms_R: np.ndarray
    shapes_R: np.ndarray
    tops_R: np.ndarray
    slopes_R: np.ndarray
    unit: float
    ceiling: float

    def at(self, labels_G: np.ndarray) -> np.ndarray:
        """The scores of all curves: R×G."""
        scores_RG = np.empty((len(self.forms_R), len(labels_G)))
        for number, form in enumerate(FORMS):
            for row in np.flatnonzero(self.forms_R == number):
                falls_G = form.falls(labels_G / self.unit, self.shapes_R[row])
                scores_RG[row] = self.tops_R[row] - self.slopes_R[row] * falls_G
        return np.minimum(scores_RG, self.ceiling)


def fits(
    labels_P: np.ndarray,
    scores_P: np.ndarray,
    errors_P: np.ndarray,
    *,
    ceiling: float,
    resamples: int,
    draw: np.random.Generator,
) -> tuple[Fit, np.ndarray]:
    """Curves drawn by a parametric bootstrap over the forms, and the noise of a score: R."""
    unit = float(labels_P.max())
    points_P, count = labels_P / unit, len(labels_P)
    weights_P = 1 / (errors_P**2 + max(float(np.var(scores_P)) * 1e-2, _LEAST_NOISE**2))
    best = [_fitted(form, points_P, scores_P[None], weights_P, ceiling) for form in FORMS]
    sums = np.array([one[3][0] for one in best])
    parameters = np.array([2 if not f.limited or len(f.shapes) == 1 else 3 for f in FORMS])
    # Of the weighted squares, as Akaike's criterion for a noise of unknown size has them; without
    # its correction for few points, which cannot be computed of 4 points and 3 parameters. Forms
    # that count the same until it can gave intervals far too wide, and the correction then leaves
    # hardly a form with a limit: intervals too narrow. _EVEN takes its place.
    criterion = count * np.log(np.maximum(sums, 1e-12) / count) + 2 * parameters
    share = np.exp(-0.5 * (criterion - criterion.min()))
    # A few points hardly tell forms apart that lead elsewhere.
    share = (1 - _EVEN) * share / share.sum() + _EVEN / len(FORMS)
    forms_R = draw.choice(len(FORMS), size=resamples, p=share)
    shapes_R, tops_R, slopes_R = (np.empty(resamples) for _ in range(3))
    noise_R = np.empty(resamples)
    for number, form in enumerate(FORMS):
        rows = np.flatnonzero(forms_R == number)
        if not len(rows):
            continue
        shape, top, slope, _ = (column[0] for column in best[number])
        curve_P = top - slope * form.falls(points_P, shape)
        free = max(1, count - int(parameters[number]))
        seen = ((scores_P - curve_P) ** 2).sum()
        # A few residuals do not tell their own size: the standard error counts as some more.
        known = _KNOWN * float((errors_P**2).mean()) + _LEAST_NOISE**2
        spread_R = np.sqrt((seen + _PRIOR * known) / draw.chisquare(free + _PRIOR, size=len(rows)))
        again_RP = curve_P + spread_R[:, None] * draw.standard_normal((len(rows), count))
        shapes_R[rows], tops_R[rows], slopes_R[rows], _ = _fitted(
            form, points_P, again_RP, weights_P, ceiling
        )
        noise_R[rows] = spread_R * draw.standard_normal(len(rows))
    fit = Fit(forms_R, shapes_R, tops_R, slopes_R, unit, ceiling)
    return fit, noise_R


def _fitted(
    form: Form, points_P: np.ndarray, scores_RP: np.ndarray, weights_P: np.ndarray, ceiling: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The best k, a and b of each row of scores, and its weighted sum of squares: R each."""
    count = len(scores_RP)
    shapes_R, tops_R, slopes_R = (np.zeros(count) for _ in range(3))
    least_R = np.full(count, np.inf)
    for shape in form.shapes:
        falls_P = form.falls(points_P, shape)
        top_R, slope_R = _least_squares(form, falls_P, scores_RP, weights_P, ceiling)
        apart_RP = scores_RP - (top_R[:, None] - slope_R[:, None] * falls_P)
        sum_R = (weights_P * apart_RP**2).sum(1)
        better = sum_R < least_R
        shapes_R[better], tops_R[better], slopes_R[better], least_R[better] = (
            shape,
            top_R[better],
            slope_R[better],
            sum_R[better],
        )
    return shapes_R, tops_R, slopes_R, least_R


def _least_squares(
    form: Form, falls_P: np.ndarray, scores_RP: np.ndarray, weights_P: np.ndarray, ceiling: float
) -> tuple[np.ndarray, np.ndarray]:
    """a and b of each row of scores, within their bounds: R each."""
    share_P = weights_P / weights_P.sum()
    with_ceiling_R = np.maximum(
        ((ceiling - scores_RP) * share_P * falls_P).sum(1) / (share_P * falls_P**2).sum(), 0.0
    )
    if not form.limited:
        return np.full(len(scores_RP), ceiling), with_ceiling_R
    mean, means_R = (share_P * falls_P).sum(), (share_P * scores_RP).sum(1)
    variance = (share_P * (falls_P - mean) ** 2).sum()
    slope_R = -((share_P * (falls_P - mean)) * scores_RP).sum(1) / max(variance, 1e-300)
    slope_R = np.maximum(slope_R, 0.0)
    top_R = means_R + slope_R * mean
    if form.bounded:
        above = top_R > ceiling
        top_R, slope_R = np.where(above, ceiling, top_R), np.where(above, with_ceiling_R, slope_R)
    return top_R, slope_R
