"""How an embedding is compared with those of a few examples of each class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ToPrototype:
    """The squared distance from the mean of each class, its prototype.

    Source: Snell, Swersky & Zemel 2017, section 2.2.
    """

    def head(self, features_SD: Tensor, labels_S: Tensor, classes: int) -> nn.Module:
        """A linear layer from embeddings N×D to logits N×classes.

        Without the part that is the same for all classes, minus the squared distance is linear in
        the embedding (section 2.4 of the paper). All is told from the mean of the prototypes, which
        keeps the numbers small.
        """
        members = functional.one_hot(labels_S, classes).to(features_SD)
        prototypes = (members.T @ features_SD) / members.sum(0)[:, None]
        centre = prototypes.mean(0)
        apart = prototypes - centre
        head = nn.Linear(features_SD.shape[1], classes)
        with torch.no_grad():
            head.weight.copy_(2 * apart)
            head.bias.copy_(-(apart**2).sum(1) - 2 * apart @ centre)
        return head

    def logits(self, support_CKD: Tensor, queries_QD: Tensor) -> Tensor:
        """Minus the squared distances Q×C of queries from the mean of K examples of each class."""
        return -((queries_QD[:, None] - support_CKD.mean(1)[None]) ** 2).sum(2)


@dataclass(frozen=True)
class ByAttention:
    """A softmax over the cosines with all examples, summed for each class.

    Source: Vinyals et al. 2016, section 2.1.1.
    Differs: embeddings are not conditioned on each other, and cosines are multiplied by `scale`: as
    they are, 20 classes could not be told apart with more than an eighth of the probability.

    `scale`: by which cosines are multiplied, above 0.

    Raises ValueError for a scale out of range.
    """

    scale: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"a scale of {self.scale}: give a number above 0, such as 10.0")

    def head(self, features_SD: Tensor, labels_S: Tensor, classes: int) -> nn.Module:
        """A module from embeddings N×D to the logarithms of the classes' probabilities."""
        return AttentionHead(features_SD, functional.one_hot(labels_S, classes), self.scale)

    def logits(self, support_CKD: Tensor, queries_QD: Tensor) -> Tensor:
        """The logarithms Q×C of the probabilities of C classes with K examples each."""
        ways, shots = support_CKD.shape[:2]
        labels = torch.arange(ways).repeat_interleave(shots)
        members = functional.one_hot(labels, ways).to(queries_QD)
        return _attention(queries_QD, _unit(support_CKD.flatten(0, 1)), members, self.scale)


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-8)


def _attention(queries_QD: Tensor, keys_SD: Tensor, members_SC: Tensor, scale: float) -> Tensor:
    weights = (scale * _unit(queries_QD) @ keys_SD.T).softmax(1)
    return (weights @ members_SC).clamp(min=1e-12).log()


class AttentionHead(nn.Module):
    """From embeddings N×D to the logarithms N×C of the classes' probabilities, by attention."""

    def __init__(self, features_SD: Tensor, members_SC: Tensor, scale: float) -> None:
        super().__init__()
        self.keys = nn.Parameter(_unit(features_SD))
        self.members = nn.Buffer(members_SC.to(features_SD))
        self.scale = scale

    def forward(self, features_ND: Tensor) -> Tensor:
        return _attention(features_ND, self.keys, self.members, self.scale)
