"""Small feed-forward networks that tag and segment text, in files that take text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from shoestring.artifact import HashedCharacters, HashedWords, load
from shoestring.core import score as task_score
from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training, parameter_bytes, resuming, save, train
from shoestring.models import WindowTagger
from shoestring.quantize import Rate, Toward
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run
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
from shoestring.tasks.conllu import NO_TAG

_AROUND = 3000  # bytes of a file beside the coded weights: graph, labels, frame


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """How a network for text is built and trained.

    `step`: from texts to ids.
    `width`, `vector`, `hidden`, `dropout`, `unseen`: as in WindowTagger.
    `passes`: over the training rows, in floating point.
    `coding_passes`: over them again, while the weights go to the size of the file.
    `learning_rate`: of AdamW.
    """

    step: HashedWords | HashedCharacters
    width: int = 16
    vector: int = 64
    hidden: int = 96
    dropout: float = 0.3
    unseen: float = 0.1
    passes: int = 6
    coding_passes: int = 3
    learning_rate: float = 4e-3


TAGGER = TextSettings(step=HashedWords(clusters=1 << 16, rules=1))
"""For a language with spaces between words, and text without labels to learn clusters from."""
PLAIN_TAGGER = TextSettings(step=HashedWords())
"""For words that are given, as a segmenter gives them."""
SEGMENTER = TextSettings(step=HashedCharacters(), unseen=0.0)
CLUSTERS = 255


@dataclass(frozen=True, kw_only=True)
class TextResult:
    """A trained network in a file.

    `bytes`: of the file. `before`: bytes of its parameters in float32.
    `validation`: the share of words that are right, or the F1 of words, 0 to 1, of the file.
    `trained`: the task's score of the network before it was coded, 0 to 1, on validation data: of
        words, or of characters.
    """

    bytes: int
    before: int
    validation: float
    trained: float


def tagger(
    sentences: Mapping[str, Sequence[Sentence]],
    path: Path,
    *,
    size: int,
    settings: TextSettings = PLAIN_TAGGER,
    clusters: Mapping[str, int] | None = None,
    seed: int = 0,
) -> TextResult:
    """A tagger of words, trained and coded to about `size` bytes; its file is written to `path`.

    After a kill, the same call goes on.

    `sentences`: of "train" and of "validation".
    `size`: of the file, in bytes, above 3,000.
    `settings`: a step with `clusters` above 0 needs `clusters`.
    `clusters`: the cluster of each word in small letters, 0 to 254 (`word_clusters`).
    Raises ValueError for a smaller size and for sentences without tags.
    """
    assert isinstance(settings.step, HashedWords)
    task = tagging(
        sentences["train"], sentences["validation"], sentences["validation"], step=settings.step
    )
    table = None if clusters is None else _table(settings.step, clusters)
    return _made(task, path, size, settings, table, seed, lambda: tag_score(path, sentences))


def segmenter(
    sentences: Mapping[str, Sequence[Sentence]],
    path: Path,
    *,
    size: int,
    settings: TextSettings = SEGMENTER,
    seed: int = 0,
) -> TextResult:
    """A segmenter of texts, as `tagger`."""
    assert isinstance(settings.step, HashedCharacters)
    task = segmenting(
        sentences["train"], sentences["validation"], sentences["validation"], step=settings.step
    )
    return _made(task, path, size, settings, None, seed, lambda: segment_score(path, sentences))


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


def english_clusters(train: Sequence[Sentence]) -> dict[str, int]:
    """The clusters of English words: of the training sentences and of `unlabelled_english`."""
    return word_clusters([list(one.words) for one in train] + unlabelled_english(), CLUSTERS)


def end_to_end(run: Run) -> None:
    """Parts of speech in English; a quick run has 2,000 sentences and no clusters."""
    sentences = {split: treebank("en", split) for split in ("train", "validation", "test")}
    settings, clusters = TAGGER, None
    if run.quick:
        sentences["train"] = sentences["train"][:2000]
        step = HashedWords(rules=1)
        settings = replace(PLAIN_TAGGER, step=step, passes=2, coding_passes=2)
    else:
        clusters = english_clusters(sentences["train"])
    path = run.folder / "en_tag.shoe"
    made = tagger(
        sentences, path, size=490_000, settings=settings, clusters=clusters, seed=run.seed
    )
    run.scores("en_tag", made.bytes, made.validation, tag_score(path, sentences, "test"))


def _table(step: HashedWords, clusters: Mapping[str, int]) -> torch.Tensor:
    """The cluster of each bucket, from 1; 0: none. A frequent word wins where two meet."""
    words = list(clusters)
    first = step.ids - step.clusters
    buckets = step.of_words(words)[:, -1] - first
    table = np.zeros(step.clusters, np.uint8)
    for word, bucket in zip(reversed(words), reversed(buckets.tolist()), strict=True):
        table[bucket] = 1 + clusters[word]
    return torch.from_numpy(table)


def _made(
    task: Supervised,
    path: Path,
    size: int,
    settings: TextSettings,
    clusters: torch.Tensor | None,
    seed: int,
    score: Callable[[], float],
) -> TextResult:
    step = settings.step
    around = _AROUND + (0 if clusters is None else _coded_bytes(clusters))
    if size <= around:
        raise ValueError(f"a file of {size:,} bytes is too small: give more than {around:,}")
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
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
        training = Training(settings.passes * steps, optimizer)
        train(model, task.sealed(), training, what="training the network")
        trained = task_score(task.sealed(), model)
        slower = AdamW(settings.learning_rate / 2, weight_decay=0.0)
        coded = Training(settings.coding_passes * steps, slower)
        rate = Rate(price=Toward(size - around), training=coded)
        model = rate(model, task.sealed())
        save(model, task.sealed(), path, smallest=True)
    return TextResult(bytes=path.stat().st_size, before=before, validation=score(), trained=trained)


def _coded_bytes(table: torch.Tensor) -> int:
    """About how many bytes a table of clusters takes: its entropy."""
    share = np.bincount(table.numpy(), minlength=1) / len(table)
    share = share[share > 0]
    return int(-(share * np.log2(share)).sum() * len(table) / 8 * 1.05)


RECIPE = Recipe(
    name="tagger",
    line="parts of speech on English-EWT from hashed pieces of words, in a file that takes text",
    scarce="bytes and milliseconds",
    instead="text without labels, from which clusters of words are learned",
    data=("English-EWT", "3.3 million words of English without labels"),
    minutes=3,
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
        price=Measure("minutes of a core", "training", "minutes of a core", ".1f"),
    ),
)
