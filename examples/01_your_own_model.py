"""A model of your own, with an embedding, a residual block and batch norm.

Trained, shrunk to a budget, and run from its file.
`python examples/01_your_own_model.py` takes about a minute on one core, or so many minutes as it is
told. The digits' 17 shades of grey are read as words of a vocabulary, so that the network has an
embedding to compress.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shoestring import Supervised, compress, load, prove
from shoestring.kit import Training, train
from shoestring.tasks import digits


class Shades(nn.Module):
    """Shades N×8×8 (whole numbers 0 to 16) to logits N×10."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(17, 16)
        self.first = nn.Conv2d(16, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.out = nn.Linear(32 * 16, 10)

    def forward(self, shades: torch.Tensor) -> torch.Tensor:
        """Logits N×10."""
        x = self.embedding(shades).permute(0, 3, 1, 2)
        x = self.first(x)
        x = x + torch.relu(self.norm(self.second(torch.relu(x))))
        x = nn.functional.max_pool2d(x, 2)
        return self.out(x.flatten(1))


def shades_task() -> Supervised:
    """The digits with integers in place of grey values."""
    grey = digits()

    def shaded(images: Any) -> Any:
        return (images * 16).round().long().squeeze(1)

    assert grey.test is not None
    train_, validation, test = (
        (shaded(images), labels) for images, labels in (grey.train, grey.validation, grey.test)
    )
    return Supervised(train=train_, validation=validation, test=test, name="shades", batch_size=64)


def shades() -> tuple[nn.Module, Supervised]:
    """For `shoestring compress examples/01_your_own_model.py:shades --budget "size<=6KB"`."""
    torch.manual_seed(0)
    task = shades_task()
    return train(Shades(), task.sealed(), Training(600)), task


def main(minutes: float = 1.0) -> None:
    """Shrink it to 6 KB within some minutes, and let the file answer."""
    model, task = shades()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shades.shoe"
        outcome = compress(model, task, "size<=6KB, drop<=2%", path, minutes=minutes, say=print)
        print(
            f"{outcome.bytes_before:,} bytes became {path.stat().st_size:,}; the budget is "
            f"{'kept' if outcome.met else 'not kept'}"
        )
        print(f"test score of the file: {prove(path, task):.4f}")
        assert task.test is not None
        images, labels = task.test
        answers = load(path)(images[:10]).argmax(-1)  # type: ignore[index]
        print("the file says ", answers.tolist())
        print("the labels are", labels[:10].tolist())


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
