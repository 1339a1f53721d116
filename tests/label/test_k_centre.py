"""K-centre against a slow reference, and features that are found by trying."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from label_pools import Echo, pool_of, random_pool
from torch import Tensor, nn

from shoestring.kit import SkippedWarning
from shoestring.label import KCentre
from shoestring.label.choosing.states import states
from shoestring.models import BiLSTMTagger, DigitsLeNet, NgramClassifier, TextEncoder


def test_by_hand():
    task = pool_of(torch.tensor([[0.0, 0], [1, 0], [10, 0], [0, 4], [10, 1]]), classes=2)
    # nearest to the mean (4.2, 1); then the farthest from all before
    assert KCentre().choose(Echo(2), task, 4).tolist() == [1, 4, 3, 0]


@pytest.mark.parametrize("known", [0, 7])
def test_against_a_slow_reference(known: int):
    task = random_pool(700, 3, known=known)
    points = np.asarray(task.inputs(task.pool())[0], float)
    taken = [np.asarray(one, float) for one in task.train[0]]
    wanted: list[int] = []
    while len(wanted) < 15:
        if not taken:
            wanted.append(int(((points - points.mean(0)) ** 2).sum(1).argmin()))
        else:
            nearest = [min(((one - other) ** 2).sum() for other in taken) for one in points]
            wanted.append(int(np.argmax(nearest)))
        taken.append(points[wanted[-1]])
    assert KCentre().choose(Echo(3), task, 15).tolist() == wanted


def test_copies_are_chosen_last_and_only_once_each():
    task = pool_of(torch.cat([torch.zeros(8, 2), torch.eye(2)]), classes=2)
    chosen = KCentre().choose(Echo(2), task, 10).tolist()
    assert sorted(chosen) == list(range(10)) and set(chosen[:3]) >= {8, 9}


@pytest.mark.parametrize(
    ("model", "inputs", "width"),
    [
        (DigitsLeNet(), (torch.rand(6, 1, 8, 8),), None),
        (NgramClassifier(20, 3, width=5), (torch.randint(1, 20, (6, 9)),), 5),
        (TextEncoder(20, classes=3, width=16, layers=1, heads=2, hidden=16), None, 16),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 3)), None, 7),
        (nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), None, 4),
        (nn.Conv2d(2, 3, 1), (torch.rand(6, 2, 5, 5),), 2),
    ],
    ids=lambda one: type(one).__name__,
)
def test_features_are_the_input_of_the_last_linear_layer(model: Any, inputs: Any, width: Any):
    if inputs is None:
        inputs = (torch.randint(1, 20, (6, 9)) if width == 16 else torch.rand(6, 4),)
    found, hooks = states(model.eval(), pool_of(inputs[0]), np.arange(6)), []
    assert found.shape[0] == 6 and (width is None or found.shape[1] == width)
    assert not hooks and not any(part._forward_pre_hooks for part in model.modules())
    if isinstance(model, nn.Sequential):
        with torch.no_grad():
            flat = inputs[0].flatten(1)
            expected = model[2](model[1](flat)) if width == 7 else flat
        assert torch.allclose(found, expected, atol=1e-6)


class Pooling(nn.Module):
    """A head that takes the mean over a picture itself."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(24, 3)

    def forward(self, maps: Tensor) -> Tensor:
        return self.last(maps.mean((2, 3)))


class Hidden(nn.Module):
    """A head whose matrix is its own, and whose input has no axis of features."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(24, 3))

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3)) @ self.matrix


class LowRank(nn.Module):
    """A linear layer and a correction of rank 2 to it."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.down, self.up = nn.Linear(8, 3), nn.Linear(8, 2), nn.Linear(2, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.whole(inputs) + self.up(self.down(inputs))


class PlacesLast(nn.Module):
    """A matrix of its own over N×C×T, with as many places as features."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(3, 8))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.matrix @ inputs


def _after(head: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 24, 3, stride=2, padding=1), nn.ReLU(), head)


@pytest.mark.parametrize(
    ("model", "shape", "width"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), (8, 8), 64),
        (_after(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 3))), None, 24),
        (_after(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(1536, 3))), None, 1536),
        (_after(Pooling()), None, 24),
        (_after(nn.Sequential(nn.Conv2d(24, 3, 1), nn.Upsample(scale_factor=2))), None, 24),
        (_after(nn.ConvTranspose2d(24, 3, 2, 2)), None, 24),
        (
            _after(nn.Sequential(nn.Conv2d(24, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())),
            None,
            24,
        ),
        (nn.Sequential(nn.Linear(8, 8), nn.Tanh(), LowRank()), (8,), 8),
        (nn.Sequential(nn.Conv1d(5, 8, 1), nn.Tanh(), PlacesLast()), (5, 8), 8),
    ],
)
def test_features_of_heads_that_pool_or_flatten_or_mix(model: Any, shape: Any, width: int):
    inputs = torch.rand(6, *(shape or (2, 16, 16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = states(model.eval(), pool_of(inputs), np.arange(6))
    assert found.shape == (6, width)
    if isinstance(model[0], nn.Conv2d) and width == 24:
        with torch.no_grad():
            assert torch.allclose(found, model[1](model[0](inputs)).mean((2, 3)), atol=1e-6)
    if isinstance(model[0], nn.Conv1d):
        with torch.no_grad():
            assert torch.allclose(found, model[1](model[0](inputs)).mean(2), atol=1e-6)


def test_a_linear_head_that_cannot_be_read_is_not_passed_over_in_silence():
    model, inputs = _after(Hidden()).eval(), torch.rand(6, 2, 16, 16)
    with pytest.warns(SkippedWarning, match="Sequential has no linear layer at its end"):
        found = states(model, pool_of(inputs), np.arange(6))
    with torch.no_grad():
        assert torch.allclose(found, model(inputs), atol=1e-6)


def test_padding_is_no_part_of_a_sentence_s_features():
    words = torch.tensor([[3, 4, 0, 0], [3, 4, 0, 0], [3, 4, 5, 6]])
    endings = torch.tensor([[2, 2, 0, 0], [2, 2, 3, 3], [2, 2, 2, 2]])
    model = BiLSTMTagger(9, 9, tags=3, width=4).eval()
    task = pool_of(words)
    both = type(task)(
        train=((words, endings), words),
        validation=((words, endings), words),
        test=((words, endings), words),
        unlabelled=(words, endings),
        answer=words,
    )
    found = states(model, both, np.arange(3))
    assert found.shape == (3, 8) and torch.allclose(found[0], found[1], atol=1e-6)
    assert not torch.allclose(found[0], found[2], atol=1e-3)


class Functional(nn.Module):
    """Its last layer is a function and no module."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(inputs) @ self.weight


def test_a_model_without_such_a_layer_has_its_outputs_as_features_and_says_so():
    task = random_pool(5)
    with pytest.warns(SkippedWarning, match="Functional has no linear layer at its end"):
        found = states(Functional(), task, np.arange(5))
    assert torch.allclose(found, torch.tanh(task.inputs(np.arange(5))[0]))


def test_a_layer_that_is_linear_is_found_whatever_it_is_called():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(3, 4))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs @ self.matrix - 1

    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), Own())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = states(model, (task := random_pool(5)), np.arange(5))
    with torch.no_grad():
        assert torch.allclose(found, model[:2](task.inputs(np.arange(5))[0]), atol=1e-6)


def test_features_that_are_not_finite():
    model = nn.Sequential(Echo(3), nn.Linear(3, 3))
    with torch.no_grad():
        model[0].last.weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match="the features of example 0 are not finite"):
        KCentre().choose(model, random_pool(9), 2)
