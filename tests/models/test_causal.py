"""The network over bytes: it does not look ahead, and its file routes as it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import HashRouter, MixtureOfExperts, save
from shoestring.models import CausalNetwork, experts, feed_forward
from shoestring.tasks import NextWord


def made(assigned: Tensor | None = None) -> CausalNetwork:
    with seeded(0):
        inside = experts(4, 12)
        if assigned is not None:
            inside = experts(4, 12, router=lambda _width, count: HashRouter(assigned, count))
        return CausalNetwork(8, [feed_forward(12), inside]).eval()


def stream(seed: int) -> Tensor:
    return torch.randint(0, 256, (200,), generator=torch.Generator().manual_seed(seed))


def test_a_byte_is_predicted_from_those_before_it_alone():
    model, ids = made(), stream(0)[None, :20]
    with torch.no_grad():
        likely = model(ids)
        assert likely.shape == (1, 19) and (likely < 0).all()
        for place in (5, 19):
            other = ids.clone()
            other[0, place] = (ids[0, place] + 1) % 256
            changed = (model(other) != likely)[0]
            assert not changed[: place - 1].any() and changed[place - 1]


def test_the_probabilities_of_a_byte_add_up_to_1():
    model, ids = made(), stream(0)[:3].repeat(256, 1)
    ids[:, 2] = torch.arange(256)
    with torch.no_grad():
        assert float(model(ids)[:, 1].exp().sum()) == pytest.approx(1, rel=1e-4)


@pytest.mark.by_default("True")
@pytest.mark.parametrize("hashed", [False, True])
def test_its_file_gives_the_same(hashed: bool, tmp_path: Path):
    task = NextWord(
        train=stream(1), validation=stream(2), test=stream(3), words=256, window=16, batch_size=4
    )
    model = made(torch.arange(256) % 4 if hashed else None)
    save(model, task, tmp_path / "bytes.shoe")
    ids = stream(4)[:51].unfold(0, 11, 10)
    with torch.no_grad():
        found, wanted = load(tmp_path / "bytes.shoe")(ids.numpy()), model(ids).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_hash_routing_sends_each_byte_to_its_expert():
    model = made(torch.arange(256) % 4)
    mixture = model.layers[1]
    assert isinstance(mixture, MixtureOfExperts)
    seen: list[Tensor] = []
    mixture.choose.register_forward_hook(lambda _m, _a, chosen: seen.append(chosen[1]))
    ids = stream(5)[None, :30]
    with torch.no_grad():
        model(ids)
    assert torch.equal(seen[0].flatten(), ids[0, :-1] % 4)


def test_a_table_of_experts_that_is_refused():
    with pytest.raises(ValueError, match="experts 0 to 3, and there are 3"):
        HashRouter(torch.arange(256) % 4, 3)
    router = HashRouter(torch.arange(256) % 4, 4)
    with pytest.raises(ValueError, match="given ids"):
        MixtureOfExperts([nn.Linear(3, 3) for _ in range(4)], router)(torch.rand(2, 3))
