"""A small network that says in which language a text is, in a file that takes text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from shoestring.artifact import HashedText, load
from shoestring.core import seeded
from shoestring.kit import AdamW, Training, parameter_bytes, resuming, save, train
from shoestring.models import NgramClassifier
from shoestring.recipes.coding_to_size import coded_to_size
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.recipes.text_tools import TextResult
from shoestring.tasks import (
    LabelledTexts,
    excerpts,
    identifying,
    letters_of,
    other_texts,
    udhr,
    with_scripts,
    without_variants,
)

LENGTHS = (20, 50, 100)
"""Of the excerpts that are scored, in characters."""
_EACH = 5  # excerpts of each label and length to validate on


@dataclass(frozen=True, kw_only=True)
class IdentifierSettings:
    """How a network for labels of texts is built and trained.

    `step`: from texts to ids; its `pages`, its `scripts` and which label has which come from the
        training texts, whatever it has.
    `width`, `hidden`, `dropout`: as in NgramClassifier.
    `passes`: over the training rows, in floating point.
    `coding_passes`: over them again, while the weights go to the size of the file.
    `least_steps`: of the training in floating point and of the coding, where the passes are fewer.
    `learning_rate`: of AdamW.
    """

    step: HashedText
    width: int = 32
    hidden: int = 0
    dropout: float = 0.2
    passes: int = 30
    coding_passes: int = 20
    least_steps: int = 600
    learning_rate: float = 0.02


IDENTIFIER = IdentifierSettings(step=HashedText())
IDENTIFIER_BYTES = 99_000
"""Of the file with all languages, at most."""
_OVER = 33  # the weights come out above their goal: by about this part of the size
_LOST = 0.002  # the loss of texts, as a share, that is good enough


def identifier(
    texts: Mapping[str, LabelledTexts],
    path: Path,
    *,
    size: int,
    settings: IdentifierSettings = IDENTIFIER,
    uncoded: Path | None = None,
    seed: int = 0,
) -> TextResult:
    """A network that gives a text one of the labels, coded to `size` bytes at most, in `path`.

    It is validated on excerpts of 20, 50 and 100 characters where the validation texts have these,
    else on these texts. After a kill, the same call goes on.

    `texts`: of "train" and of "validation".
    `size`: of the file, in bytes: above what its labels and its graph take.
    `uncoded`: where to write the network as it is before coding, as well; None: nowhere.
    Raises ValueError for a smaller size, for labels that training has not, and, as `coded_to_size`,
    where no try led to a file of `size` bytes.
    """
    pages = letters_of(texts["train"].texts, settings.step)
    step = with_scripts(replace(settings.step, pages=pages), texts["train"])
    validation = short(texts["validation"])
    task = identifying(texts["train"], validation, validation, step=step)
    assert task.input_chain is not None
    notes = sum(map(len, task.input_chain.notes().values()))
    around = 3000 + notes // 2 + size // _OVER
    if size <= around:
        raise ValueError(f"a file of {size:,} bytes is too small: give more than {around:,}")
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        model = NgramClassifier(
            step.ids,
            len(task.input_chain.labels),
            width=settings.width,
            hidden=settings.hidden,
            dropout=settings.dropout,
        )
        before = parameter_bytes(model)
        steps = -(-len(task.train[1]) // task.batch_size)
        optimizer = AdamW(settings.learning_rate, weight_decay=0.0)
        training = Training(max(settings.least_steps, settings.passes * steps), optimizer)
        train(model, task.sealed(), training, what="training the network")
        if uncoded is not None:
            save(model, task.sealed(), uncoded)
        slower = AdamW(settings.learning_rate / 4, weight_decay=0.0)
        coded = Training(max(settings.least_steps, settings.coding_passes * steps), slower)
        made = coded_to_size(
            model,
            task.sealed(),
            path,
            size=size,
            around=around,
            lesson=task.sealed(),
            training=coded,
            score=partial(label_score, texts=validation),
            lost=_LOST,
        )
    return TextResult(bytes=made.bytes, before=before, validation=made.after, trained=made.before)


def short(texts: LabelledTexts, *, each: int = _EACH) -> LabelledTexts:
    """Excerpts of 20, 50 and 100 characters; the texts themselves, where all are shorter."""
    found = [excerpts(texts, length, each=each) for length in LENGTHS]
    if not any(map(len, found)):
        return texts
    return LabelledTexts(
        texts=tuple(text for one in found for text in one.texts),
        labels=tuple(label for one in found for label in one.labels),
    )


def label_score(path: Path, texts: LabelledTexts) -> float:
    """The share of texts to which the file gives their label."""
    answers = load(path, threads=1).answers(texts.texts)
    right = [one[0][0] == label for one, label in zip(answers, texts.labels, strict=True)]
    return float(np.mean(right))


def language_score(path: Path, texts: LabelledTexts) -> float:
    """The share of texts to which the file gives their language: three letters of their label."""
    answers = load(path, threads=1).answers(texts.texts)
    right = [one[0][0][:3] == label[:3] for one, label in zip(answers, texts.labels, strict=True)]
    return float(np.mean(right))


def declarations(split: str) -> LabelledTexts:
    """The declaration in 355 languages, for training with other text in three of them."""
    texts = without_variants(udhr(split))
    return texts + other_texts() if split == "train" else texts


def end_to_end(run: Run) -> None:
    """Languages of held-out articles; a quick run has five passes, and two while it is coded."""
    texts = {split: declarations(split) for split in ("train", "validation", "test")}
    settings = replace(IDENTIFIER, passes=5, coding_passes=2) if run.quick else IDENTIFIER
    path, uncoded = run.folder / "udhr_identify.shoe", run.folder / "uncoded.shoe"
    made = identifier(
        texts, path, size=IDENTIFIER_BYTES, settings=settings, uncoded=uncoded, seed=run.seed
    )
    some = excerpts(texts["test"], 50)
    for subject, file, validation in (
        ("uncoded", uncoded, made.trained),
        ("udhr_100kb", path, made.validation),
    ):
        run.scores(subject, file.stat().st_size, validation, language_score(file, some))


RECIPE = Recipe(
    name="identifier",
    line="which of 355 languages a line is in, from hashed n-grams, in a file of 100 KB",
    scarce="bytes and milliseconds",
    instead="three pages of text in each language, and some more in three",
    data=("UDHR", "English-EWT", "JaQuAD", "XQuAD"),
    minutes=3,
    quick_minutes=0.7,
    page="text-tools.md",
    run=end_to_end,
    elsewhere="Botha et al. 2017",
    results=Results(
        file="language_identification.udhr-cpu.jsonl",
        before=(Line("before coding", "uncoded"),),
        ours=(
            Line("hashed n-grams, in 100 KB", "udhr_100kb"),
            Line("the larger file", "udhr"),
        ),
        baselines=(Line("naive Bayes with the same n-grams", "naive_bayes"),),
        lost=Measure("test error, 50 characters", "test error", "%", ".2f"),
        price=Measure("minutes of a core", "training", "minutes of a core", ".1f"),
    ),
)
