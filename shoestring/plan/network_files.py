"""The files of a search for networks: that of the network, and its code beside it."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shoestring.artifact import save
from shoestring.artifact.format.names import SEARCHED, networks_folder
from shoestring.artifact.format.saving import check_place
from shoestring.plan.folder import INSTEAD, check_not_searched
from shoestring.search import Found

CODES = "codes.txt"
"""The file in the folder of a search with a digest of each code that it wrote."""


@dataclass(frozen=True)
class NetworkFiles:
    """Where the file of a network, its code and what was measured are.

    `path`: of the file.
    """

    path: Path

    @property
    def code(self) -> Path:
        """Where the network's code is."""
        return self.path.with_suffix(".py")

    @property
    def folder(self) -> Path:
        """Where what was measured is kept."""
        return networks_folder(self.path)

    def check(self) -> None:
        """Raise FileExistsError where writing the code would lose what no search wrote.

        That may be the reader's own module, or code of a search that the reader has changed since.
        Neither may another command search for the same file.
        """
        check_place(self.path)
        check_not_searched(self.path)
        check_place(self.code)
        if self.code == self.path:
            raise FileExistsError(
                errno.EEXIST,
                f"{self.path} is where the network's code goes: name a file that ends in .shoe",
            )
        known = self.folder / CODES
        if self.code.exists() and (
            not known.exists() or _digest(self.code.read_bytes()) not in known.read_text().split()
        ):
            raise FileExistsError(
                errno.EEXIST,
                f"{self.code} is there, and is no code that this search wrote, or was changed "
                f"since: the network's code would replace it. Move it away, or {INSTEAD}",
            )

    def write_code(self, text: str) -> None:
        """Write the code of a network, and note first that a search did."""
        self.check()  # it may have been changed while the search ran
        known, data = self.folder / CODES, text.encode()
        before = known.read_text() if known.exists() else ""
        save(known, f"{before}{_digest(data)}\n".encode())
        save(self.code, data)

    @contextmanager
    def of_one_network(self, found: Found, say: Callable[[str], None]) -> Iterator[None]:
        """Within, the code is written first, and the file last; an end between leaves no mixture.

        Where there is no file yet, that of the best network is left, as it is. A file of an earlier
        search that is still there gets its code and its note back.
        """
        places = (self.path, self.code, self.folder / SEARCHED)
        before = {one: one.read_bytes() for one in places if one.exists()}
        try:
            yield
        except (Exception, KeyboardInterrupt):
            if not self.path.exists():
                self._leave(found, say)
            elif self.path.read_bytes() == before.get(self.path):
                for one in places[1:]:
                    if one in before:
                        save(one, before[one])
                    else:
                        one.unlink(missing_ok=True)
                say(
                    f"  {self.path} and {self.code} are as they were; what was found is in "
                    f"{self.folder}, and the same command goes on from there"
                )
            raise

    def _leave(self, found: Found, say: Callable[[str], None]) -> None:
        """Leave the best network's file, without compression."""
        known = found.nearest, *found.candidates
        best = next((one for one in known if one.file is not None), None)
        if best is not None and best.file is not None:
            save(self.path, best.file)
            say(f"  {self.path} is the best network so far, not compressed yet and not proved")


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
