"""A smaller network, taught by the model; widths and losses that can be checked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo import Residual, images

from shoestring.core import SealedError, Task, score, seeded
from shoestring.core.taught import Taught
from shoestring.distill import Ensemble, Given, Hints, Narrower, SoftTargets, Student
from shoestring.distill.hints import Hinted, _tapped, pupil
from shoestring.distill.networks import refreshed
from shoestring.kit import (
    AdamW,
    ShortfallWarning,
    SkippedWarning,
    Supervised,
    Training,
    clone,
    parameters_of,
    train,
)
from shoestring.models import DigitsLeNet, LeNet5
from shoestring.prune import Magnitude
from shoestring.tasks import digits


def narrower(model: nn.Module, task: Task, share: float, **settings: int) -> nn.Module:
    student = Narrower(share, **settings).made(model, task)
    assert student is not None
    return student


def widths(model: nn.Module) -> list[int]:
    return [
        one.raw.shape[0] for one in parameters_of(model) if one.is_parameter and one.raw.ndim > 1
    ]


def small(inputs: int = 64, hidden: int = 16) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 10))


# -- networks


def test_every_layer_keeps_the_same_share_in_multiples():
    model, task = LeNet5(), images()
    assert widths(narrower(model, task, 0.3)) == [8, 16, 152, 10]
    assert widths(narrower(model, task, 0.3, multiple=1)) == [6, 15, 150, 10]
    assert widths(narrower(model, task, 1.0)) == widths(model) == [20, 50, 500, 10]
    with pytest.warns(ShortfallWarning, match="Student was asked to leave 1% of the channels"):
        Narrower(0.01, multiple=64).made(model, task)


def test_layers_whose_outputs_are_added_stay_equal_and_the_student_runs():
    task = images((3, 8, 8))
    with seeded(0):
        student = narrower(Residual(), task, 0.5, multiple=1)
    answer = student.eval()(task.example()[0][0].tensor)  # type: ignore[union-attr]
    assert torch.isfinite(answer).all() and sum(widths(student)) < sum(widths(Residual()))


def test_its_weights_are_drawn_anew_and_not_those_of_the_model():
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 10)
        )
        train(model, digits(), Training(5, AdamW(0.1)))
    with seeded(1):
        fresh = refreshed(clone(model))
    with seeded(1):
        again = refreshed(clone(model))
    assert torch.equal(fresh[3].weight, again[3].weight)
    assert fresh[1].running_mean.abs().sum() == 0 and fresh[1].weight.eq(1).all()
    bound = (8 * 36) ** -0.5
    assert fresh[3].weight.abs().max() <= bound < model[3].weight.abs().max()
    assert not set(model[0].weight.flatten().tolist()) & set(fresh[0].weight.flatten().tolist())


def test_weights_of_modules_that_cannot_draw_them_keep_their_spread():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(200, 30)
            self.positions = nn.Parameter(torch.randn(50, 30) * 0.01)
            self.scale = nn.Parameter(torch.tensor([1.0, 3.0]))

    with seeded(0):
        model = Own()
        nn.init.normal_(model.table.weight, std=0.2)
        fresh = refreshed(clone(model))
    assert float(fresh.table.weight.detach().std()) == pytest.approx(0.2, rel=0.05)
    assert float(fresh.positions.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not torch.equal(fresh.positions, model.positions) and fresh.scale.tolist() == [2, 2]


def test_a_pruned_model_has_a_student_without_its_zeros():
    task = digits().sealed()
    pruned = Magnitude(density=0.2, training=Training(0))(DigitsLeNet(), task)
    student = narrower(pruned, task, 0.5)
    assert all(weight.state is None for weight in parameters_of(student))
    assert all((weight.value() != 0).float().mean() > 0.9 for weight in parameters_of(student))


def test_what_cannot_be_narrower_is_said():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with pytest.warns(SkippedWarning, match="Student found no layer that could be narrower"):
        same = Student(training=Training(5))(model, images())
    assert same is not model and torch.equal(same[1].weight, model[1].weight)
    tied = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 784), nn.ReLU(), nn.Linear(784, 784), nn.Linear(784, 10)
    )
    tied[3].weight = tied[1].weight
    with pytest.warns(SkippedWarning) as told:
        Narrower(0.5).made(tied, images())
    assert "Student skipped 1, 3: tied" in map(str, (one.message for one in told))


def test_a_network_is_given_as_a_function_or_a_module():
    task = digits().sealed()
    model = DigitsLeNet()
    made = Student(network=Given(small), training=Training(0))(model, task)
    assert widths(made) == [16, 10] and repr(Given(small)) == "Given(small)"
    given = small()
    copied = Student(network=Given(given), training=Training(2))(model, task)
    assert copied is not given and not torch.equal(copied[1].weight, given[1].weight)
    assert repr(Given(given)) == repr(Given(clone(given))) != repr(Given(small()))
    assert repr(Given(given)).startswith("Given(Sequential ")
    with pytest.raises(TypeError, match="returned int: it must return a module"):
        Student(network=Given(lambda: 3))(model, task)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="the student is 'small': give a module, or a function"):
        Given("small")  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, 1.2])
def test_shares_out_of_range(share: float):
    with pytest.raises(ValueError, match=f"the share is {share}"):
        Narrower(share)
    with pytest.raises(ValueError, match="multiples of 0"):
        Narrower(0.5, multiple=0)


# -- what it learns from


class Watched(nn.Module):
    """Knows how often it was asked with gradients off, which is as a teacher."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.asked = inner, 0

    def forward(self, *args: Any) -> Any:
        self.asked += not torch.is_grad_enabled()
        return self.inner(*args)


