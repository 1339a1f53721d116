"""The words of running text in European languages, found by rules."""

from __future__ import annotations

import re

_PIECES = re.compile(
    r"(?:https?://|www\.)\S+"  # addresses
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
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
    hyphens (well - known). For other languages it cuts off punctuation only.
    """
    return [match.group() for match in _PIECES.finditer(text)]
