"""A network with classifiers on the way, in which easy examples leave early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.kit.routing.added_loss import with_loss
from shoestring.kit.routing.rows import in_order, rows_where
from shoestring.kit.routing.traced import takes_every_row


@dataclass
class _Passage:
    """What the exits of a network tell it in a call, in their order.

    `does`: what rows do at an exit, Leave or Learn.
    `threshold`: the probability above which an exit is sure, a tensor of one number; None between
        calls.
    `logits`: of each exit, for all rows that reached it.
    `answers`: of each exit, for those that left there.
    `left`: of each exit, whether a row that reached it left there (bool).
    """

    does: type = field(default_factory=lambda: Leave)
    threshold: Tensor | None = None
    logits: list[Tensor] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)
    left: list[Tensor] = field(default_factory=list)

    def begin(self, does: type, threshold: Tensor | None = None) -> None:
        """Forget the last call."""
        self.does, self.threshold = does, threshold
        for kept in (self.logits, self.answers, self.left):
            kept.clear()


class Leave:
    """Sure rows leave at an exit: evaluation and files."""


class Learn:
    """All rows go on, and exits are given features that send no gradients back."""


class Exit(nn.Module):
    """A block of a network with a classifier behind it.

    `block`: the part of the network that it stands for.
    `head`: from the block's output (N, ...) to logits N×classes.
    """

    def __init__(self, block: nn.Module, head: nn.Module, passage: _Passage) -> None:
        super().__init__()
        self.block, self.head, self.passage = block, head, passage

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The block's output, without the rows that left here."""
        features, learns = self.block(*args, **kwargs), self.passage.does is Learn
        assert self.passage.threshold is not None, "an exit is called by its EarlyExits alone"
        logits = self.head(features.detach() if learns else features)
        leaves = are_sure(logits, self.passage.threshold)
        if learns:  # the same calls as in evaluation, so that a quantised network finds its places
            leaves = torch.zeros_like(leaves)
        self.passage.logits.append(logits)
        self.passage.answers.append(rows_where(logits, leaves))
        self.passage.left.append(leaves)
        return rows_where(features, leaves.logical_not())


class EarlyExits(nn.Module):
    """A network in which an example leaves at the first exit that is sure of its class.

    In evaluation mode, and in a file, what comes after an exit is computed for the other rows only.
    In training mode all rows pass the whole network, whose answer is returned, and the exits learn
    to give it: the mean Kullback-Leibler divergence from it to theirs is added in the backward pass
    (`with_loss`).

    Source: Teerapittayanon, McDanel & Kung 2016 (BranchyNet). Differs: the highest probability
    decides, not the entropy; the exits are taught by the last layer, not by labels.

    `inner`: the network. It answers with logits N×classes, and treats each row by itself.
    `heads`: the classifiers by the paths of the blocks that they stand behind, in the order in
        which these are called.
    `names`: the paths of `heads`, in their order.
    `threshold`: the probability above which an exit is sure, 0 to 1; at 1 no example leaves. It can
        be set later. It is a buffer, `sure_above`, of files and state dicts.

    The network's blocks are replaced in place. Raises ValueError for a threshold out of range.
    """

    sure_above: Tensor

    def __init__(
        self, inner: nn.Module, heads: Mapping[str, nn.Module], *, threshold: float = 1.0
    ) -> None:
        super().__init__()
        self.register_buffer("sure_above", torch.tensor(_checked(threshold)))
        self.passage = _Passage()
        for path, head in heads.items():
            parent, _, last = path.rpartition(".")
            block = inner.get_submodule(path)
            setattr(inner.get_submodule(parent), last, Exit(block, head, self.passage))
        self.inner = inner
        self.names = tuple(heads)

    @property
    def threshold(self) -> float:
        """The probability above which an exit is sure; as it was set, to single precision."""
        return float(self.sure_above)

    @threshold.setter
    def threshold(self, value: float) -> None:
        with torch.no_grad():
            self.sure_above.fill_(_checked(value))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor | list[Tensor]:
        """Logits N×classes; within `every_row`, in evaluation mode, those of `at_each`."""
        if takes_every_row() and not self.training:
            return self.at_each(*args, **kwargs)
        self.passage.begin(Learn if self.training else Leave, self.sure_above)
        try:
            answer = self.inner(*args, **kwargs)
            for logits, left in zip(
                reversed(self.passage.answers), reversed(self.passage.left), strict=True
            ):
                answer = in_order([logits, answer], left.logical_not().long())
            return with_loss(answer, self._distance(answer)) if self.training else answer
        finally:
            self.passage.begin(Leave)

    def at_each(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Logits N×classes of each exit and of the last layer, for all rows."""
        self.passage.begin(Learn, self.sure_above)
        try:
            answer = self.inner(*args, **kwargs)
            return [*self.passage.logits, answer]
        finally:
            self.passage.begin(Leave)

    def _distance(self, answer: Tensor) -> Tensor:
        target = answer.detach().float().log_softmax(-1)
        return sum(
            (
                functional.kl_div(
                    logits.float().log_softmax(-1), target, log_target=True, reduction="batchmean"
                )
                for logits in self.passage.logits
            ),
            torch.zeros((), device=answer.device),
        )


def are_sure(logits: Tensor, threshold: Tensor | float) -> Tensor:
    """Which rows of logits N×classes leave at an exit (N, bool): highest probability above it.

    In single precision: half precision has no number between 0.996 and 1.
    """
    if isinstance(threshold, Tensor):
        threshold = threshold.float()
    return logits.float().softmax(-1).amax(-1) > threshold


def _checked(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold is {threshold}: it is a probability, 0 to 1")
    return float(threshold)
