"""The rig that the tests of pages stand on finds what is wrong with a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from real_browser import Visit, served

PAGE = """<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>
<input><p style="width: 900px">wide</p></main>
<script>console.error("first"); fetch("other.txt"); setTimeout(() => missing(), 0)</script></html>
"""


def test_faults_requests_width_and_findings_are_seen(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "other.txt").write_text("other")
    seen = visit(viewport={"width": 360, "height": 640})
    with served(tmp_path) as address:
        page = seen.open(f"{address}/index.html")
        page.wait_for_load_state("networkidle")
        assert [one.removeprefix(address) for one in seen.requests[:2]] == [
            "/index.html",
            "/other.txt",
        ]
    assert any("first" in fault for fault in seen.faults)
    assert any("missing is not defined" in fault for fault in seen.faults)
    assert seen.sideways() > 0
    assert any("critical label" in finding for finding in seen.inaccessible())
