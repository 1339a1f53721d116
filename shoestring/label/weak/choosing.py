"""Which way to combine votes: the majority, unless a model beats it on labels that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from shoestring.label.weak.combining import Combiner, DawidSkene, MajorityVote
from shoestring.label.weak.votes import Votes

MODELS: tuple[Combiner, ...] = (DawidSkene(),)


@final
@dataclass(frozen=True, kw_only=True)
class Combined:
    """Votes as probabilities, and why they were combined so.

    `probabilities`: N×C; `covered`: whether a rule votes on an example, N.
    `combiner`: the one that was used.
    `accuracies`: of each one that was tried, on the known labels; () where there were none.
    `why`: a sentence.
    """

    probabilities: np.ndarray
    covered: np.ndarray
    combiner: Combiner
    accuracies: tuple[tuple[Combiner, float], ...]
    why: str


def combined(
    votes: Votes,
    truth: Sequence[int | None] | None = None,
    models: Sequence[Combiner] = MODELS,
) -> Combined:
    """The votes as probabilities: by a model where it beats the majority on known labels.

    A model is used where it is right more often on the examples that have a vote and a known label,
    by more than one standard error of the difference. Without such labels, the majority decides.
    The models see the votes on all examples, and no label.

    `truth`: the numbers of the true classes, N, with None where it is not known.
    Raises ValueError where no rule votes on any example, and for another number of labels.
    """
    covered = votes.covered()
    if not covered.any():
        raise ValueError(
            f"all {len(votes.rules)} rules abstain on all {len(votes.matrix)} examples: there is "
            "nothing to learn from; see rule_table(votes)"
        )
    if truth is not None and len(truth) != len(votes.matrix):
        raise ValueError(
            f"there are {len(truth)} labels for {len(votes.matrix)} examples: give None where "
            "there is none"
        )
    given: list[int | None] = [None] * len(covered) if truth is None else list(truth)
    known = [at for at, one in enumerate(given) if one is not None and covered[at]]
    vote = MajorityVote()
    found: dict[Combiner, np.ndarray] = {vote: vote.probabilities(votes)}
    if not known:
        why = "The majority decides, since no known label has a vote."
        return Combined(
            probabilities=found[vote], covered=covered, combiner=vote, accuracies=(), why=why
        )
    found |= {model: model.probabilities(votes) for model in models}
    true = np.array([given[at] for at in known])
    right = {one: _right(every[known], true) for one, every in found.items()}
    best: Combiner = vote
    for one in models:
        if beats(right[one], right[vote]) and right[one].mean() > right[best].mean():
            best = one
    told = ", ".join(f"{type(one).__name__} {each.mean():.1%}" for one, each in right.items())
    verb = "beats" if best is not vote else "is not beaten by"
    why = (
        f"{type(best).__name__} {verb} "
        f"{'the majority' if best is not vote else 'a model by more than a standard error'} on "
        f"{len(known):,} known labels: {told}."
    )
    return Combined(
        probabilities=found[best],
        covered=covered,
        combiner=best,
        accuracies=tuple((one, float(each.mean())) for one, each in right.items()),
        why=why,
    )


def beats(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the mean is higher by more than one standard error of the paired difference.

    A single example never decides: where the two differ in one alone, the error is the gain.

    `one`, `other`: of the same N examples, such as whether each is right.
    """
    gain = np.asarray(one, np.float64) - other
    if len(gain) < 2:
        return False
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) + 1e-9)


def _right(belief_KC: np.ndarray, true_K: np.ndarray) -> np.ndarray:
    """Whether the most probable class is the true one; of several most probable ones the share."""
    most = belief_KC >= belief_KC.max(1, keepdims=True) - 1e-9
    return most[np.arange(len(true_K)), true_K] / most.sum(1)
