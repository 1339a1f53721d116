"""Words that are written in another alphabet, from the last letter to the first; their curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.core import Task, Technique, Vary, score, seeded
from shoestring.core.curve import Curve
from shoestring.dual import DualTask, Marginals, Pool, Sequences, TwoWay
from shoestring.kit import AdamW, Training, clone, train
from shoestring.kit.sequences.decoding import Alphabet, greedy
from shoestring.models import Translator

ALPHABET = Alphabet(start=1, end=2, most=6)
LETTERS, FIRST, LENGTH = 4, 3, 3


def every_ending(most: int, ids: int) -> Tensor:
    """All sequences over `ids` ids that end within `most`, or are cut there."""
    found = []
    for length in range(1, most + 1):
        for one in product(range(ids), repeat=length):
            ends = [place for place, item in enumerate(one) if item == ALPHABET.end]
            if ends == [length - 1] or (length == most and not ends):
                found.append([*one, *[0] * (most - length)])
    return torch.tensor(found)


def spelled(letters: Tensor) -> Tensor:
    """Words in the other alphabet, from the last letter to the first."""
    return (LETTERS - 1 - (letters - FIRST) + FIRST).flip(1)


def with_end(letters: Tensor) -> Tensor:
    """Words N×T with their end."""
    return functional.pad(letters, (0, 1), value=ALPHABET.end)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spelling(Task):
    """The share of words that are spelled right.

    `pairs`: of training; `seed`: of the draw; `turned`: whether the other way round.
    """

    pairs: int = 8
    seed: int = 0
    turned: Any = None
    name: str = "spelling"

    def words(self, split: str) -> tuple[Tensor, Tensor]:
        every = torch.cartesian_prod(*[torch.arange(FIRST, FIRST + LETTERS)] * LENGTH)
        order = torch.randperm(len(every), generator=torch.Generator().manual_seed(self.seed))
        chosen = order[: self.pairs] if split == "train" else order[self.pairs :]
        letters = every[chosen]
        both = with_end(letters), with_end(spelled(letters))
        return both if self.turned is None else both[::-1]

    def batches(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        source, target = self.words(split)
        for rows in torch.randperm(len(source)).split(16):
            yield source[rows], target[rows]

    def loss(self, model: Any, batch: Any) -> Tensor:
        return directions()[0].loss(model, *batch)

    def score(self, predict: Any, split: str) -> float:
        source, target = self.words(split)
        written = greedy(predict, (source,), ALPHABET)
        width = max(written.shape[1], target.shape[1])
        padded = [functional.pad(one, (0, width - one.shape[1])) for one in (written, target)]
        return float((padded[0] == padded[1]).all(1).double().mean())

    def example(self) -> dict[str, Any]:
        model = Translator(FIRST + LETTERS, width=16, layers=1, heads=2, hidden=16, length=8).eval()
        source = self.words("train")[0][:2]
        with torch.no_grad():
            state = model.encode(source)
        axes: dict[str, dict[int, Any]] = {
            "memory": {0: "N", 2: "S"},
            "is_word": {0: "N", 1: "S"},
            "written": {0: "N", 2: "T"},
            "place": {0: "N"},
        }
        return {
            "encode": ((Vary(source, {0: "N", 1: "S"}),), {}),
            "step": (
                (torch.full((2,), ALPHABET.start),),
                {name: Vary(value, axes[name]) for name, value in state.items()},
            ),
        }


def directions() -> tuple[Sequences, Sequences]:
    """There and back."""
    return (
        Sequences(part="ahead", alphabet=ALPHABET, smoothing=0.0),
        Sequences(
            part="back",
            alphabet=ALPHABET,
            encode="encode_back",
            step="step_back",
            smoothing=0.0,
        ),
    )


def flat(examples: Tensor) -> Tensor:
    """How likely a word is by itself: all words of a length are alike."""
    return -(examples != 0).sum(1).float()


def spelling(pairs: int = 8, seed: int = 0) -> DualTask:
    """Words in two alphabets: some pairs, and all words of each alphabet alone."""
    ahead = Spelling(pairs=pairs, seed=seed)
    back = replace(ahead, turned=True)
    forward, backward = directions()
    every = [
        torch.cat([ahead.words(split)[side] for split in ("train", "validation")])
        for side in (0, 1)
    ]
    return DualTask(
        ahead=ahead,
        back=back,
        forward=forward,
        backward=backward,
        marginals=Marginals(source=flat, target=flat),
        sources=Pool(every[0], 16),
        targets=Pool(every[1], 16),
        name="spelling both ways",
    )  # fmt: skip


def spellers(seed: int = 0) -> TwoWay:
    """Two small translators, untrained."""
    with seeded(seed):
        return TwoWay(*[
            Translator(
                FIRST + LETTERS, width=16, layers=1, heads=2, hidden=16, length=8, dropout=0.0
            )
            for _ in range(2)
        ])  # fmt: skip


def dual_curves(technique: Technique) -> tuple[Curve, Curve]:
    """Right words by the pairs that are known: the technique, and training on the pairs alone.

    Both have the same steps in all, and the technique the words of both alphabets besides.
    """
    steps, seeds = 150, (0, 1, 2)

    def scored(pairs: int, seed: int, with_unpaired: bool) -> float:
        task = spelling(pairs, seed)
        training = Training(steps, AdamW(5e-3))
        with seeded(seed):
            begun = train(spellers(seed), task.sealed(), training)
            longer = replace(technique, training=training)  # type: ignore[call-arg, type-var]
            done = (
                longer(begun, task.sealed())
                if with_unpaired
                else train(clone(begun), task.sealed(), training)
            )
        return score(task, done, "validation")

    def made(points: tuple[int, ...], with_unpaired: bool) -> Curve:
        return Curve(
            resource="labels",
            costs=tuple(tuple(float(one) for one in points) for _ in seeds),
            scores=tuple(
                tuple(scored(one, seed, with_unpaired) for one in points) for seed in seeds
            ),
        )

    return made((8, 16, 24), True), made((8, 16, 24, 32), False)
