"""Your own half-labelled pictures: learn from those that have no label too.

`python examples/15_half_labelled.py [STEPS]`. A quarter of a minute on one core. Put your own
pictures, labels and network in their places; a table or ids of texts work the same way. Where what
has no label does not help, a warning says so, and the network has learnt from the labels alone.
"""

from __future__ import annotations

import sys
import warnings

from torch import Tensor

from shoestring import apply, prove, save
from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.models import DigitsLeNet
from shoestring.tasks import digits
from shoestring.unlabelled import Distorted, MeanTeacher, RefusedWarning, Shifted


def pictures() -> tuple[Tensor, Tensor]:
    """Pictures N×1×8×8, and a class for each; -1 where nobody labelled it (here most of them)."""
    images, labels = digits().train
    assert isinstance(images, Tensor)
    labels = labels.clone()
    labels[80:] = -1
    return images, labels


def mine() -> Supervised:
    images, labels = pictures()
    known = labels >= 0
    whole = digits()  # labelled pictures to choose and to prove by, which nothing is trained on
    return Supervised(
        train=(images[known], labels[known]),
        unlabelled=images[~known],
        validation=whole.validation,
        test=whole.test,
        name="half-labelled pictures",
    )


def main(steps: int = 300) -> None:
    task = mine()
    with seeded(0):
        model = DigitsLeNet()

    # Changes after which a picture shows the same: small ones, for these have 8×8 pixels.
    technique = MeanTeacher(
        training=Training(steps, AdamW(5e-3, 1e-2)),
        weak=Shifted(0.02),
        strong=Distorted(turn=15, scale=0.1, shear=0.1, shift=0.1, light=0.2, covered=0),
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RefusedWarning)
        trained = apply(technique, model, task.sealed())
    print(*(one.message for one in said if issubclass(one.category, RefusedWarning)))

    save(trained, task, "half_labelled.shoe")
    print(f"test score of the file: {prove('half_labelled.shoe', task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
