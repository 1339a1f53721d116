"""A model and no labels: smaller, and it answers as it did. `python examples/04_without_labels.py`.

About half a minute on one core. Labels train the network here, and nothing after that sees them.
"""

from __future__ import annotations

import sys

import torch
from torch import nn

from shoestring import Agreement, load, prove, write
from shoestring.core import apply, chain, score, seeded
from shoestring.kit import AdamW, SameClass, Training, train
from shoestring.prune import Magnitude
from shoestring.quantize import PostTraining
from shoestring.tasks import digits


def main(steps: int = 400) -> None:
    labelled = digits()
    with seeded(0):
        network = nn.Sequential(
            nn.Conv2d(1, 16, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(576, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
        model = train(network, labelled, Training(steps, AdamW(2e-3))).eval()

    images = torch.cat(
        [
            split[0]
            for split in (labelled.train, labelled.validation)
            if isinstance(split[0], torch.Tensor)
        ]
    )
    task = Agreement(
        model, images, SameClass()
    )  # its outputs are logits: the class is what has to stay
    print(task)

    smaller = apply(
        chain(Magnitude(density=0.2, training=Training(steps)), PostTraining()), model, task
    )
    before, after = write(model, task, "model.shoe"), write(smaller, task, "smaller.shoe")
    print(
        f"bytes: {before:,} to {after:,}; the same class for "
        f"{100 * score(task, load('smaller.shoe')):.1f} % of the images"
    )
    print(f"test score of the file: {prove('smaller.shoe', task):.4f}")
    print(
        f"with labels, which nobody used: {score(labelled, model, 'test'):.4f} to "
        f"{score(labelled, smaller, 'test'):.4f}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
