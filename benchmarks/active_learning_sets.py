"""The data sets of `active_learning.py`: tasks that sell labels, and small networks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.kit import AdamW, Supervised, Training
from shoestring.label import ByLength, Equal
from shoestring.models import NgramClassifier
from shoestring.tasks import (
    digits,
    ewt,
    ewt_vocabulary,
    mnist,
    sst2,
    sst2_vocabulary,
    trec,
    trec_vocabulary,
)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A data set of the benchmark.

    `task`: all of it, made once.
    `network`: makes the network.
    `pool`: training examples that are drawn for a seed, those labelled at the start included.
    `begin`: of these, how many are labelled at the start.
    `labels`: how many are bought; of sentences to tag, how many words.
    `rounds`: in how many batches.
    `training`: of the network after each batch.
    `unit`: what is bought.
    """

    task: Callable[[], Supervised]
    network: Callable[[], nn.Module]
    pool: int
    begin: int
    labels: int
    rounds: int
    training: Training
    prices: Equal | ByLength = Equal()
    unit: str = "labels"


def _image_network(pixels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 10)
    )


class SmallTagger(nn.Module):
    """Embeddings of words and endings, a convolution over three words, and a linear layer.

    `words`, `endings`: the number of ids of each.
    """

    def __init__(self, words: int, endings: int) -> None:
        super().__init__()
        self.words, self.endings = nn.Embedding(words, 24), nn.Embedding(endings, 24)
        self.window = nn.Conv1d(48, 64, 3, padding=1)
        self.dropout, self.last = nn.Dropout(0.2), nn.Linear(64, 17)

    def forward(self, words: Tensor, endings: Tensor) -> Tensor:
        """Ids N×T of words and of endings to logits N×T×17."""
        vectors_NTC = torch.cat([self.words(words), self.endings(endings)], 2)
        hidden_NCT = self.window(self.dropout(vectors_NTC).transpose(1, 2)).relu()
        return self.last(self.dropout(hidden_NCT.transpose(1, 2)))


SETS: dict[str, Labelled] = {
    "digits": Labelled(
        task=digits,
        network=lambda: _image_network(64, 48),
        pool=997,
        begin=20,
        labels=180,
        rounds=6,
        training=Training(100, AdamW(1e-2, 0.1)),
    ),
    "MNIST": Labelled(
        task=mnist,
        network=lambda: _image_network(784, 64),
        pool=4000,
        begin=50,
        labels=900,
        rounds=6,
        training=Training(150, AdamW(3e-3, 0.1)),
    ),
    "SST-2": Labelled(
        task=sst2,
        network=lambda: NgramClassifier(len(sst2_vocabulary()), 2, width=16, dropout=0.2),
        pool=6920,
        begin=50,
        labels=900,
        rounds=6,
        training=Training(150, AdamW(1e-2, 0.1)),
    ),
    "TREC": Labelled(
        task=trec,
        network=lambda: NgramClassifier(len(trec_vocabulary()), 6, width=16, dropout=0.2),
        pool=5000,
        begin=50,
        labels=750,
        rounds=6,
        training=Training(150, AdamW(1e-2, 0.1)),
    ),
    "EWT tags": Labelled(
        task=lambda: replace(ewt(), batch_size=32),
        network=lambda: SmallTagger(*ewt_vocabulary().sizes),
        pool=2000,
        begin=25,
        labels=5000,
        rounds=5,
        training=Training(80, AdamW(1e-2, 0.1)),
        prices=ByLength(),
        unit="words",
    ),
}


def start_of(one: Labelled, whole: Supervised, seed: int) -> Supervised:
    """The task of a seed: `begin` labelled examples, and the rest of its pool for sale."""
    inputs, targets = whole.train
    several = inputs if isinstance(inputs, tuple) else (inputs,)
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(targets), generator=draw)[: one.pool]
    given, rest = order[: one.begin], order[one.begin :]

    def of(rows: Tensor) -> Any:
        chosen = tuple(part[rows] for part in several)
        return chosen if isinstance(inputs, tuple) else chosen[0]

    return replace(
        whole, train=(of(given), targets[given]), unlabelled=of(rest), answer=targets[rest]
    )
