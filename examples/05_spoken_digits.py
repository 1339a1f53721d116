"""Sounds in, words out, as C for a microcontroller. `python examples/05_spoken_digits.py`.

A minute on one core. Fetches the Free Spoken Digit Dataset, 15 MB, where it is not there yet.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shoestring import load, prove, save
from shoestring.artifact import read
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import export_c
from shoestring.core import seeded
from shoestring.kit import AdamW, Training, train
from shoestring.models import SpokenDigits
from shoestring.quantize import PostTraining
from shoestring.tasks import fsdd, fsdd_recordings


def main(steps: int = 2500) -> None:
    task = fsdd()  # its input chain goes into every file that is saved with it
    with seeded(0):
        model = train(SpokenDigits(), task, Training(steps, AdamW(5e-3))).eval()
    size = save(PostTraining()(model, task.sealed()), task, "spoken.shoe")

    spoken = load("spoken.shoe")
    heard = fsdd_recordings()["validation"]
    logits = spoken.from_raw(heard.sounds[::60])
    print(f"{size:,} bytes; {spoken.input_chain}")
    print(f"heard {logits.argmax(1).tolist()}, said were {list(heard.digits[::60])}")
    print(f"test score of the file: {prove('spoken.shoe', task):.4f}")

    made = export_c(read("spoken.shoe"), name="spoken", weights=Coded())
    Path("spoken.c").write_text(made.text)
    print(f"spoken.c takes samples: spoken_begin, spoken_feed, spoken_finish\n{made.said()}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
