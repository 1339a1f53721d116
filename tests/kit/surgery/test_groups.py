"""What belongs together, on networks small enough to say by hand what should."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo import Calls, Language, Residual

from shoestring import kit
from shoestring.core import Task, Vary, seeded
from shoestring.kit import SkippedWarning, bake, clone, parameters_of
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.surgery.groups import DependencyGroups
from shoestring.kit.surgery.removing import check, removed, without
from shoestring.models import LeNet5, MobileNet, ResNet20, TextEncoder


def called(*shapes: tuple[int, ...]) -> Task:
    with seeded(1):
        return Calls(tuple(torch.randn(3, *shape) for shape in shapes), {})


def shaped(model: nn.Module, groups: DependencyGroups) -> list[dict[str, tuple[int, int]]]:
    """Of each group, the (axis, slices of one unit) of each parameter.

    Running statistics go with the norm's.
    """
    parameters = parameters_of(model)
    return [
        {
            parameters[index].name: (axis, own.shape[1])
            for (index, axis), own in group.slices.items()
            if parameters[index].is_parameter
        }
        for group in groups.groups
    ]


def zeroed(model: nn.Module, groups: DependencyGroups, gone: list[Tensor]) -> nn.Module:
    """A plain copy of the model with zeros where layers read these units of each group."""
    model = bake(clone(model))
    for group, units in zip(groups.groups, gone, strict=True):
        for index, axis in group.reads:
            raw = parameters_of(model)[index].raw.data
            raw.index_fill_(axis, group.slices[index, axis][units].flatten(), 0)
    return model


def assert_as_if_unread(
    model: nn.Module, task: Task, groups: DependencyGroups, gone: list[Tensor]
) -> nn.Module:
    """Without units a model answers as it does when nothing reads them."""
    small = without(model, groups, gone).eval()
    args, _ = task.call()  # type: ignore[attr-defined]
    with torch.no_grad():
        expected, got = zeroed(model, groups, gone).eval()(*args), bake(clone(small))(*args)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    return small


def first_and_last(groups: DependencyGroups) -> list[Tensor]:
    return [torch.tensor([0, len(group) - 1][: len(group) - 1]) for group in groups.groups]


def unsettled(model: nn.Module) -> nn.Module:
    """With batch norms that have seen something."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            for one in (part.running_mean, part.running_var, part.weight, part.bias):
                assert one is not None
                nn.init.uniform_(one, 0.5, 1.5)
    return model


def test_a_residual_sum_takes_the_channels_of_both_branches():
    model, task = Residual(), called((3, 8, 8))
    groups = dependency_groups(model, task, who="test")
    (group,) = groups.groups
    assert (group.name, group.layers, len(group), group.are_parts) == (
        "stem",
        ("stem", "conv"),
        8,
        False,
    )
    assert shaped(model, groups) == [
        {
            "stem.weight": (0, 1),
            "norm.weight": (0, 1),
            "norm.bias": (0, 1),
            "conv.weight": (1, 1),
            "norm2.weight": (0, 1),
            "norm2.bias": (0, 1),
            "head.weight": (1, 1),
        }
    ]
    small = assert_as_if_unread(unsettled(model), task, groups, [torch.tensor([1, 4, 5])])
    assert (
        small.conv.weight.shape == (5, 5, 3, 3)
        and small.head.in_features == small.norm2.num_features == 5
    )
    # 5 positions fewer in and out: 64 positions of 3·3·(3·8 + 8·8) products, 8·4 in the head, for
    # three examples.
    assert groups.products(parameters_of(model)) == 3 * (64 * 9 * (3 * 8 + 8 * 8) + 8 * 4)
    assert groups.products(parameters_of(model), [torch.tensor([1, 4, 5])]) == 3 * (
        64 * 9 * (3 * 5 + 5 * 5) + 5 * 4
    )
    assert kit.parameter_bytes(small) < kit.parameter_bytes(model)


