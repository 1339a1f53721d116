"""The search box of web/complete in Chromium: its bytes, and how soon it answers."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser
from rows import Rows

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from real_browser import started, visiting  # noqa: E402

BUILD = ROOT / "web" / "complete" / "build.mjs"
TEXTS = ("What is the name of", "I don't know if he is", "How many people", "我想知道他是")
LOADS = 9


def page(rows: Rows) -> None:
    """Rows of the built page; needs node, `npm ci` in web/demo and a Chromium."""
    with tempfile.TemporaryDirectory() as name, started() as browser:
        path = Path(name) / "complete.html"
        subprocess.run(["node", BUILD, path], check=True, stdout=subprocess.DEVNULL)
        rows.add("page", "size", path.stat().st_size, "bytes")
        found = [_visit(browser, path) for _ in range(1 if rows.quick else LOADS)]
    rows.add("page", "ready", median(ready for ready, _ in found), "ms", timed=True)
    answers = [one for _, some in found for one in some]
    rows.add("page", "an answer", median(answers), "ms", timed=True)
    longest = sorted(answers)[int(0.95 * len(answers))]
    rows.add("page", "an answer, of 19 in 20 at most", longest, "ms", timed=True)
    rows.add("page", "done", 1, "")


def _visit(browser: Browser, path: Path) -> tuple[float, list[float]]:
    """Milliseconds until the page is ready, and of each answer while texts are typed into it."""
    with visiting(browser) as seen:
        opened = seen.open(path)
        opened.locator("#ready", has_text=re.compile("ms$")).wait_for()
        ready = opened.evaluate("performance.getEntriesByName('ready')[0].startTime")
        times = opened.evaluate(
            """async (texts) => {
                const box = document.getElementById("text"), times = [];
                for (const text of texts) for (let end = 0; end <= text.length; end++) {
                    box.value = text.slice(0, end);
                    const began = performance.now();
                    const told = new Promise((done) =>
                        box.addEventListener("answer", done, { once: true }));
                    box.dispatchEvent(new Event("input"));
                    await told;
                    times.push(performance.now() - began);
                }
                return times;
            }""",
            TEXTS,
        )
        return ready, times
