"""Which weights survive, by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.core import Technique, chain, seeded
from shoestring.kit import (
    AdamW,
    Ramp,
    SkippedWarning,
    Supervised,
    Training,
    export,
    members,
    pack,
    state_of,
    train,
)
from shoestring.prune import Global, LayerAdaptive, Magnitude, PerLayer
from shoestring.prune.magnitude import _largest
from shoestring.quantize import WeightSharing


def toy() -> nn.Sequential:
    """Two layers of four weights: 1 2 3 4 and 10 20 30 40, with signs."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, -4.0]]))
        model[1].weight.copy_(torch.tensor([[-40.0, 30.0], [-20.0, 10.0]]))
    return model


def task(examples: int = 16) -> Supervised:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(examples, 2, generator=generator)
    split = (x, (x[:, 0] > 0).long())
    return Supervised(train=split, validation=split, test=split, batch_size=4)


def wide() -> nn.Sequential:
    with seeded(2):
        return nn.Sequential(
            nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2)
        )


def kept(model: nn.Module) -> list[list[list[float]]]:
    return [one.value().tolist() for one in members(model) if one.raw.ndim == 2]


def density(model: nn.Module) -> float:
    values = torch.cat([one.value().flatten() for one in members(model) if one.raw.ndim == 2])
    return float((values != 0).double().mean())


@pytest.mark.parametrize(
    ("criterion", "survivors"),
    [
        # The four largest of all eight.
        (Global(), [[[0, 0], [0, 0]], [[-40, 30], [-20, 10]]]),
        # w² over the sum of the squares no smaller: 1/30 4/29 9/25 16/16, in both layers alike.
        (LayerAdaptive(), [[[0, 0], [3, -4]], [[-40, 30], [0, 0]]]),
        # The larger half of each.
        (PerLayer(), [[[0, 0], [3, -4]], [[-40, 30], [0, 0]]]),
        (PerLayer((("0.*", 0.25),)), [[[0, 0], [0, -4]], [[-40, 30], [0, 0]]]),
        (PerLayer((("*", 1.0), ("0.*", 0.25))), [[[1, -2], [3, -4]], [[-40, 30], [-20, 10]]]),
    ],
)
def test_survivors_at_half_density(criterion: Global | LayerAdaptive | PerLayer, survivors: list):
    assert (
        kept(Magnitude(density=0.5, criterion=criterion, training=Training(0))(toy(), task()))
        == survivors
    )


def test_scores_of_a_layer():
    (scores,) = LayerAdaptive().scores([torch.tensor([[1.0, -2.0], [3.0, -4.0]])])
    torch.testing.assert_close(
        scores, torch.tensor([[1 / 30, 4 / 29], [9 / 25, 1.0]], dtype=torch.float64)
    )
    assert LayerAdaptive().scores([torch.zeros(2, 2)])[0].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 1.0])
def test_largest_against_a_sort(size: int, share: float):
    generator = torch.Generator().manual_seed(size)
    for scores in (
        torch.rand(size, generator=generator),
        torch.randint(0, 3, (size,), generator=generator) / 2,
    ):
        order = sorted(range(size), key=lambda i: (-float(scores[i]), i))[
            : max(1, round(size * share))
        ]
        assert _largest(scores, share).nonzero().flatten().tolist() == sorted(order)


def test_no_layer_is_emptied():
    model = toy()
    with torch.no_grad():
        model[1].weight.mul_(1e6)
    pruned = Magnitude(density=0.25, training=Training(0))(model, task())
    assert kept(pruned) == [[[0, 0], [0, -4]], [[-4e7, 0], [0, 0]]]


def test_masks_hold_through_training_and_density_is_what_was_asked_for():
    model = wide()
    before = state_of(model)
    with seeded(0):
        pruned = Magnitude(density=0.3, training=Training(12), ramp=Ramp(0.5, rounds=4))(
            model, task()
        )
    after = state_of(model)
    assert (
        all(torch.equal(before.values[name], after.values[name]) for name in before.values)
        and not after.states
    )
    assert density(pruned) == pytest.approx(0.3, abs=1e-3)
    zero = {one.name: one.value() == 0 for one in members(pruned) if one.mask is not None}
    with seeded(1):
        train(pruned, task(), Training(10, AdamW(0.1, weight_decay=0.1)))
    for one in members(pruned):
        if one.name in zero:
            assert (one.value()[zero[one.name]] == 0).all() and (
                one.value()[~zero[one.name]] != 0
            ).any()


