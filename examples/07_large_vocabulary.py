"""Your own text: a model of its next words, with every word in the vectors of a row and a column.

`python examples/07_large_vocabulary.py [TEXT.txt] [STEPS]`.
About a minute on one core. Without a text it reads the documentation that comes with Python.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import torch

from shoestring import load, prove, save
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training
from shoestring.models import LightRNN, alternate
from shoestring.quantize import WeightOnly
from shoestring.tasks import NextWord, perplexity

UNKNOWN = "<unknown>"


def words_of(path: str | None) -> list[str]:
    """The words and marks of a text, in lower case."""
    if path is None:
        from pydoc_data.topics import topics

        text = " ".join(topics.values())
    else:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    return re.findall(r"\w+|[^\w\s]", text.lower())


def main(steps: int = 1000, path: str | None = None) -> None:
    words = words_of(path)
    first, last = len(words) * 8 // 10, len(words) * 9 // 10
    frequent = Counter(words[:first]).most_common(9999)
    vocabulary = [UNKNOWN, *(word for word, _ in frequent)]
    known = {word: number for number, word in enumerate(vocabulary)}
    ids = torch.tensor([known.get(word, 0) for word in words])
    task = NextWord(
        train=ids[:first],
        validation=ids[first:last],
        test=ids[last:],
        words=len(vocabulary),
        entries=("next",),  # the file tells all next words, too
    )
    print(f"{len(words):,} words, {len(vocabulary):,} of them different and frequent")

    with seeded(0):
        model = LightRNN(task.words, 64)
        alternate(
            model,
            task,
            Training(steps, AdamW(5e-3)),
            at=(0.25, 0.5),
            say=lambda before, after: print(f"words moved: {1 - after / before:.1%} less loss"),
        )
    numbers = 64 * (len(model.rows) + len(model.columns))
    print(f"numbers in the vectors of words: {numbers:,} instead of {64 * task.words:,}")
    print(f"perplexity on validation data: {perplexity(score(task, model)):.1f}")

    small = WeightOnly(bits=5)(model, task)
    print(f"bytes of the file: {save(small, task, 'words.shoe'):,}")
    beginning = task.validation[None, :20]
    likely = load("words.shoe").next(beginning)[0].argsort()[::-1][:5]
    print("after", " ".join(vocabulary[word] for word in beginning[0, -8:]))
    print("likely:", ", ".join(vocabulary[word] for word in likely))
    found = prove("words.shoe", task)
    print(f"test score of the file: {found:.3f} bits, a perplexity of {perplexity(found):.1f}")


if __name__ == "__main__":
    steps = [int(one) for one in sys.argv[1:] if one.isdigit()]
    texts = [one for one in sys.argv[1:] if not one.isdigit()]
    main((steps or [1000])[0], next(iter(texts), None))
