"""LightRNN with rows of unequal length: its size, its probabilities, its moves and its file."""

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
from shoestring.kit import AdamW, Training, save
from shoestring.kit.embeddings.matching import cost
from shoestring.models import UnevenLightRNN, alternate, reassigned, word_costs
from shoestring.models.uneven_light_rnn import row_lengths


def made(words: int = 30, width: int = 8, **settings: Any) -> UnevenLightRNN:
    """A network with large weights, whose words are anywhere."""
    with seeded(0):
        model = UnevenLightRNN(words, width, **settings)
        model.place(model.cells[torch.randperm(words)])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.5)
    return model.eval()


def slowly(model: UnevenLightRNN, ids: Tensor) -> list[float]:
    """The log-probabilities of a text's words after the first, step by step, by the definition."""
    columns = len(model.columns)
    places = [divmod(int(cell), columns) for cell in model.cells]
    states: list[Any] = [None] * len(model.recurrent)
    found: list[float] = []
    for before, word in zip(ids.tolist(), ids[1:].tolist(), strict=False):
        row, column = places[before]
        pair = torch.cat([model.rows[row], model.columns[column]])
        more, gate = model.reading(pair).chunk(2)
        output = model.rows[row] + model.columns[column] + more * torch.sigmoid(gate)
        for number, layer in enumerate(model.recurrent):
            above, states[number] = layer(output[None, None], states[number])
            output = output + above[0, 0]
        row, _ = places[word]
        found.append(float((model.rows @ output + model.row_bias).log_softmax(0)[row]))
        members = [other for other, (its_row, _) in enumerate(places) if its_row == row]
        stepped = model.to_column(model.rows[row][None], output[None])[0]
        logits = torch.stack(
            [
                stepped @ model.columns[column] + model.column_bias[column]
                for other in members
                for column in [places[other][1]]
            ]
        )
        found[-1] += float(logits.log_softmax(0)[members.index(word)])
    return found


def test_its_size():
    model = UnevenLightRNN(40_000, 128)
    assert (len(model.rows), len(model.columns), model.own) == (760, 240, 560)
    layers = sum(
        p.numel()
        for part in (model.reading, model.recurrent, model.to_column)
        for p in part.parameters()
    )
    about_words = sum(p.numel() for p in model.parameters()) - layers
    assert about_words == 1000 * 129
    assert about_words * 40 == 40_000 * 129


def test_rows_grow_and_hold_all_words():
    lengths = row_lengths(40_000, 450, 240, 250)
    assert lengths.sum() == 40_000 and len(lengths) == 450
    assert (lengths[:250] == 1).all() and lengths[260] > 1 and lengths.max() == 240
    grown = lengths[250 : int(np.argmax(lengths == 240))]
    assert (np.diff(grown) >= -1).all() and len(grown) > 10  # they are rounded
    assert row_lengths(7, 3, 3, 1).tolist() == [1, 3, 3]
    assert row_lengths(3, 3, 5, 2).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("words", "rows", "columns", "own"),
    [(30, 5, 5, 5), (30, 5, 5, -1), (30, 5, 5, 0), (4, 5, 5, 2), (30, 5, 5, 6)],
)
def test_tables_without_room_are_refused(words: int, rows: int, columns: int, own: int):
    with pytest.raises(ValueError, match=f"{words} words in {rows} rows, {own} of them of one"):
        UnevenLightRNN(words, 4, rows=rows, columns=columns, own=own)


@pytest.mark.parametrize("words", [2, 3, 5, 17])
def test_small_tables(words: int):
    model = UnevenLightRNN(words, 4)
    assert len(model.cells.unique()) == words
    assert model.next(torch.tensor([[0]])).exp().sum().item() == pytest.approx(1)
    with pytest.raises(ValueError, match="a vocabulary of 1 words: a table needs 2 cells"):
        UnevenLightRNN(1, 4)
    with pytest.raises(ValueError, match="0 recurrent layers: give 1 or more"):
        UnevenLightRNN(5, 4, layers=0)


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU])
@torch.no_grad()
def test_probabilities_are_those_of_the_definition(recurrent: type[nn.LSTM] | type[nn.GRU]):
    model = made(recurrent=recurrent)
    ids = torch.tensor([[4, 17, 17, 29, 0, 3, 11, 25]])
    torch.testing.assert_close(model(ids), torch.tensor([slowly(model, ids[0])]))


@torch.no_grad()
def test_all_next_words_agree_with_single_ones_and_sum_to_1():
    model = made()
    text = torch.tensor([[4, 17, 29], [1, 2, 0]])
    every = model.next(text)
    torch.testing.assert_close(every.exp().sum(1), torch.ones(2))
    for word in range(30):
        ids = torch.cat([text, torch.full((2, 1), word)], 1)
        torch.testing.assert_close(every[:, word], model(ids)[:, -1])


@torch.no_grad()
def test_losses_are_what_the_word_would_cost_elsewhere():
    model = made()
    ids = torch.arange(30)[None]
    rows, columns = model.losses(ids)
    places = [divmod(int(model.cells[word]), len(model.columns)) for word in ids[0, 1:]]
    own = [float(rows[0, t, r] + columns[0, t, c]) for t, (r, c) in enumerate(places)]
    torch.testing.assert_close(-model(ids)[0], torch.tensor(own))


def test_only_words_of_shared_rows_move_and_they_are_predicted_better():
    task, settings = sentences(), Training(120, AdamW(1e-2))

    def trained(*at: float) -> UnevenLightRNN:
        with seeded(0):
            return alternate(UnevenLightRNN(100, 16), task, settings, at=at)

    staying, moving = trained(), trained(0.3, 0.6)
    first = UnevenLightRNN(100, 16).cells
    assert staying.cells.equal(first) and not moving.cells.equal(first)
    assert moving.cells[: moving.own].equal(first[: moving.own])
    assert moving.cells.sort()[0].equal(first)
    assert score(task, moving) > score(task, staying)
    cells, high, low = reassigned(staying, task)
    assert low < high
    words = staying.movable()[0].numpy()
    rows, columns = word_costs(staying, task)
    assert cost(rows[words], columns[words], cells[words]) == pytest.approx(low)


def test_places_that_cannot_be_are_refused_and_nothing_is_moved():
    model = made(30)
    before = model.cells.clone()
    beyond = before.clone()
    beyond[0] = before.max() + 1
    for cells in (torch.arange(30), before[:29], beyond):
        with pytest.raises(ValueError, match="cells must be the 30 that words have now"):
            model.place(cells)
    assert model.cells.equal(before)


@pytest.mark.slow
def test_the_file_of_uneven_rows_answers_alike(tmp_path: Path):
    model, task = made(90), sentences(90, entries=("next",))
    save(model, task, tmp_path / "uneven.shoe")
    file: Any = load(tmp_path / "uneven.shoe")
    for count, length in ((2, 17), (1, 2), (3, 6)):
        ids = torch.arange(count * length).reshape(count, length) % 90
        with torch.no_grad():
            expected = model(ids), model.next(ids)
        for ours, wanted in zip((file.forward(ids), file.next(ids)), expected, strict=True):
            torch.testing.assert_close(torch.as_tensor(ours), wanted, rtol=1e-4, atol=1e-4)
    found = prove(tmp_path / "uneven.shoe", task)
    assert found == pytest.approx(score(task, model, "test"), abs=1e-4)


@pytest.mark.parametrize("word", [-1, 30])
def test_ids_that_no_word_has_are_refused(word: int):
    with pytest.raises(IndexError):
        UnevenLightRNN(30, 8)(torch.tensor([[1, word, 2]]))
