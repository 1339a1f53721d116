"""CoNLL-U: sentences whose words have a universal part of speech, as spans of the sentence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from shoestring.artifact import save
from shoestring.label.example import Annotation, Collection, Example, Span
from shoestring.label.formats.content import (
    last_said,
    names_in,
    not_kept,
    of_kind,
    split_of,
    text_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError

if TYPE_CHECKING:
    from shoestring.kit.corpora.conllu import Sentence

_NO_TAG = "_"


@final
@dataclass(frozen=True, kw_only=True)
class Conllu(Format):
    """A file in CoNLL-U: a span for each word, whose name is its universal part of speech.

    Words that are written as one are told apart where the text is made of them (do and n't in
    don't); else they have one span, with both names (ADP+DET for the French du). Lemmas, features
    and trees are not read.
    """

    def read(self, source: Path) -> Collection:
        from shoestring.kit.corpora.conllu import read_conllu  # kit needs torch, a table does not
        from shoestring.kit.corpora.data_error import DataError

        try:
            sentences = read_conllu(text_of(source).encode(), str(source))
        except DataError as error:
            raise FormatError(str(error)) from None
        if not sentences:
            raise FormatError(f"{source} has no sentence")
        counts: Counter[str] = Counter()
        split = next((split_of(part) for part in source.stem.split("-") if split_of(part)), "")
        examples = tuple(
            _example(one, at, split, f"sentence {at:,} of {source}", counts)
            for at, one in enumerate(sentences, 1)
        )
        return Collection(
            examples=examples, kind=Span, names=names_in(examples), notes=told(counts)
        )

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write each span as a word, and each run of other characters as a word without a tag.

        Raises ValueError for spans that overlap: a word has one part of speech.
        """
        if collection.kind is not Span:
            raise ValueError(
                f"CoNLL-U keeps spans, no {collection.kind.__name__}: write JsonLines()"
            )
        counts = not_kept(collection)
        blocks = []
        for at, example in enumerate(collection.examples, 1):
            if example.text is None:
                raise ValueError(f"the example {example.name!r} has no text: CoNLL-U needs one")
            counts[
                "Names of examples that are not the numbers of their sentences, not written"
            ] += example.name != str(at)
            counts["Splits, which the name of the file says in CoNLL-U, not written"] += bool(
                example.split and split_of(path.stem.rpartition("-")[2]) != example.split
            )
            if last_said(example) is None:
                counts["Examples without a label, whose words are written without a tag"] += 1
            spans = [one for one in of_kind(last_said(example), Span) if isinstance(one, Span)]
            blocks.append(_block(example, spans, at, counts))
        save(path, "".join(blocks).encode())
        return told(counts)


def _example(sentence: Sentence, at: int, split: str, where: str, counts: Counter[str]) -> Example:
    text = sentence.text or " ".join(sentence.surface)
    spans: list[Span] = []
    place = word = 0
    for written, count in zip(sentence.surface, sentence.parts, strict=True):
        start = text.find(written, place)
        if start < 0:
            raise FormatError(
                f"{where}: the word {written!r} is not in the rest of its text, "
                f"{text[place : place + 40]!r}"
            )
        place = start + len(written)
        words, tags = sentence.words[word : word + count], sentence.tags[word : word + count]
        word += count
        if count == 1 or "".join(words) == written:
            for part, tag in zip([written] if count == 1 else words, tags, strict=True):
                if tag != _NO_TAG:
                    spans.append(Span(start=start, end=start + len(part), name=tag))
                start += len(part)
        elif count:
            counts["Words written as one that the text does not tell apart, in one span"] += 1
            spans.append(Span(start=start, end=place, name="+".join(tags)))
    # Words without any tag are words that nobody has looked at.
    said = (Annotation(labels=tuple(spans)),) if spans else ()
    return Example(name=str(at), text=text, annotations=said, split=split)


def _block(example: Example, spans: list[Span], at: int, counts: Counter[str]) -> str:
    """The lines of a sentence."""
    text = example.text or ""
    counts["Texts of several lines, written in one"] += len(text.splitlines()) > 1
    text = "".join(" " if one in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029" else one for one in text)
    tokens: list[tuple[int, int, str]] = []
    place = 0
    for span in sorted(spans, key=lambda one: one.start):
        if span.start < place:
            raise ValueError(
                f"two spans of {example.name!r} overlap at character {span.start}: CoNLL-U has one "
                "tag a word; write JsonLines()"
            )
        tokens += _untagged(text, place, span.start)
        tokens.append((span.start, span.end, span.name))
        place = span.end
    tokens += _untagged(text, place, len(text))
    lines = [f"# sent_id = {at}\n", f"# text = {text}\n"]
    for number, (start, end, tag) in enumerate(tokens, 1):
        after = tokens[number][0] if number < len(tokens) else len(text)
        glued = "SpaceAfter=No" if after == end and number < len(tokens) else "_"
        cells = [str(number), text[start:end], "_", tag, *"______"[:5], glued]
        lines.append("\t".join(cells) + "\n")
    return "".join(lines) + "\n"


def _untagged(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """The words between two places, by spaces."""
    found = []
    place = start
    for word in text[start:end].split():
        place = text.index(word, place)
        found.append((place, place + len(word), _NO_TAG))
        place += len(word)
    return found
