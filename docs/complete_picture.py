"""Make docs/complete.png: the search box of web/complete, with completions of what is typed.

`python docs/complete_picture.py`. Needs node, `npm ci` in web/demo, a Chromium, Playwright, Pillow
and a typeface with Chinese.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from playwright.sync_api import expect  # noqa: E402
from real_browser import started, visiting  # noqa: E402
from small_picture import save_small  # noqa: E402

BUILD = HERE.parent / "web" / "complete" / "build.mjs"
LARGEST = 100_000  # bytes


def main() -> None:
    size = {"width": 1000, "height": 720}
    with tempfile.TemporaryDirectory() as name:
        page_file = Path(name) / "complete.html"
        subprocess.run(["node", BUILD, page_file], check=True, stdout=subprocess.DEVNULL)
        with started() as browser, visiting(browser, viewport=size) as seen:
            page = seen.open(page_file)
            expect(page.locator("#ready")).to_contain_text("ms")
            page.keyboard.type("What is the n")
            expect(page.locator("#list li")).to_have_count(5)
            page.wait_for_timeout(500)
            taken = page.screenshot()
    found = save_small(taken, HERE / "complete.png")
    if found > LARGEST:
        raise ValueError(f"docs/complete.png has {found:,} bytes, more than {LARGEST:,}")
    print(f"docs/complete.png: {found:,} bytes")


if __name__ == "__main__":
    main()
