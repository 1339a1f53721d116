"""The page in web/demo, served as `shoestring demo` serves it, and lines that draw digits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from shoestring.artifact.demo import Demo

Line = list[tuple[float, float]]
SEVEN: list[Line] = [[(8, 6), (20, 6), (12, 23)]]
"""Lines from point to point, in cells of the pad, which has 28 on each side."""
FOUR: list[Line] = [[(11, 5), (8, 15), (20, 15)], [(17, 8), (16, 24)]]
THREE: list[Line] = [
    [(9, 6), (15, 5), (18, 8), (16, 12), (13, 13)],
    [(13, 13), (17, 15), (19, 19), (15, 23), (9, 22)],
]
ANSWER = """lines => new Promise(resolve => {
    const pad = document.getElementById("pad");
    pad.addEventListener("answer", ({ detail: { picture, likely, beside } }) =>
        resolve({ picture: picture && Array.from(picture, ink => Math.round(255 * ink)),
                  likely, beside }), { once: true });
    pad.dispatchEvent(new Event("change"));
})"""
"""Has the page answer once more; resolves to what it saw and how likely each digit is."""


@contextmanager
def serving(opened: Path | None = None) -> Iterator[str]:
    """The address of the page."""
    with Demo(opened) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server.address
        finally:
            server.stop()
            thread.join()


def places(page: Page, line: Line) -> Line:
    """Points of a line, in pixels of the window."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    cell = box["width"] / 28
    return [(box["x"] + x * cell, box["y"] + y * cell) for x, y in line]


def draw(page: Page, lines: list[Line]) -> None:
    """Draw with the mouse."""
    for line in lines:
        first, *others = places(page, line)
        page.mouse.move(*first)
        page.mouse.down()
        for point in others:
            page.mouse.move(*point, steps=6)
        page.mouse.up()


def touch(page: Page, lines: list[Line]) -> None:
    """Draw with a finger, on a page that was opened with `has_touch`."""
    device = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        device.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]},
        )

    for line in lines:
        first, *others = places(page, line)
        send("touchStart", first)
        before = first
        for point in others:
            for part in (0.25, 0.5, 0.75, 1):
                x, y = (a + part * (b - a) for a, b in zip(before, point, strict=True))
                send("touchMove", (x, y))
            before = point
        send("touchEnd")
