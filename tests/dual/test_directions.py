"""Directions: what their probabilities are, by hand and by enumeration of a small space."""

from __future__ import annotations

import pytest
import torch
from made_spelling import FIRST, LETTERS, directions, every_ending, spellers, with_end
from torch import Tensor, nn
from torch.nn import functional

from shoestring.dual import Classes, Gaussians, Sequences
from shoestring.kit.sequences.decoding import Alphabet, log_likelihoods

GIVEN = with_end(torch.tensor([[3, 4, 5], [6, 6, 3]]))


def test_the_log_likelihood_at_once_is_that_step_by_step_and_of_all_sequences_sums_to_one():
    there = directions()[0]
    part = there.of(spellers().eval())
    short = Sequences(part="ahead", alphabet=Alphabet(start=1, end=2, most=2))
    every = every_ending(2, FIRST + LETTERS)
    # what was cut has no end: its probability is that of its ids
    every = every[(every != 0).all(1) | (every[:, 0] == 2)]
    with torch.no_grad():
        likely = short.log_likelihood(part, GIVEN[:1].expand(len(every), -1), every)
        targets = torch.nn.functional.pad(every, (1, 0), value=1)
        slowly = log_likelihoods(part, (GIVEN[:1].expand(len(every), -1),), targets)
        of_padding = torch.tensor([part(GIVEN[:1], torch.tensor([[1]]))[0, 0].softmax(-1)[0]])
    assert torch.allclose(likely, slowly, atol=1e-4)
    # the rest is what begins with, or has, the id of padding
    assert float(likely.exp().sum()) <= 1 and float(likely.exp().sum()) >= 1 - 3 * float(of_padding)


def test_items_and_empty_sequences():
    there = directions()[0]
    words = torch.tensor([[3, 4, 2], [2, 0, 0], [5, 2, 0]])
    assert there.items(words).tolist() == [3, 1, 2]
    assert there.is_empty(words).tolist() == [False, True, False]
    cut = torch.full((1, 3), int(words[0, 0]))  # its end was not reached
    assert there.is_empty(cut).tolist() == [True]


def test_classes_by_hand():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    direction = Classes(part="read")

    def part(given: Tensor) -> Tensor:
        return logits[given]

    given, wanted = torch.tensor([0, 1]), torch.tensor([1, 1])
    by_hand = [2 - torch.tensor([0.0, 2, 1]).exp().sum().log(), 0 - logits[1].exp().sum().log()]
    assert direction.log_likelihood(part, given, wanted).tolist() == pytest.approx(
        [float(v) for v in by_hand]
    )
    assert direction.best(part, given, 2).tolist() == [1, 2, 0, 1]
    torch.manual_seed(0)
    drawn = direction.sample(part, torch.zeros(3000, dtype=torch.long))
    assert float((drawn == 1).double().mean()) == pytest.approx(
        float(logits[0].softmax(0)[1]), abs=0.03
    )
    with pytest.raises(ValueError, match="5 classes of each input are asked for and there are 3"):
        direction.best(part, given, 5)


def test_gaussians_are_those_of_torch():
    direction = Gaussians(part="portray", least=0.2)
    mean, logarithm = torch.rand(4, 2, 3), torch.tensor(-5.0).expand(4, 2, 3)
    wanted = torch.rand(4, 2, 3)

    def part(given: Tensor) -> tuple[Tensor, Tensor]:
        return mean, logarithm

    known = torch.distributions.Normal(mean, 0.2).log_prob(wanted).flatten(1).sum(1)
    given = torch.arange(4)
    assert torch.allclose(direction.log_likelihood(part, given, wanted), known, atol=1e-5)
    assert float(direction.loss(part, given, wanted)) == pytest.approx(float(-known.mean() / 6))
    assert direction.items(wanted).tolist() == [6] * 4
    assert torch.equal(direction.best(part, given, 1), mean)
    sample = direction.sample(part, given)
    assert sample.min() >= 0 and sample.max() <= 1 and not torch.equal(sample, mean)
    with pytest.raises(ValueError, match="a density has one"):
        direction.best(part, given, 2)


def test_growth_ends_what_is_written_at_so_many_items_for_each_that_is_read():
    class Endless(nn.Module):
        """Writes the id 3 for ever."""

        def encode(self, source: Tensor) -> dict[str, Tensor]:
            return {"rows": source[:, 0] * 0}

        def step(self, last: Tensor, rows: Tensor) -> dict[str, Tensor]:
            return {"logits": functional.one_hot(rows + 3, 5).float() * 50}

    alphabet = Alphabet(start=1, end=2, most=40)
    given = torch.full((2, 3), 4)
    for growth, wanted in ((None, 40), (2.0, 16), (20.0, 40)):
        direction = Sequences(part="ahead", alphabet=alphabet, growth=growth)
        for made in (
            direction.sample(Endless(), given),
            direction.best(Endless(), given, 1),
            direction.best(Endless(), given, 2),
        ):
            assert made.shape[1] == wanted
    with pytest.raises(ValueError, match=r"the growth is 0\.0"):
        Sequences(part="ahead", alphabet=alphabet, growth=0.0)
