"""What the planner can do: every technique of the house, and one that it has never seen."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

import shoestring
from shoestring.core import Budget, Stage, Strength, Task, Technique, chain, seeded
from shoestring.distill import Narrower, Replace, Student
from shoestring.kit import Supervised, Training, clone, compressible, export, pack, train
from shoestring.plan import compress
from shoestring.plan.arms import Arms
from shoestring.plan.moves import Arm, Move, moves, round_steps, sooner
from shoestring.prune import Blocks, LeastLoss, Magnitude
from shoestring.quantize import (
    GPTQ,
    BFloat16,
    PostTraining,
    Rate,
    Toward,
    WeightOnly,
    WeightSharing,
)


def test_every_technique_of_the_house_that_has_a_stage_is_a_move():
    modules = [
        importlib.import_module(one.name)
        for one in pkgutil.walk_packages(shoestring.__path__, "shoestring.")
    ]
    house = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Technique)
        and value.__module__ == module.__name__
        and value.stage not in (None, Stage.LABELS, Stage.WORKERS)
    }
    assert len(house) > 10 and {Rate, PostTraining, Magnitude} <= house
    found = {type(move.technique) for move in moves()}
    # It needs a family of networks, which is found for the model that comes in.
    assert house - found == {Replace}
    assert all(move.stage is type(move.technique).stage for move in moves())
    names = [move.name for move in moves()]
    assert len(set(names)) == len(names), "names tell moves apart"


def test_moves_are_in_the_order_of_a_chain():
    stages = [move.stage for move in moves()]
    assert stages == sorted(stages)


def test_a_student_comes_after_what_prunes():
    found = Arms(moves(), slow=True, large=False).all()
    alone = [arm.name for arm in found if len(arm.moves) == 1 and arm.moves[0].turns]
    assert alone.index("Channels") < alone.index("Student")
    assert found[0].name != "Student" and Move(Student()).at(1.0, 50).network == Narrower(0.2)  # type: ignore[attr-defined]


# -- one that nobody told the planner of


class Needles(nn.Module):
    """Logits N×2 of N×200 numbers, of which the first two alone count.

    The other weights are noise that is never read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(200, 40, bias=False)
        self.last = nn.Linear(40, 2, bias=False)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Logits N×2."""
        return self.last(self.first(numbers))


def needles() -> tuple[nn.Module, Supervised]:
    """Which of two numbers is larger, among 198 that are 0."""
    with seeded(0):
        numbers = torch.zeros(1200, 200)
        numbers[:, :2] = torch.randn(1200, 2)
        labels = (numbers[:, 1] > numbers[:, 0]).long()
        parts = [(numbers[i], labels[i]) for i in torch.arange(1200).split([400, 400, 400])]
        model = Needles()
        with torch.no_grad():
            model.first.weight[:2, :2].copy_(torch.eye(2) / 10)
            model.first.weight[2:, :2] = 0
            model.last.weight[:, :2].copy_(torch.eye(2) / 10)
    return model, Supervised(train=parts[0], validation=parts[1], test=parts[2], name="needles")


@dataclass(frozen=True, kw_only=True)
class Unseen(Technique):
    """Empty all columns of the first layer but so many, without any loss on the needles.

    `columns`: how many are kept.
    """

    stage: ClassVar = Stage.WEIGHTS
    strength: ClassVar = Strength(
        field="columns", gentle=100, harsh=2, logarithmic=True, whole=True
    )

    columns: int = 100

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy with zeros."""
        emptied = clone(model)
        for weight in compressible(emptied, "Unseen"):
            if weight.raw.shape[1] == 200:
                with torch.no_grad():
                    weight.raw[:, self.columns :] = 0
                    weight.raw[2:] = 0
            else:
                with torch.no_grad():
                    weight.raw[:, 2:] = 0
        return emptied


