"""Files of a few kilobytes, by search, at random and by hand: `python benchmarks/tiny.py`.

CIFAR-10 within 11,400 bytes, spoken digits (FSDD) within 2,000, and SST-2 within 100,000, whole
files; of SST-2 with the list of its words in xz, since the file takes their ids. In each way three
networks are trained, and trained on for the length of their code until the file fits; the best file
stays (`recipes.tiny_files`). They are the best of an evolution; the best of as many trainings at
random; and three widths of a network that nobody searched for: ResNet-20 of 4, 5 and 6 channels
(which has more operations than the others may have), `SpokenDigits` of 24, 32 and 48,
`NgramClassifier` of 8, 16 and 32. All have the same training and the same coding. For pictures the
network whose file was best is also trained for 3, 10, 30 and 100 passes, and coded for as many: the
curve of score against time.
Choices are made on validation data; each file is scored once on test data. Five seeds, three of
pictures. Goes on where it was interrupted, in the middle of a training too. A seed of
`--only digits` takes about twenty minutes of a core; `--only ", 1 passes"` is the shortest training
of pictures in all ways.
--quick: one seed, the quick runs of the recipes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

import torch
from rows import RESULTS, Rows, start

from shoestring.kit import Supervised
from shoestring.recipes.found_networks import (
    PICTURES,
    SOUNDS,
    for_texts,
    mixed_sounds,
    quick,
    shown_pictures,
)
from shoestring.recipes.running import few
from shoestring.recipes.tiny_files import WAYS, FewBytes, tiny_file
from shoestring.tasks import sst2


@dataclass(frozen=True)
class Data:
    """A data set with its limit, and for how many times the training networks are trained."""

    task: Callable[[], Supervised]
    settings: Callable[[], FewBytes]
    part: float  # by which a quick run divides all trainings
    times: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


DATA = {
    "digits": Data(mixed_sounds, lambda: SOUNDS, 4),
    "texts": Data(sst2, for_texts, 3),
    "pictures": Data(shown_pictures, lambda: PICTURES, 4, (1, 3, 10, 30, 100), (0, 1, 2)),
}


def subject_of(data: str, way: str, times: int) -> str:
    """The name of the rows of a file; `times` the training of pictures are as many passes."""
    return f"{data}, {way}" + (f", {times} passes" if data == "pictures" else "")


def main() -> None:
    torch.set_num_threads(1)
    rows = start("tiny", "cifar10-jpeg-fsdd-sst2-cpu", __doc__ or "", seeds=True)
    for name, data in DATA.items():
        for times in data.times[:1] if rows.quick else data.times:
            for seed in data.seeds[:1] if rows.quick else data.seeds:
                for way in WAYS:
                    subject = subject_of(name, way, times)
                    wanted = rows.seed in (None, seed) and rows.wanted(subject)
                    if wanted and not rows.done(subject, seed):
                        one(rows, name, way, times, seed)
    rows.close()


def one(rows: Rows, name: str, way: str, times: int, seed: int) -> None:
    """The rows of a file."""
    task, settings = DATA[name].task(), DATA[name].settings()
    if rows.quick:
        settings = quick(settings, DATA[name].part)
        task = few(task, 2000, 1000) if name == "pictures" else task
    subject = subject_of(name, way, times)
    folder = RESULTS / "unfinished" / f"tiny{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    began = process_time()
    made = tiny_file(
        task,
        folder / f"{subject.replace(', ', '_').replace(' ', '_')}_{seed}.shoe",
        way=way,
        settings=settings,
        networks=folder / name,
        times=times,
        seed=seed,
    )
    print(made.network, made.finalists, flush=True)
    rows.add(subject, "bytes allowed", settings.size, "bytes", seed)
    rows.add(subject, "beside the file", settings.beside, "bytes", seed)
    rows.add(subject, "size", made.bytes, "bytes", seed)
    rows.add(subject, "search", made.searching / 60, "minutes of a core", seed)
    rows.add(subject, "last start", (process_time() - began) / 60, "minutes of a core", seed)
    coded = [one for one in made.finalists.values() if one is not None]
    rows.add(subject, "finalists with a file", len(coded), "networks", seed)
    worst = 100 * (1 - min(coded))
    rows.add(subject, "validation error of the worst finalist's file", worst, "%", seed)
    rows.add(subject, "operations", made.operations, "of one example", seed)
    rows.add(subject, "validation error before coding", 100 * (1 - made.trained), "%", seed)
    rows.add(subject, "validation error", 100 * (1 - made.validation), "%", seed)
    rows.add(subject, "test error", 100 * (1 - made.test), "%", seed)
    rows.add(subject, "done", 1, "", seed)


if __name__ == "__main__":
    main()
