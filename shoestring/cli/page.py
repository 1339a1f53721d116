"""Pages of commands: shown in the browser of this machine, and served until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoestring.cli.ending import if_interrupted

if TYPE_CHECKING:
    from shoestring.artifact.serving import Loopback


def open_page(address: str) -> None:
    """Open a page in the browser of this machine, or say that there is none."""
    import webbrowser

    if not webbrowser.open(address):
        print(f"no browser was found: open {address} in one", flush=True)


def serve(server: Loopback, *lines: str, show: bool) -> None:
    """Print the lines and serve until Ctrl-C, which is no fault; the server is closed then.

    `show`: whether to open the page in a browser.
    """
    if_interrupted(lambda: "")
    with server:
        try:
            for line in lines:
                print(line, flush=True)
            if show:
                open_page(server.address)
            server.serve()
        except KeyboardInterrupt:
            return
