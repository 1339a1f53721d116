"""Networks that a search found for few bytes: of pictures, of spoken digits, and of texts."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from shoestring.core import Ledger
from shoestring.kit import Adagrad, AdamW, Averaged, Supervised, Training
from shoestring.models import NgramClassifier, ResNet20, SpokenDigits
from shoestring.recipes import baselines
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.recipes.tiny_files import WAYS, FewBytes, TinyFile, tiny_file
from shoestring.search import Ngrams, Stages
from shoestring.tasks import cifar10, fsdd, sst2, sst2_vocabulary

PICTURES = FewBytes(
    size=11_400,
    space=Stages(),
    by_hand={f"ResNet20({channels})": partial(ResNet20, channels) for channels in (4, 5, 6)},
    operations=4_000_000,
    bits=2.5,
    searching=Training(150, AdamW(5e-3), statistics=Averaged()),
    trainings=7.0,
    steps=352,
    coding_steps=352,
    learning_rate=4e-3,
)
"""For CIFAR-10, in one pass of 352 steps for a training and for a coding."""
SOUNDS = FewBytes(
    size=2_000,
    space=Stages(
        channels=1,
        height=32,
        width=20,
        firsts=(4, 8, 12, 16),
        widths=((4, 8, 12, 16), (8, 12, 16, 24), (8, 16, 24, 32)),
        strides=((1, 2), (1, 2), (1, 2)),
        layers=(1, 2),
    ),
    by_hand={
        f"SpokenDigits(width={width})": partial(SpokenDigits, width=width) for width in (24, 32, 48)
    },
    operations=2_000_000,
    bits=3.0,
    searching=Training(400, AdamW(5e-3), statistics=Averaged()),
    steps=1500,
    coding_steps=1500,
    learning_rate=5e-3,
)
"""For spoken digits."""


def for_texts() -> FewBytes:
    """For SST-2: the list of its words, in xz, counts beside the file, which takes their ids."""
    vocabulary = sst2_vocabulary()
    return FewBytes(
        size=100_000,
        beside=len(lzma.compress("\n".join(vocabulary.words).encode())),
        around=600,
        space=Ngrams(ids=len(vocabulary)),
        by_hand={
            f"NgramClassifier(width={width})": partial(
                NgramClassifier, len(vocabulary), 2, width=width
            )
            for width in (8, 16, 32)
        },
        operations=1_000_000,
        bits=4.0,
        searching=Training(600, Adagrad(0.1)),
        steps=600,
        coding_steps=1200,
        learning_rate=3e-3,
    )


def shown_pictures() -> Supervised:
    """CIFAR-10, mirrored and shifted by up to four pixels in training."""
    return replace(cifar10(), augment=baselines.pictures)


def mixed_sounds() -> Supervised:
    """Spoken digits; the first training examples are of all digits."""
    task = fsdd()
    inputs, targets = task.train
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    return replace(task, train=(inputs[order], targets[order]))


def found_pictures(
    task: Supervised,
    folder: Path,
    *,
    settings: FewBytes = PICTURES,
    times: float = 1.0,
    ways: Sequence[str] = WAYS,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[TinyFile], None] = lambda made: None,
) -> list[TinyFile]:
    """Files for CIFAR-10 of 11,400 bytes: of a network that was found, at random, and by hand.

    After a kill, the same call goes on. Published: 86.5 % at 11.4 kB, 8 bits a weight, not coded,
    of lossless CIFAR-10 (Liberis et al. 2021). Ours are in `docs/search.md`, made by
    `python benchmarks/tiny.py`.

    `task`: such as `shown_pictures()`.
    `folder`: for the files, and for what the searches measured.
    `times`: 30 makes the file that was chosen once more, with thirty passes in place of one.
    `say`: called with each file.
    """
    return _files(task, folder, settings, ways, seed, ledger, say, times)


def found_digits(
    task: Supervised,
    folder: Path,
    *,
    settings: FewBytes = SOUNDS,
    ways: Sequence[str] = WAYS,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[TinyFile], None] = lambda made: None,
) -> list[TinyFile]:
    """Files for spoken digits of 2,000 bytes, the input chain included; as `found_pictures`.

    `task`: such as `mixed_sounds()`.
    """
    return _files(task, folder, settings, ways, seed, ledger, say)


def found_texts(
    task: Supervised,
    folder: Path,
    *,
    settings: FewBytes | None = None,
    ways: Sequence[str] = WAYS,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[TinyFile], None] = lambda made: None,
) -> list[TinyFile]:
    """Files for SST-2 that have 100,000 bytes with the list of words; as `found_pictures`.

    `task`: such as `tasks.sst2()`.
    `settings`: None for those of `for_texts`.
    """
    return _files(task, folder, settings or for_texts(), ways, seed, ledger, say)


def _files(
    task: Supervised,
    folder: Path,
    settings: FewBytes,
    ways: Sequence[str],
    seed: int,
    ledger: Ledger | None,
    say: Callable[[TinyFile], None],
    times: float = 1.0,
) -> list[TinyFile]:
    made = list[TinyFile]()
    for way in ways:
        path = folder / f"{way.replace(' ', '_')}.shoe"
        more = {"settings": settings, "times": times, "ledger": ledger, "seed": seed}
        made.append(tiny_file(task, path, way=way, networks=folder / "networks", **more))
        say(made[-1])
    return made


def pictures_end_to_end(run: Run) -> None:
    """All ways; a quick run has 2,000 pictures, and a quarter of the training."""
    task, settings = shown_pictures(), PICTURES
    if run.quick:
        task, settings = few(task, 2000, 1000), quick(PICTURES, 4)
    found_pictures(task, run.folder, **_told(run, settings))


def digits_end_to_end(run: Run) -> None:
    """All ways; a quick run has a quarter of the training."""
    settings = quick(SOUNDS, 4) if run.quick else SOUNDS
    found_digits(mixed_sounds(), run.folder, **_told(run, settings))


def texts_end_to_end(run: Run) -> None:
    """All ways; a quick run has a third of the training."""
    settings = quick(for_texts(), 3) if run.quick else for_texts()
    found_texts(sst2(), run.folder, **_told(run, settings))


def quick(settings: FewBytes, part: float) -> FewBytes:
    """A search of three trainings, and all trainings shortened: of `part` 4 to a quarter."""
    searching = settings.searching.scaled(1 / part)
    return replace(settings.longer(1 / part), searching=searching, trainings=3.0)


def _told(run: Run, settings: FewBytes) -> dict:
    def say(made: TinyFile) -> None:
        run.row(made.way, "bytes allowed", settings.size, "bytes", seeded=False)
        run.row(made.way, "search", made.searching / 60, "minutes of a core")
        coded = sum(one is not None for one in made.finalists.values())
        run.row(made.way, "finalists with a file", coded, "networks")
        run.row(made.way, "operations", made.operations, "of one example")
        run.row(made.way, "validation error before coding", 100 * (1 - made.trained), "%")
        run.scores(made.way, made.bytes, made.validation, made.test)

    return {"settings": settings, "seed": run.seed, "ledger": run.ledger, "say": say}


FOUND_PICTURES = Recipe(
    name="found_pictures",
    line="CIFAR-10 in 11,400 bytes: a network that is searched for, then coded",
    scarce="bytes",
    instead="a search for the network, of seven trainings",
    data=("CIFAR-10",),
    minutes=20,
    quick_minutes=3,
    page="search.md",
    run=pictures_end_to_end,
    published=(
        Published(
            "test error",
            13.5,
            "%",
            "Liberis et al. 2021 (µNAS), second-hand",
            "lossless CIFAR-10, 8 bits a weight, not coded",
        ),
        Published(
            "file, bytes",
            11400,
            "bytes",
            "Liberis et al. 2021 (µNAS), second-hand",
            "lossless CIFAR-10, 8 bits a weight, not coded",
        ),
    ),
    results=Results(
        file="tiny.cifar10-jpeg-fsdd-sst2-cpu.jsonl",
        before=(),  # "pictures, by hand, 1 passes", once there are rows of it
        ours=(Line("found by evolution, one pass", "pictures, found, 1 passes"),),
        saved=Measure("test error", "test error", "%", ".2f"),
        lost=Measure("bytes allowed", "bytes allowed", "bytes", ",.0f"),
        also=(
            Measure("file, bytes", "size", "bytes", ",.0f"),
            Measure("validation error", "validation error", "%", ".2f"),
            Measure("operations", "operations", "of one example", ",.0f"),
        ),
        price=Measure("minutes of search", "search", "minutes of a core", ".1f"),
    ),
)

FOUND_DIGITS = Recipe(
    name="found_digits",
    line="spoken digits in 2,000 bytes: a network that is searched for, then coded",
    scarce="bytes",
    instead="a search for the network, of nine trainings",
    data=("FSDD",),
    minutes=10,
    quick_minutes=2,
    page="search.md",
    run=digits_end_to_end,
    elsewhere="Liberis et al. 2021 (µNAS), Speech Commands",
    results=Results(
        file="tiny.cifar10-jpeg-fsdd-sst2-cpu.jsonl",
        before=(Line("by hand: `SpokenDigits`, 32 wide", "digits, by hand"),),
        ours=(Line("found by evolution", "digits, found"),),
        baselines=(
            Line("found at random", "digits, at random"),
            Line("by hand, without a search", "digits, by hand", cheaper=True),
        ),
        saved=Measure("test error", "test error", "%", ".2f"),
        lost=Measure("bytes allowed", "bytes allowed", "bytes", ",.0f"),
        also=(
            Measure("file, bytes", "size", "bytes", ",.0f"),
            Measure("validation error", "validation error", "%", ".2f"),
            Measure("operations", "operations", "of one example", ",.0f"),
        ),
        price=Measure("minutes of search", "search", "minutes of a core", ".1f"),
    ),
)

FOUND_TEXTS = Recipe(
    name="found_texts",
    line="SST-2 in 100,000 bytes with its words: a network that is searched for, then coded",
    scarce="bytes",
    instead="a search for the network, of nine trainings",
    data=("SST-2",),
    minutes=2,
    quick_minutes=0.5,
    page="search.md",
    run=texts_end_to_end,
    results=Results(
        file="tiny.cifar10-jpeg-fsdd-sst2-cpu.jsonl",
        before=(Line("by hand: `NgramClassifier`, 16 wide", "texts, by hand"),),
        ours=(Line("found by evolution", "texts, found"),),
        baselines=(
            Line("found at random", "texts, at random"),
            Line("by hand, without a search", "texts, by hand", cheaper=True),
        ),
        saved=Measure("test error", "test error", "%", ".2f"),
        lost=Measure("bytes allowed", "bytes allowed", "bytes", ",.0f"),
        also=(
            Measure("file, bytes", "size", "bytes", ",.0f"),
            Measure("validation error", "validation error", "%", ".2f"),
            Measure("operations", "operations", "of one example", ",.0f"),
        ),
        price=Measure("minutes of search", "search", "minutes of a core", ".1f"),
    ),
)
