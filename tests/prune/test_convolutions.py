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
from shoestring.kit import (
    ShortfallWarning,
    SkippedWarning,
    Training,
    load_into,
    parameters_of,
    save,
)
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
    Weights,
    converted,
)
from shoestring.prune.convolution_choice import Candidate, those_that_pay
from shoestring.prune.convolution_fit import seen

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


def four_layers() -> nn.Module:
    """A network in which layer 2 has most of the operations, and layer 0 no kind that pays."""
    with seeded(0):
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.Conv2d(16, 64, 3, padding=1),
            nn.Conv2d(64, 16, 3, stride=2, padding=1),
            nn.Flatten(),
            nn.Linear(256, 4),
        )


def test_a_share_that_is_not_reached_is_said_however_small_it_is():
    technique = CheapConvolutions(share=0.1, kinds=(DepthwiseSeparable(),), training=Training(0))
    with pytest.warns(Warning) as caught:
        technique(four_layers(), classified((1, 8, 8)))
    said = [str(one.message) for one in caught if one.category is ShortfallWarning]
    assert len(said) == 1 and "asked to leave 10% of the cost of the convolutions" in said[0]
    assert said[0].endswith("left 15%: no kind saves more, and 0 stays as it is")


def test_what_was_chosen_is_told_and_so_is_a_share_that_was_overshot(capsys: Any):
    only = {"kinds": (DepthwiseSeparable(),), "only": ("1", "2"), "training": Training(0)}
    model, task = four_layers(), classified((1, 8, 8))
    cheap = CheapConvolutions(share=0.5, **only)(model, task)
    told = capsys.readouterr().err
    # of 64 · (16·16·9 + 16·64·9) multiply-adds, 64 · (16·16·9 + 16·9 + 16·64) are left
    assert isinstance(cheap[2], nn.Sequential) and isinstance(cheap[1], nn.Conv2d)
    assert told == (
        "CheapConvolutions left 0.301 of the convolutions' operations, less than the 0.5 asked "
        "for, since layers are replaced whole: with 2 as it was, 1.000 would be left; "
        "converted(model, {'2': DepthwiseSeparable(terms=1)}) gives a model these layers\n"
    )
    CheapConvolutions(share=0.32, **only)(model, task)
    assert "left 0.301 of the convolutions' operations; conv" in capsys.readouterr().err


def test_the_kinds_that_were_told_make_the_layers_of_a_file(tmp_path: Any):
    """A meter may choose otherwise the next time; another model's weights do not matter."""
    model, task = network(), classified((3, 8, 8))
    for kinds in (
        {"0": BlueprintSeparable(), "3": DepthwiseSeparable(2)},
        {"3": Grouped(4, 1)},
        {"0": LowRankConvolution(0.5, 1), "3": SpatiallySeparable()},
    ):
        cheap = converted(model, kinds)
        save(cheap, task, tmp_path / "cheap.shoe")
        fresh = network(channels=16)
        nn.init.normal_(fresh[3].weight)
        back = load_into(tmp_path / "cheap.shoe", converted(fresh, kinds))
        x = task.validation[0][0]
        torch.testing.assert_close(back.eval()(x), cheap.eval()(x))
        with pytest.raises(ValueError, match="the first that differs; if a technique changed the"):
            load_into(tmp_path / "cheap.shoe", fresh)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"9": Grouped(2)}, "'9' is no dense convolution, the model has no such layer"),
        ({"2": Grouped(2)}, "'2' is no dense convolution, the model has ReLU there"),
        ({"3": Grouped(3)}, r"Grouped\(groups=3, least=16\) does not fit 3, Conv2d"),
    ],
)
def test_kinds_that_cannot_have_been_told_are_refused(kinds: Any, said: str):
    with pytest.raises(ValueError, match=said):
        converted(network(), kinds)


