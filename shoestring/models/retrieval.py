"""Finding a document of a collection by its words, and writing a query for a document."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

_NEVER = -1e4  # the logit of an id that is never written


class LexicalFinder(nn.Module):
    """How well each document of a collection answers a query: TF-IDF whose weights are learned.

    Untrained it ranks as TF-IDF does, with logarithms of counts. What is learned: how much a word
    counts in a query, how much in a document, and which words of a query stand for which words of
    documents, by a product of two narrow matrices.

    Ids N×T of queries to scores N×D. Ids without a word in the collection count nothing.

    `counts`: how often each document has each id, D×V.
    `width`: of the narrow matrices, 1 or more.

    Source: Spärck Jones 1972; Bai et al. 2009, "Supervised semantic indexing", for the matrices.
    """

    counts: Tensor
    known: Tensor

    def __init__(self, counts: Tensor, *, width: int = 32) -> None:
        super().__init__()
        counts = counts.float()
        self.register_buffer("counts", torch.where(counts > 0, counts.clamp(min=1).log() + 1, 0.0))
        has = (counts > 0).sum(0)
        rarity = ((1 + len(counts)) / (1 + has)).log() + 1
        self.register_buffer("known", (has > 0).float())
        self.in_query = nn.Parameter(rarity.log())
        self.in_document = nn.Parameter(rarity.log())
        self.asked = nn.Embedding(counts.shape[1], width)
        self.meant = nn.Parameter(torch.zeros(width, counts.shape[1]))
        self.scale = nn.Parameter(torch.tensor(log(20.0)))
        nn.init.normal_(self.asked.weight, std=width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores N×D, the logits of documents."""
        documents_DV = functional.normalize(self.counts * self.in_document.exp(), dim=1)
        weights = self.in_query.exp() * self.known
        # The square root of 0 has no gradient: a query may have no known word.
        lengths = (weights[ids].square().sum(1, keepdim=True) + 1e-12).sqrt()
        by_word = (documents_DV.T[ids] * weights[ids].unsqueeze(2)).sum(1)
        known = self.known[ids].unsqueeze(2)
        asked = (self.asked(ids) * known).sum(1) / known.sum(1).clamp(min=1)
        by_meaning = asked @ (self.meant @ documents_DV.T)
        return self.scale.exp() * (by_word / lengths + by_meaning)


class QueryWriter(nn.Module):
    """Writes a query for a document, word by word, each for itself.

    A word comes from the document, more likely where it is important and frequent there, or from
    what queries are made of. Which words are important, what queries are made of and how long they
    are is learned.

    Numbers of documents N and queries N×T to logits N×T×V of the next id. It also has the entries
    `encode` and `step`.

    `counts`: how often each document has each id, D×V.
    `end`: the id that ends a query.
    `longest`: ids of a query, with its end.

    Source: Ponte & Croft 1998, "A language modeling approach to information retrieval", section 3,
    for the model, which they use to rank.
    """

    shares: Tensor

    def __init__(self, counts: Tensor, *, end: int, longest: int) -> None:
        super().__init__()
        counts = counts.float()
        every = counts.sum(0)
        self.register_buffer("shares", counts / counts.sum(1, keepdim=True).clamp(min=1))
        self.important = nn.Parameter(torch.zeros(counts.shape[1]))
        whole = torch.where(every > 0, (every / every.sum()).clamp(min=1e-9).log() - 1.0, _NEVER)
        self.usual = nn.Parameter(whole)
        self.ends = nn.Parameter(torch.full((longest,), -2.0))
        self.end = end

    def forward(self, documents: Tensor, target: Tensor) -> Tensor:
        """Logits N×T×V of the id after each of the target, which begins with the start."""
        words = self._words(documents)
        places = torch.arange(target.shape[1], device=target.device).expand(target.shape)
        return self._logits(words.unsqueeze(1), places)

    def encode(self, documents: Tensor) -> dict[str, Tensor]:
        """`words`: N×V, the log-probability of each; `place`: N, how many were written."""
        return {"words": self._words(documents), "place": documents * 0}

    def step(self, last: Tensor, words: Tensor, place: Tensor) -> dict[str, Tensor]:
        """`logits` N×V of the next id, and the new `place`."""
        return {"logits": self._logits(words, place) + 0.0 * last[:, None], "place": place + 1}

    def _words(self, documents: Tensor) -> Tensor:
        likely = self.shares[documents] * self.important.exp() + self.usual.exp()
        return likely.clamp(min=1e-12).log().log_softmax(-1)

    def _logits(self, words: Tensor, places: Tensor) -> Tensor:
        """Of each word and of the end, …×V, at places of any shape that fits."""
        ends = self.ends[places.clamp(max=len(self.ends) - 1)].unsqueeze(-1)
        is_end = torch.arange(words.shape[-1], device=words.device) == self.end
        return torch.where(
            is_end, functional.logsigmoid(ends), functional.logsigmoid(-ends) + words
        )
