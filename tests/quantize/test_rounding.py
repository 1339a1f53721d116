"""Rounding that keeps a layer's sums: by hand, against every choice there is, and on networks."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import (
    Product,
    Quantised,
    SkippedWarning,
    Supervised,
    Training,
    parameters_of,
    write,
)
from shoestring.prune import Magnitude
from shoestring.quantize import GPTQ, Nearest, PerTensor, PostTraining, correction
from shoestring.quantize import calibration as calibrating
from shoestring.quantize import rounding as module
from shoestring.quantize.sequential import sections

pytestmark = pytest.mark.filterwarnings("ignore:PostTraining. answers are")
"""Networks that nobody trained, in 3 and 4 bits, answer otherwise: here it matters by how much."""


def rounded(rows: list[list[float]], products: Tensor, reach: int = 7) -> Tensor:
    """Of one group of rows, on whole numbers."""
    value = torch.tensor([rows], dtype=torch.double)
    return module._rounded(
        value, [products[None].double()], torch.ones_like(value), reach, torch.ones_like(value)
    )[0]


def test_what_one_weight_loses_another_of_the_same_terms_gains():
    same = torch.ones(2, 2) + 1e-6 * torch.eye(2)
    assert rounded([[0.4, 0.4]], same).sum() == 1.0  # the nearest ones would be 0 and 0
    assert rounded([[0.4, 0.4]], torch.eye(2)).tolist() == [[0.0, 0.0]]
    assert rounded([[0.4, 9.0]], torch.eye(2)).tolist() == [[0.0, 7.0]]


def test_it_is_not_far_from_the_best_of_all_choices():
    with seeded(0):
        terms, rows = (
            torch.randn(40, 6).double() @ torch.randn(6, 6).double(),
            3 * torch.randn(50, 6).double(),
        )
    products = terms.T @ terms / 40

    def error(found: Tensor) -> Tensor:
        apart = found - rows
        return ((apart @ products) * apart).sum(1)

    choices = torch.tensor(list(product([0.0, 1.0], repeat=6))).double()
    best = torch.stack([error(rows.floor() + one) for one in choices]).amin(0).mean()
    ours, nearest = error(rounded(rows.tolist(), products, 100)).mean(), error(rows.round()).mean()
    assert ours < 0.6 * nearest and ours < best + 0.3 * (nearest - best)


CALLS = {
    "linear": (functional.linear, (2, 5, 6), (4, 6), {}),
    "conv1d": (functional.conv1d, (2, 4, 9), (6, 4, 3), {"stride": 2, "padding": 1}),
    "conv2d": (functional.conv2d, (2, 4, 9, 8), (6, 4, 3, 2), {"padding": "same", "dilation": 2}),
    "grouped": (functional.conv2d, (2, 4, 9, 8), (6, 2, 3, 3), {"groups": 2}),
    "depthwise": (functional.conv2d, (4, 9, 8), (8, 1, 3, 3), {"groups": 4, "stride": (1, 2)}),
    "conv3d": (functional.conv3d, (1, 2, 4, 5, 6), (3, 2, 2, 2, 2), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_terms_times_weights_are_the_sums(name):
    function, value, weight, keywords = CALLS[name]
    with seeded(1):
        given = (torch.randn(value), torch.randn(weight), torch.randn(weight[0]))
    call = Product.of(function, function.__name__, given, keywords)
    terms, sums = call.terms(), call.sums()
    assert torch.allclose(
        terms @ given[1].reshape(call.groups, -1, terms.shape[2]).mT, sums, atol=1e-5
    )
    parts = call.parts(terms.numel() // 2 + 1)
    assert torch.equal(torch.cat([one.terms() for one in parts], 1), terms) and (
        len(parts) > 1
    ) == (given[0].ndim >= given[1].ndim > 1 and len(given[0]) > 1)
    assert sums.shape[0] == call.groups and sums.numel() == function(*given, **keywords).numel()


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_terms_are_what_a_convolution_of_ones_gives(axes):
    """For every stride, padding, dilation and number of groups.

    A kernel that takes one term each is the other way to the same.
    """
    function = getattr(functional, f"conv{axes}d")
    for groups, stride, padding, dilation, size in product(
        (1, 2), (1, 2), (0, 1, "same", "valid"), (1, 2), (1, 2, 3)
    ):
        if padding == "same" and stride > 1:
            continue
        value, weight = (
            torch.randn(2, 4, *range(7, 7 + axes)),
            torch.randn(6, 4 // groups, *[size] * axes),
        )
        keywords = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        terms = weight[0].numel()
        ones = torch.eye(terms).view(terms, *weight.shape[1:]).repeat(groups, *[1] * (axes + 1))
        expected = (
            function(value, ones, None, **keywords)
            .movedim(1, -1)
            .reshape(-1, groups, terms)
            .transpose(0, 1)
        )
        for call in (
            Product.of(function, f"conv{axes}d", (value, weight), keywords),
            Product.of(function, f"conv{axes}d", (value, weight, None, *keywords.values()), {}),
        ):
            assert torch.equal(call.terms(), expected)


class Network(nn.Module):
    """Grouped and plain convolutions, a layer that is called twice, and a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.grouped = (
            nn.Conv2d(3, 8, 3, bias=False),
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
        )
        self.twice, self.last = nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.grouped(self.first(images).relu()).relu()
        return self.last(self.twice(self.twice(features).relu()).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Supervised]:
    with seeded(2):
        model = Network().eval()
        smooth = nn.Conv2d(3, 3, 5).requires_grad_(False)  # neighbours are alike, as in images
        split = (smooth(torch.randn(160, 3, 13, 13)), torch.zeros(160).long())
        return model, Supervised(train=split, validation=split, test=split, batch_size=40)


