"""Words matched to cells, exactly and step by step: `python benchmarks/matching.py`.

The costs are drawn like the losses of a language model: frequent words count more (Zipf's law), and
words are alike in eight directions. Words begin in the order of their frequency. Three seeds, about
ten minutes of a core; the exact matching is run up to 10,000 words. Goes on where it was
interrupted. --quick: up to 2,500 words, one seed.
"""

from __future__ import annotations

from time import process_time

import numpy as np
from rows import Rows, start

from shoestring.kit.embeddings.matching import cost, exact, improved

SIZES = (900, 2500, 4900, 10_000, 40_000, 99_856)
EXACT_UP_TO = 10_000


def main() -> None:
    rows = start("matching", "made-up-costs-cpu", __doc__ or "")
    for seed in range(1 if rows.quick else 3):
        for words in SIZES[:2] if rows.quick else SIZES:
            if not rows.done(str(words), seed) and rows.wanted(f"{words}.{seed}"):
                size_rows(rows, words, seed)
    rows.close()


def size_rows(rows: Rows, words: int, seed: int) -> None:
    """The rows of a number of words, in a square table."""
    name = str(words)
    row_costs, column_costs = costs(words, seed)
    began_at = cost(row_costs, column_costs, np.arange(words))
    began, sweeps, cells = process_time(), 0, np.arange(words)
    for better in improved(row_costs, column_costs, cells, seed=seed):
        cells, sweeps = better, sweeps + 1
    rows.add(name, "improved, seconds", process_time() - began, "s of a core", seed, timed=True)
    rows.add(name, "sweeps", sweeps, "", seed)
    reached = cost(row_costs, column_costs, cells)
    rows.add(name, "improved, cost of the start", reached / began_at, "", seed)
    if words <= EXACT_UP_TO:
        began = process_time()
        least = cost(row_costs, column_costs, exact(row_costs, column_costs))
        rows.add(name, "exact, seconds", process_time() - began, "s of a core", seed, timed=True)
        rows.add(name, "above exact", 100 * (reached / least - 1), "%", seed)
    rows.add(name, "done", 1, "", seed)


def costs(words: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Costs of words in rows and columns, in nats: V×√V each, all above 0."""
    draw = np.random.default_rng(seed)
    side = round(words**0.5)
    count = np.maximum(1, words / np.arange(1, words + 1))[:, None]
    parts = draw.normal(size=(words, 8)).astype(np.float32)
    losses = []
    for _ in range(2):
        directions = draw.normal(size=(8, side)).astype(np.float32) * 0.7
        own = draw.normal(size=(words, side)).astype(np.float32) * 0.3
        losses.append(np.logaddexp(0, parts @ directions + own + np.log(side)))
    return tuple((count * one).astype(np.float32) for one in losses)  # type: ignore[return-value]


if __name__ == "__main__":
    main()
