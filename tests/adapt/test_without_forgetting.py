"""Old answers are kept on new inputs: by entries, and for the classes that the old task has."""

from __future__ import annotations

import pytest
import torch
from made_few import one_head, some_digits, two_heads
from torch import Tensor, nn
from torch.nn import functional

from shoestring import kit
from shoestring.adapt import Entry, Keeping, LearningWithoutForgetting, shared_body
from shoestring.adapt.without_forgetting import _lessons
from shoestring.core import ClassLogits, score, seeded
from shoestring.kit import AdamW, Training
from shoestring.tasks import digits

SHORT = Training(80, AdamW(2e-3))


def test_it_keeps_what_plain_training_forgets_without_an_old_example():
    model, task = two_heads()
    old = task.others()["zero to four"]
    with seeded(0):
        plain = kit.train(kit.clone(model), task, SHORT)
    with seeded(0):
        made = LearningWithoutForgetting(training=SHORT)(model, task.sealed())
    assert score(old, plain) < score(old, made) - 0.02
    assert score(old, made) > score(old, model) - 0.03
    assert score(task, made) > 0.8


def test_the_loss_is_that_of_the_task_and_the_distance_of_the_old_answers():
    """With a learning rate of nearly 0 the model is the teacher: the distance is that of its own
    soft answers, so the first step's gradient is the plain one."""
    model, task = two_heads()
    one_step = Training(1, AdamW(1e-3))
    with seeded(0):
        plain = kit.train(kit.clone(model), task, one_step)
    with seeded(0):
        made = LearningWithoutForgetting(training=one_step)(model, task)
    for own, other in zip(plain.parameters(), made.parameters(), strict=True):
        assert torch.allclose(own, other, atol=2e-3)


def test_of_one_head_the_classes_of_the_old_task_are_taught():
    task = one_head()
    (lesson,) = _lessons(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task.others()["zero to four"]
    )
    assert lesson.entry == "" and lesson.kinds[""].kind == ClassLogits(1)
    assert lesson.classes is not None and lesson.classes.tolist() == [0, 1, 2, 3, 4]
    ours, theirs = torch.randn(6, 10), torch.randn(6, 10)
    expected = ClassLogits(1).apart(ours[:, :5], theirs[:, :5], 2.0)
    assert torch.equal(lesson.apart(ours, theirs, 2.0), expected)
    other = ours.clone()
    other[:, 5:] = functional.one_hot(torch.arange(6) % 5, 5) * 9.0  # what the new classes say
    assert torch.equal(lesson.apart(other, theirs, 2.0), expected)


class Methods(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def old(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def new(self, x: Tensor) -> Tensor:
        return self.layer(x)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="names nothing that is not to be forgotten"):
        LearningWithoutForgetting()(nn.Linear(2, 2), digits())
    task = Keeping(Entry(digits(), "new"), {"old": Entry(digits(), "old")})
    with pytest.raises(ValueError, match="the entry 'old' is a method"):
        LearningWithoutForgetting()(Methods(), task)
    with pytest.raises(ValueError, match="temperature=0"):
        LearningWithoutForgetting(temperature=0.0)
    with pytest.raises(ValueError, match=r"calls the model itself, and .* an entry"):
        mixed = Keeping(some_digits([0, 1]), {"old": Entry(digits(), "old")})
        model = shared_body(nn.Flatten(), {"old": nn.Linear(64, 10)})
        LearningWithoutForgetting()(model, mixed)
