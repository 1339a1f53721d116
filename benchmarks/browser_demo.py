"""The page in web/demo in Chromium: how soon it answers, how large it is, and what it measures.

`python benchmarks/browser_demo.py`. Needs a Chromium (Debian: apt-get install chromium), Playwright
and node, and `npm ci` in web/demo; takes two minutes. A cold load is one in a context of its own,
with empty caches, from this machine. --quick: three loads of each instead of fifteen.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser
from rows import Rows, start

from shoestring.artifact.demo import NETWORKS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from demo_page import serving  # noqa: E402
from real_browser import CHROMIUM, WITHOUT_CHROMIUM, served, started, visiting  # noqa: E402

DEMO = ROOT / "web" / "demo"
MEASURED = ("decoded", "run")  # cells of the page's table


def main() -> None:
    rows = start("browser_demo", "chromium-cpu", __doc__ or "")
    times = 3 if rows.quick else 15
    if CHROMIUM is None:
        raise SystemExit(WITHOUT_CHROMIUM)
    with tempfile.TemporaryDirectory() as name, started() as browser:
        busy = os.getloadavg()[0]  # of other processes: times of a page depend much on it
        rows.conditions += f", Chromium {browser.version}, load average {busy:.0f} before"
        folder = Path(name)
        subprocess.run(["node", DEMO / "build.mjs", folder], check=True, stdout=subprocess.DEVNULL)
        sizes(rows, folder)
        with served(folder) as address:
            loads(rows, browser, "built", f"{address}/", times)
        with serving() as address:
            loads(rows, browser, "sources", address, times)
    rows.close()


def sizes(rows: Rows, folder: Path) -> None:
    """The bytes of the built page, deflated, and of its networks as they are."""
    if rows.done("size", None) or not rows.wanted("size"):
        return
    parts = [path for path in folder.iterdir() if path.suffix != ".shoe"]
    page = sum(len(gzip.compress(path.read_bytes(), 9, mtime=0)) for path in parts)
    rows.add("size", "page, gzipped", page, "bytes")
    for what, name in zip(("small network", "uncompressed network"), NETWORKS, strict=True):
        rows.add("size", what, (folder / name).stat().st_size, "bytes")
    rows.add("size", "done", 1, "")


def loads(rows: Rows, browser: Browser, subject: str, address: str, times: int) -> None:
    """Medians of cold loads: the time to the first answer, and what the page measured itself."""
    if rows.done(subject, None) or not rows.wanted(subject):
        return
    found = [_load(browser, address) for _ in range(times + 1)][1:]  # the first warms up the disk
    for metric in found[0]:
        rows.add(subject, metric, median(one[metric] for one in found), "ms", timed=True)
    slowest = max(one["first answer"] for one in found)
    rows.add(subject, f"first answer, slowest of {times}", slowest, "ms", timed=True)
    rows.add(subject, "done", 1, "")


def _load(browser: Browser, address: str) -> dict[str, float]:
    """Milliseconds of one load."""
    cells = [(network, cell) for network in ("small", "large") for cell in MEASURED]
    first = "performance.getEntriesByName('first-answer')[0].startTime"
    with visiting(browser) as seen:
        page = seen.open(address)
        for network, cell in cells:
            page.locator(f"#{network}-{cell}", has_text=re.compile("ms$")).wait_for()
        measured = {
            f"{network} network, {cell}": float(
                page.inner_text(f"#{network}-{cell}").removesuffix("ms").replace(",", "")
            )
            for network, cell in cells
        }
        return {"first answer": page.evaluate(first), **measured}


if __name__ == "__main__":
    main()
