"""The commands that answer to texts: tag, segment, identify, preorder and complete."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from shoestring.artifact import InputChain, Loaded

File = Annotated[Path, typer.Argument(help="a .shoe file", show_default=False)]
Texts = Annotated[
    list[str] | None,
    typer.Argument(help="texts \\[default: the lines of standard input]", show_default=False),
]
Input = Annotated[
    Path | None,
    typer.Option("--input", help="a text file, of which each line is a text", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="print an object in JSON for each text")]
Spaces = Annotated[
    bool, typer.Option("--spaces", help="words are what stands between spaces, punctuation too")
]
_PIECE = 1 << 18  # bytes that are read at a time, at most: what a pipe has is answered at once
_BOM = b"\xef\xbb\xbf"  # with it some programs begin text in UTF-8
_LONGEST_LINE = 1 << 28  # bytes
_SEARCHES = 16  # texts that are completed before they are printed: each takes milliseconds


def tag(
    file: File,
    texts: Texts = None,
    input_: Input = None,
    as_json: AsJson = False,
    spaces: Spaces = False,
) -> None:
    """Tag the words of texts, with their parts of speech for example: one line for each text."""
    settings = {"spaces": spaces}
    answer("tag", file, texts, input_, as_json=as_json, settings=settings)


def segment(file: File, texts: Texts = None, input_: Input = None, as_json: AsJson = False) -> None:
    """Cut texts without spaces, such as Chinese or Japanese, into words: one line for each text."""
    answer("segment", file, texts, input_, as_json=as_json)


def identify(
    file: File,
    texts: Texts = None,
    input_: Input = None,
    as_json: AsJson = False,
    top: Annotated[
        int, typer.Option("--top", help="the likeliest K, with their scores", min=1)
    ] = 1,
    among: Annotated[
        str | None,
        typer.Option(
            "--among",
            help="the labels to expect, with commas between \\[default: all of the file's]",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="list the labels that the file knows, and stop")
    ] = False,
) -> None:
    """Say in which language texts are, or which label of the file they have: a line for each."""
    if labels:
        if texts or input_ is not None or among is not None:
            raise ValueError("--labels lists labels and answers to no text: give the file alone")
        _list_labels(file, as_json=as_json)
        return
    settings: dict[str, Any] = {"top": top}
    if among is not None:
        settings["among"] = [one for part in among.split(",") if (one := part.strip())]
        if not settings["among"]:
            raise ValueError(f"--among {among!r} names no label: write some, such as eng,deu,fra")
    answer("identify", file, texts, input_, as_json=as_json, settings=settings)


def preorder(
    file: File,
    texts: Texts = None,
    input_: Input = None,
    as_json: AsJson = False,
    spaces: Spaces = False,
) -> None:
    """Put the words of texts into another language's order: one line for each text."""
    settings = {"spaces": spaces}
    answer("preorder", file, texts, input_, as_json=as_json, settings=settings)


def complete(
    file: File,
    texts: Texts = None,
    input_: Input = None,
    as_json: AsJson = False,
    top: Annotated[int, typer.Option("--top", help="the likeliest K", min=1)] = 3,
) -> None:
    """Say how texts may go on, to the ends of words: a line for each, with tabs in between."""
    settings = {"top": top}
    answer("complete", file, texts, input_, as_json=as_json, settings=settings, at_once=_SEARCHES)


