"""A file that tells the languages, or the kinds, of your own lines.

`python examples/09_languages.py [LINES.tsv] [STEPS]`. A minute on one core. LINES.tsv has a text, a
tab and its label in each line; without it, articles of the UDHR in six languages are taken.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from shoestring import load
from shoestring.recipes.language_identification import IDENTIFIER, identifier, label_score
from shoestring.tasks import LabelledTexts, excerpts, labelled_texts, udhr

LANGUAGES = ("deu", "eng", "fra", "nld", "spa", "ita")


def lines(path: Path | None) -> tuple[LabelledTexts, LabelledTexts, LabelledTexts]:
    """Lines to train on, to validate on and to test on: of your own, a tenth each of the last."""
    if path is None:
        train, validation, test = (
            some.at([at for at, label in enumerate(some.labels) if label in LANGUAGES])
            for some in map(udhr, ("train", "validation", "test"))
        )
        return train, excerpts(validation, 50), excerpts(test, 50)
    every = labelled_texts(path)
    if len(every) < 30:
        raise ValueError(f"{path} has {len(every)} lines: give 30 or more")
    held_out = [range(start, len(every), 10) for start in (0, 1)]
    rest = [at for at in range(len(every)) if at % 10 > 1]
    return every.at(rest), every.at(held_out[0]), every.at(held_out[1])


def main(steps: int = 600, path: Path | None = None) -> None:
    train, validation, test = lines(path)
    settings = replace(IDENTIFIER, passes=1, coding_passes=1, least_steps=steps)
    data = {"train": train, "validation": validation}
    made = identifier(data, Path("languages.shoe"), size=60_000, settings=settings)
    print(f"languages.shoe: {made.bytes:,} bytes for {len(set(train.labels))} labels")
    print(f"right on validation: {made.validation:.4f}")

    # From here on, as anyone uses the file: without torch.
    identify = load("languages.shoe")
    expected = sorted(set(train.labels))[:2]
    for text, answer in zip(test.texts[:3], identify.answers(test.texts[:3], top=2), strict=True):
        print(repr(text), " ".join(f"{label} {score:.3f}" for label, score in answer))
    label, score = identify.answers([test.texts[0]], among=expected)[0][0]
    print(f"if it must be {' or '.join(expected)}: {label} {score:.3f}")
    print(f"test score of the file: {label_score(Path('languages.shoe'), test):.4f}")


if __name__ == "__main__":
    steps = [int(one) for one in sys.argv[1:] if one.isdigit()]
    files = [Path(one) for one in sys.argv[1:] if not one.isdigit()]
    main((steps or [600])[0], next(iter(files), None))
