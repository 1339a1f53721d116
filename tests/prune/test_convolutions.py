"""Cheaper convolutions for a model's own: exact where the weights allow it, and left where not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from zoo import classified

from shoestring import meters
from shoestring.core import Cost, seeded
from shoestring.kit import ShortfallWarning, SkippedWarning, Training, parameters_of, save
from shoestring.kit.surgery.replacing import replaced
from shoestring.prune import (
    BlueprintSeparable,
    CheapConvolutions,
    DepthwiseSeparable,
    Grouped,
    Kind,
    LayerOperations,
    LowRank,
    LowRankConvolution,
    Shuffled,
    SpatiallySeparable,
)
from shoestring.prune.convolution_choice import Candidate, those_that_pay

EASY: dict[Kind, Any] = {
    DepthwiseSeparable(): lambda o, i, h, w: torch.einsum("oi,ihw->oihw", _r(o, i), _r(i, h, w)),
    DepthwiseSeparable(2): lambda o, i, h, w: sum(
        torch.einsum("oi,ihw->oihw", _r(o, i), _r(i, h, w)) for _ in range(2)
    ),
    BlueprintSeparable(): lambda o, i, h, w: torch.einsum("oi,ohw->oihw", _r(o, i), _r(o, h, w)),
    BlueprintSeparable(2): lambda o, i, h, w: sum(
        torch.einsum("oi,ohw->oihw", _r(o, i), _r(o, h, w)) for _ in range(2)
    ),
    SpatiallySeparable(0.34, 1): lambda o, i, h, w: torch.einsum(
        "rih,orw->oihw", _r(2, i, h), _r(o, 2, w)
    ),
    LowRankConvolution(0.5, 1): lambda o, i, h, w: torch.einsum(
        "or,rihw->oihw", _r(o, 2), _r(2, i, h, w)
    ),
    Grouped(2, 1): lambda o, i, h, w: _r(o, i, h, w) * _scattered(o, i)[:, :, None, None],
}
"""Weights that a kind can have exactly."""


def _r(*shape: int) -> Tensor:
    return torch.randn(*shape)


def _scattered(outputs: int, inputs: int) -> Tensor:
    """The first half of the outputs reads the even inputs, the second half the odd ones."""
    odd = torch.arange(inputs) % 2
    return torch.stack([1 - odd] * (outputs // 2) + [odd] * (outputs // 2)).float()


def one_layer(kind: Kind, **settings: Any) -> nn.Conv2d:
    with seeded(0):
        layer = nn.Conv2d(8, 12, 3, **settings)
        layer.weight.data = EASY[kind](12, 8, 3, 3).contiguous()
    return layer


@pytest.mark.parametrize("kind", EASY, ids=repr)
@pytest.mark.parametrize(
    "settings",
    [
        {"stride": 2, "padding": 1, "bias": False},
        {"padding": "same", "dilation": 2, "padding_mode": "circular"},
        {"stride": (1, 2), "padding": (0, 2), "padding_mode": "reflect"},
    ],
    ids=["stride", "same", "reflect"],
)
def test_weights_of_a_kind_are_kept_exactly(kind: Kind, settings: dict[str, Any]):
    layer = one_layer(kind, **settings)
    layers = kind.of(layer)
    assert layers is not None and len(layers) <= 2
    x = torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(layers(x), layer(x), rtol=1e-3, atol=1e-3)


def test_more_terms_are_nearer():
    """Of random weights; with as many terms as elements it would be the layer itself."""
    layer, x = nn.Conv2d(8, 12, 3, padding=1).requires_grad_(False), torch.randn(2, 8, 9, 9)
    for kinds in (DepthwiseSeparable, BlueprintSeparable):
        apart = [float((kinds(n).of(layer)(x) - layer(x)).norm().detach()) for n in (1, 2, 4)]  # type: ignore[union-attr]
        assert apart[0] > 1.1 * apart[1] > 1.2 * apart[2]
    assert DepthwiseSeparable(9).of(layer) is None and BlueprintSeparable(8).of(layer) is None


@pytest.mark.parametrize("ndim", [1, 3])
def test_sounds_and_volumes_too(ndim: int):
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1](4, 6, 5, 2, 2)
    x = torch.randn(2, 4, *[11] * ndim)
    for kind in (DepthwiseSeparable(2), BlueprintSeparable(), LowRankConvolution(), Grouped(2, 1)):
        layers = kind.of(layer)
        assert layers is not None and layers(x).shape == layer(x).shape
        assert all(isinstance(one, (type(layer), Shuffled)) for one in layers)
    assert SpatiallySeparable().of(layer) is None


def test_shapes_that_no_kind_fits():
    assert DepthwiseSeparable().of(nn.Conv2d(1, 8, 3)) is None
    assert BlueprintSeparable().of(nn.Conv2d(8, 1, 3)) is None
    assert DepthwiseSeparable().of(nn.Conv2d(8, 8, 1)) is None
    assert SpatiallySeparable().of(nn.Conv2d(8, 8, (3, 1))) is None
    assert Grouped(3, 1).of(nn.Conv2d(8, 12, 3)) is None
    assert Grouped(2, 16).of(nn.Conv2d(16, 32, 3)) is None
    assert LowRankConvolution(0.9).of(nn.Conv2d(1, 8, 1)) is None


def network(weights: Any = None, channels: int = 16) -> nn.Module:
    with seeded(0):
        made = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels * 64, 4),
        )
        if weights is not None:
            made[3].weight.data = weights(channels, channels, 3, 3).contiguous()
    return made


@pytest.mark.parametrize("kind", [Grouped(4, 1), DepthwiseSeparable(), LowRankConvolution(0.3, 1)])
def test_the_last_of_the_layers_is_fitted_to_the_outputs(kind: Kind):
    """Inputs of a layer behind another depend on one another, which weights alone do not know."""
    torch.manual_seed(0)
    model, task = network(), classified((3, 8, 8), examples=40)
    cheap = CheapConvolutions(kinds=(kind,), training=Training(0), only=("3",))(model, task)
    layers = kind.of(model[3])
    assert layers is not None and isinstance(cheap[3], nn.Sequential) and cheap[3].training
    inside = model.eval()[:3](task.train[0][0])
    wanted = model[3](inside)
    fitted, plain = ((one(inside) - wanted).norm() for one in (cheap[3], layers))
    assert fitted < 0.95 * plain


def test_the_layer_that_loses_nothing_is_replaced_first():
    model, task = network(EASY[DepthwiseSeparable()]), classified((3, 8, 8), examples=24)
    cheap = CheapConvolutions(share=0.6, training=Training(0))(model, task)
    assert isinstance(cheap[0], nn.Conv2d) and isinstance(cheap[3], nn.Sequential)
    assert [(one.groups, one.kernel_size) for one in cheap[3]] == [(16, (3, 3)), (1, (1, 1))]
    x = task.validation[0][0]
    torch.testing.assert_close(cheap.eval()(x), model.eval()(x), rtol=1e-2, atol=1e-2)
    fewer = sum(one.numel() for one in model.parameters()) - sum(
        one.numel() for one in cheap.parameters()
    )
    assert fewer == 16 * 16 * 9 - 16 * 9 - 16 * 16


def test_it_goes_as_far_as_it_can_and_says_so():
    with pytest.warns(ShortfallWarning, match="asked to leave 1% of the cost of the convolutions"):
        CheapConvolutions(share=0.01, kinds=(DepthwiseSeparable(),), training=Training(0))(
            network(), classified((3, 8, 8))
        )


@dataclass(frozen=True)
class Scale:
    """A meter: each convolution weighs 1, those with groups `light`, and the whole model more.

    `odd`: what the first one weighs in the model with groups. `rest`: all other layers of a model.
    """

    light: float
    odd: float | None = None
    rest: float = 0.0
    measures: ClassVar[str] = "milliseconds"

    def why_not(self) -> str | None:
        """It always can."""
        return None

    def __call__(self, subject: Any, task: Any) -> Cost:
        weights = [self._weight(part) for part in subject.children()]
        if not isinstance(subject[-1], nn.Linear):  # layers alone
            return Cost(milliseconds=sum(weights))
        if self.odd is not None and weights[0] < 1:
            weights[0] = self.odd
        return Cost(milliseconds=sum(weights) + self.rest)

    def _weight(self, part: nn.Module) -> float:
        layers = [one for one in part.modules() if isinstance(one, nn.Conv2d)]
        if not layers:
            return 0.0
        return self.light if any(one.groups > 1 for one in layers) else 1.0


def test_a_meter_decides_what_pays():
    model, task = network(), classified((3, 8, 8))
    technique = CheapConvolutions(
        kinds=(LowRankConvolution(), DepthwiseSeparable()),
        meter=Scale(0.5),
        training=Training(0),
        share=0.1,
    )
    with pytest.warns(ShortfallWarning):
        cheap = technique(model, task)
    assert cheap[3][0].groups == 16  # fewer operations do not count
    with pytest.warns(SkippedWarning, match="leaves 0, 3 as they are: no kind pays there"):
        same = CheapConvolutions(meter=Scale(0.95), training=Training(0))(model, task)
    assert isinstance(same[3], nn.Conv2d)


def test_a_layer_that_does_not_pay_in_the_model_is_put_back():
    """Alone it takes half of the time, in its place twice."""
    technique = CheapConvolutions(
        kinds=(DepthwiseSeparable(),), meter=Scale(0.5, odd=2.0), training=Training(0), share=0.1
    )
    with pytest.warns(Warning) as caught:
        cheap = technique(network(), classified((3, 8, 8)))
    assert isinstance(cheap[0], nn.Conv2d) and isinstance(cheap[3], nn.Sequential)
    assert (
        "CheapConvolutions put back 0 (DepthwiseSeparable(terms=1)): in the model it does not pay, "
        "milliseconds are 2.5 with it and 1.5 without"
    ) in [str(one.message) for one in caught]


def test_a_model_that_is_not_faster_stays_as_it_is_and_is_not_trained():
    model = network()
    for meter, said in (
        (Scale(0.5, rest=20), "left the model as it is: milliseconds would go from 22 to 21"),
        (Scale(0.95), "leaves 0, 3 as they are: no kind pays there"),
    ):
        technique = CheapConvolutions(
            kinds=(DepthwiseSeparable(),), meter=meter, training=Training(3), share=0.1
        )
        with pytest.warns(SkippedWarning) as caught:
            same = technique(model, classified((3, 8, 8)))
        told = [str(one.message) for one in caught]
        assert any(said in one for one in told)
        assert (
            "CheapConvolutions changed nothing in the model, so it did not train the model either"
            in told
        )
        assert torch.equal(same[3].weight, model[3].weight) and same is not model


def test_many_layers_are_put_back_in_few_measurements():
    names = [str(number) for number in range(100)]
    one = Candidate(DepthwiseSeparable(), nn.Sequential(), 0.0, 0.0)
    # the further on, the more a layer saves alone; the first half saves nothing in the model
    found = {name: (1.0 + int(name), [one]) for name in names}
    weighed: list[int] = []

    def measured(taken: dict[str, Candidate]) -> float:
        weighed.append(len(taken))
        return 100.0 - sum(int(name) >= 50 for name in taken)

    taken, back, cost = those_that_pay(found, dict.fromkeys(names, one), 50.0, measured)
    assert list(taken) == names[50:] and cost == 50.0
    assert [name for group in back for name in group.kinds] == names[:50]
    assert len(weighed) <= 24
    few = dict.fromkeys(names[48:52], one)
    assert list(those_that_pay(found, few, 98.0, measured)[0]) == names[50:52]


def test_a_meter_that_measures_nothing_is_refused():
    class Blind(Scale):
        """It measures nothing."""

        def __call__(self, subject: Any, task: Any) -> Cost:
            return Cost()

    with pytest.raises(ValueError, match="measured no milliseconds of a layer"):
        CheapConvolutions(meter=Blind(1.0), training=Training(0))(network(), classified((3, 8, 8)))


@pytest.mark.slow
def test_the_real_meter_measures_layers():
    technique = CheapConvolutions(
        kinds=(DepthwiseSeparable(),), meter=meters.Size(), training=Training(0), only=("3",)
    )
    assert isinstance(technique(network(), classified((3, 8, 8)))[3], nn.Sequential)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda model: model[3].requires_grad_(False), "skipped 3: it is frozen"),
        (
            lambda model: nn.utils.parametrizations.weight_norm(model[3]),
            "skipped 3: its weight is computed by something else",
        ),
        (
            lambda model: (
                parameters_of(model).of(model[3], "weight").prune(torch.ones(16, 16, 3, 3) > 0)
            ),
            "skipped 3: its weights have a state",
        ),
        (
            lambda model: setattr(model, "3", type("Own", (nn.Conv2d,), {})(16, 16, 3, 1, 1)),
            "skipped 3: its class is the user's own",
        ),
    ],
)
def test_what_cannot_be_replaced_is_named(break_it: Any, said: str):
    model = network()
    break_it(model)
    with pytest.warns(SkippedWarning) as caught:
        CheapConvolutions(kinds=(DepthwiseSeparable(),), training=Training(0))(
            model, classified((3, 8, 8))
        )
    assert any(f"CheapConvolutions {said}" in str(one.message) for one in caught)


def test_tied_and_transposed_convolutions_stay():
    class Back(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.b.weight = self.a.weight
            self.up, self.last = nn.ConvTranspose2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.up(self.b(self.a(x)))).flatten(1)

    with pytest.warns(SkippedWarning, match="skipped a, b: its weights are tied"):
        cheap = CheapConvolutions(share=0.5, training=Training(0))(Back(), classified((8, 8, 8)))
    assert isinstance(cheap.up, nn.ConvTranspose2d) and isinstance(cheap.last, nn.Sequential)


def test_a_model_that_reads_a_layers_weight_keeps_it():
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.inner(x) / self.inner.weight.norm()).flatten(1)

    with pytest.warns(
        SkippedWarning, match=r"skipped inner: the model fails with other layers .*AttributeError"
    ):
        cheap = CheapConvolutions(training=Training(0), kinds=(DepthwiseSeparable(),))(
            Reads(), classified((8, 8, 8))
        )
    assert isinstance(cheap.inner, nn.Conv2d) and isinstance(cheap.last, nn.Sequential)


def test_groups_that_fit_no_layer_are_named():
    with pytest.warns(
        SkippedWarning,
        match=re.escape("could use Grouped(groups=5, least=1) for no layer: the layers' channels"),
    ):
        CheapConvolutions(kinds=(Grouped(5, 1), DepthwiseSeparable()), training=Training(0))(
            network(), classified((3, 8, 8))
        )


def test_a_model_without_convolutions_is_told():
    with pytest.warns(SkippedWarning, match="found no convolution in the model"):
        CheapConvolutions(training=Training(0))(nn.Linear(12, 4), classified((12,)))


def test_a_shuffle_survives_the_file(tmp_path: Any):
    from shoestring import load

    weights = EASY[Grouped(2, 1)]
    model, task = network(weights), classified((3, 8, 8))
    layers = Grouped(2, 1).of(model[3])
    assert layers is not None and isinstance(layers[0], Shuffled)
    assert layers[0].order.tolist() == [*range(0, 16, 2), *range(1, 16, 2)]
    shuffled = replaced(model, "3", layers).eval()
    save(shuffled, task, tmp_path / "shuffled.shoe")
    x = task.validation[0][0]
    answers = torch.from_numpy(load(tmp_path / "shuffled.shoe")(x.numpy()))
    torch.testing.assert_close(answers, model.eval()(x), rtol=1e-3, atol=1e-3)


def test_with_training_it_learns_and_low_rank_goes_on_with_its_layers():
    model, task = network(), classified((3, 8, 8))
    kinds = (SpatiallySeparable(),)
    with seeded(0):
        cheap = CheapConvolutions(kinds=kinds, training=Training(3), only=("3",))(model, task)
        plain = CheapConvolutions(kinds=kinds, training=Training(0), only=("3",))(model, task)
        twice = LowRank(rank=LayerOperations(0.4), training=Training(0), only=("3.1",))(cheap, task)
    assert not torch.equal(cheap[3][0].weight, plain[3][0].weight)
    assert isinstance(twice[3][1], nn.Sequential)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CheapConvolutions(share=0), "the share is 0: it must be above 0"),
        (lambda: CheapConvolutions(margin=1.5), "the margin is 1.5"),
        (lambda: CheapConvolutions(batches=0), "fitted to 0 batches: give 1 or more"),
        (lambda: CheapConvolutions(kinds=()), "there are no kinds"),
        (lambda: DepthwiseSeparable(0), "the terms are 0: give 1 or more"),
        (lambda: Grouped(1), "there are 1 groups: give 2 or more"),
        (lambda: LowRankConvolution(1.0), "the share is 1.0: it must be above 0 and below 1"),
        (lambda: SpatiallySeparable(0.5, 0), "in multiples of 0: give 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, said: str):
    with pytest.raises(ValueError, match=said):
        make()
