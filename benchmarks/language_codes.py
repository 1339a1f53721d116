"""The codes of languages that other tools use, beside those of the declaration's files.

A language of the declaration has a code of ISO 639-3, tools mostly have ISO 639-1. Where the tools
know one language and the declaration several of its kinds, these count as one: all kinds of Quechua
are "qu", "pes" is "fa". Norwegian "no" is Bokmål here, and "nn" is Nynorsk.
"""

from __future__ import annotations

from shoestring.artifact.chains.language_codes import CODES

ALIASES = {
    "iw": "he",
    "jw": "jv",
    "nb": "no",
    "fil": "tl",
    "tw": "ak",
    "gug": "gn",
    "uzs": "uz",
    "zh-Hant": "zh",
    "sr-ME": "sr",
    "als": "gsw",  # fastText: Alemannic; in ISO 639-3 it is Tosk Albanian
}
"""Other codes of tools, and what is written here for them."""


def of_label(label: str) -> str:
    """The code for one of our labels."""
    return CODES.get(label[:3], label[:3])


def of_tool(code: str) -> str:
    """The code for an answer of a tool."""
    return ALIASES.get(code, code)
