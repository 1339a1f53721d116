"""Pages in a real Chromium without a window, as the tests of pages use it.

`tests/conftest.py` makes fixtures of what is here: `chromium`, one for each process, and `visit`,
one for each test. Playwright drives the Chromium of the system and downloads none.
"""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

expect.set_options(timeout=30_000)  # five seconds, its own, are few beside a training

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
NODE_MODULES = Path(__file__).parent / "node" / "node_modules"
WITHOUT_CHROMIUM = (
    f"none of {', '.join(NAMES)} is installed: the tests of pages need a Chromium "
    "(Debian: apt-get install chromium)"
)
ARGUMENTS = (
    "--no-sandbox",  # Chromium refuses to run as root with it, as machines for tests do
    "--disable-dev-shm-usage",  # /dev/shm is small in containers
)


@dataclass
class Visit:
    """A page of its own, with what went wrong on it.

    `faults`: errors on the console and exceptions that nobody caught, in order.
    `requests`: the addresses that the page asked for, the first one too.
    """

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requests.append(request.url)

    def open(self, address: str | Path) -> Page:
        """Go to an address, or to a file."""
        self.page.goto(address.as_uri() if isinstance(address, Path) else address)
        return self.page

    def sideways(self) -> float:
        """By how many pixels the page is wider than its window: more than 0 scrolls sideways."""
        return self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def inaccessible(self) -> list[str]:
        """What axe-core finds on the page as it is now, of serious and critical findings."""
        axe = NODE_MODULES / "axe-core" / "axe.min.js"
        if not axe.exists():
            pytest.skip("axe-core is not installed: run `npm ci` in tests/node")
        # By the debugger and not by a <script>, which the page's policy forbids.
        self.page.evaluate(axe.read_text() + "; null")
        found = self.page.evaluate("async () => (await axe.run(document)).violations")
        return [
            f"{one['impact']} {one['id']}: {one['help']}: {json.dumps(node['html'])[:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]


@contextmanager
def started() -> Iterator[Browser]:
    """A Chromium without a window; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip(WITHOUT_CHROMIUM)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[Visit]:
    """A page in a context of its own.

    `options`: of Playwright's `new_context`, such as `viewport`, `color_scheme`, `has_touch`.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    try:
        yield Visit(context.new_page())
    finally:
        context.close()


class _Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line on the terminal for each."""

    extensions_map = {  # noqa: RUF012 - as the class above has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".shoe": "application/octet-stream",
    }

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address, without a slash at its end, at which the files of a folder are served."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
