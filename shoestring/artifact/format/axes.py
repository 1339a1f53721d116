"""Axes of inputs whose length may vary, with their names and bounds.

A file stores the bounds as words after the name, such as `T (2 to 16)`.
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
    """An axis whose length varies within bounds: `Axis("T", most=512)`, `Axis("H", multiple=4)`.

    `name`: axes with the same name have the same length.
    `least`: the least length, 1 or more.
    `most`: the greatest length, 1 or more; None: no limit.
    `multiple`: every length is a multiple of this, 1 or more.
    Raises ValueError for an empty name, for other bounds than these, and for bounds that no length
    satisfies.
    """

    name: str
    least: int = 1
    most: int | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("an axis has an empty name: give it one, such as 'T'")
        numbers = (self.least, self.multiple, *(() if self.most is None else (self.most,)))
        if not all(isinstance(number, int) and number >= 1 for number in numbers):
            raise ValueError(
                f"the bounds of axis {self.name!r} are {numbers}: give whole numbers, 1 or more"
            )
        if self.most is not None and self.most // self.multiple * self.multiple < self.least:
            raise ValueError(f"the bounds of axis {self.name!r} admit no length: {self}")

    def __str__(self) -> str:
        """The text in a file, such as `T`, `T (2 to 16)`, `T (up to 16)` or `T (8 or more)`."""
        words = []
        if self.most is not None:
            words.append(f"{self.least} to {self.most}" if self.least > 1 else f"up to {self.most}")
        elif self.least > 1:
            words.append(f"{self.least} or more")
        if self.multiple > 1:
            words.append(f"multiple of {self.multiple}")
        return f"{self.name} ({', '.join(words)})" if words else self.name

    def __contains__(self, length: int) -> bool:
        """Whether the axis may have this length."""
        return (
            self.least <= length
            and (self.most is None or length <= self.most)
            and length % self.multiple == 0
        )

    def near(self, length: int) -> int:
        """The greatest length within the bounds that is at most `length`.

        If there is none, the least length within the bounds.
        """
        longest = min(length, self.most or length) // self.multiple * self.multiple
        return longest if longest in self else -(-self.least // self.multiple) * self.multiple

    @classmethod
    def read(cls, text: str) -> Axis:
        """The axis of a text in a file.

        A text without bounds, or with bounds that no axis can have, is a plain name.
        """
        words = _WRITTEN.fullmatch(text)
        if words is None:
            return cls(text)
        least, most = words["least"] or words["low"], words["most"] or words["high"]
        try:
            axis = cls(
                words["name"],
                int(least or 1),
                None if most is None else int(most),
                int(words["multiple"] or 1),
            )
        except ValueError:
            return cls(text)
        return axis if str(axis) == text else cls(text)
