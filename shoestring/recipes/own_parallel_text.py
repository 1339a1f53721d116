"""A reader's own parallel text: two files whose lines translate one another, as a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from shoestring.tasks.fetch import DataError
from shoestring.tasks.pieces import pieces
from shoestring.tasks.translation import Translation

_HELD_OUT = 20  # of the pairs, one in 20 is for validation and one for testing
_MOST_HELD_OUT = 1000
_FEWEST = 60


@dataclass(frozen=True, kw_only=True)
class ParallelText:
    """What was made of the files.

    `task`: of translating the first language into the second.
    `sources`, `targets`: sentences of each without a translation.
    `notes`: what was left out, in sentences.
    """

    task: Translation
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    notes: tuple[str, ...]


def own_parallel_text(
    source: Path,
    target: Path,
    *,
    sources: Path | None = None,
    targets: Path | None = None,
    size: int = 4000,
    longest: int = 100,
    seed: int = 0,
) -> ParallelText:
    """A task of two text files in UTF-8: line by line, one is the translation of the other.

    One pair in 20 is for validation and one in 20 for testing, drawn by the seed; pairs with one
    source sentence are in one split. The vocabulary is learnt from what is for training and from
    the sentences without a translation.

    `source`, `target`: the files, with as many lines each.
    `sources`, `targets`: files of sentences without a translation, a line each; None for none.
    `size`: of the vocabulary, 259 or more.
    `longest`: pieces of a sentence; longer pairs are left out of training.

    Raises DataError for files of unequal length and for fewer than 60 different pairs, and OSError
    for no file.
    """
    ours, theirs = (_lines(path) for path in (source, target))
    if len(ours) != len(theirs):
        raise DataError(
            f"{source} has {len(ours)} lines and {target} {len(theirs)}: line by line, one must be "
            "the translation of the other"
        )
    every = [pair for pair in zip(ours, theirs, strict=True) if all(pair)]
    different = list(dict.fromkeys(every))
    notes = list[str]()
    if empty := len(ours) - len(every):
        notes.append(f"{empty} pairs with an empty line are left out")
    if equal := len(every) - len(different):
        notes.append(f"{equal} pairs that were there before are left out")
    if len(different) < _FEWEST:
        raise DataError(
            f"{source} and {target} have {len(different)} different pairs, and {_FEWEST} are "
            "needed: give more"
        )
    train, validation, test = _splits(different, seed)
    alone = [
        _alone(path, {pair[side] for pair in validation + test}, notes)
        for side, path in enumerate((sources, targets))
    ]
    seen = [side for pair in train for side in pair] + [*alone[0], *alone[1]]
    task = Translation(
        train=train,
        validation=validation,
        test=test,
        pieces=pieces(seen, size=size),
        longest=longest,
        name=f"{source.stem} to {target.stem}",
    )
    return ParallelText(task=task, sources=alone[0], targets=alone[1], notes=tuple(notes))


def _alone(path: Path | None, held_out: set[str], notes: list[str]) -> tuple[str, ...]:
    """The different sentences of a file that are in no held-out pair."""
    found = [] if path is None else [line for line in dict.fromkeys(_lines(path)) if line]
    kept = tuple(line for line in found if line not in held_out)
    if len(kept) < len(found):
        notes.append(f"{len(found) - len(kept)} sentences of {path} are in held-out pairs")
    return kept


def _lines(path: Path) -> list[str]:
    """The lines of a file, without spaces around them; only what ends a line ends one."""
    text = path.read_bytes().decode("utf-8-sig", "replace")
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _splits(
    pairs: list[tuple[str, str]], seed: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[tuple[str, str]]]:
    """Training, validation and test pairs; a source sentence is in one of them."""
    names = list(dict.fromkeys(one for one, _ in pairs))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    count = min(_MOST_HELD_OUT, max(1, len(names) // _HELD_OUT))
    split = {names[at]: min(place // count, 2) for place, at in enumerate(order)}
    parts: tuple[list[tuple[str, str]], ...] = ([], [], [])
    for pair in pairs:
        parts[split[pair[0]]].append(pair)
    return parts[2], parts[0], parts[1]
