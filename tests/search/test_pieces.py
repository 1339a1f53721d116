"""What a runtime computes as one, by hand, and files of one piece."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_shown import Shown
from torch import Tensor, nn
from torch.nn import functional as F

from shoestring.artifact import load, save
from shoestring.artifact.format.file import pack
from shoestring.search.pieces import alone, between, pieces_of
from shoestring.search.steps import Value, draft, steps_of

PICTURES = torch.rand(2, 8, 6, 6)


def told(module: nn.Module, given: Tensor = PICTURES) -> list[tuple[str, ...]]:
    return [
        tuple(step.operator for step in piece.steps)
        for piece in pieces_of(steps_of(module, Shown(given)))
    ]


class Residual(nn.Module):
    """A block of a residual network: two convolutions, and what came in beside."""

    def __init__(self, late: bool = False) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.norm, self.late = nn.BatchNorm2d(8), late

    def forward(self, maps: Tensor) -> Tensor:
        given = self.norm(self.two(F.relu(self.one(maps))))
        return F.relu(given + (maps.sigmoid() if self.late else maps))


def test_batch_norm_sum_and_activation_belong_to_the_convolution():
    assert told(Residual()) == [
        ("Conv", "Relu"),
        ("Conv", "BatchNormalization", "Add", "Relu"),
    ]


def test_a_summand_that_comes_later_is_added_by_itself():
    found = told(Residual(late=True))
    assert found == [
        ("Conv", "Relu"),
        ("Conv", "BatchNormalization"),
        ("Sigmoid",),
        ("Add",),
        ("Relu",),
    ]


def test_what_is_read_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv2d(8, 8, 1)

        def forward(self, maps: Tensor) -> Tensor:
            given = self.one(maps)
            return given.relu() * given

    assert told(Twice()) == [("Conv",), ("Relu",), ("Mul",)]


def test_what_was_computed_before_is_left_out():
    class Pooled(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            one, two = F.max_pool2d(maps, 2), F.max_pool2d(maps, 2)
            return one + two + F.max_pool2d(maps, 3, 2, 1)

    assert told(Pooled()) == [("MaxPool",), ("Add",), ("MaxPool",), ("Add",)]


def test_two_layers_of_other_weights_are_two_pieces_with_one_key():
    pieces = pieces_of(
        steps_of(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), Shown(torch.rand(1, 4)))
    )
    assert len(pieces) == 2 and pieces[0].key == pieces[1].key


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(8, 16, 3),
        nn.Conv2d(8, 8, 3, 2),
        nn.Conv2d(8, 8, 3, dilation=2),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.Conv2d(8, 8, (3, 1)),
        nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()),
    ],
)
def test_what_takes_another_time_has_another_key(other: nn.Module):
    (plain,) = pieces_of(steps_of(nn.Conv2d(8, 8, 3), Shown(PICTURES)))
    (piece,) = pieces_of(steps_of(other, Shown(PICTURES)))
    assert piece.key != plain.key


def test_kinds_say_how_a_convolution_shares_channels():
    for groups, kind in ((1, "Conv"), (2, "ConvInGroups"), (8, "ConvInEach")):
        (piece,) = pieces_of(steps_of(nn.Conv2d(8, 8, 3, groups=groups), Shown(PICTURES)))
        assert piece.kind == kind


def test_each_piece_alone_is_a_file_that_runs(tmp_path: Path):
    steps = steps_of(
        nn.Sequential(Residual(), nn.ChannelShuffle(2), nn.Flatten(), nn.Linear(288, 3)),
        Shown(PICTURES),
    )
    for number, piece in enumerate(pieces_of(steps)):
        made, path = alone(piece, steps, 3), tmp_path / f"{number}.shoe"
        operators = [step.operator for step in made.steps]
        assert all(operators.count(step.operator) >= 3 for step in piece.steps)
        save(path, pack(draft(made)))
        given = [torch.rand(made.values[one].shape) for one in made.inputs]
        answers = load(path)(*given)
        assert len(answers) == 3
        assert all(answer.shape[0] == 1 for answer in answers)


def test_between_is_a_convolution_and_a_pooling():
    made = between(Value((1, 8, 6, 6), "float32"), 2, sinks=2)
    assert [step.operator for step in made.steps] == ["Conv", "Relu", "MaxPool", "MaxPool"] * 2
    assert all(made.values[one].shape == (1, 8, 1, 1) for one in made.results)


def test_the_work_of_a_piece_by_hand():
    steps = steps_of(nn.Sequential(nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Flatten()), Shown(PICTURES))
    convolution, flattened = pieces_of(steps)
    # 4×8×3×3 weights at each of 4×4 pixels, then what is read and what is written
    assert convolution.work(steps) == 288 * 16 + 8 * 36 + 4 * 16
    assert flattened.work(steps) == 64 + 64
