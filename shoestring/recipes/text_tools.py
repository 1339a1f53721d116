"""Small feed-forward networks that tag and segment text, in files that take text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import HashedCharacters, HashedWords, load
from shoestring.core import seeded
from shoestring.kit import (
    AdamW,
    Supervised,
    Training,
    clone,
    parameter_bytes,
    resuming,
    train,
)
from shoestring.kit.corpora.conllu import NO_TAG
from shoestring.models import WindowTagger
from shoestring.recipes.coding_to_size import Coded, coded_to_size
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.recipes.text_teachers import Teachers, taught
from shoestring.tasks import (
    Sentence,
    segmenting,
    tagging,
    treebank,
    unlabelled_english,
    word_clusters,
    word_f1,
    written,
)

_AROUND = 3000  # bytes of a file beside the coded weights: graph, labels, frame


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """How a network for text is built and trained.

    `step`: from texts to ids.
    `width`, `vector`, `hidden`, `dropout`, `unseen`: as in WindowTagger.
    `rounds`: how many of the clusters of each word the network has; its teachers have all.
    `passes`: over the training rows, in floating point.
    `coding_passes`: over them again, while the weights go to the size of the file.
    `least_steps`: of the training in floating point, where the passes are fewer.
    `learning_rate`: of AdamW.
    `teachers`: larger networks that are trained first and teach this one; None: the labels do.
    """

    step: HashedWords | HashedCharacters
    width: int = 16
    vector: int = 64
    hidden: int = 96
    dropout: float = 0.3
    unseen: float = 0.1
    rounds: int = 4
    passes: int = 6
    coding_passes: int = 3
    least_steps: int = 0
    learning_rate: float = 4e-3
    teachers: Teachers | None = None


_LONGER = HashedWords(
    suffixes=(1, 2, 3, 4, 5),
    prefixes=(1, 2, 3, 4),
    buckets=(16384, 16384, 512, 256, 1024, 4096, 8192, 8192, 256, 1024, 4096, 8192),
    clusters=1 << 16,
    rules=1,
)
TAGGER = TextSettings(
    step=_LONGER, dropout=0.1, unseen=0.05, passes=2, coding_passes=1, teachers=Teachers()
)
"""For a language with spaces between words, and text without labels to learn from."""
SMALL_TAGGER = replace(TAGGER, rounds=1)
"""The same for a file of about 100 KB, where the clusters would take most of it."""
PLAIN_TAGGER = TextSettings(step=HashedWords())
"""For words that are given, as a segmenter gives them."""
SEGMENTER = TextSettings(step=HashedCharacters(), unseen=0.0)
_SHORTER = {"dropout": 0.2, "passes": 4, "coding_passes": 2}  # each row stands there twice
TAUGHT_PLAIN_TAGGER = replace(PLAIN_TAGGER, **_SHORTER, teachers=Teachers(count=1))
"""With a teacher on the same sentences: better for Chinese-GSD, and not for Japanese-GSD."""
TAUGHT_SEGMENTER = replace(
    SEGMENTER, **{**_SHORTER, "coding_passes": 4}, teachers=Teachers(count=1, unseen=0.0)
)
"""As TAUGHT_PLAIN_TAGGER; with fewer coding passes the file of Chinese-GSD loses more words."""
CLUSTERS, ROUNDS = 255, 4
_LOST = 0.002  # the loss of words, as a share, that is good enough


@dataclass(frozen=True, kw_only=True)
class TextResult:
    """A trained network in a file.

    `bytes`: of the file. `before`: bytes of its parameters in float32.
    `validation`: the share of words that are right, or the F1 of words, 0 to 1, of the file.
    `trained`: the same of the network before it was coded.
    `taught`: the task's score of its teachers, 0 to 1, on validation data: of words, or of
        characters; None: it had none.
    """

    bytes: int
    before: int
    validation: float
    trained: float
    taught: float | None = None


def tagger(
    sentences: Mapping[str, Sequence[Sentence]],
    path: Path,
    *,
    size: int,
    settings: TextSettings = PLAIN_TAGGER,
    clusters: Mapping[str, Sequence[int]] | None = None,
    unlabelled: Sequence[Sequence[str]] = (),
    folder: Path | None = None,
    seed: int = 0,
    coder: Callable[..., Coded] = coded_to_size,
) -> TextResult:
    """A tagger of words, trained and coded to `size` bytes at most; its file is written to `path`.

    After a kill, the same call goes on.

    `sentences`: of "train" and of "validation".
    `size`: of the file, in bytes, above 3,000.
    `settings`: a step with `clusters` above 0 needs `clusters`.
    `clusters`: the clusters of each word in small letters, 0 to 254 (`word_clusters`).
    `unlabelled`: the words of sentences without tags, which the teachers of the settings tag.
    `folder`: keeps the trainings and the teachers' answers, for more files of the same sentences;
        None: one beside `path`.
    `coder`: brings the trained network into a file; it takes the arguments of `coded_to_size`.
    Raises ValueError for a smaller size and for sentences without tags; and, as `coded_to_size`,
    where no try led to a file of `size` bytes.
    """
    assert isinstance(settings.step, HashedWords)
    task = tagging(
        sentences["train"], sentences["validation"], sentences["validation"], step=settings.step
    )
    table = None if clusters is None else _table(settings.step, clusters)
    folder = folder or path.with_suffix(".unfinished")
    lesson = _lesson(task, settings, table, unlabelled, folder)
    score = partial(tag_score, sentences=sentences)
    own = None if table is None else table[: settings.rounds]
    return _made(lesson, path, size, settings, own, seed, folder, score, coder)


def segmenter(
    sentences: Mapping[str, Sequence[Sentence]],
    path: Path,
    *,
    size: int,
    settings: TextSettings = SEGMENTER,
    unlabelled: Sequence[str] = (),
    folder: Path | None = None,
    seed: int = 0,
    coder: Callable[..., Coded] = coded_to_size,
) -> TextResult:
    """A segmenter of texts, as `tagger`; `unlabelled` are texts."""
    assert isinstance(settings.step, HashedCharacters)
    task = segmenting(
        sentences["train"], sentences["validation"], sentences["validation"], step=settings.step
    )
    folder = folder or path.with_suffix(".unfinished")
    lesson = _lesson(task, settings, None, unlabelled, folder)
    score = partial(segment_score, sentences=sentences)
    return _made(lesson, path, size, settings, None, seed, folder, score, coder)


def tag_score(
    path: Path, sentences: Mapping[str, Sequence[Sentence]], split: str = "validation"
) -> float:
    """The share of a split's words that the file tags right; words are as the corpus has them."""
    loaded = load(path, threads=1)
    chain = loaded.input_chain
    assert chain is not None
    step = chain.steps[0]
    assert isinstance(step, HashedWords)
    scores = loaded.scores_of_ids
    found = step.of_words_given([one.words for one in sentences[split]], chain.labels, scores)
    right = [
        tag == wanted
        for answer, one in zip(found, sentences[split], strict=True)
        for (_, tag), wanted in zip(answer, one.tags, strict=True)
        if wanted != NO_TAG
    ]
    return float(np.mean(right))