@dataclass(frozen=True, kw_only=True)
class Nameless(Technique):
    """One that does not say where it belongs, which planners leave alone."""

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy."""
        return clone(model)


@dataclass(frozen=True, kw_only=True)
class Asking(Technique):
    """One with a field that a person must set.

    `answer`: of the person.
    """

    stage: ClassVar = Stage.NUMBERS
    answer: int

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy."""
        return clone(model)


def test_a_technique_from_elsewhere_is_a_move_where_it_says_its_stage_and_has_defaults():
    kinds = {type(move.technique) for move in moves()}
    assert Unseen in kinds and not kinds & {Nameless, Asking}
    (move,) = [one for one in moves() if isinstance(one.technique, Unseen)]
    assert (move.name, move.stage, move.turns, move.trains, move.aims) == (
        "Unseen",
        Stage.WEIGHTS,
        True,
        False,
        False,
    )
    assert move.at(0.0, 50) == Unseen(columns=100) and move.at(1.0, 50) == Unseen(columns=2)


def test_it_is_tried_unseen_and_delivered_where_it_is_best(tmp_path):
    model, task = needles()
    least = len(pack(Unseen(columns=7)(model, task), export(model, task)))
    outcome = compress(
        model, task, Budget(size=1.1 * least, drop=0.0), tmp_path / "needles.shoe", minutes=1.0
    )
    assert outcome.met and outcome.trial.score == outcome.score_before == 1.0
    assert "Unseen(" in outcome.trial.technique, [one.technique for one in outcome.trials]
    assert (tmp_path / "needles.shoe").stat().st_size <= 1.1 * least


def test_one_that_fails_is_noted_and_the_search_goes_on(tmp_path):
    model, task = needles()

    @dataclass(frozen=True, kw_only=True)
    class Failing(Technique):
        stage: ClassVar = Stage.NUMBERS

        def __call__(self, model: nn.Module, task: Task) -> nn.Module:
            raise RuntimeError("it always does")

    try:
        outcome = compress(
            model, task, "size<=9KB, drop<=0", tmp_path / "needles.shoe", minutes=1.0
        )
        assert outcome.met
    finally:
        Failing.stage = None  # type: ignore[assignment]


def test_unseen_ones_that_train_are_among_the_kinds_of_chain():
    @dataclass(frozen=True, kw_only=True)
    class Trained(Technique):
        stage: ClassVar = Stage.WEIGHTS
        strength: ClassVar = Strength(field="share", gentle=0.1, harsh=0.9)
        share: float = 0.5
        training: Training = Training(10)

        def __call__(self, model: nn.Module, task: Task) -> nn.Module:
            return train(clone(model), task, self.training)

    try:
        found = Arms(moves(), slow=False, large=True).all()
        assert any("Trained" in arm.name for arm in found[:6]), "early enough to be tried"
    finally:
        Trained.stage = None  # type: ignore[assignment]


# -- arms


def test_a_chain_shares_its_steps_among_what_trains():
    arm = Arm(
        (Move(Magnitude()), Move(PostTraining()), Move(WeightSharing()))
    )  # two shares for weights, one for numbers
    pruned, integers, shared = arm.chain([0.0, 0.0, 1.0], 300)
    assert isinstance(pruned, Magnitude) and pruned.training.steps == 200
    assert isinstance(shared, WeightSharing) and shared.training.steps == 100
    assert isinstance(integers, PostTraining)
    assert arm.trains and arm.name == "Magnitude + PostTraining + WeightSharing"


def test_dials_turn_the_strength_and_above_one_are_bytes():
    rate, bits = Arm((Move(Rate()), Move(WeightOnly()))).chain([960.0, 1.0], 100)
    assert isinstance(rate, Rate) and rate.price == Toward(960.0) and rate.training.steps == 100
    assert isinstance(bits, WeightOnly) and bits.bits == WeightOnly.strength.harsh
    assert Move(Rate()).aims and not Move(Magnitude()).aims
    assert Move(BFloat16()).at(0.5, 7) == BFloat16(), "nothing to turn"


