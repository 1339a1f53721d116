"""Calibration with garbage in it, with nothing in it, and with NaN.

The network that comes out is as good as without, or it is said why not.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import (
    AdamW,
    Quantised,
    SkippedWarning,
    Supervised,
    Training,
    state_of,
    train,
    write,
)
from shoestring.prune import LowRank
from shoestring.quantize import (
    GPTQ,
    Binary,
    Entropy,
    MeanSquare,
    MinMax,
    Percentile,
    PostTraining,
    Real,
    correction,
    examples,
)
from shoestring.quantize.ranges import BINS, Histogram, refined


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Supervised]:
    """Which of the first four of 16 numbers is the largest: a network that knows."""
    with seeded(0):
        x = torch.randn(512, 16)
        split = (x, x[:, :4].argmax(1))
        task = Supervised(train=split, validation=split, test=split)
        model = train(
            nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4)),
            task,
            Training(300, AdamW(1e-2)),
        )
    assert score(task, model.eval()) > 0.99
    return model, task


def spoiled(task: Supervised, value: float, **changes: Any) -> Supervised:
    x = task.train[0].clone()
    assert isinstance(x, Tensor)
    x[7, 3] = value
    return replace(task, train=(x, task.train[1]), **changes)


@pytest.mark.by_default("ranges0-500.0", "ranges3-1000000.0")
@pytest.mark.parametrize("value", [500.0, 1e6])
@pytest.mark.parametrize("ranges", [MeanSquare(), MinMax(), Percentile(0.999), Entropy()])
def test_one_garbage_value_costs_nothing(case, value, ranges):
    model, task = case
    for technique in (
        PostTraining(ranges=ranges),
        PostTraining(ranges=ranges, bits=4, rounding=GPTQ()),
    ):
        with pytest.warns(
            SkippedWarning,
            match=f"calibration left out .* reaches {re.escape(format(value, '.4g'))} where no "
            "other",
        ):
            quantised = technique(model, spoiled(task, value).sealed())
        assert score(task, quantised) > 0.98


def test_it_is_as_if_the_example_had_not_been_there(case, monkeypatch: pytest.MonkeyPatch):
    model, task = case
    with pytest.warns(SkippedWarning, match="left out"):
        robust = PostTraining(bits=4, rounding=GPTQ())(model, spoiled(task, 500.0).sealed())
    # The same batches, the example cut out of them by hand.
    cut = lambda batches, who: [  # noqa: E731
        ((x[x.abs().amax(1) < 400],), y[x.abs().amax(1) < 400]) for (x,), y in batches
    ]
    monkeypatch.setattr(examples, "without_outliers", cut)
    by_hand = PostTraining(bits=4, rounding=GPTQ())(model, spoiled(task, 500.0).sealed())
    first, second = state_of(robust).values, state_of(by_hand).values
    assert first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.filterwarnings("ignore:PostTraining. answers are")
def test_a_correction_that_harms_other_examples_is_taken_back(
    case, monkeypatch: pytest.MonkeyPatch
):
    model, task = case
    monkeypatch.setattr(
        examples, "without_outliers", lambda batches, who: batches
    )  # garbage that nobody notices
    with pytest.warns(
        SkippedWarning, match="biases stay as they were: .* times as far from the network as it was"
    ):
        kept = PostTraining(ranges=Percentile(0.999))(model, spoiled(task, 500.0).sealed())
    assert score(task, kept) > 0.98
    assert isinstance(kept, Quantised)
    assert torch.equal(kept.inner.get_submodule("0").bias, model.get_submodule("0").bias)  # type: ignore[arg-type]
    monkeypatch.setattr(correction, "_WORSE", 1e9)
    assert (
        score(task, PostTraining(ranges=Percentile(0.999))(model, spoiled(task, 500.0).sealed()))
        < 0.5
    )


def test_a_correction_of_ordinary_examples_is_kept(case):
    model, task = case
    quantised = PostTraining(bits=3)(model, task.sealed())
    assert isinstance(quantised, Quantised)
    assert not torch.equal(quantised.inner.get_submodule("0").bias, model.get_submodule("0").bias)  # type: ignore[arg-type]


def test_bins_are_divided_where_nearly_all_numbers_are_in_a_few():
    with seeded(0):
        values = torch.cat([torch.randn(20_000), torch.tensor([1e6, -3e5])])

    def counted(numbers: Tensor, low: float, high: float) -> Histogram:
        seen = Histogram(low, high)
        seen.count(numbers)
        return seen

    def between(low: float, high: float) -> Histogram:
        return counted(values, low, high)

    whole = between(-3e5, 1e6)
    low, high = Percentile(0.999)(whole, 255)
    assert high - low > 600  # one bin or two
    whole = refined(between, -3e5, 1e6)
    assert (
        whole.counts is not None
        and whole.counts.sum() == 20_002
        and len(whole.bounds()) == len(whole.counts) + 1
    )
    assert (whole.bounds()[1:] >= whole.bounds()[:-1]).all()
    assert Percentile(0.999)(whole, 255) == pytest.approx((-3.29, 3.29), abs=0.4)
    low, high = Entropy()(whole, 255)
    assert -4 < low < -2 and 2 < high < 4
    many = torch.cat([torch.zeros(20_000), torch.linspace(0, 9, 15)])
    spike = refined(
        lambda low, high: counted(many, low, high), 0.0, 9.0
    )  # no part of it tells more
    assert spike.parts == () and len(spike.bounds()) == BINS + 1


def test_a_value_within_that_reaches_a_million_now_and_then_is_clipped_or_named():
    class Far(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.where(x > 3.8, x * 1e6, x))

    with seeded(0):
        x, model = torch.randn(512, 8), Far().eval()
    split = (x, x[:, :4].argmax(1))
    assert int((x > 3.8).sum()) == 2
    task = Supervised(train=split, validation=split, test=split)
    usual = x[(x <= 3.8).all(1)]
    with torch.no_grad():
        wanted = model(usual)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)  # the correction may be taken back
            clipped = PostTraining(ranges=Percentile(0.999))(model, task.sealed())
        assert (clipped(usual) - wanted).square().mean() < 0.01 * wanted.square().mean()
    with pytest.warns(SkippedWarning) as said:
        PostTraining(ranges=MeanSquare())(model, task.sealed())
    pattern = (
        r"nearly all numbers of where in forward\(\) lie between -\S+ and \S+, .* ranges=Percentile"
    )
    assert any(re.search(pattern, str(one.message)) for one in said)


def test_calibration_on_zeros_leaves_the_network_as_it_was(tmp_path):
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128, 4),
        )
        x, y = torch.randn(16, 3, 8, 8), torch.randint(0, 4, (16,))
    task = Supervised(train=(torch.zeros(16, 3, 8, 8), y), validation=(x, y), test=(x, y))
    said = (
        r"left in floating point: 0 \(never beyond 0\), 2 \(never beyond 0\), 5 .* Look at "
        r"what task.batches\('train'\) gives"
    )
    with pytest.warns(SkippedWarning, match=said):
        same = PostTraining()(model.eval(), task.sealed())
    write(same, task, tmp_path / "a.shoe")
    assert abs(load(tmp_path / "a.shoe", threads=1)(x) - model(x).detach().numpy()).max() < 1e-5


def test_a_layer_that_is_given_a_constant_stays_and_the_others_do_not():
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(4, 8), nn.Linear(4, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) + self.other(x * 0 + 2.5)

    x, y = torch.randn(32, 4), torch.zeros(32).long()
    task = Supervised(train=(x, y), validation=(x, y), test=(x, y))
    with pytest.warns(
        SkippedWarning,
        match=r"left in floating point: other \(never beyond 2\.5\): their input was the same",
    ):
        quantised = PostTraining()(Constant(), task.sealed())
    assert isinstance(quantised, Quantised) and list(quantised.places.layers) == ["one"]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_nan_in_calibration_names_the_example(case, wrong):
    model, task = case

    class Wrong(Supervised):
        def batches(self, split: str):
            for count, (inputs, targets) in enumerate(super().batches(split)):
                if split == "train" and count == 1:
                    inputs[0][5, 2] = wrong
                yield inputs, targets

    data = {"train": task.train, "validation": task.validation, "test": task.test}
    with pytest.raises(
        ValueError,
        match=r"NaN or infinite values in batch 1 of the training split; number 5 of it holds "
        r"them: clean",
    ):
        PostTraining()(model, Wrong(**data).sealed())


def test_nan_that_begins_inside_is_not_blamed_on_the_data():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.sqrt(x))

    x, y = torch.randn(16, 4), torch.zeros(16).long()
    with pytest.raises(
        ValueError,
        match=r"in batch 0 .* its inputs are finite: look for the layer where they begin",
    ):
        PostTraining()(Root(), Supervised(train=(x, y), validation=(x, y), test=(x, y)).sealed())


def test_covariances_and_new_norms_do_not_see_garbage(case):
    model, task = case
    with pytest.warns(SkippedWarning, match="LowRank left out"):
        thin = LowRank(training=Training(0))(model, spoiled(task, 1e6).sealed())
    assert score(task, thin) > 0.95
    with pytest.warns(SkippedWarning, match="Binary left out"):
        binary = Binary(only=("2",), training=Training(0))(model, spoiled(task, 1e6).sealed())
    assert float(binary.get_submodule("2").norm.running_var.max()) < 100  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Binary(inputs=Real(), only=("2",), training=Training(0))(model, task.sealed())


@pytest.mark.by_default("6-ranges1")
@pytest.mark.parametrize("ranges", [MeanSquare(), MinMax(), Percentile(0.999)])
@pytest.mark.parametrize("many", [6, 40])
def test_more_garbage_than_one_in_100_is_named_and_left_out_where_that_scores_better(
    case, ranges, many
):
    model, task = case
    x = task.train[0].clone()
    x[5 : 5 + many, 3] = 500.0
    spoiled = replace(task, train=(x, task.train[1])).sealed()
    said = (
        rf"met {many} of 512 examples that reach 1\d\d times as far from zero as all "
        r"others .* It leaves them out: the validation score is 0"
    )
    with pytest.warns(SkippedWarning, match=said):
        quantised = PostTraining(ranges=ranges)(model, spoiled)
    assert score(task, quantised) > 0.98
    with pytest.warns(SkippedWarning, match="It leaves them out"):
        prepared = PostTraining(ranges=ranges).prepared(model, spoiled)
        again = prepared(model, spoiled)
    first, second = state_of(quantised).values, state_of(again).values
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_rare_examples_that_are_meant_stay_in():
    class Logarithms(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x.sign() * (1 + 100 * x.abs()).log())

    with seeded(0):
        x = torch.rand(1000, 8)
        x[::20] *= 1e4  # one in 20, as in the validation data
        scale = x[:, :4].amax(1)
        split = x, (scale > 2).long() + 2 * (x[:, 0] > x[:, 1]).long()
        task = Supervised(train=split, validation=split, test=split)
        model = train(Logarithms(), task, Training(400, AdamW(1e-2))).eval()
    assert score(task, model) > 0.95
    with pytest.warns(
        SkippedWarning, match=r"met 2\d of 512 examples .* They stay in: the validation score is"
    ):
        quantised = PostTraining()(model, task.sealed())
    assert score(task, quantised) > score(task, model) - 0.02