def segment_score(
    path: Path, sentences: Mapping[str, Sequence[Sentence]], split: str = "validation"
) -> float:
    """The F1 of the words that the file finds in a split's texts."""
    texts, words = zip(*map(written, sentences[split]), strict=True)
    return word_f1(words, load(path, threads=1)(list(texts)))


def english_clusters(
    train: Sequence[Sentence], unlabelled: Sequence[Sequence[str]]
) -> dict[str, tuple[int, ...]]:
    """The clusters of English words: of the training sentences and of `unlabelled_english`."""
    return word_clusters([one.words for one in train] + [*unlabelled], CLUSTERS, rounds=ROUNDS)


def end_to_end(run: Run) -> None:
    """Parts of speech in English; a quick run has 2,000 sentences and no clusters."""
    sentences = {split: treebank("en", split) for split in ("train", "validation", "test")}
    settings, clusters, unlabelled = TAGGER, None, []
    if run.quick:
        sentences["train"] = sentences["train"][:2000]
        step = HashedWords(rules=1)
        settings = replace(PLAIN_TAGGER, step=step, passes=2, coding_passes=2)
    else:
        unlabelled = unlabelled_english()
        clusters = english_clusters(sentences["train"], unlabelled)
    path = run.folder / "en_tag.shoe"
    made = tagger(
        sentences,
        path,
        size=500_000,
        settings=settings,
        clusters=clusters,
        unlabelled=unlabelled,
        seed=run.seed,
    )
    run.scores("en_tag", made.bytes, made.validation, tag_score(path, sentences, "test"))


