"""The recipe on two alphabets and a few steps, and what it changes in pictures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.adapt import ModelOutputs, Prototypes
from shoestring.kit import AdamW, Training
from shoestring.recipes import recipes
from shoestring.recipes.one_picture_each import (
    HELD_OUT,
    VALIDATION,
    few_pictures,
    jittered,
    known_alphabets,
    one_shot,
    quarter_turns,
    runs_error,
)
from shoestring.tasks import Characters, omniglot_runs, omniglot_small
from shoestring.tasks.fetch import present
from shoestring.tasks.omniglot import RUNS, SMALL


@pytest.fixture
def here() -> None:
    pytest.importorskip("PIL", reason="PNG is read with the extra images")
    if any(present(source) is None for source in (*SMALL.values(), RUNS)):
        pytest.skip(
            "Omniglot is not here: set SHOESTRING_DATA to a folder that holds omniglot/*.zip"
        )


def made() -> Characters:
    """Two characters of one alphabet and one of another, two pictures each."""
    pictures = torch.zeros(6, 1, 16, 16)
    for place in range(6):
        pictures[place, 0, place, 2] = 1
    return Characters(
        pictures=pictures, labels=torch.tensor([0, 0, 1, 1, 2, 2]), alphabets=("a", "a", "b")
    )


def test_turns_are_other_characters_of_other_alphabets():
    found = quarter_turns(made())
    assert len(found.pictures) == 24 and found.labels.unique().tolist() == list(range(12))
    assert len(set(found.alphabets)) == 8 and found.alphabets[3] == "a, turn 1"
    assert torch.equal(found.pictures[6].rot90(-1, (1, 2)), found.pictures[0])


def test_jitter_moves_ink_and_keeps_most_of_it():
    torch.manual_seed(0)
    pictures = torch.zeros(50, 1, 28, 28)
    pictures[:, :, 8:20, 12:16] = 1
    found = jittered(pictures)
    assert found.shape == pictures.shape and found.min() >= 0 and found.max() <= 1 + 1e-6
    share = found.sum((1, 2, 3)) / pictures.sum((1, 2, 3))
    assert share.min() > 0.5 and share.max() < 1.7 and share.std() > 0.05


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_few_steps_and_a_run():
    known = omniglot_small((1,)).of("Early_Aramaic", "Korean")
    body, right = one_shot(
        known, omniglot_small((1,)).of("Greek"), training=Training(2, AdamW(1e-3))
    )
    assert 0.05 < right < 0.9
    runs = omniglot_runs()[:2]
    assert 0.1 < runs_error(Prototypes(features=ModelOutputs()), body, runs) < 0.95
    assert runs_error(Prototypes(features=ModelOutputs()), nn.Flatten(), runs) < 0.95
    few = few_pictures(known, 3, seed=0)
    assert (few.train[1].bincount() == 3).all() and few.test is not None
    assert (few.test[1].bincount() == 10).all()


@pytest.mark.usefixtures("here")
def test_the_alphabets_that_are_judged_by_are_not_learnt_from():
    assert len(set(known_alphabets().alphabets)) == 6
    assert not {VALIDATION, HELD_OUT} & set(known_alphabets().alphabets)
    assert recipes()["one_shot"].page == "adapt.md"
