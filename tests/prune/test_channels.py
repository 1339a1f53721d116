"""Channels go where it costs least; widths that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from zoo import Calls, Residual, images

from shoestring import meters
from shoestring.core import seeded
from shoestring.kit import (
    Ramp,
    ShortfallWarning,
    SkippedWarning,
    Supervised,
    Training,
    clone,
    parameters_of,
)
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.surgery.groups import DependencyGroups
from shoestring.models import LeNet5
from shoestring.prune import Channels, Norm, OfChannels, Scale, Taylor


def widths(model: nn.Module) -> list[int]:
    return [
        one.raw.shape[0] for one in parameters_of(model) if one.is_parameter and one.raw.ndim > 1
    ]


def mlp() -> nn.Sequential:
    """Two hidden layers of six units; the unit i of each is read by weights of i + 1."""
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
    with torch.no_grad():
        for layer in (model[0], model[2], model[4]):
            layer.weight.fill_(1.0)
            layer.bias.fill_(0.1)
        for reader in (model[2], model[4]):
            reader.weight.mul_(torch.arange(1.0, 7.0))
    return model


def test_the_smallest_channels_go_and_every_layer_keeps_the_same_share():
    model = mlp()
    small = Channels(
        share=0.5, of=OfChannels(), importance=Norm(), multiple=1, training=Training(0)
    )(model, images((3,)))
    assert widths(small) == [3, 3, 4]
    assert small[4].weight[0].tolist() == [4, 5, 6] and small[2].weight[0].tolist() == [4, 5, 6]
    assert widths(model) == [6, 6, 4]


def test_widths_are_multiples_and_small_layers_stay():
    model, task = LeNet5(), images()
    small = Channels(
        share=0.3, of=OfChannels(), importance=Norm(), multiple=8, training=Training(0)
    )(model, task)
    assert widths(small) == [
        8,
        16,
        152,
        10,
    ]  # of 20, 50 and 500: 6, 15 and 150, and up to the next multiple
    said = (
        r"asked to leave 1% of the operations and left 85%: channels go in multiples of "
        r"64, .* \(multiple=1 goes further\)"
    )
    with pytest.warns(ShortfallWarning, match=said):
        small = Channels(share=0.01, importance=Norm(), multiple=64, training=Training(0))(
            model, task
        )
    assert widths(small) == [20, 50, 64, 10]


def test_widths_of_eight_stay_and_it_is_said():
    model, task = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), images((8,))
    with pytest.warns(
        ShortfallWarning, match="Channels was asked to leave 25% of the channels and left 100%"
    ):
        same = Channels(share=0.25, of=OfChannels(), importance=Norm(), training=Training(0))(
            model, task
        )
    assert [tuple(one.weight.shape) for one in same if isinstance(one, nn.Linear)] == [
        (8, 8),
        (4, 8),
    ]
    small = Channels(
        share=0.25, of=OfChannels(), importance=Norm(), multiple=1, training=Training(0)
    )(model, task)
    assert [tuple(one.weight.shape) for one in small if isinstance(one, nn.Linear)] == [
        (2, 8),
        (4, 2),
    ]


@pytest.mark.slow
def test_a_model_that_keeps_its_channels_is_not_trained():
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 4)
        )
    technique = Channels(share=1.0, importance=Norm(), training=Training(6))
    with pytest.warns(SkippedWarning, match="Channels changed nothing in the model, so it did not"):
        same = technique(model, images((3, 8, 8)))
    assert torch.equal(same[0].weight, model[0].weight) and same is not model


def test_operations_fall_to_the_share():
    model, task = LeNet5(), images()
    full = meters.Operations()(model, task).operations
    for share in (0.75, 0.5, 0.25):
        small = Channels(
            share=share, importance=Taylor(batches=2), multiple=1, training=Training(0)
        )(model, task)
        assert 0.9 * share < meters.Operations()(small, task).operations / full <= share


def test_units_that_nothing_reads_go_first_and_without_loss():
    with seeded(0):
        model = Residual()
    task = images((3, 8, 8))
    with torch.no_grad():
        for weight in (model.conv.weight, model.head.weight):
            weight[:, [0, 3, 5, 6]] = 0
    for share in (0.6, 0.36):
        small = Channels(
            share=share, importance=Taylor(batches=2), multiple=1, training=Training(0)
        )(model, task)
        assert small.stem.out_channels == {0.6: 5, 0.36: 4}[share]
        x = torch.randn(5, 3, 8, 8)
        torch.testing.assert_close(
            clone(small).eval()(x), clone(model).eval()(x), rtol=1e-4, atol=1e-5
        )


def test_taylor_is_the_change_of_the_loss_squared():
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False))
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])
    task = Supervised(
        train=(x, y),
        validation=(x, y),
        test=(x, y),
        criterion=lambda outputs, targets: outputs.sum(),
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
        model[1].weight.copy_(torch.tensor([[3.0, -1, 2]]))
    coupling = dependency_groups(model, task, who="test")
    # The loss is 3·1 - 1·2 + 2·3, and without a unit less by 3, -2 or 6.
    torch.testing.assert_close(
        Taylor(batches=1)(model, task, coupling)[0], torch.tensor([9.0, 4.0, 36.0])
    )
    torch.testing.assert_close(
        Taylor(batches=5)(model, task, coupling)[0], torch.tensor([9.0, 4.0, 36.0])
    )  # there is one


def test_scale_is_that_of_the_batch_norms():
    model, task = Residual(), images((3, 8, 8))
    with torch.no_grad():
        model.norm.weight.copy_(torch.arange(8.0))
        model.norm2.weight.copy_(torch.arange(8.0))
    (scores,) = Scale()(model, task, dependency_groups(model, task, who="test"))
    torch.testing.assert_close(scores / scores[1], torch.arange(8.0))


def test_training_in_rounds_reaches_the_width_and_leaves_the_model_alone():
    model, task = LeNet5().train(), images()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    small = Channels(
        share=0.5, training=Training(8), ramp=Ramp(0.3, rounds=3), importance=Norm(), multiple=1
    )(model, task)
    assert (
        small.training
        and meters.Operations()(small, task).operations
        < 0.5 * meters.Operations()(model, task).operations
    )
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_an_importance_is_any_callable_and_layers_are_chosen_by_name():
    def first(model: nn.Module, task: object, coupling: DependencyGroups) -> list[Tensor]:
        return [-torch.arange(len(group)).float() for group in coupling.groups]

    model = mlp()
    small = Channels(
        share=0.5, of=OfChannels(), importance=first, multiple=1, training=Training(0), only=("2",)
    )(model, images((3,)))
    assert widths(small) == [6, 3, 4] and small[4].weight[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"share": 0.0}, "the share is 0.0"),
        ({"share": 1.5}, "the share is 1.5"),
        ({"multiple": 0}, "channels in multiples of 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict, said: str):
    with pytest.raises(ValueError, match=said):
        Channels(**wrong)


def test_a_model_without_channels_is_returned_with_a_warning():
    with pytest.warns(
        SkippedWarning, match="Channels found nothing in the model that it could take out"
    ):
        small = Channels(training=Training(0))(
            nn.Sequential(nn.Linear(3, 2)), Calls((torch.randn(2, 3),), {})
        )
    assert widths(small) == [2]


@pytest.mark.parametrize("importance", [Norm(), Taylor(1)])
def test_small_weights_of_half_precision_count(importance: Norm | Taylor):
    with seeded(0):
        model = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 4)).half()
        inputs = torch.rand(8, 3).half()
    model[1].weight.data.mul_(1e-5)
    half, single = (
        importance(one, task, dependency_groups(one, task, who="test"))[0]
        for one, task in (
            (model, Calls((inputs,), {})),
            (clone(model).float(), Calls((inputs.float(),), {})),
        )
    )
    assert (half / single - 1).abs().max() < 0.05


def test_channels_that_no_gradient_tells_of_go_last():
    class Still(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.b(self.a(x).relu())
            return self.c(x.relu())

    with pytest.warns(
        SkippedWarning,
        match="Taylor skipped a: no gradient reaches the layers that read their channels",
    ):
        small = Channels(share=0.7, multiple=1, training=Training(0))(Still(), images((3,)))
    assert small.a.out_features == 8 and small.b.out_features < 8


def test_a_choice_walks_through_the_model_once(monkeypatch: pytest.MonkeyPatch):
    model, walks = LeNet5(), []
    coupling = dependency_groups(model, images(), who="test")
    for module in ("kit.surgery.finding", "prune.channels"):
        monkeypatch.setattr(
            f"shoestring.{module}.parameters_of",
            lambda model: walks.append(model) or parameters_of(model),
        )
    goal = 0.2 * coupling.products(parameters_of(model))
    gone = Channels(multiple=1)._cheapest(
        model, coupling, [torch.ones(len(one)) for one in coupling.groups], goal
    )
    assert len(walks) == 1 and sum(map(len, gone)) > 20
    assert coupling.products(parameters_of(model), gone) <= goal


def test_frozen_layers_keep_their_channels():
    model, task = LeNet5(), images()
    model.layers[2].requires_grad_(False)
    with pytest.warns(SkippedWarning, match="Channels skipped layers.2: frozen"):
        small = Channels(share=0.3, of=OfChannels(), importance=Norm(), training=Training(0))(
            model, replace(task)
        )
    assert widths(small) == [20, 50, 152, 10]


def test_it_says_which_layers_it_may_change():
    assert Channels().layers(LeNet5(), images()) == ["layers.0", "layers.2", "layers.5"]
    assert Channels().layers(Residual(), images((3, 8, 8))) == ["stem"]