def test_depthwise_convolutions_go_with_what_they_read():
    model = nn.Sequential(
        nn.Conv2d(2, 6, 1),
        nn.ReLU6(),
        nn.Conv2d(6, 12, 3, groups=6),
        nn.BatchNorm2d(12),
        nn.Hardswish(),
        nn.Conv2d(12, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    task = called((2, 6, 6))
    groups = dependency_groups(model, task, who="test")
    assert [(group.name, len(group)) for group in groups.groups] == [("0", 6), ("5", 4)]
    assert shaped(model, groups)[0] == {
        "0.weight": (0, 1),
        "0.bias": (0, 1),
        "2.weight": (0, 2),
        "2.bias": (0, 2),
        "3.weight": (0, 2),
        "3.bias": (0, 2),
        "5.weight": (1, 2),
    }
    small = assert_as_if_unread(
        unsettled(model), task, groups, [torch.tensor([0, 2]), torch.tensor([3])]
    )
    assert (small[2].groups, small[2].in_channels, small[2].out_channels) == (4, 4, 8)
    assert torch.equal(small[2].weight, model[2].weight[[2, 3, 6, 7, 8, 9, 10, 11]])


def test_groups_of_a_convolution_lose_a_channel_each():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2), nn.Conv2d(12, 1, 1)
    )
    groups = dependency_groups(model, called((1, 8, 8)), who="test")
    assert [(one.name, len(one)) for one in groups.groups] == [("0", 4), ("2", 6)]
    assert groups.groups[0].slices[1, 0].tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    small = assert_as_if_unread(
        model, called((1, 8, 8)), groups, [torch.tensor([1]), torch.tensor([0, 5])]
    )
    assert small[2].weight.shape == (8, 3, 3, 3) and (small[2].in_channels, small[2].groups) == (
        6,
        2,
    )


def test_groups_that_are_left_with_one_channel_each_stay_as_many():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=4), nn.ReLU(), nn.Conv2d(12, 1, 1)
    )
    groups = dependency_groups(model, called((1, 8, 8)), who="test")
    assert [(one.name, len(one)) for one in groups.groups] == [("0", 2), ("2", 3)]
    small = assert_as_if_unread(
        model, called((1, 8, 8)), groups, [torch.tensor([0]), torch.tensor([1])]
    )
    assert (small[2].groups, small[2].in_channels, small[2].out_channels) == (4, 4, 8)


def test_groups_of_a_norm_go_as_wholes():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 1, 1))
    groups = dependency_groups(model, called((1, 8, 8)), who="test")
    small = assert_as_if_unread(model, called((1, 8, 8)), groups, [torch.tensor([1])])
    assert (small[1].num_groups, small[1].num_channels) == (3, 6)


def test_answers_that_are_ruled_out_do_not_hide_a_difference_in_the_others():
    class Ruled(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).masked_fill(torch.tensor([True, False]).view(2, 1, 1), -1e9)

    model = Ruled(nn.Conv2d(1, 16, 3), nn.GroupNorm(4, 16), nn.ReLU(), nn.Conv2d(16, 2, 1))
    groups = dependency_groups(model, called((1, 8, 8)), who="test")
    small = without(model, groups, [torch.tensor([1])])
    assert (small[1].num_groups, small[1].num_channels) == (
        3,
        12,
    )  # four groups of three would do for torch, and be another norm


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(7), nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.head(self.norm(torch.cat([x, self.b(x)], 1)).mean((2, 3)))


def test_what_is_concatenated_keeps_its_own_places():
    model, task = Dense(), called((1, 6, 6))
    groups = dependency_groups(model, task, who="test")
    found = parameters_of(model)
    head = next(index for index, one in enumerate(found) if one.name == "head.weight")
    assert [one.slices[head, 1].flatten().tolist() for one in groups.groups] == [
        [0, 1, 2, 3],
        [4, 5, 6],
    ]
    small = assert_as_if_unread(
        unsettled(model), task, groups, [torch.tensor([0, 1]), torch.tensor([1])]
    )
    assert (
        torch.equal(small.head.weight, model.head.weight[:, [2, 3, 4, 6]])
        and small.norm.num_features == 4
    )


