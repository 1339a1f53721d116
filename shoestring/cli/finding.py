"""The command that searches for a network: search."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from shoestring.artifact.format.names import SEARCHED, networks_folder
from shoestring.cli.ending import GOES_ON, INTERRUPTED, asked_to_end, if_interrupted, writing
from shoestring.cli.search import (
    BEGAN,
    BUDGET_NOT_MET,
    AsJson,
    LedgerPath,
    Quiet,
    RuntimeName,
    Seed,
    Worker,
    Workers,
    printers,
)
from shoestring.cli.source import call
from shoestring.core.budget import limits_in_words

MINUTES = 10.0


class SearcherName(Enum):
    """How networks are proposed, as the command line writes it."""

    RANDOM = "random"
    EVOLUTION = "evolution"
    CONTROLLER = "controller"


Source = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION",
        show_default=False,
        help="a function that returns a task, as MODULE:FUNCTION or path.py:FUNCTION; it may "
        "return with it a trained model to beat, a space of shoestring.search, or both",
    ),
]
Limits = Annotated[
    str | None,
    typer.Option(
        "--budget",
        show_default=False,
        help=f"limits, such as 'latency<=0.3ms, size<=50KB': {limits_in_words()} \\[default: none]",
    ),
]
Minutes = Annotated[float, typer.Option(help="for the whole command", min=0.2)]
By = Annotated[SearcherName, typer.Option("--by", help="how networks are proposed")]
Out = Annotated[
    Path, typer.Option(help="the file to write; the network's code is beside it, as .py")
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="the page to write \\[default: NAME.html beside the file]",
        show_default=False,
    ),
]


def search_networks(
    source: Source,
    budget: Limits = None,
    minutes: Minutes = MINUTES,
    by: By = SearcherName.EVOLUTION,
    runtime: RuntimeName = "onnxruntime",
    out: Out = Path("found.shoe"),
    page: Page = None,
    workers: Workers = 1,
    seed: Seed = 0,
    ledger: LedgerPath = Path("shoestring.ledger"),
    quiet: Quiet = False,
    as_json: AsJson = False,
    worker: Worker = 0,
) -> None:
    """Search for a network that keeps a budget on this machine, train it and compress it.

    Networks are proposed and trained for a short time, the better ones longer; those that break a
    limit are not trained. The best is trained longer, compressed into a file and proved on test
    data, beside your own model where there is one. A page shows all of it. Ctrl-C keeps the best so
    far; the same command goes on from there. Exit status: 0 the budget is kept; 3 it is not (the
    nearest file is kept); 1 an error; 130 interrupted.
    """
    limits, meters = _limits(budget, runtime)
    target = _target(page, out)
    say, tell = printers(as_json, quiet or bool(worker))
    say(f"loading {source}")  # and torch, which takes seconds
    from shoestring.core import Ledger
    from shoestring.plan.networks import join_search, network_job
    from shoestring.plan.workers import end_with_parent

    settings: dict[str, Any] = {"minutes": minutes, "meters": meters, "seed": seed}
    settings["method"] = _method(by)
    build: Callable[[], Any] = lambda: call(source)  # noqa: E731
    if worker:
        end_with_parent()
        join_search(build, limits, out, worker=worker, **settings)
        return
    writing(out, then=lambda: GOES_ON if networks_folder(out).exists() else "")
    try:
        report = network_job(
            *(build, limits, out),
            ledger=Ledger(ledger),
            began=BEGAN,
            workers=workers,
            command=_command(),
            asked=asked_to_end.is_set,
            say=say,
            tell=tell,
            **settings,
        )
    except KeyboardInterrupt:
        _page(out, target, say)
        raise
    _end(report, as_json, _page(out, target, say))


def _command() -> tuple[str, ...]:
    """The words of this command, after the program's own name; () where another program called."""
    return tuple(sys.argv[1:]) if sys.argv[1:2] == ["search"] else ()


def _target(page: Path | None, out: Path) -> Path:
    """Where the page goes; raises FileExistsError where something else is there."""
    from shoestring.report import check_target, place_beside

    target = page or place_beside(out)
    check_target(target, "--report")
    return target


def _page(out: Path, target: Path, say: Callable[[str], None]) -> Path | None:
    """Write the page of a search; None where there is nothing to show, or no room for it."""
    from shoestring.report import write_report

    if not networks_folder(out).joinpath(SEARCHED).exists():
        return None
    try:
        return write_report(out, target)
    except OSError as error:  # what was found is not lost for that
        say(f"  {target} cannot be written: {error}")
        return None


def _end(report: Any, as_json: bool, page: Path | None) -> None:
    """Print a report, and end with its exit status where that is not 0."""
    if as_json:
        told = {**report.as_json(), "page": None if page is None else str(page)}
        print(json.dumps(told), flush=True)
    else:
        shown = "" if page is None else f"\nthe page: {page} (open it in a browser)"
        print(f"{report.as_text()}{shown}", flush=True)
    if report.compressed.outcome.interrupted:
        if_interrupted(lambda: "")  # the report has printed it
        raise typer.Exit(INTERRUPTED)
    if not report.met:
        raise typer.Exit(BUDGET_NOT_MET)


def _limits(budget: str | None, runtime: str) -> tuple[Any, Any]:
    """The budget and its meters; no torch is imported, so that a mistype is told at once."""
    from shoestring.core import Budget
    from shoestring.meters import Latency, default_meters, parse_runtime

    limits = Budget.parse(budget) if budget and budget.strip() else Budget()
    platform = parse_runtime(runtime)
    timed = Latency(runtime=platform.runtime, threads=platform.threads)  # type: ignore[arg-type]
    meters = [timed if isinstance(one, Latency) else one for one in default_meters(limits)]
    return limits, meters


def _method(by: SearcherName) -> Any:
    """How the space is searched."""
    from shoestring.search import AtRandom, Controller, Evolution, Method, Searcher

    searchers: dict[SearcherName, Searcher] = {
        SearcherName.RANDOM: AtRandom(),
        SearcherName.EVOLUTION: Evolution(),
        SearcherName.CONTROLLER: Controller(),
    }
    return Method(searcher=searchers[by])
