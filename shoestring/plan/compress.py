"""The main job: from a Budget to the best file that keeps it, and the frontier found on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.artifact.format.saving import check_place
from shoestring.core import Budget, Gauge, Ledger, Task
from shoestring.kit import listening
from shoestring.kit.progress import LOG
from shoestring.plan.forecast import Forecast, foretell
from shoestring.plan.job import FORECAST_SECONDS, Job
from shoestring.plan.outcome import Outcome
from shoestring.plan.place import Temporary, alone_in, folder_of
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
    """Search for the best file of a trained model that keeps a budget, and write it at `path`, the
    best so far from the first seconds on.

    First come files that take no training, then rounds of ever longer training on ever fewer kinds
    of chain, out of all techniques there are. Among the files that keep every limit the one of the
    highest validation score is delivered, where only the score is limited the smallest; without a
    budget, the smallest that loses nothing beyond two standard errors. Where no file keeps every
    limit, the nearest is delivered: the one that breaks the fewest, by the least.

    `budget`: limits as text or a Budget; shares (`latency<=50%`) are of what came in. `minutes` for
        all of it (10, unless the budget limits time), counted from `began` (of time.monotonic(),
        now).
    `path`: None for a temporary file that lasts as long as the outcome. `meters` measure what is
        limited besides bytes; None for those of the budget. What was measured stays in `path` +
        ".study": the next search on the same model starts from it, and one that was killed goes on.
    `storage`: where several machines share a study, see `kit.Study`.
    `share`: of several processes that search together, which this is and how many there are.
        `smallest` is that of `kit.write`. KeyboardInterrupt ends the search, not the delivery: the
        outcome has the best so far and `interrupted`. Raises BudgetError or ValueError for a
        budget, model or task that cannot be worked with, ExportError, OSError.
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
    """The outcome of `compress`, within.

    No other command searches or delivers at the path until the end.
    """
    kept = Temporary() if path is None else None
    file = kept.path / "model.shoe" if kept is not None else Path(path or "")
    check_place(file)
    say = settings.pop("say", None)
    with alone_in(folder_of(file)):
        job = Job.of(model, task, budget, file, say=also_logged(say), **settings)
        try:
            yield replace(job.run(), _kept=kept)
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
    """What `compress` would come to, from a step of training, a few files without training and what
    the reference jobs came to.

    Takes about ten seconds, more where the model alone takes longer to export and score. Raises
    what `compress` raises.
    """
    with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
        job = Job.of(
            model,
            task,
            budget,
            Path(folder) / "model.shoe",
            minutes=minutes,
            meters=meters,
            seed=seed,
            began=began,
        )
        with listening(job.clock):
            search = Search(Standing(job.experiments, job.limits, job.clock, lambda trial: None))
            search.look(until=job.clock.gone + FORECAST_SECONDS)
            return foretell(search)


def also_logged(say: Callable[[str], None] | None) -> Callable[[str], None]:
    """What tells a line to `say` and to the logger "shoestring"."""

    def tell_and_log(text: str) -> None:
        LOG.info(text.strip())
        if say is not None:
            say(text)

    return tell_and_log
