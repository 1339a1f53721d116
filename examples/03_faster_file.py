"""Your own network, faster: which layer hurts, which must stay, and a file of 8-bit whole numbers.

`python examples/03_faster_file.py`.
About two minutes on one core. Each step is measured on files, in the runtime that will run them.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from shoestring import load, prove, write
from shoestring.core import apply, score, seeded
from shoestring.kit import AdamW, Training, train
from shoestring.meters import Latency, alternate, ratio
from shoestring.plan import fallback, sensitivity
from shoestring.quantize import PostTraining
from shoestring.tasks import digits


class Yours(nn.Module):
    """Any module: this one has a residual branch and batch norm."""

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

    print("which layer hurts? each alone, in 8-bit whole numbers:")
    print(sensitivity(model, task, [PostTraining()], meters=[Latency(batch=32)]), "\n")

    # The fewest layers that must stay in floating point for at most half a point, and so that each
    # change pays.
    found = fallback(model, task, PostTraining(), drop=0.005, meters=[Latency(batch=32)], most=20)
    print(found, "\n")

    faster = apply(found.technique, model, task, seed=found.seed)
    sizes = write(model, task, "before.shoe"), write(faster, task, "faster.shoe")
    before, after = alternate(["before.shoe", "faster.shoe"], task, batch=32)
    print(
        f"bytes: {sizes[0]:,} to {sizes[1]:,}; milliseconds for 32 images: {before.median:.3f} to "
        f"{after.median:.3f}"
    )
    print(f"time: {ratio(after, before)} of what it was")
    print(
        f"score of the module {score(task, faster):.4f}, of the file "
        f"{score(task, load('faster.shoe')):.4f}"
    )
    print(f"test score of the file: {prove('faster.shoe', task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
