"""The softmax over a large vocabulary, without the memory of all its logits in single precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_ROWS = 128
"""States at a time: their logits over 40,000 words then stay in the processor's cache."""


def log_probabilities(states: Tensor, table: Tensor, bias: Tensor, words: Tensor) -> Tensor:
    """The log-probabilities of words, in nats, by a softmax over the whole vocabulary: M.

    Under autocast the products are computed in its type, bfloat16 mostly.

    `states`: M×D.
    `table`: a vector for each word of the vocabulary, V×D.
    `bias`: V.
    `words`: ids, M.
    """
    if torch.compiler.is_compiling():  # an exported graph has plain operators
        logits = functional.linear(states, table, bias)
        return logits.log_softmax(-1).gather(-1, words.unsqueeze(-1)).squeeze(-1)
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else table.dtype
    with torch.autocast(kind, enabled=False):
        return _Chosen.apply(states.to(dtype), table.to(dtype), bias.to(dtype), words).float()


class _Chosen(torch.autograd.Function):
    """Log-probabilities of chosen words.

    The probabilities of all words are kept for the gradients in the type of the products, and
    computed some rows at a time.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, bias: Tensor, words: Tensor) -> Tensor:
        chosen = states.new_empty(len(states), dtype=torch.float32)
        keeps = any(ctx.needs_input_grad)
        kept = states.new_empty(len(states) if keeps else 0, len(table))
        room = states.new_empty(min(_ROWS, len(states)), len(table))
        for start in range(0, len(states), _ROWS):
            rows = slice(start, start + _ROWS)
            logits = torch.addmm(bias, states[rows], table.T, out=room[: len(states[rows])])
            index = words[rows, None]
            if keeps:
                torch.softmax(logits, 1, out=kept[rows])
                own = kept[rows].gather(1, index).float().log()
            else:
                own = (logits.gather(1, index) - logits.logsumexp(1, keepdim=True)).float()
            chosen[rows] = own.squeeze(1)
        ctx.save_for_backward(states, table, words, kept)
        return chosen

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        states, table, words, kept = ctx.saved_tensors
        (gradient,) = gradients
        of_states, of_logits = torch.empty_like(states), kept
        for start in range(0, len(states), _ROWS):
            rows = slice(start, start + _ROWS)
            scale = gradient[rows, None].to(kept.dtype)
            of_logits[rows].mul_(-scale).scatter_add_(1, words[rows, None], scale)
            torch.mm(of_logits[rows], table, out=of_states[rows])
        return of_states, of_logits.T @ states, of_logits.sum(0), None
