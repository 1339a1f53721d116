"""In which script each label's texts are, as blocks of Unicode that a file's step can hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoestring.artifact import HashedText
from shoestring.artifact.chains.letter_blocks import BLOCKS, flat
from shoestring.tasks.udhr import LabelledTexts

LEAST = 0.1
"""The share of a label's letters that a script of it has: others are quoted words.

In the Chinese of XQuAD 4.9 % of the letters are Latin, in the Japanese of JaQuAD 3.0 %.
"""
_WIDE = (
    (0x00, 0x05, 0x3C, 0x3D),  # Latin
    (0x07, 0x07, 0x3E, 0x3F),  # Greek
    (0x08, 0x09),  # Cyrillic
    (0x0C, 0x0D),  # Arabic
    (0x1E, 0x1F),  # Tibetan
    (0x24, 0x26),  # Ethiopic
    (0x28, 0x2C),  # Canadian syllabics
    (0x60, 0x61),  # Japanese syllabaries
    (0x68, 0x13F, 0x1F2, 0x1F5),  # Chinese characters
    (0x140, 0x149),  # Yi
    (0x14A, 0x14C),  # Vai
    (0x158, 0x1AF),  # Hangul
)
"""Blocks of 128 code points that count as one, as pairs: of a script that has many of them, the
texts of a label show but some."""


def with_scripts(step: HashedText, texts: LabelledTexts) -> HashedText:
    """The step with the scripts of labels: the blocks in which at least a tenth of letters are.

    Blocks of one script count as one where it has several (`_WIDE`); else each counts for itself.
    Scripts stay away where labels differ too much for them (over 256 pairs of blocks in all sets).

    `texts`: with their labels; those without letters add nothing, and a label without letters gets
        all blocks.
    """
    group_of, pairs_of = _groups()
    labels, label_of = np.unique(np.array(texts.labels), return_inverse=True)
    counts = np.zeros((len(labels), len(pairs_of)), np.int64)
    for text, label in zip(texts.texts, label_of.tolist(), strict=True):
        pieces = [text[at : at + step.most] for at in range(0, len(text), step.most)]
        points, _ = step.letters(pieces)
        groups = group_of[points[points != 0x20] >> 7]
        counts[label] += np.bincount(groups, minlength=len(pairs_of))
    numbers: dict[tuple[int, ...], int] = {}
    script_of = []
    for count in counts:
        chosen = np.flatnonzero((count >= LEAST * count.sum()) & (count > 0)).tolist()
        pairs = tuple(number for group in chosen for number in pairs_of[group])
        script_of.append(numbers.setdefault(pairs or (0, BLOCKS - 1), len(numbers)))
    scripts = flat(list(numbers))
    if scripts is None:
        return replace(step, scripts=(), script_of=())
    return replace(step, scripts=scripts, script_of=tuple(script_of))


def _groups() -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """The group of each block, and the pairs of blocks of each group."""
    group_of = np.full(BLOCKS, -1)
    pairs_of: list[tuple[int, ...]] = list(_WIDE)
    for group, pairs in enumerate(_WIDE):
        for first, last in zip(pairs[::2], pairs[1::2], strict=True):
            group_of[first : last + 1] = group
    for block in np.flatnonzero(group_of < 0).tolist():
        group_of[block] = len(pairs_of)
        pairs_of.append((block, block))
    return group_of, pairs_of
