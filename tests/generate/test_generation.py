"""A generator as a file: noise in, pictures out, and the distance that it is scored by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from shoestring.artifact import load
from shoestring.core import prove, score, seeded
from shoestring.generate import Generation, Noise, samples
from shoestring.kit import save
from shoestring.models import DCGANGenerator, DigitsLeNet
from shoestring.tasks import digits


def generation(noise: Noise) -> Generation:
    with seeded(0):
        return Generation(pictures=digits(), noise=noise, classifier=DigitsLeNet(), count=200)


@pytest.mark.parametrize("classes", [None, 10])
def test_a_file_makes_what_the_module_makes(tmp_path: Path, classes: int | None):
    noise, path = Noise(16, classes), tmp_path / "digits.shoe"
    task = generation(noise)
    with seeded(0):
        network = DCGANGenerator(side=8, width=8, noise=16, classes=classes).eval()
    save(network, task.sealed(), path)
    predict = load(path)
    for count in (1, 5):  # the number of pictures may vary
        ours = samples(predict, noise, count, seed=1)
        theirs = samples(network, noise, count, seed=1)
        assert ours.pictures.shape == (count, 1, 8, 8)
        assert torch.allclose(ours.pictures, theirs.pictures, atol=1e-5)
    of_file = prove(path, task, note="a generator")
    assert of_file == pytest.approx(score(task, network, "test"), rel=1e-3) and of_file < 0


def test_real_pictures_score_best():
    task = generation(Noise(16))
    images, _ = task.pictures.validation  # type: ignore[attr-defined]
    assert isinstance(images, Tensor)

    class Album:
        """Gives real pictures, in their order."""

        def __init__(self) -> None:
            self.given = 0

        def __call__(self, noise: Tensor) -> np.ndarray:
            self.given += len(noise)
            return images[self.given - len(noise) : self.given].numpy()

    assert task.score(Album(), "validation") == pytest.approx(0, abs=1e-6)


def test_what_it_cannot_do():
    task = generation(Noise(16))
    batch = next(iter(task.batches("validation")))
    assert batch[0][0].shape[1] == 16
    with pytest.raises(TypeError, match="train it with GAN"):
        task.loss(None, batch)
    with pytest.raises(ValueError, match="give 2 or more"):
        Generation(pictures=digits(), noise=Noise(), classifier=DigitsLeNet(), count=1)
