"""Directions: what their probabilities are, by hand and by enumeration of a small space."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from made_spelling import ALPHABET, FIRST, LETTERS, directions, spellers, with_end
from torch import Tensor, nn

from shoestring.dual import Classes, Gaussians, Sequences
from shoestring.kit.sequences.decoding import Alphabet, beam, greedy, log_likelihoods, sampled

GIVEN = with_end(torch.tensor([[3, 4, 5], [6, 6, 3]]))


def every_ending(most: int, ids: int) -> Tensor:
    """All sequences over `ids` ids that end within `most`, or are cut there."""
    found = []
    for length in range(1, most + 1):
        for one in product(range(ids), repeat=length):
            ends = [place for place, item in enumerate(one) if item == ALPHABET.end]
            if ends == [length - 1] or (length == most and not ends):
                found.append([*one, *[0] * (most - length)])
    return torch.tensor(found)


class Fixed(nn.Module):
    """A writer over ids 0 to 3 whose next id depends on the one before and on the source."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))

    def encode(self, source: Tensor) -> dict[str, Tensor]:
        return {"of": source[:, :1].float()}

    def step(self, last: Tensor, of: Tensor) -> dict[str, Tensor]:
        logits = self.table[last] + 0.3 * of
        # 0 is padding: a network that has learnt never writes it
        return {"logits": torch.cat([torch.full_like(logits[:, :1], -1e9), logits[:, 1:]], 1)}


SMALL = Alphabet(start=1, end=2, most=3)


def test_a_wide_beam_finds_the_best_of_all_sequences():
    writer, source = Fixed(), torch.tensor([[1], [3]])
    with torch.no_grad():
        found, logs = beam(writer, (source,), SMALL, beams=40, length_power=0.0)
        every = every_ending(3, 4)
        for row in range(2):
            likely = []
            for one in every.tolist():
                last, total = SMALL.start, 0.0
                state = writer.encode(source[row : row + 1])
                for item in one:
                    if last == SMALL.end:
                        break
                    logits = writer.step(torch.tensor([last]), **state)["logits"]
                    total += float(logits.log_softmax(-1)[0, item])
                    last = item
                likely.append(total)
            best = torch.tensor(likely).argsort(descending=True)[:5]
            assert found[row, :5].tolist() == every[best].tolist()
            assert logs[row, :5].tolist() == pytest.approx([likely[i] for i in best.tolist()])


def test_a_beam_of_one_is_greedy_and_a_wider_one_is_no_less_likely():
    part = spellers().ahead.eval()
    with torch.no_grad():
        first = greedy(part, (GIVEN,), ALPHABET)
        one, logs = beam(part, (GIVEN,), ALPHABET, beams=1, length_power=0.0)
        _, wider = beam(part, (GIVEN,), ALPHABET, beams=8, length_power=0.0)
    assert one[:, 0].tolist() == first.tolist()
    assert (wider[:, 0] >= logs[:, 0] - 1e-5).all()


def test_the_length_power_prefers_longer_sequences():
    writer, source = Fixed(), torch.tensor([[1]])
    writer.table.data = torch.tensor([0.0, 0.0, 1.0, 0.0]).repeat(4, 1)
    with torch.no_grad():
        lengths = [
            int((beam(writer, (source,), SMALL, beams=40, length_power=power)[0][0, 0] > 0).sum())
            for power in (0.0, 3.0)
        ]
    assert lengths[0] < lengths[1]


def test_sequences_are_drawn_as_often_as_they_are_likely():
    writer, count = Fixed(), 4000
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = sampled(writer, (torch.ones(count, 1),), SMALL)
        likely = log_likelihoods(
            writer, (torch.ones(1, 1),), torch.tensor([[SMALL.start, 3, SMALL.end]])
        )
    share = float(((drawn[:, 0] == 3) & (drawn[:, 1] == SMALL.end)).double().mean())
    assert share == pytest.approx(float(likely.exp()), abs=3 * (0.25 / count) ** 0.5)


def test_a_low_temperature_draws_the_likeliest():
    writer = Fixed()
    with torch.no_grad():
        drawn = sampled(writer, (torch.ones(50, 1),), SMALL, temperature=1e-3)
        assert drawn.tolist() == greedy(writer, (torch.ones(50, 1),), SMALL).tolist()
    with pytest.raises(ValueError, match="temperature is 0"):
        sampled(writer, (torch.ones(1, 1),), SMALL, temperature=0.0)


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
