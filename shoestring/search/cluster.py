"""The trials of a tuning on a Ray cluster, many at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from shoestring.artifact.errors import missing
from shoestring.core import Task, check_task
from shoestring.search.halving import Halving
from shoestring.search.knobs import Chosen, Knobs
from shoestring.search.trials import (
    End,
    RandomSettings,
    TreeParzen,
    TriedSettings,
    tried,
)
from shoestring.search.tuning import Tuned, check_tuning, default_of, found_by


def tune_on_cluster(
    task: Task,
    build: Callable[[], nn.Module],
    *,
    minutes: float,
    steps: int,
    knobs: Knobs | None = None,
    by: TreeParzen | RandomSettings | None = None,
    halving: Halving | None = None,
    most: int = 1000,
    processors: float = 1.0,
    seed: int = 0,
) -> Tuned:
    """`tune` on Ray: as many trials at a time as the cluster has processors for.

    It uses the cluster that `ray.init` joined, or starts Ray on this machine. The default training
    runs here, before the time begins. Trials that are going on when the time is up are not told.
    Each machine of the cluster needs Shoestring, and what else the task and `build` import.

    Needs the extra `cluster`.
    Source: Liaw et al. 2018 (Ray Tune); `by` and `halving` have theirs.
    Differs: the table is not kept in a folder; Ray has its own, in `~/ray_results`.

    `minutes`, `steps`, `knobs`, `by`, `halving`, `seed`: as in `tune`.
    `most`: trials at most, 1 or more.
    `processors`: of each trial, above 0.

    Raises what `tune` raises, but StudyHeld.
    """
    check_task(task)
    check_tuning(build, minutes, steps, most)
    try:
        import optuna  # noqa: F401
        import ray  # pyright: ignore[reportMissingImports]
        import ray.tune  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise missing("ray", "optuna", extra="cluster", what="tune_on_cluster") from None
    turns, halving, sampler = (
        knobs or Knobs(),
        halving or Halving(),
        by or TreeParzen(),
    )
    default = _default(task, build, steps, seed)
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    trial = _Trial(turns, halving, default.chosen.batch_size, steps, seed)
    results = _tuner(
        trial, task, build, most=most, seconds=60 * minutes, processors=processors, by=sampler
    ).fit()
    # of a trial that had not begun when the time was up, Ray knows no values
    ended = [_ended(trial.chosen(one.config), one, trial.whole) for one in results if one.config]
    return found_by([default, *ended], turns.names(default.chosen.batch_size))


def _tuner(
    trial: _Trial,
    task: Task,
    build: Callable[[], nn.Module],
    *,
    most: int,
    seconds: float,
    processors: float,
    by: TreeParzen | RandomSettings,
) -> Any:
    """Ray's tuner of the trials, with its search by Optuna and its ASHA."""
    from ray import tune as ray_tune  # pyright: ignore[reportMissingImports]
    from ray.tune.search.optuna import OptunaSearch  # pyright: ignore[reportMissingImports]

    asha = ray_tune.schedulers.ASHAScheduler(
        time_attr="part",
        max_t=trial.whole,
        grace_period=1,
        reduction_factor=trial.halving.factor,
    )
    return ray_tune.Tuner(
        ray_tune.with_resources(
            ray_tune.with_parameters(trial, task=task, build=build), {"cpu": processors}
        ),
        tune_config=ray_tune.TuneConfig(
            metric="score",
            mode="max",
            search_alg=OptunaSearch(
                space=trial.space, metric="score", mode="max", sampler=by.sampler(trial.seed)
            ),
            scheduler=asha,
            num_samples=most,
            time_budget_s=seconds,
        ),
        run_config=ray_tune.RunConfig(verbose=0),
    )


def _default(task: Task, build: Callable[[], nn.Module], steps: int, seed: int) -> TriedSettings:
    return tried(
        default_of(task, build, steps, seed),
        task,
        build,
        halving=Halving(),
        look=lambda part, score: False,
        until=math.inf,
        seed=seed,
    )


@dataclass(frozen=True)
class _Trial:
    """What a worker of Ray runs for each trial."""

    knobs: Knobs
    halving: Halving
    size: int | None
    steps: int
    seed: int

    @property
    def whole(self) -> int:
        """A whole training, in the parts that the scheduler counts."""
        return self.halving.parts[-1]

    def space(self, trial: Any) -> None:
        """Ask a trial of Optuna for its values, which Ray reads off it."""
        self.knobs.turned(trial, self.size, self.steps)

    def chosen(self, values: dict[str, Any]) -> Chosen:
        """The training of the values that were picked."""
        return self.knobs.turned(_Noted(values), self.size, self.steps)

    def __call__(self, config: dict[str, Any], task: Task, build: Callable[[], nn.Module]) -> None:
        from ray.tune import report  # pyright: ignore[reportMissingImports]

        def look(part: int, score: float) -> bool:
            report({"score": score, "part": part})  # the scheduler ends the process here
            return False

        done = tried(
            self.chosen(config),
            task,
            build,
            halving=self.halving,
            look=look,
            until=math.inf,
            seed=self.seed,
        )
        score = done.score if done.end is End.FINISHED else None
        worst = -math.inf if score is None else score
        report({"score": worst, "part": self.whole, "tried": done.to_json()})


@dataclass(frozen=True)
class _Noted:
    """Picks what was picked before."""

    values: dict[str, Any]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        return self.values[name]

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self.values[name]


def _ended(chosen: Chosen, result: Any, whole: int) -> TriedSettings:
    """What Ray knows of a trial that ended, in our words."""
    known = result.metrics or {}
    if "tried" in known:
        return TriedSettings.from_json(known["tried"])
    if result.error is not None:
        return TriedSettings(chosen=chosen, end=End.FAILED, note=str(result.error).splitlines()[-1])
    return TriedSettings(
        chosen=chosen,
        score=known.get("score"),
        share=known.get("part", 0) / whole,
        seconds=known.get("time_total_s", 0.0),
        end=End.STOPPED if known.get("done") else End.OUT_OF_TIME,
    )
