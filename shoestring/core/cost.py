"""Cost: what a model took to get, and what it takes to have."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from shoestring.core.resource import GETTING


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Measured use of each resource of `RESOURCES`; `None` means that nobody measured it.

    Of getting a model: `labels` bought, `seconds` spent, `processor_seconds` used by
    this process and the workers it started and saw end, `training_joules` used, `settings` a person
    had to choose, `person_seconds` that a person worked (labelling, say), `training_operations` of
    the forward and backward passes of training steps (matrix products and convolutions; a multiply
    and an add are two), `communicated_bytes` sent between workers. Of having it: `bytes` of its
    file, `milliseconds` a run, `operations` per example (a multiply and an add are two),
    `memory_bytes` at the peak of a run, `joules` a run.
    """

    labels: int | None = None
    seconds: float | None = None
    processor_seconds: float | None = None
    training_joules: float | None = None
    settings: int | None = None
    person_seconds: float | None = None
    training_operations: int | None = None
    communicated_bytes: int | None = None
    bytes: int | None = None
    milliseconds: float | None = None
    operations: int | None = None
    memory_bytes: int | None = None
    joules: float | None = None

    def __or__(self, other: Cost) -> Cost:
        """Both measurements together; where both measured the same resource, `other` counts."""
        return Cost(**{**asdict(self), **other.measured()})

    def __add__(self, later: Cost) -> Cost:
        """Of two steps one after the other.

        What it took to get is added up, what it takes to have is the later step's.
        """
        both = {
            n: a + b
            for n in GETTING
            if (a := getattr(self, n)) is not None and (b := getattr(later, n)) is not None
        }
        return self | later | Cost(**both)

    def measured(self) -> dict[str, float]:
        """Only what was measured, by field name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
