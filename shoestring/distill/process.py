"""Co-distillation across processes: each trains one student, and a folder has the copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.artifact.locks import FileLock
from shoestring.core import Task, View, seeded
from shoestring.distill.codistillation import Copies, Peers, check_students
from shoestring.distill.exchange import Exchange, digest_of
from shoestring.kit import Training, clone, resuming, train


def codistill_one(
    number: int,
    students: Sequence[nn.Module],
    task: Task,
    training: Training,
    folder: str | Path,
    *,
    copies: Copies = Copies(),
    peers: Peers = Peers(),
    patience: float = 60.0,
    most_bytes: int = 1_000_000_000,
    seed: int = 0,
) -> nn.Module:
    """One of several students that teach each other, each in a process of its own.

    Start a process for each student, on one machine or on several that see one folder, with the
    same arguments but `number`. Each trains its student, and every so many steps leaves a copy of
    it in the folder and reads those of the others. A process waits for the copies of the others, so
    that the result does not depend on which is faster.

    A process that is killed loses nothing: started again, it goes on from its last snapshot (one is
    made before each hundredth step, at most twice a minute), with the copies that it had. The
    others wait for it as long as `patience` says; then they go on with its last copy, with a
    warning, and the result is not that of an undisturbed run. When it is back, they read its copies
    as soon as it has caught up with them. The folder may be deleted when all processes have ended.
    Source: Anil et al. 2018, section 2. Differs: copies are awaited.

    `number`: of the student that this process trains, from 0.
    `students`: all of them, untrained, made under one seed so that they are the same in every
        process.
    `copies`: how many steps lie between two copies.
    `patience`: seconds, 0 or more; 0 never waits.
    `most_bytes`: that all copies may take; a run that needs more is refused before it begins.
    `seed`: of the training; each student has batches of its own.

    Returns the trained student. Raises ValueError for a folder with another run and for settings
    out of range, BlockingIOError where another process trains the student, and OSError for a folder
    that cannot be written.
    """
    _check(number, students, patience)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    lock = _lock(place, number)
    try:
        exchange = Exchange(place, number, patience)
        exchange.agree(
            {
                "students": [digest_of(one) for one in students],
                "settings": f"{training!r} {copies!r} {peers!r} seed={seed}",
            },
            _bytes(students) * -(-training.steps // copies.every),
            most_bytes,
        )
        with resuming(place / f"student-{number}.unfinished"), seeded(1000 * seed + number):
            return _trained(number, students, task, training, exchange, copies, peers)
    finally:
        lock.release()


def _check(number: int, students: Sequence[nn.Module], patience: float) -> None:
    """Raise ValueError for students that cannot teach each other, and for numbers out of range."""
    check_students(students)
    if not 0 <= number < len(students) or patience < 0:
        raise ValueError(
            f"the student {number} of {len(students)}, with a patience of {patience} seconds: "
            f"number is 0 to {len(students) - 1}, and patience 0 or more"
        )


def _trained(
    number: int,
    students: Sequence[nn.Module],
    task: Task,
    training: Training,
    exchange: Exchange,
    copies: Copies,
    peers: Peers,
) -> nn.Module:
    """The student, trained with the copies that are in the folder."""
    student = clone(students[number])
    others = {
        index: clone(one).requires_grad_(False)
        for index, one in enumerate(students)
        if index != number
    }
    lesson = _Lesson(task, {(): task}, [task])
    first, reads_first = peers.first(training.steps), True

    def before_step(step: int) -> None:
        nonlocal reads_first
        if step < first:
            return
        turn, since = divmod(step - first, copies.every)
        if since == 0:
            exchange.leave(student, turn)
        if since == 0 or reads_first:  # a training that goes on reads the copies that it had
            known = tuple(one for one, copy in others.items() if exchange.take(one, copy, turn))
            if known not in lesson.known:
                lesson.known[known] = peers.lesson(task, [others[one] for one in known])
            lesson.now[0] = lesson.known[known]
        reads_first = False

    return train(
        student,
        lesson,
        training,
        before_step=before_step,
        what=f"training the student {number} of {len(students)}",
        key=f"{number} {copies!r} {peers!r}",
    )


@dataclass(frozen=True, eq=False)
class _Lesson(View):
    """The task, taught by the students of which there are copies.

    `known`: the taught tasks that there were, by the numbers of the students that teach.
    `now`: the one of this moment, in a list of one.
    """

    task: Task
    known: dict[tuple[int, ...], Task]
    now: list[Task]

    def loss(self, model: Any, batch: Any) -> Any:
        return self.now[0].loss(model, batch)


def _lock(folder: Path, number: int) -> FileLock:
    path = folder / f"student-{number}.lock"
    try:
        return FileLock(path)
    except BlockingIOError:
        raise BlockingIOError(
            f"another process trains the student {number} in {folder}: give each process a number "
            "of its own"
        ) from None


def _bytes(students: Sequence[nn.Module]) -> int:
    """The bytes of a copy of each student."""
    return sum(one.nbytes for student in students for one in student.state_dict().values())
