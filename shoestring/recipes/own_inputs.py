"""The reader's own texts, pictures or rows as tensors, and a small network for them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.artifact import HashedText
from shoestring.artifact.chains.hashed_text import padded
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.picture import Picture
from shoestring.artifact.errors import missing
from shoestring.artifact.progress import progress
from shoestring.kit import moved
from shoestring.label import Example
from shoestring.models import NgramClassifier, ResNet, TabularNet

SIDES = ((16, 16), (64, 32))
"""Pixels of the smaller side that half of the pictures have at most, and of the side that is seen.

Pictures of more pixels are seen at 64×64.
"""
_LARGE = 64
_STEP = HashedText(lengths=(1, 2, 3, 4), buckets=1 << 16, most=1024)
LARGEST = 1e30
"""Of a number in a row: what is larger has no place in 32 bits once it is squared or summed."""
_MOST_VALUES = 200  # of a column of categories
_UNKNOWN = 0


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Examples as a network takes them.

    `tensors`: one or more, N×….
    `examples`: those that could be read, N.
    `network`: makes an untrained network for a number of classes.
    `augment`: of training batches, or None.
    `chain`: from raw inputs to tensors, for the file, given the classes; None: they are raw.
    `varies`: whether axis 1 varies in length.
    `learning_rate`: at which the network learns, by AdamW.
    `fit`: makes these inputs anew with the means and spreads of the examples at these places; None:
        they have none.
    `notes`: what was left out or changed, a sentence each.
    """

    tensors: tuple[Tensor, ...] = field(repr=False)
    examples: tuple[Example, ...] = field(repr=False)
    network: Callable[[int], nn.Module]
    augment: Callable[[Tensor], Tensor] | None = None
    chain: Callable[[tuple[str, ...]], InputChain] | None = None
    varies: bool = False
    learning_rate: float
    fit: Callable[[Sequence[int]], Inputs] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def fitted(self, training: Sequence[int]) -> Inputs:
        """The inputs with means and spreads of training examples alone, at these places.

        What a network is validated and tested on must not be in them.
        """
        return self if self.fit is None else self.fit(training)


def inputs_of(examples: Sequence[Example]) -> Inputs:
    """Texts, pictures or rows, whatever the examples are.

    Raises ValueError for no examples, for examples of several kinds, and where none can be read.
    """
    kinds = Counter(map(_kind, examples))
    if not kinds:
        raise ValueError("there is nothing to learn from: the collection has no examples")
    if len(kinds) > 1:
        raise ValueError(
            "the examples are of several kinds ("
            + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
            + "): a network takes one kind, so give a collection of each"
        )
    (kind,) = kinds
    return {"texts": _texts, "pictures": _pictures, "rows": _rows}[kind](examples)


def _kind(example: Example) -> str:
    if example.text is not None:
        return "texts"
    return "pictures" if example.picture is not None else "rows"


def _texts(examples: Sequence[Example]) -> Inputs:
    texts = [example.text or "" for example in examples]
    ids = torch.from_numpy(padded(*_STEP.of_texts(texts)))
    notes = []
    if long := sum(len(text) > _STEP.most for text in texts):
        notes.append(f"of {long:,} texts only the first {_STEP.most:,} characters count")
    if empty := int((ids == 0).all(1).sum()):
        notes.append(f"{empty:,} texts have no letters: the network sees nothing in them")
    return Inputs(
        tensors=(ids,),
        examples=tuple(examples),
        network=lambda classes: NgramClassifier(_STEP.ids, classes, width=16),
        chain=lambda names: InputChain(steps=(_STEP,), labels=names),
        varies=True,
        learning_rate=0.02,
        notes=tuple(notes),
    )


