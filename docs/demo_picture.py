"""Make docs/demo.png: the page of the demo, on which somebody has drawn a 7.

`python docs/demo_picture.py`. Needs a Chromium, Playwright and Pillow.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from demo_page import Line, draw, serving  # noqa: E402
from playwright.sync_api import expect  # noqa: E402
from real_browser import started, visiting  # noqa: E402
from small_picture import save_small  # noqa: E402

SEVEN: list[Line] = [
    [
        (8.2, 7.4),
        (10.5, 6.6),
        (14, 6.5),
        (18, 6.2),
        (20.4, 6),
        (19.2, 8.6),
        (17.2, 12.2),
        (15.3, 16),
        (13.8, 19.6),
        (12.9, 22.8),
    ],
    [(11.6, 14.4), (14.5, 14), (18.4, 13.4)],
]
LARGEST = 100_000  # bytes


def main() -> None:
    size = {"width": 1120, "height": 860}
    with serving() as address, started() as browser, visiting(browser, viewport=size) as seen:
        page = seen.open(address)
        expect(page.locator("#large-answer")).to_contain_text("%")
        draw(page, SEVEN)
        expect(page.locator("#digit")).to_have_text("7")
        expect(page.locator("#speed")).to_contain_text("ms")
        page.mouse.move(1, 1)
        page.wait_for_timeout(500)
        taken = page.screenshot()
    found = save_small(taken, HERE / "demo.png")
    if found > LARGEST:
        raise ValueError(f"docs/demo.png has {found:,} bytes, more than {LARGEST:,}")
    print(f"docs/demo.png: {found:,} bytes")


if __name__ == "__main__":
    main()
