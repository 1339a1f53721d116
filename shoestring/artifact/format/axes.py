"""Axes of inputs that vary, each with a name and bounds, and how these stand in a file.

As words behind the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRITTEN = re.compile(
    r"(?P<name>.+?) \((?:(?P<low>\d{1,15}) to (?P<high>\d{1,15})|(?P<least>\d{1,15}) or more|up "
    r"to (?P<most>\d{1,15}))?"
    r"(?P<comma>, )?(?:multiple of (?P<multiple>\d{1,15}))?\)"
)


@dataclass(frozen=True)
class Axis:
    """An axis that varies within bounds: `Axis("T", most=512)`, `Axis("H", multiple=4)`.

    A plain name has none.
    `name`: axes with the same name have the same length.
    `least`, `most`: the lengths that it may have, 1 or more; None, no limit.
    `multiple`: every length is a multiple of it, 1 or more. Raises ValueError for bounds that admit
        nothing.
    """

    name: str
    least: int = 1
    most: int | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("an axis has an empty name: give it one, such as 'T'")
        numbers = (self.least, self.multiple, *(() if self.most is None else (self.most,)))
        if not all(isinstance(one, int) and one >= 1 for one in numbers):
            raise ValueError(
                f"the bounds of axis {self.name!r} are {numbers}: give whole numbers, 1 or more"
            )
        if self.most is not None and self.most // self.multiple * self.multiple < self.least:
            raise ValueError(f"the bounds of axis {self.name!r} admit no length: {self}")

    def __str__(self) -> str:
        """As a file has it: `T`, `T (2 to 16)`, `T (up to 16)`, `H (32 or more, multiple of 4)`."""
        words = []
        if self.most is not None:
            words.append(f"{self.least} to {self.most}" if self.least > 1 else f"up to {self.most}")
        elif self.least > 1:
            words.append(f"{self.least} or more")
        if self.multiple > 1:
            words.append(f"multiple of {self.multiple}")
        return f"{self.name} ({', '.join(words)})" if words else self.name

    def __contains__(self, length: int) -> bool:
        """Whether it may be so long."""
        return (
            self.least <= length
            and (self.most is None or length <= self.most)
            and length % self.multiple == 0
        )

    def near(self, length: int) -> int:
        """The longest that it may be that is no longer than this.

        Where there is none, the shortest.
        """
        longest = min(length, self.most or length) // self.multiple * self.multiple
        return longest if longest in self else -(-self.least // self.multiple) * self.multiple

    @classmethod
    def read(cls, text: str) -> Axis:
        """That of a text in a file.

        One that says nothing of bounds, or what makes no sense, is a name.
        """
        found = _WRITTEN.fullmatch(text)
        if found is None:
            return cls(text)
        least, most = found["least"] or found["low"], found["most"] or found["high"]
        try:
            axis = cls(
                found["name"],
                int(least or 1),
                None if most is None else int(most),
                int(found["multiple"] or 1),
            )
        except ValueError:
            return cls(text)
        return axis if str(axis) == text else cls(text)
