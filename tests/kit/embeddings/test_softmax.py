"""The softmax over a large vocabulary, against the plain one."""

from __future__ import annotations

import torch
from torch import Tensor

from shoestring.core import seeded
from shoestring.kit.embeddings import softmax


def plain(states: Tensor, table: Tensor, bias: Tensor, words: Tensor) -> Tensor:
    logits = torch.nn.functional.linear(states, table, bias)
    return logits.log_softmax(-1).gather(-1, words[:, None]).squeeze(-1)


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """More states than are computed at a time."""
    with seeded(0):
        count = softmax._ROWS + 50
        parts = torch.randn(count, 12), torch.randn(70, 12), torch.randn(70)
        words = torch.randint(0, 70, (count,))
    return *(part.requires_grad_() for part in parts), words  # type: ignore[return-value]


def test_values_and_gradients_are_those_of_the_plain_softmax():
    *parts, words = inputs()
    with seeded(1):
        weights = torch.randn(len(words))
    results = []
    for function in (softmax.log_probabilities, plain):
        value = function(*parts, words)  # type: ignore[call-arg]
        results.append([value, *torch.autograd.grad((value * weights).sum(), parts)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(
            softmax.log_probabilities(*parts, words), plain(*parts, words), rtol=1e-4, atol=1e-4
        )


def test_under_autocast_it_computes_in_bfloat16_and_answers_in_single_precision():
    *parts, words = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        value = softmax.log_probabilities(*parts, words)
    gradients = torch.autograd.grad(-value.mean(), parts)
    expected = torch.autograd.grad(-plain(*parts, words).mean(), parts)
    assert value.dtype is torch.float32
    for ours, theirs in zip(gradients, expected, strict=True):
        assert ours.dtype is torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02
