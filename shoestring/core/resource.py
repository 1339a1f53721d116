"""Resource: one table of what it takes to get a model and to have one.

Costs, budgets, meters and the command line read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

_PLAIN = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_MANY = {**_PLAIN, "P": 1e15}
_BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_TIME = {"s": 1.0, "min": 60.0, "h": 3600.0}
_ENERGY = {"uJ": 1e-6, "mJ": 1e-3, "J": 1.0}


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource, such as bytes or labels.

    `field`: the name of its field in a Cost.
    `limit`: its name in a budget; None where a budget cannot limit it.
    `units`: the units that a limit may have, each with its factor to the unit of the field.
    `unit`: the unit of the field, whose factor is 1.
    `about`: what is counted, in words.
    `getting`: whether it is a cost of getting a model, which adds up over steps, or of having one.
    `noisy`: whether two measurements of the same file may differ.
    """

    field: str
    limit: str | None
    units: Mapping[str, float] = dataclasses.field(hash=False)
    unit: str
    about: str
    getting: bool = False
    noisy: bool = False


RESOURCES: tuple[Resource, ...] = (
    Resource(limit="size", field="bytes", units=_BYTES, unit="B", about="bytes of the file"),
    Resource(
        limit="latency",
        field="milliseconds",
        units={"us": 1e-3, "ms": 1.0, "s": 1e3},
        unit="ms",
        about="milliseconds a run",
        noisy=True,
    ),
    Resource(
        limit="operations",
        field="operations",
        units=_PLAIN,
        unit="",
        about="operations per example",
    ),
    Resource(
        limit="memory",
        field="memory_bytes",
        units=_BYTES,
        unit="B",
        about="bytes at the peak of a run",
        noisy=True,
    ),
    Resource(
        limit="energy", field="joules", units=_ENERGY, unit="J", about="joules a run", noisy=True
    ),
    Resource(
        limit="flash",
        field="flash_bytes",
        units=_BYTES,
        unit="B",
        about="bytes of flash on a microcontroller",
    ),
    Resource(
        limit="ram",
        field="ram_bytes",
        units=_BYTES,
        unit="B",
        about="bytes of RAM on a microcontroller",
    ),
    Resource(
        limit="instructions",
        field="instructions",
        units=_PLAIN,
        unit="",
        about="emulated instructions a run on a microcontroller",
    ),
    Resource(
        limit="labels", field="labels", units=_PLAIN, unit="", about="labels bought", getting=True
    ),
    Resource(
        limit="time", field="seconds", units=_TIME, unit="s", about="seconds spent", getting=True
    ),
    Resource(
        limit="person_time",
        field="person_seconds",
        units=_TIME,
        unit="s",
        about="seconds that a person worked",
        getting=True,
    ),
    Resource(
        limit="training_operations",
        field="training_operations",
        units=_MANY,
        unit="",
        about="operations of training steps",
        getting=True,
    ),
    Resource(
        limit="communication",
        field="communicated_bytes",
        units=_BYTES,
        unit="B",
        about="bytes sent between workers",
        getting=True,
    ),
    Resource(
        limit=None,
        field="processor_seconds",
        units=_TIME,
        unit="s",
        about="processor seconds used",
        getting=True,
    ),
    Resource(
        limit=None,
        field="training_joules",
        units=_ENERGY,
        unit="J",
        about="joules of training",
        getting=True,
    ),
    Resource(
        limit=None,
        field="settings",
        units=_PLAIN,
        unit="",
        about="settings that a person chose",
        getting=True,
    ),
)
GETTING = tuple(one.field for one in RESOURCES if one.getting)
"""The fields of Cost that are costs of getting a model."""
LIMITED: dict[str, Resource] = {one.limit: one for one in RESOURCES if one.limit is not None}
"""The resources that a budget can limit, by the name of the limit."""


def units_in_words(*, getting: bool) -> str:
    """The limits with their units, such as "size, memory and ram (B, KB), latency (us, ms)".

    `getting`: limits on costs of getting a model, or else on costs of having it.
    """
    groups: dict[str, list[str]] = {}
    for name, resource in LIMITED.items():
        if resource.getting == getting:
            groups.setdefault(", ".join(filter(None, resource.units)), []).append(name)
    return ", ".join(f"{_listed(names)} ({units})" for units, names in groups.items())


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
