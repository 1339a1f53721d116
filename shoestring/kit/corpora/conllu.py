"""Sentences with tagged words, from CoNLL-U or from a table of words and tags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shoestring.kit.corpora.data_error import DataError

_FIELDS = 10
NO_TAG = "_"
"""What stands in the place of a tag where the corpus has none: such words are not scored."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """The syntactic words of a sentence and their tags.

    `words`: as they are written.
    `tags`: as many; `NO_TAG` where there is none.
    `text`: the sentence as it is written, where the file says so; else "".
    `surface`: the words as the text has them: where one is written for several (don't), that one.
    `parts`: for each of `surface`, for how many of `words` it is written; () in a table.
    `heads`: for each word the number of its head, from 1, and 0 for the root, as the file has them;
        () where the file has none for some word.
    `relations`: for each word its relation to its head, such as "nsubj"; () where `heads` is.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    text: str = ""
    surface: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    relations: tuple[str, ...] = ()


def sentences_of(path: Path) -> list[Sentence]:
    """The sentences of a file: CoNLL-U where its name ends in .conllu, else words and tags.

    A table has a word, a tab and its tag in each line, and an empty line after each sentence.
    Raises DataError, with the line, for a file in another format, and OSError for none.
    """
    read = read_conllu if path.suffix.lower() in (".conllu", ".conll") else read_table
    return read(path.read_bytes(), str(path))


def read_conllu(content: bytes, name: str) -> list[Sentence]:
    """The sentences of a file in CoNLL-U: words, universal parts of speech, heads and relations.

    Of a range of words (1-2, don't) its parts count, and an empty node (8.1) does not: it was left
    out in the text. `name`: of the file, for errors. Raises DataError.
    """
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    surface: list[str] = []
    parts: list[int] = []
    arcs: list[tuple[str, str]] = []  # heads and relations, as they are written
    text, covered = "", 0  # covered: the last word that a range of words has
    for number, line in enumerate([*_text(content, name).split("\n"), ""], 1):
        line = line.removesuffix("\r")
        if not line.strip():
            if words:
                heads, relations = _tree(arcs)
                sentences.append(
                    Sentence(
                        words=tuple(words),
                        tags=tuple(tags),
                        text=text,
                        surface=tuple(surface),
                        parts=tuple(parts),
                        heads=heads,
                        relations=relations,
                    )
                )
            words, tags, surface, parts, arcs, text, covered = [], [], [], [], [], "", 0
            continue
        if line[0] == "#":
            text = line.partition("=")[2].strip() if line.startswith("# text =") else text
            continue
        fields = line.split("\t")
        if len(fields) != _FIELDS or not fields[1] or not fields[3]:
            raise _wrong(number, name, line, "a word has ten fields between tabs")
        first, dash, last = fields[0].partition("-")
        if dash and first.isdecimal() and last.isdecimal():
            surface.append(fields[1])
            parts.append(0)
            covered = int(last)
        elif fields[0].isdecimal():
            if fields[0] != str(len(words) + 1):
                wanted = f"the word {len(words) + 1} of its sentence, or an empty line before it,"
                raise _wrong(number, name, line, wanted)
            words.append(fields[1])
            tags.append(fields[3])
            arcs.append((fields[6], fields[7]))
            if int(fields[0]) > covered:
                surface.append(fields[1])
                parts.append(0)
            parts[-1] += 1
        elif not fields[0].replace(".", "", 1).isdecimal():
            raise _wrong(number, name, line, "the first field is 1, 1-2 or 1.1")
    return sentences


def read_table(content: bytes, name: str) -> list[Sentence]:
    """The sentences of a table of words and tags (TSV); raises DataError."""
    sentences: list[Sentence] = []
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate([*_text(content, name).split("\n"), ""], 1):
        line = line.removesuffix("\r")
        if not line.strip():
            if pairs:
                words, tags = zip(*pairs, strict=True)
                sentences.append(Sentence(words=words, tags=tags, surface=words))
            pairs = []
            continue
        word, tab, tag = line.partition("\t")
        if not tab or not word.strip() or not tag.strip() or "\t" in tag:
            raise _wrong(number, name, line, "a word, a tab and its tag")
        pairs.append((word.strip(), tag.strip()))
    return sentences


def _tree(arcs: list[tuple[str, str]]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Heads and relations; () where a word has no head."""
    if not all(head.isdecimal() for head, _ in arcs):
        return (), ()
    heads, relations = zip(*arcs, strict=True)
    return tuple(map(int, heads)), relations


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"line {line:,} of {name} is not UTF-8: convert it, as with iconv -t utf-8"
        ) from None


def _wrong(number: int, name: str, line: str, wanted: str) -> DataError:
    return DataError(f"line {number:,} of {name} is {line[:40]!r}: {wanted} is wanted")
