"""The picture of `docs/gans.md`: MNIST digits that a generator made, a column for each class.

    python benchmarks/gan_samples.py

Trains a generator that is told the class (non-saturating loss, 3,000 steps of batches of 32, seed
0; about a minute of a core), writes it to a file, runs the file, and writes `docs/gans.png`, real
digits above made ones. Needs the extra `images`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from ten_gans import classifier, unfinished, whole
from torch import Tensor

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.generate import GAN, Generation, Noise, samples
from shoestring.kit import AdamW, Constant, Training, resuming, save
from shoestring.models import DCGANDiscriminator, DCGANGenerator

PAGE = Path(__file__).parent.parent / "docs" / "gans.png"
ROWS = 6


def main() -> None:
    torch.set_num_threads(1)
    noise, task = Noise(64, classes=10), whole("MNIST")
    gan = GAN(training=Training(3000, AdamW(1e-2, momentum=0.5), Constant()), noise=noise)
    with seeded(0), resuming(unfinished(False) / "samples"):
        networks = DCGANGenerator(width=16, classes=10), DCGANDiscriminator(width=16, classes=10)
        made = gan(*networks, task.sealed())
    making = Generation(pictures=task, noise=noise, classifier=classifier("MNIST", False))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "digits.shoe"
        save(made.generator, making.sealed(), path)
        print(f"{path.stat().st_size:,} bytes; {made.told=}, {made.variety=}")
        pictures = samples(load(path), noise, 10 * ROWS, seed=0).pictures
    images, labels = task.validation
    assert isinstance(images, Tensor)
    real = torch.cat([images[labels == one][:2] for one in range(10)]).unflatten(0, (10, 2))
    shown = torch.cat([real.transpose(0, 1), pictures.unflatten(0, (ROWS, 10))])
    wide = shown[:, :, 0].transpose(1, 2).flatten(0, 1).flatten(1)
    wide[2 * 28 - 1] = 0.6  # a line between real and made ones
    grey = (255 * (1 - wide)).round().clamp(0, 255).byte().numpy()
    Image.fromarray(grey).resize((560, 28 * 2 * len(shown)), Image.Resampling.NEAREST).save(PAGE)


if __name__ == "__main__":
    main()
