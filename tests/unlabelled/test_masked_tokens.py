"""Masked tokens: which are hidden, and that networks of two kinds learn to guess them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from half_moons import CHANGES, moons, network
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.models import NgramClassifier, TextEncoder
from shoestring.unlabelled import MaskedTokens
from shoestring.unlabelled.body import States, body, states
from shoestring.unlabelled.masked_tokens import Guesser, hidden
from shoestring.unlabelled.material import material


def test_what_is_hidden():
    ids = torch.randint(2, 500, (400, 50), generator=torch.Generator().manual_seed(0))
    ids[:, 40:] = 0
    with seeded(0):
        shown, is_hidden = hidden(ids, 0.15, 1)
    assert not is_hidden[:, 40:].any() and torch.equal(shown[~is_hidden], ids[~is_hidden])
    count = int(is_hidden.sum())
    assert count == pytest.approx(0.15 * 400 * 40, rel=0.1)
    masked = (shown[is_hidden] == 1).float().mean()
    same = (shown[is_hidden] == ids[is_hidden]).float().mean()
    assert float(masked) == pytest.approx(0.8, abs=0.03)
    assert float(same) == pytest.approx(0.1, abs=0.03)
    assert set(shown.unique().tolist()) <= {1, *ids.unique().tolist()}


def test_one_token_is_hidden_at_least_and_of_padding_none():
    ids = torch.tensor([[7, 0], [0, 0]])
    assert int(hidden(ids, 0.0, 1)[1].sum()) == 1
    shown, is_hidden = hidden(torch.zeros(2, 3, dtype=torch.long), 0.5, 1)
    assert not shown.any() and not is_hidden.any()


def test_the_surprise_by_hand():
    """A layer of zeros guesses each of the ten ids alike."""
    guesser = Guesser(nn.Sequential(nn.Embedding(10, 4)), States("0"), 4, 10)
    with torch.no_grad():
        guesser.guess.weight.zero_()
        guesser.guess.bias.zero_()
    ids = torch.tensor([[3, 4, 0]])
    none, one = torch.zeros(1, 3, dtype=torch.bool), torch.tensor([[True, False, False]])
    with torch.no_grad():
        assert float(guesser.surprise(ids, ids, one)) == pytest.approx(math.log(10))
        assert float(guesser.surprise(ids, ids, none)) == 0


def pairs(labels: int = 20) -> Supervised:
    """Texts of two words, of which the second follows from the first; the class is the kind."""
    first = torch.randint(2, 10, (600,), generator=torch.Generator().manual_seed(0))
    ids = torch.stack([first, first + 8], 1)
    classes = (first >= 6).long()
    return Supervised(
        train=(ids[:labels], classes[:labels]),
        validation=(ids[200:400], classes[200:400]),
        unlabelled=ids[labels:200],
        batch_size=32,
    )


def encoder() -> nn.Module:
    return TextEncoder(18, width=32, layers=1, heads=2, hidden=32, length=4, dropout=0.0)


def bag() -> nn.Module:
    return NgramClassifier(18, 2, width=32, dropout=0.0)


@pytest.mark.parametrize("made", [encoder, bag])
def test_it_learns_which_word_goes_with_which(made: Any):
    with seeded(0):
        model = made()
    task = pairs()
    technique = MaskedTokens(
        training=Training(0), pretraining=Training(100, AdamW(1e-2)), share=0.4, weak=torch.clone
    )
    given = material(model, task.sealed(), technique.weak, technique.strong)
    place = states(model, given) or body(model, given)
    assert isinstance(place, States) == isinstance(model, TextEncoder)
    ids, is_hidden = given.inputs[0][:100], torch.tensor([[False, True]]).expand(100, 2)
    shown = ids.masked_fill(is_hidden, 1)

    def surprise(network: nn.Module) -> float:
        """After a layer of guesses is trained on what the body makes of the shown words."""
        with torch.no_grad():
            vectors = place.features(network.eval(), (shown,))
        vectors = vectors[:, 1] if vectors.ndim == 3 else vectors
        with seeded(2):
            guess = nn.Linear(32, 18)
        rate = torch.optim.Adam(guess.parameters(), 0.02)
        for _ in range(30):
            loss = nn.functional.cross_entropy(guess(vectors), ids[:, 1])
            rate.zero_grad()
            loss.backward()
            rate.step()
        return float(loss.detach())

    with seeded(0):
        learnt = technique.learnt(model, given, model)
    assert surprise(learnt) < 0.5 * surprise(model)


def test_what_is_no_text_is_refused():
    model = network()
    given = material(model, moons(), *CHANGES.values())
    with pytest.raises(TypeError, match=r"no texts: masked tokens takes ids N×T.*SimSiam"):
        MaskedTokens().learnt(model, given, model)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"share": 1.5}, "the share of hidden tokens is 1.5"),
        ({"instead": 0}, "the id of a hidden token is 0"),
        ({"size": 0}, "the texts of a batch is 0"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        MaskedTokens(**settings)


def test_ids_are_guessed_by_their_number():
    shown: Tensor = torch.tensor([[2, 0]])
    guesser = Guesser(bag(), body(bag(), material(bag(), pairs(), None, None)), 32, 18)
    assert guesser(shown).shape == (1, 2) and guesser.guess.out_features == 18
