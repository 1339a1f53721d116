"""How fast the page of a report opens and answers, in Chromium without a window.

    python benchmarks/report_page.py

The documents are made up (`tests/made_documents.py`), of 100 to 20,000 trials with as many rows in
the ledger, of which a page shows 1,000, as users get it. A time is the median of several; it goes
from the start of the navigation, or from the event, to the frame that shows what came of it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import rows

ROOT = Path(__file__).resolve().parents[1]
OPENED = """async () => {
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const [navigation] = performance.getEntriesByType("navigation");
    const paints = performance.getEntriesByType("paint").map((paint) => paint.startTime);
    return Math.max(navigation.loadEventEnd, ...paints);
}"""
FRAME = """async (act) => {
    const begun = performance.now();
    act();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - begun;
}"""
FILTER = """() => {
        const input = document.querySelector("#trials input");
        input.value = input.value === "levels=7" ? "levels=11" : "levels=7";
        input.dispatchEvent(new Event("input", {bubbles: true}));
    }"""
ACTS = {
    "first filter": FILTER,  # which makes what later ones read
    "filter": FILTER,
    "sort": """() => document.querySelectorAll("#trials thead button")[1].click()""",
    "look at the next point": """() => {
        const key = new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true});
        document.querySelector(".frontier-box").dispatchEvent(key);
    }""",
    "other axes": """() => {
        const select = document.querySelector("#chart select");
        select.selectedIndex = 1 - select.selectedIndex;
        select.dispatchEvent(new Event("change", {bubbles: true}));
    }""",
}


def main() -> int:
    """Measure, and put the rows in their place."""
    made = rows.start("report_page", "made-up-chromium", __doc__ or "")
    sys.path.insert(0, str(ROOT / "tests"))
    import real_browser

    if real_browser.CHROMIUM is None:
        print(real_browser.WITHOUT_CHROMIUM, file=sys.stderr)
        return 1
    sizes = (100, 1_000) if made.quick else (100, 1_000, 20_000)
    times = 3 if made.quick else 9
    with real_browser.started() as chromium, tempfile.TemporaryDirectory() as folder:
        busy = os.getloadavg()[0]  # of other processes: times of a page depend much on it
        made.conditions += f", Chromium {chromium.version}, load average {busy:.0f} before"
        for many in sizes:
            subject = f"{many} trials"
            if not made.wanted(subject) or made.done(subject, None):
                continue
            _measure(made, subject, many, Path(folder) / "report.html", chromium, times)
            made.add(subject, "done", 1, "")
    return 0 if made.close() else 1


def _measure(
    made: rows.Rows, subject: str, many: int, path: Path, chromium: Any, times: int
) -> None:
    """The rows of one size."""
    import made_documents
    import real_browser

    from shoestring.report.page import save_page

    made.add(subject, "page", save_page(made_documents.study(many), path), "B")
    opened, took = [], {act: [] for act in ACTS}
    for _ in range(times):
        with real_browser.visiting(chromium, viewport={"width": 1280, "height": 800}) as seen:
            page = seen.open(path)
            opened.append(page.evaluate(OPENED))
            for act, script in ACTS.items():
                repeated = 1 if act == "first filter" else 3
                took[act] += [page.evaluate(f"() => ({FRAME})({script})") for _ in range(repeated)]
            if seen.faults:
                raise RuntimeError(f"the page has faults: {seen.faults}")
    made.add(subject, "open", median(opened), "ms", timed=True)
    for act, milliseconds in took.items():
        made.add(subject, act, median(milliseconds), "ms", timed=True)


if __name__ == "__main__":
    sys.exit(main())
