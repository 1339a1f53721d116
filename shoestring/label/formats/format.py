"""What a format is: a way in which examples and their labels are kept on a disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from shoestring.label.example import Collection


class FormatError(ValueError):
    """A file or a folder is not in the format that it was taken for.

    The message names the file, the line or the entry, what is wrong there, and what to do.
    """


class Format(ABC):
    """A way in which examples and their labels are kept on a disk.

    Each format is a frozen dataclass; its fields are the options that `read` passes on.
    """

    @abstractmethod
    def read(self, source: Path) -> Collection:
        """The examples of a file or a folder; its notes say what was left out or assumed.

        Raises FormatError for content that is not in this format, and OSError for none.
        """

    @abstractmethod
    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write a collection, completely or not at all.

        Returns a sentence for each thing that the format cannot keep and that was there.
        Raises ValueError for a collection that the format has no place for, and OSError for a
        place where nothing can be written.
        """
