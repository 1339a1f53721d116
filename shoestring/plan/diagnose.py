"""diagnose: why a network does not train."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, batches, check_task, seeded, unwrapped
from shoestring.kit import LAMB, LARS, SGD, Training
from shoestring.kit.health.first import first_not_finite, of_signals, of_values
from shoestring.kit.health.signals import SIGMOIDS, Key, Signal, begin, listening
from shoestring.kit.health.ways import Ways, ways_to, zero_starts
from shoestring.kit.routing.shares import Routing, counting, shares_of
from shoestring.kit.tracing.product import PRODUCTS
from shoestring.kit.training.optimizers import Optimizer
from shoestring.kit.training.steps import Steps, in_precision
from shoestring.kit.weights.buffers import copies_of_buffers, restore_buffers
from shoestring.kit.weights.copying import clone_in_training
from shoestring.plan.answer_findings import probable_classes, too_few
from shoestring.plan.diagnosis import Diagnosis, Finding, LayerHealth, RateTried
from shoestring.plan.findings import find, listed, worth_another_look
from shoestring.plan.seen import Seen

BATCHES = 3
"""Training batches that are looked at, where nobody gives a number."""
STEPS = 10
"""Steps of each learning rate that is tried."""
LATER = 5
"""Steps after which a network is looked at again whose gradients are missing at first."""
_OF_CLASSES = ("out of bounds", "class probabilities")
"""Of the errors of losses over classes: an answer that is not there, and answers of one axis."""


def diagnose(
    model: nn.Module,
    task: Task,
    *,
    training: Training = Training(),
    looked_at: int = BATCHES,
    rate_steps: int = STEPS,
    seed: int = 0,
) -> Diagnosis:
    """Look at what goes through a network in training, layer by layer, and say what is wrong.

    A copy is run on some training batches, forwards and back, and trained for some steps on the
    same batches at a tenth of the learning rate, at the rate and at ten times the rate. Where
    gradients are missing, as behind a layer that begins at zero, a copy is trained for `LATER`
    steps and looked at again, before anything is called dead, unreached or vanishing. The model
    stays as it was, and so do random numbers. `print` shows the findings and the table.

    `training`: how the model is to be trained. Losses are computed in its precision, and rates are
        tried with its clipping and its schedule, shortened to `rate_steps`.
    `looked_at`: training batches, 1 or more; 2 or more tell dead units from units that were off.
    `rate_steps`: steps for each rate, 0 or more; 0 tries none.
    `seed`: of the batches.

    Raises TypeError for what is no module or no task; ValueError for a model without parameters,
    for numbers out of range, for a training with workers, for a training split without batches and
    for a loss that fails since the labels have more classes than the model has answers; and what
    the model's forward or the task's loss raises.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"diagnose needs a torch module, and got {type(model).__name__}")
    check_task(task)
    model = unwrapped(model)
    _check(model, training, looked_at, rate_steps)
    training.check_alone("diagnose")
    with seeded(seed):
        copy = clone_in_training(model)
        shown = list(islice(batches(task, "train", copy), looked_at))
    if not shown:
        raise ValueError("the task's training split has no batches: there is nothing to look at")
    seen = _look(copy, task, shown, training, seed)
    if worth_another_look(seen):
        later = _look(_moved(model, task, shown, training, seed), task, shown, training, seed)
        # A weight that began at zero is still small and lets little gradient through.
        zeros = {*seen.zero_starts.values()}
        chain = tuple(one for one in later.chain if not zeros & {*one.weights})
        later = replace(later, chain=chain) if math.isfinite(later.loss) else None
        seen = replace(seen, later=later)
    rates = _rates(model, task, shown, training, rate_steps, seed) if seen.trainable else ()
    seen = replace(seen, rates=rates)
    findings = find(seen)
    return Diagnosis(
        findings=findings,
        layers=tuple(_row(one, seen, findings) for one in seen.signals),
        rates=rates,
        loss=seen.loss,
        batches=len(shown),
        unseen=_unseen(model, seen),
    )


