"""Your own few pictures, in a folder for each class: a file that tells the classes apart.

`python examples/17_few_examples.py [STEPS [FOLDER]]`. A minute on one core. FOLDER has a folder for
each class with a few pictures in it, such as `few/seven/1.png`; without it, one is made of digits
that the network has never seen. Put the classes that you have many labels of in the place of
`known`. It needs the extra `images`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from shoestring import Supervised, prove, save
from shoestring.adapt import Episodes, ModelOutputs, Prototypes
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Pictures, Training, train
from shoestring.tasks import digits

NEW = ("seven", "eight", "nine")


def some(split: object, first: int, last: int) -> tuple[Tensor, Tensor]:
    """The pictures of some digits, numbered from 0."""
    images, labels = split  # type: ignore[misc]
    rows = (labels >= first) & (labels <= last)
    return images[rows], labels[rows] - first


def known() -> Episodes:
    """Classes of which there are many labels: learn from five, check on two others."""
    images, labels = digits().train
    assert isinstance(images, Tensor)
    learnt, checked = labels <= 4, (labels >= 5) & (labels <= 6)
    return Episodes(
        train=(images[learnt], labels[learnt]),
        validation=(images[checked], labels[checked]),
        ways=2, shots=3, queries=5,
    )  # fmt: skip


def made_folder() -> Path:
    """Five pictures each of three digits, in a folder for each."""
    folder, (images, labels) = Path("few"), some(digits().train, 7, 9)
    for place, name in enumerate(NEW):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images[labels == place][:5]):
            grey = (image[0] * 255).byte().numpy()
            Image.fromarray(grey).save(folder / name / f"{number}.png")
    return folder


def few(folder: Path) -> Supervised:
    """The pictures of each folder, as 8×8 in grey; there is nothing else to validate on."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    each = [Pictures(path, size=(8, 8), channels=1).read() for path in classes]
    labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(one) for one in each]))
    given = torch.cat(each), labels
    images, answers = some(digits().test, 7, 9)  # of the made folder's classes, in its order:
    order = torch.tensor([sorted(NEW).index(name) for name in NEW])
    return Supervised(train=given, validation=given, test=(images, order[answers]), name="few")


def main(steps: int = 400, folder: str = "") -> None:
    # 1. An embedding, by episodes on classes that have many labels.
    episodes = known()
    with seeded(0):
        body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 32),
        )  # fmt: skip
        train(body, episodes, Training(steps, AdamW(1e-3)))
    print(f"two classes that it did not learn, told apart: {score(episodes, body):.3f}")

    # 2. Your classes: no training, a head of one prototype each.
    task = few(Path(folder) if folder else made_folder())
    model = Prototypes(features=ModelOutputs())(body, task.sealed())
    save(model, task.sealed(), "few.shoe")
    if not folder:  # of your own pictures, keep some back and give them as test=
        print(f"test score of the file: {prove('few.shoe', task):.4f}")


if __name__ == "__main__":
    steps, folder = (*sys.argv[1:], *("400", "")[len(sys.argv) - 1 :])
    main(int(steps), folder)
