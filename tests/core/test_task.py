"""Sealed tasks, teachers, scores and seeds."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import (
    SealedError,
    Task,
    Vary,
    View,
    apply,
    array,
    chain,
    check_task,
    score,
    seeded,
)
from shoestring.core.kinds import BinaryLogits, ClassLogits, Kinds, Numbers


@dataclass(frozen=True, eq=False)
class Tiny(Task):
    """Answers for fixed inputs; every split is the same."""

    x: Tensor = field(default_factory=lambda: torch.arange(6.0).view(3, 2) / 6)
    y: Tensor = field(default_factory=lambda: torch.tensor([0, 1, 2]))
    test: str = "the secret"
    test_images: str = "more secrets"
    contest: int = 7
    inner: Any = None
    label: str = "a label"

    def batches(self, split: str) -> Iterator[Any]:
        yield self.x, self.y

    def loss(self, model: Any, batch: Any) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    def score(self, predict: Any, split: str) -> float:
        return float(np.mean(array(predict(self.x)).argmax(-1) == self.y.numpy()))

    def example(self) -> Any:
        return (self.x,), {}

    def read(self, split: str = "train") -> str:
        return f"all of {split}"

    def larger(self) -> Tiny:
        return Tiny(torch.cat([self.x, self.x]), torch.cat([self.y, self.y]))


class Loss(Tiny):
    """A task with the loss that it is given."""

    def __init__(self, loss: Callable[[Any], Tensor], kinds: Kinds = None) -> None:
        super().__init__()
        object.__setattr__(self, "of", loss)
        object.__setattr__(self, "kinds", kinds)

    def loss(self, model: Any, batch: Any) -> Tensor:
        return self.of(model)  # type: ignore[attr-defined]


class Fixed(nn.Module):
    """Returns what it was given, as a parameter."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = nn.ParameterList([nn.Parameter(one) for one in outputs])

    def forward(self, *args: Any) -> Any:
        return tuple(self.outputs) if len(self.outputs) > 1 else self.outputs[0]


class Dressed(Fixed):
    def forward(self, *args: Any) -> Any:
        return {"logits": self.outputs[0], "hidden": self.outputs[1], "count": torch.tensor([1, 2])}


# -- sealed


@pytest.mark.parametrize(
    "disguise",
    [
        lambda sealed: sealed,
        copy.copy,
        copy.deepcopy,
        lambda sealed: pickle.loads(pickle.dumps(sealed)),
        lambda sealed: sealed.sealed(),
        lambda sealed: sealed.taught_by(nn.Linear(2, 3)),
        lambda sealed: sealed.larger(),
        lambda sealed: Tiny(inner=Tiny()).sealed().inner,
        lambda sealed: Tiny().taught_by(nn.Linear(2, 3)).sealed(),
        lambda sealed: Tiny().taught_by(nn.Linear(2, 3)).sealed().task,
    ],
    ids=[
        "itself",
        "copy",
        "deepcopy",
        "pickle",
        "twice",
        "taught",
        "method",
        "attribute",
        "teacher within",
        "task within",
    ],
)
def test_sealed_task_has_no_test_split(disguise: Callable[[Any], Any]):
    sealed = disguise(Tiny().sealed())
    for attempt in (
        lambda: list(sealed.batches("test")),
        lambda: sealed.score(nn.Linear(2, 3), "test"),
        lambda: score(sealed, nn.Linear(2, 3), "test"),
        lambda: sealed.test,
        lambda: sealed.test_images,
        lambda: sealed.read("test"),
        lambda: sealed.read(split="test"),
        lambda: getattr(sealed, "test"),  # noqa: B009
    ):
        with pytest.raises(SealedError, match="choose on 'validation', and let prove"):
            attempt()


def test_sealed_task_gives_everything_else():
    task = Tiny()
    sealed: Any = task.sealed()
    model = nn.Linear(2, 3)
    for split in ("train", "validation"):
        assert len(list(sealed.batches(split))) == 1 and sealed.score(model, split) == task.score(
            model, split
        )
        assert sealed.read(split) == f"all of {split}"
    assert sealed.loss(model, (task.x, task.y)) == task.loss(model, (task.x, task.y))
    assert sealed.contest == 7 and sealed.label is task.label and sealed.example()[0][0] is task.x
    assert isinstance(sealed, Task) and len(sealed.larger().x) == 6
    with pytest.raises(AttributeError):
        _ = sealed.nothing
    with pytest.raises(AttributeError):  # what is sealed is not one word away
        _ = sealed.task


