"""A page of a report in a browser, as the tests of the page have it."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page
from real_browser import Visit

Open = Callable[..., Visit]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


def ready(page: Page) -> None:
    """Waits until the page has drawn what is seen first."""
    page.wait_for_selector("html[data-ready=yes]", state="attached")


def box(page: Page) -> Locator:
    """What takes the keys of the chart."""
    return page.locator(".frontier-box")
