"""Taught: a task whose loss adds the distance from a teacher's outputs (distillation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, final

from shoestring.core.entries import called, calls_of
from shoestring.core.inferred import Told, in_words, settle
from shoestring.core.kinds import (
    Boxes,
    ClassLogits,
    Kind,
    Kinds,
    NotTaught,
    Numbers,
    Own,
    Probabilities,
    outputs_of,
    shown,
)
from shoestring.core.task import Task, as_in_training, evaluating, seeded
from shoestring.core.view import View

_REPEATS = 8
"""How many outputs in training mode are compared before a teacher counts as deterministic there."""
_Key = tuple[str, tuple[str, ...]]
"""The name of an entry of a model, or the path of a part ("" for the model), and the paths of its
outputs.
"""


@final
@dataclass(frozen=True, eq=False)
class Taught(View):
    """Distillation: the task's own loss, mixed with the distance from a teacher's outputs.

    The loss is (1 - weight) × own loss + weight × distance. The distance of an output follows its
    kind (`core.kinds`): the kind that the task declares in `kinds`, else the kind that its loss
    implies, else the kind that the teacher's values imply. Distances of several outputs are added.
    Of classes at many positions (words, pixels), those positions count that the own loss looks at,
    which leaves out padding. Where gradients are off, all count.
    The teacher is called wherever the loss calls the model, so that a task needs no inputs and
    targets to be taught. A teacher whose forward() returns something else in training than in
    evaluation (a second head, logits in place of probabilities) runs as in training, with its batch
    norms and dropouts as in evaluation.
    Source: Hinton, Vinyals & Dean 2015, section 2.

    `task`: the wrapped task.
    `teacher`: a module, the path of a `.shoe` or `.onnx` file, a loaded file, or a function
        (`core.teacher.as_teacher`). All but a module run as they are: they have no mode of
        training, and no parts that a loss could call.
    `weight`: of the distance, 0 to 1.
    `temperature`: by which logits are divided, above 0.

    Raises TypeError for what cannot teach and ValueError for numbers out of range. The loss raises
    ValueError where the teacher's output has another shape than the model's, or is NaN; of numbers,
    those that are NaN are left out.
    """

    task: Task
    teacher: Any
    weight: float = 0.7
    temperature: float = 3.0
    _inferred: dict[_Key, dict[str, Told]] = field(default_factory=dict, repr=False)
    _modes: dict[_Key, bool] = field(default_factory=dict, repr=False)
    """Whether the teacher runs as in training."""

    def __post_init__(self) -> None:
        from shoestring.core.teacher import as_teacher  # a task needs no torch until it is taught

        if not 0 <= self.weight <= 1 or not 0 < self.temperature < float("inf"):
            raise ValueError(
                f"a weight of {self.weight} and a temperature of {self.temperature}: the weight is "
                "from 0 to 1, and the temperature is above 0"
            )
        object.__setattr__(self, "teacher", as_teacher(self.teacher))

    def taught_at(self, weight: float, temperature: float) -> Taught:
        return replace(self, weight=weight, temperature=temperature)

    def loss(self, model: Any, batch: Any) -> Any:
        entries: dict[str, Any] = {name: called(self.teacher, name) for name in self._entries}
        # whether the loss has called parts of the model before, and no entry
        by_parts = any(part not in entries for part, _ in self._modes)
        parts = dict(self.teacher.named_modules())
        calls, own = self._recorded(model, batch, parts if by_parts else entries)
        if not calls and not by_parts:
            calls, own = self._recorded(model, batch, parts)
        if not calls:
            raise RuntimeError(
                "the task's loss called neither the model nor a part of it that the teacher has, "
                "so that there is nothing to compare: have it call the model as a module is "
                "called, model(...) or model.part(...); a teacher that is a function or a file has "
                "no parts"
            )
        for part, _, answer in calls:
            if (part, tuple(outputs_of(answer))) not in self._inferred:
                self._infer(
                    model,
                    batch,
                    part,
                    answer,
                    own,
                    [output for name, output, _ in calls if name == part],
                )
        distances = [self._distance(*call, own) for call in calls]
        return (1 - self.weight) * own + self.weight * sum(distances) / len(distances)

    @cached_property
    def _entries(self) -> tuple[str, ...]:
        """The names of the model's entries; "" for a model that is called itself."""
        with seeded(0):
            return tuple(calls_of(self.task.example()))

    def _recorded(
        self, model: Any, batch: Any, known: Mapping[str, Any]
    ) -> tuple[list[tuple[str, Any, Any]], Any]:
        """The calls that the loss makes, and the loss.

        A call is (name of the entry or path of the part, its output, the teacher's output).
        `known`: the teacher's entries by name, or its parts by path; only these are recorded. The
            loss may call parts itself (`model.encoder(x)`).
        """
        import torch

        calls: list[tuple[str, Any, Any]] = []
        learning, inside = torch.is_grad_enabled(), 0

        def enter() -> None:
            nonlocal inside
            inside += 1

        def record(name: str, args: Any, kwargs: Any, output: Any) -> None:
            nonlocal inside
            inside -= 1
            if inside or torch.is_grad_enabled() != learning:
                # the loss looks ahead (plays a game, searches a beam): such calls train nothing
                return
            with torch.no_grad():
                calls.append(
                    (
                        name,
                        output,
                        self._answer(known[name], (name, tuple(outputs_of(output))), args, kwargs),
                    )
                )

        modules = dict(model.named_modules())
        with ExitStack() as stack:
            for name in known:
                own = modules.get(name, getattr(model, name, None)) if name != "forward" else model
                if own is not None:
                    stack.enter_context(_listening(model, name, own, enter, partial(record, name)))
            with evaluating(self.teacher):
                return calls, self.task.loss(model, batch)

    def _answer(self, teacher: Any, key: _Key, args: Any, kwargs: Any) -> Any:
        """The teacher's output: in evaluation mode, or as in training where that differs."""
        if key not in self._modes:
            self._modes[key] = self._differs_in_training(teacher, key[1], args, kwargs)
        if not self._modes[key]:
            return teacher(*args, **kwargs)
        with as_in_training(self.teacher):
            return teacher(*args, **kwargs)

    def _differs_in_training(
        self, teacher: Any, names: tuple[str, ...], args: Any, kwargs: Any
    ) -> bool:
        """Whether the teacher returns the model's outputs in training, and others in evaluation.

        False where the two differ by chance (stochastic depth).
        """
        evaluated = teacher(*args, **kwargs)
        trained = self._in_training(teacher, 0, args, kwargs)
        if tuple(outputs_of(trained)) != names:
            return False
        if _shapes(evaluated) != _shapes(trained):
            return True
        if _are_close(evaluated, trained):
            return False
        return all(
            _are_close(trained, self._in_training(teacher, seed, args, kwargs))
            for seed in range(1, _REPEATS)
        )

    def _in_training(self, teacher: Any, seed: int, args: Any, kwargs: Any) -> Any:
        """The teacher's output as in training, with random numbers of its own."""
        with seeded(seed), as_in_training(self.teacher):
            return teacher(*args, **kwargs)

    def teaching(self) -> str:
        """The kind as which each output is taught, in words, as far as the loss has inferred it."""
        words = ((part, in_words(kinds)) for (part, _), kinds in self._inferred.items())
        return (
            "; ".join(
                f"{part}: {text}" if part and part in self._entries else text
                for part, text in words
            )
            or self.task.teaching()
        )

    def _infer(
        self, model: Any, batch: Any, part: str, answer: Any, own: Any, outputs: list[Any]
    ) -> None:
        """Infer the kinds of a part's outputs, once for each structure.

        The loss needs gradients for that; where they are off it is computed again.
        """
        import torch

        if not torch.is_grad_enabled():
            outputs = []

            def keep(_args: Any, _kwargs: Any, output: Any) -> None:
                if torch.is_grad_enabled():
                    outputs.append(output)

            target = dict(model.named_modules()).get(part) or called(model, part)
            listening = _listening(model, part, target, lambda: None, keep)
            with listening, seeded(0), evaluating(model), torch.enable_grad():
                own = self.task.loss(model, batch)
        names = tuple(outputs_of(answer))
        same_structure = [output for output in outputs if tuple(outputs_of(output)) == names]
        self._inferred[part, names] = settle(self._kinds(part), own, same_structure, answer)

    def _kinds(self, part: str) -> Kinds:
        """The kinds that the task declares for an entry: under its name, or for all entries."""
        declared = self.task.kinds
        if part and isinstance(declared, Mapping) and declared.keys() <= set(self._entries):
            return declared.get(part)
        return declared

    def _distance(self, part: str, output: Any, answer: Any, own: Any) -> Any:
        """How far an output is from the teacher's: a scalar tensor.

        `own`: the task's own loss.
        """
        ours, theirs = outputs_of(output), outputs_of(answer)
        kinds = self._inferred[part, tuple(theirs)]
        if kinds.keys() == {""} and isinstance(kinds[""].kind, Own):
            return kinds[""].kind.apart(output, answer, self.temperature)
        if missing := [path for path in kinds if path not in ours]:
            raise ValueError(
                f"the teacher gives {_listed(theirs)} in evaluation, and the model {_listed(ours)} "
                f"in training: {shown(missing[0])} cannot be taught. Return the same outputs in "
                "both modes, or declare the task's `kinds` with NotTaught() for it"
            )
        for path, inferred in kinds.items():
            _check_answer(path, inferred.kind, ours[path], theirs[path])
        return sum(
            _apart(inferred.kind, ours[path], theirs[path], self.temperature, own)
            for path, inferred in kinds.items()
        )


