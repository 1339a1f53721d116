"""Your own convolutional network, faster: cheaper convolutions where they pay, then 8 bits.

`python examples/10_cheaper_convolutions.py`.
About two minutes on one core. What pays is measured on files, at the shapes of your layers.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from shoestring import chain, prove, save
from shoestring.core import apply, score, seeded
from shoestring.kit import AdamW, Training, train
from shoestring.meters import Latency, ThreadTime, alternate, ratio
from shoestring.prune import CheapConvolutions, DepthwiseSeparable, Grouped, SpatiallySeparable
from shoestring.quantize import PostTraining
from shoestring.tasks import digits


class Yours(nn.Module):
    """Any module with convolutions: this one has a residual branch and batch norm."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.second = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU()
        )
        self.last = nn.Linear(2 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.first(images)
        features = torch.relu(features + self.branch(features))
        return self.last(self.second(features).mean((2, 3)))


def main(steps: int = 400) -> None:
    task = digits()
    with seeded(0):
        model = train(Yours(), task, Training(steps, AdamW(2e-3))).eval()
    print(f"trained: validation score {score(task, model):.4f}\n")

    cheaper = CheapConvolutions(
        share=0.5,  # of the milliseconds of the convolutions, since there is a meter
        kinds=(DepthwiseSeparable(), SpatiallySeparable(), Grouped(2), Grouped(4)),
        meter=Latency(batch=32, clock=ThreadTime()),
        training=Training(steps, AdamW(2e-3)),
    )
    faster = apply(cheaper, model, task)
    for name, layers in faster.named_modules():
        if isinstance(layers, nn.Sequential) and isinstance(layers[-1], nn.Conv2d):
            print(f"{name} is now\n  {'; '.join(map(str, layers))}")
    smaller = apply(chain(PostTraining()), faster, task)

    files = {"before.shoe": model, "faster.shoe": faster, "smaller.shoe": smaller}
    for path, one in files.items():
        print(f"{path}: {save(one, task, path):,} bytes, score {score(task, one):.4f}")
    before, *after = alternate(list(files), task, batch=32)
    for path, timing in zip(list(files)[1:], after, strict=True):
        print(f"{path} takes {ratio(timing, before)} of the time, for 32 images")
    print(f"test score of the file: {prove('smaller.shoe', task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
