"""As small as it goes: train with the length of the coded weights in the loss.

`python examples/02_smallest_file.py [STEPS]`.
About a minute on one core with the 3,000 steps that it takes if none are given. More steps give
smaller and better files.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from shoestring import load, prove, save
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training, moved, parameter_bytes
from shoestring.quantize import Rate
from shoestring.recipes import digits_lenet


def main(steps: int = 3000) -> None:
    model, task = digits_lenet(seed=0)  # handwritten digits and a small LeNet, trained on the spot
    # The network sees each digit moved by up to a pixel, and the trained one teaches it.
    shown = replace(task, augment=moved).taught_by(model.eval())
    print(f"before: {parameter_bytes(model):,} bytes, validation score {score(task, model):.4f}")
    for price in (1e-5, 1e-4):  # what a bit may cost, in units of the loss
        with seeded(0):
            small = Rate(price=price, training=Training(steps, AdamW(2e-3)))(model, shown)
        name = f"digits_{price:g}.shoe"
        size = save(small, task, name, smallest=True)
        print(
            f"price {price:g}: {size:,} bytes, validation score {score(task, load(name)):.4f} "
            f"({name})"
        )
    print(f"test score of the file {name}: {prove(name, task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
