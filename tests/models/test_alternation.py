"""LightRNN's training: costs by hand, words that move to better cells, and kills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_texts import sentences

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training, resuming, state_of
from shoestring.kit.embeddings.matching import cost
from shoestring.kit.training import resume
from shoestring.models import LightRNN, alternate, alternation, reassigned, word_costs

SETTINGS = Training(120, AdamW(1e-2))


class Killed(BaseException):
    pass


def untrained() -> LightRNN:
    with seeded(0):
        model = LightRNN(100, 16)
        model.place(torch.randperm(100))
    return model


def test_costs_add_up_the_losses_of_the_training_text():
    model, task = untrained(), sentences()
    rows, columns = word_costs(model, task)
    assert rows.shape == columns.shape == (100, 10)
    losses = [-model(ids).sum().item() for ids in task.batches("train")]
    now = cost(rows, columns, model.cells.numpy())
    assert now == pytest.approx(sum(losses), rel=1e-4)


def test_a_reassignment_lowers_the_cost_and_leaves_the_model_alone():
    model, task = untrained(), sentences()
    before = model.cells.clone()
    cells, high, low = reassigned(model, task)
    assert low < high and sorted(cells) == list(range(100))
    assert model.cells.equal(before)


def test_words_that_move_are_predicted_better():
    task = sentences()
    told: list[tuple[float, float]] = []
    with seeded(0):
        moving = alternate(
            untrained(), task, SETTINGS, at=(0.3, 0.6), say=lambda *costs: told.append(costs)
        )
    with seeded(0):
        staying = alternate(untrained(), task, SETTINGS, at=())
    assert len(told) == 2 and all(after < before for before, after in told)
    assert staying.cells.equal(untrained().cells) and not moving.cells.equal(staying.cells)
    assert score(task, moving) > score(task, staying) + 0.1


@pytest.mark.parametrize("where", ["in training", "in a reassignment", "at the end"])
def test_a_killed_training_ends_as_if_it_had_not_been(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    task, settings = sentences(), Training(210, AdamW(1e-2))

    def program() -> tuple[dict[str, bytes], np.ndarray]:
        model = untrained()
        with seeded(0):
            alternate(model, task, settings, at=(0.4, 0.6))
        values = {name: one.numpy().tobytes() for name, one in state_of(model).values.items()}
        return values, model.cells.numpy().copy()

    expected = program()
    with monkeypatch.context() as patch, resuming(tmp_path):
        if where == "in a reassignment":
            calls, whole = [0], alternation.reassigned

            def second_fails(*args, **settings):
                calls[0] += 1
                if calls[0] == 2:
                    raise Killed
                return whole(*args, **settings)

            patch.setattr(alternation, "reassigned", second_fails)
        elif where == "in training":
            taken = [0]
            kept = resume.Snapshot.save

            def save(self, step, batches, *, last=False):
                kept(self, step, batches, last=last)
                taken[0] = step
                if step == 205:
                    raise Killed

            patch.setattr(resume.Snapshot, "save", save)
        if where != "at the end":
            with pytest.raises(Killed):
                program()
        else:
            program()
    monkeypatch.setattr(alternation, "word_costs", word_costs)
    with resuming(tmp_path):
        values, cells = program()
    assert values == expected[0] and (cells == expected[1]).all()


def test_rare_words_stay():
    model, task = untrained(), sentences()
    counts = torch.zeros(100)
    for ids in task.batches("train"):
        counts += torch.bincount(ids[:, 1:].reshape(-1), minlength=100)
    rare = counts < 60
    cells, high, low = reassigned(model, task, least=60)
    assert low < high and 10 < rare.sum() < 90
    assert torch.from_numpy(cells)[rare].equal(model.cells[rare])
    assert not torch.from_numpy(cells).equal(model.cells)
    with pytest.raises(ValueError, match="least=-1: give how often a word must come to move"):
        alternate(model, task, SETTINGS, least=-1)


def test_shares_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"at=1\.0: give shares of the steps, above 0 and below 1"):
        alternate(untrained(), sentences(), SETTINGS, at=(0.5, 1.0))
