"""Omniglot: handwritten characters of many alphabets, and the 20 one-shot runs."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.errors import missing
from shoestring.kit import Supervised
from shoestring.tasks.fetch import Source, fetch

_HOME = (
    "https://raw.githubusercontent.com/brendenlake/omniglot/"
    "057f034baf2ecb8530bc5710e5a23584d2a519cc/python"
)
SMALL = {
    number: Source(
        "omniglot",
        f"images_background_small{number}.zip",
        f"{_HOME}/images_background_small{number}.zip",
        sha256,
    )
    for number, sha256 in (
        (1, "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4"),
        (2, "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f"),
    )
}
"""The files of the small background sets, by number."""
RUNS = Source(
    "omniglot",
    "all_runs.zip",
    f"{_HOME}/one-shot-classification/all_runs.zip",
    "437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325",
)
SIDE = 105
"""Pixels of a side of the original pictures."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Characters:
    """Pictures of characters.

    `pictures`: N×1×side×side, ink from 0 to 1.
    `labels`: the character of each picture, N, from 0.
    `alphabets`: the alphabet of each character, C names.
    """

    pictures: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    alphabets: tuple[str, ...] = field(repr=False)

    def of(self, *alphabets: str) -> Characters:
        """The characters of some alphabets alone, numbered anew.

        Raises ValueError for an alphabet that is not there.
        """
        if unknown := set(alphabets) - set(self.alphabets):
            raise ValueError(
                f"there is no alphabet {sorted(unknown)[0]!r}: there are "
                f"{', '.join(sorted(set(self.alphabets)))}"
            )
        kept = [place for place, name in enumerate(self.alphabets) if name in alphabets]
        number = torch.full((len(self.alphabets),), -1)
        number[kept] = torch.arange(len(kept))
        rows = number[self.labels] >= 0
        return Characters(
            pictures=self.pictures[rows],
            labels=number[self.labels[rows]],
            alphabets=tuple(self.alphabets[place] for place in kept),
        )


def omniglot_small(sets: tuple[int, ...] = (1, 2), *, side: int = 28) -> Characters:
    """The "minimal" background sets of Omniglot: five alphabets each, 20 pictures a character.

    Greek and Latin are in both and count once: together 242 characters of eight alphabets.

    `sets`: 1, 2 or both.
    `side`: of the pictures in pixels, 105 for the originals.
    Source: Lake, Salakhutdinov & Tenenbaum 2015 and 2019.
    Raises ValueError for another set or side, DataError where the files cannot be had, and
    ModuleNotFoundError without the extra `images`.
    """
    if not sets or not set(sets) <= set(SMALL):
        raise ValueError(f"sets={sets!r}: give (1,), (2,) or (1, 2)")
    found: dict[str, tuple[str, np.ndarray]] = {}
    for number in sets:
        for path, picture in _pictures(SMALL[number], side):
            # such as images_background_small1/Greek/character01/0394_01.png
            alphabet, character, name = PurePosixPath(path).parts[-3:]
            found[f"{alphabet}/{character}/{name}"] = (f"{alphabet}/{character}", picture)
    names = sorted({character for character, _ in found.values()})
    number_of = {name: place for place, name in enumerate(names)}
    rows = [found[key] for key in sorted(found)]
    return Characters(
        pictures=torch.from_numpy(np.stack([picture for _, picture in rows]))[:, None],
        labels=torch.tensor([number_of[character] for character, _ in rows]),
        alphabets=tuple(name.split("/")[0] for name in names),
    )


def omniglot_runs(*, side: int = 28) -> tuple[Supervised, ...]:
    """The 20 runs of one-shot classification, each a task of 20 characters of one alphabet.

    A run's "train" split has one picture of each character, drawn by one person. Its "validation"
    split is the same pictures, as there is nothing else to validate on. Its "test" split has one
    picture of each character by another person. The alphabets are in no background set.

    `side`: of the pictures in pixels, 105 for the originals.
    Source: Lake, Salakhutdinov & Tenenbaum 2015.
    Raises as `omniglot_small`.
    """
    pictures = dict(_pictures(RUNS, side))
    with zipfile.ZipFile(fetch(RUNS)) as archive:
        answers = {
            number: archive.read(f"run{number:02d}/class_labels.txt").decode().split()
            for number in range(1, 21)
        }
    return tuple(_run(number, pictures, answers[number]) for number in answers)


def _run(number: int, pictures: dict[str, np.ndarray], answers: list[str]) -> Supervised:
    """`answers`: for each query its path, and then that of the picture of its character."""
    names = [f"run{number:02d}/training/class{place:02d}.png" for place in range(1, 21)]
    support = torch.from_numpy(np.stack([pictures[name] for name in names]))[:, None]
    queries = torch.from_numpy(np.stack([pictures[name] for name in answers[::2]]))[:, None]
    train = (support, torch.arange(20))
    return Supervised(
        train=train,
        validation=train,
        test=(queries, torch.tensor([names.index(name) for name in answers[1::2]])),
        name=f"omniglot run {number:02d}",
    )


def _pictures(source: Source, side: int) -> list[tuple[str, np.ndarray]]:
    """(path in the archive, ink from 0 to 1 as side×side) of each picture."""
    if not 1 <= side <= SIDE:
        raise ValueError(f"side={side}: give the pixels of a side, from 1 to {SIDE}")
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing("PIL", extra="images", what="PNG is read with Pillow") from None
    found = []
    with zipfile.ZipFile(fetch(source)) as archive:
        for path in sorted(archive.namelist()):
            if path.endswith(".png") and not path.startswith("__MACOSX"):
                picture = Image.open(io.BytesIO(archive.read(path))).convert("L")
                if side != SIDE:
                    picture = picture.resize((side, side), Image.Resampling.BOX)
                found.append((path, 1 - np.asarray(picture, dtype=np.float32) / 255))
    return found
