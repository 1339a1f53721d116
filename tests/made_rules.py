"""Made texts of ids, on which rules about single words are often right; and their curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.core.curve import Curve, Run, curve
from shoestring.kit import AdamW, Supervised, Training
from shoestring.label import HasAny, Weak
from shoestring.models import NgramClassifier

CLASSES, WORDS, LENGTH = 3, 240, 10
OWN = 60
"""Words that a class has of its own: the first 180; the rest are anybody's."""
RULES = tuple(
    HasAny(number, tuple(range(1 + OWN * number + 5 * part, 6 + OWN * number + 5 * part)))
    for number in range(CLASSES)
    for part in range(3)
)
"""Each knows five words of a class, and together they know a quarter of its words."""
TRAINING = Training(80, AdamW(3e-2))


def made(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ids N×LENGTH and classes; a fifth of the words are of the class, and a tenth of another."""
    labels = torch.randint(CLASSES, (count,), generator=generator)
    shape = (count, LENGTH)
    anybody = torch.randint(1 + OWN * CLASSES, 1 + WORDS, shape, generator=generator)
    own = torch.randint(1, 1 + OWN, shape, generator=generator)
    kind = torch.rand(shape, generator=generator)
    other = (labels[:, None] + torch.randint(1, CLASSES, shape, generator=generator)) % CLASSES
    of = torch.where(kind < 0.2, labels[:, None], other)
    return torch.where(kind < 0.3, own + OWN * of, anybody), labels


def few_texts(count: int, seed: int) -> Supervised:
    """`count` texts with labels, and 1,500 whose labels are for sale."""
    generator = torch.Generator().manual_seed(seed)
    unlabelled, answers = made(1500, generator)

    def answer(indices: Sequence[int]) -> Tensor:
        return answers[list(indices)]

    return Supervised(
        train=made(count, generator),
        validation=made(400, generator),
        test=made(1000, generator),
        unlabelled=unlabelled,
        answer=answer,
        name="made texts",
        batch_size=64,
    )


def network() -> nn.Module:
    with seeded(0):
        return NgramClassifier(1 + WORDS, CLASSES, dropout=0.0)


def weak_curves(
    technique: Weak, plain: Sequence[int] = (40, 80, 160, 320, 640)
) -> tuple[Curve, Curve]:
    """The curve of the technique with rules that know words, and that of labels at random."""
    from getting import RandomChoice  # which imports this file

    assert isinstance(technique, Weak)
    sized = replace(technique, rules=RULES, training=TRAINING, tuning=Training(30, AdamW(5e-3)))

    def ours(seed: int) -> Iterator[Run]:
        for count in (40, 80):
            yield sized, network(), few_texts(count, seed)

    def baseline(seed: int) -> Iterator[Run]:
        for count in (80, 320):
            yield RandomChoice(labels=count - 20, training=TRAINING), network(), few_texts(20, seed)

    seeds = (0, 1, 2)
    return (
        curve(ours, resource="labels", seeds=seeds, split="test"),
        curve(baseline, resource="labels", seeds=seeds, split="test"),
    )