def _check(model: nn.Module, training: Training, looked_at: int, rate_steps: int) -> None:
    if not isinstance(training, Training):
        raise TypeError(f"training={training!r}: give a Training, such as Training(1000)")
    for name, value, least in (("looked_at", looked_at, 1), ("rate_steps", rate_steps, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}: give an integer, {least} or more")
    if not any(True for _ in model.parameters()):
        raise ValueError(
            f"{type(model).__name__} has no parameters: there is nothing to train or to diagnose"
        )
    if any(isinstance(one, nn.parameter.UninitializedParameter) for one in model.parameters()):
        raise ValueError("the model has lazy layers that have seen no input: run it once before")


def _look(
    model: nn.Module, task: Task, shown: Sequence[Any], training: Training, seed: int
) -> Seen:
    """Run the model forwards and back on each batch."""
    losses: list[float] = []
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    depends, where, ways, probable = True, "", Ways(), 0
    kept, answered = copies_of_buffers(model), deque[Any]([None], maxlen=1)
    hook = model.register_forward_hook(lambda _part, _args, one: answered.append(one))
    with seeded(seed), counting(model) as routed, listening(model) as signals:
        for batch in shown:
            begin(signals)
            model.zero_grad()
            restore_buffers(model, kept)  # each batch meets the same statistics
            loss = _loss(model, task, batch, shown, training, answered)
            losses.append(float(loss.detach()))
            depends = depends and loss.requires_grad
            if not math.isfinite(losses[-1]) or not loss.requires_grad:
                break
            ways, probable = ways_to(loss, signals, PRODUCTS), probable_classes(answered[-1], loss)
            loss.backward()
            for name, weight in model.named_parameters():
                if weight.grad is not None:
                    gradient = _as_real(weight.grad.detach()).float()
                    first[name] = first.get(name, 0.0) + gradient / len(shown)
                    second[name] = second.get(name, 0.0) + gradient.square() / len(shown)
        begin(signals)  # forgets the graph
    hook.remove()
    restore_buffers(model, kept)
    if not math.isfinite(losses[-1]):
        where = _where(model, task, shown[len(losses) - 1], training, signals)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    learning = {name for name, gradient in first.items() if bool(gradient.any())}
    zeros = zero_starts(ways, signals, weights, learning)
    return Seen(
        signals=tuple(signals.values()),
        losses=tuple(losses),
        batches=tuple(shown),
        where=where,
        depends=depends,
        weights=weights,
        frozen=tuple(name for name, one in model.named_parameters() if not one.requires_grad),
        gradients=first,
        updates=_updates(model, first, second, training.optimizer),
        optimizer=training.optimizer,
        # A gradient that a zero stops says nothing about depth; one that underflows to 0 does.
        chain=tuple(
            one
            for one in map(signals.__getitem__, ways.longest)
            if one.gradient is not None and not {*one.weights} <= zeros.keys()
        ),
        zero_starts=zeros,
        routings=_routings({name: one.rows for name, one in routed.items()}),
        probable=_routings({name: one.probability for name, one in routed.items()}),
        rows=tuple(int(one.rows.sum()) for one in routed.values()),
        answered=_shape(answered[-1]),
        probabilities=probable,
        sigmoids=_sigmoids(signals, ways),
    )


def _sigmoids(signals: dict[Key, Signal], ways: Ways) -> tuple[str, ...]:
    """The sigmoids between layers, by name, without gates and the one of the answer."""
    return tuple(
        one.name
        for key, one in signals.items()
        if one.function in SIGMOIDS and ways.users.get(key) and key not in ways.factors
    )


def _loss(
    model: nn.Module,
    task: Task,
    batch: Any,
    shown: Sequence[Any],
    training: Training,
    answered: Sequence[Any],
) -> Tensor:
    """The loss of a batch; ValueError where it fails since there are more classes than answers."""
    try:
        with in_precision(model, training):
            return task.loss(model, batch)
    except (IndexError, RuntimeError) as error:
        told = too_few(_shape(answered[-1]), shown)
        if told and any(words in str(error) for words in _OF_CLASSES):
            raise ValueError(told) from error
        raise


def _where(
    model: nn.Module,
    task: Task,
    batch: Any,
    training: Training,
    signals: dict[Key, Signal],
) -> str:
    """Where NaN or infinity first appears: in what the model was given, or else in its calls."""
    with in_precision(model, training):
        return (
            of_values(model, batch)
            or of_signals(list(signals.values()))
            or first_not_finite(model, batch, lambda: task.loss(model, batch))
        )


def _shape(answer: Any) -> tuple[int, ...]:
    return tuple(answer.shape) if isinstance(answer, Tensor) else ()


def _as_real(values: Tensor) -> Tensor:
    """Complex numbers as pairs; others as they are."""
    return torch.view_as_real(values.resolve_conj()) if values.is_complex() else values


def _routings(numbers: dict[str, Tensor]) -> tuple[Routing, ...]:
    """What each mixture sends to each of its experts, as shares."""
    return tuple(Routing(name=name, shares=shares_of(one)) for name, one in numbers.items())


def _updates(
    model: nn.Module,
    first: dict[str, Tensor],
    second: dict[str, Tensor],
    optimizer: Optimizer,
) -> dict[str, float]:
    """The share of each parameter that a step of Adam with these moments changes.

    The first step of Adagrad is the same; that of SGD is along the gradient. LARS and LAMB give the
    step of a layer the layer's size.
    """
    shares: dict[str, float] = {}
    for name, weight in model.named_parameters():
        values = _as_real(weight.detach()).float()
        size = float(values.square().mean().sqrt()) if weight.numel() else 0.0
        if name in first and size:
            plain = isinstance(optimizer, SGD | LARS)
            step = first[name] if plain else first[name] / (second[name].sqrt() + 1e-8)
            share = float(step.square().mean().sqrt()) / size
            if share and weight.ndim > 1 and isinstance(optimizer, LARS | LAMB):
                share = optimizer.trust if isinstance(optimizer, LARS) else 1.0
            shares[name] = optimizer.learning_rate * share
    return shares


def _rates(
    model: nn.Module, task: Task, shown: Sequence[Any], training: Training, steps: int, seed: int
) -> tuple[RateTried, ...]:
    """The loss after some steps on the batches, at three rates, each on a copy."""
    highest = training.optimizer.learning_rate
    rates = (highest / 10, highest, highest * 10) if steps else ()
    return tuple(
        _tried(
            model,
            task,
            shown,
            replace(
                training, steps=steps, optimizer=replace(training.optimizer, learning_rate=rate)
            ),
            seed,
        )
        for rate in rates
    )


def _moved(
    model: nn.Module, task: Task, shown: Sequence[Any], training: Training, seed: int
) -> nn.Module:
    """A copy after some steps on the batches."""
    copy = clone_in_training(model)
    stepping = Steps(copy, task, training)
    with seeded(seed):
        for step in range(LATER):
            if not math.isfinite(stepping.backward(shown[step % len(shown)])):
                break
            stepping.step(step, LATER)
    copy.zero_grad()
    return copy


def _tried(
    model: nn.Module, task: Task, shown: Sequence[Any], training: Training, seed: int
) -> RateTried:
    copy = clone_in_training(model)
    stepping = Steps(copy, task, training)

    def losses() -> float:
        with torch.no_grad(), in_precision(copy, training):
            return sum(float(task.loss(copy, batch)) for batch in shown) / len(shown)

    with seeded(seed):
        before = losses()
        for step in range(training.steps):
            after = stepping.backward(shown[step % len(shown)])
            if not math.isfinite(after):
                break
            stepping.step(step, training.steps)
        else:
            after = losses()
    return RateTried(rate=training.optimizer.learning_rate, before=before, after=after)


def _row(signal: Signal, seen: Seen, findings: Sequence[Finding]) -> LayerHealth:
    """The row of a call."""
    updates = [seen.updates[name] for name in signal.weights if name in seen.updates]
    notes = [one.name for one in findings if signal.name in one.layers]
    return LayerHealth(
        layer=signal.layer,
        function=signal.function,
        weights=signal.weights,
        output=signal.size,
        largest=signal.largest,
        gradient=signal.gradient,
        update=max(updates, default=None),
        spread=signal.spread,
        dead=None if signal.alive is None else signal.dead,
        units=None if signal.alive is None else len(signal.alive),
        saturated=signal.saturated,
        mean_off=signal.mean_off,
        variance_ratio=signal.variance_ratio,
        note=", ".join(notes),
    )


def _unseen(model: nn.Module, seen: Seen) -> tuple[str, ...]:
    """What the signals do not have."""
    told: list[str] = []
    compiled = [
        name or "the model"
        for name, part in model.named_modules()
        if isinstance(part, torch.jit.ScriptModule)
    ]
    if compiled:
        told.append(f"{compiled[0]} is compiled, and what happens inside it is hidden")
    recurrent = [one.name for one in seen.signals if one.function in ("lstm", "gru", "rnn_tanh")]
    if recurrent:
        told.append(f"the steps inside of {recurrent[0]}, of which only the outputs are known")
    for (name, experts), rows in zip(seen.unsent.items(), seen.rows, strict=True):
        if experts:
            told.append(
                f"experts {', '.join(map(str, experts))} of {name or 'the model'}, to which none "
                f"of {rows} rows was sent"
            )
    if seen.zero_starts:
        after = f"a copy was looked at after {LATER} steps"
        if seen.later is None:
            after = f"after {LATER} steps the loss is no number"
        names, zeros = tuple(seen.zero_starts), tuple(dict.fromkeys(seen.zero_starts.values()))
        told.append(
            f"the gradient of {listed(names)}: its last weight begins at zero ({listed(zeros)}), "
            "as zero-initialised branches do, and gets a gradient itself; " + after
        )
        if seen.rates:
            told.append("whether the rate is too low: behind a zero few steps gain little at any")
    complex_ = [name for name, one in model.named_parameters() if one.is_complex()]
    if complex_:
        told.append(f"the calls with complex numbers, such as those of {listed(complex_)}")
    if not seen.signals:
        told.append("no call of torch with weights was heard")
    return tuple(told)