# -- taught


def taught(task: Any, teacher: Any, student: Any, **settings: float) -> Tensor:
    from shoestring.core.taught import Taught

    return Taught(task, teacher, **settings).loss(student, None)


def test_distance_by_hand_and_by_torch():
    # The teacher is sure to one half and a quarter twice; the student knows nothing. At temperature
    # 1: 1/2 log(3/2) + 2 · 1/4 log(3/4).
    teacher, student = Fixed(torch.tensor([[0.5, 0.25, 0.25]]).log()), Fixed(torch.zeros(1, 3))
    task = Loss(lambda model: model(torch.zeros(1)).sum(), ClassLogits())
    by_hand = 0.5 * np.log(1.5) + 0.5 * np.log(0.75)
    assert taught(task, teacher, student, weight=1.0, temperature=1.0).item() == pytest.approx(
        by_hand, rel=1e-5
    )
    generator = torch.Generator().manual_seed(0)
    theirs, ours = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    by_torch = functional.kl_div(
        (ours / 3).log_softmax(-1),
        (theirs / 3).log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )
    own = ours.sum()
    task = Loss(lambda model: model(torch.zeros(1)).sum(), ClassLogits(-1))
    torch.testing.assert_close(
        taught(task, Fixed(theirs), Fixed(ours)), 0.3 * own + 0.7 * 9 * by_torch
    )
    torch.testing.assert_close(
        task.taught_by(Fixed(theirs)).loss(Fixed(ours), None), 0.3 * own + 0.7 * 9 * by_torch
    )


def test_numbers_are_compared_by_the_share_of_their_mean_square_where_they_are_few():
    task = Loss(lambda model: model(torch.zeros(1)).sum() * 0)
    teacher, student = Fixed(torch.tensor([[1.0], [2.0]])), Fixed(torch.tensor([[2.0], [4.0]]))
    assert taught(task, teacher, student, weight=1.0).item() == pytest.approx(
        (1 + 4) / 2 / ((1 + 4) / 2)
    )
    assert taught(
        task, Fixed(torch.tensor(3.0)), Fixed(torch.tensor(1.0)), weight=0.5
    ).item() == pytest.approx(0.5 * 4 / 9)


def test_several_outputs_and_several_calls():
    def loss(model: Any) -> Tensor:
        return model(torch.zeros(1))[0].sum() * 0 + model(torch.zeros(1))[0].sum() * 0

    zero, one, two = torch.zeros(2, 1), torch.ones(2, 1), torch.full((2, 1), 2.0)
    assert taught(
        Loss(loss), Fixed(one, two), Fixed(zero, one), weight=1.0
    ).item() == pytest.approx(1 + (2 - 1) ** 2 / 2**2)


def test_of_outputs_with_logits_these_are_compared():
    task = Loss(lambda model: model(torch.zeros(1))["logits"].sum() * 0)
    teacher, student = (
        Dressed(torch.ones(1, 1), torch.ones(1, 1)),
        Dressed(torch.zeros(1, 1), torch.full((1, 1), 9.0)),
    )
    assert taught(task, teacher, student, weight=1.0).item() == pytest.approx(1.0)


def test_what_is_masked_gives_no_nan():
    masked = torch.tensor([[1.0, 2.0, -torch.inf], [0.0, -torch.inf, -torch.inf]])
    for kind in (ClassLogits(), BinaryLogits(), Numbers()):
        teacher, student = Fixed(masked), Fixed(masked * 0.5)
        loss = taught(Loss(lambda model: model(torch.zeros(1))[:, 0].sum(), kind), teacher, student)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(student.outputs[0].grad).all(), kind
    task = Loss(lambda model: model(0).sum() * 0, ClassLogits())
    only = taught(task, teacher, Fixed(torch.zeros(2, 3)), weight=1.0)
    assert torch.isfinite(only) and only > 0


def test_gradients_flow_to_the_student_only():
    task, teacher, student = (
        Tiny(),
        nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.9)),
        nn.Linear(2, 3),
    )
    teacher.train()
    (batch,) = task.batches("train")
    first, second = (task.taught_by(teacher).loss(student, batch) for _ in range(2))
    assert first == second, "the teacher is in evaluation mode"
    first.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in student.parameters())
    assert teacher.training and teacher[1].training and not student._forward_hooks


