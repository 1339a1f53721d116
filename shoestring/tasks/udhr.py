"""The Universal Declaration of Human Rights: one text in many languages, by article."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact import HashedText, InputChain
from shoestring.artifact.chains.hashed_text import padded
from shoestring.kit import Supervised
from shoestring.tasks.fetch import DataError, Source, fetch

_SOURCE = Source(
    "nltk",
    "udhr2.zip",
    "https://raw.githubusercontent.com/nltk/nltk_data/5db857e/packages/corpora/udhr2.zip",
    "0796c314b09a930c989c6f9d93d226af9af13feccd88496e196c743dd266c7f3",
)
_ARTICLES = 30
_TEST, _VALIDATION = (5, 11, 17, 23, 29), (8, 20, 26)
_LEAST = 2000  # characters of a file that has the declaration and not only its title
_SCRIPTS = {"arab", "cyrl", "hans", "hant", "latn"}  # of labels whose language has two scripts
_HEADING = 60  # characters of a line that may be the heading of an article, at most
_WINDOW, _STRIDE = 150, 75  # characters of a training row, and from one to the next
_SHORTEST = 10  # characters that training is cut down to


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """Texts with labels.

    `texts`: of at least one character. `labels`: one for each text.
    """

    texts: tuple[str, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"there are {len(self.texts)} texts and {len(self.labels)} labels")

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.texts)

    def __add__(self, other: LabelledTexts) -> LabelledTexts:
        """The texts of both."""
        return LabelledTexts(texts=self.texts + other.texts, labels=self.labels + other.labels)

    def at(self, places: Sequence[int]) -> LabelledTexts:
        """The texts of some places, with their labels."""
        return LabelledTexts(
            texts=tuple(self.texts[place] for place in places),
            labels=tuple(self.labels[place] for place in places),
        )


def udhr(split: str) -> LabelledTexts:
    """The articles of a split, "train", "validation" or "test", each a text of one line.

    Labels are the names of the files: a code of ISO 639-3, and a variant where there is one
    ("deu_1901"). The preamble and 22 of the 30 articles are for training; 8, 20 and 26 for
    validation; 5, 11, 17, 23 and 29 for testing. An article begins at a line of up to 60 characters
    that has its number, after that of the one before. Where fewer than 25 are found so (44 files),
    the text is cut into 31 parts of equal length at the ends of its paragraphs instead. Files with
    less than 2,000 characters have no declaration and are left out: chr, dzo, khk_mong, nku, pbu,
    taj, tgl_tglg and tzm_tfng.

    Source: UDHR in Unicode, as packaged by NLTK (public domain).
    Raises DataError where the file cannot be had or is damaged, and ValueError for another split.
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(
            f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
        )
    texts: list[str] = []
    labels: list[str] = []
    for label, content in _read().items():
        for number, article in enumerate(_articles(content)):
            if article and _split_of(number) == split:
                texts.append(article)
                labels.append(label)
    return LabelledTexts(texts=tuple(texts), labels=tuple(labels))


def without_variants(texts: LabelledTexts) -> LabelledTexts:
    """The texts with the code of their language alone, and its script where it has two.

    "deu_1901" becomes "deu", "por_BR" becomes "por", and "srp_cyrl" stays: spellings and countries
    of one language cannot be told apart by a line of text, and share its probability.
    """
    labels = tuple(
        label if label.partition("_")[2] in _SCRIPTS else label.partition("_")[0]
        for label in texts.labels
    )
    return LabelledTexts(texts=texts.texts, labels=labels)


def labelled_texts(path: Path) -> LabelledTexts:
    """The texts of a table: in each line a text, a tab and its label; empty lines do not count.

    The last tab of a line is the one before the label; other tabs belong to the text.
    Raises ValueError for a line without a tab, or with an empty text or label, and where there is
    no line; OSError where the file cannot be read.
    """
    texts: list[str] = []
    labels: list[str] = []
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines, 1):
        text, tab, label = line.removesuffix("\r").rpartition("\t")
        if not line.strip():
            continue
        if not tab or not text.strip() or not label.strip():
            raise ValueError(
                f"{path}, line {number:,}: {line[:60]!r}: write a text, a tab and its label"
            )
        texts.append(text)
        labels.append(label.strip())
    if not texts:
        raise ValueError(f"{path} has no lines: write a text, a tab and its label in each")
    return LabelledTexts(texts=tuple(texts), labels=tuple(labels))


def excerpts(texts: LabelledTexts, length: int, *, each: int = 20, seed: int = 0) -> LabelledTexts:
    """Pieces of `length` characters from texts, from the start of a word on, drawn at random.

    `each`: how many of each label, at most: a place is drawn once. A label whose texts are all
        shorter has none.
    """
    random = np.random.default_rng(seed)
    places: dict[str, list[tuple[int, int]]] = {}
    for number, (text, label) in enumerate(zip(texts.texts, texts.labels, strict=True)):
        starts = [m.start() for m in re.finditer(r"(?<!\S)\S", text)]
        # Text without spaces has few words: it can be cut anywhere.
        if len(starts) * 25 < len(text):
            starts = list(range(len(text)))
        places.setdefault(label, []).extend((number, s) for s in starts if s + length <= len(text))
    found: list[tuple[str, str]] = []
    for label, some in places.items():
        for at in random.permutation(len(some))[:each].tolist():
            number, start = some[at]
            found.append((texts.texts[number][start : start + length], label))
    return LabelledTexts(texts=tuple(t for t, _ in found), labels=tuple(k for _, k in found))


