"""The law on a grid, against the same integrals done slowly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import repetitions

from shoestring.plan import power_law
from shoestring.plan.power_law import Measured, bounded, posterior, unbounded


def measured(errors, sizes=(0.1, 0.3, 1.0), bounds=(math.inf,)):
    return Measured(
        sizes_P=np.array(sizes),
        errors=tuple(np.array(one, dtype=float) for one in errors),
        bounds=bounds,
    )


def test_unbounded_and_bounded_by_hand():
    assert unbounded(np.array(0.25), 0.5) == 0.5  # 0.25 / (1 - 0.5)
    assert bounded(np.array(0.5), np.array(0.5)) == 0.25
    assert (
        unbounded(np.array(0.25), math.inf) == bounded(np.array(0.25), np.array(math.inf)) == 0.25
    )


@settings(max_examples=repetitions(50, 500), deadline=None)
@given(st.floats(1e-6, 0.999), st.floats(1e-3, 1e3))
def test_bounded_is_the_inverse(share, bound):
    error = share * bound
    assert bounded(unbounded(np.array(error), bound), np.array(bound)) == pytest.approx(error)


def test_the_noise_by_hand():
    one = measured([[0.4, 0.2], [0.2], [0.1]])
    # Squares of 0.1 twice, over a mean of 0.3: 0.02 / 0.09 with one degree of freedom, which is
    # also what is pooled. Sizes with one training have what is pooled alone.
    spread = 0.02 / 0.09
    variances, run = one.noise()
    assert variances == pytest.approx([spread / 2, spread, spread]) and run == pytest.approx(spread)
    assert measured([[0.4], [0.2], [0.1]]).noise()[1] == 0


def test_an_error_of_nothing_counts_as_half_the_least():
    assert measured([[0.4], [0.2, 0.1], [0.0]]).means_P.tolist() == pytest.approx([0.4, 0.15, 0.05])


@pytest.mark.parametrize(
    ("errors", "falls"),
    [
        ([[0.4], [0.2], [0.1]], True),
        ([[0.1], [0.2], [0.4]], False),
        ([[0.3], [0.3], [0.3]], False),
        ([[0.40, 0.20], [0.41, 0.19], [0.42, 0.17]], False),  # a fall far below the noise
        ([[0.40, 0.41], [0.39, 0.38], [0.35, 0.36]], True),
    ],
)
def test_what_falls(errors, falls):
    assert measured(errors).falls() is falls


@pytest.mark.parametrize("bounds", [(math.inf,), (0.5,), (math.inf, 0.5)])
def test_the_laws_are_as_likely_as_slow_integrals_say(monkeypatch, bounds):
    """A coarse grid, each law of which is integrated over its scale in small steps."""
    monkeypatch.setattr(power_law, "_FLOORS", np.array([0.01, 0.25, 0.64]))
    monkeypatch.setattr(power_law, "_EXPONENTS", np.array([0.2, 0.4, 0.8]))
    monkeypatch.setattr(power_law, "_MISFITS", np.array([0.03, 0.1]))
    one = measured([[0.42, 0.36], [0.28, 0.3], [0.2, 0.21]], bounds=bounds)
    noise, _ = one.noise()
    logs = np.linspace(-6, 4, 20_001)
    expected: dict[tuple[float, ...], float] = {}
    for bound in bounds:
        for floor in power_law._FLOORS:
            for exponent in power_law._EXPONENTS:
                for misfit in power_law._MISFITS:
                    before = math.sqrt(floor) * math.exp(
                        -0.5 * (math.log(exponent / 0.4) / 0.7) ** 2
                    )
                    before *= (misfit / 0.03) / (1 + (misfit / 0.03) ** 2)
                    likely = np.ones_like(logs)
                    for size, error, variance in zip(one.sizes_P, one.means_P, noise, strict=True):
                        law = np.exp(logs) * (floor + (1 - floor) * size**-exponent)
                        seen = error if bound == math.inf else error / (1 - error / bound)
                        steep = 1.0 if bound == math.inf else 1 / (1 - error / bound)
                        total = misfit**2 + variance
                        # A normal distribution of the logarithm of the error itself.
                        apart = (math.log(seen) - np.log(law)) / steep
                        likely *= np.exp(-0.5 * apart**2 / total) / math.sqrt(total)
                    key = (bound, float(floor), float(exponent))
                    expected[key] = expected.get(key, 0.0) + before * float(likely.sum())
    found = posterior(one, seed=0)
    whole = sum(expected.values())
    for (bound, floor, exponent), share in expected.items():
        drawn = (found.bounds_R == bound) & (found.floors_R == floor)
        drawn &= found.exponents_R == exponent
        assert drawn.mean() == pytest.approx(share / whole, abs=0.002)


def test_a_law_that_was_drawn_by_hand():
    found = posterior(measured([[0.4], [0.2], [0.1]]), seed=0)
    row = 17
    scale, floor, exponent = found.scales_R[row], found.floors_R[row], found.exponents_R[row]
    assert found.curves(np.array([4.0]))[row, 0] == pytest.approx(
        scale * (floor + (1 - floor) * 4.0**-exponent)
    )
    assert found.floors()[row] == pytest.approx(scale * floor)
    assert found.runs(4.0)[row] == pytest.approx(
        found.curves(np.array([4.0]))[row, 0] * math.exp(found.noise_R[row])
    )


def test_a_seed_gives_the_same_laws_and_another_nearly_the_same_interval():
    one = measured([[0.42, 0.36], [0.28, 0.3], [0.2, 0.21]])
    first, again, other = posterior(one, 0), posterior(one, 0), posterior(one, 1)
    assert (first.runs(10.0) == again.runs(10.0)).all()
    ends = [np.quantile(found.runs(10.0), (0.1, 0.5, 0.9)) for found in (first, other)]
    assert ends[0] == pytest.approx(ends[1], rel=0.05)