def test_the_model_teaches_unless_the_task_has_a_teacher():
    task, other = digits().sealed(), Watched(DigitsLeNet())
    Student(network=Given(small), training=Training(3))(DigitsLeNet(), task.taught_by(other))
    assert other.asked >= 3
    with seeded(0):
        by_hand = train(small(), Taught(task, DigitsLeNet().eval(), 0.9, 5.0), Training(3))
    with seeded(0):
        network = small()
        teacher = DigitsLeNet()
        student = Student(
            network=Given(network), targets=SoftTargets(0.9, 5.0), training=Training(3)
        )(teacher, task)
    assert by_hand[1].weight.shape == student[1].weight.shape
    with seeded(0):
        network = small()
        teacher = DigitsLeNet()
        same = train(clone(network), Taught(task, clone(teacher).eval(), 0.9, 5.0), Training(3))
    assert torch.equal(same[1].weight, student[1].weight)


def test_the_teacher_of_the_task_counts_as_the_targets_say():
    task, teacher = digits(), DigitsLeNet()
    (batch, *_) = task.batches("validation")
    student = small()
    for view in (task.taught_by(teacher), task.sealed().taught_by(teacher).sealed()):
        at = view.taught_at(0.4, 7.0)
        assert type(at) is type(view)
        torch.testing.assert_close(
            at.loss(student, batch), Taught(task, teacher, 0.4, 7.0).loss(student, batch)
        )
    assert task.taught_at(0.4, 7.0) is task
    with pytest.raises(SealedError):
        task.sealed().taught_by(teacher).sealed().taught_at(0.4, 7.0).batches("test")
    made = []
    for lesson in (task.taught_by(teacher).sealed(), task.sealed()):
        with seeded(0):
            technique = Student(
                network=Given(student), targets=SoftTargets(0.4, 7.0), training=Training(3)
            )
            made.append(technique(teacher, lesson))
    assert torch.equal(made[0][1].weight, made[1][1].weight)


def test_a_student_of_another_task_is_refused():
    def five() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 12))

    with pytest.raises(ValueError, match=r"shape \[64, 10\], and the model's \[64, 12\]"):
        Student(network=Given(five), training=Training(2))(DigitsLeNet(), digits().sealed())
    wrong = DigitsLeNet()
    with torch.no_grad():
        wrong.layers[0].weight[0] = torch.nan  # type: ignore[index]
    with pytest.raises(ValueError, match="NaN or infinite"):
        Student(training=Training(2))(wrong, digits().sealed())


