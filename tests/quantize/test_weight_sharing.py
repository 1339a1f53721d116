"""Few levels: which, by hand and against an obvious Lloyd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Ramp, Supervised, Training, export, pack, parameters_of, state_of
from shoestring.prune import Magnitude
from shoestring.quantize import WeightSharing
from shoestring.quantize.weight_sharing import _half, kmeans


def task() -> Supervised:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(16, 2, generator=generator)
    split = (x, (x[:, 0] > 0).long())
    return Supervised(train=split, validation=split, test=split, batch_size=4)


def wide() -> nn.Sequential:
    with seeded(2):
        return nn.Sequential(
            nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
        )


def matrices(model: nn.Module) -> list[Tensor]:
    return [one.value() for one in parameters_of(model) if one.raw.ndim == 2]


def lloyd(values: list[float], levels: int, iterations: int) -> tuple[list[float], list[int]]:
    """k-means from an even spread, as one would write it down; empty clusters are dropped."""
    low, high = min(values), max(values)
    centres = [low + (high - low) * i / (levels - 1) for i in range(levels)]
    for _ in range(iterations):
        clusters: list[list[float]] = [[] for _ in centres]
        for v in values:
            clusters[min(range(len(centres)), key=lambda i: (abs(v - centres[i]), -i))].append(v)
        centres = [sum(cluster) / len(cluster) for cluster in clusters if cluster]
    return centres, [
        min(range(len(centres)), key=lambda i: (abs(v - centres[i]), -i)) for v in values
    ]


@pytest.mark.parametrize("levels", [2, 3, 5, 16])
@pytest.mark.parametrize("iterations", [1, 3, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_kmeans_is_lloyds(levels: int, iterations: int, seed: int):
    values = torch.randn(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if seed:
        values = values**3  # a long tail: clusters run empty
    centres, nearest = kmeans(values, levels, iterations)
    expected, places = lloyd(values.tolist(), levels, iterations)
    torch.testing.assert_close(centres, torch.tensor(expected, dtype=torch.float64))
    assert nearest.tolist() == places


def test_kmeans_by_hand():
    # From 0, 5, 10: {0, 1, 2} {6} {9, 10} -> 1, 6, 9.5, and there it stays.
    centres, nearest = kmeans(torch.tensor([9.0, 0.0, 1.0, 6.0, 2.0, 10.0]), 3)
    assert centres.tolist() == [1, 6, 9.5] and nearest.tolist() == [2, 0, 0, 1, 0, 2]


@pytest.mark.parametrize("levels", [2, 16, 300])
def test_few_distinct_values_are_their_own_levels(levels: int):
    centres, nearest = kmeans(torch.full((20,), 0.1), levels)
    assert centres.tolist() == [torch.tensor(0.1).item()] and nearest.tolist() == [0] * 20
    centres, nearest = kmeans(torch.tensor([3.0, -1.0, 3.0]), levels)
    assert centres.tolist() == [-1, 3] and nearest.tolist() == [1, 0, 1]
    assert kmeans(torch.tensor([2.5]), levels)[0].tolist() == [2.5]
    odd = torch.tensor([0.0, 1e-6, 1.0, 1.0])  # an even spread would give the first two one level
    assert kmeans(odd, 3)[0].tolist() == torch.tensor([0.0, 1e-6, 1.0]).tolist()


def test_levels_are_what_float16_holds_unless_it_is_too_coarse():
    assert _half(torch.tensor([1 / 3, -1.0])).tolist() == [torch.tensor(1 / 3).half().item(), -1]
    for levels in (torch.tensor([1e5, 1.0]), torch.tensor([1e-7, 2.2e-7]), torch.zeros(2)):
        assert torch.equal(_half(levels), levels)
    for value in matrices(
        WeightSharing(levels=4, training=Training(2, AdamW(1e-4)))(wide(), task())
    ):
        assert torch.equal(value.half().float(), value)


def test_each_tensor_has_its_levels():
    model = wide()
    before = state_of(model)
    with seeded(0):
        shared = WeightSharing(
            levels=8,
            overrides=(("4.*", 3), ("*", 5)),
            vector_levels=4,
            training=Training(3, AdamW(1e-4)),
        )(model, task())
    assert [value.unique().numel() for value in matrices(shared)] == [5, 5, 3]
    vectors = {
        one.name: one.value().unique().numel() for one in parameters_of(shared) if one.raw.ndim == 1
    }
    assert vectors == {"0.bias": 4, "2.bias": 4, "4.bias": 2}
    assert not state_of(model).states
    assert all(torch.equal(before.values[n], v) for n, v in state_of(model).values.items())


def test_zeros_stay_zero_and_do_not_take_a_level():
    with seeded(0):
        pruned = Magnitude(density=0.4, training=Training(2), ramp=Ramp(0.5, rounds=1))(
            wide(), task()
        )
        shared = WeightSharing(levels=2, training=Training(6, AdamW(0.01)))(pruned, task())
    for before, after in zip(matrices(pruned), matrices(shared), strict=True):
        assert torch.equal(before == 0, after == 0)
        assert after.unique().numel() == 3


def test_levels_are_trained_and_assignments_stay():
    with seeded(0):
        still, moved = (
            WeightSharing(levels=4, training=Training(0))(wide(), task()),
            WeightSharing(levels=4, training=Training(5, AdamW(0.01)))(wide(), task()),
        )
    for a, b in zip(parameters_of(still), parameters_of(moved), strict=True):
        if a.state is not None:
            assert torch.equal(a.state.indices, b.state.indices)  # type: ignore[union-attr, arg-type]
            assert not torch.equal(a.state.codebook, b.state.codebook)  # type: ignore[union-attr, arg-type]


def test_without_training_each_weight_takes_its_nearest_level():
    model = wide()
    for value, shared in zip(
        matrices(model),
        matrices(WeightSharing(levels=6, training=Training(0), iterations=3)(model, task())),
        strict=True,
    ):
        levels = shared.unique()
        nearest = (value.flatten()[:, None] - levels).abs().min(1).values
        # Levels are rounded to float16 after the weights have chosen.
        torch.testing.assert_close((value - shared).abs().flatten(), nearest, atol=1e-3, rtol=0)


def test_more_levels_are_a_larger_file_that_is_nearer():
    model = wide()
    exported = export(model, task())
    shared = [
        WeightSharing(levels=levels, training=Training(0))(model, task())
        for levels in (2, 4, 8, 16, 32)
    ]
    sizes = [len(pack(one, exported)) for one in shared]
    assert (
        sizes == sorted(sizes)
        and len(set(sizes)) == len(sizes)
        and sizes[-1] < len(pack(model, exported))
    )
    errors = [
        sum(
            float((a - b).square().sum())
            for a, b in zip(matrices(model), matrices(one), strict=True)
        )
        for one in shared
    ]
    assert errors == sorted(errors, reverse=True)


def test_half_precision_and_emptied_tensors():
    model = wide().half()
    parameters_of(model)[1].prune(torch.zeros(32, 2, dtype=torch.bool))
    shared = WeightSharing(levels=4, training=Training(0))(model, task())
    assert [value.unique().numel() for value in matrices(shared)] == [1, 4, 4]
    assert {value.dtype for value in matrices(shared)} == {torch.float16}


def test_shared_again_with_fewer_levels():
    once = WeightSharing(levels=16, training=Training(0))(wide(), task())
    again = WeightSharing(levels=4, training=Training(2, AdamW(1e-4)))(once, task())
    assert [value.unique().numel() for value in matrices(again)] == [4, 4, 4]
    assert [value.unique().numel() for value in matrices(once)] == [
        15,
        16,
        16,
    ]  # one of the first was nearest to nothing


def test_same_seed_same_result():
    results = []
    for seed in (5, 5, 6):
        with seeded(seed):
            results.append(
                torch.cat(
                    [
                        v.flatten()
                        for v in matrices(
                            WeightSharing(levels=4, training=Training(4, AdamW(0.01)))(
                                wide(), task()
                            )
                        )
                    ]
                )
            )
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


@pytest.mark.parametrize(
    "settings",
    [
        {"levels": 1},
        {"levels": 65537},
        {"overrides": (("x", 1),)},
        {"vector_levels": 1},
        {"vector_levels": -2},
        {"iterations": 0},
        {"vector_levels": 65537},
    ],
)
def test_bad_settings(settings: dict):
    with pytest.raises(ValueError):
        WeightSharing(**settings)


def test_weights_that_are_not_finite_are_refused():
    model = wide()
    model[2].weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"2\.weight holds 1 values that are NaN or infinite"):
        WeightSharing()(model, task())


def test_the_row_that_stands_for_padding_stays_zero():
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(40, 8, padding_idx=0), nn.Linear(8, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.out(self.words(ids).sum(1))

    with seeded(0):
        model = Sums()
        ids = torch.randint(1, 40, (64, 30))
    ids[:, 5:] = 0
    split = (ids, ids[:, 0] % 2)
    padded = Supervised(train=split, validation=split, test=split)
    for steps in (0, 5):
        shared = WeightSharing(levels=6, training=Training(steps))(model, padded)
        assert not shared.words.weight[0].any() and len(shared.words.weight.unique()) <= 7
        short = (ids[:, :5], split[1])  # padding adds nothing
        torch.testing.assert_close(shared.eval()(ids), shared.eval()(short[0]))


def test_overrides_of_no_tensor_are_named():
    with pytest.raises(
        ValueError, match=r"WeightSharing: overrides= names '1\.weihgt', and there is no such"
    ):
        WeightSharing(overrides=(("1.weihgt", 4),), training=Training(0))(wide(), task())


def test_the_former_name_is_the_same_class_with_a_word():
    with pytest.warns(DeprecationWarning, match="called WeightSharing now"):
        from shoestring.quantize import Shared
    assert Shared is WeightSharing
    with pytest.raises(ImportError):
        from shoestring.quantize import Sharing  # noqa: F401
