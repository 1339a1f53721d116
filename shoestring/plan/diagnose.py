"""diagnose: why a network does not train."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, batches, check_task, seeded, unwrapped
from shoestring.kit import AdamW, Training, clone
from shoestring.kit.health.first import first_not_finite, of_signals
from shoestring.kit.health.signals import Signal, begin, listening
from shoestring.plan.diagnosis import Diagnosis, Finding, LayerHealth, RateTried
from shoestring.plan.findings import Seen, find

BATCHES = 3
"""Training batches that are looked at, where nobody gives a number."""
STEPS = 10
"""Steps of each learning rate that is tried."""


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
    same batches at a tenth of the learning rate, at the rate and at ten times the rate. The model
    stays as it was, and so do random numbers. `print` shows the findings and the table.

    `training`: how the model is to be trained; its learning rate is tried.
    `looked_at`: training batches, 1 or more; 2 or more tell dead units from units that were off.
    `rate_steps`: steps for each rate, 0 or more; 0 tries none.
    `seed`: of the batches.

    Raises TypeError for what is no module or no task; ValueError for a model without parameters,
    for numbers out of range and for a training split without batches; and what the model's forward
    or the task's loss raises.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"diagnose needs a torch module, and got {type(model).__name__}")
    check_task(task)
    model = unwrapped(model)
    if looked_at < 1 or rate_steps < 0:
        raise ValueError(
            f"looked_at={looked_at}, rate_steps={rate_steps}: give 1 batch or more, and 0 steps or "
            "more"
        )
    if not any(True for _ in model.parameters()):
        raise ValueError(
            f"{type(model).__name__} has no parameters: there is nothing to train or to diagnose"
        )
    if any(isinstance(one, nn.parameter.UninitializedParameter) for one in model.parameters()):
        raise ValueError("the model has lazy layers that have seen no input: run it once before")
    with seeded(seed):
        copy = clone(model).train()
        _keep_frozen(copy, model)
        shown = list(islice(batches(task, "train", copy), looked_at))
    if not shown:
        raise ValueError("the task's training split has no batches: there is nothing to look at")
    seen = _look(copy, task, shown, training, seed)
    rates = _rates(model, task, shown, training, rate_steps, seed) if seen.trainable else ()
    findings = find(replace(seen, rates=rates))
    return Diagnosis(
        findings=findings,
        layers=tuple(_row(one, seen, findings) for one in seen.signals),
        rates=rates,
        loss=seen.loss,
        batches=len(shown),
        unseen=_unseen(model, seen),
    )


def _keep_frozen(copy: nn.Module, model: nn.Module) -> None:
    """Give the copy of a model in training mode the modes that its parts have."""
    if model.training:
        for part, own in zip(copy.modules(), model.modules(), strict=False):
            part.training = own.training


def _look(
    model: nn.Module, task: Task, shown: Sequence[Any], training: Training, seed: int
) -> Seen:
    """Run the model forwards and back on each batch."""
    losses: list[float] = []
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    depends, where = True, ""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with seeded(seed), listening(model) as signals:
        for batch in shown:
            begin(signals)
            model.zero_grad()
            for name, buffer in model.named_buffers():  # each batch meets the same statistics
                buffer.data.copy_(kept[name])
            loss = task.loss(model, batch)
            losses.append(float(loss.detach()))
            depends = depends and loss.requires_grad
            if not math.isfinite(losses[-1]) or not loss.requires_grad:
                break
            loss.backward()
            for name, weight in model.named_parameters():
                if weight.grad is not None:
                    gradient = weight.grad.detach().float()
                    first[name] = first.get(name, 0.0) + gradient / len(shown)
                    second[name] = second.get(name, 0.0) + gradient.square() / len(shown)
    if not math.isfinite(losses[-1]):
        where = of_signals(list(signals.values())) or first_not_finite(
            model, shown[len(losses) - 1], lambda: task.loss(model, shown[len(losses) - 1])
        )
    return Seen(
        signals=tuple(signals.values()),
        losses=tuple(losses),
        batches=tuple(shown),
        where=where,
        depends=depends,
        weights={name: weight.detach() for name, weight in model.named_parameters()},
        frozen=tuple(name for name, one in model.named_parameters() if not one.requires_grad),
        gradients=first,
        updates=_updates(model, first, second, training.optimizer),
        rate=training.optimizer.learning_rate,
    )


def _updates(
    model: nn.Module, first: dict[str, Tensor], second: dict[str, Tensor], optimizer: AdamW
) -> dict[str, float]:
    """The share of each parameter that a step of Adam with these moments changes."""
    shares: dict[str, float] = {}
    for name, weight in model.named_parameters():
        size = float(weight.detach().float().square().mean().sqrt()) if weight.numel() else 0.0
        if name in first and size:
            step = first[name] / (second[name].sqrt() + 1e-8)
            shares[name] = optimizer.learning_rate * float(step.square().mean().sqrt()) / size
    return shares


def _rates(
    model: nn.Module, task: Task, shown: Sequence[Any], training: Training, steps: int, seed: int
) -> tuple[RateTried, ...]:
    """The loss after some steps on the batches, at three rates, each on a copy."""
    highest = training.optimizer.learning_rate
    rates = (highest / 10, highest, highest * 10) if steps else ()
    return tuple(
        _tried(model, task, shown, replace(training.optimizer, learning_rate=rate), steps, seed)
        for rate in rates
    )


def _tried(
    model: nn.Module, task: Task, shown: Sequence[Any], optimizer: AdamW, steps: int, seed: int
) -> RateTried:
    copy = clone(model).train()
    _keep_frozen(copy, model)
    weights = [one for one in copy.parameters() if one.requires_grad and one.is_floating_point()]
    stepper = torch.optim.AdamW(
        weights, lr=optimizer.learning_rate, weight_decay=optimizer.weight_decay
    )

    def losses() -> float:
        with torch.no_grad():
            return sum(float(task.loss(copy, batch)) for batch in shown) / len(shown)

    with seeded(seed):
        before = after = losses()
        for step in range(steps):
            stepper.zero_grad()
            loss = task.loss(copy, shown[step % len(shown)])
            if not torch.isfinite(loss):
                after = float(loss)
                break
            loss.backward()
            stepper.step()
        else:
            after = losses()
    return RateTried(rate=optimizer.learning_rate, before=before, after=after)


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
    if not seen.signals:
        told.append("no call of torch with weights was heard")
    return tuple(told)
