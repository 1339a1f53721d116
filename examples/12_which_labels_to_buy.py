"""Which labels of your own data to buy next, and when to stop.

`python examples/12_which_labels_to_buy.py [STEPS]`. Half a minute on one core. Put your own inputs,
your own network and your own way to ask for labels in their places.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch import Tensor, nn

from shoestring import prove, save
from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.label import Margin, Typical, label_forecast, little_to_gain
from shoestring.recipes import which_labels
from shoestring.tasks import digits


def mine() -> Supervised:
    """Twenty labelled pictures, and 977 without a label."""
    whole = digits()
    images, labels = whole.train
    assert isinstance(images, Tensor)

    def ask(indices: Sequence[int]) -> Tensor:
        """A person would look at these pictures; here the labels are known."""
        return labels[20:][list(indices)]

    return Supervised(
        train=(images[:20], labels[:20]),
        unlabelled=images[20:],
        answer=ask,
        limit=300,  # labels that may be bought in all
        validation=whole.validation,
        test=whole.test,
    )


def main(steps: int = 100) -> None:
    task = mine()
    with seeded(0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))

    # The first ten to label, while the network knows nothing; nothing is bought.
    with seeded(0):
        print("label these first:", Typical().choose(model, task, 10).tolist())

    # All of it: five rounds of 30 labels, a training after each.
    technique = Margin(labels=150, rounds=5, training=Training(steps, AdamW(1e-2, 0.1)))
    trained, curve = which_labels(model, task, technique)

    forecast = label_forecast(curve)
    print(forecast)
    print(forecast.says(0.95))
    print(little_to_gain(forecast, labels=100, points=1).why)
    save(trained, task, "labelled.shoe")
    print(f"test score of the file: {prove('labelled.shoe', task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
