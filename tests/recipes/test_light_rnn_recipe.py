"""The recipe of LightRNN with little training: both files, and their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_texts import sentences

from shoestring.artifact import load
from shoestring.core import score
from shoestring.recipes import light_rnn
from shoestring.recipes.large_vocabulary import Row, Settings
from shoestring.tasks import perplexity


@pytest.mark.slow
def test_the_networks_and_their_files(tmp_path: Path):
    task, said = sentences(), list[Row]()
    settings = Settings(width=16, passes=4, learning_rate=1e-2, moves=(0.3,))
    rows = light_rnn(task, tmp_path, settings=settings, say=said.append)
    assert said == rows and [row.name for row in rows] == ["light", "uneven", "full"]
    for row in rows:
        path = tmp_path / f"{row.name}.shoe"
        assert path.stat().st_size == row.bytes
        assert perplexity(score(task, load(path))) == pytest.approx(row.validation, rel=1e-4)
        assert 5 < row.test < 100  # of 100 words
    assert rows[0].bytes < rows[2].bytes