def _table(step: HashedWords, clusters: Mapping[str, Sequence[int]]) -> torch.Tensor:
    """The clusters of each bucket, from 1; 0: none. A frequent word wins where two meet."""
    words = list(clusters)
    first = step.ids - step.clusters
    buckets = step.of_words(words)[:, -1] - first
    table = np.zeros((len(next(iter(clusters.values()))), step.clusters), np.uint8)
    for word, bucket in zip(reversed(words), reversed(buckets.tolist()), strict=True):
        table[:, bucket] = 1 + np.array(clusters[word])
    return torch.from_numpy(table)


@dataclass(frozen=True, kw_only=True)
class _Lesson:
    """What a network learns from, and the score of its teachers."""

    task: Supervised
    taught: float | None = None


def _lesson(
    task: Supervised,
    settings: TextSettings,
    clusters: torch.Tensor | None,
    unlabelled: Sequence[Any],
    folder: Path,
) -> _Lesson:
    """The task, or what teachers make of it; raises ValueError for text that nobody labels."""
    if settings.teachers is None:
        if unlabelled:
            raise ValueError("text without labels needs settings with teachers")
        return _Lesson(task=task)
    rows, score = taught(task, settings.teachers, clusters, unlabelled, folder)
    return _Lesson(task=rows, taught=score)


def _made(
    lesson: _Lesson,
    path: Path,
    size: int,
    settings: TextSettings,
    clusters: torch.Tensor | None,
    seed: int,
    folder: Path,
    score: Callable[[Path], float],
    coder: Callable[..., Coded],
) -> TextResult:
    step, task = settings.step, lesson.task
    around = _AROUND + (0 if clusters is None else _coded_bytes(clusters))
    if size <= around:
        raise ValueError(f"a file of {size:,} bytes is too small: give more than {around:,}")
    with resuming(folder), seeded(seed):
        assert task.input_chain is not None
        model: nn.Module = WindowTagger(
            step.ids,
            step.kinds,
            len(task.input_chain.labels),
            width=settings.width,
            vector=settings.vector,
            hidden=settings.hidden,
            reach=step.reach,
            dropout=settings.dropout,
            clusters=clusters,
            unseen=settings.unseen,
        )
        before = parameter_bytes(model)
        steps = -(-len(task.train[1]) // task.batch_size)
        optimizer = AdamW(settings.learning_rate, weight_decay=0.0)
        training = Training(max(settings.least_steps, settings.passes * steps), optimizer)
        train(model, task.sealed(), training, what="training the network")
        slower = AdamW(settings.learning_rate / 2, weight_decay=0.0)
        made = coder(
            model,
            task.sealed(),
            path,
            size=size,
            around=around,
            lesson=task.sealed().taught_by(clone(model).eval()).taught_at(0.5, 1.0),
            training=Training(settings.coding_passes * steps, slower),
            score=score,
            lost=_LOST,
        )
    return TextResult(
        bytes=made.bytes,
        before=before,
        validation=made.after,
        trained=made.before,
        taught=lesson.taught,
    )


def _coded_bytes(tables: torch.Tensor) -> int:
    """About how many bytes tables of clusters take: their entropy."""
    total = 0.0
    for table in tables.numpy():
        share = np.bincount(table, minlength=1) / len(table)
        share = share[share > 0]
        total -= (share * np.log2(share)).sum() * len(table) / 8
    return int(1.02 * total)


RECIPE = Recipe(
    name="tagger",
    line="parts of speech on English-EWT from hashed pieces of words, in a file that takes text",
    scarce="bytes and milliseconds",
    instead="text without labels, and two larger networks that teach on it",
    data=("English-EWT", "3.1 million words of English without labels"),
    minutes=5,
    quick_minutes=0.5,
    page="text-tools.md",
    run=end_to_end,
    published=(
        Published(
            "words right, mean of 12 languages",
            95.56,
            "%",
            "Botha et al. 2017, section 4.2",
            "other treebanks; 1.0 MB with word clusters, 94.76 at 0.6 MB without",
        ),
    ),
    results=Results(
        file="text_tools.ud-cpu.jsonl",
        before=(
            Line(
                "BiLSTM of this house",
                "tagger",
                metrics=("file", "test error"),
                file="baselines.mnist-sst2-ewt-adult-cifar10-jpeg-cpu.jsonl",
            ),
        ),
        ours=(Line("hashed pieces in a window", "en_tag"),),
        baselines=(Line("each word's most frequent tag", "en_baseline"),),
        peers=(Line("spaCy, trained on the same data", "en_spacy"),),
        price=Measure("minutes of a core", "training", "minutes of a core", ".1f"),
    ),
)
