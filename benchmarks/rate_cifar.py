"""ResNet-20 and a small VGG on CIFAR-10 trained for the length of their code.

`python benchmarks/rate_cifar.py`.
The images are the copy that SHOESTRING_DATA has: where it went through JPEG, the results file says
so in its name. About two and a half hours on one core that has bfloat16, one seed; goes on where it
was interrupted. Leaves the files under results/files/. --quick: 500 images, a few passes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from rate_lenet import keep_medians, points
from rows import start
from torch import nn

from shoestring.models import ResNet20, SmallVGG
from shoestring.recipes.rate import rate_cifar
from shoestring.tasks import cifar10

RUNS: dict[str, type[nn.Module]] = {"resnet20": ResNet20, "vgg": SmallVGG}


def main() -> None:
    torch.set_num_threads(1)
    task = cifar10()
    rows = start("rate_cifar", f"{task.name}-cpu", __doc__ or "")
    if rows.quick:
        parts = {
            split: tuple(part[:500] for part in getattr(task, split))
            for split in ("train", "validation", "test")
        }
        task = replace(task, **parts)
    for name, network in RUNS.items():
        points(rows, name, network, rate_cifar, task, 0)
    if rows.close() and not rows.quick:
        keep_medians(RUNS, rows.rows)


if __name__ == "__main__":
    main()
