"""The cheapest way to tell languages: naive Bayes, by the n-grams that our networks have."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoestring.artifact import HashedText
from shoestring.tasks import LabelledTexts

_SMOOTHING = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True, kw_only=True)
class NaiveBayes:
    """The logarithms of how frequent each id is in each label.

    `step`: from texts to ids. `labels`: in alphabetical order.
    `logs_VK`: V ids by K labels (float32), of 8-bit numbers.
    `bytes`: of these numbers, deflated. `smoothing`: what is added to each count.
    """

    step: HashedText
    labels: tuple[str, ...]
    logs_VK: np.ndarray
    bytes: int
    smoothing: float

    @staticmethod
    def trained(train: LabelledTexts, step: HashedText, validation: LabelledTexts) -> NaiveBayes:
        """The one whose smoothing is best on validation texts."""
        labels = tuple(sorted(set(train.labels)))
        counts_VK = np.zeros((step.ids, len(labels)))
        for text, label in zip(train.texts, train.labels, strict=True):
            # Of a text its first `step.most` characters would count: it goes in piece by piece.
            pieces = [text[at : at + 150] for at in range(0, len(text), 150)]
            np.add.at(counts_VK[:, labels.index(label)], step.of_texts(pieces)[0], 1)
        made = [NaiveBayes._of(counts_VK, step, labels, one) for one in _SMOOTHING]

        def right(one: NaiveBayes) -> int:
            found = one.labels_of(validation.texts)
            return sum(a == b for a, b in zip(found, validation.labels, strict=True))

        return max(made, key=right)

    @staticmethod
    def _of(
        counts_VK: np.ndarray, step: HashedText, labels: tuple[str, ...], smoothing: float
    ) -> NaiveBayes:
        smooth = counts_VK + smoothing
        logs = np.log(smooth / smooth.sum(0))
        logs -= logs.min()
        scale = logs.max() / 255
        bytes_VK = np.round(logs / scale).astype(np.uint8)
        size = len(zlib.compress(bytes_VK.T.tobytes(), 9)) + sum(map(len, labels))
        return NaiveBayes(
            step=step,
            labels=labels,
            logs_VK=(bytes_VK * scale).astype(np.float32),
            bytes=size,
            smoothing=smoothing,
        )

    def labels_of(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text, where all labels are as likely before."""
        ids, counts_N = self.step.of_texts(texts)
        ends = np.cumsum(counts_N)
        found = []
        for end, count in zip(ends.tolist(), counts_N.tolist(), strict=True):
            found.append(self.labels[int(self.logs_VK[ids[end - count : end]].sum(0).argmax())])
        return found