def test_why_a_layer_stays_is_said():
    with pytest.warns(SkippedWarning) as caught:
        CheapConvolutions(
            kinds=(BlueprintSeparable(),), margin=0.1, only=("2",), training=Training(0)
        )(four_layers(), classified((1, 8, 8)))
    told = [str(one.message) for one in caught]
    assert (
        "CheapConvolutions leaves 2 as it is: no kind pays there, as each takes more than 0.1 "
        "(the margin) of the layer's operations"
    ) in told
    with pytest.warns(SkippedWarning, match="leaves 0 as it is: no kind fits there: the layers' c"):
        CheapConvolutions(kinds=(DepthwiseSeparable(),), share=0.2, training=Training(0))(
            four_layers(), classified((1, 8, 8))
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
    shuffled = replaced(model, {"3": layers}).eval()
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
        (
            lambda: CheapConvolutions(batches=0),
            "fitted to 0 batches: give a whole number, 1 or more",
        ),
        (lambda: CheapConvolutions(batches=1.5), "fitted to 1.5 batches: give a whole number"),  # type: ignore[arg-type]
        (lambda: CheapConvolutions(kinds=()), "there are no kinds"),
        (lambda: DepthwiseSeparable(0), "the terms are 0: give a whole number, 1 or more"),
        (lambda: Grouped(1), "the groups are 1: give a whole number, 2 or more"),
        (lambda: LowRankConvolution(1.0), "the share is 1.0: it must be above 0 and below 1"),
        (lambda: SpatiallySeparable(0.5, 0), "in multiples of 0: give a whole number, 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, said: str):
    with pytest.raises(ValueError, match=said):
        make()


def separable(behind: nn.Module | None = None) -> nn.Module:
    """A network whose layer 1 is exactly depthwise separable."""
    with seeded(0):
        made = nn.Sequential(
            nn.Conv2d(3, 16, 1),
            nn.Conv2d(16, 16, 3, padding=1),
            behind or nn.Identity(),
            nn.Flatten(),
            nn.Linear(16 * 64, 4),
        )
        made[1].weight.data = EASY[DepthwiseSeparable()](16, 16, 3, 3).contiguous()
    return made


def only_separable(**settings: Any) -> CheapConvolutions:
    return CheapConvolutions(
        **{"kinds": (DepthwiseSeparable(),), "training": Training(0), "share": 0.4, **settings}
    )


def test_an_in_place_activation_behind_a_layer_does_not_spoil_the_fit():
    task = classified((3, 8, 8), examples=40)
    x = task.validation[0][0]
    for behind in (nn.ReLU(), nn.ReLU(inplace=True)):
        model = separable(behind).eval()
        cheap = only_separable(only=("1",))(model, task)
        assert isinstance(cheap[1], nn.Sequential)
        torch.testing.assert_close(cheap(x), model(x), rtol=1e-3, atol=1e-3)


def test_what_a_layer_sees_is_copied_too():
    class WritesIn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            features = self.a(x)
            answer = self.b(features)
            features.zero_()
            return answer.mean((2, 3))

    what = seen(WritesIn(), classified((3, 8, 8)), ["b"], 2, "test")["b"]
    assert what.inputs.std() > 0.1


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_layer_with_hooks_stays(hook: str):
    model = separable()
    getattr(model[1], hook)(lambda *_: None)
    with pytest.warns(SkippedWarning, match="skipped 1: it has hooks, which would be lost"):
        cheap = CheapConvolutions(training=Training(0))(model, classified((3, 8, 8)))
    assert isinstance(cheap[1], nn.Conv2d)
    with pytest.warns(SkippedWarning, match="LowRank skipped 1: it has hooks"):
        thin = LowRank(rank=LayerOperations(0.2), training=Training(0))(
            model, classified((3, 8, 8))
        )
    assert isinstance(thin[1], nn.Conv2d)


class AsksWhat(nn.Module):
    """It puts an activation behind each nn.Conv2d, which `asks` whether a layer is."""

    def __init__(self, asks: Any) -> None:
        super().__init__()
        with seeded(0):
            self.layers = separable()
            self.other = nn.Conv2d(3, 3, 3, padding=1)
        self.asks = asks

    def forward(self, x: Tensor) -> Tensor:
        x = self.other(x)
        for layer in self.layers:
            x = layer(x)
            if self.asks(self, layer):
                x = torch.relu(x)
        return x


@pytest.mark.parametrize(
    "asks",
    [
        lambda _, layer: isinstance(layer, nn.Conv2d),
        lambda _, layer: getattr(layer, "out_channels", 0) == 16,
        lambda model, layer: model.training and isinstance(layer, nn.Conv2d),
    ],
    ids=["class", "attribute", "in training"],
)
def test_a_model_that_asks_what_a_layer_is_keeps_it(asks: Any):
    model, task = AsksWhat(asks), classified((3, 8, 8))
    with pytest.warns(SkippedWarning) as caught:
        cheap = only_separable()(model, task)
    told = [str(one.message) for one in caught]
    assert any(
        "skipped layers.1: the model answers otherwise with an nn.Seq" in one for one in told
    )
    assert isinstance(cheap.layers[1], nn.Conv2d) and isinstance(cheap.other, nn.Sequential)
    thin_layers = LowRank(
        rank=LayerOperations(0.2), training=Training(0), only=("layers.1",), directions=Weights()
    )
    with pytest.warns(SkippedWarning) as caught:
        thin = thin_layers(model, task)
    assert "LowRank skipped layers.1: the model answers otherwise" in str(caught[0].message)
    assert isinstance(thin.layers[1], nn.Conv2d)


def test_a_model_that_does_not_repeat_its_answers_is_converted():
    import random

    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = separable()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x * random.random())

    cheap = only_separable(only=("inner.1",))(Random(), classified((3, 8, 8)))
    assert isinstance(cheap.inner[1], nn.Sequential)


def test_a_layer_called_by_keyword():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = separable()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner[2:](self.inner[1](input=self.inner[0](x)))

    model, task = Named(), classified((3, 8, 8), examples=40)
    for technique in (
        only_separable(only=("inner.1",)),
        LowRank(rank=LayerOperations(0.5), training=Training(0), only=("inner.1",)),
    ):
        assert isinstance(technique(model, task).inner[1], nn.Sequential)


@dataclass(frozen=True)
class Own:
    """A kind of the user's own."""

    makes: Any

    def of(self, layer: Any) -> Any:
        """What `makes` makes."""
        return self.makes(layer)


def _point(layer: Any, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(layer.in_channels, layer.out_channels, 1, **settings)


@pytest.mark.parametrize(
    ("makes", "error", "said"),
    [
        (_point, TypeError, "must return an nn.Sequential of layers, or None"),
        (lambda _: nn.Sequential(), TypeError, "must return an nn.Sequential of layers, or None"),
        (
            lambda layer: nn.Sequential(_point(layer, bias=False)),
            ValueError,
            r"end in Conv2d.*bias=False.* must be an nn\.Conv2d with a bias",
        ),
        (
            lambda layer: nn.Sequential(_point(layer), nn.ReLU()),
            ValueError,
            r"end in ReLU\(\) in the place of 0 .* must be an nn\.Conv2d with a bias",
        ),
        (
            lambda layer: nn.Sequential(_point(layer, stride=2)),
            ValueError,
            r"have the shape \(1, 16, 4, 4\) in the place of 0 .* have \(1, 16, 8, 8\)",
        ),
        (
            lambda _: nn.Sequential(nn.Conv2d(7, 16, 1)),
            ValueError,
            r"layers that fail in the place of 0 .* on inputs of shape \(1, 3, 8, 8\)",
        ),
    ],
)
def test_an_own_kind_that_cannot_replace_a_layer_is_named(makes: Any, error: Any, said: str):
    with pytest.raises(error, match=f"the kind Own.* made .*{said}"):
        only_separable(kinds=(Own(makes),))(network(), classified((3, 8, 8)))


def test_an_own_kind_may_have_layers_inside_layers():
    def makes(layer: Any) -> nn.Sequential:
        inner = nn.Sequential(_point(layer), nn.BatchNorm2d(layer.out_channels), nn.ReLU())
        return nn.Sequential(inner, nn.Conv2d(layer.out_channels, layer.out_channels, 1))

    model = separable()
    cheap = only_separable(kinds=(Own(makes),), only=("1",))(model, classified((3, 8, 8)))
    assert isinstance(cheap[1][0], nn.Sequential)
    with pytest.warns(SkippedWarning, match="no kind pays there"):  # two take 2/9 of it, not 1/9
        only_separable(kinds=(Own(makes),), only=("1",), margin=0.2)(model, classified((3, 8, 8)))


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (DepthwiseSeparable(), r"kinds is Depth.*: give a tuple of kinds, \(DepthwiseSeparable"),
        ("dw", r"kinds is 'dw': give a tuple of kinds, \(DepthwiseSeparable\(\),\) say"),
        ((DepthwiseSeparable,), r"has the class DepthwiseSeparable: give DepthwiseSeparable\(\)"),
        (("dw",), "kinds has 'dw', which has no method `of`"),
    ],
)
def test_what_is_no_tuple_of_kinds_is_refused(kinds: Any, said: str):
    with pytest.raises(TypeError, match=said):
        CheapConvolutions(kinds=kinds)