def test_the_same_settings_give_the_same_name():
    arm = Arm((Move(Magnitude()), Move(WeightSharing())))
    assert repr(chain(*arm.chain([0.3, 0.6], 100))) == repr(chain(*arm.chain([0.3, 0.6], 100)))


@pytest.mark.parametrize(
    ("steps", "rounded"),
    [
        (0, 0),
        (1.9, 1),
        (9.9, 9),
        (10, 10),
        (19, 10),
        (99.9, 90),
        (100, 100),
        (109, 100),
        (119, 110),
        (12345, 12000),
    ],
)
def test_steps_are_rounded_down_to_two_digits(steps, rounded):
    assert round_steps(steps) == rounded


def test_which_kinds_of_chain_for_which_budget():
    named = {
        "slow": Arms(moves(), slow=True, large=False),
        "large": Arms(moves(), slow=False, large=True),
    }
    found = {name: one.all() for name, one in named.items()}
    assert found["large"][0].name.startswith("Rate")
    assert all(arm.moves[0].stage in (Stage.STRUCTURE, Stage.NUMBERS) for arm in found["slow"]), (
        "weights alone are no faster"
    )
    assert all(arm.trains for arms in found.values() for arm in arms)
    useless = Arms(
        moves(),
        slow=False,
        large=True,
        useless={one.name for one in moves() if one.name.startswith("Rate")},
    ).all()
    assert useless and not any("Rate" in arm.name for arm in useless)


@pytest.mark.parametrize("fastest", ["PostTraining", "WeightOnly"])
def test_structure_is_followed_by_the_fastest_kernels_that_were_seen(fastest):
    other = {"PostTraining": "WeightOnly", "WeightOnly": "PostTraining"}[fastest]
    found = Arms(moves(), slow=True, large=False, speeds=(fastest, other)).all()
    followed = {
        arm.moves[1].name for arm in found if len(arm.moves) == 2 and not arm.moves[1].trains
    }
    assert followed == {fastest}


def test_structure_comes_first_where_no_kernels_are_fast_enough():
    for fast, expected in ((True, Stage.WEIGHTS), (False, Stage.STRUCTURE)):
        arms = Arms(moves(), slow=True, large=True, speeds=["PostTraining"], fast=fast).all()
        assert arms[0].moves[0].stage is expected and arms[0].moves[-1].name == "PostTraining"
        assert len(set(arms)) == len(arms)


def test_what_differs_by_its_training_alone_is_looked_at_once_without():
    blocks = [
        move
        for move in moves()
        if type(move.technique) is Blocks and move.technique.first == LeastLoss()
    ]
    assert len(blocks) > 1 and len({repr(move.at(0.5, 0)) for move in blocks}) == 1
    assert len({repr(move.at(0.5, 10)) for move in blocks}) == len(blocks)


def test_gptq_looks_at_fewer_examples_on_a_large_network_and_leaves_layers_that_take_it_too_long():
    def gptq(
        products: int, shape: tuple[int, int], seconds: float = 600.0
    ) -> tuple[int, float | None]:
        [one] = [
            m.technique
            for m in sooner(moves(), products, [(9, 8), shape], seconds)
            if isinstance(m.technique, PostTraining)
        ]
        return one.examples, one.rounding.most  # type: ignore[union-attr]

    assert gptq(10**6, (1024, 64)) == (PostTraining().examples, None)
    assert gptq(10**9, (1024, 64)) == (128, None)
    assert gptq(10**6, (8192, 16)) == (PostTraining().examples, 3e11)
    assert gptq(10**9, (8192, 16), 60.0) == gptq(10**9, (512, 16_384), 50.0) == (128, 3e10)
    assert GPTQ.work(800, 500, 512) < 3e10, "what takes a second is done in a minute's command too"
    assert [m.name for m in sooner(moves(), 10**9, [(8192, 16)], 60.0)] == [m.name for m in moves()]
