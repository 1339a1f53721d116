"""What the trials of a search belong to, so that none is taken for one of other data."""

from __future__ import annotations

import hashlib
import random
from itertools import islice

import numpy as np
import torch
from torch import nn

from shoestring.artifact import tree
from shoestring.core import Task, array, score, seeded
from shoestring.core.ledger import versions
from shoestring.core.task import batches, evaluating
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.training.resume import data_digest
from shoestring.search.space import Space


def any_network(space: Space, seed: int) -> nn.Module:
    """A network of the space, the same whatever the limits are."""
    with seeded(seed):
        return space.made(space.drawn(random.Random(seed))).network()


def check_fits(task: Task, space: Space, seed: int) -> None:
    """Raise ValueError where a network of the space does not do the task."""
    network = any_network(space, seed)
    try:
        with evaluating(network), torch.no_grad():
            for example in examples_of(task):
                example.run(network)
        score(task, network)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"a network of the space fails on the task's validation data ({error}): give a space "
            "with the task's inputs and answers"
        ) from error


def identity_of(task: Task, space: Space, training: object, seed: int) -> str:
    """A digest of what trials belong to: the data, the space, the training and the versions.

    `training`: whatever tells trainings apart by its repr.
    """
    seen = task.name, _data(task), space, training, seed, versions()
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def _data(task: Task) -> str:
    """A digest of what tells the training data apart, and of all validation data.

    A task that says no labels is told apart by its first training batch.
    """
    digest = hashlib.sha256(data_digest(task))
    with seeded(0):
        first = [] if task.labelled() is not None else islice(batches(task, "train"), 1)
        for batch in (*first, *batches(task, "validation")):
            for leaf in tree.leaves(batch):
                values = array(leaf) if isinstance(leaf, torch.Tensor) else leaf
                is_array = isinstance(values, np.ndarray)
                digest.update(values.tobytes() if is_array else repr(type(values)).encode())
    return digest.hexdigest()
