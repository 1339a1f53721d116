"""Make docs/report.png again: `python docs/report_picture.py [FILE.shoe]`.

Without a file it first compresses the network for handwritten digits, which takes five minutes.
It needs Chromium and Playwright, as the tests of pages do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from small_picture import save_small

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "report.png"
WINDOW = {"width": 1280, "height": 800}
BUDGET = "time<=5min, drop<=1.5%"
MOST_BYTES = 150_000


def main(argument: str | None = None) -> int:
    """Draw the picture; the exit status, 0 where it is there and small enough."""
    sys.path.insert(0, str(ROOT / "tests"))
    import real_browser

    with tempfile.TemporaryDirectory() as folder:
        made = Path(argument).resolve() if argument else Path(folder) / "digits.shoe"
        if argument is None:
            shoestring(folder, "compress", "--budget", BUDGET, "--out", str(made))
        page = Path(folder) / "report.html"
        shoestring(str(made.parent), "report", made.name, "--out", str(page))
        with (
            real_browser.started() as chromium,
            real_browser.visiting(chromium, viewport=WINDOW, reduced_motion="reduce") as seen,
        ):
            seen.open(page).wait_for_selector("html[data-ready=yes]", state="attached")
            size = save_small(seen.page.screenshot(), PICTURE)
            if seen.faults:
                raise RuntimeError(f"the page has faults: {seen.faults}")
    print(f"written: {PICTURE}, {size:,} bytes")
    return 0 if size <= MOST_BYTES else 1


def shoestring(folder: str, *arguments: str) -> None:
    """Run the command in a folder. Exit status 3, a budget that is not kept, is no fault here."""
    status = subprocess.run([sys.executable, "-m", "shoestring.cli", *arguments], cwd=folder)
    if status.returncode not in (0, 3):
        raise RuntimeError(f"shoestring {' '.join(arguments)} ended with {status.returncode}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
