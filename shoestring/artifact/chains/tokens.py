"""The words of running text in European languages, found by rules."""

from __future__ import annotations

import re
import unicodedata

# No part looks further than a piece goes, or 64 characters: a line may be a megabyte.
_PIECES = re.compile(
    r"(?:https?://|www\.)\S+"  # addresses
    r"|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
    r"|(?:[A-Za-z]\.){2,}"  # U.S.
    r"|(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|etc|Inc|Co|Corp|Ltd|No|Gen|Rep|Sen|Gov|Lt|Col|Jan|Feb|Mar|Apr"
    r"|Aug|Sept|Oct|Nov|Dec)\.(?=\s|$)"
    r"|\d+(?:[.,:]\d+)*(?:st|nd|rd|th|s|am|pm)?\b"
    r"|[:;=]-?[)(DPp/|]+(?!\w)"  # :-)
    r"|\w+?(?=[nN]['’][tT]\b)|[nN]['’][tT]\b"  # do n't
    r"|['’](?:s|S|m|M|d|D|re|RE|ve|VE|ll|LL)\b"
    r"|(?:can)(?=not\b)"
    r"|\w+(?:['’](?!(?:s|S|m|M|d|D|re|RE|ve|VE|ll|LL)\b)\w+)*"
    r"|(\.)\1+|([-=_*~#!?])\2+"  # ... --- !!!
    r"|\S"
)


def words_of(text: str) -> list[str]:
    """The words and the punctuation marks of a text, in their order, without white space.

    It cuts English contractions as the English Web Treebank does (do n't, dog 's) and words at
    hyphens (well - known). For other languages it cuts off punctuation only: combining marks stay
    with the letters around them.
    """
    spans = [match.span() for match in _PIECES.finditer(text)]
    if not text.isascii():
        spans = _with_marks(text, spans)
    return [text[first:end] for first, end in spans]


def _with_marks(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of words, of which a mark is no end: to `\\w` it is no part of a word."""
    joined: list[tuple[int, int]] = []
    goes_on = False  # whether a letter that follows at once is of the last word
    for first, end in spans:
        mark = _is_mark(text[first])
        if joined and joined[-1][1] == first and (mark or (goes_on and text[first].isalnum())):
            joined[-1] = joined[-1][0], end
        else:
            joined.append((first, end))
        goes_on = mark and text[joined[-1][0]].isalnum()
    return joined


def _is_mark(character: str) -> bool:
    """Whether it belongs to the character before it; of words in Persian or Hindi joiners do."""
    return character >= "\u0300" and (
        unicodedata.category(character)[0] == "M" or character in "\u200c\u200d"
    )
