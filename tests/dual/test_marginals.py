"""Marginals: how likely examples are by themselves, by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor, nn

from shoestring.dual import Classes, Frequencies, LanguageModel, Mixture
from shoestring.kit.sequences.decoding import Alphabet


class Uniform(nn.Module):
    """Every id as likely as any other of five, and the first one after the start certain."""

    def forward(self, rows: Tensor) -> Tensor:
        likely = torch.full((len(rows), rows.shape[1] - 1), -log(5))
        return torch.where(rows[:, :-1] == 1, 0.0, likely)


def test_a_language_model_sums_over_the_ids_of_a_sentence_and_its_end():
    module = Uniform().train()
    marginal = LanguageModel(module, Alphabet(start=1, end=2, most=9))
    words = torch.tensor([[3, 4, 2], [3, 2, 0]])
    assert marginal(words).tolist() == pytest.approx([-2 * log(5), -log(5)])
    assert module.training  # as it was


def test_frequencies_count_one_more_of_each_class():
    marginal = Frequencies((7.0, 0.0))
    assert marginal(torch.tensor([0, 1])).tolist() == pytest.approx([log(8 / 9), log(1 / 9)])


def test_a_mixture_sums_over_the_classes_and_keeps_what_it_was_given():
    """p(class) is 3/4 and 1/4; p(example 1 | class) is 1/2 and 1/5."""
    tables = nn.Embedding.from_pretrained(torch.tensor([[0.0, 0.0], [log(4.0), 0.0]]), freeze=False)
    marginal = Mixture(Classes(part="back"), tables, (2.0, 0.0))
    with torch.no_grad():
        tables.weight.zero_()
    found = marginal(torch.tensor([1, 0]))
    wanted = [log(3 / 4 * 1 / 2 + 1 / 4 * 1 / 5), log(3 / 4 * 1 / 2 + 1 / 4 * 4 / 5)]
    assert found.tolist() == pytest.approx(wanted) and not found.requires_grad
