"""The page in web/demo in Chromium: how soon it answers, how large it is, and what it measures.

`python benchmarks/browser_demo.py`. Needs a Chromium (Debian: apt-get install chromium), Playwright
and node, and `npm ci` in web/demo; takes two minutes. A cold load is one in a context of its own,
with empty caches, from this machine. --quick: three loads of each instead of fifteen.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread

from playwright.sync_api import Browser, sync_playwright
from rows import Rows, start

from shoestring.artifact.demo import NETWORKS, Demo

DEMO = Path(__file__).parents[1] / "web" / "demo"
CHROMIUM = next(
    (path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None
)
MEASURED = ("decoded", "run")  # cells of the page's table


def main() -> None:
    rows = start("browser_demo", "chromium-cpu", __doc__ or "")
    times = 3 if rows.quick else 15
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        if CHROMIUM is None:
            raise FileNotFoundError("there is no chromium: apt-get install chromium")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        busy = os.getloadavg()[0]  # of other processes: times of a page depend much on it
        rows.conditions += f", Chromium {browser.version}, load average {busy:.0f} before"
        folder = Path(name)
        subprocess.run(["node", DEMO / "build.mjs", folder], check=True, stdout=subprocess.DEVNULL)
        sizes(rows, folder)
        built = ThreadingHTTPServer(("127.0.0.1", 0), _quiet(folder))
        with built, _running(built.serve_forever, built.shutdown):
            loads(rows, browser, "built", f"http://127.0.0.1:{built.server_port}/", times)
        with Demo() as demo, _running(demo.serve, demo.stop):
            loads(rows, browser, "sources", demo.address, times)
        browser.close()
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
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    cells = [(network, cell) for network in ("small", "large") for cell in MEASURED]
    for network, cell in cells:
        page.locator(f"#{network}-{cell}", has_text=re.compile("ms$")).wait_for()
    measured = {
        f"{network} network, {cell}": float(
            page.inner_text(f"#{network}-{cell}").removesuffix("ms").replace(",", "")
        )
        for network, cell in cells
    }
    first = "performance.getEntriesByName('first-answer')[0].startTime"
    answered: float = page.evaluate(first)
    context.close()
    return {"first answer": answered, **measured}


def _quiet(folder: Path) -> Callable[..., SimpleHTTPRequestHandler]:
    """Files of a folder, without a line for each."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    return partial(Handler, directory=str(folder))


@contextmanager
def _running(serve: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Has a server answer in a thread of its own."""
    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


if __name__ == "__main__":
    main()