def _apart(kind: Kind, ours: Any, theirs: Any, temperature: float, own: Any) -> Any:
    """The distance of an output; of classes at many positions, at those that the loss looks at.

    Padding is where the gradient of the loss for the output is 0. A teacher answers anything there.
    """
    if not isinstance(kind, ClassLogits | Probabilities) or ours.ndim < 3 or not own.requires_grad:
        return kind.apart(ours, theirs, temperature)
    import torch

    (gradient,) = torch.autograd.grad(own, ours, retain_graph=True, allow_unused=True)
    looked_at = None if gradient is None else (gradient != 0).any(kind.axis)
    if looked_at is None or looked_at.all() or not looked_at.any():
        return kind.apart(ours, theirs, temperature)
    ours, theirs = (one.movedim(kind.axis, -1)[looked_at] for one in (ours, theirs))
    return type(kind)(1).apart(ours, theirs, temperature)


def _check_answer(path: str, kind: Kind, ours: Any, theirs: Any) -> None:
    """Raise ValueError for an answer of another shape, and for one that is NaN."""
    if isinstance(kind, Own | NotTaught):
        return
    if ours.shape != theirs.shape:
        raise ValueError(
            f"the teacher's {shown(path)} has the shape {list(theirs.shape)}, and the model's "
            f"{list(ours.shape)}: a teacher must answer the same task, such as the same classes"
        )
    wrong = theirs.isnan()
    if wrong.numel() and wrong.all() if isinstance(kind, Numbers | Boxes) else wrong.any():
        raise ValueError(
            f"the teacher answered NaN in {int(wrong.sum()):,} of {wrong.numel():,} numbers of "
            f"{shown(path)}: check its weights, and that the inputs are prepared as it wants them"
        )


