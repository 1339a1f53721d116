"""Networks whose forward() gives something else in training than in evaluation are taught like with
like, or refused by name.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core.taught import Taught
from shoestring.kit import AdamW, Supervised, Training, clone, train
from shoestring.prune import Magnitude

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, :4].argmax(1)).long()


class Backbone(nn.Module):
    """Two linear layers with a batch norm and a dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5)
        self.out, self.second = nn.Linear(16, 4), nn.Linear(16, 4)

    def features(self, x: Tensor) -> Tensor:
        """N×8 to N×16."""
        return self.drop(self.norm(self.first(x)).relu())


class SecondHead(Backbone):
    """Logits, and in training a second head's beside them."""

    def forward(self, x: Tensor) -> Any:
        """N×8 to N×4, or two of these."""
        h = self.features(x)
        return (self.out(h), self.second(h)) if self.training else self.out(h)


class Softened(Backbone):
    """Logits in training, probabilities in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        """N×8 to N×4."""
        logits = self.out(self.features(x))
        return logits if self.training else logits.softmax(-1)


class Levels(Backbone):
    """A list of levels in training, their mean in evaluation."""

    def forward(self, x: Tensor) -> Any:
        """N×8 to N×4, or a dictionary of two."""
        h = self.features(x)
        both = {"coarse": self.second(h), "fine": self.out(h)}
        return both if self.training else (both["coarse"] + both["fine"]) / 2


class Alike(Backbone):
    """The same in both modes."""

    def forward(self, x: Tensor) -> Tensor:
        """N×8 to N×4."""
        return self.out(self.features(x))


def loss(outputs: Any, targets: Tensor) -> Tensor:
    """Cross-entropy of each output."""
    parts = (
        outputs.values()
        if isinstance(outputs, dict)
        else outputs
        if isinstance(outputs, tuple)
        else (outputs,)
    )
    return torch.stack([functional.cross_entropy(one, targets) for one in parts]).mean()


TASK = Supervised(train=(X, Y), validation=(X, Y), test=(X, Y), criterion=loss, batch_size=32)


class Decoded(Backbone):
    """Raw numbers in training, in units of pixels in evaluation.

    With a batch norm of its own class.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = OwnNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        """N×8 to N×4."""
        raw = self.out(self.features(x))
        return raw if self.training else raw * 64 + 300


class OwnNorm(nn.BatchNorm1d):
    """As libraries derive theirs."""


class Skips(Backbone):
    """Skips a branch at random in training."""

    def forward(self, x: Tensor) -> Tensor:
        """N×8 to N×4."""
        h = self.features(x)
        more = self.second(h) if not self.training or torch.rand(()) < 0.5 else 0
        return (self.out(h) + more).sigmoid()


@pytest.mark.parametrize(
    "kind",
    [SecondHead, Softened, Levels, Decoded],
    ids=["second head", "probabilities", "levels", "decoded"],
)
def test_a_copy_of_the_teacher_is_no_distance_away_and_is_taught(kind: Any):
    torch.manual_seed(0)
    teacher = kind().eval()
    teacher.norm.running_mean.normal_()
    student = clone(teacher).train()
    for part in (student.norm, student.drop):  # so that it answers as the teacher does
        part.eval()
    task = Taught(TASK, teacher, weight=1.0)
    assert float(task.loss(student, ((X[:32],), Y[:32])).detach()) == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        student.out.weight.mul_(-1)
    before = float(task.loss(student, ((X[:32],), Y[:32])).detach())
    assert before > 0.01
    mean = teacher.norm.running_mean.clone()
    train(student, task, Training(150, AdamW(1e-2)))
    assert float(task.loss(student, ((X[:32],), Y[:32])).detach()) < before / 4
    assert torch.equal(teacher.norm.running_mean, mean) and not any(
        part.training for part in teacher.modules()
    )