def test_density_falls_along_the_cubic_schedule():
    seen = []

    class Watch(Magnitude):
        def _tighten(self, found, begun, progress):
            super()._tighten(found, begun, progress)
            seen.append(round(density_of(found), 2))

    def density_of(found) -> float:
        return sum(float(one.mask.sum()) for one in found) / sum(one.raw.numel() for one in found)

    Watch(density=0.2, training=Training(10), ramp=Ramp(1.0, rounds=4))(wide(), task())
    assert seen == [round(0.2 + 0.8 * (1 - turn / 4) ** 3, 2) for turn in (1, 2, 3, 4)]


@pytest.mark.parametrize("criterion", [Global(), LayerAdaptive(), PerLayer()])
def test_density_that_was_reached_before_is_respected(criterion: Global | LayerAdaptive | PerLayer):
    first = Magnitude(density=0.25, training=Training(0), criterion=criterion)(wide(), task())
    for steps in (0, 3):
        again = Magnitude(
            density=0.5, training=Training(steps), ramp=Ramp(0.5, rounds=2), criterion=criterion
        )(first, task())
        assert density(again) == pytest.approx(density(first), abs=1e-9)
        assert all(
            torch.equal(a.mask, b.mask)
            for a, b in zip(members(first), members(again), strict=True)
            if a.mask is not None
        )
    further = Magnitude(density=0.1, training=Training(0), criterion=criterion)(first, task())
    assert density(further) == pytest.approx(0.1, abs=0.01)
    for a, b in zip(members(first), members(further), strict=True):
        assert a.mask is None or not (b.mask & ~a.mask).any()


def test_more_density_is_a_larger_file():
    model = wide()
    exported = export(model, task())
    sizes = [
        len(pack(Magnitude(density=d, training=Training(0))(model, task()), exported))
        for d in (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
    ]
    assert sizes == sorted(sizes) and len(set(sizes)) == len(sizes)


def test_prunes_what_is_shared_and_shares_what_is_pruned():
    with seeded(0):
        both = chain(
            Magnitude(density=0.4, training=Training(2), ramp=Ramp(0.5, rounds=1)),
            WeightSharing(levels=4, training=Training(2, AdamW(1e-4))),
        )(wide(), task())
        other = chain(
            WeightSharing(levels=4, training=Training(2, AdamW(1e-4))),
            Magnitude(density=0.4, training=Training(2), ramp=Ramp(0.5, rounds=1)),
        )(wide(), task())
    for model in (both, other):
        assert density(model) == pytest.approx(0.4, abs=0.01)
        assert all(one.value().unique().numel() <= 5 for one in members(model) if one.raw.ndim == 2)


def test_same_seed_same_result():
    results = []
    for seed in (5, 5, 6):
        with seeded(seed):
            results.append(
                state_of(Magnitude(density=0.3, training=Training(4))(wide(), task())).values
            )
    first, second, third = results
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_frozen_model_is_pruned_all_the_same():
    with pytest.warns(SkippedWarning, match="pruning trained nothing"):
        pruned = Magnitude(density=0.5, training=Training(6))(toy().requires_grad_(False), task())
    assert density(pruned) == 0.5 and not any(one.requires_grad for one in pruned.parameters())


def test_model_without_matrices_is_left_as_it_is():
    model = nn.BatchNorm1d(2)
    for criterion in (Global(), LayerAdaptive(), PerLayer()):
        pruned = Magnitude(density=0.5, training=Training(0), criterion=criterion)(model, task())
        assert not state_of(pruned).states


@pytest.mark.parametrize(
    "settings",
    [
        {"density": 0}, {"density": 1.1}, {"density": float("nan")},
    ],
)  # fmt: skip
def test_bad_settings(settings: dict):
    with pytest.raises(ValueError, match="must be"):
        Magnitude(**settings)


def test_bad_densities_and_weights():
    with pytest.raises(
        ValueError, match=r"the density of 'x' is 0: it must be above 0 and at most 1"
    ):
        PerLayer((("x", 0),))
    model = toy()
    model[1].weight.data[0, 0] = float("inf")
    with pytest.raises(ValueError, match=r"1\.weight holds 1 values that are NaN or infinite"):
        Magnitude(training=Training(0))(model, task())


def test_repr_is_the_same_in_every_process_and_makes_the_technique_again():
    technique = chain(
        Magnitude(density=0.2, criterion=PerLayer((("*.weight", 0.5),))),
        Magnitude(),
        Magnitude(criterion=Global()),
    )
    code = (
        "from shoestring.prune import *; from shoestring.core import chain\n"
        "print(chain(Magnitude(density=0.2, criterion=PerLayer((('*.weight', 0.5),))), "
        "Magnitude(), Magnitude(criterion=Global())))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path.cwd(),
    )
    assert said.stdout.strip() == repr(technique), said.stderr
    assert eval(repr(technique)) == technique and isinstance(technique, Technique)