@contextmanager
def _listening(
    model: Any,
    name: str,
    target: Any,
    enter: Callable[[], None],
    leave: Callable[[Any, Any, Any], None],
) -> Iterator[None]:
    """Call `enter` before each call of a target, and `leave` after it, within the context.

    `target`: a part of the model, or its method `name`.
    `leave`: takes the args, the kwargs and the output of the call.
    """
    from torch import nn

    if isinstance(target, nn.Module):
        hooks = [
            target.register_forward_pre_hook(lambda _module, _args: enter()),
            target.register_forward_hook(
                lambda _module, args, kwargs, output: leave(args, kwargs, output), with_kwargs=True
            ),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
    else:

        def recorded(*args: Any, **kwargs: Any) -> Any:
            enter()
            output = target(*args, **kwargs)
            leave(args, kwargs, output)
            return output

        vars(model)[name] = recorded  # takes precedence over the method of the class
        try:
            yield
        finally:
            del vars(model)[name]


def _shapes(output: Any) -> dict[str, tuple[int, ...]]:
    return {path: tuple(tensor.shape) for path, tensor in outputs_of(output).items()}


def _are_close(first: Any, second: Any) -> bool:
    """Whether two outputs of one structure are equal up to rounding."""
    from torch import allclose

    pairs = zip(outputs_of(first).values(), outputs_of(second).values(), strict=True)
    return all(
        allclose(a.float(), b.float(), rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in pairs
    )


def _listed(outputs: Mapping[str, Any]) -> str:
    return ", ".join(map(shown, outputs)) or "nothing"
