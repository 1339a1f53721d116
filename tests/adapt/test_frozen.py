"""Which weights move when a part is trained, which layers are the last, and modes."""

from __future__ import annotations

import pytest
import torch
from made_few import some_digits
from torch import Tensor, nn

from shoestring.adapt import Frozen, LastLayers, ModelOutputs, NewHead
from shoestring.adapt.frozen import last_layers
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.tasks import digits

SHORT = Training(30, AdamW(1e-2))


def network() -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 10),
        )  # fmt: skip


def moved(before: nn.Module, after: nn.Module) -> set[str]:
    own = after.state_dict()
    return {
        name for name, value in before.state_dict().items() if not torch.equal(value, own[name])
    }


@pytest.mark.parametrize(
    ("count", "which"),
    [(1, {"7"}), (2, {"5", "7"}), (3, {"1", "2", "5", "7"}), (99, {"1", "2", "5", "7"})],
)
def test_the_last_layers_move_and_no_other(count: int, which: set[str]):
    model, task = network(), digits()
    with seeded(0):
        made = Frozen(trained=LastLayers(count), training=SHORT)(model, task)
    assert {name.split(".")[0] for name in moved(model, made)} == which
    assert made.training and all(part.training for part in made.modules())
    assert all(p.requires_grad and p.grad is None for p in made.parameters())


def test_the_statistics_of_a_frozen_norm_do_not_move_and_its_dropout_is_off():
    model, task = network().eval(), some_digits(range(4))
    with seeded(0):
        made = Frozen(training=SHORT)(model, task)
    assert made[7].out_features == 4 and not made.training  # type: ignore[index]
    assert not {name for name in moved(model, made) if not name.startswith("7.")}  # type: ignore[arg-type]


def test_a_linear_probe_learns_what_the_features_tell():
    task = digits()
    with seeded(0):
        made = Frozen(trained=NewHead(ModelOutputs()), training=Training(200, AdamW(1e-2)))(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 64)), task
        )
    assert score(task, made) > 0.8


class Tied(nn.Module):
    """Attention, whose last matrix is a parameter that no module of its own computes with."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 8, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.squeeze(1) + self.place
        return self.head(self.attention(rows, rows, rows)[0].mean(1))


def test_a_parameter_belongs_to_the_innermost_module_that_is_called():
    model = Tied()
    found = last_layers(model, digits(), 2)
    assert list(found) == [model.attention, model.head]
    assert len(found[model.attention]) == 4  # with those of out_proj, which is never called


def test_what_cannot_be_trained_is_refused():
    split = torch.eye(4), torch.tensor([0, 1, 0, 1])
    task = Supervised(train=split, validation=split)
    with pytest.raises(ValueError, match="calls no module that has a matrix"):
        Frozen(trained=LastLayers(1))(nn.BatchNorm1d(4), task)
    with pytest.raises(ValueError, match="no last linear layer"):
        Frozen()(nn.BatchNorm1d(4), task)
    with pytest.raises(ValueError, match="give an integer, 1 or more"):
        LastLayers(0)
