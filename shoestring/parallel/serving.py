"""A training whose gradients are made by worker processes: what this process has to do for it."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, seeded, spend
from shoestring.kit import Training
from shoestring.kit.training.resume import Batches
from shoestring.kit.training.steps import Steps
from shoestring.kit.weights.buffers import copies_of_buffers, restore_buffers
from shoestring.parallel.crew import ENDS, Answer, Crew, WorkersWarning
from shoestring.parallel.exchange.plain import SinglePrecision
from shoestring.parallel.exchange.protocols import GradientExchange
from shoestring.parallel.in_copies import (
    changed_of,
    check_can_be_copied,
    is_as_before,
    is_equal,
    mark_of,
    what_is_copied,
    what_is_kept,
)
from shoestring.parallel.joining import Door, Listening, as_state, marks_of
from shoestring.parallel.messages import (
    GarbledError,
    as_bytes,
    from_bytes,
    hear,
    number,
    numbers,
    size_of,
    tell,
)

_WHOLE = SinglePrecision()
RENEWED = 10
"""Where something is changed between steps, workers are made anew before multiples of this step."""
APART = 1_000_003
"""What the seeds of two batches differ by: a batch has random numbers of its own in dropout."""
_HEARING_SECONDS = 600.0
"""The time that weights or gradients may take on the way, for a worker."""
_WAKES_SECONDS = 1.0
"""How often a worker that has nothing to do looks whether the program still runs."""


@dataclass(frozen=True)
class Gradient:
    """What a worker made of a batch.

    `place`: the worker's; `ticket`: the number of the batch, from 0.
    `each`: the gradients of the parameters that are trained; None for those that had none.
    """

    place: int
    ticket: int
    loss: float
    each: list[Tensor | None]


class Served(Steps):
    """Steps whose gradients worker processes make; this process applies them."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        training: Training,
        count: int,
        patience: float,
        slower: tuple[float, ...],
        exchange: GradientExchange = _WHOLE,
        listening: Listening | None = None,
    ) -> None:
        super().__init__(model, task, training)
        check_can_be_copied(model, self.parameters)
        self.exchange = exchange
        # single precision goes as it is, and then doubles do too
        self.coder = None if exchange == _WHOLE else exchange.coder(self.parameters)
        left = [] if self.coder is None else self.coder.tensors
        self.behind: dict[int, bytes] = {}
        self.slower, self.listening = slower, listening
        self.door: Door | None = None
        self.names = [name for name, one in model.named_buffers() if one.device.type == "cpu"]
        most = size_of(self.parameters) + size_of(self.buffers) + size_of(left)
        keep = self.behind.__setitem__ if left else None  # a worker takes it once
        self.crew = Crew(count, patience, most, self._work, keep)
        self.done = torch.zeros((), dtype=torch.int64)
        self.held: dict[int, Any] = {}  # batches that were drawn, and whose gradient is not there
        self.early: set[int] = set()  # gradients that were there before this process drew the batch
        self.again: set[int] = set()
        self.drawn, self.loads = 0, False
        self.latest: dict[tuple[int, int], Tensor] = {}
        self.changes = self.warned = self.worked = False
        self.marks: dict[int, int] = {}  # of batches that only this process or a worker has drawn
        self.seen: Any = None

    @property
    def buffers(self) -> list[Tensor]:
        """The buffers that there were at the beginning, as they are now: some are assigned anew."""
        now = dict(self.model.named_buffers())
        return [now[name] for name in self.names]

    @property
    def state(self) -> list[Tensor]:
        """With how many gradients were applied."""
        return [*super().state, self.done]

    def begin(self, step: int, batches: Batches, *, changes: bool) -> None:
        """Remember where the training stands, for the workers."""
        self.drawn, self.batches, self.changes = step, batches, changes
        if self.listening is not None:
            if changes:
                raise ValueError(
                    "something changes the model between the steps of this training, which workers "
                    "of other machines do not see: leave listening out"
                )
            marks = marks_of(self.model, self.task, self.training, self.exchange)
            self.door = Door(self.listening, marks)

    def rehearse(self, batch: Any) -> None:
        """Make the gradients of a batch once here, so that their operations are counted."""
        kept = copies_of_buffers(self.model)
        with seeded(0):
            Steps.backward(self, batch)
        restore_buffers(self.model, kept)
        self.model.zero_grad()

    def end(self) -> None:
        """Let the workers go, and report what went over the wire."""
        if self.door is not None:
            self.door.close()
        self.crew.end()
        spend("communicated_bytes", self.crew.sent)

    def note(self, batch: Any) -> None:
        """A batch was drawn: a worker that begins now may get it, and goes on behind it."""
        if self.drawn in self.early:
            self.early.remove(self.drawn)
        else:
            self.held[self.drawn] = batch
        if self.drawn in self.held or self.drawn in self.marks:
            self._compare(self.drawn, mark_of(batch))
        self.drawn += 1
        self.loads = bool(active_children())
        if self.changes:
            now = what_is_copied(self.model)
            if self.drawn % RENEWED == 1 or not is_as_before(now, self.seen):
                self.crew.renew()
            self.seen = now

    def welcome(self) -> None:
        """Give those who came from other machines a place, and tell them where the training is."""
        for connection, name in self.door.came() if self.door is not None else ():
            words = {"drawn": self.drawn, "taken": self.batches.taken}
            data = as_bytes(self.buffers) + as_state(self.batches.begun)
            try:
                self.crew.sent += tell(connection, words, data, self.crew.patience)
            except OSError:
                connection.close()
                continue
            self.crew.add(connection, f"a worker at {name}")

    def hand(self, place: int, ticket: int, weights: bytes) -> bool:
        """Give a worker a batch and the weights; False where it is gone and not replaced."""
        if ticket in self.again:  # other workers may be past it: a new one is where this process is
            self.again.remove(ticket)
            self.crew.dismiss(place)
        is_there = self.crew.hand(place, ticket, weights)
        self.behind.pop(place, None)  # whoever begins after that has not to send it again
        return is_there

    def hand_out(self, wanted: list[int], weights: bytes) -> None:
        """Give each worker that has nothing to do the earliest of these batches, and take it."""
        for place in self.crew.idle():
            if not wanted:
                return
            wanted.remove(ticket := min(wanted))
            self.hand(place, ticket, weights)

    def answer(self) -> Gradient | int:
        """The next gradient; or the number of a batch that has to be made again."""
        answer = self.crew.answer()
        if isinstance(answer, Answer):
            try:
                return self._gradient(answer)
            except GarbledError as error:
                self.crew.refuse(answer.place, str(error))
                answer = answer.ticket
        self.again.add(answer)
        return answer

    def forget(self, ticket: int) -> None:
        """The gradient of a batch is there, or nobody waits for it."""
        self.held.pop(ticket, None)
        if ticket < self.drawn:
            self.marks.pop(ticket, None)
        else:
            self.early.add(ticket)

    def _compare(self, ticket: int, mark: int) -> None:
        """See that a worker and this process drew the same, once both have drawn a batch."""
        other = self.marks.pop(ticket, None)
        if other is None:
            self.marks[ticket] = mark
        elif other != mark:
            self._warn(
                f"batch {ticket} of a worker is not that of this process, so batches are not used "
                "once each: the task draws them from what copies of a process share, such as an "
                "open file, or do not, such as random numbers of its own. Open it anew in "
                "batches(), and seed what is random, or use AllReduced()"
            )

    def _warn(self, words: str) -> None:
        if not self.warned:
            warnings.warn(words, WorkersWarning, stacklevel=2)
        self.warned = True

    def _gradient(self, answer: Answer) -> Gradient:
        words, data = answer.words, answer.data
        if number(words, "ticket") != answer.ticket:
            raise GarbledError(f"ticket {words['ticket']} for {answer.ticket}")
        loss = words.get("loss")
        if not isinstance(loss, float):
            raise GarbledError(f"a loss of {loss!r}")
        changed = numbers(words, "buffers", len(self.buffers))
        buffers = [self.buffers[one] for one in changed]
        end = len(data) - size_of(buffers)
        if end < 0:
            raise GarbledError(f"{len(data)} bytes for {len(changed)} buffers")
        missing = set(numbers(words, "missing", len(self.parameters)))
        each = self._decoded(data[:end], missing)
        if self.crew.is_of_another_machine(answer.place) and math.isfinite(loss):
            found = [one for one in each if one is not None]
            if not all(bool(one.isfinite().all()) for one in found):
                raise GarbledError("gradients that are NaN or infinite, with a loss that is not")
        self._keep(answer.place, changed, from_bytes(data[end:], buffers))
        mark = number(words, "batch")
        if answer.ticket in self.marks or answer.ticket >= self.drawn:
            self._compare(answer.ticket, mark)
        if unseen := words.get("unseen"):
            self._warn(
                f"{str(unseen)[:300]} changed in a worker, where it is lost: keep what a layer or "
                "a task remembers in buffers of the model, which come back, or train without "
                "workers"
            )
        if self.changes:
            self.seen = what_is_copied(self.model)  # what came back is no change of somebody else's
        return Gradient(answer.place, answer.ticket, loss, each)

    def _decoded(self, data: bytearray, missing: set[int]) -> list[Tensor | None]:
        """A gradient for each parameter, but for those that had none."""
        if self.coder is None or len(missing) == len(self.parameters):
            present = [p for index, p in enumerate(self.parameters) if index not in missing]
            found = iter(from_bytes(data, present))
            numbered = range(len(self.parameters))
            return [None if index in missing else next(found) for index in numbered]
        try:
            decoded = self.coder.decode(torch.frombuffer(data, dtype=torch.uint8))
        except ValueError as error:
            raise GarbledError(str(error)) from error
        pairs = zip(self.parameters, decoded, strict=True)
        return [
            None if index in missing and not bool(one.any()) else one.to(p.dtype)
            for index, (p, one) in enumerate(pairs)
        ]

    def _keep(self, place: int, changed: list[int], values: list[Tensor]) -> None:
        """Each worker has its own moving averages; the model's are their mean."""
        for index, value in zip(changed, values, strict=True):
            self.latest[place, index] = value
            buffer = self.buffers[index]
            if buffer.is_floating_point():
                kept = sorted((by, one) for (by, at), one in self.latest.items() if at == index)
                of_all = [one for _, one in kept]
                value = torch.stack(of_all).mean(0)
            buffer.data.copy_(value)

    def _work(self, connection: Connection, place: int) -> None:
        """What a worker of this machine does."""
        program, coder = os.getppid(), self.coder
        if self.door is not None:
            self.door.leave()
        if coder is not None and place in self.behind:
            for one, value in zip(
                coder.tensors, from_bytes(self.behind[place], coder.tensors), strict=True
            ):
                one.copy_(value)
        _, is_over = self.work(connection, place, lambda: os.getppid() == program)
        if is_over and coder is not None and coder.tensors:  # errors that were not sent yet
            with contextlib.suppress(OSError):
                tell(connection, {}, as_bytes(coder.tensors), self.crew.patience)

    def work(
        self, connection: Connection, place: int, lives: Callable[[], bool]
    ) -> tuple[int, bool]:
        """Make gradients, until the training has no more to do or is gone.

        `lives`: whether the training's program does, as far as one sees here.

        Returns how many there were, and whether the training said that it is over.
        """
        made = 0
        while True:
            while not connection.poll(_WAKES_SECONDS):
                if not lives():
                    return made, False
            try:
                words, data, _ = hear(connection, self.crew.most, _HEARING_SECONDS)
            except (EOFError, OSError):
                return made, False
            if words == ENDS:
                return made, True
            answer = self._answer(number(words, "ticket"), data, place)
            try:
                tell(connection, *answer, _HEARING_SECONDS)
            except OSError:
                return made, False
            made += 1

    def _answer(
        self, ticket: int, weights: bytes | bytearray, place: int
    ) -> tuple[dict[str, Any], bytes]:
        """A worker's answer: the loss and the gradients of a batch with these weights."""
        for p, value in zip(self.parameters, from_bytes(weights, self.parameters), strict=True):
            p.data.copy_(value)
        before = [one.clone() for one in self.buffers]
        kept, made_before = {}, self.worked
        if not made_before:
            kept = what_is_kept(self.model, self.task)
        began = time.monotonic()
        self.marks.clear()
        loss, made = self.made(ticket)
        self.worked = True
        if place < len(self.slower):
            time.sleep((self.slower[place] - 1) * (time.monotonic() - began))
        now = self.buffers
        changed = [index for index, one in enumerate(now) if not is_equal(one, before[index])]
        unseen = [] if made_before else changed_of(kept, what_is_kept(self.model, self.task))
        unlike = [index for index in changed if now[index].shape != before[index].shape]
        changed = [index for index in changed if index not in unlike]
        words = {
            "ticket": ticket,
            "loss": loss,
            "batch": self.marks[ticket],
            "missing": [index for index, one in enumerate(made) if one is None],
            "buffers": changed,
            "unseen": ", ".join([*unseen, *(self.names[index] for index in unlike)]),
        }
        present = [one for one in made if one is not None]
        sent = as_bytes(present)
        if self.coder is not None and present:
            pairs = zip(self.parameters, made, strict=True)
            sent = as_bytes(
                [self.coder.encode([torch.zeros_like(p) if g is None else g for p, g in pairs])]
            )
        return words, sent + as_bytes([now[index] for index in changed])

    def made(self, ticket: int) -> tuple[float, list[Tensor | None]]:
        """What a worker makes of a batch: the loss, and a gradient for each parameter or None."""
        loss = self.lost_on(ticket)
        gradients = [p.grad for p in self.parameters]
        return loss, [g.to_dense() if g is not None and g.is_sparse else g for g in gradients]

    def lost_on(self, ticket: int) -> float:
        """A worker's loss of a batch, whose gradients are in the parameters afterwards."""
        batch = self._batch(ticket)
        self.marks[ticket] = mark_of(batch)
        with seeded((torch.initial_seed() + APART * (ticket + 1)) % (1 << 31)):
            return Steps.backward(self, batch)

    def _batch(self, ticket: int) -> Any:
        """The batch of a ticket: one that was drawn before this worker began, or one after it."""
        if ticket in self.held:
            return self.held.pop(ticket)
        if self.loads:  # batches come from other processes, which only the program may ask
            # the program's are kept: where they were let go, its processes would end
            self.of_program, self.loads = self.batches, False
            self.batches = Batches(self.of_program.task, self.of_program.model)
            self.batches.go(self.of_program.begun, self.of_program.taken)
        if ticket < self.drawn:
            raise GarbledError(f"batch {ticket} for a worker that is at {self.drawn}")
        while True:
            batch = next(self.batches)
            self.drawn += 1
            if self.drawn == ticket + 1:
                return batch
