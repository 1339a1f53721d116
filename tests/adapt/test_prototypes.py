"""Prototypes by hand, against the slow way, on classes other than the model's, and bad examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.adapt import BeforeLastLinear, ModelOutputs, Prototypes
from shoestring.artifact import load
from shoestring.core import Task, score
from shoestring.kit import Supervised, save
from shoestring.tasks import digits


def few(inputs: Tensor, labels: list[int]) -> Supervised:
    split = inputs, torch.tensor(labels)
    return Supervised(train=split, validation=split, test=split)


def test_the_nearest_mean_wins_as_computed_by_hand():
    task = few(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]]), [0, 0, 1])
    made = Prototypes(features=ModelOutputs())(nn.Identity(), task)
    # The means are (1, 0) and (0, 4): of (1, 1) the squared distances are 1 and 10.
    logits = made(torch.tensor([[1.0, 1.0]]))[0].detach()
    assert float(logits[0] - logits[1]) == pytest.approx(10 - 1, abs=1e-5)


def test_the_linear_head_is_minus_the_squared_distance_up_to_what_all_classes_share():
    torch.manual_seed(0)
    x, labels = torch.randn(30, 7) + 50, [place % 4 for place in range(30)]
    made = Prototypes(features=ModelOutputs())(nn.Identity(), few(x, labels))
    means = torch.stack([x[torch.tensor(labels) == one].mean(0) for one in range(4)]).double()
    queries = torch.randn(9, 7) + 50
    slow = -((queries.double()[:, None] - means) ** 2).sum(2)
    found = made(queries).double()
    assert torch.allclose(found - found[:, :1], slow - slow[:, :1], atol=1e-2)


def test_a_classifier_gets_more_and_other_classes(tmp_path: Path):
    """A network that was trained on nothing gives features all the same."""
    task = digits()
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
    before = [p.clone() for p in body.parameters()]
    made = Prototypes()(body, task)
    assert isinstance(made[3], nn.Linear) and made[3].out_features == 10  # type: ignore[index]
    assert all(map(torch.equal, before, body.parameters()))
    assert score(task, made) > 0.8
    save(made, task, tmp_path / "few.shoe")
    assert score(task, load(tmp_path / "few.shoe")) == pytest.approx(score(task, made), abs=0.003)


def test_modes_and_the_module_itself():
    body = nn.Linear(4, 2).eval()
    made = Prototypes()(body, few(torch.eye(4), [0, 1, 2, 0]))
    assert isinstance(made, nn.Linear) and made.weight.shape == (3, 4) and not made.training


def body() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


class Cosine(nn.Module):
    """A classifier whose last layer is not linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight = nn.Linear(4, 6), nn.Parameter(torch.randn(2, 6))

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x)
        return features / features.norm(dim=1, keepdim=True) @ self.weight.T


class Places(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, None].expand(-1, 3, -1)


class Nowhere(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / (x.sum(1, keepdim=True) - 1)


NAN = torch.tensor([[0.0, 1, 2, 3], [0, 1, 2, float("nan")]])


@pytest.mark.parametrize(
    ("model", "features", "task", "says"),
    [
        (body(), BeforeLastLinear(), few(torch.eye(4), [0, 2, 0, 2]), "class 1 has no example"),
        (body(), BeforeLastLinear(), few(torch.eye(4), [0, 1, -1, 1]), "go from -1 to 1"),
        (body(), BeforeLastLinear(), few(torch.eye(4), [0, 0, 0, 0]), "4 examples are of one cl"),
        (body(), BeforeLastLinear(), few(torch.eye(5), [0, 1, 0, 1, 1]), r"shape \[2, 5\].*give"),
        (nn.ReLU(), BeforeLastLinear(), few(torch.eye(4), [0, 1, 0, 1]), r"features=ModelOut"),
        (Cosine(), BeforeLastLinear(), few(torch.eye(4), [0, 1, 2, 2]), "has more layers after"),
        (Places(), ModelOutputs(), few(torch.eye(4), [0, 1, 0, 1]), r"the shape \[4, 3, 4\].*Pool"),
        (
            Nowhere(),
            ModelOutputs(),
            few(torch.eye(4), [0, 1, 0, 1]),
            "of example 0 are not finite",
        ),
    ],
)  # fmt: skip
def test_bad_examples_and_bodies_are_refused(
    model: nn.Module, features: BeforeLastLinear | ModelOutputs, task: Task, says: str
):
    with pytest.raises(ValueError, match=says):
        Prototypes(features=features)(model, task)


def test_nan_and_real_labels_are_refused():
    with pytest.raises(ValueError, match="NaN or infinite inputs"):
        few(NAN, [0, 1])
    task = replace(few(torch.eye(4), [0, 1, 0, 1]), train=(torch.eye(4), torch.rand(4)))
    with pytest.raises(ValueError, match="one integer for each example"):
        Prototypes()(body(), task)


class AtMost(nn.Module):
    """A model that takes a hundred examples at once, and no more."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 100:
            raise ValueError("too many")
        return 2 * x


def test_a_support_set_may_be_larger_than_a_batch_of_the_model():
    labels = [place % 2 for place in range(250)]
    x = torch.randn(250, 3) + 5 * torch.tensor(labels)[:, None]
    made = Prototypes(features=ModelOutputs())(AtMost(), few(x, labels))
    found = np.asarray(made(x[:100]).detach().argmax(1))
    assert (found == np.array(labels[:100])).mean() > 0.95


def test_chunks_do_not_change_the_prototypes(monkeypatch: pytest.MonkeyPatch):
    task, whole = digits(), Prototypes(features=ModelOutputs())(nn.Flatten(), digits())
    monkeypatch.setattr("shoestring.adapt.support._CHUNK", 7)
    parts = Prototypes(features=ModelOutputs())(nn.Flatten(), task)
    assert torch.allclose(whole.head.weight, parts.head.weight, atol=1e-5)  # type: ignore[union-attr]
