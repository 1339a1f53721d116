"""The recipes end to end with little training: points, files, and going on after a kill."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from shoestring.artifact import load
from shoestring.core import score
from shoestring.kit import Supervised
from shoestring.models import LeNet300, SmallVGG
from shoestring.recipes import rate_cifar, rate_lenet
from shoestring.recipes.rate import SETTINGS, Settings
from shoestring.tasks import DataError, mnist

LITTLE = Settings(prices=(3e-5, 1e-4), training_passes=1, rate_passes=1, autocast=None)


@pytest.fixture(scope="module")
def task():
    try:
        whole = mnist()
    except DataError as error:
        pytest.skip(f"needs MNIST: {error}")
    return replace(whole, train=tuple(part[:12800] for part in whole.train))


@pytest.mark.slow
def test_points_and_files(task, tmp_path):
    said = []
    points = rate_lenet(LeNet300, task, tmp_path, settings=LITTLE, say=said.append)
    assert said == points
    assert [point.price for point in points] == [0, 3e-5, 1e-4]
    assert points[0].bytes == 4 * 266_610
    assert points[0].bytes / 50 > points[1].bytes > points[2].bytes
    path = tmp_path / "price_3e-05.shoe"
    assert path.stat().st_size == points[1].bytes
    assert score(task, load(path), "test") == points[1].test > 0.85
    # Again, in the same folder: everything is read, nothing trained.
    assert rate_lenet(LeNet300, task, tmp_path, settings=LITTLE) == points


@pytest.mark.slow
def test_cifar_on_noise(tmp_path):
    images, labels = torch.rand(64, 3, 32, 32), torch.arange(64) % 10
    noise = Supervised(train=(images, labels), validation=(images, labels), test=(images, labels))
    settings = replace(LITTLE, prices=(1e-4,), batch_size=32)
    points = rate_cifar(SmallVGG, noise, tmp_path, settings=settings)
    assert points[0].bytes > 4 * 1_170_000 > 10 * points[1].bytes


def test_the_published_numbers_stand_in_the_docstrings():
    assert "1.52 KB at 0.96 %" in (rate_lenet.__doc__ or "") and "128 KB at 8.8 %" in (
        rate_cifar.__doc__ or ""
    )
    assert len(SETTINGS) == 4
