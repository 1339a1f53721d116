"""The membranes of ISBI 2012: their archive made here, and the real one where it is at hand."""

from __future__ import annotations

import importlib
import io
import tarfile
from collections.abc import Callable

import numpy as np
import pytest
import torch

from shoestring.core import seeded
from shoestring.tasks import DataError, isbi, mean_overlap, membranes
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.isbi")
Put = Callable[[Source, bytes], Source]


def packed(*, without: str = "", side: int = 512, broken: bool = False) -> bytes:
    """An archive: section n has the grey n, and its first three columns are membrane."""
    image = pytest.importorskip("PIL.Image", reason="PNG is read with the extra `images`")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for kind in ("image", "label"):
            for number in range(30):
                pixels = np.full((side, side), number if kind == "image" else 255, np.uint8)
                if kind == "label":
                    pixels[:, :3] = 0
                file = io.BytesIO()
                image.fromarray(pixels).save(file, "PNG")
                content = b"no picture" if broken else file.getvalue()
                if (name := f"membrane/train/{kind}/{number}.png") != without:
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_sections_are_reduced_cut_and_divided(put: Put, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_PACKED", put(module._PACKED, packed()))
    task = isbi(reduced=2, parts=2)
    images, masks = task.train
    assert isinstance(images, torch.Tensor) and images.shape == (96, 1, 128, 128)
    assert [len(task.validation[1]), len(task.test[1])] == [12, 12]  # type: ignore[index]
    torch.testing.assert_close(images[::4, 0, 0, 0] * 255, torch.arange(24.0))
    # three of four columns make one pixel and a half, which counts where half of it is membrane
    assert masks[0, 5].tolist() == [1, 1] + [0] * 126 and masks[1].sum() == 0
    assert isbi(reduced=8, parts=1).test[1].shape == (3, 64, 64)  # type: ignore[index]
    with pytest.raises(ValueError, match="reduced=3"):
        isbi(reduced=3)


def test_pictures_and_masks_are_turned_together():
    pictures = torch.arange(16.0).reshape(1, 1, 4, 4)
    seen = set()
    for seed in range(60):
        with seeded(seed):
            turned, masks = module._turned(pictures, pictures[:, 0].long())
        assert torch.equal(turned[:, 0].long(), masks)
        seen.add(tuple(masks.flatten().tolist()))
    assert len(seen) == 8


def test_scores_by_hand():
    outputs = np.zeros((1, 2, 1, 4))
    outputs[0, 1, 0, :2] = 1  # says 1 1 0 0
    targets = np.array([[[1, 0, 0, 0]]])
    assert mean_overlap(outputs, targets) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert module._membrane_f1(outputs, targets) == pytest.approx(2 / 3)
    assert module._pixel_accuracy(outputs, targets) == 0.75


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"without": "membrane/train/label/7.png"}, "lacks a picture"),
        ({"side": 8}, "and not 512×512"),
        ({"broken": True}, "image 0 of ISBI 2012 is damaged"),
    ],
)
def test_damage_is_said(put: Put, monkeypatch: pytest.MonkeyPatch, content: dict, why: str):
    monkeypatch.setattr(module, "_PACKED", put(module._PACKED, packed(**content)))
    with pytest.raises(DataError, match=why):
        membranes()


def test_each_file_has_its_checksum():
    digests = module._SHA256.split()
    assert len(set(digests)) == 60 and all(len(one) == 64 for one in digests)


def test_the_real_sections():
    if present(module._PACKED) is None:
        pytest.skip("ISBI 2012 is not at hand: SHOESTRING_DATA names no folder with it")
    sections, is_membrane = membranes()
    assert sections.shape == is_membrane.shape == (30, 512, 512)
    assert 0.2 < is_membrane.mean() < 0.25 and sections[is_membrane].mean() < 110
