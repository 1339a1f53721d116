"""The ShuffleNets: parameters as published, the shuffle by hand, what goes through the units."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, write
from shoestring.models import ShuffleNet, ShuffleNetV2
from shoestring.models.normalised import Normalised
from shoestring.models.shuffle import shuffled

SMALL = {
    "v1": lambda: ShuffleNet(48, 3, repeats=(2, 2, 2)),
    "v2": lambda: ShuffleNetV2(24, features=64, repeats=(2, 2, 2)),
}


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_shuffle_by_hand():
    channels = torch.arange(6.0).view(1, 6, 1, 1)
    assert shuffled(channels, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert shuffled(channels, 1).flatten().tolist() == [0, 1, 2, 3, 4, 5]
    pixels = torch.rand(2, 4, 3, 5)
    assert torch.equal(shuffled(pixels, 2), pixels[:, [0, 2, 1, 3]])


def test_parameters_as_published():
    for network in (ShuffleNet, ShuffleNetV2):
        told = " ".join((network.__doc__ or "").split())
        assert f"{count(network()):,} parameters" in told
    # Ma et al. 2018, table 7: 2.3 million at 1×, 1.4 at 0.5×, 3.5 at 1.5× and 7.4 at 2×.
    for width, features, millions in (
        (116, 1024, 2.3), (48, 1024, 1.4), (176, 1024, 3.5), (244, 2048, 7.4)
    ):  # fmt: skip
        model = ShuffleNetV2(width, 1000, features=features, halvings=2)
        assert count(model) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    ("width", "groups", "published"),
    [(144, 1, 143), (200, 2, 140), (240, 3, 137), (272, 4, 133), (384, 8, 137)],
)
def test_multiplications_as_published(width: int, groups: int, published: int):
    """Zhang et al. 2018, table 2, millions at 224×224."""
    model, total = ShuffleNet(width, groups, 1000, halvings=2).eval(), 0

    def counted(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        weights = layer.weight[0].numel()  # pyright: ignore
        total += weights * output[0].numel()

    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(counted)
    with torch.no_grad():
        assert model(torch.rand(1, 3, 224, 224)).shape == (1, 1000)
    assert total / 1e6 == pytest.approx(published, abs=2)


@pytest.mark.parametrize("kind", SMALL)
def test_shapes_and_gradients(kind: str):
    with seeded(0):
        model = SMALL[kind]()
        images = torch.rand(3, 3, 32, 32)
    model.train()(images).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    logits = model(images)
    assert logits.shape == (3, 10)
    torch.testing.assert_close(model(images[:1]), logits[:1], rtol=1e-4, atol=1e-5)


def test_every_output_of_two_units_sees_every_group():
    """Without the shuffle, a channel would see only those of its own group."""
    with seeded(0):
        units = ShuffleNet(48, 3, repeats=(3, 1, 1)).eval().units[1:3]
        features = torch.rand(1, 48, 4, 4, requires_grad=True)
    seen = torch.autograd.grad(units(features)[0, 5, 1, 1], features)[0].abs().sum((0, 2, 3))
    assert all(group.sum() > 0 for group in seen.chunk(3))


def test_a_unit_of_the_second_leaves_half_of_the_channels():
    unit = ShuffleNetV2(24, repeats=(2, 1, 1)).eval().units[1]
    features = torch.rand(2, 24, 4, 4)
    assert torch.equal(unit(features)[:, ::2], features[:, :12])


def test_the_published_beginning_and_other_images():
    grey = Normalised((0.5,), (0.25,))
    for make in (ShuffleNet, ShuffleNetV2):
        model = make(48, classes=7, halvings=2, normalise=grey).eval()
        assert model(torch.rand(2, 1, 64, 64)).shape == (2, 7)
        assert model.first(torch.zeros(1, 1, 64, 64)).shape == (1, 24, 16, 16)


def test_sizes_that_do_not_fit_are_told_with_the_nearest_that_do():
    for wrong, said in (
        (lambda: ShuffleNet(100, 3), r"100 is no multiple of 12.*width=96 or width=108"),
        (lambda: ShuffleNet(5, 3), r"5 is no multiple of 12.*give width=12$"),
        (lambda: ShuffleNet(24, 3), r"width=36 or more"),
        (lambda: ShuffleNet(240, 5), r"24 channels, which 5 groups do not divide"),
        (lambda: ShuffleNet(240, 0), r"groups=0\): give an integer of 1 or more"),
        (lambda: ShuffleNet(halvings=3), r"halvings=3\): give 0"),
        (lambda: ShuffleNet(repeats=(4, 0, 4)), r"repeats=0"),
        (lambda: ShuffleNet(repeats=()), r"repeats=\(\)\): give the units of each of three"),
        (lambda: ShuffleNetV2(repeats=(4, 4)), r"repeats=\(4, 4\)"),
        (lambda: ShuffleNetV2(repeats=(1, 1, 1, 1)), r"repeats=\(1, 1, 1, 1\)"),
        (lambda: ShuffleNet(repeats=3), r"repeats=3\): give the units of each of three"),
        (lambda: ShuffleNetV2(47), r"47 is no multiple of 2.*width=46 or width=48"),
        (lambda: ShuffleNetV2(0), r"width=0\): give an integer of 1 or more"),
        (lambda: ShuffleNetV2(classes=0), r"classes=0"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_the_file_answers_alike_at_any_number_of_images(kind: str, tmp_path: Path):
    with seeded(0):
        model = SMALL[kind]().eval()
    images = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    split = (images[:4], torch.arange(4))
    write(model, Supervised(train=split, validation=split, test=split), tmp_path / "m.shoe")
    file = load(tmp_path / "m.shoe")
    with torch.no_grad():
        for some in (1, 32):
            torch.testing.assert_close(
                torch.as_tensor(file(images[:some])), model(images[:some]), rtol=1e-4, atol=1e-5
            )