def test_what_is_skipped_at_random_in_training_is_taught_as_in_evaluation():
    torch.manual_seed(0)
    for seed in range(20):
        torch.manual_seed(seed)
        teacher, student = Skips().eval(), Skips().train()
        asked: list[Tensor] = []
        teacher.register_forward_hook(
            lambda _module, _args, output, asked=asked: asked.append(output)
        )
        task = Taught(TASK, teacher, weight=1.0)
        task.loss(student, ((X[:32],), Y[:32]))
        looks = len(asked)
        task.loss(student, ((X[:32],), Y[:32]))
        assert (
            not any(task._modes.values()) and len(asked) == looks + 1
        )  # one answer for each loss from then on
        assert torch.equal(asked[-1], teacher(X[:32]))


def test_parts_of_a_model_are_taught_each_by_what_it_is():
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = nn.Linear(8, 6), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x))

    class Both(Supervised):
        def loss(self, model: Any, batch: Any) -> Tensor:
            (inputs,), targets = batch
            code = model.encoder(inputs)
            return functional.cross_entropy(model.head(code), targets) + (code - 1).square().mean()

    torch.manual_seed(0)
    teacher = Network().eval()
    task = Taught(Both(train=(X, Y), validation=(X, Y), test=(X, Y)), teacher, weight=1.0)
    batch = next(iter(task.batches("validation")))
    shifted = clone(teacher)
    with torch.no_grad():
        shifted.encoder.bias.add_(
            1
        )  # costs nothing where the numbers are taken for logits of classes
        shifted.head.bias.sub_(shifted.head.weight.sum(1))
    assert float(task.loss(shifted, batch).detach()) > 0.1
    assert "numbers" in task.teaching() and "logits of classes" in task.teaching()


def test_the_same_answers_in_both_modes_are_those_of_evaluation():
    torch.manual_seed(0)
    teacher = Alike().eval()
    teacher.norm.running_mean.normal_()
    task = Taught(TASK, teacher, weight=1.0)
    torch.manual_seed(1)
    first = float(task.loss(teacher, ((X[:32],), Y[:32])).detach())
    assert first == pytest.approx(0, abs=1e-6)
    assert task._modes == {("", ("",)): False}
    state = torch.get_rng_state()
    task.loss(clone(teacher).eval(), ((X[:32],), Y[:32]))
    Taught(TASK, teacher).loss(clone(teacher).eval(), ((X[:32],), Y[:32]))
    assert torch.equal(state, torch.get_rng_state())  # looking costs training no random number
    assert not any(part.training for part in teacher.modules())


def test_outputs_that_only_one_of_two_networks_has_are_named():
    class Other(Backbone):
        def forward(self, x: Tensor) -> Any:
            return {"logits": self.out(self.features(x))}

    with pytest.raises(
        ValueError, match="the teacher gives output in evaluation, and the model logits in training"
    ):
        Taught(TASK, Alike().eval()).loss(Other(), ((X[:32],), Y[:32]))


def test_a_loss_that_calls_a_part_of_the_model_is_taught_by_that_part():
    class Pairs(Supervised):
        """Brings two views of an example together."""

        def loss(self, model: Any, batch: Any) -> Tensor:
            (inputs,), _ = batch
            one, other = model.encoder(inputs), model.encoder(inputs * 1.1)
            return (one - other).square().mean()

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

        def forward(self, x: Tensor) -> Tensor:
            return functional.normalize(self.encoder(x), dim=-1)

    torch.manual_seed(0)
    teacher = Network().eval()
    pairs = Pairs(train=(X, Y), validation=(X, Y), test=(X, Y))
    batch = next(iter(pairs.batches("validation")))
    task = Taught(pairs, teacher, weight=1.0)
    assert float(task.loss(clone(teacher), batch).detach()) == pytest.approx(0, abs=1e-9)
    pruned = Magnitude(density=0.5, training=Training(200, AdamW(1e-2)))(teacher, task)
    still = Magnitude(density=0.5, training=Training(0))(teacher, task)
    assert float(task.loss(pruned, batch).detach()) < 0.5 * float(task.loss(still, batch).detach())
