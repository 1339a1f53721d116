"""Ways through a network, as gradients take them: which heard calls feed which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from shoestring.kit.health.signals import Key, Signal, heard_nodes

_SCALES = ("batch_norm", "layer_norm", "group_norm", "rms_norm", "instance_norm", "mul")
"""Functions whose first weight multiplies, and may have one axis."""


@dataclass
class Ways:
    """The calls that a loss was computed from, and how they follow one another.

    `longest`: of the functions that were asked for, the calls on the way that has most of them,
        from the input to the loss. Of parallel parts it is one, with what comes before and behind.
    `users`: for each call, the calls that its output goes into with nothing heard between.
    `factors`: the calls whose outputs are multiplied by one another, such as gates.
    """

    longest: tuple[Key, ...] = ()
    users: dict[Key, set[Key]] = field(default_factory=dict)
    factors: set[Key] = field(default_factory=set)


def ways_to(loss: Tensor, signals: dict[Key, Signal], functions: tuple[str, ...]) -> Ways:
    """The ways to a loss through the calls that `listening` heard since the last `begin`.

    It follows torch's graph of gradients: what is detached is on no way. Read it before another
    batch begins.
    """
    nodes = heard_nodes(signals)
    ways = Ways()
    # For each node, what it was computed from: how many calls are on its longest way, the last of
    # them, and the nearest heard calls.
    length: dict[Any, int] = {}
    last: dict[Any, Any] = {}
    nearest: dict[Any, set[Key]] = {}
    for node in _inputs_first(loss.grad_fn):
        before = [one for one, _ in node.next_functions if one is not None]
        best = max(before, key=lambda one: length[one], default=None)
        length[node] = 0 if best is None else length[best]
        last[node] = None if best is None else last[best]
        nearest[node] = set().union(*(nearest[one] for one in before))
        if len(before) == 2 and all(map(nearest.get, before)) and node.name().startswith("Mul"):
            ways.factors |= nearest[node]
        if (key := nodes.get(node)) is not None:
            for one in nearest[node]:
                ways.users.setdefault(one, set()).add(key)
            nearest[node] = {key}
            if signals[key].function in functions:
                length[node] += 1
                last[node] = node, last[node]
    way: list[Key] = []
    step = last.get(loss.grad_fn)
    while step is not None:
        node, step = step
        way.append(nodes[node])
    ways.longest = tuple(reversed(way))
    return ways


def _inputs_first(end: Any) -> Iterator[Any]:
    """The nodes of a graph, each after all that it was computed from."""
    done: set[Any] = set()
    waiting: list[tuple[Any, bool]] = [(end, False)] if end is not None else []
    while waiting:
        node, ready = waiting.pop()
        if node in done:
            continue
        if ready:
            done.add(node)
            yield node
        else:
            waiting.append((node, True))
            waiting += [(one, False) for one, _ in node.next_functions if one is not None]


def zero_starts(
    ways: Ways, signals: Mapping[Key, Signal], weights: Mapping[str, Tensor], learning: set[str]
) -> dict[str, str]:
    """The parameters that get no gradient only since a weight behind them begins at zero.

    {name of the parameter: name of the weight}. Such a weight gets a gradient, so that it leaves
    zero in the first step: a zero-initialised branch.

    `weights`: all parameters. `learning`: the names of those that get a gradient.
    """

    def zero_of(signal: Signal) -> str | None:
        """The weight at zero by which a call multiplies; a shift at zero stops no gradient."""
        factors = [one for one in signal.weights if weights[one].ndim > 1]
        if not factors and signal.function in _SCALES:
            factors = list(signal.weights[:1])
        return next((n for n in factors if n in learning and not bool(weights[n].any())), None)

    found: dict[str, str] = {}
    for key, signal in signals.items():
        silent = [name for name in signal.weights if name not in learning]
        if not silent:
            continue
        reason = zero_of(signal) if signal.gradient else _first_behind(key, ways, signals, zero_of)
        if reason is not None:
            found |= dict.fromkeys(silent, reason)
    return found


def _first_behind(key: Key, ways: Ways, signals: Mapping[Key, Signal], zero_of: Any) -> str | None:
    """The zero weight of the calls where the gradient is lost; None where one has another cause."""
    reason: str | None = None
    seen, waiting = {key}, [key]
    while waiting:
        users = ways.users.get(waiting.pop(), set())
        if not users:
            return None
        for one in users - seen:
            seen.add(one)
            if not signals[one].gradient:
                waiting.append(one)
            elif (zero := zero_of(signals[one])) is None:
                return None
            else:
                reason = zero
    return reason
