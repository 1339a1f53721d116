"""The digits that scikit-learn carries."""

from __future__ import annotations

import sys

import pytest
import torch

from shoestring.core import seeded
from shoestring.tasks import digits


def test_splits_have_their_sizes_and_ranges():
    task = digits()
    assert (task.name, task.batch_size) == ("digits", 64) and digits(batch_size=7).batch_size == 7
    for (images, labels), count in ((task.train, 997), (task.validation, 400), (task.test, 400)):
        assert (
            isinstance(images, torch.Tensor)
            and images.shape == (count, 1, 8, 8)
            and images.dtype == torch.float32
        )
        assert images.min() == 0 and images.max() == 1 and len(torch.unique(images * 16)) == 17
        assert (
            labels.shape == (count,)
            and labels.dtype == torch.int64
            and labels.unique().tolist() == list(range(10))
        )


def test_splits_share_no_image_and_leave_none_out():
    from sklearn.datasets import load_digits

    task = digits()
    parts = [split[0].flatten(1) * 16 for split in (task.train, task.validation, task.test)]  # type: ignore[union-attr]
    images = [{tuple(image) for image in part.int().tolist()} for part in parts]
    assert not images[0] & images[1] and not images[0] & images[2] and not images[1] & images[2]
    assert images[0] | images[1] | images[2] == {
        tuple(image) for image in load_digits().data.astype(int).tolist()
    }


def test_splits_are_the_same_every_time_and_use_nobodys_dice():
    with seeded(1):
        first, before = digits(), torch.rand(())
    with seeded(1):
        after = torch.rand(())
    with seeded(2):
        second = digits()
    assert before == after
    for split in ("train", "validation", "test"):
        assert all(
            torch.equal(a, b)
            for a, b in zip(getattr(first, split), getattr(second, split), strict=True)
        )
    assert first.validation[1][:10].tolist() == [4, 5, 3, 9, 9, 9, 1, 0, 7, 5]  # golden


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[train\]'"):
        digits()
