"""The page of `shoestring demo`: where its files are, and a server that shows them alone."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from shoestring.artifact.serving import Answer, Loopback

PAGE = "/web/demo/"
NETWORKS = ("lenet5_rate_5e-05.shoe", "baseline_lenet5.shoe")
"""The files of `benchmarks/results/files` that the page runs."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".shoe": "application/octet-stream",
}
_OPENED = "/opened/"  # then the name of the file that was named, which the page shows
_SAFE = re.compile(r"/web/(demo/|runtime/)?[a-z0-9_.-]+", re.ASCII)
_FRESH_SECONDS = 5
"""For how long a browser need not ask again: the page's second worker wants the same files."""


def page_folder() -> Path:
    """The folder that has `web/demo` and the networks that it runs.

    In an installed package that is `shoestring/page`, which `setup.py` fills; in a checkout the
    checkout itself. Raises FileNotFoundError where there is neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "page", package.parent):
        if (folder / PAGE.strip("/") / "index.html").is_file():
            return folder
    raise FileNotFoundError(
        f"the page is neither in {package / 'page'} nor beside the package: install shoestring "
        "from a wheel or a checkout that has the folder web"
    )


class Demo(Loopback):
    """Serves the page, what it runs and one file, to this machine alone.

    `opened`: the file that the page opens, or None. `port`: as in Loopback.
    `folder`: see `page_folder`.
    """

    def __init__(
        self, opened: Path | None = None, port: int = 0, folder: Path | None = None
    ) -> None:
        self.opened, self.folder = opened, folder or page_folder()
        super().__init__(self._answer, port)

    @property
    def address(self) -> str:
        """The address of the page, which opens the file."""
        asked = f"?file={quote(_OPENED + self.opened.name, safe='')}" if self.opened else ""
        return f"{super().address}{PAGE[1:]}{asked}"

    def found(self, path: str) -> Path | None:
        """The file that a path stands for; None where there is none that may be seen."""
        if path.startswith(_OPENED):
            return self.opened
        name = path.removeprefix("/benchmarks/results/files/")
        if name in NETWORKS:
            return self.folder / "benchmarks" / "results" / "files" / name
        path += "index.html" if path == PAGE else ""
        known = Path(path).suffix in _TYPES and _SAFE.fullmatch(path)
        return self.folder / path.lstrip("/") if known else None

    def _answer(self, target: str) -> Answer | None:
        path = urlsplit(target).path
        if path == "/":
            return Answer(body=b"", kind="text/plain", status=302, headers={"Location": PAGE})
        found = self.found(path)
        if found is None or not found.is_file():
            return None
        return Answer(
            body=found.read_bytes(),
            kind=_TYPES.get(found.suffix, _TYPES[".shoe"]),
            seconds=0 if found == self.opened else _FRESH_SECONDS,
        )