def test_flattening_gives_a_channel_several_columns():
    model, task = LeNet5(), called((1, 28, 28))
    groups = dependency_groups(model, task, who="test")
    assert [(one.name, len(one)) for one in groups.groups] == [
        ("layers.0", 20),
        ("layers.2", 50),
        ("layers.5", 500),
    ]
    assert shaped(model, groups)[1] == {
        "layers.2.weight": (0, 1),
        "layers.2.bias": (0, 1),
        "layers.5.weight": (1, 16),
    }
    small = assert_as_if_unread(
        model, task, groups, [torch.arange(4), torch.arange(40, 50), torch.arange(100)]
    )
    assert torch.equal(small.layers[5].weight, model.layers[5].weight[100:, :640])


def test_the_heads_of_an_attention_and_the_width_within():
    with seeded(0):
        model = TextEncoder(20, width=12, layers=1, heads=3, hidden=10, length=9)
    task = Calls((torch.randint(1, 20, (3, 7)),), {})
    groups = dependency_groups(model, task, who="test")
    heads, hidden = groups.groups  # the width of the states stays: norms mix it
    assert (heads.name, len(heads), heads.are_parts) == ("layers.0.attention.query", 3, True)
    part = {
        f"layers.0.attention.{name}.{what}": (0, 4)
        for name in ("query", "key", "value")
        for what in ("weight", "bias")
    }
    assert shaped(model, groups)[0] == {**part, "layers.0.attention.output.weight": (1, 4)}
    assert (hidden.name, len(hidden), hidden.are_parts) == ("layers.0.forward_part.0", 10, False)
    small = assert_as_if_unread(model, task, groups, [torch.tensor([1]), torch.tensor([0, 9])])
    assert small.layers[0].attention.query.weight.shape == (8, 12)


@pytest.mark.by_default("resnet")
@pytest.mark.parametrize("make", [lambda: ResNet20(4), MobileNet], ids=["resnet", "mobilenet"])
def test_networks_for_pictures_lose_channels_in_every_layer(make):
    model, task = unsettled(make()), called((3, 16, 16))
    groups = dependency_groups(model, task, who="test")
    gives = {name for group in groups.groups for name in group.layers}
    assert gives == {name for name, part in model.named_modules() if isinstance(part, nn.Conv2d)}
    small = assert_as_if_unread(model, task, groups, first_and_last(groups))
    assert groups.after(parameters_of(model), first_and_last(groups)).products(
        parameters_of(small)
    ) == groups.products(parameters_of(model), first_and_last(groups))
    again = dependency_groups(small, task, who="test")
    assert [len(one) for one in again.groups] == [
        len(one) for one in groups.after(parameters_of(model), first_and_last(groups)).groups
    ]


@pytest.mark.slow
def test_a_smaller_file_goes_back_into_the_class(tmp_path: Path):
    for model, shape in ((ResNet20(4), (3, 16, 16)), (MobileNet(), (3, 16, 16))):
        task = called(shape)
        groups = dependency_groups(unsettled(model), task, who="test")
        small = without(model, groups, first_and_last(groups)).eval()
        kit.write(small, task, tmp_path / "small.shoe")
        back = kit.restore(tmp_path / "small.shoe", type(model)()).eval()
        args, _ = task.call()  # type: ignore[attr-defined]
        with torch.no_grad():
            torch.testing.assert_close(back(*args), small(*args))