def apart(case: tuple[nn.Module, Supervised], quantised: nn.Module) -> float:
    """Mean square of what a network answers differently, of the spread of its answers."""
    model, task = case
    with torch.no_grad():
        plain = model(task.test[0])
        return float(
            (quantised(task.test[0]) - plain).square().mean()
            / (plain - plain.mean(0)).square().mean()
        )


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"granularity": PerTensor()}, {"keep": ("first",)}])
def test_a_network_of_few_bits_answers_more_as_it_did(case, settings, tmp_path):
    model, task = case
    nearest = PostTraining(bits=3, examples=160, **settings)(model, task.sealed())
    quantised = PostTraining(bits=3, examples=160, rounding=GPTQ(), **settings)(
        model, task.sealed()
    )
    assert apart(case, quantised) < apart(case, nearest)
    assert isinstance(quantised, Quantised)
    for weight in parameters_of(quantised.inner):
        if weight.state is not None and weight.state.scale is not None:
            whole = weight.raw.detach() / weight.state.scale.detach()
            assert torch.allclose(whole, whole.round(), atol=1e-4) and whole.abs().max() <= 3.001
    write(quantised, task, tmp_path / "a.shoe")
    with torch.no_grad():
        expected = quantised(task.test[0]).numpy()
    assert (
        np.abs(load(tmp_path / "a.shoe", threads=1)(task.test[0]) - expected).max()
        < 0.02 * np.abs(expected).max()
    )


def test_a_trained_network_loses_a_small_part_of_what_it_would(trained):
    errors = [
        apart(trained, PostTraining(bits=3, rounding=one)(trained[0], trained[1].sealed()))
        for one in (GPTQ(), Nearest())
    ]
    assert errors[0] < 0.3 * errors[1]


def test_pruned_weights_stay_pruned(case):
    model, task = case
    pruned = Magnitude(density=0.5, training=Training(0))(model, task.sealed())
    quantised = PostTraining(bits=4, rounding=GPTQ())(pruned, task.sealed())
    masks = {w.name: w.mask for w in parameters_of(pruned) if w.mask is not None}
    found = {w.name: w for w in parameters_of(quantised.inner)}  # type: ignore[union-attr, arg-type]
    assert masks and all(not found[name].value()[~mask].any() for name, mask in masks.items())


