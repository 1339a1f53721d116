"""Which language a text is in: our files on held-out articles of the UDHR and on other text.

    OMP_NUM_THREADS=1 python benchmarks/language_identification.py

Trains the networks, scores their files once on excerpts of 20, 50 and 100 characters of the test
articles, and on sentences of treebanks, and times them from text to labels, in seconds of the
processor, on one core. Goes on where it was interrupted. `--only udhr_100kb` makes one of them,
`--seed 0` one seed of it. --quick: one pass, one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import torch
from rows import RESULTS, Rows, start

from shoestring.artifact import Loaded, load
from shoestring.recipes.language_identification import (
    IDENTIFIER,
    LENGTHS,
    IdentifierSettings,
    identifier,
)
from shoestring.tasks import LabelledTexts, excerpts, treebank, udhr

EACH = 20  # excerpts of each label and length
OTHER = {"en": "eng", "zh": "cmn", "ja": "jpn"}  # treebanks, and the code of their language


@dataclass(frozen=True, kw_only=True)
class Job:
    """A network: its file's size in bytes and its settings."""

    size: int
    settings: IdentifierSettings
    seeds: tuple[int, ...] = (0, 1, 2)


JOBS = {
    "udhr_100kb": Job(size=96_000, settings=IDENTIFIER),
    "udhr": Job(
        size=450_000,
        settings=replace(IDENTIFIER, width=64, coding_passes=10),
    ),
}


def main() -> None:
    rows = start("language_identification", "udhr-cpu", __doc__ or "", seeds=True)
    torch.set_num_threads(1)
    for name, job in JOBS.items():
        for seed in job.seeds[:1] if rows.quick else job.seeds:
            if rows.wanted(name) and not rows.done(name, seed) and rows.seed in (None, seed):
                ours(rows, name, job, seed)
    if rows.only is None and rows.seed is None:
        rows.close()


def ours(rows: Rows, name: str, job: Job, seed: int) -> None:
    """Train a network, score its file and time it."""
    settings = job.settings
    if rows.quick:
        settings = replace(settings, passes=1, coding_passes=1, least_steps=1)
    folder = RESULTS / "unfinished"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_seed{seed}{'.quick' if rows.quick else ''}.shoe"
    data = {split: udhr(split) for split in ("train", "validation", "test")}
    began = process_time()
    made = identifier(data, path, size=job.size, settings=settings, seed=seed)
    rows.add(name, "training", (process_time() - began) / 60, "minutes of a core", seed)
    rows.add(name, "labels", len(set(data["train"].labels)), "", seed)
    rows.add(name, "size", made.bytes, "bytes", seed)
    rows.add(name, "parameters, 4 bytes each", made.before, "bytes", seed)
    rows.add(name, "validation score", 100 * made.validation, "%", seed)
    rows.add(name, "validation score before coding", 100 * made.trained, "%", seed)
    scored(rows, name, path, data["test"], seed)
    rows.add(name, "done", 1, "", seed)


def scored(rows: Rows, name: str, path: Path, test: LabelledTexts, seed: int) -> None:
    """Labels and languages that are right, on the UDHR and on treebanks, and lines a second.

    The language of a label is its first three letters: variants of one language are one.
    """
    loaded = load(path, threads=1)
    for length in LENGTHS:
        some = excerpts(test, length, each=EACH)
        found = labels_of(loaded, some.texts)
        right = share([a == b for a, b in zip(found, some.labels, strict=True)])
        rows.add(name, f"test labels right, {length} characters", right, "%", seed)
        right = share([a[:3] == b[:3] for a, b in zip(found, some.labels, strict=True)])
        rows.add(name, f"test languages right, {length} characters", right, "%", seed)
        rows.add(
            name, f"speed, {length} characters", speed(loaded, some), "lines/s", seed, timed=True
        )
    for treebank_of, code in OTHER.items():
        sentences = [one.text for one in treebank(treebank_of, "test")]
        if treebank_of == "zh":  # the release has no text
            sentences = ["".join(one.surface) for one in treebank(treebank_of, "test")]
        for length in LENGTHS:
            texts = [text[:length] for text in sentences if len(text) >= length]
            if len(texts) >= 50:
                right = share([one[:3] == code for one in labels_of(loaded, texts)])
                metric = f"treebank {treebank_of}, languages right, {length} characters"
                rows.add(name, metric, right, "%", seed)
                rows.add(name, f"treebank {treebank_of}, texts of {length}", len(texts), "", seed)


def labels_of(loaded: Loaded, texts: Sequence[str]) -> list[str]:
    """The likeliest label of each text."""
    return [answer[0][0] for answer in loaded.answers(texts)]


def share(right: Sequence[bool]) -> float:
    """How many are right, in per cent."""
    return 100 * sum(right) / len(right)


def speed(loaded: Loaded, some: LabelledTexts) -> float:
    """Lines a second of the processor; the fastest of five runs."""
    taken = []
    for _ in range(5):
        began = process_time()
        loaded.answers(some.texts)
        taken.append(process_time() - began)
    return len(some) / min(taken)


if __name__ == "__main__":
    main()
