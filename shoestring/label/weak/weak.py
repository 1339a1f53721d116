"""Weak labels: rules label the pool, and a network learns from what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from shoestring.core import LabelTask, Stage, Task, Technique, evaluating, label_task
from shoestring.core import score as score_of
from shoestring.core.merits import merits
from shoestring.kit import AdamW, Training, clone, train
from shoestring.label.weak.choosing import MODELS, beats
from shoestring.label.weak.combining import Combiner, MajorityVote
from shoestring.label.weak.votes import Votes, votes_of


@dataclass(frozen=True, kw_only=True)
class Weak(Technique):
    """Train on the labels that rules give to the pool, then on the true labels that there are.

    The labels of the rules are combined by a majority vote and by label models. A network learns
    from each, and then from the true labels; one more learns from the true labels alone. The
    majority's is used, unless another has a higher validation score by more than one standard error
    of the paired difference. So rules that hurt are not used where the validation examples show
    that they hurt; few examples show large differences only.

    Saves: labels, where the rules are better than chance and cover much of the pool.
    Costs: the time of writing rules; two trainings more, and two short ones.
    Source: Ratner et al. 2016 and 2019 (labelling functions and label models).
    Differs: the network gets the most probable class of each example, with a weight of 0 where all
    classes are as probable and of 1 where one is certain; and the true labels come last.

    `rules`: called with the inputs of one example each (a tensor, or a tuple of several), they
        return a class, or None to abstain; or `Votes` on the examples of the pool in its order, of
        rules that need more than the inputs.
    `models`: the label models that are tried beside the majority.
    `training`: of the networks, on the rules' labels or on the true ones.
    `tuning`: on the true labels, of the networks that have learnt from rules.

    The model is not changed. Labels are not bought: the "train" split is what is known. Raises
    ValueError where the rules abstain on the whole pool, RuleError where one raises, and TypeError
    for a task whose labels cannot be changed.
    """

    stage: ClassVar = Stage.LABELS

    rules: tuple[Callable[[Any], int | None], ...] | Votes
    models: tuple[Combiner, ...] = MODELS
    training: Training = Training(300, AdamW(5e-3))
    tuning: Training = Training(60, AdamW(1e-3))

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The network that is best on validation, of those that the docstring names."""
        return self.tried(model, task)[0]

    def tried(self, model: nn.Module, task: Task) -> tuple[nn.Module, dict[str, float]]:
        """The network, and the validation score (0 to 1) of each way by its name.

        The names are "true labels", "MajorityVote", and those of the models; where there are true
        labels, those of the rules are of networks that were tuned on them.
        """
        labelled = label_task(task)
        indices = labelled.pool()
        votes = self._votes(labelled, indices, model)
        has_labels = len(labelled.known()) > 0
        networks: dict[str, nn.Module] = {}
        for combiner in (MajorityVote(), *self.models):
            weak = _weakly(labelled, indices, votes, combiner)
            name = type(combiner).__name__
            network = train(clone(model), weak, self.training, what=f"training by {name}")
            if has_labels and self.tuning.steps:
                network = train(network, labelled, self.tuning, what="tuning on true labels")
            networks[name] = network
        if has_labels:
            networks[_TRUE] = train(clone(model), labelled, self.training)
        scores = {name: float(score_of(task, one)) for name, one in networks.items()}
        return networks[_best(scores, networks, task)], scores

    def _votes(self, task: LabelTask, indices: Any, model: nn.Module) -> Votes:
        if isinstance(self.rules, Votes):
            if len(self.rules.matrix) != len(indices):
                raise ValueError(
                    f"there are votes on {len(self.rules.matrix)} examples, and the pool has "
                    f"{len(indices)}: give the votes on task.pool(), in its order"
                )
            return self.rules
        inputs = task.inputs(indices)
        examples = list(zip(*inputs, strict=True)) if len(inputs) > 1 else list(inputs[0])
        classes = task.outputs(model, task.inputs(indices[:1])).shape[-1]
        named = {f"{place}: {rule!r}": rule for place, rule in enumerate(self.rules)}
        return votes_of(named, examples, [str(number) for number in range(classes)])


_TRUE = "true labels"


def _weakly(task: LabelTask, indices: Any, votes: Votes, combiner: Combiner) -> Task:
    """The task with the rules' labels besides the true ones."""
    belief_NC = combiner.probabilities(votes)
    classes = belief_NC.shape[1]
    weights = (classes * belief_NC.max(1) - 1) / (classes - 1)
    kept = np.flatnonzero(votes.covered() & (weights > 1e-9))
    if not len(kept):
        raise ValueError(
            f"{len(votes.rules)} rules say nothing of any of the {len(votes.matrix)} examples of "
            "the pool (they abstain, or contradict each other everywhere): see rule_table(votes)"
        )
    known = task.known()
    true = torch.as_tensor(task.labels(known))
    labels = torch.as_tensor(belief_NC[kept].argmax(1)).to(true.dtype)
    if true.ndim != 1:
        raise ValueError(
            f"the labels of {task.name} have the shape {list(true.shape)}: rules give one class "
            "an example"
        )
    return task.with_labels(
        torch.cat([true, labels]),
        torch.cat([torch.ones(len(true)), torch.as_tensor(weights[kept], dtype=torch.float32)]),
        np.concatenate([known, indices[kept]]),
    )


def _best(scores: dict[str, float], networks: dict[str, nn.Module], task: Task) -> str:
    """The way that is used: the majority, unless another beats it.

    As in `combined`, where the task tells the score of each example. Elsewhere the standard error
    of the majority's score is the margin.
    """
    vote = MajorityVote.__name__
    best, own = vote, merits(task, networks[vote])
    with evaluating(networks[vote]):
        margin = task.standard_error(networks[vote], "validation") or 0.0
    for name, score in scores.items():
        theirs = merits(task, networks[name])
        if own is None or theirs is None:
            is_better = score > scores[vote] + margin
        else:
            is_better = beats(theirs, own)
        if name != vote and is_better and score > scores[best]:
            best = name
    return best
