"""Several teachers as one: the mean of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core.entries import called
from shoestring.core.teacher import as_teacher


class Ensemble(nn.Module):
    """Answers with the mean of what its members answer: `task.taught_by(Ensemble([a, b]))`.

    Of logits that is the geometric mean of the members' probabilities, up to a factor.
    Source: Hinton, Vinyals & Dean 2015, section 2.

    `members`: what can teach, one or more; see `core.teacher.as_teacher`.

    Raises ValueError for no member. Its answer raises ValueError where members answer with other
    shapes or nests.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble of no members has no answer: give it one or more")
        self.members = nn.ModuleList(map(as_teacher, members))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The mean answer."""
        return self._mean("", *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            members = self.__dict__.get("_modules", {}).get("members", ())
            if name.startswith("_") or not members or not hasattr(members[0], name):
                raise
            return partial(self._mean, name)  # an entry of the model, such as encode

    def _mean(self, entry: str, *args: Any, **kwargs: Any) -> Any:
        flat = [
            tree.flatten(called(member, entry)(*args, **kwargs), lambda leaf: leaf is not None)
            for member in self.members
        ]
        (first, structure), *rest = flat
        told = [_told(leaves, shape) for leaves, shape in flat]
        if len(set(told)) > 1:
            raise ValueError(
                f"members of an ensemble answer differently: {' and '.join(dict.fromkeys(told))}"
            )
        means: list[Any] = []
        for at, leaf in enumerate(first):
            mean = leaf
            if isinstance(leaf, Tensor) and leaf.is_floating_point():
                mean = torch.stack([leaf, *(leaves[at] for leaves, _ in rest)]).mean(0)
            means.append(mean)
        return tree.fill(structure, means)


def _told(leaves: list[Any], structure: Any) -> str:
    """The shapes of an answer, and how they are nested, in words."""
    shapes = [list(leaf.shape) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return f"{structure} of {shapes}"
