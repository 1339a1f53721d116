"""A smaller network that is trained with the model as its teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.distill.hints import Hinted, Hints, pupil
from shoestring.distill.networks import Given, Narrower
from shoestring.kit import AdamW, Training, bake, check_finite, clone, recover


@dataclass(frozen=True)
class SoftTargets:
    """How the teacher's answers are mixed with the task's own loss.

    The default never did worse than no teacher where we measured it (docs/distill.md). A higher
    temperature teaches more of what the teacher thinks of wrong answers: it gained most where the
    student had few labels, and lost where it had all of them. Choose it on validation data.

    `weight`: of the distance from the teacher's answers, 0 to 1.
    `temperature`: by which logits are divided, above 0.

    Raises ValueError, when the training begins, for numbers out of range.
    """

    weight: float = 0.9
    temperature: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Student(Technique):
    """Train a smaller network from the start, with the model as its teacher.

    Saves: operations, milliseconds and bytes: the network is smaller.
    Costs: the time of `training`, which is that of a new network; score.
    Source: Hinton, Vinyals & Dean 2015, section 2 (soft targets); Romero et al. 2015 (hints).

    `network`: the student, Narrower(share) of the model itself, or Given(a module or a function).
    `targets`: how the model's answers are taught, or those of a teacher that the task has already.
    `hints`: hidden layers that are taught too; None for the answers alone.
    `training`: of the student; Training(0) leaves it untrained.

    What it returns shares no weights with the model. For Narrower, what cannot be narrower is
    skipped with a SkippedWarning, as in `prune.Channels`; where that is everything, a copy of the
    model is returned. Raises ValueError for settings out of
    range, for a student whose answers have another shape than the model's, and for weights that are
    NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="network", gentle=0.9, harsh=0.2, wrap=Narrower)

    network: Narrower | Given = Narrower()
    targets: SoftTargets = SoftTargets()
    hints: Hints | None = None
    training: Training = Training(2000, AdamW(2e-3))

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The trained student."""
        check_finite(model)
        student = self.network.made(model, task)
        if student is None:
            return clone(model)
        student.train(model.training)
        if not self.training.steps:
            return student
        teacher = bake(clone(model)).eval().requires_grad_(False)
        weight, temperature = self.targets.weight, self.targets.temperature
        has_teacher = getattr(task, "teacher", None) is not None
        lesson = (task if has_teacher else task.taught_by(teacher)).taught_at(weight, temperature)
        if self.hints is None:
            return recover(
                student, lesson, teacher, self.training, what="training the student", key=repr(self)
            )
        return self._hinted(self.hints, student, teacher, lesson)

    def _hinted(
        self, hints: Hints, student: nn.Module, teacher: nn.Module, lesson: Task
    ) -> nn.Module:
        """The student, trained with hints; their regressors are thrown away."""
        with_regressors = pupil(student, teacher, lesson, hints).train(student.training)
        weight = [hints.weight]

        def before_step(step: int) -> None:
            weight[0] = hints.at(step, self.training.steps)

        recover(
            with_regressors,
            Hinted(lesson, teacher, weight),
            teacher,
            self.training,
            before_step=before_step,
            what="training the student",
            key=repr(self),
        )
        return with_regressors.student
