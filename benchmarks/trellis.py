"""Moving weights between levels, on the networks of Deep Compression.

`python benchmarks/trellis.py`.
Seconds for each: the committed files, at three prices. Nothing is trained. The loss that decides is
that of the training images; the errors are on validation and test images. --quick: one network, one
price.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from rows import FILES, start

from shoestring.core import prove, score, seeded
from shoestring.kit import export, restore, write
from shoestring.models import LeNet5, LeNet300
from shoestring.quantize import Trellis
from shoestring.tasks import mnist

RUNS = {"lenet300": LeNet300, "lenet5": LeNet5}


def main() -> None:
    rows = start("trellis", "mnist-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task = mnist()
    for name, network in list(RUNS.items())[: 1 if rows.quick else None]:
        model = restore(FILES / f"{name}_deep_compression.shoe", network())
        exported = export(model, task)
        for price in (0.0, 3e-6) if rows.quick else (0.0, 1e-6, 3e-6, 1e-5):
            subject = f"{name}, price {price:g}" if price else f"{name}, as it was"
            for seed in (0, 1, 2) if price and not rows.quick else (0,):
                moved = model
                if price:
                    with seeded(seed):
                        moved = Trellis(price=price)(model, task.sealed())
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "moved.shoe"
                    rows.add(
                        subject, "size", write(moved, task, path, exported=exported), "bytes", seed
                    )
                    rows.add(
                        subject,
                        "validation error",
                        100 * (1 - score(task.sealed(), moved)),
                        "%",
                        seed,
                    )
                    rows.add(subject, "test error", 100 * (1 - prove(path, task)), "%", seed)
    rows.close()


if __name__ == "__main__":
    main()
