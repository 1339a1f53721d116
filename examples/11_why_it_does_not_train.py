"""Why a network of your own does not train, what to do about it, and the file of the cured one.

`python examples/11_why_it_does_not_train.py [STEPS]`. Half a minute on one core. Put your own
module and your own task in their places. From a terminal: `shoestring diagnose mine.py:network`.
"""

from __future__ import annotations

import sys

from torch import nn

from shoestring import diagnose, prove, save
from shoestring.core import score, seeded
from shoestring.kit import Training, fan_in_variance, train
from shoestring.tasks import digits


def deep(layers: int = 30, width: int = 32) -> nn.Module:
    """A network of linear layers, as torch initialises it: too deep to learn anything."""
    hidden = [part for _ in range(layers) for part in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, width), nn.ReLU(), *hidden, nn.Linear(width, 10)
    )


def main(steps: int = 600) -> None:
    task, training = digits(), Training(steps)
    with seeded(0):
        model = deep()
        ill = train(deep(), task.sealed(), training)
    print(f"trained as it is: {score(task.sealed(), ill):.4f}")

    found = diagnose(model, task, training=training)
    print(found)  # what is wrong and what to do, and the table layer by layer
    for finding in found.findings:
        print(f"-> {finding.name}: {', '.join(finding.layers[:1]) or 'the whole network'}")

    # What it says: weights that keep the variance from layer to layer.
    with seeded(0):
        cured = fan_in_variance(model)
    print(f"left after the cure: {[finding.name for finding in diagnose(cured, task).findings]}")
    with seeded(0):
        train(cured, task.sealed(), training)
    print(f"trained after the cure: {score(task.sealed(), cured):.4f}")
    save(cured, task, "cured.shoe")
    print(f"test score of the file: {prove('cured.shoe', task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