def _pictures(examples: Sequence[Example]) -> Inputs:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing("PIL", extra="images", what="pictures are read with Pillow") from None
    sides: list[int] = []
    for example in examples[:200]:
        try:
            with Image.open(str(example.picture)) as file:
                sides.append(min(file.size))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
    middle = sorted(sides)[len(sides) // 2] if sides else _LARGE
    side = next((seen for most, seen in SIDES if middle <= most), _LARGE)
    step = Picture(side=side)
    pixels = np.zeros((len(examples), 3, side, side), np.uint8)
    kept: list[int] = []
    faults: list[str] = []
    with progress("reading pictures", len(examples)) as advance:
        for place, example in enumerate(examples):
            try:
                pixels[len(kept)] = step.pixels(Path(str(example.picture)))
                kept.append(place)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                faults.append(f"{example.name} ({error})")
            advance("")
    notes = [f"pictures are seen at {side}×{side} pixels"]
    if faults:
        notes.append(
            f"{len(faults):,} pictures do not open and are left out: {'; '.join(faults[:3])}"
            + ("; …" if len(faults) > 3 else "")
        )
    if not kept:
        raise ValueError(f"none of the {len(examples):,} pictures opens: {'; '.join(faults[:3])}")
    images = torch.from_numpy(pixels[: len(kept)]).float().div_(255)
    return Inputs(
        tensors=(images,),
        examples=tuple(examples[place] for place in kept),
        network=lambda classes: ResNet(8, 16, classes),
        augment=partial(moved, pixels=side // 16),
        chain=lambda names: InputChain(steps=(step,), labels=names),
        learning_rate=0.005,
        notes=tuple(notes),
    )


def _rows(examples: Sequence[Example], training: Sequence[int] | None = None) -> Inputs:
    """`training`: the places of the examples whose means and spreads count; None: all count."""
    counted = range(len(examples)) if training is None else training
    names = list(dict.fromkeys(name for example in examples for name in example.fields))
    numbers: dict[str, list[float]] = {}
    means: list[float] = []
    spreads: list[float] = []
    categories: dict[str, list[str]] = {}
    notes: list[str] = []
    for name in names:
        texts = [example.fields.get(name, "").strip() for example in examples]
        values = [_number(text) for text in texts]
        given = [value for value in values if not math.isnan(value)]
        filled = sum(bool(text) for text in texts)
        if len(given) >= 0.9 * filled and given:
            if lost := len(texts) - len(given):
                notes.append(f"column {name!r} has no number in {lost:,} rows: its mean is taken")
            seen = [values[place] for place in counted if not math.isnan(values[place])]
            means.append(fmean(seen) if seen else 0.0)
            numbers[name] = [means[-1] if math.isnan(value) else value for value in values]
            spreads.append(pstdev([numbers[name][place] for place in counted]) or 1.0)
        elif 1 < len(distinct := set(texts)) <= min(_MOST_VALUES, max(2, len(texts) // 2)):
            categories[name] = texts
        else:
            notes.append(
                f"column {name!r} is left out: it has {len(distinct):,} values in "
                f"{len(texts):,} rows"
            )
    if not numbers and not categories:
        raise ValueError(
            "no column of the rows can be learned from: "
            + ("; ".join(notes) or "they have no columns besides the label")
        )
    known = {name: sorted(set(column)) for name, column in categories.items()}
    ids = [[known[name].index(text) + 1 for text in column] for name, column in categories.items()]
    sizes = [len(values) + 1 for values in known.values()]
    if not sizes:  # the network has one table for all categories, and it must not be empty
        ids, sizes = [[_UNKNOWN] * len(examples)], [1]
    return Inputs(
        tensors=(
            torch.tensor(ids, dtype=torch.int64).T.contiguous(),
            torch.tensor(list(numbers.values()), dtype=torch.float32)
            .reshape(len(numbers), len(examples))
            .T.contiguous(),
        ),
        examples=tuple(examples),
        network=lambda classes: TabularNet(sizes, means, spreads, classes=classes),
        learning_rate=2e-3,
        fit=partial(_rows, examples),
        notes=tuple(notes),
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if abs(value) <= LARGEST else math.nan