@pytest.mark.slow
def test_it_learns_and_more_width_learns_more():
    task = digits()
    with seeded(0):
        model = train(DigitsLeNet(), task.sealed(), Training(400, AdamW(2e-3)))
        scores = [
            score(
                task, Student(network=Narrower(s), training=Training(300, AdamW(3e-3)))(model, task)
            )
            for s in (0.2, 0.5)
        ]
    assert 0.7 < scores[0] < scores[1] > 0.9


# -- hints


class Line(nn.Module):
    """Two layers of so many units, of which the first copies its input into each."""

    def __init__(self, units: int, by: float) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(1, units, bias=False), nn.Linear(units, 1, bias=False)
        with torch.no_grad():
            self.first.weight.fill_(by)
            self.last.weight.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))


def line() -> Supervised:
    x = torch.arange(1.0, 9.0)[:, None]
    return Supervised(
        train=(x, x), validation=(x, x), test=(x, x), batch_size=8, criterion=nn.MSELoss()
    )


def test_the_distance_of_hidden_layers_by_hand():
    """The teacher's layer gives 2x, the student's x: its error is that of half of the values."""
    task, teacher, student = line(), Line(3, 2.0), Line(3, 1.0)
    paired = pupil(student, teacher, task, Hints())
    assert paired.pairs == (("first", "first"),) and isinstance(paired.regressors[0], nn.Identity)
    taught = task.taught_by(teacher)
    hinted, (batch,) = Hinted(taught, teacher, [0.5]), task.batches("validation")
    x = batch[0][0]
    share = float((x**2).mean() / (2 * x).var(correction=0))
    extra = hinted.loss(paired, batch) - taught.loss(student, batch)
    assert float(extra.detach()) == pytest.approx(0.5 * share, rel=1e-5)
    assert hinted.loss(paired, batch).backward() is None
    assert all(one.grad is None for one in teacher.parameters())
    assert not teacher.first._forward_hooks and not student._forward_pre_hooks
    off = Hinted(taught, teacher, [0.0])
    assert torch.equal(off.loss(paired, batch), taught.loss(student, batch))


def test_a_teacher_whose_answers_are_kept_is_asked_for_its_layers():
    task, teacher, student = line(), Line(3, 2.0), Line(3, 1.0)
    (batch,) = task.batches("validation")
    paired = pupil(student, teacher, task, Hints())
    by_teacher = Hinted(task.taught_by(teacher), teacher, [1.0]).loss(paired, batch)
    kept = task.taught_by(lambda x: 6 * x)  # what the teacher answers, without its layers
    torch.testing.assert_close(Hinted(kept, teacher, [1.0]).loss(paired, batch), by_teacher)


def conv(width: int, side: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, stride=side),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, 10),
    )


@pytest.mark.parametrize(
    ("student", "pairs", "regressor"),
    [
        (conv(4), (("3", "3"),), nn.Conv2d),
        (conv(4, side=2), (("3", "3"),), nn.Conv2d),
        (conv(4), (), nn.Conv2d),
        (conv(8), (), nn.Identity),
        (small(hidden=24), (("1", "7"),), nn.Linear),
    ],
    ids=["widths", "sizes", "by depth", "equal", "flat"],
)
def test_regressors_fit_what_differs_and_are_thrown_away(
    student: nn.Module, pairs: Any, regressor: type
):
    task, teacher = digits().sealed(), conv(8)
    hints = Hints(pairs=pairs, share=1.0)
    paired = pupil(student, teacher, task, hints)
    assert isinstance(paired.regressors[0], regressor)
    with seeded(0):
        done = Student(network=Given(student), hints=hints, training=Training(3))(teacher, task)
    assert [*done.state_dict()] == [*student.state_dict()]
    assert not any(part._forward_hooks for part in done.modules())


