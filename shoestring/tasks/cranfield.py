"""Cranfield: 1,400 abstracts of papers on flight, and 225 questions with the papers that help."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shoestring.tasks.fetch import DataError, Source, content_of

_HOME = "https://raw.githubusercontent.com/olivernn/cranfield/8f40ee9/data/cran"
# Each file as its home has it, and the same file gzipped.
_FILES = {
    name: (
        Source("cranfield", name, f"{_HOME}/{name}", plain),
        Source("cranfield", f"{name}.gz", "", gzipped),
    )
    for name, plain, gzipped in (
        (
            "cran.all.1400",
            "0feb1a64cd60d0d294b6a8c0864b9476dda2158d9964e7285c6b609d32d1ea7a",
            "3a795019d545e399bc85dc8d1aade7fd4a6a37210daab68f3f299456699c7d07",
        ),
        (
            "cran.qry",
            "99578ceb88941ef89c14faf7c63c23776a376d8fba319b990f01d0c601d8b03f",
            "07cb305a800947264df18bfa83361bafe83ec94f302f841ffa1d594fffd3777c",
        ),
        (
            "cranqrel",
            "92e54b58dac0b980152178f350d892fae66c8a239b8a11715b835fb8d2f6bc0e",
            "6301bd5fa07863561101d5516a648920089aaf6f6957e964bce494306cc6c9ae",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Documents, and queries with those that answer them.

    `titles`, `documents`: of each document. The text is without the title at its beginning; about
        90 texts begin with their title in another spelling, and keep it.
    `queries`: questions of people.
    `relevant`: for each query the numbers of the documents that help, from 0.
    """

    titles: tuple[str, ...] = field(repr=False)
    documents: tuple[str, ...] = field(repr=False)
    queries: tuple[str, ...] = field(repr=False)
    relevant: tuple[tuple[int, ...], ...] = field(repr=False)


def cranfield() -> Collection:
    """The 1,398 documents with a text, and the 225 queries.

    Documents are relevant of grade 1 (a complete answer) to 4 (of least interest). The entries
    without a grade, one a query, are left out.

    Source: Cleverdon, Mills & Keen 1966.
    Raises DataError where the files cannot be had or are damaged.
    """
    texts = {name: content_of(*files)[1].decode("latin1") for name, files in _FILES.items()}
    entries = [_entry(one) for one in re.split(r"(?m)^\.I \d+\s*\n", texts["cran.all.1400"])[1:]]
    kept = [number for number, (_, body) in enumerate(entries) if body]
    place = {number: at for at, number in enumerate(kept)}
    asked = re.split(r"(?m)^\.I \d+\s*\n\.W\s*\n", texts["cran.qry"])[1:]
    relevant: list[set[int]] = [set() for _ in asked]
    for line in texts["cranqrel"].split("\n"):
        if not line.strip():
            continue
        try:
            query, document, grade = map(int, line.split())
            found = relevant[query - 1]
        except (ValueError, IndexError):
            raise DataError(
                f"cranqrel has the line {line[:40]!r}: a line must be a query from 1 to "
                f"{len(asked)}, a document and a grade"
            ) from None
        if 1 <= grade <= 4 and document - 1 in place:
            found.add(place[document - 1])
    return Collection(
        titles=tuple(entries[number][0] for number in kept),
        documents=tuple(entries[number][1] for number in kept),
        queries=tuple(" ".join(one.split()) for one in asked),
        relevant=tuple(tuple(sorted(one)) for one in relevant),
    )


def _entry(text: str) -> tuple[str, str]:
    """The title of an entry and its text, which begins with the title once more."""
    head, _, body = text.partition(".W\n")
    title = " ".join(head.partition(".T\n")[2].partition("\n.A\n")[0].split())
    body = " ".join(body.split())
    return title, body.removeprefix(title).strip()
