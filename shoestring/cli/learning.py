"""The command that trains a file for texts on the reader's own sentences or lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from shoestring.recipes.coding_to_size import Coded
    from shoestring.recipes.text_tools import TextResult, TextSettings
    from shoestring.tasks import LabelledTexts, Sentence

_HELD_OUT = 10  # every tenth sentence, where there are none to validate on
_LEAST_STEPS = 480  # of training, where nobody says how many passes: few sentences need many

Train = Annotated[
    Path,
    typer.Argument(
        help="sentences: CoNLL-U (.conllu), or a word, a tab and its tag in each line; for "
        "preorder CoNLL-U with heads; for identify, a text, a tab and its label in each line; "
        "for complete, any text",
        show_default=False,
    ),
]
Passes = Annotated[
    int | None,
    typer.Option(
        help="over the training data \\[default: 6; of identify 30, of preorder 8, of complete 3; "
        "more of little data]",
        min=1,
        show_default=False,
    ),
]
Validation = Annotated[
    Path | None,
    typer.Option(help="more data like TRAIN \\[default: a tenth of TRAIN]", show_default=False),
]
Text = Annotated[
    Path | None,
    typer.Option(
        help="text without tags, a sentence in each line: clusters of words are learned from it "
        "(tag only)",
        show_default=False,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="in which networks of several shapes are tried for the size, and the best on "
        "validation stays (tag and segment only) \\[default: one network, chosen by the size]",
        min=0,
        show_default=False,
    ),
]
Test = Annotated[Path | None, typer.Option(help="sentences for the last score", show_default=False)]


class Job(StrEnum):
    """What a file is for."""

    TAG = "tag"
    SEGMENT = "segment"
    IDENTIFY = "identify"
    PREORDER = "preorder"
    COMPLETE = "complete"


Kind = Annotated[
    Job, typer.Argument(help="tag, segment, identify, preorder or complete", show_default=False)
]


def learn(
    job: Kind,
    train: Train,
    out: Annotated[Path, typer.Argument(help="the .shoe file to write", show_default=False)],
    validation: Validation = None,
    test: Test = None,
    size: Annotated[str, typer.Option(help="of the file, at most")] = "300KB",
    text: Text = None,
    running_text: Annotated[
        bool,
        typer.Option(
            help="the file cuts texts into words by rules; else at spaces (tag and preorder)"
        ),
    ] = True,
    passes: Passes = None,
    minutes: Minutes = None,
    seed: Annotated[int, typer.Option(help="of everything random", min=0)] = 0,
) -> None:
    """Train a small network that answers to texts, and write its file."""
    from shoestring.artifact.format.saving import check_place
    from shoestring.cli.ending import writing

    check_place(out)
    for given in (train, validation, test, text):
        if given is not None and out.exists() and given.exists() and out.samefile(given):
            raise ValueError(f"{given} would be replaced by the file that is made: name another")
    writing(out)
    limit = _limit(size)
    if text is not None and job is not Job.TAG:
        raise ValueError(f"--text {text} is for tag only: leave it out")
    if not running_text and job not in (Job.TAG, Job.PREORDER):
        raise ValueError("--no-running-text is for tag and preorder only: leave it out")
    if minutes is not None and job not in (Job.TAG, Job.SEGMENT):
        raise ValueError(f"--minutes {minutes:g} is for tag and segment only: leave it out")
    _forget_other_data(out, [one for one in (train, validation, text) if one is not None])
    rules = int(running_text)
    if job is Job.IDENTIFY:
        _learn_labels(train, out, validation, test, limit, passes or 30, seed)
    elif job is Job.COMPLETE:
        _learn_text(train, out, validation, test, limit, passes, seed)
    elif job is Job.PREORDER:
        _learn_orders(_data(train, validation), out, test, limit, passes, seed, rules=rules)
    else:
        data = _data(train, validation)
        most = 0.0 if minutes is None else minutes
        _learn_words(job, data, out, test, limit, passes, seed, text, most, rules=rules)
    _forget_all(out)


def _forget_all(out: Path) -> None:
    """Delete the snapshots of a training that is at its end, which are larger than its file."""
    folder = out.with_suffix(".unfinished")
    for path in (*folder.glob("training-*.pt"), folder / "data"):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _forget_other_data(out: Path, inputs: list[Path]) -> None:
    """Delete the snapshots of a training on other data: they would be taken for this one's."""
    from shoestring.artifact import save

    digest = hashlib.sha256()
    for path in inputs:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    folder = out.with_suffix(".unfinished")
    mark, told = folder / "data", digest.hexdigest().encode()
    if mark.is_file() and mark.read_bytes() == told:
        return
    _forget_all(out)
    folder.mkdir(exist_ok=True)
    save(mark, told)


