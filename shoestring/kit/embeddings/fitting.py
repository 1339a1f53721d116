"""Word vectors of several kinds, fitted to a table that there is."""

from __future__ import annotations

import torch
from torch import Tensor

from shoestring.kit.embeddings.vectors import (
    HashedVectors,
    LowRankVectors,
    QuotientRemainderVectors,
    SlimVectors,
    hashed,
)

_ROUNDS = 10


@torch.no_grad()
def low_rank(table: Tensor, rank: int) -> LowRankVectors:
    """The vectors of this rank that are nearest to a table V×D, by the sum of squares."""
    made = LowRankVectors(len(table), table.shape[1], rank)
    # Of the D×D products, since V is large.
    _, directions = torch.linalg.eigh(table.double().T @ table.double())
    basis = directions.flip(1)[:, :rank].T.contiguous()
    made.basis.copy_(basis)
    made.codes.copy_(table.double() @ basis.T)
    return made


@torch.no_grad()
def slim(table: Tensor, pool: int, parts: int) -> SlimVectors:
    """The shared parts that are nearest to those of a table V×D, by the sum of squares: means."""
    made = SlimVectors(len(table), table.shape[1], pool, parts)
    made.weight.zero_()
    ids = torch.arange(len(table))
    count = torch.zeros(parts * pool)
    for number, part in enumerate(table.float().chunk(parts, 1)):
        index = hashed(ids, number, pool) + number * pool
        made.weight.index_add_(0, index, part)
        count.index_add_(0, index, torch.ones(len(ids)))
    made.weight.div_(count.clamp(min=1)[:, None])
    return made


@torch.no_grad()
def by_hashes(table: Tensor, buckets: int, hashes: int) -> HashedVectors:
    """Shared vectors and weights of each word near to a table V×D.

    Weights and vectors are fitted in turn, ten times: to the vectors the least squares, and to the
    weights a mean.
    """
    made = HashedVectors(len(table), table.shape[1], buckets, hashes)
    table, ids = table.float(), torch.arange(len(table))
    index = torch.stack([hashed(ids, one, buckets) for one in range(hashes)], 1)
    made.importance.fill_(1 / hashes)
    made.weight.zero_()
    for _ in range(_ROUNDS):
        # Each shared vector moves to where its words want it, given the others.
        rest = table - made(ids)
        step, weight = torch.zeros_like(made.weight), torch.full((buckets, 1), 1e-6)
        for one in range(hashes):
            own = made.importance[:, one, None]
            step.index_add_(0, index[:, one], own * rest)
            weight.index_add_(0, index[:, one], own.square())
        made.weight.add_(step / weight / hashes)
        chosen = made.weight[index]  # V×hashes×D
        products = chosen @ chosen.transpose(1, 2) + 1e-6 * torch.eye(hashes)
        made.importance.copy_(
            torch.linalg.solve(products, (chosen @ table.unsqueeze(-1))).squeeze(-1)
        )
    return made


@torch.no_grad()
def quotients(table: Tensor, buckets: int | None = None) -> QuotientRemainderVectors:
    """Vectors of quotients and remainders whose products are near a table V×D.

    Of each column of the table, laid out by quotient and remainder, the first singular vectors;
    then the two are fitted in turn, ten times, where the last quotient has fewer words.
    """
    made = QuotientRemainderVectors(len(table), table.shape[1], buckets)
    (words, width), rows = table.shape, len(made.quotients)
    padded = torch.zeros(rows * made.buckets, width)
    padded[:words] = table.float()
    grid = padded.reshape(rows, made.buckets, width).permute(2, 0, 1)  # D×quotients×remainders
    is_word = (torch.arange(rows * made.buckets) < words).float().reshape(rows, made.buckets)
    _, values, right = torch.linalg.svd(grid, full_matrices=False)
    remainders = right[:, 0] * values[:, :1].sqrt()
    quotients_ = grid.new_zeros(width, rows)
    for _ in range(_ROUNDS if words < rows * made.buckets else 1):
        quotients_ = _ratio(grid, remainders, is_word)
        remainders = _ratio(grid.transpose(1, 2), quotients_, is_word.T)
    made.quotients.copy_(quotients_.T)
    made.remainders.copy_(remainders.T)
    return made


def _ratio(grid: Tensor, vectors: Tensor, is_word: Tensor) -> Tensor:
    """The least squares D×A of a grid D×A×B, given vectors D×B and which cells count, A×B."""
    above = torch.einsum("dab,db->da", grid, vectors)
    return above / (vectors.square() @ is_word.T).clamp(min=1e-12)
