"""Decoding: a beam against a search of all sequences, and sampling against probabilities."""

from __future__ import annotations

import pytest
import torch
from made_spelling import ALPHABET, every_ending, spellers, with_end
from torch import Tensor, nn

from shoestring.kit.sequences.decoding import Alphabet, beam, greedy, log_likelihoods, sampled

GIVEN = with_end(torch.tensor([[3, 4, 5], [6, 6, 3]]))


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


class Ending(nn.Module):
    """Writes as another does, and ends after as many ids as the first of the source says."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def encode(self, source: Tensor) -> dict[str, Tensor]:
        return {**self.part.encode(source), "left": source[:, 0] - 3}  # type: ignore[operator]

    def step(self, last: Tensor, left: Tensor, **state: Tensor) -> dict[str, Tensor]:
        found = self.part.step(last, **state)  # type: ignore[operator]
        logits = found["logits"].clone()
        logits[:, ALPHABET.end] = torch.where(left > 0, -20.0, 20.0)
        return {**found, "logits": logits, "left": left - 1}


def test_inputs_whose_beams_end_early_change_nothing_for_the_others():
    part = Ending(spellers(3).ahead).eval()
    given = with_end(torch.randint(3, 7, (12, 3), generator=torch.Generator().manual_seed(0)))
    long = Alphabet(start=1, end=2, most=7)
    with torch.no_grad():
        found, logs = beam(part, (given,), long, beams=3)
        alone = [beam(part, (row[None],), long, beams=3) for row in given]
    lengths = {one.shape[2] for one, _ in alone}
    assert len(lengths) > 1  # they end at different places
    for row, (ids, likely) in enumerate(alone):
        assert found[row, :, : ids.shape[2]].tolist() == ids[0].tolist()
        assert not found[row, :, ids.shape[2] :].any()
        assert logs[row].tolist() == pytest.approx(likely[0].tolist(), abs=1e-4)


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


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="start is 0, end 0 and most 3"):
        Alphabet(start=0, end=0, most=3)
    with pytest.raises(ValueError, match="beams is 0"):
        beam(Fixed(), (torch.ones(1, 1),), SMALL, beams=0)

    class Bare(nn.Module):
        def encode(self, source: Tensor) -> Tensor:
            return source

    with pytest.raises(TypeError, match="the entry encode gives Tensor: return a mapping"):
        greedy(Bare(), (torch.ones(1, 1),), SMALL)