def _learn_words(
    job: Job,
    data: dict[str, list[Sentence]],
    out: Path,
    test: Path | None,
    size: int,
    passes: int | None,
    seed: int,
    text: Path | None,
    minutes: float,
    *,
    rules: int,
) -> None:
    """Train a network that tags words or finds them, or several."""
    from shoestring.recipes.text_sizes import best_shape
    from shoestring.recipes.text_tools import segment_score, tag_score
    from shoestring.tasks import sentences_of

    if job is Job.SEGMENT:
        settings, make = _segmenter(data, out, size, passes, seed)
    else:
        settings, make = _tagger(data, out, size, passes, seed, text, rules=rules)
    made = best_shape(make, settings, out, size=size, minutes=minutes, say=print)
    score = tag_score if job is Job.TAG else segment_score
    said = "words right" if job is Job.TAG else "F1 of words"
    print(f"{out}: {made.bytes:,} bytes, {said} on validation: {100 * made.validation:.2f} %")
    if test is not None:
        last = sentences_of(test)
        print(f"{said} on {test}: {100 * score(out, {'test': last}, 'test'):.2f} %")


def _learn_labels(
    train: Path,
    out: Path,
    validation: Path | None,
    test: Path | None,
    size: int,
    passes: int,
    seed: int,
) -> None:
    """Train a network that gives texts their labels."""
    from shoestring.recipes.language_identification import IDENTIFIER, identifier, label_score
    from shoestring.tasks import labelled_texts

    texts = labelled_texts(train)
    if validation is not None:
        held_out = labelled_texts(validation)
    else:
        texts, held_out = _split(texts, train)
        print(f"validation: every tenth line of each label of {train}, {len(held_out):,}")
    data: dict[str, LabelledTexts] = {"train": texts, "validation": held_out}
    settings = replace(IDENTIFIER, passes=passes)
    made = identifier(data, out, size=size, settings=settings, seed=seed)
    print(f"{out}: {made.bytes:,} bytes, texts right on validation: {100 * made.validation:.2f} %")
    if test is not None:
        print(f"texts right on {test}: {100 * label_score(out, labelled_texts(test)):.2f} %")


def _split(texts: LabelledTexts, path: Path) -> tuple[LabelledTexts, LabelledTexts]:
    """Texts of training and of validation: of each label every tenth, and equal ones together.

    Without regard to labels, lines of ten labels in turn would all be held out of one.
    """
    by_label: dict[str, dict[str, None]] = {}
    for one, label in zip(texts.texts, texts.labels, strict=True):
        by_label.setdefault(label, {})[one] = None
    # The second of each label, the twelfth, and so on: none loses its only one.
    chosen = {one for of in by_label.values() for one in list(of)[1::_HELD_OUT]}
    if not chosen:
        raise ValueError(
            f"{path} has no label with two different texts: give more, or --validation"
        )
    kept = [at for at, one in enumerate(texts.texts) if one not in chosen]
    held_out = [at for at, one in enumerate(texts.texts) if one in chosen]
    return texts.at(kept), texts.at(held_out)


def _learn_orders(
    sentences: dict[str, list[Sentence]],
    out: Path,
    test: Path | None,
    size: int,
    passes: int | None,
    seed: int,
    *,
    rules: int,
) -> None:
    """Train a network that puts the words of texts in head-final order."""
    from shoestring.recipes.preordering import (
        PreorderSettings,
        in_head_final_order,
        preorder_scores,
        preorderer,
    )
    from shoestring.tasks import sentences_of

    settings = PreorderSettings()
    settings = replace(
        settings, step=replace(settings.step, rules=rules), passes=passes or settings.passes
    )
    data = {split: in_head_final_order(some) for split, some in sentences.items()}
    made = preorderer(data, out, size=size, settings=settings, seed=seed)
    said = "pairs of words in the right order"
    print(f"{out}: {made.bytes:,} bytes, {said} on validation: {100 * made.validation:.2f} %")
    if test is not None:
        scores = preorder_scores(out, in_head_final_order(sentences_of(test)))
        print(
            f"{said} on {test}: {50 * (1 + scores['tau']):.2f} % (Kendall's tau "
            f"{scores['tau']:.4f}, fuzzy reordering score {scores['fuzzy']:.4f}, sentences exactly "
            f"right {100 * scores['exact']:.2f} %)"
        )


