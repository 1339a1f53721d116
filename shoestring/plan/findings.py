"""What is wrong with the signals of a network, as findings: a name, what was seen, what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from shoestring.kit.health.signals import Signal
from shoestring.plan.answer_findings import labels, probabilities, start
from shoestring.plan.deep_findings import constant_answers, depth
from shoestring.plan.diagnosis import Finding, RateTried
from shoestring.plan.seen import Seen

_LARGE, _SATURATED, _DEAD = 10.0, 0.5, 0.5
_NAMED = 3  # layers that a sentence names
_LOOKED = 8  # values of each unit from which on it may be called dead
_ROWS = {"collapsed router": 2, "starved experts": 10}
"""How many rows for each expert a finding needs: a few rows leave some experts out by chance."""


def find(seen: Seen) -> tuple[Finding, ...]:
    """All findings, the gravest first."""
    later = seen.later or seen  # what only begins silent is no longer so
    kinds = (
        (_not_finite, seen),
        (_nothing_to_learn, seen),
        (labels, seen),
        (probabilities, seen),
        (_inputs, seen),
        (constant_answers, seen),
        (_routing, seen),
        (depth, later),
        (_units, later),
        (_saturation, seen),
        (_statistics, seen),
        (_unreached, later),
        (start, seen),
        (_rate, seen),
    )
    return tuple(one for kind, look in kinds for one in kind(look))


def worth_another_look(seen: Seen) -> bool:
    """Whether gradients are missing that some steps may bring: a silent start, or a fault."""
    return seen.trainable and (
        bool(seen.zero_starts)
        or any(
            one.name != "exploding gradients"
            for kind in (constant_answers, depth, _units, _unreached)
            for one in kind(seen)
        )
    )


def _not_finite(seen: Seen) -> Iterator[Finding]:
    if not math.isfinite(seen.loss):
        bad = next((one.name for one in seen.signals if not one.finite), None)
        yield Finding(
            name="not a number",
            says=f"the loss is {seen.loss}: {seen.where}",
            do="Scale the inputs to about -1 to 1, initialise with "
            "shoestring.kit.fan_in_variance(model), and train in bfloat16 "
            "(shoestring.kit.Mixed()) rather than in float16",
            layers=() if bad is None else (bad,),
        )


def _nothing_to_learn(seen: Seen) -> Iterator[Finding]:
    if len(seen.frozen) == len(seen.weights):
        yield Finding(
            name="frozen",
            says="every parameter is frozen (requires_grad=False), so nothing can be learned",
            do="Call model.requires_grad_(True), or thaw the layers that are to learn",
        )
    elif not seen.depends:
        yield Finding(
            name="constant loss",
            says=f"the loss, {seen.loss:.4g}, does not depend on the parameters: no gradient comes "
            "back from it",
            do="Look for detach(), .data, item(), numpy() or no_grad() between the model and the "
            "loss, and for a loss made of decisions (argmax, accuracy)",
        )


def _inputs(seen: Seen) -> Iterator[Finding]:
    first = next((one for one in seen.signals if one.weights), None)
    if first is not None and first.entering > _LARGE and first.function not in ("batch_norm",):
        yield Finding(
            name="inputs not scaled",
            says=f"{first.name}, the first layer, gets values of a size of {first.entering:.3g}",
            do="Divide by 255, or subtract the mean and divide by the standard deviation, inside "
            "of the model, so that its file has it too",
            layers=(first.name,),
        )


def _routing(seen: Seen) -> Iterator[Finding]:
    for routing, likely, rows in zip(seen.routings, seen.probable, seen.rows, strict=True):
        if not likely.faults():
            continue  # an undecided router, such as a new one, which the balance loss can move
        for one in routing.faults():
            if rows >= _ROWS.get(one.name, 0) * len(routing.shares):
                yield Finding(name=one.name, says=one.says, do=one.do)


def _units(seen: Seen) -> Iterator[Finding]:
    known = [
        one
        for one in seen.signals
        if one.alive is not None and len(one.alive) and one.looked >= _LOOKED
    ]
    dead = [one for one in known if one.dead > _DEAD * len(one.alive)]  # type: ignore[arg-type]
    if dead:
        total = sum(one.dead for one in dead)
        units = sum(len(one.alive) for one in dead if one.alive is not None)
        yield Finding(
            name="dead units",
            says=f"{total} of {units} units of {_listed(dead)} give 0 for every example that was "
            "looked at, and get no gradient",
            do="Lower the rate or warm up longer, initialise with "
            "shoestring.kit.fan_in_variance(model), and put a norm before each ReLU",
            layers=tuple(one.name for one in dead),
        )


def _saturation(seen: Seen) -> Iterator[Finding]:
    bad = [one for one in seen.signals if (one.saturated or 0.0) > _SATURATED]
    if bad:
        yield Finding(
            name="saturated activations",
            says=f"{100 * (bad[0].saturated or 0):.0f} % of the values of {_listed(bad)} are at "
            "the function's bounds, where hardly a gradient comes back",
            do="Make what goes in smaller: scale the inputs, initialise with "
            "shoestring.kit.unit_variance(model, task), put a norm before it, or use a ReLU",
            layers=tuple(one.name for one in bad),
        )


def _statistics(seen: Seen) -> Iterator[Finding]:
    flat = [one for one in seen.signals if (one.constant or 0.0) > _DEAD]
    if flat:
        yield Finding(
            name="saturated norms",
            says=f"most channels that {_listed(flat)} gets hardly vary beside its eps, so that "
            "it gives its shift",
            do="Look at the layer before it: its units may be dead or its weights too small",
            layers=tuple(one.name for one in flat),
        )
    norms = [(one, ratio) for one in seen.signals if (ratio := one.variance_ratio) is not None]
    lost = [one for one, _ in norms if not one.running_finite]
    if lost:
        yield Finding(
            name="running statistics are no numbers",
            says=f"the running mean or variance of {_listed(lost)} is NaN or infinite, so that in "
            "evaluation it answers NaN or the same for every example: a batch overflowed once",
            do="Look for examples that are far too large, then call "
            "shoestring.kit.average_batch_norm(model, task), which leaves batches that overflow "
            "out",
            layers=tuple(one.name for one in lost),
        )
    off = [
        (one, ratio)
        for one, ratio in norms
        if one.running_finite and ((one.mean_off or 0.0) > 1 or not 0.25 < ratio < 4)
    ]
    if off:
        worst, _ = max(off, key=lambda pair: abs(math.log(max(pair[1], 1e-30))))
        yield Finding(
            name="running statistics are off",
            says=f"what {worst.name} gets has {worst.variance_ratio:.3g} times the variance that "
            f"it would divide by in evaluation, and a mean {worst.mean_off:.2g} deviations away; "
            f"{len(off)} of {len(norms)} norms are off, and errors multiply through depth",
            do="Before evaluation call shoestring.kit.average_batch_norm(model, task), or train "
            "with Training(statistics=Averaged()), both of shoestring.kit",
            layers=tuple(one.name for one, _ in off),
        )


def _unreached(seen: Seen) -> Iterator[Finding]:
    if not seen.depends or not math.isfinite(seen.loss):
        return
    learning = [name for name in seen.weights if name not in seen.frozen]
    unsent = tuple(
        f"{name}.experts.{number}.".lstrip(".")
        for name, numbers in seen.unsent.items()
        for number in numbers
    )
    without = [
        name
        for name in learning
        if (name not in seen.gradients or not bool(seen.gradients[name].any()))
        and name not in seen.zero_starts
        and not name.startswith(unsent)
    ]
    broken = [name for name, one in seen.gradients.items() if not bool(torch.isfinite(one).all())]
    if broken:
        yield Finding(
            name="gradients are no numbers",
            says=f"the gradient of {listed(broken)} is NaN or infinite though the loss is finite",
            do="Look for square roots, logarithms and norms of 0 after it, and add a small number "
            "inside",
        )
    if without and len(without) < len(learning):
        yield Finding(
            name="no gradient",
            says=f"no gradient reaches {listed(without)}",
            do="Check that forward() uses it and that nothing detaches it; what is not to learn "
            "should be frozen (requires_grad_(False))",
            layers=tuple(
                one.name for one in seen.signals if one.weights and {*one.weights} <= {*without}
            ),
        )


def _rate(seen: Seen) -> Iterator[Finding]:
    if len(seen.rates) != 3:
        return
    slow, now, fast = seen.rates

    def gained(one: RateTried) -> float:
        return one.before - one.after if math.isfinite(one.after) else -math.inf

    if gained(now) < 0 < gained(slow):
        yield Finding(
            name="learning rate too high",
            says=f"steps at {now.rate:g} take the loss from {now.before:.4g} to {now.after:.4g}, "
            f"and at {slow.rate:g} to {slow.after:.4g}",
            do=f"Use {type(seen.optimizer).__name__}({slow.rate:g}), or a longer warm-up "
            "(Cosine(0.1)) and Clipped(1.0), all of shoestring.kit",
        )
    elif not seen.zero_starts and gained(fast) > max(8 * gained(now), 0.003 * abs(fast.before)):
        yield Finding(
            name="learning rate too low",
            says=f"steps at {now.rate:g} take the loss from {now.before:.4g} to {now.after:.4g}, "
            f"and at {fast.rate:g} to {fast.after:.4g}",
            do=f"Use shoestring.kit.{type(seen.optimizer).__name__}({fast.rate:g})",
        )
    elif max(gained(one) for one in seen.rates) < 0.01 * abs(now.before):
        yield Finding(
            name="nothing is learned",
            says=f"at no rate ({slow.rate:g}, {now.rate:g}, {fast.rate:g}) does the loss of the "
            f"same batches fall below {now.before:.4g} by a hundredth",
            do="Look at the findings above; where there are none, check that labels belong to "
            "their inputs",
        )


def _listed(signals: Sequence[Signal]) -> str:
    return listed([one.name for one in signals])


def listed(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