def identifying(
    train: LabelledTexts,
    validation: LabelledTexts,
    test: LabelledTexts,
    *,
    step: HashedText,
    batch_size: int = 256,
    name: str = "identifying",
) -> Supervised:
    """Ids N×T of texts, and which label each has, N; the score is the share that is right.

    Training rows are of 150 characters, each half over the one before, and each time another piece
    of them is seen: all rows of a batch are cut to n-grams of as many places, for 10 to 150
    characters.

    The labels are those of training, in alphabetical order.
    `step`: from texts to ids; its `pages` are those of `letters_of(train)`, where they are given.
    Raises ValueError for labels of validation or test that training has not.
    """
    labels = tuple(sorted(set(train.labels)))
    known = {label: number for number, label in enumerate(labels)}
    rows = [
        (text[start : start + _WINDOW], label)
        for text, label in zip(train.texts, train.labels, strict=True)
        for start in range(0, max(1, len(text) - _WINDOW // 2), _STRIDE)
    ]
    windows = LabelledTexts(texts=tuple(t for t, _ in rows), labels=tuple(k for _, k in rows))
    splits: dict[str, tuple[Tensor, Tensor]] = {}
    for split, data in (("train", windows), ("validation", validation), ("test", test)):
        if new := sorted(set(data.labels) - known.keys()):
            raise ValueError(
                f"{split} has labels that training has not: {', '.join(map(repr, new[:8]))}; give "
                "training texts with them, or leave them out"
            )
        ids = torch.from_numpy(padded(*step.of_texts(data.texts)))
        splits[split] = ids, torch.tensor([known[label] for label in data.labels])
    return Supervised(
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        name=name,
        batch_size=batch_size,
        axes={1: "T"},
        augment=cut_short,
        input_chain=InputChain(steps=(step,), labels=labels),
    )


def cut_short(ids: Tensor) -> Tensor:
    """Ids N×T with padding, of each a random piece; all pieces have one length, drawn each time.

    The length is log-uniform, from the share of T that 10 of 150 characters have to all of it.
    """
    longest = ids.shape[1]
    shortest = longest * _SHORTEST / _WINDOW
    width = int(shortest * (longest / shortest) ** torch.rand(()).item())
    width = min(max(width, 1), longest)
    spare_N = ((ids != 0).sum(1) - width).clamp(min=0)
    start_N = (torch.rand(len(ids)) * (spare_N + 1)).long()
    return ids.gather(1, start_N[:, None] + torch.arange(width))


def letters_of(texts: Sequence[str], step: HashedText) -> tuple[int, ...]:
    """The pages of Unicode with letters of texts, as `HashedText.pages` takes them."""
    points, _ = step.letters(texts)
    pages = np.unique(points[points != 0x20] >> 8).astype(np.int64)
    ends = np.flatnonzero(np.diff(pages) > 1)
    first, last = [0, *(ends + 1)], [*ends, len(pages) - 1]
    return tuple(int(pages[at]) for pair in zip(first, last, strict=True) for at in pair)


def _split_of(number: int) -> str:
    return "test" if number in _TEST else "validation" if number in _VALIDATION else "train"


def _articles(content: str) -> list[str]:
    """The preamble and the articles, 31 texts; paragraphs are joined with spaces."""
    lines = [" ".join(line.split()) for line in content.split("\n")]
    parts: list[list[str]] = [[] for _ in range(_ARTICLES + 1)]
    number, found = 0, 0
    for line in filter(None, lines):
        numbers = [int(one) for one in re.findall(r"\d+", line)] if len(line) <= _HEADING else []
        # The first article's number is often a word.
        next_ones = [n for n in numbers if max(number, 1) < n <= max(number, 1) + 3]
        if next_ones and max(next_ones) <= _ARTICLES:
            number, found = max(next_ones), found + 1
        else:
            parts[number].append(line)
    if found >= 25:
        return [" ".join(part) for part in parts]
    whole = sum(map(len, lines))
    parts, before = [[] for _ in range(_ARTICLES + 1)], 0
    for line in filter(None, lines):
        parts[before * (_ARTICLES + 1) // whole].append(line)
        before += len(line)
    return [" ".join(part) for part in parts]


def _read() -> Mapping[str, str]:
    path = fetch(_SOURCE)
    found: dict[str, str] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".txt"):
                    text = archive.read(name).decode("utf-8-sig")
                    if len(text) >= _LEAST:
                        found[name.removeprefix("udhr2/").removesuffix(".txt")] = text
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not the UDHR as NLTK packages it: {error}") from error
    return found
