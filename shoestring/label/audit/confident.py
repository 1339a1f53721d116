"""Wrong labels by confident learning: what a model that never saw an example says of its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np

from shoestring.label.audit.checked import checked_labels, checked_probabilities

_LOWEST = 1e-6
"""No threshold is below this: a class whose mean probability is 0 would take every example."""
_ROUNDING = 1e-6
"""How far below its threshold a probability may lie and still count as at it."""


class Quality(Protocol):
    """How far a given label can be believed: 0 (wrong) to 1 (right)."""

    def __call__(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray: ...


@final
@dataclass(frozen=True, kw_only=True)
class SelfConfidence:
    """The probability of the given label.

    Source: Northcutt, Jiang & Chuang 2021, section 3.2.
    """

    def __call__(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """N×C and N to N."""
        return probabilities[np.arange(len(labels)), labels]


@final
@dataclass(frozen=True, kw_only=True)
class NormalisedMargin:
    """The probability of the given label less that of the best other one, from -1..1 to 0..1.

    Source: Northcutt, Jiang & Chuang 2021, section 3.2.
    """

    def __call__(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """N×C and N to N."""
        rows = np.arange(len(labels))
        others = probabilities.copy()
        others[rows, labels] = -1.0
        return (probabilities[rows, labels] - others.max(1) + 1) / 2


class Pruning(Protocol):
    """Which examples are taken for wrong."""

    def __call__(
        self, probabilities: np.ndarray, labels: np.ndarray, confident: Confident
    ) -> np.ndarray: ...


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Confident:
    """What confident learning estimates.

    `thresholds`: C; the mean probability of a class over the examples that are given it; infinite
        where there are none.
    `counts`: C×C; how many examples with the label of the row are confidently of the class of the
        column.
    `joint`: C×C; the same, scaled so that a row sums to the number of examples with its label.
    `certain`: N; the class that an example is confidently of; -1 for none.
    """

    thresholds: np.ndarray
    counts: np.ndarray
    joint: np.ndarray
    certain: np.ndarray


@final
@dataclass(frozen=True, kw_only=True)
class ByNoiseRate:
    """Of each label and class: as many as the joint says, those with the largest margin first.

    Source: Northcutt, Jiang & Chuang 2021, section 3.2, "prune by noise rate".
    """

    def __call__(
        self, probabilities: np.ndarray, labels: np.ndarray, confident: Confident
    ) -> np.ndarray:
        """Whether each of N examples is taken for wrong."""
        wrong = np.zeros(len(labels), bool)
        for label, rows, numbers in _numbers(labels, confident):
            margins = probabilities[rows] - probabilities[rows, label][:, None]
            for other in np.flatnonzero(numbers):
                if other != label:
                    wrong[rows[_largest(margins[:, other], numbers[other])]] = True
        return wrong & (_is_other(probabilities, labels))


@final
@dataclass(frozen=True, kw_only=True)
class ByClass:
    """Of each label: as many as the joint says, those with the lowest probability of it first.

    Source: Northcutt, Jiang & Chuang 2021, section 3.2, "prune by class".
    """

    def __call__(
        self, probabilities: np.ndarray, labels: np.ndarray, confident: Confident
    ) -> np.ndarray:
        """Whether each of N examples is taken for wrong."""
        wrong = np.zeros(len(labels), bool)
        for label, rows, numbers in _numbers(labels, confident):
            many = int(numbers.sum() - numbers[label])
            wrong[rows[_largest(-probabilities[rows, label], many)]] = True
        return wrong & (_is_other(probabilities, labels))


@final
@dataclass(frozen=True, kw_only=True)
class ByBoth:
    """What is taken for wrong by class and by noise rate: fewer examples, more of them wrong.

    Source: Northcutt, Jiang & Chuang 2021, section 3.2, "C+NR".
    """

    def __call__(
        self, probabilities: np.ndarray, labels: np.ndarray, confident: Confident
    ) -> np.ndarray:
        """Whether each of N examples is taken for wrong."""
        by_class = ByClass()(probabilities, labels, confident)
        return by_class & ByNoiseRate()(probabilities, labels, confident)


@final
@dataclass(frozen=True, kw_only=True)
class ByConfidence:
    """The examples off the diagonal of the confident joint themselves.

    Source: Northcutt, Jiang & Chuang 2021, section 3.2, "confident joint".
    """

    def __call__(
        self, probabilities: np.ndarray, labels: np.ndarray, confident: Confident
    ) -> np.ndarray:
        """Whether each of N examples is taken for wrong."""
        other = (confident.certain >= 0) & (confident.certain != labels)
        return other & (_is_other(probabilities, labels))


@final
@dataclass(frozen=True, kw_only=True)
class LabelError:
    """A label that is probably wrong.

    `index`: of the example.
    `given`, `suggested`: the label it has, and the class that the model finds likeliest.
    `quality`: of the given label, 0 (wrong) to 1 (right).
    """

    index: int
    given: int
    suggested: int
    quality: float


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LabelErrors:
    """The labels that are probably wrong, the least credible first.

    `rows`: of those that are taken for wrong.
    `quality`: of every given label, N, 0 (wrong) to 1 (right).
    `order`: all N indices: first those of the rows, then the others, each from the least credible.
    `confident`: the estimates behind them.
    """

    rows: tuple[LabelError, ...]
    quality: np.ndarray
    order: np.ndarray
    confident: Confident

    @property
    def share(self) -> float:
        """How many labels are taken for wrong, 0 to 1."""
        return len(self.rows) / len(self.quality)


_BY_NOISE_RATE, _SELF_CONFIDENCE = ByNoiseRate(), SelfConfidence()


def label_errors(
    probabilities: Any,
    labels: Any,
    *,
    pruning: Pruning = _BY_NOISE_RATE,
    quality: Quality = _SELF_CONFIDENCE,
) -> LabelErrors:
    """Which labels are probably wrong, by confident learning.

    `probabilities`: N×C, of models that were not trained on the example (`out_of_sample`).
    `labels`: N, from 0 to C-1.
    `pruning`: which are taken for wrong.
    `quality`: what orders them.

    Source: Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset
    labels", sections 3.1 and 3.2. Differs: a label that is the likeliest class, or ties with it, is
    never taken for wrong; one example of each class always stays; and probabilities that are equal
    for all classes of an example, or for all examples, are confident of none.
    Raises ValueError for probabilities that are NaN, out of 0..1 or do not sum to 1, for a single
    class, and for labels of another length or out of 0..C-1.
    """
    table = checked_probabilities(probabilities)
    given = checked_labels(labels, len(table), table.shape[1])
    estimates = confident_joint(table, given)
    wrong = pruning(table, given, estimates)
    credible = quality(table, given)
    order = np.lexsort((credible, ~wrong))
    likeliest = table.argmax(1)
    rows = tuple(
        LabelError(index=index, given=label, suggested=other, quality=value)
        for index, label, other, value in zip(
            *(one[order[: wrong.sum()]].tolist() for one in _columns(given, likeliest, credible)),
            strict=True,
        )
    )
    return LabelErrors(rows=rows, quality=credible, order=order, confident=estimates)


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> Confident:
    """The thresholds and the joint of given labels and classes (section 3.1, equations 1 to 3)."""
    count, classes = probabilities.shape
    sizes = np.bincount(labels, minlength=classes)
    own = probabilities[np.arange(count), labels]
    sums = np.bincount(labels, weights=own, minlength=classes)
    means = np.maximum(sums / np.maximum(sizes, 1), _LOWEST)
    thresholds = np.where(sizes > 0, means, np.inf)
    above = probabilities >= thresholds - _ROUNDING
    certain = np.where(above, probabilities, -1.0).argmax(1)
    certain[~above.any(1)] = -1
    # Equal classes say nothing of an example, nor do equal answers to all of them.
    certain[probabilities.max(1) <= 1 / classes + _ROUNDING] = -1
    if all(np.ptp(part, axis=0).max() <= _ROUNDING for part in (probabilities[:2], probabilities)):
        certain[:] = -1
    known = certain >= 0
    pairs = labels[known] * classes + certain[known]
    counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    # Of a label with no confident example, nothing says that any is wrong.
    filled = counts + np.diag(((counts.sum(1) == 0) & (sizes > 0)).astype(int))
    joint = filled * (sizes / np.maximum(filled.sum(1), 1))[:, None]
    return Confident(thresholds=thresholds, counts=counts, joint=joint, certain=certain)


@final
@dataclass(frozen=True, kw_only=True)
class PartError:
    """A label of a part that is probably wrong: of a token, or of one annotator.

    `index`: of the example (the sentence).
    `part`: of the token in it, or of the annotator.
    `given`, `suggested`, `quality`: as in LabelError.
    """

    index: int
    part: int
    given: int
    suggested: int
    quality: float


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PartErrors:
    """The labels of parts that are probably wrong, the least credible first.

    `rows`: of those that are taken for wrong.
    `quality`: of each example, N: that of its least credible part, 0 to 1; NaN where it has none.
    """

    rows: tuple[PartError, ...]
    quality: np.ndarray


def tag_errors(
    probabilities: Sequence[Any], labels: Sequence[Any], *, pruning: Pruning = _BY_NOISE_RATE
) -> PartErrors:
    """Which tags of tokens are probably wrong; a sentence is as credible as its worst tag.

    `probabilities`: of each sentence T×C.
    `labels`: of each sentence T, from 0 to C-1; a negative one is padding, which is left out.

    Source: Wang & Mueller 2022, "Detecting label errors in token classification data", "worst
    token".
    Raises ValueError as `label_errors`, and for sentences of unequal lengths.
    """
    if len(probabilities) != len(labels):
        raise ValueError(
            f"there are probabilities of {len(probabilities)} sentences and labels of "
            f"{len(labels)}: give both for each"
        )
    places, tables, given = [], [], []
    for index, (table, tags) in enumerate(zip(probabilities, labels, strict=True)):
        table, tags = np.asarray(table), np.asarray(tags)
        if len(table) != len(tags):
            raise ValueError(
                f"sentence {index} has {len(table)} tokens and {len(tags)} labels: give one each"
            )
        kept = np.flatnonzero(tags >= 0)
        places.append(np.stack([np.full(len(kept), index), kept], 1))
        tables.append(table[kept])
        given.append(tags[kept])
    if not places:
        raise ValueError("there are no sentences: give at least one")
    at, every, tags = (np.concatenate(parts) for parts in (places, tables, given))
    return _of_parts(len(labels), at, every, tags, pruning)


def vote_errors(probabilities: Any, votes: Any, *, pruning: Pruning = _BY_NOISE_RATE) -> PartErrors:
    """Which votes of several annotators are probably wrong, each judged on its own.

    `probabilities`: N×C, of models that were not trained on the example.
    `votes`: N×A, from 0 to C-1; a negative one where the annotator did not see the example.

    Source: none; `label_errors` with one row for each vote. `dawid_skene` rates the annotators.
    Raises ValueError as `label_errors`, and where there are no votes.
    """
    table, cast = checked_probabilities(probabilities), np.asarray(votes)
    if cast.ndim != 2 or len(cast) != len(table):
        raise ValueError(
            f"votes have shape {list(cast.shape)} for {len(table)} examples: give examples × "
            "annotators"
        )
    places = np.argwhere(cast >= 0)
    if not len(places):
        raise ValueError("nobody voted: give at least one vote")
    given = cast[places[:, 0], places[:, 1]]
    return _of_parts(len(table), places, table[places[:, 0]], given, pruning)


def _of_parts(
    count: int, places: np.ndarray, table: np.ndarray, given: np.ndarray, pruning: Pruning
) -> PartErrors:
    found = label_errors(table, given, pruning=pruning)
    worst = np.full(count, np.inf)
    np.minimum.at(worst, places[:, 0], found.quality)
    rows = tuple(
        PartError(
            index=int(places[row.index, 0]),
            part=int(places[row.index, 1]),
            given=row.given,
            suggested=row.suggested,
            quality=row.quality,
        )
        for row in found.rows
    )
    return PartErrors(rows=rows, quality=np.where(np.isfinite(worst), worst, np.nan))


def _is_other(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether another class is likelier than the given one; of two that tie, neither is."""
    own = probabilities[np.arange(len(labels)), labels]
    return own < probabilities.max(1) - _ROUNDING


def _columns(*others: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.arange(len(others[0])), *others)


def _numbers(labels: np.ndarray, confident: Confident) -> Any:
    """(label, its rows, how many of them are of each class) for each label that has examples."""
    by_label = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=len(confident.joint)))
    for label, end in enumerate(ends):
        begin = ends[label - 1] if label else 0
        if end == begin:
            continue
        numbers = _rounded(confident.joint[label])
        numbers[label] = max(numbers[label], 1)
        yield label, by_label[begin:end], numbers


def _rounded(row: np.ndarray) -> np.ndarray:
    """A row in integers with the same sum: the largest remainders are rounded up."""
    down = np.floor(row + _ROUNDING).astype(int)
    missing = round(row.sum()) - down.sum()
    if missing > 0:
        down[np.argsort(down - row, kind="stable")[:missing]] += 1
    return down


def _largest(values: np.ndarray, many: int) -> np.ndarray:
    """The positions of the `many` largest values; one always stays."""
    many = min(many, len(values) - 1)
    if many <= 0:
        return np.zeros(0, int)
    return np.argpartition(values, len(values) - many)[-many:]