def test_parts_of_the_teacher_keep_their_modes_when_the_loss_fails_too():
    teacher = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    teacher.train()
    teacher[1].eval()

    def fail(model: Any) -> Tensor:
        model(torch.zeros(2, 2))
        raise ZeroDivisionError

    student = nn.Linear(2, 3)
    with pytest.raises(ZeroDivisionError):
        Loss(fail).taught_by(teacher).loss(student, None)
    assert (
        teacher.training
        and teacher[0].training
        and not teacher[1].training
        and not student._forward_hooks
    )


def test_looking_ahead_is_not_compared():
    asked = []

    class Teacher(Fixed):
        def forward(self, *args: Any) -> Any:
            asked.append(args)
            return super().forward()

    def loss(model: Any) -> Tensor:
        with torch.no_grad():
            model("ahead")
        return model("now").sum() * 0

    teacher, student = Teacher(torch.ones(2, 1)), Fixed(torch.zeros(2, 1))
    assert taught(Loss(loss), teacher, student, weight=1.0).item() == 1.0 and set(asked) == {
        ("now",)
    }
    asked.clear()
    with torch.no_grad():  # a loss that is only looked at compares all
        assert taught(Loss(loss), teacher, student, weight=1.0).item() == 1.0
    assert list(dict.fromkeys(asked)) == [("ahead",), ("now",)]


def test_a_loss_that_never_calls_the_model_has_nothing_to_teach():
    with pytest.raises(RuntimeError, match="called neither the model nor a part of it"):
        taught(Loss(lambda model: torch.zeros(())), Fixed(torch.zeros(1)), Fixed(torch.zeros(1)))


def test_a_taught_task_gives_what_the_task_has():
    task: Any = Tiny().taught_by(teacher := nn.Linear(2, 3))
    assert task.label is task.task.label and task.contest == 7 and task.teacher is teacher
    assert len(list(task.batches("train"))) == 1 and task.example()[0][0].shape == (3, 2)
    assert copy.deepcopy(task).contest == 7 and pickle.loads(pickle.dumps(task)).contest == 7


# -- views


@dataclass(frozen=True, eq=False)
class Told(Tiny):
    """Has a name, merits and a sample."""

    name: str = "told"
    size: int = 3

    def merits(self, predict: Any, split: str) -> Any:
        return np.array([1.0, 0.0, 1.0, 0.0]) if split == "validation" else np.ones(4)

    def sampled(self, examples: int, seed: int) -> Told:
        return self if examples >= self.size else Told(size=examples)


@dataclass(frozen=True, eq=False)
class Doubled(View):
    """Twice the loss."""

    task: Task
    by: float = 2.0

    def loss(self, model: Any, batch: Any) -> Any:
        return self.by * self.task.loss(model, batch)


VIEWS = [
    lambda task: task.sealed(),
    lambda task: task.taught_by(nn.Linear(2, 3)),
    lambda task: Doubled(task, by=3.0),
    lambda task: Doubled(task.taught_by(nn.Linear(2, 3)).sealed()),
]


@pytest.mark.parametrize("view", VIEWS, ids=["sealed", "taught", "one's own", "several"])
def test_a_view_has_all_that_the_task_has(view: Callable[[Any], Any]):
    seen = view(Told())
    assert (
        seen.name == "told"
        and seen.contest == 7
        and seen.merits(None, "validation").tolist() == [1, 0, 1, 0]
    )
    assert seen.standard_error(None, "validation") == pytest.approx(0.5 / 2)
    assert seen.sampled(3, 0) is seen
    fewer = seen.sampled(2, 0)
    assert type(fewer) is type(seen) and fewer.size == 2 and seen.size == 3 and fewer.name == "told"
    model, batch = nn.Linear(2, 3), next(iter(seen.batches("train")))
    assert fewer.loss(model, batch) == seen.loss(model, batch)
    assert pickle.loads(pickle.dumps(fewer)).size == copy.deepcopy(fewer).size == 2


