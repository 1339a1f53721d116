"""Cost: what it takes to get a model, and what it takes to have one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from shoestring.core.resource import GETTING


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Measured use of each resource of `RESOURCES`; None means that nobody measured it.

    Of getting a model:

    `labels`: how many were bought.
    `seconds`: wall-clock time.
    `processor_seconds`: of this process, and of the workers that it started and that have ended.
    `training_joules`: energy of training.
    `settings`: how many a person had to choose.
    `person_seconds`: work of a person, such as labelling.
    `training_operations`: of the forward and backward passes of training steps, in matrix products
        and convolutions; a multiply and an add are two.
    `communicated_bytes`: sent between workers.

    Of having it:

    `bytes`: size of its file.
    `milliseconds`: time of a run.
    `operations`: per example; a multiply and an add are two.
    `memory_bytes`: peak memory of a run.
    `joules`: energy of a run.
    `flash_bytes`: code and constants of its C file on a microcontroller.
    `ram_bytes`: variables and stack of its C file there.
    `instructions`: of a run there, as an emulator counts them; they are no clock cycles.
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
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    instructions: float | None = None

    def __or__(self, other: Cost) -> Cost:
        """Both measurements together; where both measured a resource, `other` counts."""
        return Cost(**{**asdict(self), **other.measured()})

    def __add__(self, later: Cost) -> Cost:
        """The cost of two steps one after the other.

        Costs of getting are added; costs of having are those of the later step.
        """
        both = {
            n: a + b
            for n in GETTING
            if (a := getattr(self, n)) is not None and (b := getattr(later, n)) is not None
        }
        return self | later | Cost(**both)

    def measured(self) -> dict[str, float]:
        """The values that were measured, by field name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
