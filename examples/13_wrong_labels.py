"""The wrong labels of your own data, found by networks that did not see them, and left out.

`python examples/13_wrong_labels.py [STEPS]`. A minute on one core. Put your own task and module in
their places. Of a folder of pictures or a table, `shoestring audit FOLDER` does the same and more.
"""

from __future__ import annotations

import sys

import numpy as np

from shoestring import Supervised, prove, save
from shoestring.core import score, seeded
from shoestring.kit import Training, train
from shoestring.label.audit import contradictions, near_pictures
from shoestring.models import DigitsLeNet
from shoestring.recipes import audited
from shoestring.tasks import digits


def mine() -> Supervised:
    """Digits; every tenth training label was changed, which your data has done for itself."""
    task = digits()
    labels = task.train[1].clone()
    labels[::10] = (labels[::10] + 1) % 10
    return task.with_labels(labels)


def main(steps: int = 600) -> None:
    task, training = mine(), Training(steps)

    # Nobody has to look at a network for this: the pictures alone tell.
    images, labels = map(np.asarray, task.train)
    near = near_pictures(images)
    print(f"{len(near.rows)} pairs of pictures are nearly the same, and of these "
          f"{len(contradictions(near, labels))} have different labels")  # fmt: skip

    # Five networks judge the labels that they did not see.
    with seeded(0):
        untrained = DigitsLeNet()
    found = audited(untrained, task.sealed(), training)
    print(f"{len(found.errors)} labels are probably wrong, the least credible first:")
    for row in found.errors[:5]:
        print(f"  {row.index}: {row.given}, rather {row.suggested} (quality {row.quality:.3f})")

    # Choose by validation data; the test split is read once, of the file.
    for name, one in (("all labels", task.sealed()), ("without the wrong ones", found.task)):
        with seeded(0):
            model = train(DigitsLeNet(), one, training, what=name)
        print(f"{name}: validation score {score(one, model):.4f}")
    save(model, task, "cleaned.shoe")
    print(f"test score of the file: {prove('cleaned.shoe', task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
