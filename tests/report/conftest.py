"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_browser import Visit

from shoestring.report.document import Document
from shoestring.report.page import page_of


@pytest.fixture
def show(tmp_path: Path, visit: Callable[..., Visit]) -> Callable[..., Visit]:
    """Opens the page of a document, ready and without faults: `show(document, viewport=…)`."""

    from report.opened_page import DESKTOP, ready

    def opened(document: Document | str, **options: Any) -> Visit:
        page = document if isinstance(document, str) else page_of(document)
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8")
        seen = visit(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
        ready(seen.open(path))
        assert seen.faults == []
        return seen

    return opened
