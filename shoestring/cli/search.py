"""The commands that search for files: compress, forecast and frontier."""

from __future__ import annotations

import json
import re
import sys
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
from shoestring.cli.scaling import (
    Affords,
    Asked,
    Best,
    Chance,
    Points,
    Price,
    Scale,
    Share,
    Steps,
    Target,
    forecast_scale,
)
from shoestring.cli.source import Inputs, SameName, SameOption, model_and_task
from shoestring.core.budget import limits_in_words

BEGAN = monotonic()
"""The start of the program, from which a limit on time counts, as nearly as Python knows it."""
ON_TARGET = ("flash", "ram", "instructions")
"""What a budget limits that is measured on a microcontroller."""
BUDGET_NOT_MET = 3
"""The exit status of `compress` where the budget is not kept."""
DEMO = "drop<=1.5%, time<=1min"
DEMO_TRAINING = 25.0
"""Seconds of the demo's minute that training its network may take, on however slow a computer."""

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODULE:FUNCTION]",
        show_default=False,
        help="a function that returns (trained model, task), or with --inputs a trained model, as "
        "MODULE:FUNCTION or path.py:FUNCTION; left out: handwritten digits and a small LeNet, "
        "trained on the spot",
    ),
]
Limits = Annotated[
    str | None,
    typer.Option(
        "--budget",
        show_default=False,
        help=f"limits, such as 'size<=16KB, latency<=50%, drop<=0.5%': {limits_in_words()} "
        f"\\[default: none, and for the digits '{DEMO}']",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="for the whole command, unless the budget limits time \\[default: 10]",
        min=0.05,
        show_default=False,
    ),
]
RuntimeName = Annotated[
    str,
    typer.Option(
        "--runtime",
        help="where milliseconds are measured: onnxruntime, openvino, openvino:bfloat16 or "
        "remote:URL, each also "
        "with :all-threads",
    ),
]
TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        show_default=False,
        help="the microcontroller on which flash, RAM and instructions are measured, where the "
        "budget limits them: cortex-m0plus, cortex-m3, cortex-m4f, cortex-m7, riscv32, avr "
        "or, for flash alone, host \\[default: cortex-m3]",
    ),
]
Seed = Annotated[int, typer.Option(help="for everything random")]
AsJson = Annotated[
    bool, typer.Option("--json", help="print JSON: a line for each event, the last one the report")
]
Out = Annotated[
    Path | None,
    typer.Option(help="the file to write \\[default: NAME.shoe, here]", show_default=False),
]
Workers = Annotated[int, typer.Option(help="processes that search together", min=1)]
Storage = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="where several machines share the search: journal:PATH in a shared folder, or "
        "postgresql://USER@HOST/NAME",
    ),
]
Part = Annotated[
    str,
    typer.Option(
        metavar="K/N",
        help="with --storage: this machine is number K of N, and tries other kinds of chain "
        "than the others",
    ),
]
LedgerPath = Annotated[Path, typer.Option(help="where the trials are recorded")]
Smallest = Annotated[
    bool, typer.Option("--smallest", help="also try codings that are slow to load")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="print the report alone")]
Worker = Annotated[int, typer.Option("--worker", hidden=True)]


def compress(
    source: Source = None,
    budget: Limits = None,
    minutes: Minutes = None,
    runtime: RuntimeName = "onnxruntime",
    target: TargetName = None,
    inputs: Inputs = None,
    same: SameOption = None,
    out: Out = None,
    workers: Workers = 1,
    storage: Storage = None,
    part: Part = "1/1",
    seed: Seed = 0,
    ledger: LedgerPath = Path("shoestring.ledger"),
    smallest: Smallest = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    worker: Worker = 0,
) -> None:
    """Find the best file of a trained model that keeps a budget, and prove it on test data.

    The first file is there within seconds, and gets better until the time is up or nothing is left
    to gain. Ctrl-C delivers the best so far; the same command goes on from there. Without a budget:
    the smallest file that loses nothing, and what else could be had. Exit status: 0 the budget is
    kept; 3 it is not (the nearest file is kept, and the word "nearest" printed); 1 an error; 130
    interrupted (the best file so far is kept).
    """
    machine, machines = _part(part, storage)
    limits, meters, timed = _limits(source, budget, runtime, target)
    say, tell = printers(as_json, quiet or bool(worker))
    say(f"loading {source or 'the demo'}")  # and torch, which takes seconds
    from shoestring.core import Ledger
    from shoestring.plan.workers import join

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
    settings |= {"latency": timed, "say": _unless_logged(say), "tell": tell, "command": _command()}
    if source is None:
        settings["loading"] = DEMO_TRAINING
    report = _search(build, limits, path, workers, settings)
    print(json.dumps(report.as_json()) if as_json else report.as_text(), flush=True)
    _exit(report)


def _search(
    build: Callable[[], Any], limits: Any, path: Path, workers: int, settings: dict[str, Any]
) -> Any:
    """Run the search of this process, with its helper processes, and return its report."""
    from shoestring.plan import main_job
    from shoestring.plan.workers import helpers

    writing(
        path,
        then=lambda: GOES_ON if path.with_name(f"{path.name}.study").exists() else BEGINS_AGAIN,
    )
    with helpers(workers - 1):
        return main_job(build, limits, path, asked=asked_to_end.is_set, **settings)


def _exit(report: Any) -> None:
    """End with the exit status of a report, where it is not 0."""
    if report.outcome.interrupted:
        if_interrupted(lambda: "")  # the report has printed it
        raise typer.Exit(INTERRUPTED)
    if not report.met:
        raise typer.Exit(BUDGET_NOT_MET)


