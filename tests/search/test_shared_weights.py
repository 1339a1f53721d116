"""Shared weights: which parameters share, slices by hand, and against plain copies."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import SkippedWarning
from shoestring.search import (
    Architecture,
    Block,
    CellNetwork,
    Cells,
    Convolution,
    GroupedShuffled,
    Head,
    NetworkStage,
    Ngrams,
    Operation,
    Role,
    Separable,
    Shortcut,
    Space,
    StageNetwork,
    Stages,
    Tables,
)
from shoestring.search.shared_weights import SharedWeights, slots_of

SMALL = Cells(channels=1, blocks=2, widths=(8, 16), depths=(1, 2), sizes=2)


@dataclass(frozen=True)
class Made(Architecture):
    """A network from the text of its layers."""

    layers: str
    parts: Mapping[str, Role] = field(default_factory=dict, hash=False)

    def code(self) -> str:
        return (
            "from torch import nn\n\n\nclass Network(nn.Module):\n    def __init__(self):\n"
            f"        super().__init__()\n        self.layers = {self.layers}\n\n"
            "    def forward(self, x):\n        return self.layers(x)\n"
        )

    def roles(self) -> Mapping[str, Role]:
        return self.parts


def keys(architecture: Architecture) -> list[str]:
    slots = slots_of(architecture, architecture.network())
    return [part.key for slot in slots for part in slot.parts]


def cells(operation: Operation, *, width: int = 8, depth: int = 1) -> CellNetwork:
    block = (Block(0, 1, operation, Convolution(3)),)
    return CellNetwork(
        normal=block, reduction=block, width=width, depth=depth, sizes=2, channels=1, classes=4
    )


def test_a_narrow_network_is_the_first_channels_of_a_wide_one():
    """By hand: a layer from 2 to 3 numbers, of which another network has 2 to 1."""
    narrow, wide = Made("nn.Linear(2, 1)"), Made("nn.Linear(2, 3)")
    shared = SharedWeights([narrow, wide])
    weight, bias = sorted(shared.parameters(), key=lambda one: -one.ndim)
    with torch.no_grad():
        weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        bias.copy_(torch.tensor([10.0, 20.0, 30.0]))
    x = torch.tensor([[1.0, 1.0]])
    shared.walk(wide)
    assert shared(x).tolist() == [[13.0, 27.0, 41.0]]
    shared.walk(narrow)
    shared(x).sum().backward()
    assert shared(x).tolist() == [[13.0]]
    assert weight.grad is not None and weight.grad.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert shared.users == dict.fromkeys(shared.users, 2)


def test_maps_side_by_side_have_weights_of_their_own():
    """By hand: one network reads a and c, the other b and c; what they share is that of c."""

    def reads(*maps: str) -> Made:
        return Made("nn.Linear(2, 1, bias=False)", {"layers": Role("head", maps)})

    shared = SharedWeights([reads("a", "c"), reads("b", "c")])
    assert sorted(shared.users.values()) == [1, 1, 2]
    with torch.no_grad():
        for key, weight in shared.weights.items():
            weight.fill_({"a": 1.0, "b": 10.0, "c": 100.0}[key[-1]])
    for maps, expected in ((("a", "c"), 301.0), (("b", "c"), 310.0), (("c", "b"), 130.0)):
        shared.walk(reads(*maps))
        assert shared(torch.tensor([[1.0, 3.0]])).item() == expected
        assert shared.network(reads(*maps))(torch.tensor([[1.0, 3.0]])).item() == expected


def test_maps_of_other_widths_are_divided_where_they_begin():
    """By hand: a of 1 channel and b of 2, and the other way round."""

    def reads(a: int, b: int) -> Made:
        role = Role("head", ("a", "b"), (a, b))
        return Made(f"nn.Linear({a + b}, 1, bias=False)", {"layers": role})

    shared = SharedWeights([reads(1, 2), reads(2, 1)])
    with torch.no_grad():
        for key, weight in shared.weights.items():
            weight.copy_(torch.tensor([[1.0, 2.0] if key[-1] == "a" else [30.0, 40.0]]))
    for widths, expected in (((1, 2), [1, 30, 40]), ((2, 1), [1, 2, 30]), ((1, 1), [1, 30])):
        shared.walk(reads(*widths))
        assert shared(torch.eye(sum(widths)))[:, 0].tolist() == expected


@pytest.mark.parametrize("channels", [(), (1,), (1, 1)])
def test_maps_that_do_not_add_up_are_refused(channels: tuple[int, ...]):
    odd = Made("nn.Linear(3, 1)", {"layers": Role("head", ("a", "b"), channels)})
    with pytest.raises(ValueError, match=r"layers.weight has 3 inputs.*2 maps \(a, b\).*up to 3"):
        slots_of(odd, odd.network())


def test_networks_answer_as_copies_with_the_shared_weights():
    """In training mode, gradients too: slices against a network with its own copy of them."""
    draw, images = random.Random(0), torch.rand(4, 1, 9, 9)
    drawn = [SMALL.made(SMALL.drawn(draw)) for _ in range(12)]
    with seeded(0):
        shared = SharedWeights(drawn)
    for architecture in drawn[:4]:
        shared.zero_grad()
        shared.walk(architecture)
        ours = shared(images)
        ours.square().sum().backward()
        own = shared.network(architecture)
        theirs = own(images)
        theirs.square().sum().backward()
        torch.testing.assert_close(ours, theirs)
        total = sum(float(one.grad.abs().sum()) for one in own.parameters() if one.grad is not None)
        found = [one.grad for one in shared.parameters() if one.grad is not None]
        assert sum(float(one.abs().sum()) for one in found) == pytest.approx(total, rel=1e-3)
        assert 0 < len(found) < len(shared.weights)


TABLES = Tables(sizes=(3, 9), mean=(0.0, 1.0, 2.0), deviation=(1.0,) * 3)
"""Embeddings of 1 to 16 numbers, before three numbers that are in every table."""


@pytest.mark.parametrize(
    ("space", "inputs"),
    [
        (Stages(height=16, width=16), (torch.rand(4, 3, 16, 16),)),
        (Ngrams(ids=50), (torch.randint(0, 50, (4, 9)),)),
        (TABLES, (torch.randint(0, 3, (5, 2)), torch.rand(5, 3))),
    ],
)
def test_networks_of_other_spaces_answer_as_copies(space: Space, inputs: tuple[Tensor, ...]):
    draw = random.Random(0)
    drawn = [space.made(space.drawn(draw)) for _ in range(30)]
    shared = SharedWeights(drawn)
    for architecture in drawn[:6]:
        found = keys(architecture)
        assert len(found) == len(set(found))
        shared.walk(architecture)
        own, answers = shared.network(architecture), list[Tensor]()
        for network in (shared, own):
            with seeded(0):  # some drop ids
                answers.append(network(*inputs))
        torch.testing.assert_close(*answers)
    assert sum(count > 1 for count in shared.users.values()) > len(shared.users) / 2


def test_stages_share_by_stage_layer_and_operation():
    """Also where an earlier stage has another number of layers, and with a shortcut."""

    def stages(layers: int, shortcut: Shortcut) -> StageNetwork:
        first = NetworkStage(Convolution(3), layers, 8)
        return StageNetwork(
            first=4, stride=1, stages=(first, NetworkStage(Separable(3), 2, 8, 1, shortcut)),
            head=Head.MEAN, channels=3, classes=4, height=16, width=16,
        )  # fmt: skip

    one, two = (set(keys(stages(*how))) for how in ((1, Shortcut.NONE), (2, Shortcut.IDENTITY)))
    assert one < two and all("stage 1, layer 2" in key for key in two - one)


def test_numbers_of_a_table_share_whatever_the_width_of_embeddings():
    found = list[str]()
    for width in range(5):
        architecture = TABLES.made((0, width, 1, 1, 0, 0))
        found += [key for key in keys(architecture) if "from numbers" in key]
    assert len(found) == 5 and len(set(found)) == 1


def test_each_parameter_of_a_network_of_cells_has_a_weight_of_its_own():
    draw = random.Random(1)
    for _ in range(12):
        found = keys(SMALL.made(SMALL.drawn(draw)))
        assert len(found) == len(set(found))


def test_cells_share_by_place_and_operation():
    """Whatever the depth and the width; not where the operation is another one."""
    one, two = set(keys(cells(Separable(3)))), set(keys(cells(Separable(3), depth=2)))
    # A reduction after one normal cell reads the first convolution, after two a normal cell.
    assert one - two == {"size 2, reduction, before 0 weight (4 axes, 1, 1) from first"}
    assert any("normal cell 2" in key for key in two - one)
    assert one == set(keys(cells(Separable(3), width=16)))
    for other in (Separable(5), Separable(3, dilation=2), GroupedShuffled(4), Convolution(3)):
        only = one - set(keys(cells(other)))
        assert only and all("left: Separable(size=3, dilation=1)" in key for key in only)


def test_without_roles_names_and_kinds_tell():
    small, large = "nn.Conv2d(1, 4, 3)", "nn.Conv2d(1, 8, 3)"
    assert keys(Made(small)) == keys(Made(large))
    for other in ("nn.Conv2d(1, 4, 5)", "nn.Conv2d(1, 4, 3, dilation=2)", "nn.Conv1d(1, 4, 3)"):
        assert not set(keys(Made(other))) & set(keys(Made(small)))
    assert keys(Made("nn.Embedding(9, 2)")) != keys(Made("nn.Embedding(8, 2)"))
    # A batch norm belongs to what is beside it.
    with_norm = "nn.Sequential(nn.Conv2d(4, 4, 3, groups={}), nn.BatchNorm2d(4))"
    assert not set(keys(Made(with_norm.format(4)))) & set(keys(Made(with_norm.format(1))))


def test_shapes_of_which_none_is_the_largest():
    shared = SharedWeights([Made("nn.Linear(1, 3)"), Made("nn.Linear(2, 2)")])
    assert sorted(tuple(one.shape) for one in shared.parameters()) == [(3,), (3, 2)]


def test_tied_parameters_stay_tied():
    tied = Made("nn.Sequential(*[nn.Linear(2, 2, bias=False)] * 2)")
    shared = SharedWeights([tied])
    assert len(shared.weights) == 1
    shared.walk(tied)
    (weight,) = shared.parameters()
    x = torch.rand(3, 2)
    torch.testing.assert_close(shared(x), x @ weight.T @ weight.T)


def test_walking_draws_no_random_numbers():
    shared = SharedWeights([cells(Separable(3))])
    with seeded(3):
        expected = torch.rand(4)
    with seeded(3):
        shared.walk(cells(Separable(3)))
        assert torch.equal(torch.rand(4), expected)


def test_what_is_lacking_is_said_and_begins_anew():
    shared = SharedWeights([Made("nn.Linear(2, 1)")])
    with pytest.warns(SkippedWarning, match="lack 2 that this network has, such as 'layers bias"):
        network = shared.network(Made("nn.Linear(2, 3)"))
    own = network.state_dict()["layers.weight"]
    (weight,) = [one for one in shared.parameters() if one.ndim == 2]
    assert torch.equal(own[:1], weight) and own[1:].abs().min() > 0
    with pytest.warns(SkippedWarning, match="lack"):
        other = shared.network(Made("nn.Conv2d(1, 1, 1)"))
    assert isinstance(other, nn.Module) and isinstance(other(torch.rand(1, 1, 2, 2)), Tensor)
