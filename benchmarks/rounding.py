"""Few bits without training: the nearest multiple against GPTQ, on three networks.

`python benchmarks/rounding.py`. Half an hour.
Starts from results/files/baseline_NAME.shoe. Weights of 8, 4, 3 and 2 bits, a step for each
channel, activations of 8 bits; ranges from 512 training examples, others for each of three seeds.
Scores are those of the files. --quick: one seed of LeNet-5, 4 bits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from quantised_files import shuffled
from rows import FILES, Rows, start
from torch import nn

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import Supervised, restore, write
from shoestring.models import LeNet5, MobileNet, ResNet20, TextEncoder
from shoestring.quantize import GPTQ, Nearest, PostTraining
from shoestring.tasks import cifar10, mnist, sst2, sst2_vocabulary

NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Supervised]]] = {
    "resnet20": (ResNet20, cifar10),
    "mobilenet": (MobileNet, cifar10),
    "text_encoder": (lambda: TextEncoder(len(sst2_vocabulary())), sst2),
}
QUICK: dict[str, tuple[Callable[[], nn.Module], Callable[[], Supervised]]] = {
    "lenet5": (LeNet5, mnist)
}


def main() -> None:
    rows = start("rounding", "sst2-cifar10-jpeg-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for name, (network, data) in (QUICK if rows.quick else NETWORKS).items():
        task = data()
        with seeded(0):
            model = restore(FILES / f"baseline_{name}.shoe", network()).eval()
        for bits in (4,) if rows.quick else (8, 4, 3, 2):
            for rounding in (Nearest(), GPTQ()):
                subject = f"{name} / {bits} bits / {type(rounding).__name__}"
                for seed in (0,) if rows.quick else (0, 1, 2):
                    if rows.wanted(subject) and not rows.done(subject, seed):
                        one(
                            rows,
                            subject,
                            model,
                            shuffled(task, seed),
                            PostTraining(bits=bits, rounding=rounding),
                            seed,
                        )
        if rows.wanted(f"{name} / float32") and not rows.done(f"{name} / float32", 0):
            scores(rows, f"{name} / float32", FILES / f"baseline_{name}.shoe", task, 0)
    rows.close()


def one(
    rows: Rows, subject: str, model: nn.Module, task: Supervised, technique: PostTraining, seed: int
) -> None:
    """The rows of one file."""
    began = os.times().user
    with seeded(seed):
        quantised = technique(model, task.sealed())
    rows.add(subject, "quantising", os.times().user - began, "seconds of a core", seed)
    with tempfile.TemporaryDirectory() as folder:
        write(quantised, task, Path(folder) / "model.shoe")
        scores(rows, subject, Path(folder) / "model.shoe", task, seed)


def scores(rows: Rows, subject: str, file: Path, task: Supervised, seed: int) -> None:
    """Its bytes, and what it scores."""
    loaded = load(file, threads=1)
    rows.add(subject, "file", file.stat().st_size, "bytes", seed)
    for split in ("validation", "test"):
        rows.add(subject, f"{split} score", 100 * score(task, loaded, split), "%", seed)
    rows.add(subject, "done", 1, "", seed)


if __name__ == "__main__":
    main()