def forecast(
    source: Source = None,
    budget: Limits = None,
    minutes: Minutes = None,
    runtime: RuntimeName = "onnxruntime",
    target: TargetName = None,
    inputs: Inputs = None,
    same: SameOption = None,
    scale: Scale = False,
    points: Points = None,
    target_score: Target = None,
    price: Price = None,
    affords: Affords = None,
    best: Best = None,
    chance: Chance = None,
    share: Share = None,
    steps: Steps = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Predict, in seconds, what `compress` would reach; with --scale, what more data would bring.

    It prints bytes, milliseconds, minutes, and the chance that the budget is kept. With --scale it
    prints the scores of small runs, carried on to all the data and beyond, with 80 % intervals; or
    "undecided", and why.
    """
    asked = Asked(
        points=points,
        target=target_score,
        price=price,
        affords=affords,
        best=best,
        chance=chance,
        share=share,
        steps=steps,
    )
    asked.check(scale, source, budget)
    if scale:
        name, build = ("", None) if points is not None else _job(source, seed, inputs, same)
        forecast_scale(asked, name, build, minutes, seed, as_json)
        return
    limits, meters, _ = _limits(source, budget, runtime, target)
    from shoestring.plan import forecast as predict

    _, build = _job(source, seed, inputs, same)
    model, task = build()
    result = predict(model, task, limits, minutes=minutes, meters=meters, seed=seed)
    print(json.dumps(result.as_json()) if as_json else str(result))


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
        typer.Option(help="where to write it \\[default: PATH.N.shoe]", show_default=False),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="draw it into this file", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the files that no other file beats, with the exchange rate from each to the next.

    `--pick` writes one of them without searching again.
    """
    from shoestring.artifact import save
    from shoestring.plan.frontier import as_svg
    from shoestring.plan.kept import kept

    folder = path if path.is_dir() else path.with_name(f"{path.name}.study")
    study, front, name = kept(folder)
    if svg is not None:
        save(svg, as_svg(front, f"{name}: score against bytes").encode())
    if pick is not None:
        if pick > len(front.points):
            raise ValueError(f"there is no point {pick}: the frontier has {len(front.points)}")
        trial = front.points[pick - 1]
        target = out or folder.with_name(
            f"{folder.name.removesuffix('.study').removesuffix('.shoe')}.{pick}.shoe"
        )
        writing(target)
        save(target, study(trial))
        text = (
            f"{target}: {trial.cost.bytes:,} bytes, validation score {trial.score:.4f}, "
            f"{trial.technique}"
        )
        print(json.dumps({"path": str(target), **front.as_json()[pick - 1]}) if as_json else text)
    elif as_json:
        print(json.dumps(front.as_json()))
    else:
        print(front)
    if svg is not None and not as_json:
        print(f"{svg}: the frontier, drawn")


def _limits(
    source: str | None, budget: str | None, runtime: str, target: str | None
) -> tuple[Any, Any, Any]:
    """The budget, its meters, and the meter of latency.

    It imports no torch, so that a mistyped budget is reported at once.
    """
    from shoestring.artifact.plain_c.board.targets import target_named
    from shoestring.core import Budget
    from shoestring.meters import Latency, default_meters, parse_runtime

    text = budget if budget is not None else DEMO if source is None else ""
    limits = Budget.parse(text) if text.strip() else Budget()
    platform = parse_runtime(runtime)
    if target is not None:
        target_named(target)  # a mistyped one is reported whatever is limited
        if all(getattr(limits, name) is None for name in ON_TARGET):
            raise ValueError(
                f"--target {target}: the budget limits nothing on it; limit "
                f"{', '.join(ON_TARGET)} (flash<=16KB), or leave --target out"
            )
    meters = default_meters(limits, target or "cortex-m3")
    timed = Latency(runtime=platform.runtime, threads=platform.threads)  # type: ignore[arg-type]
    return limits, [timed if isinstance(one, Latency) else one for one in meters], timed


def _part(text: str, storage: str | None) -> tuple[int, int]:
    """Parse "K/N" as (the index of this machine, from 0, the number of machines).

    Raises ValueError for other texts, and for several machines without a storage.
    """
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(
            f"--part {text!r}: write K/N, such as 2/3 for the second of three machines"
        )
    if int(match[2]) > 1 and storage is None:
        raise ValueError(
            f"--part {text} is for machines that share a search: name where with --storage"
        )
    return int(match[1]) - 1, int(match[2])


def _job(
    source: str | None, seed: int, inputs: Path | None, same: SameName | None
) -> tuple[str, Callable[[], Any]]:
    """The name of a job, and a function that returns (model, task)."""
    if source is not None:
        return source.rsplit(":", 1)[-1], lambda: model_and_task(source, inputs, same)
    if inputs is not None or same is not None:
        raise ValueError(
            "--inputs and --same are for a model of yours: name the function that returns it"
        )
    from shoestring.recipes import digits_lenet

    return "digits", lambda: digits_lenet(seed)


def _command() -> tuple[str, ...]:
    """The words of this command, after the program's own name; () where another program called."""
    return tuple(sys.argv[1:]) if sys.argv[1:2] == ["compress"] else ()


def _unless_logged(say: Callable[[str], None]) -> Callable[[str], None]:
    """A function that prints a line, unless the logger writes lines to the console already."""
    from shoestring.artifact.progress import logs_to_console

    return lambda text: None if logs_to_console() else say(text)


def printers(
    as_json: bool, quiet: bool
) -> tuple[Callable[[str], None], Callable[[dict[str, Any]], None]]:
    """A function that prints lines for people, and one that prints events as JSON.

    At least one of the two prints nothing.
    """

    def silent(_: Any) -> None:
        return

    if as_json:
        return silent, lambda event: print(json.dumps(event), flush=True)
    return (silent if quiet else lambda text: print(text, flush=True)), silent