def test_the_same_twice_and_the_model_as_it_was(case):
    model, task = case
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (
        PostTraining(bits=4, rounding=GPTQ())(model, task.sealed()).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore:PostTraining left in floating point")
def test_terms_that_are_all_zero(case):
    model, task = case
    black = tuple(torch.zeros_like(one) for one in task.train)
    black[0][0, 0, 0, 0] = 1e-3  # or nothing would be rounded, of which nothing is known
    quantised = PostTraining(bits=4, rounding=GPTQ())(
        model, Supervised(train=black, validation=black, test=black).sealed()
    )  # type: ignore[arg-type]
    assert all(torch.isfinite(one).all() for one in quantised.state_dict().values())


def test_a_layer_of_too_many_terms(case, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 30)
    with pytest.warns(
        SkippedWarning,
        match=r"left to nearest rounding: grouped \(sums of more than 30 terms, whose products "
        r"would "
        r"take 0\.0 GB\)",
    ):
        PostTraining(bits=4, rounding=GPTQ(), keep=("first",))(case[0], case[1].sealed())


def test_a_layer_that_takes_too_many_multiplications(case):
    def weights(rounding: GPTQ | Nearest) -> dict[str, Tensor]:
        made = PostTraining(bits=3, rounding=rounding)(case[0], case[1].sealed())
        return {one.name: one.raw for one in parameters_of(made) if one.name.endswith(".weight")}

    gptq, nearest = weights(GPTQ()), weights(Nearest())
    with pytest.warns(
        SkippedWarning,
        match=r"to nearest rounding: grouped \(2\.\de\+07 multiplications\), since a layer may "
        r"take "
        r"1\.0e\+07",
    ) as said:
        some = weights(GPTQ(most=1e7))
    assert len([one for one in said if one.category is SkippedWarning]) == 1
    by_gptq = {name: torch.equal(one, gptq[name]) for name, one in some.items()}
    to_the_nearest = {name: torch.equal(one, nearest[name]) for name, one in some.items()}
    assert to_the_nearest == {
        "inner.first.weight": False,
        "inner.grouped.weight": True,
        "inner.twice.weight": False,
        "inner.last.weight": False,
    }
    assert by_gptq["inner.first.weight"] and not by_gptq["inner.grouped.weight"]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="GPTQ left")
        assert all(torch.equal(one, gptq[name]) for name, one in weights(GPTQ(most=1e8)).items())
    with pytest.raises(
        ValueError, match="at most 0 multiplications for a layer: give a number above 0"
    ):
        GPTQ(most=0)


def test_terms_that_repeat_each_other(case):
    same = Supervised(
        **dict.fromkeys(
            ("train", "validation", "test"),
            (
                torch.ones(9, 3, 13, 13) * torch.arange(1.0, 10)[:, None, None, None],
                torch.zeros(9).long(),
            ),
        )
    )
    with pytest.raises(
        ValueError, match="whose terms repeat each other: give a damping above 1e-30"
    ):
        PostTraining(bits=4, rounding=GPTQ(damping=1e-30))(case[0], same.sealed())


def test_a_damping_of_nothing():
    with pytest.raises(ValueError, match="a damping of 0: give a number above 0"):
        GPTQ(damping=0)


