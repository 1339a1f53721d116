"""Networks of stages: sizes, shortcuts, what is left out, their code and files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, save
from shoestring.search import (
    Convolution,
    GroupedShuffled,
    Head,
    Inverted,
    NetworkStage,
    Separable,
    Shortcut,
    StageNetwork,
    Stages,
)


def plain(*stages: NetworkStage, head: Head = Head.MEAN, stride: int = 1) -> StageNetwork:
    return StageNetwork(
        first=4,
        stride=stride,
        stages=stages,
        head=head,
        channels=1,
        classes=3,
        height=9,
        width=12,
    )


def parameters(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def test_whatever_is_picked_makes_a_network():
    space, draw, sizes = Stages(channels=1, height=9, width=12), random.Random(0), set[int]()
    for _ in range(30):
        network = space.made(space.drawn(draw)).network()
        assert network(torch.rand(2, 1, 9, 12)).shape == (2, 10)
        sizes.add(parameters(network))
    assert len(sizes) > 20


@pytest.mark.parametrize(
    ("operation", "expected"),
    [  # weights of the layer from 4 to 8 channels, and two for each channel of a batch norm
        (Convolution(3), 4 * 8 * 9 + 2 * 8),
        (Separable(5), 4 * 25 + 4 * 8 + 2 * (4 + 8)),
        (Inverted(3), 4 * 12 + 12 * 9 + 12 * 8 + 2 * (12 + 12 + 8)),
        (GroupedShuffled(2), 4 * 8 // 2 + 8 * 9 + 8 * 8 // 2 + 2 * 3 * 8),
    ],
)
def test_parameters_by_hand(operation: Convolution, expected: int):
    first, head = 9 * 4 + 2 * 4, 8 * 3 + 3
    assert parameters(plain(NetworkStage(operation, 1, 8)).network()) == first + expected + head


def test_a_shortcut_adds_where_shapes_allow():
    """Of three layers the first changes the width, so that two add what they are given."""
    network = plain(NetworkStage(Inverted(2), 3, 8, 1, Shortcut.IDENTITY)).network().eval()
    layers = list(network.layers)  # type: ignore[arg-type]
    assert [type(one).__name__ for one in layers] == ["Sequential", "Added", "Added"]
    maps = torch.rand(1, 8, 5, 5)
    with torch.no_grad():
        assert torch.equal(layers[1](maps), maps + layers[1].operation(maps))
    same = plain(NetworkStage(Separable(), 1, 4, 1, Shortcut.IDENTITY)).code()
    assert "Added(separable(4, 4, 3, 1))" in same
    for stage in (
        NetworkStage(Separable(), 1, 4, 2, Shortcut.IDENTITY),
        NetworkStage(Separable(), 2, 4, 1, Shortcut.NONE),
    ):
        assert "Added" not in plain(stage).code()


def test_stages_halve_and_one_without_layers_is_left_out():
    """9×12 pixels: 5×6 after the first convolution, 3×3 after the stage, 8 channels of them."""
    kept, none = NetworkStage(Convolution(), 2, 8), NetworkStage(Inverted(2), 0, 64)
    network = plain(kept, none, head=Head.LINEAR, stride=2).network()
    assert network.head.in_features == 8 * 3 * 3  # type: ignore[union-attr]
    assert network(torch.rand(2, 1, 9, 12)).shape == (2, 3)
    code = plain(kept, none).code()
    assert "inverted" not in code and code == plain(kept).code()


def test_a_mean_takes_pictures_of_other_sizes():
    network = plain(NetworkStage(Separable(), 1, 8)).network()
    assert network(torch.rand(2, 1, 21, 6)).shape == (2, 3)


def test_small_files_lie_inside():
    """At 5 and at 4 bits, a file of 2,000 bytes has 1,800 weights, and one of 11,400 has 13,000."""
    draw = random.Random(0)
    for space, least, most in (
        (Stages(channels=1, height=32, width=20, widths=((4, 8, 12),) * 4), 1000, 1900),
        (Stages(), 8000, 13000),
    ):
        sizes = [parameters(space.made(space.drawn(draw)).network()) for _ in range(200)]
        assert any(least < size < most for size in sizes)


def test_its_repr_evaluates_to_it():
    import shoestring.search as names

    architecture = Stages().made(Stages().drawn(random.Random(1)))
    assert eval(repr(architecture), dict(vars(names))) == architecture


@pytest.mark.slow
@pytest.mark.by_default("Head.LINEAR")
@pytest.mark.parametrize("head", list(Head))
def test_files_answer_as_the_networks(head: Head, tmp_path: Path):
    images, labels = torch.rand(8, 1, 9, 12), torch.arange(8) % 3
    task = Supervised(train=(images, labels), validation=(images, labels))
    with seeded(0):
        network = plain(
            NetworkStage(GroupedShuffled(2), 1, 8, 2),
            NetworkStage(Inverted(2, 5), 2, 8, 1, Shortcut.IDENTITY),
            NetworkStage(Separable(3), 1, 12, 2),
            head=head,
        ).network()
        network(images)  # batch norms have seen something
    save(network.eval(), task, tmp_path / "found.shoe")
    with torch.no_grad():
        expected = network(images).numpy()
    np.testing.assert_allclose(load(tmp_path / "found.shoe")(images), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"firsts": (5,)}, "a width of 5: GroupedShuffled.2. has 2 groups"),
        ({"widths": ()}, "must be a stage"),
        ({"layers": (0, 1)}, "must be 1 or more"),
        ({"strides": ((1,),)}, "strides of 1 stages and widths of 4"),
        ({"first_strides": (4,)}, "stride of 4: give strides of 1 or 2"),
        ({"sizes": (4,)}, "4 pixels: give odd sizes"),
    ],
)
def test_spaces_that_make_no_networks(settings: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        Stages(**settings)  # type: ignore[arg-type]
