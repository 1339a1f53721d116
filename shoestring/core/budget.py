"""Budget: upper limits on a Cost and on the score that may be lost."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields

from shoestring.core.cost import Cost

_PLAIN = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BYTES = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# limit -> (field of Cost, or None for the drop; unit -> factor to the field's own unit)
_GRAMMAR: dict[str, tuple[str | None, dict[str, float]]] = {
    "size": ("bytes", _BYTES),
    "latency": ("milliseconds", {"us": 1e-3, "ms": 1.0, "s": 1e3}),
    "operations": ("operations", _PLAIN),
    "memory": ("memory_bytes", _BYTES),
    "energy": ("joules", {"uJ": 1e-6, "mJ": 1e-3, "J": 1.0}),
    "labels": ("labels", _PLAIN),
    "time": ("seconds", {"s": 1.0, "min": 60.0, "h": 3600.0}),
    "drop": (None, {"": 1.0, "%": 0.01}),
}
_LIMIT = re.compile(r"\s*([A-Za-z_]+)\s*<=\s*([-+0-9.eE]+|[-+]?(?:inf|nan))\s*([A-Za-z%]*)\s*", re.IGNORECASE)


class BudgetError(ValueError):
    """A budget that cannot be read, or that nothing could ever meet."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Upper limits; `None` means no limit. Read one with `Budget.parse("size<=40KB, drop<=0.3%")`.

    `size` and `memory` in bytes, `latency` in milliseconds, `operations` per example, `energy` in joules a run,
    `labels` bought, `time` in seconds, `drop` in units of the score. 1 KB is 1,000 bytes; `%` means points and is for
    scores between 0 and 1.
    """

    size: float | None = None
    latency: float | None = None
    operations: float | None = None
    memory: float | None = None
    energy: float | None = None
    labels: float | None = None
    time: float | None = None
    drop: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            limit = getattr(self, f.name)
            if limit is None:
                continue
            if not math.isfinite(limit) or limit < 0 or (limit == 0 and f.name not in ("drop", "labels")):
                least = "0 or more" if f.name in ("drop", "labels") else "more than 0"
                why = "limits nothing" if limit == math.inf else "cannot be met by any model"
                raise BudgetError(f"the limit {f.name}<={limit:g} {why}: give a number {least}")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read the grammar `limit<=number unit, ...`; raises BudgetError with what was expected."""
        limits: dict[str, float] = {}
        for part in text.split(","):
            match = _LIMIT.fullmatch(part)
            if match is None:
                raise BudgetError(
                    f"cannot read {part.strip()!r} in the budget {text!r}: write limits like "
                    "'size<=40KB, latency<=0.5ms, drop<=0.3%'"
                )
            name, number, unit = match[1].lower(), match[2], match[3]
            if name not in _GRAMMAR:
                raise BudgetError(f"there is no limit called {name!r}: the limits are {', '.join(_GRAMMAR)}")
            if name in limits:
                raise BudgetError(f"{name} is limited twice in the budget {text!r}: keep one")
            units = {u.lower(): factor for u, factor in _GRAMMAR[name][1].items()}
            if unit.lower() not in units:
                first = next(iter(_GRAMMAR[name][1]))
                known = ", ".join(u or "no unit" for u in _GRAMMAR[name][1])
                wrong = f"not in {unit!r}" if unit else f"and needs a unit: {name}<={number}{first}, say"
                raise BudgetError(f"{part.strip()!r}: {name} is given in {known}, {wrong}")
            try:
                limits[name] = float(number) * units[unit.lower()]
            except ValueError:
                raise BudgetError(f"{number!r} in {part.strip()!r} is not a number") from None
        return cls(**limits)

    def exceeded(self, cost: Cost, drop: float | None) -> dict[str, tuple[float | None, float]]:
        """The limits that are not kept: name -> (measured or None, limit). Unmeasured counts as over budget."""
        over: dict[str, tuple[float | None, float]] = {}
        for f in fields(self):
            limit, field = getattr(self, f.name), _GRAMMAR[f.name][0]
            value = drop if field is None else getattr(cost, field)
            # A drop is a difference of two averages: forgive the last bits of the floating point, never a whole example.
            slack = 1e-9 if field is None else 0.0
            if limit is not None and (value is None or not value <= limit + slack):
                over[f.name] = (value, limit)
        return over

    def __str__(self) -> str:
        """The budget in its own grammar, so that `Budget.parse(str(budget)) == budget` where there is a limit at all."""
        return ", ".join(_phrase(f.name, limit) for f in fields(self) if (limit := getattr(self, f.name)) is not None)


def _phrase(name: str, limit: float) -> str:
    plain = {"size": "B", "memory": "B", "latency": "ms", "energy": "J", "time": "s"}
    if name in ("size", "memory") and limit >= 1000 and limit == round(limit):
        for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
            if limit >= factor:
                text = f"{limit / factor:.12g}"
                if float(text) * factor == limit:
                    return f"{name}<={text}{unit}"
    number = int(limit) if limit == int(limit) else float(limit)
    return f"{name}<={number!r}{plain.get(name, '')}"
