"""Units that do nothing are taken out; sizes and numbers to check by hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import repetitions
from torch import Tensor, nn
from torch.nn import functional
from zoo import ZOO, Animal, Calls, Residual, classified, tensors

from shoestring import kit
from shoestring.artifact import load
from shoestring.core import Task, Vary, seeded
from shoestring.kit import SkippedWarning, bake, clone, parameters_of, remove_dead_units
from shoestring.models import LeNet5


def called(*shapes: tuple[int, ...]) -> Task:
    """A task whose example is of random numbers."""
    with seeded(1):
        return Calls(tuple(torch.randn(3, *shape) for shape in shapes), {})


def answers(model: nn.Module, task: Task) -> list[Tensor]:
    args, kwargs = task.call()  # type: ignore[attr-defined]
    with torch.no_grad(), seeded(0):
        return tensors(clone(model).eval()(*args, **kwargs))


def assert_same(model: nn.Module, other: nn.Module, task: Task) -> None:
    for one, two in zip(answers(model, task), answers(other, task), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.clone() for name, one in model.state_dict().items()}


def assert_equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def mlp(first: list[list[float]], bias: list[float], second: list[list[float]]) -> nn.Sequential:
    model = nn.Sequential(
        nn.Linear(len(first[0]), len(first)), nn.ReLU(), nn.Linear(len(first), len(second))
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(first))
        model[0].bias.copy_(torch.tensor(bias))
        model[2].weight.copy_(torch.tensor(second))
        model[2].bias.fill_(0.5)
    return model


def test_units_without_weights_in_or_out_go_and_a_constant_goes_into_the_bias():
    # Unit 0 has no outgoing weight, 1 gives relu(-1) = 0, 2 gives 2 to the outputs, with 10 and -3,
    # and 3 and 4 live.
    first = [[1.0, 2.0], [0, 0], [0, 0], [0, 3], [4, 5]]
    model = mlp(first, [1.0, -1, 2, 7, 8], [[0.0, 6, 10, 1, 2], [0, 7, -3, -4, 5]])
    before = state(model)
    small = remove_dead_units(model, called((2,)))
    # Signs (+, +) of unit 4 come before (+, -) of unit 3.
    assert small[0].weight.tolist() == [[4, 5], [0, 3]] and small[0].bias.tolist() == [8, 7]
    assert small[2].weight.tolist() == [[2, 1], [5, -4]] and small[2].bias.tolist() == [20.5, -5.5]
    assert small[0].out_features == small[2].in_features == 2
    assert repr(small[0]) == "Linear(in_features=2, out_features=2, bias=True)"
    assert_equal(state(model), before)
    assert_same(model, small, called((2,)))


@pytest.mark.parametrize("freeze", ["share", "round", "none"])
def test_no_constant_goes_into_a_bias_that_has_a_state_or_is_not_there(freeze: str):
    model = mlp([[0.0, 0], [0, 0], [1, 1]], [2.0, -2, 0], [[1.0, 1, 1]])
    bias = next(one for one in parameters_of(model) if one.name == "2.bias")
    if freeze == "share":
        bias.share(torch.tensor([0.5, 1.0]), torch.tensor([0]))
    elif freeze == "round":
        bias.round(torch.tensor(0.5))
    else:
        model[2].bias = None
    small = remove_dead_units(model, called((2,)))
    assert sorted(small[0].bias.tolist()) == [
        0,
        2,
    ]  # of the two that are silent only the one that gives zero went
    assert_same(model, small, called((2,)))


def test_one_unit_stays():
    model = mlp([[0.0, 0], [0, 0]], [1.0, 2], [[0.0, 0], [0, 0]])
    small = remove_dead_units(model, called((2,)))
    assert small[0].weight.shape == (1, 2) and small[2].weight.shape == (2, 1)
    assert_same(model, small, called((2,)))


def test_what_a_removed_unit_frees_is_removed_too():
    model = nn.Sequential(
        nn.Linear(3, 4),
        nn.Tanh(),
        nn.Linear(4, 4),
        nn.Tanh(),
        nn.Linear(4, 4),
        nn.Tanh(),
        nn.Linear(4, 2),
    )
    with torch.no_grad():
        model[6].weight[:, 0] = (
            0  # the third layer's unit 0 goes, and with it all that unit 1 of the second is for,
        )
        model[4].weight[1:, 1] = 0  # and with that all that unit 2 of the first is for
        model[2].weight[[0, 2, 3], 2] = 0
        model[0].weight[3], model[0].bias[3] = (
            0,
            0.0,
        )  # forwards: the first's unit 3 is silent, and so is unit 3 of the second
        model[2].weight[3, :3], model[2].bias[3] = 0, 0.0
    small = remove_dead_units(model, called((3,)))
    assert [small[i].out_features for i in (0, 2, 4, 6)] == [2, 2, 3, 2]
    assert_same(model, small, called((3,)))


def test_dense_network_is_returned_as_it_came():
    for model, task in (
        (LeNet5(), called((1, 28, 28))),
        (nn.Sequential(nn.Linear(3, 9), nn.Linear(9, 2)), called((3,))),
    ):
        small = remove_dead_units(model, task)
        assert small is not model
        assert_equal(state(small), state(model))


def test_lenet_loses_filters_and_their_columns_after_flattening():
    with seeded(0):
        model = LeNet5()
        with torch.no_grad():
            for layer, dead in ((0, range(3, 20)), (2, range(45)), (5, range(100, 500))):
                model.layers[layer].weight[list(dead)] = 0
                model.layers[layer].bias[list(dead)] = (
                    0 if layer < 5 else -1
                )  # no relu after the convolutions
    task = called((1, 28, 28))
    small = remove_dead_units(model, task)
    shapes = [tuple(small.layers[i].weight.shape) for i in (0, 2, 5, 7)]
    assert shapes == [(3, 1, 5, 5), (5, 3, 5, 5), (100, 80), (10, 100)]
    assert (
        small.layers[2].in_channels,
        small.layers[2].out_channels,
        small.layers[5].in_features,
    ) == (3, 5, 80)
    assert_same(model, small, task)


def test_constants_go_through_pooling_and_flattening():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=True), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )
    with torch.no_grad():
        model[0].weight[1] = 0  # gives its bias to the four positions it has after flattening
    small = remove_dead_units(model, called((1, 6, 6)))
    assert small[0].out_channels == 3 and small[3].in_features == 12
    taken = model[0].bias[1] * model[3].weight[:, 4:8].sum(1)
    torch.testing.assert_close(small[3].bias, model[3].bias + taken)
    assert_same(model, small, called((1, 6, 6)))


@pytest.mark.parametrize(("padding", "left"), [(0, 3), ("valid", 3), (1, 4), ("same", 4)])
def test_a_constant_before_a_padded_convolution_stays(padding: int | str, left: int):
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 3, padding=padding)
    )
    with torch.no_grad():
        model[1].running_mean.uniform_(-1, 1)
        model[1].bias.copy_(torch.tensor([9.0, -9, 1, 1, 1]))
        model[0].weight[:2] = 0  # unit 0 then gives a constant above zero, unit 1 zero
    small = remove_dead_units(model, called((2, 8, 8)))
    assert [len(one) for one in small[1].state_dict().values() if one.ndim] == [left] * 4
    assert small[1].num_features == small[0].out_channels == small[3].in_channels == left
    assert_same(model, small, called((2, 8, 8)))


def test_batch_norm_after_flattening_has_a_place_for_each_column():
    model = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.Flatten(), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)
    )
    with torch.no_grad():
        model[2].running_mean.uniform_(-1, 1)
        model[4].weight[:, 3:6] = 0  # of unit 1
    small = remove_dead_units(model, called((2, 5)))
    assert small[0].out_channels == 3 and small[2].num_features == small[4].in_features == 9
    assert_same(model, small, called((2, 5)))


class Functional(nn.Module):
    """Two convolutions and two linear layers, flattened in a way that is given."""

    def __init__(self, flatten, last: int = 50 * 4) -> None:
        super().__init__()
        self.conv, self.norm, self.conv2 = (
            nn.Conv2d(1, 20, 5),
            nn.BatchNorm2d(20),
            nn.Conv2d(20, 50, 5),
        )
        self.flatten, self.drop = flatten, nn.Dropout(0.5)
        self.body, self.head = nn.Linear(last, 30), nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = functional.dropout(self.body(self.flatten(x)).relu(), 0.5, self.training)
        return functional.log_softmax(self.head(self.drop(x)), 1)


def with_dead_filters(model: Functional) -> Functional:
    with torch.no_grad():
        model.conv2.weight[10:] = 0
        model.conv2.bias[10:] = 0
    return model


WAYS = {
    "flatten": lambda x: x.flatten(1),
    "torch.flatten": lambda x: torch.flatten(x, 1),
    "view": lambda x: x.view(x.size(0), -1),
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "sizes": lambda x: x.view(-1, x.size(1) * x.size(2) * x.size(3)),
    "module": nn.Flatten(),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_usual_way_to_flatten_works(way: str):
    model, task = with_dead_filters(Functional(WAYS[way])), called((1, 20, 20))
    small = remove_dead_units(model, task)
    assert small.conv2.out_channels == 10 and small.body.in_features == 40
    assert_same(model, small, task)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: x.mean((2, 3)),
        lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    ],
)
def test_pooling_to_a_point_works(pool):
    model, task = with_dead_filters(Functional(pool, 50)), called((1, 20, 20))
    small = remove_dead_units(model, task)
    assert small.body.in_features == 10
    assert_same(model, small, task)


def test_sizes_written_into_forward_are_refused_by_name():
    model, task = with_dead_filters(Functional(lambda x: x.view(-1, 200))), called((1, 20, 20))
    with pytest.warns(
        SkippedWarning, match=r"skipped conv2: with 10 of its 50 units.*x\.flatten\(1\)"
    ) as caught:
        small = remove_dead_units(model, task)
    assert len(caught) == 1
    assert_equal(state(small), state(model))


def between(mix) -> nn.Module:
    """Eight channels, of which four are zero, a step, and a linear layer that does not read all of
    what it gives.
    """

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head, self.mix = nn.Conv2d(2, 8, 3), nn.Linear(8 * 16, 3), mix

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.mix(self.conv(x)).flatten(1))

    model = Mixed()
    with torch.no_grad():
        model.conv.weight[:4], model.conv.bias[:4] = 0, 0
        model.head.weight[:, :40] = 0
    return model


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x.softmax(1),
        lambda x: functional.normalize(x),
        nn.LocalResponseNorm(3),
        lambda x: x.cumsum(1),
    ],
)
def test_units_that_are_mixed_on_the_way_are_left_alone(mix):
    model = between(mix)
    assert_equal(state(remove_dead_units(model, called((2, 6, 6)))), state(model))


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x[:, torch.arange(x.shape[1] - 1, -1, -1)],
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: x.relu() - x,
    ],
)
def test_units_that_change_places_on_the_way_are_followed(move):
    model, task = between(move), called((2, 6, 6))
    small = remove_dead_units(model, task)
    assert len(small.conv.weight) <= 4
    assert_same(model, small, task)


def test_a_step_that_needs_the_number_of_units_is_refused_by_name():
    model = between(nn.ChannelShuffle(2))
    with pytest.warns(
        SkippedWarning,
        match="skipped conv: with 3 of its 8 units the model fails.*divisible by groups",
    ):
        assert_equal(state(remove_dead_units(model, called((2, 6, 6)))), state(model))


def test_channels_last_of_a_linear_layer_on_each_place():
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.conv(x)).relu().mT)

    model = Last()
    with torch.no_grad():
        model.conv.weight[2:], model.conv.bias[2:] = 0, -1
    task = Calls((Vary(torch.randn(3, 3, 9), {0: "N", 2: "T"}),), {})
    small = remove_dead_units(model, task)
    assert small.head.in_features == small.norm.num_features == 2
    assert torch.allclose(answers(model, task)[0], answers(small, task)[0], atol=1e-6)


def test_a_constant_that_depends_on_the_length_is_not_taken_for_one():
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(3, 4, 1), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).sum(2))

    model = Summed()
    with torch.no_grad():
        model.conv.weight[0], model.conv.bias[0] = 0, 5
    task = Calls((Vary(torch.randn(2, 3, 9), {0: "N", 2: "T"}),), {})
    small = remove_dead_units(model, task)
    assert len(small.conv.weight) == 4 and torch.equal(small.head.bias, model.head.bias)
    assert_same(model, small, Calls((torch.randn(2, 3, 20),), {}))


def test_a_constant_that_depends_on_the_place_stays():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AvgPool2d(3, padding=1), nn.Conv2d(4, 2, 2))
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 1  # near the border, 4/9 or 6/9 of it
    small = remove_dead_units(model, called((1, 8, 8)))
    assert small[0].out_channels == 4
    assert_same(model, small, called((1, 8, 8)))


@pytest.mark.parametrize(
    "between",
    [
        nn.PReLU(8),
        nn.GroupNorm(8, 8),
        nn.Conv2d(8, 8, 1, groups=8),
        nn.PReLU(),
        nn.InstanceNorm2d(8, affine=True),
    ],
)
def test_steps_with_weights_of_their_own_lose_them_too(between: nn.Module):
    model = nn.Sequential(nn.Conv2d(2, 8, 3), between, nn.Conv2d(8, 2, 3))
    with torch.no_grad():
        model[2].weight[:, :3] = 0
    small = remove_dead_units(model, called((2, 6, 6)))
    assert small[0].out_channels == small[2].in_channels == 5
    assert_same(model, small, called((2, 6, 6)))


def test_classes_of_the_user_with_states():
    class Mine(nn.Linear):
        pass

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.first, self.last = nn.Parameter(torch.ones(3)), Mine(3, 6), Mine(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.hidden = self.first(
                x * self.scale
            )  # kept: tracing must not leave its stand-in here
            return self.last(self.hidden.relu())

    model, task = nn.Sequential(Block(), nn.Linear(3, 2)), called((3,))
    keep = torch.arange(6) < 2
    for one in parameters_of(model):
        one.prune(
            keep.view(-1, 1).expand(6, 3)
            if one.name == "0.first.weight"
            else torch.ones_like(one.raw, dtype=torch.bool)
        )
    with torch.no_grad():
        next(one for one in parameters_of(model) if one.name == "0.first.bias").raw[2:] = -1
    small = remove_dead_units(model, task)
    assert small[0].first.out_features == 2 and not isinstance(
        getattr(small[0], "hidden", None), torch.fx.Proxy
    )
    assert_same(model, small, task)


def test_units_of_branches_go_where_all_that_give_them_give_zero():
    model, task = Residual(), called((3, 8, 8))
    with torch.no_grad():
        model.stem.weight[:4], model.conv.weight[:5] = 0, 0
        model.norm.bias[3] = 1  # goes into a convolution that pads
    small = remove_dead_units(model, task)
    assert [len(one.weight) for one in (small.stem, small.norm, small.conv, small.norm2)] == [5] * 4
    assert_same(model, small, task)


def test_the_inside_of_a_block_loses_units():
    task = called((3, 8, 8))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.second = (
                nn.Conv2d(3, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.Conv2d(8, 3, 3, padding=1),
            )

        def forward(self, x: Tensor) -> Tensor:
            return x + self.second(functional.relu(self.norm(self.first(x)), inplace=True))

    model = nn.Sequential(Block(), Block())
    with torch.no_grad():
        model[1].first.weight[:5], model[1].first.bias[:5] = 0, -1
        model[1].norm.bias[:5] = -0.1
        model[1].norm.running_mean.fill_(0.1)
    small = remove_dead_units(model, task)
    assert [one.first.out_channels for one in small] == [8, 3]
    assert_same(model, small, task)


def test_tied_layers_are_left_alone_and_reused_ones_are_not():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.same, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.same(self.same(self.first(x).relu()).relu()).relu())

    twice = Twice()
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    tied[2].weight = tied[0].weight

    class Regularised(nn.Sequential):
        def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(input), self[0].weight.sum(0)  # pyright: ignore[reportCallIssue, reportArgumentType]

    used = Regularised(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        for layer in (twice.first, twice.same, twice.head, tied[0], tied[4], used[0], used[2]):
            layer.weight[:, :2] = 0
            layer.weight[:1] = 0
    assert_equal(state(remove_dead_units(tied, called((4,)))), state(tied))
    with pytest.warns(
        SkippedWarning, match="skipped 0: with 2 of its 4 units the model answers differently"
    ):
        assert_equal(state(remove_dead_units(used, called((4,)))), state(used))
    small = remove_dead_units(twice, called((4,)))
    assert small.same.weight.shape == (2, 2)
    assert_same(twice, small, called((4,)))


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_what_something_else_parametrizes_is_left_alone():
    for norm in (torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.weight_norm):
        model = nn.Sequential(
            nn.Linear(4, 6), nn.ReLU(), norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 2)
        )
        with torch.no_grad():
            model[0].weight[:3], model[0].bias[:3] = 0, -1
            model[4].weight[:, :3] = 0
        assert_equal(state(remove_dead_units(model, called((4,)))), state(model))


class Branching(nn.Sequential):
    """Goes by the values of its input, which alone say nothing of what it does with others."""

    def forward(self, input: Tensor) -> Tensor:
        hidden = self[0](input).relu()
        return self[1](hidden if input.sum() > -100 else -hidden - 1)


def test_a_model_that_branches_loses_units_that_nothing_reads_and_keeps_constants():
    model = Branching(nn.Linear(2, 4), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight[:2], model[0].bias[:2] = 0, 0
        model[1].weight[:, 2] = 0
    small, task = remove_dead_units(model, called((2,))), called((2,))
    assert sorted(map(tuple, small[0].weight.tolist())) == sorted(
        map(tuple, model[0].weight[[0, 1, 3]].tolist())
    )
    assert_same(model, small, task)
    low = Calls((torch.full((2, 2), -100.0),), {})
    assert_same(model, small, low)


def test_a_model_that_does_not_run_is_skipped_with_one_warning():
    model = mlp([[0.0, 0], [1, 1]], [0, 0], [[1.0, 1]])
    with pytest.warns(
        SkippedWarning, match="skipped the model: it does not run on the task's example"
    ) as caught:
        small = remove_dead_units(model, called((3,)))
    assert len(caught) == 1 and small is not model
    assert_equal(state(small), state(model))
    with pytest.raises(ValueError, match="1 is lazy"):
        remove_dead_units(nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2)), called((2,)))


def test_calls_without_a_batch_and_of_any_number_of_arguments():
    class Any(nn.Sequential):
        def forward(self, *inputs: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(inputs[0] + inputs[1])

    flat = Any(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    image = Any(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3))
    for model, shape in ((flat, (4,)), (image, (1, 6, 6))):
        with torch.no_grad():
            model[0].weight[:3], model[0].bias[:3] = 0, -1
        task = Calls((Vary(torch.randn(shape), {}), Vary(torch.randn(shape), {})), {})
        small = remove_dead_units(model, task)
        assert len(small[0].weight) == 3
        assert_same(model, small, task)


def test_arguments_that_are_no_tensors_are_fixed():
    class Options(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(
            self,
            x: Tensor,
            scale: float = 2.0,
            *,
            bias: Tensor | None = None,
            more: Tensor | None = None,
        ) -> Tensor:
            hidden = self.body(x)
            if scale > 1:
                hidden = hidden * scale
            if more is not None:
                hidden = hidden + more
            return self.head(hidden.relu()) + bias

    model = Options()
    with torch.no_grad():
        model.body.weight[:3], model.body.bias[:3] = 0, -1
    task = Calls((torch.randn(3, 4),), {"bias": torch.randn(3, 2)})
    small = remove_dead_units(model, task)
    assert small.body.out_features == 3
    assert_same(model, small, task)


def test_states_are_carried_along():
    with seeded(3):
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24, 5),
        )
    mine = {one.name: one for one in parameters_of(model)}
    keep = torch.ones(4, 1, 3, 3, dtype=torch.bool)
    keep[1], keep[3, 0, 0, 0] = False, False
    mine["0.weight"].prune(keep)
    mine["0.weight"].share(torch.tensor([-0.5, 0.25]), (mine["0.weight"].raw > 0).long())
    mine["0.bias"].prune(torch.tensor([True, False, True, True]))
    mine["0.bias"].share(
        torch.arange(1.0, 5), torch.arange(4)
    )  # as many levels as units: the codebook stays whole
    keep = torch.rand(6, 4, 3, 3, generator=torch.Generator().manual_seed(0)) > 0.5
    keep[[0, 4]] = False
    mine["2.weight"].prune(keep)
    mine["2.weight"].round(torch.linspace(0.01, 0.06, 6).view(6, 1, 1, 1))
    mine["2.bias"].prune(torch.tensor([False, True, True, True, False, True]))
    mine["5.weight"].round(torch.tensor(0.01))
    task = called((1, 6, 6))
    small = remove_dead_units(model, task)
    assert_same(model, small, task)
    theirs = {one.name: one for one in parameters_of(small)}
    assert (
        theirs["0.weight"].value().shape
        == theirs["0.weight"].mask.shape
        == theirs["0.weight"].state.indices.shape
        == (3, 1, 3, 3)
    )
    assert theirs["0.weight"].state.codebook.tolist() == [-0.5, 0.25]
    assert theirs["0.bias"].state.codebook.tolist() == [1, 2, 3, 4] and set(
        theirs["0.bias"].value().tolist()
    ) == {1, 3, 4}
    assert theirs["2.weight"].raw.shape == theirs["2.weight"].mask.shape == (4, 3, 3, 3)
    steps = theirs["2.weight"].state.scale
    assert steps.shape == (4, 1, 1, 1)
    assert sorted(steps.flatten().tolist()) == pytest.approx([0.02, 0.03, 0.04, 0.06])
    assert theirs["5.weight"].raw.shape == (5, 16) and theirs["5.weight"].state.scale.shape == ()
    assert small[2].in_channels == 3 and small[5].in_features == 16
    assert mine["2.weight"].raw.shape == (6, 4, 3, 3) and mine["2.weight"].state.scale.shape == (
        6,
        1,
        1,
        1,
    )
    # Each unit kept its values.
    before = {
        tuple(one.flatten().tolist())
        for one in bake(clone(model))[5].weight.unflatten(1, (6, 4)).transpose(0, 1)
    }
    assert all(
        tuple(one.flatten().tolist()) in before
        for one in small[5].weight.unflatten(1, (4, 4)).transpose(0, 1)
    )


def test_flags_modes_gradients_and_memory_format():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 2, 3),
    )
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model[1].eval()
    model[3].weight.requires_grad_(False)
    with torch.no_grad():
        model[3].weight[:3], model[3].bias[:3] = 0, -1
        model[5].weight[:, 5] = 0
    task = called((3, 8, 8))
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    small = remove_dead_units(model, task)
    assert small[3].weight.shape == (2, 8, 3, 3) and small[5].weight.shape == (2, 2, 3, 3)
    assert (
        small[3].weight.is_contiguous(memory_format=torch.channels_last)
        and small[5].weight.stride()[1] == 1
    )
    assert [one.training for one in small] == [True, False, True, True, True, True]
    assert [one.requires_grad for one in small.parameters()] == [
        one.requires_grad for one in model.parameters()
    ]
    small(torch.randn(2, 3, 8, 8)).sum().backward()
    assert small[5].weight.grad.shape == (2, 2, 3, 3)
    assert_same(model, small, task)


def test_units_are_ordered_by_signs_or_by_their_weights():
    second = [[1.0, -1, 0, 2, -2], [0, 3, 1, 4, 0]]
    model = mlp([[1.0], [2], [3], [4], [5]], [0.0] * 5, second)
    small = remove_dead_units(model, called((1,)))
    # The first row gives +, +, 0, -, -; within, the second 4 before 0, and 3 before 0.
    assert small[2].weight.tolist() == [[2, 1, 0, -1, -2], [4, 0, 1, 3, 0]]
    assert small[0].weight.flatten().tolist() == [4, 1, 3, 2, 5]
    wide = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 33))
    with torch.no_grad():
        wide[0].weight.copy_(torch.tensor([[1.0], [2], [3], [4]]))
        for unit, zeros in enumerate((20, 5, 20, 0)):
            wide[2].weight[:zeros, unit] = 0
    assert remove_dead_units(wide, called((1,)))[0].weight.flatten().tolist() == [4, 2, 1, 3]


@pytest.mark.slow
def test_file_of_the_smaller_model_agrees(tmp_path: Path):
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )
    with torch.no_grad():
        model[0].weight[:4], model[0].bias[:4] = 0, -1
    task = called((1, 6, 6))
    small = remove_dead_units(model, task)
    assert kit.parameter_bytes(small) == 4 * (2 * 9 + 2 + 3 * 8 + 3)
    kit.write(small, task, tmp_path / "small.shoe")
    (x,), _ = task.call()  # type: ignore[attr-defined]
    torch.testing.assert_close(
        torch.from_numpy(load(tmp_path / "small.shoe")(x)),
        answers(model, task)[0],
        rtol=1e-4,
        atol=1e-5,
    )


@settings(max_examples=repetitions(6, 25), deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 0.98), st.booleans())
def test_sparse_networks_give_the_same_answers(seed: int, sparsity: float, normed: bool):
    with seeded(seed):
        widths = [int(one) for one in torch.randint(1, 9, (4,))]
        layers: list[nn.Module] = []
        for a, b in zip(widths, [*widths[1:], 3], strict=True):
            layers += [
                nn.Linear(a, b),
                *([nn.BatchNorm1d(b)] if normed else []),
                [nn.ReLU(), nn.Sigmoid()][b % 2],
            ]
        model, task = nn.Sequential(*layers), called((widths[0],))
        with torch.no_grad():
            for one in model.parameters():
                one.masked_fill_(torch.rand(one.shape) < (sparsity if one.ndim == 2 else 0.3), 0)
    small = remove_dead_units(model, task)
    assert_same(model, small, task)
    assert sum(map(Tensor.numel, small.parameters())) <= sum(map(Tensor.numel, model.parameters()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equal(state(remove_dead_units(small, task)), state(small))  # nothing is left to do


@pytest.mark.by_default("mlp", "convolutions", "lstm", "attention", "tied")
@pytest.mark.parametrize(
    "animal", [one for one in ZOO if one.name not in ("bert", "gpt2")], ids=lambda one: one.name
)
def test_models_of_every_kind(animal: Animal):
    """Half of the rows and columns of each matrix are zero; the answers must stay."""
    model, task = animal()
    with torch.no_grad():
        for one in parameters_of(model):
            if (
                one.is_parameter
                and one.raw.is_floating_point()
                and one.raw.ndim > 1
                and not one.is_foreign
            ):
                one.raw[: len(one.raw) // 2] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)
        small = remove_dead_units(model, task)
    args, kwargs = task.example()
    bare = Calls(tuple(args), dict(kwargs))
    for one, two in zip(answers(model, bare), answers(small, bare), strict=True):
        torch.testing.assert_close(
            one, two, rtol=1e-2 if one.dtype == torch.float16 else 1e-4, atol=1e-5
        )


def test_units_of_branches_go_when_nothing_reads_them():
    model, task = Residual(), called((3, 8, 8))
    with torch.no_grad():
        model.head.weight[:, :3] = 0
        model.conv.weight[:, 1:5] = 0  # of the two layers that read the sum, both leave out 1 and 2
    small = remove_dead_units(model, task)
    assert (
        small.conv.weight.shape == (6, 6, 3, 3)
        and small.norm.num_features == small.head.in_features == 6
    )
    assert_same(model, small, task)


class ByIndex(nn.Module):
    """forward() reads one hidden unit by its index, beside the layer that reads all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        return self.last(hidden) + 5 * hidden[:, 3:4]


class ByThreshold(ByIndex):
    """forward() reads a unit through a step that the example's rows do not reach."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        return self.last(hidden) + (hidden > 2).float().sum(1, keepdim=True)


@pytest.mark.parametrize("kind", [ByIndex, ByThreshold])
def test_a_unit_that_no_layer_reads_stays_where_a_function_does(kind: type[ByIndex]):
    with seeded(0):
        model, x = kind().eval(), torch.randn(500, 6) * 2
    with torch.no_grad():
        model.last.weight[:, [1, 5]] = 0
        model.first.bias -= 1.5
        expected = model(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)
            smaller = remove_dead_units(model, classified((6,)))
        assert torch.allclose(smaller(x), expected, atol=1e-5)
