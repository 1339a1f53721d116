"""The commands that search: compress, forecast and frontier."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from shoestring.cli.ending import (
    BEGINS_AGAIN,
    GOES_ON,
    INTERRUPTED,
    asked_to_end,
    if_interrupted,
    writing,
)
from shoestring.cli.source import Inputs, SameName, SameOption, model_and_task
from shoestring.core.budget import limits_in_words

BEGAN = monotonic()
"""When the program began, as nearly as Python can tell (the system's time of a process is also that
of a shell that became it): the limit on time is on all of it.
"""
BUDGET_NOT_MET = 3
DEMO = "drop<=1.5%, time<=1min"

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODULE:FUNCTION]",
        show_default=False,
        help="a function that returns (trained model, task), or with --inputs a trained model, as "
        "MODULE:FUNCTION or path.py:FUNCTION; left out: handwritten digits "
        "and a small LeNet, trained on the spot",
    ),
]
Limits = Annotated[
    str | None,
    typer.Option(
        "--budget",
        show_default=False,
        help=f"limits, such as 'size<=16KB, latency<=50%, drop<=0.5%': {limits_in_words()} "
        "[default: none, and for the digits "
        f"'{DEMO}']",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="for the whole command, unless the budget limits time [default: 10]",
        min=0.05,
        show_default=False,
    ),
]
RuntimeName = Annotated[
    str,
    typer.Option(
        "--runtime",
        help="where milliseconds are measured: onnxruntime, openvino or remote:URL, each also "
        "with :all-threads",
    ),
]
Seed = Annotated[int, typer.Option(help="for everything random")]
AsJson = Annotated[
    bool, typer.Option("--json", help="print JSON: a line for each event, the last one the report")
]


def compress(
    source: Source = None,
    budget: Limits = None,
    minutes: Minutes = None,
    runtime: RuntimeName = "onnxruntime",
    inputs: Inputs = None,
    same: SameOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="the file to write [default: NAME.shoe, here]", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(help="processes that search together", min=1)] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="where several machines share the search: journal:PATH in a shared folder, or "
            "postgresql://USER@HOST/NAME",
        ),
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            metavar="K/N",
            help="with --storage: this machine is number K of N, and tries other kinds of chain "
            "than the others",
        ),
    ] = "1/1",
    seed: Seed = 0,
    ledger: Annotated[Path, typer.Option(help="where the trials are recorded")] = Path(
        "shoestring.ledger"
    ),
    smallest: Annotated[
        bool, typer.Option("--smallest", help="also try codings that are slow to load")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print the report alone")] = False,
    as_json: AsJson = False,
    worker: Annotated[int, typer.Option("--worker", hidden=True)] = 0,
) -> None:
    """Find the best file of a trained model that keeps a budget, and prove it on test data.

    The first file is there within seconds, and gets better until the time is up or nothing is left
    to gain. Ctrl-C delivers the best so far; the same command goes on from there. Without a budget:
    the smallest file that loses nothing, and what else could be had. Exit status: 0 the budget is
    kept; 3 it is not (the nearest file is kept, and the word "nearest" printed); 1 an error; 130
    interrupted (the best file so far is kept).
    """
    machine, machines = _part(part, storage)
    limits, meters, timed = _limits(source, budget, runtime)
    say, tell = _printers(as_json, quiet or bool(worker))
    say(f"loading {source or 'the demo'}")  # and torch, which takes seconds
    from shoestring.core import Ledger
    from shoestring.plan import main_job
    from shoestring.plan.workers import helpers, join

    name, build = _job(source, seed, inputs, same)
    path = out or Path(f"{name}.shoe")
    settings: dict[str, Any] = {
        "minutes": minutes,
        "meters": meters,
        "ledger": Ledger(ledger),
        "seed": seed,
        "smallest": smallest,
        "storage": storage,
        "began": BEGAN,
        "share": (machine * workers + worker, machines * workers),
    }
    if worker:
        join(build, limits, path, **settings)
        return
    writing(
        path,
        then=lambda: GOES_ON if path.with_name(f"{path.name}.study").exists() else BEGINS_AGAIN,
    )
    with helpers(workers - 1):
        report = main_job(
            build,
            limits,
            path,
            latency=timed,
            asked=asked_to_end.is_set,
            say=_unless_logged(say),
            tell=tell,
            **settings,
        )
    print(json.dumps(report.as_json()) if as_json else report.as_text(), flush=True)
    _exit(report)


def _exit(report: Any) -> None:
    """End with the exit status of a report, where it is not 0."""
    if report.outcome.interrupted:
        if_interrupted(lambda: "")  # the report has said it
        raise typer.Exit(INTERRUPTED)
    if not report.met:
        raise typer.Exit(BUDGET_NOT_MET)


def forecast(
    source: Source = None,
    budget: Limits = None,
    minutes: Minutes = None,
    runtime: RuntimeName = "onnxruntime",
    inputs: Inputs = None,
    same: SameOption = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """What `compress` would come to.

    Bytes, milliseconds, minutes, and the chance that the budget is kept; in seconds.
    """
    limits, meters, _ = _limits(source, budget, runtime)
    from shoestring.plan import forecast as foretell

    _, build = _job(source, seed, inputs, same)
    model, task = build()
    found = foretell(model, task, limits, minutes=minutes, meters=meters, seed=seed)
    print(json.dumps(found.as_json()) if as_json else str(found))


def frontier(
    path: Annotated[
        Path,
        typer.Argument(
            help="the file that compress wrote, or its folder NAME.shoe.study", show_default=False
        ),
    ],
    pick: Annotated[
        int | None,
        typer.Option(help="write the file of the point of this number", min=1, show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="where to write it [default: PATH.N.shoe]", show_default=False),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="draw it into this file", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What no other file beats, with the exchange rate from each point to the next.

    `--pick` writes one without searching again.
    """
    from shoestring.artifact import save
    from shoestring.plan.frontier import as_svg
    from shoestring.plan.kept import kept

    folder = path if path.is_dir() else path.with_name(f"{path.name}.study")
    study, found, name = kept(folder)
    if svg is not None:
        save(svg, as_svg(found, f"{name}: score against bytes").encode())
    if pick is not None:
        if pick > len(found.points):
            raise ValueError(f"there is no point {pick}: the frontier has {len(found.points)}")
        trial = found.points[pick - 1]
        target = out or folder.with_name(
            f"{folder.name.removesuffix('.study').removesuffix('.shoe')}.{pick}.shoe"
        )
        writing(target)
        save(target, study(trial))
        told = (
            f"{target}: {trial.cost.bytes:,} bytes, validation score {trial.score:.4f}, "
            f"{trial.technique}"
        )
        print(json.dumps({"path": str(target), **found.as_json()[pick - 1]}) if as_json else told)
    elif as_json:
        print(json.dumps(found.as_json()))
    else:
        print(found)
    if svg is not None and not as_json:
        print(f"{svg}: the frontier, drawn")