class Counted(nn.Module):
    """An attention that has the numbers of its heads and of its width written down."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 4, 16
        self.mixed, self.out = nn.Linear(8, 48), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            one.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for one in self.mixed(x).split(self.width, -1)
        )
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def test_numbers_of_heads_that_modules_hold_are_changed_too():
    model, task = Counted(), called((5, 8))
    groups = dependency_groups(model, task, who="test")
    small = assert_as_if_unread(model, task, groups, [torch.tensor([0, 3])])
    assert (small.heads, small.width, small.mixed.out_features, small.out.in_features) == (
        2,
        8,
        24,
        8,
    )
    assert (model.heads, model.width) == (4, 16)


def test_a_group_that_can_go_is_tried_once(monkeypatch: pytest.MonkeyPatch):
    tried: list[str] = []
    monkeypatch.setattr(
        "shoestring.kit.surgery.finding.check",
        lambda *known: tried.append(known[3].groups[0].name) or check(*known),
    )
    assert len(dependency_groups(LeNet5(), called((1, 28, 28)), who="test").groups) == 3
    assert tried == ["layers.0", "layers.2", "layers.5"]


class Written(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x).relu().view(-1, 6)).relu())


def test_a_size_written_into_forward_is_skipped_by_name():
    with pytest.warns(
        SkippedWarning, match=r"test skipped a: without one of its 6 units.*x\.flatten\(1\)"
    ):
        groups = dependency_groups(Written(), called((4,)), who="test")
    assert [one.name for one in groups.groups] == ["b"]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda model: model[2].requires_grad_(False), "test skipped 2: frozen"),
        (
            lambda model: nn.utils.parametrizations.weight_norm(model[2]),
            "test skipped 2.parametrizations.weight: parametrized by",
        ),
        (lambda model: setattr(model[4], "weight", model[2].weight), "test skipped 2, 4: tied"),
    ],
)
def test_frozen_foreign_and_tied_weights_stay_and_are_named(break_it, said: str):
    model = nn.Sequential(
        nn.Linear(3, 4),
        nn.ReLU(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Linear(4, 2),
    )
    break_it(model)
    with pytest.warns(SkippedWarning, match=said):
        groups = dependency_groups(model, called((3,)), who="test")
    assert {"2"}.isdisjoint(name for one in groups.groups for name in one.layers)


def test_an_embedding_that_scales_its_rows_keeps_its_columns():
    class Scaled(nn.Sequential):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids).mean(1)

    with seeded(0):
        model = Scaled(
            nn.Embedding(9, 8, max_norm=1.0), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)
        )
        task = Calls((torch.randint(0, 9, (3, 4)),), {})
    with pytest.warns(SkippedWarning, match="test skipped 0: its rows are scaled to a norm"):
        groups = dependency_groups(model, task, who="test")
    small, _ = removed(model, task, groups, [torch.tensor([0])], who="test")
    assert [one.name for one in groups.groups] == ["1"] and small[1].out_features == 5


def test_models_and_layers_that_cannot_be_followed_are_named():
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    with pytest.warns(
        SkippedWarning, match=r"test skipped the model: it does not run .*RuntimeError: no"
    ):
        assert not dependency_groups(Fails(), called((3,)), who="test").groups
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 6, batch_first=True), nn.Linear(8, 2))
    with pytest.warns(
        SkippedWarning,
        match=r"skipped 0.self_attn, 0.self_attn.out_proj: what it computes does not keep "
        r"channels apart",
    ):
        assert [
            one.name for one in dependency_groups(model, called((5, 8)), who="test").groups
        ] == ["0.linear1"]
    with pytest.warns(SkippedWarning, match="test skipped embedding, head: tied"):
        assert not dependency_groups(
            Language(), Calls((torch.randint(0, 40, (3, 8)),), {}), who="test"
        ).groups


@dataclass
class Answer:
    logits: Tensor


class Answering(nn.Module):
    """Two layers, the answer wrapped by a function.

    In training also `besides`, which reads what the first gives.
    """

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.a, self.b, self.besides, self.wrap = (
            nn.Linear(3, 6),
            nn.Linear(6, 4),
            nn.Linear(6, 4),
            wrap,
        )

    def forward(self, x: Tensor) -> Any:
        x = self.a(x).relu()
        return self.wrap(self.b(x) + self.besides(x) if self.training else self.b(x))


@pytest.mark.parametrize("wrap", [Answer, lambda x: (x, Answer(x)), lambda x: None])
def test_a_model_that_returns_something_else_than_tensors_is_left_alone(
    wrap: Callable[[Tensor], Any],
):
    with pytest.warns(
        SkippedWarning,
        match=r"test skipped the model: it returns (Answer|NoneType): have forward\(\) return",
    ):
        assert not dependency_groups(Answering(wrap), called((3,)), who="test").groups


def test_layers_that_only_training_calls_keep_what_they_read():
    with pytest.warns(SkippedWarning) as caught:
        assert not dependency_groups(Answering(lambda x: x), called((3,)), who="test").groups
    said = (
        "test skipped a: without one of its 6 units the model fails in training (RuntimeError: mat1"
    )
    assert any(str(one.message).startswith(said) for one in caught)
    model = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 4), nn.BatchNorm1d(4))
    task = Calls(
        (Vary(torch.randn(1, 3), {}),), {}
    )  # one example: in training no batch norm can have it, thin or not
    assert [one.name for one in dependency_groups(model, task, who="test").groups] == ["0"]


class Own(nn.Module):
    """With a scale for each channel of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.scale = (
            nn.Conv2d(1, 6, 1),
            nn.Conv2d(6, 2, 1),
            nn.Parameter(torch.rand(6, 1, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x) * self.scale)


def test_weights_that_are_cut_are_not_said_to_stay():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = dependency_groups(Own(), called((1, 4, 4)), who="test")
    assert assert_as_if_unread(
        Own(), called((1, 4, 4)), groups, [torch.tensor([2])]
    ).scale.shape == (5, 1, 1)
    model = Own()
    model.scale = nn.Parameter(torch.rand(4, 4))  # one for each position, and none for a channel
    with pytest.warns(
        SkippedWarning, match="test skipped scale: what it computes does not keep channels apart"
    ):
        dependency_groups(model, called((1, 4, 4)), who="test")


def test_only_and_keep_name_layers():
    model, task = LeNet5(), called((1, 28, 28))
    assert [
        one.name for one in dependency_groups(model, task, ("layers.2",), who="test").groups
    ] == ["layers.2"]
    assert [
        one.name for one in dependency_groups(model, task, (), ("layers.[25]",), who="test").groups
    ] == ["layers.0"]
    assert not dependency_groups(
        Residual(), called((3, 8, 8)), (), ("conv",), who="test"
    ).groups  # the stem's channels are its own
    with pytest.raises(
        ValueError,
        match=r"only= names 'layer.2', and there is no such layer; there are layers.2, layers.5",
    ):
        dependency_groups(model, task, ("layer.2",), who="test")


def test_states_are_cut_along():
    model, task = LeNet5(), called((1, 28, 28))
    by_name = {one.name: one for one in parameters_of(model)}
    mask = torch.rand(50, 20, 5, 5) < 0.5
    by_name["layers.2.weight"].prune(mask)
    indices = torch.arange(500 * 800).view(500, 800) % 7
    by_name["layers.5.weight"].share(torch.linspace(-1, 1, 7), indices)
    by_name["layers.0.weight"].round(torch.linspace(0.01, 0.2, 20).view(-1, 1, 1, 1))
    groups = dependency_groups(model, task, who="test")
    small = assert_as_if_unread(
        model, task, groups, [torch.tensor([0, 1]), torch.tensor([49]), torch.tensor([3])]
    )
    states = {one.name: one.state for one in parameters_of(small)}
    assert torch.equal(states["layers.2.weight"].mask, mask[:49, 2:])
    keep = [row for row in range(500) if row != 3]
    assert torch.equal(states["layers.5.weight"].indices.long(), indices[keep, :784])
    assert torch.allclose(
        states["layers.0.weight"].scale.flatten(), torch.linspace(0.01, 0.2, 20)[2:]
    )


def test_units_that_nothing_reads_go_without_loss():
    model, task = unsettled(Residual()), called((3, 8, 8))
    with torch.no_grad():
        model.conv.weight[:, [2, 5]] = 0
        model.head.weight[:, [2, 5, 6]] = 0
    groups = dependency_groups(model, task, who="test")
    gone = [torch.tensor([2, 5])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small, after = removed(model, task, groups, gone, who="test")
    args, _ = task.call()  # type: ignore[attr-defined]
    with torch.no_grad():
        torch.testing.assert_close(
            clone(small).eval()(*args), clone(model).eval()(*args), rtol=1e-4, atol=1e-5
        )
    assert len(after.groups[0]) == 6 and small.training