def test_a_sample_and_the_merits_are_sealed_too():
    for sealed in (
        Told().sealed(),
        Told().sealed().sampled(2, 0),
        Doubled(Told().taught_by(nn.Linear(2, 3)).sealed()),
    ):
        for ask in (sealed.merits, sealed.standard_error, sealed.score):
            with pytest.raises(SealedError):
                ask(nn.Linear(2, 3), "test")
        with pytest.raises(SealedError):
            _ = sealed.test  # type: ignore[attr-defined]


def test_what_only_some_tasks_have_has_a_default():
    task = Tiny()
    assert (
        task.name == ""
        and task.merits(None, "validation") is None
        and task.standard_error(None, "validation") is None
    )
    assert task.sampled(1, 0) is task and task.sealed().name == ""

    @dataclass(frozen=True, eq=False)
    class Named(Tiny):  # the default is none of a dataclass's own field
        name: str = field(kw_only=True)

    with pytest.raises(TypeError, match="name"):
        Named()  # type: ignore[call-arg]
    assert Named(name="mine").name == Named(name="mine").sealed().name == "mine"


def test_what_does_not_derive_from_task_is_told_so():
    class Game:
        def batches(self, split: str) -> Any: ...

        def loss(self, model: Any, batch: Any) -> Any: ...

        def score(self, predict: Any, split: str) -> float:
            return 0.0

        def example(self) -> Any: ...

    with pytest.raises(
        TypeError,
        match=r"Game does not derive from shoestring\.Task.*write `class Game\(shoestring\.Task\)`",
    ):
        check_task(Game())
    with pytest.raises(TypeError, match="int has no batches, loss, score, example"):
        check_task(3)
    with pytest.raises(TypeError, match="does not derive from"):
        apply(chain(), nn.Linear(2, 3), Game())  # type: ignore[arg-type]
    check_task(Tiny())
    check_task(Tiny().sealed())


# -- score, seeded, array


class Modes(Tiny):
    """Scores by a random number, and sees in which mode the module is."""

    def score(self, predict: Any, split: str) -> float:
        assert not predict.training and not torch.is_grad_enabled()
        return float(torch.rand(()) + np.random.rand() + random.random())


def test_score_puts_every_part_back_into_its_mode():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    for modes in (
        (True, True, True),
        (True, True, False),
        (False, False, True),
        (False, False, False),
    ):
        for part, mode in zip((model, *model), modes, strict=True):
            part.training = mode
        score(Modes(), model)
        assert (model.training, model[0].training, model[1].training) == modes
    model.train()

    class Failing(Modes):
        def score(self, predict: Any, split: str) -> float:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        score(Failing(), model)
    assert all(part.training for part in model.modules()) and torch.is_grad_enabled()


def states() -> tuple[bytes, bytes, Any]:
    return (
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),
        random.getstate(),
    )  # type: ignore[union-attr]


def test_scores_have_dice_of_their_own():
    model = nn.Linear(2, 3)
    before = states()
    first = score(Modes(), model)
    assert states() == before
    torch.manual_seed(9)
    random.seed(9)
    assert score(Modes(), model) == first != score(Modes(), model, "train")


def test_score_takes_what_is_no_module():
    assert score(Tiny(), lambda x: np.eye(3, dtype=np.float32)) == 1.0
    assert isinstance(score(Tiny(), lambda x: torch.eye(3)), float)


def test_seeded_fixes_and_restores_three_generators():
    before = states()
    drawn = []
    for seed in (3, 3, 4, -1, 2**40):
        with seeded(seed):
            drawn.append((torch.rand(()).item(), np.random.rand(), random.random()))
        assert states() == before
    assert drawn[0] == drawn[1] and len({*drawn}) == 4
    with pytest.raises(ZeroDivisionError), seeded(0):
        torch.rand(3)
        raise ZeroDivisionError
    assert states() == before
    with seeded(1):
        outer = torch.rand(())
        with seeded(2):
            torch.rand(5)
        after = torch.rand(())
    with seeded(1):
        assert (torch.rand(()), torch.rand(())) == (outer, after)


def test_array_makes_tensors_and_arrays_the_same():
    assert (
        array(torch.ones(2, requires_grad=True)).tolist()
        == array(np.ones(2)).tolist()
        == array([1.0, 1.0]).tolist()
    )


def test_vary_is_fixed_unless_said_otherwise():
    assert Vary(1).axes == {} and Vary(1, {0: "N"}).axes == {0: "N"}
