"""The recipe of experts with little training: both files, and their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring.artifact import load
from shoestring.core import score
from shoestring.kit import AdamW, MixtureOfExperts, Training
from shoestring.recipes import routed_bytes
from shoestring.recipes.sparse_activation import NETWORKS, Row, network
from shoestring.tasks import NextWord


def text() -> NextWord:
    """A text of few words, which is easy to predict."""
    words = torch.tensor(list(b"the cat and the dog and the bird "))
    stream = words.repeat(40)
    return NextWord(train=stream, validation=stream[:300], test=stream[:200], words=256, window=32)


@pytest.mark.slow
def test_the_networks_and_their_files(tmp_path: Path):
    task, said = text(), list[Row]()
    training = Training(30, AdamW(1e-2))
    rows = routed_bytes(task, tmp_path, training=training, say=said.append)
    assert said == rows and [row.name for row in rows] == ["large", "experts"]
    for row in rows:
        path = tmp_path / f"{row.name}.shoe"
        assert path.stat().st_size == row.bytes
        assert -score(task, load(path)) == pytest.approx(row.validation, rel=1e-3)
        assert 0 < row.test < 8
    assert rows[0].spread == 0 and 1 <= rows[1].spread <= 8


def test_the_mixtures_have_as_many_numbers_as_the_large_network():
    sizes = {name: sum(p.numel() for p in network(name).parameters()) for name in NETWORKS}
    assert sizes["experts"] == pytest.approx(sizes["large"], rel=0.02)
    assert sizes["by byte"] == pytest.approx(sizes["large"], rel=0.02)
    assert sizes["small"] < sizes["dense"] < sizes["large"]
    frozen = [name for name, p in network("random").named_parameters() if not p.requires_grad]
    assert frozen and all("router" in name for name in frozen)
    mixtures = [part for part in network("random").modules() if isinstance(part, MixtureOfExperts)]
    assert mixtures  # nothing but the task's loss trains what comes before its routers
    assert all(one.added_loss.balance == one.added_loss.router_z == 0 for one in mixtures)
