"""From at most a tenth of the data, the score with all of it: is it in the 80 % interval?

    python benchmarks/scaling.py

Each case is a set of real data and a model that is trained anew on parts of the training data (six
sizes up to a tenth, four seeds each) and on all of it (three seeds). Scores are of held-out data.
The rows of a case are measurements alone; `scaling_forecasts.py` has what each forecast makes of
them, which is then written anew from all of them (with `--add` nothing is measured again). Settings
were chosen on the cases that `scaling_cases.py` marks for it, which do not count.
"""

from __future__ import annotations

import warnings
from time import process_time

import numpy as np
from rows import Rows, start
from scaling_cases import Case, Network, Split, cases
from scaling_forecasts import CHOOSING, FORECASTS, UNITS, measurements, ours, summary

from shoestring.kit import Training
from shoestring.plan.small_runs import one_run, small_runs

SHARE, SIZES, SEEDS, FINALS = 0.1, 6, 4, 3
FEWEST = 30
"""Examples of the smallest part, where that is more than a hundredth."""


def sizes_of(examples: int, count: int) -> list[int]:
    """So many sizes up to a tenth, each larger by the same factor."""
    most = round(SHARE * examples)
    return [round(one) for one in np.geomspace(max(examples / 100, FEWEST), most, count)]


def measure(rows: Rows, case: Case, split: Split) -> None:
    """The scores of a case: a row for each training."""
    (x, y), (xt, yt) = split.train, split.held_out
    sizes, finals, seeds = sizes_of(len(y), SIZES), FINALS, SEEDS
    if rows.quick:
        sizes, finals, seeds = sizes_of(len(y), 4), 1, 2
    began = process_time()
    for size, count in [*((one, seeds) for one in sizes), (len(y), finals)]:
        for seed in range(count):
            draw = np.random.default_rng(1000 * seed + 7)
            kept = np.sort(draw.permutation(len(y))[:size])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # few passes are part of the case
                model = case.learner(seed).fit(x[kept], y[kept])
                score = float((model.predict(xt) == yt).mean())
            rows.add(case.name, f"score of {size}", score, "", seed)
    _end(rows, case.name, split.chance, len(y), began)


def measure_network(rows: Rows, case: Network) -> None:
    """The same of a network of torch, by `small_runs`."""
    began, (model, task) = process_time(), case.make()
    training, seeds, finals = Training(case.steps), SEEDS, FINALS
    if rows.quick:
        training, seeds, finals = training.scaled(0.1), 2, 1
    found = small_runs(model, task, seeds=seeds, training=training)
    for point in found.points:
        rows.add(case.name, f"score of {point.size:.0f}", point.score, "", point.seed)
    for seed in range(finals):
        score, _ = one_run(model, task, found.examples, seed, training)
        rows.add(case.name, f"score of {found.examples}", score, "", seed)
    _end(rows, case.name, found.chance, found.examples, began)


def _end(rows: Rows, name: str, chance: float, examples: int, began: float) -> None:
    rows.add(name, "score of chance", chance, "")
    rows.add(name, "examples", examples, "")
    rows.add(name, "seconds of a core", process_time() - began, "s", timed=True)
    rows.add(name, "done", 1, "")


def conclude(rows: Rows) -> None:
    """How each forecast did, on the cases that count and on those that settings were chosen on."""
    names = [f"{forecast}{more}" for forecast in FORECASTS for more in ("", CHOOSING)]
    # Those of an earlier run give way; close() writes what is here.
    rows.rows[:] = [
        row
        for row in rows.rows
        if row["subject"] not in names and not row["metric"].endswith(" forecast")
    ]
    known = measurements(rows.rows)
    for name, forecast in FORECASTS.items():
        for more in ("", CHOOSING):
            told = summary(forecast, [one for one in known if one.choosing is bool(more)])
            for metric, value in {} if told is None else vars(told).items():
                if value is not None:
                    rows.add(f"{name}{more}", metric, value, UNITS[metric])
    for one in known:
        said = ours(one)
        for end, value in (("low", said.low), ("middle", said.score), ("high", said.high)):
            if value is not None:
                rows.add(one.name, f"{end} forecast", value, "")


def main() -> None:
    rows = start("scaling", "real-cpu", __doc__ or "")
    for case in cases():
        quick = rows.quick and "digits" not in case.name
        if not quick and rows.wanted(case.name) and not rows.done(case.name, None):
            if isinstance(case, Network):
                measure_network(rows, case)
            else:
                measure(rows, case, case.data())
    if not rows.only:
        conclude(rows)
    rows.close()


if __name__ == "__main__":
    main()