def _limits(source: str | None, budget: str | None, runtime: str) -> tuple[Any, Any, Any]:
    """The budget, its meters, and what times files.

    Before torch is imported, so that a typing error is told at once.
    """
    from shoestring.core import Budget
    from shoestring.meters import Latency, default_meters, parse_runtime

    text = budget if budget is not None else DEMO if source is None else ""
    limits = Budget.parse(text) if text.strip() else Budget()
    platform = parse_runtime(runtime)
    meters = default_meters(limits)
    timed = Latency(runtime=platform.runtime, threads=platform.threads)  # type: ignore[arg-type]
    return limits, [timed if isinstance(one, Latency) else one for one in meters], timed


def _part(text: str, storage: str | None) -> tuple[int, int]:
    """(which machine this is, counted from 0, how many there are) of "K/N"; raises ValueError."""
    found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(
            f"--part {text!r}: write K/N, such as 2/3 for the second of three machines"
        )
    if int(found[2]) > 1 and storage is None:
        raise ValueError(
            f"--part {text} is for machines that share a search: name where with --storage"
        )
    return int(found[1]) - 1, int(found[2])


def _job(
    source: str | None, seed: int, inputs: Path | None, same: SameName | None
) -> tuple[str, Callable[[], Any]]:
    """The name of a job, and what makes its model and task."""
    if source is not None:
        return source.rsplit(":", 1)[-1], lambda: model_and_task(source, inputs, same)
    if inputs is not None or same is not None:
        raise ValueError(
            "--inputs and --same are for a model of yours: name the function that returns it"
        )
    from shoestring.recipes import digits_lenet

    return "digits", lambda: digits_lenet(seed)


def _unless_logged(say: Callable[[str], None]) -> Callable[[str], None]:
    """What says lines, but for those that the logger writes to the console, as a user's own program
    may have it do.
    """
    from shoestring.kit.progress import logs_to_console

    return lambda text: None if logs_to_console() else say(text)


def _printers(
    as_json: bool, quiet: bool
) -> tuple[Callable[[str], None], Callable[[dict[str, Any]], None]]:
    """What prints lines for people, and what prints events as JSON.

    One of the two prints nothing, or both.
    """

    def silent(_: Any) -> None:
        return

    if as_json:
        return silent, lambda event: print(json.dumps(event), flush=True)
    return (silent if quiet else lambda text: print(text, flush=True)), silent
