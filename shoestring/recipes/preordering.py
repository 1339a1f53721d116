"""A small network that puts English words into head-final order, in a file that takes text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from shoestring.artifact import BracketedWords, load
from shoestring.core import seeded
from shoestring.kit import AdamW, Training, parameter_bytes, resuming, train
from shoestring.models import WindowTagger
from shoestring.recipes.coding_to_size import coded_to_size
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.recipes.text_tools import TextResult
from shoestring.tasks import (
    Reordered,
    Sentence,
    head_final,
    order_scores,
    preordering,
    treebank,
)

SIZE = 99_000
"""Bytes of the English file, at most."""
_AROUND = 4000  # bytes of a file beside the coded weights: graph, notes, frame
_LOST = 0.002  # the loss of pairs of words, as a share, that is good enough


@dataclass(frozen=True, kw_only=True)
class PreorderSettings:
    """How a network that orders words is built and trained.

    `step`: from texts to ids and from the network's numbers to an order.
    `width`, `vector`, `hidden`, `dropout`, `unseen`: as in WindowTagger.
    `passes`: over the training sentences, in floating point.
    `coding_passes`: over them again, while the weights go to the size of the file.
    `least_steps`: of the training in floating point and of the coding, where the passes are fewer.
    `learning_rate`: of AdamW.
    """

    step: BracketedWords = field(default_factory=BracketedWords)
    width: int = 16
    vector: int = 64
    hidden: int = 192
    dropout: float = 0.2
    unseen: float = 0.1
    passes: int = 8
    coding_passes: int = 4
    least_steps: int = 300
    learning_rate: float = 4e-3


def preorderer(
    sentences: Mapping[str, Sequence[Reordered]],
    path: Path,
    *,
    size: int,
    settings: PreorderSettings | None = None,
    seed: int = 0,
) -> TextResult:
    """A network that orders words, coded to `size` bytes at most; its file is written to `path`.

    After a kill, the same call goes on. The result's scores are shares of pairs of words in the
    right order.

    `sentences`: of "train" and of "validation".
    `size`: of the file, in bytes, above 4,000.
    `settings`: None for those of PreorderSettings.
    Raises ValueError for a smaller size, where no sentence has two words, and, as `coded_to_size`,
    where no try led to a file of `size` bytes.
    """
    settings = settings or PreorderSettings()
    if size <= _AROUND:
        raise ValueError(f"a file of {size:,} bytes is too small: give more than {_AROUND:,}")
    step = settings.step
    task = preordering(
        sentences["train"], sentences["validation"], sentences["validation"], step=step
    )
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        model = WindowTagger(
            step.ids,
            step.kinds,
            step.scores(2),
            width=settings.width,
            vector=settings.vector,
            hidden=settings.hidden,
            reach=step.reach,
            dropout=settings.dropout,
            unseen=settings.unseen,
        )
        before = parameter_bytes(model)
        steps = sum(1 for _ in task.batches("train"))
        optimizer = AdamW(settings.learning_rate, weight_decay=0.0)
        training = Training(max(settings.least_steps, settings.passes * steps), optimizer)
        train(model, task.sealed(), training, what="training the network")
        slower = AdamW(settings.learning_rate / 2, weight_decay=0.0)
        coded = Training(max(settings.least_steps, settings.coding_passes * steps), slower)
        made = coded_to_size(
            model,
            task.sealed(),
            path,
            size=size,
            around=_AROUND,
            lesson=task.sealed(),
            training=coded,
            score=partial(pairs_right, sentences=sentences["validation"]),
            lost=_LOST,
        )
    return TextResult(bytes=made.bytes, before=before, validation=made.after, trained=made.before)


def pairs_right(path: Path, sentences: Sequence[Reordered]) -> float:
    """The share of pairs of words that a file puts in the right order, 0 to 1."""
    return (1 + preorder_scores(path, sentences)["tau"]) / 2


def preorder_scores(path: Path, sentences: Sequence[Reordered]) -> dict[str, float]:
    """The `order_scores` of a file; words are as the corpus has them."""
    loaded = load(path, threads=1)
    assert loaded.input_chain is not None
    step = loaded.input_chain.steps[0]
    assert isinstance(step, BracketedWords)
    found = step.of_words_given([one.words for one in sentences], loaded.scores_of_ids)
    return order_scores([one.order for one in sentences], found)


def in_head_final_order(sentences: Sequence[Sentence]) -> list[Reordered]:
    """Sentences with their words' head-final order; raises ValueError for those without heads."""
    return [Reordered(words=one.words, order=head_final(one)) for one in sentences]


def end_to_end(run: Run) -> None:
    """English in head-final order; a quick run has 2,000 sentences."""
    data = {
        split: in_head_final_order(treebank("en", split))
        for split in ("train", "validation", "test")
    }
    settings = PreorderSettings()
    if run.quick:
        data["train"] = data["train"][:2000]
        settings = replace(settings, passes=1, coding_passes=1)
    path = run.folder / "en_preorder.shoe"
    made = preorderer(data, path, size=SIZE, settings=settings, seed=run.seed)
    run.scores("en_preorder", made.bytes, made.validation, pairs_right(path, data["test"]))


RECIPE = Recipe(
    name="preorderer",
    line="English words in the head-final order of Japanese, without a parser at run time",
    scarce="bytes and milliseconds for a parser",
    instead="trees, in training only",
    data=("English-EWT",),
    minutes=3,
    quick_minutes=0.7,
    page="text-tools.md",
    run=end_to_end,
    elsewhere="Botha et al. 2017",
    results=Results(
        file="preordering.ewt-cpu.jsonl",
        before=(Line("UDPipe's parser with our tagger's tags, and the rules", "parser"),),
        ours=(Line("hashed pieces, a window, brackets", "en_preorder"),),
        baselines=(Line("no reordering", "no reordering"),),
        lost=Measure("pairs of words in the wrong order", "test error", "%", ".2f"),
        also=(
            Measure("Kendall's tau", "test Kendall's tau", "", ".3f", higher=True),
            Measure("sentences exactly right", "test exact", "%", ".1f", higher=True),
        ),
        price=Measure("minutes of a core", "training", "minutes of a core", ".1f"),
    ),
)
