"""The command that trains a tagger or a segmenter on the reader's own sentences."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_HELD_OUT = 10  # every tenth sentence, where there are none to validate on


class Job(StrEnum):
    """What a file is for."""

    TAG = "tag"
    SEGMENT = "segment"


def learn(
    job: Annotated[Job, typer.Argument(help="tag or segment", show_default=False)],
    train: Annotated[
        Path,
        typer.Argument(
            help="sentences: CoNLL-U (.conllu), or a word, a tab and its tag in each line",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="the .shoe file to write", show_default=False)],
    validation: Annotated[
        Path | None,
        typer.Option(help="more sentences [default: every tenth of TRAIN]", show_default=False),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="sentences for the last score", show_default=False)
    ] = None,
    size: Annotated[str, typer.Option(help="of the file, at most")] = "300KB",
    text: Annotated[
        Path | None,
        typer.Option(
            help="text without tags, a sentence in each line: clusters of words are learned from "
            "it (tag only)",
            show_default=False,
        ),
    ] = None,
    running_text: Annotated[
        bool,
        typer.Option(help="the file cuts texts into words by rules; else at spaces (tag only)"),
    ] = True,
    passes: Annotated[int, typer.Option(help="over the training sentences", min=1)] = 6,
    seed: Annotated[int, typer.Option(help="of everything random", min=0)] = 0,
) -> None:
    """Train a small network that tags or segments text, and write its file."""
    from dataclasses import replace

    from shoestring.artifact import HashedWords
    from shoestring.artifact.format.saving import check_place
    from shoestring.cli.ending import writing
    from shoestring.core import Budget
    from shoestring.recipes import text_tools
    from shoestring.tasks import sentences_of, word_clusters

    check_place(out)
    writing(out)
    limit = Budget.parse(f"size<={size}").size
    if not isinstance(limit, int | float):
        raise ValueError(f"--size {size}: give bytes, such as 300KB")
    sentences = sentences_of(train)
    if validation is None:
        held_out = sentences[::_HELD_OUT]
        sentences = [one for at, one in enumerate(sentences) if at % _HELD_OUT]
        print(f"validation: every tenth sentence of {train}, {len(held_out):,}")
    else:
        held_out = sentences_of(validation)
    for name, found in ((str(train), sentences), (str(validation or train), held_out)):
        if not found:
            raise ValueError(f"{name} has too few sentences: give more")
    data = {"train": sentences, "validation": held_out}
    if job is Job.SEGMENT:
        settings = replace(text_tools.SEGMENTER, passes=passes)
        made = text_tools.segmenter(data, out, size=int(limit), settings=settings, seed=seed)
    else:
        clusters = None
        step = HashedWords(rules=int(running_text))
        if text is not None:
            lines = text.read_text(encoding="utf-8").split("\n")
            more = [list(one.words) for one in sentences] + [step.words_of(one) for one in lines]
            clusters = word_clusters(more, text_tools.CLUSTERS)
            step = replace(step, clusters=1 << 16)
        settings = replace(text_tools.PLAIN_TAGGER, step=step, passes=passes)
        made = text_tools.tagger(
            data, out, size=int(limit), settings=settings, clusters=clusters, seed=seed
        )
    score = text_tools.tag_score if job is Job.TAG else text_tools.segment_score
    said = "words right" if job is Job.TAG else "F1 of words"
    print(f"{out}: {made.bytes:,} bytes, {said} on validation: {100 * made.validation:.2f} %")
    if made.bytes > limit:
        raise ValueError(
            f"the file is larger than --size {size}: give a larger one, or more passes"
        )
    if test is not None:
        last = sentences_of(test)
        print(f"{said} on {test}: {100 * score(out, {'test': last}, 'test'):.2f} %")
