"""Where the body of a network ends, and where its tokens are vectors."""

from __future__ import annotations

import pytest
import torch
from half_moons import CHANGES, moons, network
from made_pixel_words import BagOfPixels, pixel_words
from torch import nn

from shoestring.core import seeded
from shoestring.kit import Supervised, clone
from shoestring.models import TextEncoder
from shoestring.unlabelled.body import Body, States, body, states
from shoestring.unlabelled.material import Material, material


def texts() -> Supervised:
    """Texts of up to five words of ten, with padding."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 10, (30, 5), generator=draw)
    ids[::3, 3:] = 0
    labels = torch.arange(15) % 2
    return Supervised(train=(ids[:15], labels), validation=(ids[:15], labels), unlabelled=ids[15:])


def given(model: nn.Module, task: Supervised) -> Material:
    return material(model, task, torch.clone, torch.clone)


def encoder() -> TextEncoder:
    with seeded(0):
        return TextEncoder(10, width=16, layers=1, heads=2, hidden=16, dropout=0.0)


def test_what_goes_into_the_last_linear_layer_is_heard_with_gradients():
    model, task = network(), moons()
    place = body(model, material(model, task, *CHANGES.values()))
    assert place == Body("4", 1)
    copy, points = clone(model), torch.as_tensor(task.unlabelled)[:3]
    features = place.features(copy, (points,))
    assert torch.equal(features, model[:4](points))  # type: ignore[index]
    features.sum().backward()
    assert copy[0].weight.grad is not None and copy[4].weight.grad is None  # type: ignore[index, union-attr]
    assert model[0].weight.grad is None and not copy[4]._forward_pre_hooks  # type: ignore[index, union-attr]


def test_features_at_places_become_their_mean():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1))
    images = torch.rand(4, 1, 8, 8)
    features = Body("2", 1).features(model, (images,))
    assert torch.allclose(features, model[:2](images).mean((2, 3)), atol=1e-6)


def test_tokens_that_know_each_other_are_the_last_such_vectors():
    model = encoder()
    place = states(model, given(model, texts()))
    assert place == States("norm")
    vectors = place.features(model, (torch.tensor([[3, 4, 0]]),))
    assert vectors.shape == (1, 3, 16) and vectors.requires_grad


def test_a_bag_of_words_has_none():
    task = pixel_words(60)
    model = BagOfPixels()
    assert states(model, given(model, task)) is None
    assert body(model, given(model, task)).axis == 1


class Squares(nn.Module):
    """Has a matrix and is not linear."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(2))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return (rows @ self.matrix).square()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (nn.Linear(2, 2), "Linear is one linear layer"),
        (Squares(), "Squares has no last linear layer"),
    ],
)
def test_a_network_without_a_body(model: nn.Module, says: str):
    with pytest.raises(ValueError, match=says):
        body(model, material(model, moons(), *CHANGES.values()))
