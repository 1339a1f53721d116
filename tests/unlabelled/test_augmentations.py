"""Changes of inputs: what they keep, and which kind of inputs gets which."""

from __future__ import annotations

import pytest
import torch

from shoestring.core import seeded
from shoestring.unlabelled import (
    Distorted,
    Shifted,
    ShiftedMirrored,
    SwappedFeatures,
    WordDropout,
    augmentations,
)


@pytest.fixture(autouse=True)
def _seeded():
    with seeded(0):
        yield


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("change", [Shifted(), ShiftedMirrored(), Distorted(mirror=0.5)])
def test_pictures_keep_their_shape_and_range(change, channels: int):
    images = torch.rand(16, channels, 12, 10)
    changed = change(images)
    assert changed.shape == images.shape and not torch.allclose(changed, images)
    assert changed.min() >= -1e-6 and changed.max() <= 1 + 1e-6


def test_nothing_is_changed_by_nothing():
    images = torch.rand(4, 3, 8, 8)
    still = Distorted(turn=0, scale=0, shear=0, shift=0, light=0, covered=0)
    assert torch.allclose(still(images), images, atol=1e-5)
    assert torch.allclose(Shifted(0.0)(images), images, atol=1e-5)
    assert torch.equal(SwappedFeatures(0.0)(images.flatten(1))[0], images.flatten(1))


def test_each_picture_is_changed_by_itself():
    images = torch.rand(1, 1, 9, 9).expand(6, 1, 9, 9)
    changed = Distorted()(images)
    assert not torch.allclose(changed[0], changed[1])


def test_words_are_left_out_and_one_stays():
    ids = torch.randint(1, 50, (200, 12))
    ids[:, 9:] = 0
    ids[0, 1:] = 0
    dropped = WordDropout(0.5)(ids)
    assert dropped.shape == (200, 9)  # columns of padding are cut off
    assert ((dropped == ids[:, :9]) | (dropped == 0)).all() and (dropped != 0).any(1).all()
    assert 0.4 < float((dropped[1:] == 0).float().mean()) < 0.6
    assert dropped[0, 0] == ids[0, 0]
    marked = WordDropout(1.0, instead=99)(ids)
    assert ((marked == 99).sum(1) == (ids[:, :9] != 0).sum(1) - 1).all()


def test_swapped_features_come_from_the_same_column():
    table = torch.arange(40.0).reshape(10, 4)
    ids = torch.arange(10).reshape(10, 1)
    swapped, other = SwappedFeatures(0.5)(table, ids)
    for column in range(4):
        assert set(swapped[:, column].tolist()) <= set(table[:, column].tolist())
    assert other.dtype == ids.dtype and not torch.equal(swapped, table)
    assert torch.equal(SwappedFeatures(1.0)(table[:1])[0], table[:1])  # a batch of one


def test_the_kind_of_the_inputs_says_which():
    pictures = augmentations((torch.rand(2, 1, 8, 8),), None, None)
    assert pictures.weak == Shifted() and pictures.strong == Distorted()
    assert "the inputs are pictures: weak Shifted" in pictures.why
    texts = augmentations((torch.ones(2, 5, dtype=torch.long),), None, None)
    assert isinstance(texts.strong, WordDropout) and "texts" in texts.why
    table = augmentations((torch.rand(2, 5), torch.ones(2, 3, dtype=torch.long)), None, None)
    assert isinstance(table.weak, SwappedFeatures)
    given = augmentations((torch.rand(2, 5, 7),), torch.neg, torch.abs)
    assert given.weak is torch.neg and "as given" in given.why


def test_other_inputs_need_changes_of_their_own():
    with pytest.raises(ValueError, match=r"nothing is known of inputs \[2, 5, 7\].*give weak= and"):
        augmentations((torch.rand(2, 5, 7),), None, torch.abs)


@pytest.mark.parametrize("make", [Shifted, WordDropout, SwappedFeatures, ShiftedMirrored])
def test_shares_are_from_0_to_1(make):
    with pytest.raises(ValueError, match="give a share, 0 to 1"):
        make(1.5)(torch.ones(2, 1, 4, 4))
