"""Which language a text is in: our files on held-out articles of the UDHR and on other text.

    OMP_NUM_THREADS=1 python benchmarks/language_identification.py

Trains the networks, scores their files once on excerpts of 5 to 100 characters of the test articles
and on other text, also where the caller says which languages to expect, and times them from text to
labels, in seconds of the processor, on one core. Goes on where it was interrupted.
`--only udhr_100kb` makes one of them, `--seed 0` one seed of it; `--only speed` times again what
earlier runs left. --quick: one pass, one seed.

Other tools are beside them in `language_peers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from time import process_time
from unittest.mock import patch

import numpy as np
import torch
from language_baseline import NaiveBayes
from language_texts import test_texts, validation_texts
from rows import RESULTS, Rows, metrics, start

from shoestring.artifact import HashedText, Loaded, load
from shoestring.artifact.chains import hashed_text_loop
from shoestring.recipes.language_identification import (
    IDENTIFIER,
    IDENTIFIER_BYTES,
    LENGTHS,
    IdentifierSettings,
    declarations,
    identifier,
    language_score,
    short,
)
from shoestring.tasks import LabelledTexts, excerpts, udhr

EACH = 20  # excerpts of each label and length
SHORT = (5, 10)
"""Characters of what is too short for a good answer; measured beside LENGTHS."""
EXPECTED = (
    *("eng", "deu", "fra", "spa", "por", "ita", "nld", "pol"),
    *("ces", "rus", "ukr", "tur", "arb", "hin", "cmn", "jpn"),
)
"""The languages that a caller expects, where one does."""
Labels = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A network: its file's size in bytes, its settings, and its texts by split."""

    size: int
    settings: IdentifierSettings = IDENTIFIER
    texts: Callable[[str], LabelledTexts] = declarations
    seeds: tuple[int, ...] = (0, 1, 2)


JOBS = {
    "udhr_100kb": Job(size=IDENTIFIER_BYTES),
    "udhr": Job(size=464_000, settings=replace(IDENTIFIER, width=64, coding_passes=10)),
    "declaration_alone": Job(size=IDENTIFIER_BYTES, texts=udhr, seeds=(0,)),
}


def main() -> None:
    rows = start("language_identification", "udhr-cpu", __doc__ or "", seeds=True)
    torch.set_num_threads(1)
    if rows.only == "speed":
        timed_again(rows)
        return
    for name, job in JOBS.items():
        for seed in job.seeds[:1] if rows.quick else job.seeds:
            if rows.wanted(name) and not rows.done(name, seed) and rows.seed in (None, seed):
                ours(rows, name, job, seed)
    if rows.wanted("naive_bayes") and not rows.done("naive_bayes", None):
        baseline(rows)
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
    uncoded = path.with_suffix(".uncoded.shoe")
    data = {split: job.texts(split) for split in ("train", "validation", "test")}
    began = process_time()
    made = identifier(data, path, size=job.size, settings=settings, uncoded=uncoded, seed=seed)
    rows.add(name, "training", (process_time() - began) / 60, "minutes of a core", seed)
    rows.add(name, "labels", len(set(data["train"].labels)), "", seed)
    rows.add(name, "size", made.bytes, "bytes", seed)
    rows.add(name, "parameters, 4 bytes each", made.before, "bytes", seed)
    rows.add(name, "validation score", 100 * made.validation, "%", seed)
    rows.add(name, "validation score before coding", 100 * made.trained, "%", seed)
    rows.add(name, "validation error", 100 - 100 * made.validation, "%", seed)
    loaded = load(path, threads=1)
    scored(rows, name, loaded, data["test"], seed)
    timed(rows, name, loaded, data["test"], seed)
    if name == "udhr_100kb":
        some = excerpts(data["test"], 50, each=EACH)
        rows.add("uncoded", "size", uncoded.stat().st_size, "bytes", seed)
        rows.add("uncoded", "test error", 100 - 100 * language_score(uncoded, some), "%", seed)
        rows.add("uncoded", "validation error", 100 - 100 * made.trained, "%", seed)
    rows.add(name, "done", 1, "", seed)


def scored(rows: Rows, name: str, loaded: Loaded, test: LabelledTexts, seed: int) -> None:
    """Labels and languages that are right, on the UDHR and on other text.

    The language of a label is its first three letters: variants of one language are one.
    """

    def labels(texts: Sequence[str]) -> list[str]:
        return [answer[0][0] for answer in loaded.answers(texts)]

    def among(texts: Sequence[str]) -> list[str]:
        return [answer[0][0] for answer in loaded.answers(texts, among=EXPECTED)]

    declaration(rows, name, labels, test, seed)
    certainty(rows, name, loaded, test, seed)
    chosen = [at for at, label in enumerate(test.labels) if label[:3] in EXPECTED]
    for length in LENGTHS:
        some = excerpts(test.at(chosen), length, each=EACH)
        right = languages_right(among, some)
        rows.add(name, f"16 expected, UDHR, {length} characters", right, "%", seed)
    others(rows, name, labels, "", seed)
    others(rows, name, among, "16 expected, ", seed)
    for text in validation_texts():
        right = languages_right(labels, text.cut(50))
        rows.add(name, f"validation, {text.title}, 50 characters", right, "%", seed)


