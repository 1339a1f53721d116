"""The command that shows the page which recognises digits and opens files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoestring.cli.files import plainly
from shoestring.cli.page import serve


def demo(
    file: Annotated[
        Path | None, typer.Argument(help="a .shoe file to open in the page", show_default=False)
    ] = None,
    port: Annotated[
        int, typer.Option(help="to listen at; 0: one that is free", min=0, max=65535)
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="print the address, and open no browser")
    ] = False,
) -> None:
    """A page, on this machine alone, that recognises the digit you draw and opens .shoe files.

    Serves until Ctrl-C.
    """
    from shoestring.artifact.demo import Demo
    from shoestring.artifact.format.file import MARK
    from shoestring.artifact.format.saving import check_file

    if file is not None:
        check_file(file)
        with file.open("rb") as opened:
            if opened.read(4) != MARK:
                raise ValueError(f"{file} is not a .shoe file: it does not begin with SHOE")
    server = Demo(file, port)
    lines = [f"the page is at {server.address} until Ctrl-C"]
    lines += [] if file is None else [f"it opens {plainly(str(file))}"]
    serve(server, *lines, show=not no_browser)