def answer(
    job: str,
    file: Path,
    texts: list[str] | None,
    input_: Path | None,
    *,
    as_json: bool,
    settings: dict[str, Any] | None = None,
    at_once: int = 1 << 20,
) -> None:
    """Print the answer of a file to each text, a line each, as soon as it is there.

    `job`: that the file must be for (`TextStep.job`).
    `texts`: the arguments; None or []: the lines of `input_`, or else of standard input.
    `settings`: of the step's `answers`.
    `at_once`: how many texts are answered before their lines are printed, at most.
    Raises ValueError for a file for another job and for texts together with an input. Where the
    reader of our output is gone, the command ends quietly.
    """
    from shoestring.artifact.chains.text_steps import TextStep

    if texts and input_ is not None:
        raise ValueError("texts were given as arguments and with --input: give one of them")
    loaded, chain = _loaded(job, file)
    step = chain.steps[0]
    assert isinstance(step, TextStep)
    try:
        for batch in _parts([texts] if texts else _batches(input_), at_once):
            for text, found in zip(batch, loaded.answers(batch, **(settings or {})), strict=True):
                told = (
                    _json(step.described(text, found)) if as_json else _printable(step.line(found))
                )
                sys.stdout.write(told + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        _reader_gone()


def _loaded(job: str, file: Path) -> tuple[Loaded, InputChain]:
    """A file and its input chain; raises ValueError where it is not for this job."""
    from shoestring.artifact import ShoeError, load

    try:
        loaded = load(file, threads=1)
    except ShoeError as error:
        raise ShoeError(f"{file}: {error}") from error
    chain = loaded.input_chain
    if chain is None or chain.job is None:
        raise ValueError(
            f"{file} has no answers to texts, and shoestring {job} needs a file made for that: it "
            f"takes {loaded.signature()}; see docs/text-tools.md"
        )
    if chain.job != job:
        raise ValueError(f"{file} is for another command: shoestring {chain.job} {file}")
    return loaded, chain


def _list_labels(file: Path, *, as_json: bool) -> None:
    """Print the labels of a file for identify: a line each, or a list in JSON."""
    _, chain = _loaded("identify", file)
    try:
        lines = [_json(list(chain.labels))] if as_json else map(_printable, chain.labels)
        sys.stdout.writelines(line + "\n" for line in lines)
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_gone()


def _reader_gone() -> None:
    """Standard output leads nowhere: Python would complain when it flushes the rest at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parts(batches: Iterable[list[str]], at_once: int) -> Iterator[list[str]]:
    """Batches in parts of up to `at_once` texts."""
    for batch in batches:
        for first in range(0, len(batch), at_once):
            yield batch[first : first + at_once]


def _json(content: dict[str, Any] | list[str]) -> str:
    """An object or a list as JSON; with escapes where standard output cannot take characters."""
    line = json.dumps(content, ensure_ascii=False)
    return line if _printable(line) == line else json.dumps(content)


def _printable(line: str) -> str:
    """What standard output can take; on a terminal, without what would move the cursor."""
    encoding = sys.stdout.encoding or "utf-8"
    line = line.encode(encoding, "replace").decode(encoding)
    if not sys.stdout.isatty():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _batches(path: Path | None) -> Iterator[list[str]]:
    """The lines of a file or of standard input, in batches as they come.

    A line ends with LF or CR LF and nothing else; a byte order mark before the first one does not
    count. What is no UTF-8 becomes U+FFFD, which is said on standard error once, with the line's
    number.
    """
    if path is None:
        if sys.stdin is None:  # it is closed
            raise ValueError("standard input is closed: give texts as arguments or with --input")
        if sys.stdin.isatty():
            print("type a text and Enter; Ctrl-D ends", file=sys.stderr)
        yield from _decoded(_lines(sys.stdin.buffer.fileno()), "standard input")
        return
    if path.is_dir():
        raise ValueError(f"--input {path} is a folder: give a text file")
    opened = os.open(path, os.O_RDONLY)
    try:
        yield from _decoded(_lines(opened), str(path))
    finally:
        os.close(opened)


def _decoded(batches: Iterable[list[bytes]], name: str) -> Iterator[list[str]]:
    number, said = 0, False
    for batch in batches:
        texts: list[str] = []
        for line in batch:
            number += 1
            line = line.removeprefix(_BOM) if number == 1 else line
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if not said and "\ufffd" in text and b"\xef\xbf\xbd" not in line:
                said = True
                print(
                    f"warning: line {number:,} of {name} is not UTF-8: what cannot be read is "
                    "taken for U+FFFD, here and in later lines; convert it, as with iconv -t utf-8",
                    file=sys.stderr,
                )
            texts.append(text)
        yield texts


def _lines(descriptor: int) -> Iterator[list[bytes]]:
    """Lines without their LF, as many at a time as there are."""
    waiting: list[bytes] = []
    length = 0
    while piece := os.read(descriptor, _PIECE):
        *ended, rest = piece.split(b"\n")
        if ended:
            ended[0] = b"".join([*waiting, ended[0]])
            yield ended
            waiting, length = [], 0
        if rest:
            waiting.append(rest)
            length += len(rest)
        if length > _LONGEST_LINE:
            raise ValueError(
                f"a line is longer than {_LONGEST_LINE:,} bytes: cut it into lines of sentences"
            )
    if waiting:
        yield [b"".join(waiting)]
