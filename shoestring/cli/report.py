"""The command that writes or serves a report as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoestring.cli.ending import writing
from shoestring.cli.page import open_page
from shoestring.cli.page import serve as serve_page

Source = Annotated[
    Path | None,
    typer.Argument(
        help="a .shoe file, the folder of its search (NAME.shoe.study) or a ledger; left out: the "
        "newest search here",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="the page to write \\[default: NAME.html beside it]", show_default=False),
]
Show = Annotated[bool, typer.Option("--open", help="open the page in a browser")]
Serve = Annotated[
    bool,
    typer.Option(
        "--serve",
        help="write no file: serve the page on this machine, and keep it fresh while compress "
        "works, until Ctrl-C",
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        help="with --serve: where to listen \\[default: a free port]",
        min=0,
        max=65535,
        show_default=False,
    ),
]
LedgerPath = Annotated[
    Path | None,
    typer.Option(
        help="a ledger that knows the file \\[default: that of its search, or one beside it]",
        show_default=False,
    ),
]
TablePath = Annotated[
    Path | None,
    typer.Option(
        help="what `shoestring sensitivity --json` printed \\[default: the table in the folder of "
        "the search]",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="print what the page shows as JSON, and write no page")
]


def report(
    path: Source = None,
    out: Out = None,
    show: Show = False,
    serve: Serve = False,
    port: Port = None,
    ledger: LedgerPath = None,
    sensitivity: TablePath = None,
    as_json: AsJson = False,
) -> None:
    """Write what a search found as a page: what you got, what it cost, what else you could have.

    The page is one HTML file that needs no network. It shows what was measured before and after,
    the budget, all files that were tried, what each byte is for, and the commands that make it
    again. The page of a lone file shows its bill and its layers; that of a ledger its steps.
    """
    from shoestring.report import (
        check_target,
        document_of,
        newest_study,
        place_beside,
        save_page,
        with_name,
    )

    _check_options(out, show, serve, port, as_json)
    source = newest_study(Path()) if path is None else with_name(path)
    if serve:
        from shoestring.report.serving import Live, Server

        server = Server(Live(source, ledger, sensitivity), port or 0)
        line = f"{server.address} shows {source}, as long as this command runs"
        serve_page(server, line, show=show)
        return
    if as_json:
        print(document_of(source, ledger, sensitivity).to_json())
        return
    target = out or place_beside(source)
    check_target(target)
    writing(target)
    size = save_page(document_of(source, ledger, sensitivity), target)
    print(f"{target}: {size:,} bytes; open it in a browser")
    if show:
        open_page(target.absolute().as_uri())


def _check_options(
    out: Path | None, show: bool, serve: bool, port: int | None, as_json: bool
) -> None:
    """Raise ValueError for options that say two things."""
    if port is not None and not serve:
        raise ValueError(f"--port {port} is for --serve: add it, or leave --port out")
    if serve and (out is not None or as_json):
        raise ValueError("--serve writes no file and prints no JSON: leave out --out and --json")
    if as_json and (out is not None or show):
        raise ValueError("--json writes no page: leave out --out and --open")