def certainty(rows: Rows, name: str, loaded: Loaded, test: LabelledTexts, seed: int) -> None:
    """The mean score of what is answered, beside what is right on other text: means of its kinds.

    Scores that can be trusted have the mean of what is right.
    """
    kinds = test_texts()
    for length in (*SHORT, *LENGTHS):
        found = loaded.answers(excerpts(test, length, each=EACH).texts)
        sure = 100 * mean(answer[0][1] for answer in found)
        rows.add(name, f"mean score, {length} characters", sure, "%", seed)
        scores, right = [], []
        for some in (text.cut(length) for text in kinds):
            if len(some) >= 30:
                found = loaded.answers(some.texts)
                scores.append(100 * mean(answer[0][1] for answer in found))
                same = zip(found, some.labels, strict=True)
                right.append(share([a[0][0][:3] == b[:3] for a, b in same]))
        rows.add(name, f"other text, {length} characters", mean(right), "%", seed)
        rows.add(name, f"other text, mean score, {length} characters", mean(scores), "%", seed)


def declaration(
    rows: Rows, name: str, labels: Labels, test: LabelledTexts, seed: int | None
) -> None:
    """What is right on the test articles."""
    for length in (*SHORT, *LENGTHS):
        some = excerpts(test, length, each=EACH)
        found = labels(some.texts)
        right = share([a == b for a, b in zip(found, some.labels, strict=True)])
        rows.add(name, f"test labels right, {length} characters", right, "%", seed)
        right = share([a[:3] == b[:3] for a, b in zip(found, some.labels, strict=True)])
        rows.add(name, f"test languages right, {length} characters", right, "%", seed)
        if length == 50:
            rows.add(name, "test error", 100 - right, "%", seed)


def others(rows: Rows, name: str, labels: Labels, prefix: str, seed: int | None) -> None:
    """What is right on other text; a length that few lines have is left out."""
    for text in test_texts():
        for length in LENGTHS:
            if len(some := text.cut(length)) >= 30:
                right = languages_right(labels, some)
                rows.add(name, f"{prefix}{text.title}, {length} characters", right, "%", seed)
                if not prefix:
                    rows.add(name, f"{text.title}, texts of {length}", len(some), "", seed)


def languages_right(labels: Labels, texts: LabelledTexts) -> float:
    """The share of texts whose language is right, in per cent."""
    found = labels(texts.texts)
    return share([a[:3] == b[:3] for a, b in zip(found, texts.labels, strict=True)])


def share(right: Sequence[bool]) -> float:
    """How many are right, in per cent."""
    return 100 * sum(right) / len(right)


def timed(rows: Rows, name: str, loaded: Loaded, test: LabelledTexts, seed: int) -> None:
    """Lines a second, as in the base install and with numba."""
    for length in LENGTHS:
        some = excerpts(test, length, each=EACH)
        with patch.object(hashed_text_loop, "worth_it", lambda _: False):
            speed = fastest(loaded, some)
        rows.add(name, f"speed, {length} characters", speed, "lines/s", seed, timed=True)
        if hashed_text_loop.available():
            hashed_text_loop.compiled()
            speed = fastest(loaded, some)
            told = f"speed with numba, {length} characters"
            rows.add(name, told, speed, "lines/s", seed, timed=True)
            told = f"network's share of it, {length} characters"
            rows.add(name, told, network_share(loaded, some), "%", seed, timed=True)


def timed_again(rows: Rows) -> None:
    """The speeds of the files that earlier runs left; nothing is trained."""
    for name, job in JOBS.items():
        for seed in job.seeds:
            path = RESULTS / "unfinished" / f"{name}_seed{seed}.shoe"
            if path.exists() and rows.seed in (None, seed):
                timed(rows, name, load(path, threads=1), job.texts("test"), seed)


def fastest(loaded: Loaded, some: LabelledTexts) -> float:
    """Lines a second of the processor; the fastest of ten runs."""
    taken = []
    for _ in range(10):
        began = process_time()
        loaded.answers(some.texts)
        taken.append(process_time() - began)
    return len(some) / min(taken)


def network_share(loaded: Loaded, some: LabelledTexts) -> float:
    """How much of the time is ONNX Runtime's, in per cent; the median of ten runs."""
    chain = loaded.input_chain
    assert chain is not None
    step = chain.steps[0]
    assert isinstance(step, HashedText)
    inside = [0.0]

    def run(ids: np.ndarray) -> np.ndarray:
        began = process_time()
        scores = loaded.scores_of_ids(ids)
        inside[0] += process_time() - began
        return scores

    shares = []
    for _ in range(10):
        inside[0], began = 0.0, process_time()
        step.answers(some.texts, chain.labels, run)
        shares.append(100 * inside[0] / (process_time() - began))
    return median(shares)


def baseline(rows: Rows) -> None:
    """Naive Bayes with the same n-grams of the same texts."""
    validation = short(declarations("validation"))
    network = NaiveBayes.trained(declarations("train"), IDENTIFIER.step, validation)
    rows.add("naive_bayes", "size", network.bytes, "bytes, deflated")
    rows.add("naive_bayes", "smoothing", network.smoothing, "")
    declaration(rows, "naive_bayes", network.labels_of, declarations("test"), None)
    others(rows, "naive_bayes", network.labels_of, "", None)
    have = metrics(rows.rows, "naive_bayes")
    for length in LENGTHS:
        full = [f"{text.title}, {length} characters" for text in test_texts()]
        right = mean(have[one] for one in full if one in have)
        rows.add("naive_bayes", f"other text, {length} characters", right, "%")
    rows.add("naive_bayes", "done", 1, "")


if __name__ == "__main__":
    main()
