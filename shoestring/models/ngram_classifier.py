"""One label of a text from the n-grams in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NgramClassifier(nn.Module):
    """The sum of the embeddings of a text's ids, over the root of their number; a linear layer.

    Source: Joulin et al. 2016, section 2.
    Differs: the sum is over the root of the number, not the mean, so that longer texts give more
    certain answers; and there may be a hidden layer (Botha et al. 2017, section 2).

    Ids N×T (0: padding, which changes nothing) to logits N×labels.

    `ids`: how many ids there are, 0 included.
    `labels`: the number of labels.
    `width`: of an embedding.
    `hidden`: the width of the hidden layer; 0: there is none.
    `dropout`: the share of ids that become padding in training, 0 to 1.
    """

    def __init__(
        self, ids: int, labels: int, *, width: int = 16, hidden: int = 0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.dropped = dropout
        self.ids = nn.Embedding(ids, width)
        nn.init.normal_(self.ids.weight, std=0.05)
        layers = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
        self.layers = nn.Sequential(*layers, nn.Linear(hidden or width, labels))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×labels."""
        if self.training and self.dropped:
            ids = ids * (torch.rand(ids.shape, device=ids.device) >= self.dropped)
        is_id_NT = (ids != 0).to(self.ids.weight.dtype)
        # A product of matrices, N×1×T by N×T×C, adds what is no padding.
        sum_NC = torch.bmm(is_id_NT[:, None], self.ids(ids))[:, 0]
        return self.layers(sum_NC / is_id_NT.sum(1, keepdim=True).clamp(min=1.0).sqrt())