def test_sequences_are_compared_word_by_word():
    class Words(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.table, self.states = nn.Embedding(9, 4), nn.LSTM(4, width, batch_first=True)
            self.last = nn.Linear(width, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.last(self.states(self.table(ids))[0])

    ids = torch.randint(9, (6, 5))
    task = Supervised(
        train=(ids, ids % 2),
        validation=(ids, ids % 2),
        test=(ids, ids % 2),
        criterion=lambda o, t: nn.functional.cross_entropy(o.flatten(0, 1), t.flatten()),
        axes={1: "T"},
    )
    paired = pupil(Words(3), Words(7), task, Hints(depths=(0.0, 1.0)))
    assert paired.pairs == (("states", "states"),)
    assert isinstance(one := paired.regressors[0], nn.Linear) and one.weight.shape == (7, 3)
    teacher = Words(7)
    loss = Hinted(task.taught_by(teacher), teacher, [1.0]).loss(
        paired, next(iter(task.batches("train")))
    )
    loss.backward()
    assert one.weight.grad is not None and one.weight.grad.abs().sum() > 0


def test_hints_that_cannot_be_are_named():
    task, teacher = digits().sealed(), conv(8)
    for hints, said in (
        (Hints(pairs=(("nine", "3"),)), r"pairs= \(of the student\) names 'nine'"),
        (Hints(pairs=(("1", "nine"),)), r"pairs= \(of the teacher\) names 'nine'"),
        (Hints(pairs=(("1", "3"),)), r"layer 1 gives \[\d+, 16\] and the teacher's 3 gives"),
    ):
        with pytest.raises(ValueError, match=said):
            pupil(small(), teacher, task, hints)
    with pytest.raises(ValueError, match="the student has no hidden layer with weights"):
        pupil(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), teacher, task, Hints())
    for wrong, said in (
        ({"weight": 0.0}, "a weight of 0.0"),
        ({"share": 0.0}, "over 0.0 of the training"),
        ({"depths": ()}, r"at the depths \(\)"),
        ({"depths": (1.5,)}, r"at the depths \(1.5,\)"),
    ):
        with pytest.raises(ValueError, match=said):
            Hints(**wrong)


def test_hints_fade_out():
    hints = Hints(weight=2.0, share=0.5)
    assert [hints.at(step, 100) for step in (0, 25, 50, 99)] == [2.0, 1.0, 0.0, 0.0]


# -- several teachers


def test_an_ensemble_answers_with_the_mean():
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    x = torch.randn(3, 2)
    torch.testing.assert_close(Ensemble([one, two])(x), (one(x) + two(x)) / 2)
    nested = Ensemble(
        [
            lambda x: {"a": x, "n": torch.ones(1, dtype=torch.int64)},
            lambda x: {"a": 3 * x, "n": torch.ones(1, dtype=torch.int64)},
        ]
    )(x)
    torch.testing.assert_close(nested["a"], 2 * x)
    assert nested["n"].tolist() == [1]
    with pytest.raises(ValueError, match="no members"):
        Ensemble([])
    with pytest.raises(ValueError, match=r"answer differently: 0 of \[\[3, 2\]\] and"):
        Ensemble([one, lambda x: x[:, :1]])(x)


def test_an_ensemble_teaches_a_task():
    task: Task = digits().sealed()
    (batch, *_) = task.batches("train")
    models = [DigitsLeNet(), DigitsLeNet()]
    student = small()
    of_both = Taught(task, Ensemble(models), 1.0).loss(student, batch)
    by_hand = Taught(task, lambda x: (models[0](x) + models[1](x)).detach() / 2, 1.0).loss(
        student, batch
    )
    torch.testing.assert_close(of_both, by_hand)


def test_an_in_place_activation_does_not_change_what_a_layer_tells():
    """The outputs of a layer, and not those of the activation that writes into them."""
    with seeded(0):
        layer = nn.Linear(4, 4)
    x, kept = torch.randn(8, 4), dict[str, Tensor]()
    model = nn.Sequential(layer, nn.ReLU(inplace=True))
    with _tapped(model, ["0"], kept.__setitem__), torch.no_grad():
        model(x)
    assert torch.equal(kept["0"], layer(x)) and (kept["0"] < 0).any()
