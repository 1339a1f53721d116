"""The model of bytes: one byte at a time it says what it says of whole rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import save
from shoestring.models import ByteGRU
from shoestring.tasks import ByteText

LINES = (b"the cat", b"a dog sat", "你好吗".encode())


def small(**settings) -> ByteGRU:
    with seeded(0):
        return ByteGRU(states=19, pieces=((64, 4), (64, 4), (64, 4)), **settings).eval()


def test_a_byte_at_a_time_is_what_whole_rows_are() -> None:
    model, rows = small(), torch.randint(0, 256, (4, 13))
    with torch.no_grad():
        whole = model(rows).log_softmax(-1)
        state = torch.zeros(4, 19)
        for at in range(12):
            scores, state = model(rows[:, at], state)
            torch.testing.assert_close(scores, whole[:, at], rtol=1e-4, atol=1e-5)
    assert state[:, -3:].tolist() == rows[:, [11, 10, 9]].tolist()


def test_a_byte_that_is_four_places_back_is_in_the_state_alone() -> None:
    """Pieces reach three bytes back: without the recurrent layer's own memory no further."""
    model = small()
    rows = torch.tensor([[1, 2, 3, 4, 5, 0], [9, 2, 3, 4, 5, 0]])
    read = [model._read(one[None, :5], _before(one[None, :5])) for one in rows]
    assert not torch.equal(read[0][0, 3], read[1][0, 3])
    assert torch.equal(read[0][0, 4], read[1][0, 4])


def _before(rows: torch.Tensor) -> list[torch.Tensor]:
    return [torch.nn.functional.pad(rows, (n, 0))[:, : rows.shape[1]] for n in (1, 2, 3)]


def test_its_file_scores_what_the_module_scores(tmp_path) -> None:
    model = small()
    task = ByteText(train=LINES, validation=LINES, test=LINES, states=19)
    path = tmp_path / "m.shoe"
    save(model, task, path)
    loaded = load(path, threads=1)
    assert score(task, loaded) == pytest.approx(score(task, model), abs=1e-6)
    assert [port.shape for port in loaded.inputs] == [("N",), ("N", 19)]
    scores, state = loaded.stepped(np.array([10, 97]), None)
    assert scores.shape == (2, 256) and state.shape == (2, 19)
    assert np.exp(scores).sum(1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("settings", [{"states": 3}, {"pieces": ((8, 2),) * 4}])
def test_what_it_cannot_be_is_refused(settings) -> None:
    with pytest.raises(ValueError, match="more than 3"):
        ByteGRU(**settings)
