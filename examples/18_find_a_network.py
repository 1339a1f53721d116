"""A network for your own pictures and this machine: found, trained and compressed.

`python examples/18_find_a_network.py [MINUTES [FOLDER]]`, 15 minutes by default. FOLDER has a
folder for each class with its pictures, such as `mine/cat/1.png`; without it, handwritten digits
are searched for. At the end there are `found.shoe`, which runs without torch, and `found.py`, the
network as plain Python. It needs the extra `images` for a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from shoestring import Budget, Supervised
from shoestring.kit import Pictures
from shoestring.plan.networks import network_job
from shoestring.tasks import digits

LIMITS = "operations<=2M, size<=10KB"


def from_folder(folder: Path) -> Supervised:
    """Pictures of 32×32, of which a sixth each is for validation and for the test."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    each = [Pictures(path, size=(32, 32)).read() for path in classes]
    pictures = torch.cat(each)
    labels = torch.arange(len(each)).repeat_interleave(torch.tensor([len(one) for one in each]))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    test, validation, rest = order.tensor_split([len(order) // 6, len(order) // 3])
    return Supervised(
        train=(pictures[rest], labels[rest]),
        validation=(pictures[validation], labels[validation]),
        test=(pictures[test], labels[test]),
        name=folder.name,
    )


def main(minutes: float = 15.0, folder: str = "") -> None:
    task = from_folder(Path(folder)) if folder else digits()
    report = network_job(
        lambda: task, Budget.parse(LIMITS), Path("found.shoe"), minutes=minutes, say=print
    )
    print(report.as_text())
    print(f"test score of the file: {report.compressed.score_after:.4f}")


if __name__ == "__main__":
    minutes, folder = (*sys.argv[1:], *("15", "")[len(sys.argv) - 1 :])
    main(float(minutes), folder)
