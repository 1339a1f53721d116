"""Large vocabularies in few numbers: `python benchmarks/light_rnn.py`.

LSTMs of one width predict the next of 40,000 words of film reviews, after as many passes each: with
a vector for each word, with LightRNN's rows and columns, and with other ways to share numbers among
words. Three seeds. A seed takes about 25 minutes of a core where the softmax is over all words, and
about 5 for LightRNN and the adaptive softmax (AMD EPYC with bfloat16). Goes on where it was
interrupted; `--only light` or `--only full.1` runs a part alone. Set MALLOC_MMAP_MAX_=0 and
MALLOC_TRIM_THRESHOLD_=100000000000: the softmax over all words then takes a fifth less time.
--quick: 4,000 words, a twentieth of a pass, one seed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from rows import RESULTS, Rows, start
from torch import nn

from shoestring.core import prove, score, seeded
from shoestring.kit import AdamW, Mixed, Training, resuming, save, train
from shoestring.kit.embeddings.vectors import FullVectors
from shoestring.models import WordLSTM
from shoestring.tasks import NextWord, movie_reviews, perplexity

WORDS, WIDTH, PASSES, RATE = 40_000, 128, 4, 3e-3
FOLDER = RESULTS / "unfinished"
Made = Callable[[int], nn.Module]  # from the number of words
SUBJECTS: dict[str, Made] = {
    "full": lambda words: WordLSTM(FullVectors(words, WIDTH)),
}


def main() -> None:
    rows = start("light_rnn", "movie-reviews-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task = movie_reviews(words=4000 if rows.quick else WORDS)
    for seed in range(1 if rows.quick else 3):
        for name, made in SUBJECTS.items():
            if not rows.done(name, seed) and rows.wanted(f"{name}.{seed}"):
                subject_rows(rows, name, made, task, seed)
    rows.close()


def subject_rows(rows: Rows, name: str, made: Made, task: NextWord, seed: int) -> None:
    """The rows of one seed of a network."""
    with seeded(seed):
        model = made(task.words)
    a_pass = len(list(task.sealed().batches("train")))
    steps = round(a_pass * (0.05 if rows.quick else PASSES))
    kept = FOLDER / f"light_rnn.{name}.{seed}{'.quick' if rows.quick else ''}"
    with seeded(seed), resuming(kept):
        train(
            model,
            task.sealed(),
            Training(steps, AdamW(RATE), precision=Mixed()),
            what=f"{name}, seed {seed}",
        )
    path = kept.with_suffix(f"{kept.suffix}.shoe")
    size = save(model, task.sealed(), path)
    rows.add(name, "validation perplexity", perplexity(score(task.sealed(), model)), "", seed)
    rows.add(name, "test perplexity", perplexity(prove(path, task, seed=seed)), "", seed)
    rows.add(name, "parameters", sum(p.numel() for p in model.parameters()), "", seed)
    rows.add(name, "file", size, "bytes", seed)
    rows.add(name, "done", 1, "", seed)


if __name__ == "__main__":
    main()
