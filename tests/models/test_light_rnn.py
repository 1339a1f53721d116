"""LightRNN: its size, its probabilities by a slow obvious way, its file, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_texts import sentences
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.core import prove, score, seeded
from shoestring.kit import save
from shoestring.models import LightRNN


def made(words: int = 30, width: int = 8, **settings: Any) -> LightRNN:
    """A network with large weights, whose words are anywhere."""
    with seeded(0):
        model = LightRNN(words, width, **settings)
        model.place(torch.randperm(len(model.rows) * len(model.columns))[:words])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.5)
    return model.eval()


def slowly(model: LightRNN, ids: Tensor) -> list[float]:
    """The log-probabilities of a text's words after the first, step by step, by the definition."""
    columns = len(model.columns)
    state: Any = None
    output = torch.zeros(model.rows.shape[1])  # read after the first word only
    found: list[float] = []
    for place, word in enumerate(ids.tolist()):
        row, column = divmod(int(model.cells[word]), columns)
        if place:
            logits = model.rows @ output + model.row_bias
            found.append(float(logits.log_softmax(0)[row]))
        read, state = model.recurrent(model.rows[row][None, None], state)
        if place:
            logits = model.columns @ read[0, 0] + model.column_bias
            found[-1] += float(logits.log_softmax(0)[column])
        read, state = model.recurrent(model.columns[column][None, None], state)
        output = read[0, 0]
    return found


def test_its_size():
    model = LightRNN(40_000, 128)
    lstm = 4 * 128 * (128 + 128) + 2 * 4 * 128
    assert sum(p.numel() for p in model.parameters()) == 400 * 128 + 400 + lstm
    assert (len(model.rows), len(model.columns)) == (200, 200)
    assert model.cells.tolist() == list(range(40_000))


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU])
@torch.no_grad()
def test_probabilities_are_those_of_the_definition(recurrent: type[nn.LSTM] | type[nn.GRU]):
    model = made(recurrent=recurrent)
    ids = torch.tensor([[4, 17, 17, 29, 0, 3]])
    torch.testing.assert_close(model(ids), torch.tensor([slowly(model, ids[0])]))


@pytest.mark.parametrize("words", [36, 30])
@torch.no_grad()
def test_all_next_words_agree_with_single_ones(words: int):
    model = made(words, columns=6)
    text = torch.tensor([[4, 17, 29], [1, 2, 0]])
    every = model.next(text)
    assert every.shape == (2, words)
    for word in range(words):
        ids = torch.cat([text, torch.full((2, 1), word)], 1)
        torch.testing.assert_close(every[:, word], model(ids)[:, -1])
    sums = every.exp().sum(1)
    full = words == len(model.rows) * len(model.columns)
    assert bool((sums <= 1 + 1e-5).all()) and (not full or bool((sums > 1 - 1e-5).all()))


@torch.no_grad()
def test_losses_are_what_the_word_would_cost_elsewhere():
    model = made()
    ids = torch.tensor([[4, 17, 29, 8]])
    rows, columns = model.losses(ids)
    places = [divmod(int(model.cells[word]), len(model.columns)) for word in ids[0, 1:]]
    own = [float(rows[0, t, r] + columns[0, t, c]) for t, (r, c) in enumerate(places)]
    torch.testing.assert_close(-model(ids)[0], torch.tensor(own))


@pytest.mark.slow
def test_its_file_gives_the_two_step_softmax(tmp_path: Path):
    model, task = made(90), sentences(90, entries=("next",))
    save(model, task, tmp_path / "light.shoe")
    file: Any = load(tmp_path / "light.shoe")
    for count, length in ((2, 16), (1, 1), (3, 5)):
        ids = torch.arange(count * length).reshape(count, length) % 90
        with torch.no_grad():
            expected = model.next(ids)
        torch.testing.assert_close(torch.as_tensor(file.next(ids)), expected, rtol=1e-4, atol=1e-4)
    found = prove(tmp_path / "light.shoe", task)
    assert found == pytest.approx(score(task, model, "test"), abs=1e-4)


def test_places_that_cannot_be_are_refused_and_nothing_is_moved():
    model = made(6, columns=3)
    before = model.cells.clone()
    for cells, said in (
        (np.array([0, 1, 2, 3, 4, 4]), "6 different numbers"),
        (np.arange(5), "6 different numbers"),
        (np.array([0, 1, 2, 3, 4, 6]), "from 0 to 5, and 6 is not"),
    ):
        with pytest.raises(ValueError, match=said):
            model.place(cells)
    assert model.cells.equal(before)


@pytest.mark.parametrize(
    ("words", "columns", "said"),
    [
        (1, None, "a vocabulary of 1 words: a table needs 2 cells or more"),
        (5, 6, "6 columns for 5 words: give from 1 to 5"),
        (5, 0, "0 columns for 5 words"),
    ],
)
def test_tables_that_make_no_sense_are_refused(words: int, columns: int | None, said: str):
    with pytest.raises(ValueError, match=said):
        LightRNN(words, 4, columns=columns)


def test_the_smallest_table():
    model = LightRNN(2, 4)
    assert (len(model.rows), len(model.columns)) == (1, 2)
    assert model.next(torch.tensor([[0]])).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("word", [-1, 30])
def test_ids_that_no_word_has_are_refused(word: int):
    with pytest.raises(IndexError):
        LightRNN(30, 8)(torch.tensor([[1, word, 2]]))
