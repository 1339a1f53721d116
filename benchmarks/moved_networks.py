"""Networks found on few pictures, moved to all of them: `python benchmarks/moved_networks.py`.

A search has 10,000 pictures of CIFAR-10 for training and 2,000 for validation, and a limit: the
milliseconds of ResNet-20 with 6 channels, a run of one picture. It trains as much as nine networks
take fully, of 600 steps of 64 pictures each. Then the network that was found is trained on the full
training split, and so are ResNet-20 itself and the widest MobileNet, ShuffleNet (two groups) and
ShuffleNet V2 that take no more milliseconds: six passes each, by `default_training`, on pictures
that are mirrored and shifted. Files are timed in alternation, by the time of the thread, and scored
on test data. `points` is how far the found one is ahead of each, and `error` the standard error of
that difference, over the same pictures. Three seeds, which draw networks, first weights and
batches; widths are measured once.

Goes on where it was interrupted, in a training too; about an hour and a half of a core a seed.
--quick: one seed, three trainings of 60 steps, 2,000 pictures, one pass: too few for a conclusion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import torch
from rows import RESULTS, Rows, start
from torch import nn

from shoestring.artifact import load
from shoestring.artifact import save as write_whole
from shoestring.core import array, score, seeded
from shoestring.kit import AdamW, Averaged, Supervised, Training, resuming, save, train
from shoestring.meters import Latency, ThreadTime, alternate, ratio
from shoestring.models import MobileNet, ResNet20, ShuffleNet, ShuffleNetV2
from shoestring.recipes.baselines import pictures
from shoestring.recipes.running import few
from shoestring.search import (
    ESTIMATES,
    Found,
    Method,
    OperationTable,
    Stages,
    TabledMilliseconds,
    default_training,
    find,
)
from shoestring.tasks import cifar10

SEEDS = (0, 1, 2)
PASSES, BATCH = 6, 64
TRAININGS, STEPS = 9.0, 600
FITTED = 8
REFERENCE = "ResNet-20"
FOUND = "found"
MILLISECONDS = "of ResNet-20's milliseconds"
LADDERS: Mapping[str, Mapping[int, Callable[[], nn.Module]]] = {
    REFERENCE: {6: partial(ResNet20, 6)},
    "MobileNet": {width: partial(MobileNet, width) for width in range(4, 25, 2)},
    "ShuffleNet": {width: partial(ShuffleNet, width, 2) for width in range(32, 129, 8)},
    "ShuffleNet V2": {
        width: partial(ShuffleNetV2, width, features=256) for width in range(8, 117, 4)
    },
}
"""Of each kind of network, from the narrowest on: the widest that is no slower is taken."""


def main() -> None:
    torch.set_num_threads(1)
    whole = replace(cifar10(batch_size=BATCH), augment=pictures)
    rows = start("moved_networks", f"{whole.name}-cpu", __doc__ or "", seeds=True)
    folder = RESULTS / "unfinished" / f"moved_networks{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    small = few(whole, 1_000, 300) if rows.quick else few(whole, 10_000, 2_000)
    whole = few(whole, 2_000, 500) if rows.quick else whole
    for seed in (0,) if rows.quick else SEEDS:
        if rows.seed not in (None, seed) or rows.done(FOUND, seed):
            continue
        widths, limit = widest(small, folder)
        found = searched(small, limit, folder / f"search {seed}", rows.quick, seed)
        networks = {FOUND: found.best.untrained}
        networks |= {name: LADDERS[name][width] for name, width in widths.items()}
        files = {
            name: trained(make, whole, folder / f"{name} {seed}.shoe", rows.quick, seed)
            for name, make in networks.items()
        }
        print(found.best.architecture, flush=True)
        for name, width in widths.items():
            rows.add(name, "width", width, "channels", seed)
        told(rows, found, whole, files, seed)
    rows.close()


def widest(task: Supervised, folder: Path) -> tuple[dict[str, int], float]:
    """The width of each kind of network, and the milliseconds that the narrowest ladder allows.

    They are measured once: all seeds have the same widths.
    """
    note = folder / "widths.json"
    if not note.exists():
        widths, limit = dict[str, int](), 0.0
        reference = drafted(LADDERS[REFERENCE][6], task, folder / "reference.shoe")
        for name, ladder in LADDERS.items():
            for width, make in ladder.items():
                path = drafted(make, task, folder / "draft.shoe")
                mine, its = alternate(
                    [path, reference], task.sealed(), seconds=3.0, clock=ThreadTime()
                )
                limit = its.median
                if name != REFERENCE and ratio(mine, its).median > 1:
                    break
                widths[name] = width
        write_whole(note, json.dumps([widths, limit]).encode())
    widths, limit = json.loads(note.read_text())
    assert set(widths) == set(LADDERS), "the narrowest of a ladder is slower than the reference"
    return widths, limit


def drafted(make: Callable[[], nn.Module], task: Supervised, path: Path) -> Path:
    """The file of an untrained network."""
    with seeded(0):
        save(make(), task.sealed(), path)
    return path


def searched(task: Supervised, limit: float, folder: Path, quick: bool, seed: int) -> Found:
    """What a search on few pictures finds within the milliseconds."""
    space, draw = Stages(), Random(seed)
    timed = Latency(repeats=7, clock=ThreadTime())
    table = OperationTable(meter=timed, folder=folder / "milliseconds")
    some = [space.made(space.drawn(draw)).network() for _ in range(FITTED)]
    table = table.fitted(some, task.sealed())
    foretold = TabledMilliseconds(table=table, known_above=2 * limit, seconds=120.0)
    return find(
        task,
        space,
        f"latency<={limit:.5f}ms",
        folder,
        method=Method(trainings=3.0 if quick else TRAININGS),
        training=Training(60 if quick else STEPS, AdamW(3e-3), statistics=Averaged()),
        estimates=(*ESTIMATES, foretold),
        meters=[timed],
        minutes=24 * 60,
        seed=seed,
    )


def trained(
    make: Callable[[], nn.Module], task: Supervised, path: Path, quick: bool, seed: int
) -> Path:
    """The file of a network, trained on the full set."""
    if not path.exists():
        with resuming(path.with_suffix(".unfinished")), seeded(seed):
            model, passes = make(), 1 if quick else PASSES
            steps = passes * -(-len(task.train[1]) // task.batch_size)
            training = default_training(model, task.sealed(), steps).training
            training = replace(training, statistics=Averaged())
            train(model, task.sealed(), training, what=path.stem)
            save(model, task.sealed(), path)
    return path


def told(rows: Rows, found: Found, task: Supervised, files: Mapping[str, Path], seed: int) -> None:
    """The rows of a seed."""
    measured = alternate(list(files.values()), task.sealed(), seconds=60.0, clock=ThreadTime())
    timings = dict(zip(files, measured, strict=True))
    merits = {name: array(task.merits(load(path), "test")) for name, path in files.items()}
    for name, path in files.items():
        times = ratio(timings[name], timings[REFERENCE])
        validation = score(task.sealed(), load(path))
        rows.add(name, "test score", 100 * float(merits[name].mean()), "%", seed)
        rows.add(name, "validation score", 100 * validation, "%", seed)
        rows.add(name, "bytes", path.stat().st_size, "bytes", seed)
        rows.add(name, "milliseconds", timings[name].median, "ms", seed, timed=True)
        rows.add(name, MILLISECONDS, times.median, "", seed, timed=True)
        if name == FOUND:
            continue
        differences = 100 * (merits[FOUND] - merits[name])
        error = float(differences.std()) / len(differences) ** 0.5
        rows.add(f"against {name}", "points", float(differences.mean()), "points", seed)
        rows.add(f"against {name}", "error", error, "points", seed)
    seconds = sum(one.cost.processor_seconds or 0.0 for one in found.trials)
    rows.add(FOUND, "minutes of search", seconds / 60, "minutes of a core", seed)
    rows.add(FOUND, "networks tried", len(found.candidates), "networks", seed)
    rows.add(FOUND, "done", 1, "", seed)


if __name__ == "__main__":
    main()
