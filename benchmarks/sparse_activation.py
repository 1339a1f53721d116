"""Networks of which only a part is computed: `python benchmarks/sparse_activation.py`.

Mixtures of experts predict the next byte of film reviews. Beside them: dense networks of the same
milliseconds, of the same bytes and of the size of one expert, and mixtures whose router is random
or a table of the bytes. Three seeds of 600 steps each; a run takes about half a minute of a core
(AMD EPYC). Then the files of the first seed are timed in alternation, one thread, on a window of
128 bytes and on 32 of them. Then ResNet-20 with early exits (`early_exits.py`). Goes on where it
was interrupted; `--only experts.1`, `--only timing` or `--only exits` runs a part alone.
--quick: 60 steps, three of the networks, one seed.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time

import torch
from early_exits import exit_rows
from rows import RESULTS, Rows, start

from shoestring.core import prove, score, seeded
from shoestring.kit import MixtureOfExperts, expert_shares, save, train
from shoestring.meters import alternate
from shoestring.meters.interleaved import ratio
from shoestring.recipes.sparse_activation import NETWORKS, TRAINING, network
from shoestring.tasks import NextWord
from shoestring.tasks.movie_reviews import review_bytes

FOLDER = RESULTS / "unfinished"
QUICK = ("dense", "experts", "by byte")
BATCHES = (1, 32)
ROUNDS = {1: 500, 32: 20}  # many, so that the median is that of an undisturbed run
FIRST = "dense"  # what the milliseconds of the others are divided by


def main() -> None:
    rows = start("sparse_activation", "review-bytes-cifar10-jpeg-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task = review_bytes()
    names = [name for name in NETWORKS if name in QUICK or not rows.quick]
    for seed in range(1 if rows.quick else 3):
        for name in names:
            if not rows.done(name, seed) and rows.wanted(f"{name}.{seed}"):
                network_rows(rows, name, task, seed)
    timed = [name for name in names if file_of(rows, name, 0).exists()]
    last = f"milliseconds, {BATCHES[-1]}"
    if rows.wanted("timing") and not all(rows.has(name, last) for name in timed):
        timing_rows(rows, timed, task)
    if rows.wanted("exits"):
        exit_rows(rows)
    rows.close()


def network_rows(rows: Rows, name: str, task: NextWord, seed: int) -> None:
    """The rows and the file of one seed of a network."""
    sealed = task.sealed()
    with seeded(seed):
        model = network(name)
        began = process_time()
        train(model, sealed, TRAINING.scaled(0.1 if rows.quick else 1), what=f"{name}, seed {seed}")
    rows.add(name, "training", process_time() - began, "s of a core", seed, timed=True)
    kept = file_of(rows, name, seed)
    rows.add(name, "file", save(model, sealed, kept), "bytes", seed)
    rows.add(name, "validation", -score(sealed, model), "bits per byte", seed)
    rows.add(name, "test", -prove(kept, task, seed=seed), "bits per byte", seed)
    numbers = sum(p.numel() for p in model.parameters())
    rows.add(name, "parameters", numbers, "", seed)
    if any(isinstance(part, MixtureOfExperts) for part in model.modules()):
        spread = [one.spread for one in expert_shares(model, sealed)]
        rows.add(name, "experts in use", sum(spread) / len(spread), "", seed)
    rows.add(name, "done", 1, "", seed)


def timing_rows(rows: Rows, names: list[str], task: NextWord) -> None:
    """Milliseconds of a run of each file, in one alternation, and how many times the first's."""
    if FIRST not in names:
        return
    paths = [file_of(rows, name, 0) for name in names]
    for batch in BATCHES:
        rounds = ROUNDS[batch] // (10 if rows.quick else 1)
        timings = alternate(paths, task.sealed(), batch=batch, rounds=rounds)
        first = timings[names.index(FIRST)]
        for name, timing in zip(names, timings, strict=True):
            times = ratio(timing, first).median
            rows.add(name, f"milliseconds, {batch}", timing.median, "ms", timed=True)
            rows.add(name, f"times the milliseconds, {batch}", times, "", timed=True)


def file_of(rows: Rows, name: str, seed: int) -> Path:
    """Where the trained network of a seed is kept."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    quick = ".quick" if rows.quick else ""
    return (
        FOLDER / f"sparse_activation.{name.replace(', ', '_').replace(' ', '_')}.{seed}{quick}.shoe"
    )


if __name__ == "__main__":
    main()
