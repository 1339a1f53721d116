"""Size: the bytes of the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from shoestring.artifact.format.file import sections
from shoestring.core import Cost, Task
from shoestring.meters.inputs import as_file


@dataclass(frozen=True, kw_only=True)
class Size:
    """`bytes`: the length of the file that is shipped: graph, tensors, descriptions and checksums.

    A module is first written to a file. `shoestring.artifact.bill` says what each byte is for.
    Raises FileNotFoundError for a path without a file and ShoeError for a damaged file.
    """

    measures: ClassVar[str] = "bytes"

    def why_not(self) -> str | None:
        """None: size can be measured everywhere."""
        return None

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            data = path.read_bytes()
        sections(data)  # raises ShoeError for a damaged file
        return Cost(bytes=len(data))
