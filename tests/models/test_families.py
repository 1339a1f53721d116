"""Families: networks of any width for other networks' inputs and answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.models import (
    Ending,
    Images,
    NgramFamily,
    ShuffleNetFamily,
    SmallVGG,
    Texts,
    VGGFamily,
)


def seen(side: int, channels: int = 3, ending: Ending = Ending.LOGITS) -> Images:
    return Images(
        mean=(0.5,) * channels, deviation=(0.25,) * channels, side=side, classes=7, ending=ending
    )


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", [VGGFamily, ShuffleNetFamily])
@pytest.mark.parametrize(("side", "channels"), [(4, 1), (8, 2), (28, 1), (33, 3), (160, 3)])
def test_images_of_any_size_have_logits_of_their_classes(family: type, side: int, channels: int):
    model = family(images=seen(side, channels))(0.25)
    logits = model(torch.rand(2, channels, side, side + 3))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "family",
    [
        VGGFamily(images=seen(32)),
        ShuffleNetFamily(images=seen(32)),
        NgramFamily(texts=Texts(ids=50, classes=3)),
    ],
    ids=repr,
)
def test_wider_is_larger_and_a_width_of_nothing_is_refused(family):
    sizes = [count(family(width)) for width in (0.1, 0.5, 1.0, 2.0)]
    assert sizes == sorted(set(sizes))
    for width in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"Family: a width of .*: give a number above 0"):
            family(width)


def test_the_width_of_one_is_the_network_as_it_was_published():
    images = Images(
        mean=(0.4914, 0.4822, 0.4465), deviation=(0.247, 0.2435, 0.2616), side=32, classes=10
    )
    assert count(VGGFamily(images=images)(1.0)) == count(SmallVGG()) == 1_175_786


def test_large_images_are_halved_before_the_first_pair():
    assert [seen(side).halvings for side in (8, 40, 41, 80, 81, 224)] == [0, 0, 1, 1, 2, 3]
    first = next(
        part for part in VGGFamily(images=seen(160))(0.25).modules() if isinstance(part, nn.Conv2d)
    )
    assert first.stride == (4, 4) and first.kernel_size == (7, 7)


def test_inputs_are_normalised_by_the_mean_and_deviation_that_were_given():
    layers = VGGFamily(images=seen(8, 1))(0.25).layers
    assert layers[0](torch.full((1, 1, 2, 2), 0.75)).flatten().tolist() == [1.0] * 4  # type: ignore[operator]
    with pytest.raises(ValueError, match="deviations above 0"):
        Images(mean=(0.5,), deviation=(0.0,), side=8, classes=2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"side": 0}, r"Images\(side=0\): give an integer of 1 or more"),
        ({"side": -5}, r"side=-5"),
        ({"side": 2.5}, r"side=2\.5"),
        ({"classes": 0}, r"classes=0"),
        ({"mean": (float("nan"),)}, "means .nan,. .*all finite"),
        ({"deviation": (float("nan"),)}, "all finite"),
        ({"deviation": (float("inf"),)}, "all finite"),
    ],
    ids=str,
)
def test_what_is_known_of_images_is_checked(settings: dict, words: str):
    good = {"mean": (0.5,), "deviation": (0.2,), "side": 8, "classes": 2}
    with pytest.raises(ValueError, match=words):
        Images(**{**good, **settings})


def test_what_is_known_of_texts_is_checked():
    with pytest.raises(ValueError, match=r"Texts\(ids=0\)"):
        Texts(ids=0, classes=2)
    with pytest.raises(ValueError, match=r"Texts\(classes=0\)"):
        Texts(ids=5, classes=0)


@pytest.mark.parametrize(
    ("ending", "is_so"),
    [
        (Ending.PROBABILITIES, lambda a: bool((a.sum(1) - 1).abs().max() < 1e-5)),
        (Ending.LOG_PROBABILITIES, lambda a: bool((a.exp().sum(1) - 1).abs().max() < 1e-5)),
        (Ending.SIGMOIDS, lambda a: bool((a > 0).all() and (a < 1).all())),
    ],
    ids=("probabilities", "log-probabilities", "sigmoids"),
)
def test_answers_are_of_the_kind_that_was_asked_for(ending: Ending, is_so):
    images, ids = torch.rand(5, 3, 8, 8), torch.randint(0, 50, (5, 9))
    assert is_so(VGGFamily(images=seen(8, ending=ending))(0.25).eval()(images))
    assert is_so(NgramFamily(texts=Texts(ids=50, classes=3, ending=ending))(0.5).eval()(ids))


def test_a_family_is_made_again_from_its_repr():
    family = VGGFamily(images=seen(8, ending=Ending.SIGMOIDS))
    names = {"VGGFamily": VGGFamily, "Images": Images, "Ending": Ending}
    assert eval(repr(family), names) == family and hash(family) == hash(eval(repr(family), names))