def _learn_text(
    train: Path,
    out: Path,
    validation: Path | None,
    test: Path | None,
    size: int,
    passes: int | None,
    seed: int,
) -> None:
    """Train a network that completes what is typed, on the lines of a text."""
    from shoestring.recipes.byte_language import BYTE_MODEL, bits_per_byte, byte_model
    from shoestring.tasks.byte_text import all_lines, lines_of

    if validation is None:
        lines = lines_of(train)
        print(f"validation: one line in 16 of {train}, {len(lines['validation']):,}")
    else:
        lines = {"train": all_lines(train), "validation": all_lines(validation)}
    settings = BYTE_MODEL if passes is None else replace(BYTE_MODEL, passes=passes)
    made = byte_model(lines, out, size=size, settings=settings, seed=seed)
    print(f"{out}: {made.bytes:,} bytes, {made.validation:.3f} bits per byte on validation")
    if test is not None:
        print(f"bits per byte on {test}: {bits_per_byte(out, all_lines(test)):.3f}")


def _trained_for(settings: TextSettings, passes: int | None) -> TextSettings:
    """The settings with so many passes; None: with theirs, and steps enough for few sentences."""
    if passes is None:
        return replace(settings, least_steps=_LEAST_STEPS)
    return replace(settings, passes=passes)


def _limit(size: str) -> int:
    """Bytes, given as text such as 300KB; raises ValueError for other text."""
    from shoestring.core import Budget

    limit = Budget.parse(f"size<={size}").size
    if not isinstance(limit, int | float):
        raise ValueError(f"--size {size}: give bytes, such as 300KB")
    return int(limit)


def _data(train: Path, validation: Path | None) -> dict[str, list[Sentence]]:
    """The sentences of training and of validation."""
    from shoestring.tasks import sentences_of

    sentences = sentences_of(train)
    if validation is None:
        chosen = _held_out([one.words for one in sentences])
        held_out = [one for one in sentences if one.words in chosen]
        sentences = [one for one in sentences if one.words not in chosen]
        print(
            f"validation: every tenth sentence of {train}, {len(held_out):,}; equal ones together"
        )
    else:
        held_out = sentences_of(validation)
    for name, found in ((train, sentences), (validation or train, held_out)):
        if not found:
            raise ValueError(
                f"{name} has too few sentences: give more, with an empty line after each"
            )
    return {"train": sentences, "validation": held_out}


def _held_out(texts: Iterable[Hashable]) -> set[Any]:
    """Every tenth of the different texts: what was trained on must not be scored."""
    return set(list(dict.fromkeys(texts))[::_HELD_OUT])


Make = Callable[["TextSettings", Path, Callable[..., "Coded"]], "TextResult"]


def _segmenter(
    data: dict[str, list[Sentence]], out: Path, size: int, passes: int | None, seed: int
) -> tuple[TextSettings, Make]:
    """The settings of a segmenter, and what trains one of its kind into a file."""
    from shoestring.recipes.text_tools import SEGMENTER, segmenter

    def make(settings: TextSettings, path: Path, coder: Callable[..., Coded]) -> TextResult:
        return segmenter(
            data,
            path,
            size=size,
            settings=settings,
            folder=out.with_suffix(".unfinished"),
            seed=seed,
            coder=coder,
        )

    return _trained_for(SEGMENTER, passes), make


def _tagger(
    data: dict[str, list[Sentence]],
    out: Path,
    size: int,
    passes: int | None,
    seed: int,
    text: Path | None,
    *,
    rules: int,
) -> tuple[TextSettings, Make]:
    """The settings of a tagger, and what trains one of its kind into a file."""
    from shoestring.artifact import HashedWords
    from shoestring.recipes.text_tools import CLUSTERS, PLAIN_TAGGER, tagger
    from shoestring.tasks import word_clusters

    clusters, step = None, HashedWords(rules=rules)
    if text is not None:
        lines = text.read_bytes().decode("utf-8", "replace").split("\n")
        more = [list(one.words) for one in data["train"]] + [step.words_of(one) for one in lines]
        clusters = word_clusters(more, CLUSTERS)
        step = replace(step, clusters=1 << 16)

    def make(settings: TextSettings, path: Path, coder: Callable[..., Coded]) -> TextResult:
        return tagger(
            data,
            path,
            size=size,
            settings=settings,
            clusters=clusters,
            folder=out.with_suffix(".unfinished"),
            seed=seed,
            coder=coder,
        )

    return _trained_for(replace(PLAIN_TAGGER, step=step), passes), make
