"""Your own text: a file of 60 KB that completes what you type as your text would go on.

`python examples/08_complete.py [TEXT.txt] [STEPS]`.
About two minutes on one core. Without a text it reads the documentation that comes with Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shoestring import load, prove, save
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Mixed, Training, train
from shoestring.models import ByteGRU
from shoestring.quantize import Rate, Toward
from shoestring.tasks import byte_text


def lines_of(path: str | None) -> list[str]:
    """The lines of a text, each once."""
    if path is None:
        from pydoc_data.topics import topics

        text = "\n".join(topics.values())
    else:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    return list(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))


def main(steps: int = 1000, path: str | None = None) -> None:
    lines = lines_of(path)
    task = byte_text(
        {
            "train": [line for at, line in enumerate(lines) if at % 20 > 1],
            "validation": lines[::20],
            "test": lines[1::20],
        },
        states=131,
    )
    print(f"{len(task.train):,} lines to learn from, {sum(map(len, task.train)):,} bytes")

    with seeded(0):
        model = ByteGRU(states=131)
        train(model, task, Training(steps, AdamW(5e-3), precision=Mixed()))
        print(f"bits per byte on validation lines: {-score(task, model):.3f}")
        rate = Rate(price=Toward(58_000), training=Training(steps // 2, AdamW(2e-3)))
        small = rate(model, task)
    print(f"bytes of the file: {save(small, task, 'complete.shoe', smallest=True):,}")

    complete = load("complete.shoe")
    for line in lines[::20][:3]:
        beginning = line[: len(line) // 3]
        ways = " or ".join(repr(one.text) for one in complete(beginning))
        print(f"{beginning!r} goes on with {ways}")
    print(f"test score of the file: {prove('complete.shoe', task):.3f} (minus the bits per byte)")


if __name__ == "__main__":
    steps = [int(one) for one in sys.argv[1:] if one.isdigit()]
    texts = [one for one in sys.argv[1:] if not one.isdigit()]
    main((steps or [1000])[0], next(iter(texts), None))