def test_a_loss_that_catches_what_goes_wrong_is_not_in_the_way(case):
    class Careful(Supervised):
        def loss(self, model, batch):
            try:
                return super().loss(model, batch)
            except Exception as error:
                raise RuntimeError("the model failed") from error

    model, task = case
    careful = Careful(train=task.train, validation=task.validation, test=task.test, batch_size=40)
    ours, theirs = (
        PostTraining(bits=4, rounding=GPTQ())(model, one.sealed()).state_dict()
        for one in (careful, task)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_loss_in_half_precision(case):
    model, task = case
    half = replace(task, autocast=torch.bfloat16).sealed()
    ours, nearest = (
        PostTraining(bits=3, examples=160, rounding=one)(model, half) for one in (GPTQ(), Nearest())
    )
    assert apart(case, ours) < apart(case, nearest)


class Sum(nn.Module):
    """A layer that is called twice, its argument written over in between, or not."""

    def __init__(self, over: bool) -> None:
        super().__init__()
        self.over, self.first, self.twice, self.last = (
            over,
            nn.Linear(6, 16),
            nn.Linear(16, 16),
            nn.Linear(16, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        more = 3 * self.twice(x).relu()
        x = x.add_(more) if self.over else x + more
        return self.last(self.twice(x).relu())


def test_what_a_layer_took_is_remembered_though_written_over():
    with seeded(3):
        split, model = (torch.randn(96, 6), torch.zeros(96).long()), Sum(True).eval()
    task, plain = Supervised(train=split, validation=split, test=split).sealed(), Sum(False).eval()
    plain.load_state_dict(model.state_dict())
    ours, theirs = (
        PostTraining(bits=4, rounding=GPTQ())(one, task).state_dict() for one in (model, plain)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


class Counted(nn.Module):
    """A module that counts how often it is called."""

    def __init__(self, inner: nn.Module, calls: list[int]) -> None:
        super().__init__()
        self.inner, self._calls = inner, calls

    def forward(self, x: Tensor) -> Tensor:
        self._calls[0] += 1
        return self.inner(x)

    def __deepcopy__(self, memo: dict) -> Counted:
        return Counted(deepcopy(self.inner, memo), self._calls)


@pytest.mark.parametrize(("memory", "expected"), [(1 << 26, 7), (50_000, 13), (1, 31)])
def test_layers_that_one_run_can_round_are_rounded_by_one(memory, expected, monkeypatch):
    """As each would be by a run of its own, to the bit, however little memory there is.

    The number of runs does not depend on depth.
    """
    with seeded(4):
        layers = [layer for _ in range(12) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 3)).eval()
        split = (torch.randn(64, 4, 8, 8), torch.zeros(64).long())
    task = Supervised(train=split, validation=split, test=split, batch_size=64).sealed()

    def made(together: bool) -> tuple[dict[str, Tensor], int]:
        calls = [0]
        technique = PostTraining(bits=3, rounding=GPTQ()).prepared(
            counted := Counted(model, calls), task
        )
        calls[0] = 0
        with monkeypatch.context() as patch:
            if not together:
                for one in (module, correction):
                    patch.setattr(
                        one,
                        "sections",
                        lambda places, layers, _: sections(places, layers, lambda layer: False),
                    )
            return technique(counted, task).state_dict(), calls[0]

    alone, runs = made(False)
    monkeypatch.setattr(module, "_KEPT", memory)
    found, fewer = made(True)
    assert all(torch.equal(alone[name], found[name]) for name in alone)
    assert (runs, fewer) == (43, expected)  # of which three look whether corrected biases help


class Twins(Supervised):
    """A loss that calls the model twice, with other values each time."""

    def loss(self, model, batch):
        (x,), _ = batch
        return (model(x) - model(4.0 + 3.0 * x)).square().mean()


class Tied(nn.Module):
    """Two linear layers that share their weight, each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last((5.0 + self.second(self.first(x).relu())).relu())


@pytest.mark.parametrize("kind", ["twins", "tied"])
def test_biases_make_good_what_rounding_shifts_of_their_own_layers_over_all_calls(kind):
    with seeded(5):
        model = (
            Tied()
            if kind == "tied"
            else nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        )
        split = (torch.randn(64, 6), torch.zeros(64).long())
    loss = Supervised if kind == "tied" else Twins
    task = loss(train=split, validation=split, test=split, batch_size=64).sealed()
    quantised = PostTraining(bits=2)(model.eval(), task)
    assert isinstance(quantised, Quantised)
    name = "first" if kind == "tied" else "0"
    means = [
        calibrating.channel_means(one, inner, task, [name], next(iter(task.batches("train"))))[
            name
        ].mean
        for one, inner in ((model, model), (quantised, quantised.inner))
    ]
    assert torch.allclose(*means, atol=0.02)


def test_a_layer_whose_hook_changes_what_it_gives_is_corrected_by_what_it_then_gives():
    with seeded(6):
        model = nn.Sequential(
            nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)
        ).eval()
        model[2].register_forward_hook(lambda module, args, output: 3 * output + 5)
        split = (torch.randn(64, 6), torch.zeros(64).long())
    for size in (64, 16):
        task = Supervised(train=split, validation=split, test=split, batch_size=size).sealed()
        for rounding in (Nearest(), GPTQ()):
            quantised = PostTraining(bits=8, rounding=rounding)(model, task)
            with torch.no_grad():
                assert (quantised(split[0]) - model(split[0])).abs().max() < 0.2 * model(
                    split[0]
                ).std()


def test_a_loss_that_tries_again_whatever_went_wrong(case):
    class Stubborn(Supervised):
        def loss(self, model, batch):
            try:
                return super().loss(model, batch)
            except BaseException:
                return super().loss(model, batch)

    model, task = case
    splits = {
        "train": task.train,
        "validation": task.validation,
        "test": task.test,
        "batch_size": 160,
    }
    for rounding in (Nearest(), GPTQ()):
        ours, theirs = (
            PostTraining(bits=4, rounding=rounding)(model, kind(**splits).sealed())
            for kind in (Stubborn, Supervised)
        )
        assert all(
            torch.equal(ours.state_dict()[name], value)
            for name, value in theirs.state_dict().items()
        )


@pytest.mark.parametrize("head", ["last", "section", "slow", "taken"])
def test_a_loss_that_calls_a_part_of_whatever_name(head):
    """What a run that rounds knows itself does not hide what the module has."""

    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
            setattr(self, head, nn.Linear(8, 3))

        def forward(self, x: Tensor) -> Tensor:
            return getattr(self, head)(self.body(x))

    class ByParts(Supervised):
        def loss(self, model, batch):
            (x,), y = batch
            return functional.cross_entropy(getattr(model, head)(model.body(x)), y)

    with seeded(0):
        model, split = Parts(), (torch.randn(64, 6), torch.randint(0, 3, (64,)))
    splits = dict.fromkeys(("train", "validation", "test"), split)
    for rounding in (Nearest(), GPTQ()):
        ours, theirs = (
            PostTraining(bits=4, rounding=rounding)(model, kind(**splits).sealed())
            for kind in (ByParts, Supervised)
        )
        assert all(
            torch.equal(ours.state_dict()[name], value)
            for name, value in theirs.state_dict().items()
        )


def test_work_is_about_the_time_that_it_takes():
    """Wide layers are slow by their outputs, as others are by their terms."""
    assert GPTQ.work(8192, 16, 16_384) > 2e12 and 1e10 < GPTQ.work(256, 16_384, 512) < 1e11
    assert GPTQ.work(9, 1, 1000, groups=64) == 64 * GPTQ.work(9, 1, 1000)


def test_all_calls_of_a_loss_are_rounded_for():
    """A loss that begins with an empty example, and one that goes through the batch in parts, as
    good as the plain one.
    """

    class Warm(Supervised):
        def loss(self, model, batch):
            (x,), targets = batch
            model(torch.zeros_like(x[:4]))
            return super().loss(model, ((x,), targets))

    class InParts(Supervised):
        def loss(self, model, batch):
            (x,), targets = batch
            return torch.stack(
                [
                    super(InParts, self).loss(model, ((a,), b))
                    for a, b in zip(x.split(8), targets.split(8), strict=True)
                ]
            ).mean()

    with seeded(7):
        model = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 10)).eval()
        split = (torch.randn(160, 20) @ torch.randn(20, 20), torch.zeros(160).long())

    def error(kind: type[Supervised], rounding: Nearest | GPTQ) -> float:
        task = kind(train=split, validation=split, test=split, batch_size=160)
        return apart((model, task), PostTraining(bits=2, rounding=rounding)(model, task.sealed()))

    plain = error(Supervised, GPTQ())
    assert plain < 0.8 * error(Supervised, Nearest())
    assert error(InParts, GPTQ()) < 1.1 * plain and error(Warm, GPTQ()) < 1.2 * plain
