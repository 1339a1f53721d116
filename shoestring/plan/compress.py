"""Compress: from a Budget to the best file that keeps it, and the frontier of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.artifact.format.saving import check_place
from shoestring.artifact.progress import LOG
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Budget, Gauge, Ledger, Task, unwrapped
from shoestring.kit import listening
from shoestring.plan.before import data_first
from shoestring.plan.checks import checked_limits
from shoestring.plan.folder import Temporary, alone_in, folder_of
from shoestring.plan.forecast import Forecast, forecast_of
from shoestring.plan.job import FORECAST_SECONDS, Job
from shoestring.plan.labels import sold
from shoestring.plan.outcome import Outcome
from shoestring.plan.pool import has_pool
from shoestring.plan.search import Search
from shoestring.plan.standing import Standing


def compress(
    model: nn.Module,
    task: Task,
    budget: str | Budget = "",
    path: str | Path | None = None,
    *,
    minutes: float | None = None,
    meters: Sequence[Gauge] | None = None,
    ledger: Ledger | None = None,
    run: str | None = None,
    seed: int = 0,
    smallest: bool = False,
    storage: str | None = None,
    began: float | None = None,
    share: tuple[int, int] = (0, 1),
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Outcome:
    """Search for the best file of a trained model that keeps a budget, and write it at `path`.

    The best file so far is at `path` from the first seconds on, and KeyboardInterrupt keeps it. Of
    the files that keep every limit, the best has the highest validation score. Where only scores
    are limited it is the smallest; without a budget, the smallest that loses nothing beyond two
    standard errors. Where no file keeps every limit, it breaks the fewest limits, by the least.
    What was measured stays in `path` + ".study", from which the next search goes on.
    `budget`: limits, as text or as a Budget; percentages are of what came in. Labels (`labels<=N`)
        are bought first, and each once.
    `path`: of the file; None for a temporary file that lasts as long as the outcome.
    `minutes`: for all of it; None for the time that the budget allows, else 10.
    `meters`: measure what is limited besides bytes; None for the meters of the budget.
    `ledger`: gets a row for each trial.
    `run`: its name in the ledger; None for that of the process.
    `seed`: of training and of samples.
    `smallest`: as in `kit.write`.
    `storage`: of a study that several machines share, see `kit.Study`.
    `began`: the time from which minutes count, by time.monotonic(); None for now.
    `share`: the index of this process among those that search together, and how many there are.
    `say`: gets lines of progress.
    `tell`: gets the same as dictionaries.

    Raises BudgetError or ValueError for what cannot be searched for, ExportError, OSError.
    """
    with searching(
        model,
        task,
        budget,
        path,
        minutes=minutes,
        meters=meters,
        ledger=ledger,
        run=run,
        seed=seed,
        smallest=smallest,
        storage=storage,
        began=began,
        share=share,
        say=say,
        tell=tell,
    ) as outcome:
        return outcome


@contextmanager
def searching(
    model: nn.Module,
    task: Task,
    budget: str | Budget = "",
    path: str | Path | None = None,
    **settings: Any,
) -> Iterator[Outcome]:
    """A context with the outcome of `compress`.

    No other command searches or delivers at the path until the context ends. `settings` are those
    of `Job.of`.
    """
    temporary = Temporary() if path is None else None
    file = temporary.path / "model.shoe" if temporary is not None else Path(path or "")
    check_place(file)
    settings["say"] = also_logged(settings.pop("say", None))
    with alone_in(folder_of(file)):
        model, task, found = data_first(model, task, budget, file, **settings)
        job = Job.of(model, task, budget, file, **{**settings, **found})
        try:
            yield replace(job.run(), _temporary=temporary)
        finally:
            job.experiments.study.close()


def forecast(
    model: nn.Module,
    task: Task,
    budget: str | Budget = "",
    *,
    minutes: float | None = None,
    meters: Sequence[Gauge] | None = None,
    seed: int = 0,
    began: float | None = None,
) -> Forecast:
    """What `compress` would come to, predicted in about ten seconds.

    It is predicted from the time of a step of training, a few files without training, and what the
    reference jobs came to. It takes longer where the model takes longer to export and score. No
    label is bought, and nothing is learnt from examples without one: the forecast is of the model
    as it came in. The arguments are those of `compress`. Raises what `compress` raises.
    """
    limits, to_buy = checked_limits(budget, unwrapped(model)), 0
    if limits.labels is not None:
        to_buy, _ = sold(task, int(limits.labels))
        limits = replace(limits, labels=None)
    with scratch_folder() as folder:
        job = Job.of(
            model,
            task,
            limits,
            folder / "model.shoe",
            minutes=minutes,
            meters=meters,
            seed=seed,
            began=began,
        )
        with listening(job.clock):
            search = Search(Standing(job.experiments, job.limits, job.clock, lambda trial: None))
            search.look(until=job.clock.gone + FORECAST_SECONDS)
            pool = has_pool(task)
            to_learn = 0 if pool is None else len(pool.pool())
            return replace(forecast_of(search), to_buy=to_buy, to_learn=to_learn)


def also_logged(say: Callable[[str], None] | None) -> Callable[[str], None]:
    """A function that gives a line to `say` and to the logger "shoestring"."""

    def tell_and_log(text: str) -> None:
        LOG.info(text.strip())
        if say is not None:
            say(text)

    return tell_and_log
