"""The ids of a text, slowly and plainly, as `HashedText` describes them."""

from __future__ import annotations

import unicodedata

from shoestring.artifact import HashedText


def mixed(state: int) -> int:
    """MurmurHash3's last step."""
    state = (state ^ state >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    state = (state ^ state >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return state ^ state >> 16


def letters_of(text: str, step: HashedText) -> str:
    """The letters of a text, and a space for all else."""
    small = unicodedata.normalize("NFC", text[: step.most].lower())
    return "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in small)


def reference(text: str, step: HashedText) -> list[int]:
    """The ids of a text."""
    spaced = f" {' '.join(letters_of(text, step).split(' '))} "
    while "  " in spaced:
        spaced = spaced.replace("  ", " ")
    found = []
    for start in range(len(spaced)):
        for length in step.lengths:
            gram = spaced[start : start + length]
            if len(gram) < length or " " in gram[1:-1] or not gram.strip():
                continue
            state = 2166136261
            for character in gram:
                state = (state ^ ord(character)) * 16777619 & 0xFFFFFFFF
            found.append(1 + mixed(state + length - 1) % step.buckets)
    return found


def known(text: str, step: HashedText) -> float:
    """The share of a text's letters that is of known pages."""
    letters = [ord(c) >> 8 for c in letters_of(text, step) if c != " "]
    pairs = list(zip(step.pages[::2], step.pages[1::2], strict=True)) or [(0, 0x10FF)]
    right = [any(first <= page <= last for first, last in pairs) for page in letters]
    return sum(right) / max(1, len(letters))
