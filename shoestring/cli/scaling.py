"""`shoestring forecast --scale`: what more data, parameters or compute would bring."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from shoestring.cli.ending import BEGINS_AGAIN, GOES_ON, if_interrupted

Scale = Annotated[
    bool,
    typer.Option(
        "--scale",
        help="predict the score with more data instead: train the model anew on small parts of its "
        "training data, or read --points",
    ),
]
Points = Annotated[
    Path | None,
    typer.Option(
        show_default=False,
        help="with --scale: a CSV file of scores that you measured, with the columns size, score "
        "and, if you like, seed; the first may be named after its unit (parameters, hours)",
    ),
]
Target = Annotated[
    float | None,
    typer.Option(
        "--score", help="with --scale: a score, of which the size is told", show_default=False
    ),
]
Price = Annotated[
    float | None,
    typer.Option(help="with --score: of a label, or of another unit", min=0, show_default=False),
]
Affords = Annotated[
    float | None,
    typer.Option(
        show_default=False,
        help="with --score: the size that you can pay for today; tells in how many years the "
        "target is affordable",
    ),
]
Best = Annotated[
    float | None,
    typer.Option(help="with --scale: the best score \\[default: 1]", show_default=False),
]
Chance = Annotated[
    float | None,
    typer.Option(
        help="with --points: the score of a model that has learnt nothing", show_default=False
    ),
]
Share = Annotated[
    float | None,
    typer.Option(
        show_default=False,
        help="with --scale: the largest part of the data to train on \\[default: 0.1]",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        show_default=False,
        help="with --scale: of training on all the data \\[default: 2000]",
        min=1,
    ),
]
_MINUTES = 10.0
_SEEDS = 3
_MANY = (1.0, 2.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of `--scale`, as they were given; None for those that were not."""

    points: Path | None
    target: float | None
    price: float | None
    affords: float | None
    best: float | None
    chance: float | None
    share: float | None
    steps: int | None

    def check(self, scale: bool, source: str | None, budget: str | None) -> None:
        """Raise ValueError for options that do not go together, or that another is missing for."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if given and not scale:
            name = "score" if (first := next(iter(given))) == "target" else first
            raise ValueError(f"--{name} is for a forecast with --scale: add it")
        if scale and budget is not None:
            raise ValueError("--budget is for a forecast of compress: leave it or --scale out")
        if self.points is not None and source is not None:
            raise ValueError(f"give {source} or --points {self.points}, not both")
        for name in ("price", "affords"):
            if name in given and self.target is None:
                raise ValueError(f"--{name} is of a score: give it as --score")
        if self.affords is not None and not self.affords > 0:
            raise ValueError(f"--affords {self.affords:g}: give a size above 0")
        for name in ("share", "steps") if self.points is not None else ("chance",):
            if name in given:
                raise ValueError(
                    f"--{name} is for "
                    + ("a model to train" if self.points is not None else "--points")
                    + ": leave it out"
                )


def forecast_scale(
    asked: Asked,
    name: str,
    build: Callable[[], Any] | None,
    minutes: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Print the forecast of scores at larger sizes.

    `name`: of the job, for the file of its small runs.
    `build`: returns (model, task); None where the points are in a file.
    """
    from shoestring.plan.outlook import Outlook
    from shoestring.plan.points_file import read_points
    from shoestring.plan.scaling import scaling

    def say(text: str) -> None:
        if not as_json:
            print(text, flush=True)

    best = 1.0 if asked.best is None else asked.best
    if build is None:
        assert asked.points is not None
        unit, points = read_points(asked.points)
        found = scaling(points, best=best, chance=asked.chance, seed=seed)
        sizes: list[float] = [2 * found.largest, 10 * found.largest, 100 * found.largest]
    else:
        runs = _runs(asked, name, build, minutes, say)
        unit, chance = "examples", runs.chance if runs.chance < best else None
        found = scaling(runs.points, best=best, chance=chance, seed=seed)
        sizes = [times * runs.examples for times in _MANY]
        if len(runs.points) < runs.planned:
            say(f"the time was enough for {len(runs.points)} of {runs.planned} trainings")
    outlook = Outlook(
        found=found,
        sizes=sizes,
        unit=unit,
        target=asked.target,
        price=asked.price,
        affords=asked.affords,
    )
    print(json.dumps(outlook.as_json()) if as_json else str(outlook))


def _runs(
    asked: Asked,
    name: str,
    build: Callable[[], Any],
    minutes: float | None,
    say: Callable[[str], None],
) -> Any:
    """Train on small parts of the data, or read what an earlier command has measured."""
    from shoestring.kit import Training
    from shoestring.plan.small_runs import small_runs

    path = Path(f"{name}.scaling.json")
    if_interrupted(
        lambda: f"{path} has what was measured; {GOES_ON}" if path.exists() else BEGINS_AGAIN
    )
    model, task = build()
    return small_runs(
        model,
        task,
        share=0.1 if asked.share is None else asked.share,
        seeds=_SEEDS,
        training=Training(2000 if asked.steps is None else asked.steps),
        minutes=_MINUTES if minutes is None else minutes,
        path=path,
        say=say,
    )
