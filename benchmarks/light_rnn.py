"""Large vocabularies in few numbers: `python benchmarks/light_rnn.py`.

LSTMs of one width predict the next of 40,000 words of film reviews, after four passes each: with a
vector for each word, with LightRNN's rows and columns, as published and with rows of uneven length,
and with other ways to share numbers among words. Beside them counts of n-grams (`word_counts.py`),
which take seconds: `--only counts`. Three seeds of the networks. A seed takes 25 to 30 minutes of a
core where the softmax is over all words, and 3 to 5 for the others (AMD EPYC with bfloat16). Goes
on where it was interrupted; `--only full.1` or `--only planner` runs a part alone. Set
MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=100000000000: the softmax over all words then takes a
fifth less time.
--quick: 2,000 words, a tenth of the text, one pass, four of the networks, one seed, and no
planner.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from time import process_time
from typing import Any

import torch
from rows import RESULTS, Rows, start, values
from torch import nn
from word_counts import counted, holds_text, packed, repeated, unpacked

from shoestring import compress, load
from shoestring.core import prove, score, seeded
from shoestring.kit import AdamW, Mixed, Training, load_into, resuming, save, train
from shoestring.kit.embeddings.vectors import (
    FullVectors,
    HashedVectors,
    LowRankVectors,
    QuotientRemainderVectors,
    SlimVectors,
)
from shoestring.models import (
    AdaptiveSoftmax,
    LightRNN,
    UnevenLightRNN,
    WordLSTM,
    alternate,
    reassigned,
)
from shoestring.tasks import NextWord, movie_reviews, perplexity

WORDS, WIDTH, PASSES, RATE = 40_000, 128, 4, 3e-3
# Of uneven rows, chosen on validation data after one pass:
FAST, EARLY, LEAST = 1e-2, (0.1, 0.3), 20
LONGER = 12  # passes of uneven rows, in fewer minutes than PASSES of the softmax over all words
SMALLER = 100  # how many times smaller than the full model's file the planner's must be
MINUTES = 8
COUNTED = (2, 3, 4, 5)  # words of the longest n-grams
PASSAGE = 12  # words that training and test text have in common count as repeated
FOLDER = RESULTS / "unfinished"
MOVES = (0.1, 0.25, 0.5)
OFTEN = tuple(round(0.04 * place, 2) for place in range(1, 16))
QUICK = ("light", "full", "uneven", "adaptive")
LAYERS = ("recurrent", "reading", "to_column")  # their numbers are the same for any vocabulary


@dataclass(frozen=True)
class Subject:
    """A network, and how it is trained.

    `made`: makes it, from the number of words.
    `moves`: of LightRNN, the shares of the training at which words move; None: it has no cells.
    `scattered`: whether its words begin in random cells.
    `least`: rarer words do not move.
    `rate`: the highest learning rate.
    `passes`: over the training text.
    `seeds`: how many are run.
    """

    made: Callable[[int], nn.Module]
    moves: Sequence[float] | None = None
    scattered: bool = False
    least: int = 0
    rate: float = RATE
    passes: int = PASSES
    seeds: int = 3


def _square(words: int) -> int:
    """As many shared vectors as LightRNN has."""
    return 2 * round(words**0.5)


def _full(words: int) -> WordLSTM:
    return WordLSTM(FullVectors(words, WIDTH))


def _adaptive(words: int) -> WordLSTM:
    output = AdaptiveSoftmax(WIDTH, words, (words // 20, words // 4))
    return WordLSTM(FullVectors(words, WIDTH), output=output)


def _uneven(words: int) -> UnevenLightRNN:
    return UnevenLightRNN(words, WIDTH)


SUBJECTS = {
    "light": Subject(lambda words: LightRNN(words, WIDTH), MOVES),
    "uneven": Subject(_uneven, EARLY, least=LEAST, rate=FAST),
    "light, moved often": Subject(lambda words: LightRNN(words, WIDTH), OFTEN),
    "full": Subject(_full),
    "full, fast": Subject(_full, rate=FAST, seeds=1),
    "adaptive": Subject(_adaptive),
    "adaptive, fast": Subject(_adaptive, rate=FAST),
    "adaptive, one pass": Subject(_adaptive, passes=1, seeds=1),
    "adaptive, one pass, fast": Subject(_adaptive, passes=1, rate=FAST, seeds=1),
    "light, GRU": Subject(lambda words: LightRNN(words, WIDTH, recurrent=nn.GRU), MOVES),
    "light, scattered": Subject(lambda words: LightRNN(words, WIDTH), MOVES, scattered=True),
    "light, unmoved": Subject(lambda words: LightRNN(words, WIDTH), ()),
    "light, fast": Subject(lambda words: LightRNN(words, WIDTH), MOVES, rate=FAST),
    "uneven, unmoved": Subject(_uneven, (), rate=FAST, seeds=1),
    "uneven, one pass": Subject(_uneven, EARLY, least=LEAST, passes=1, rate=FAST, seeds=1),
    "uneven, longer": Subject(_uneven, EARLY, least=LEAST, rate=FAST, passes=LONGER, seeds=1),
    "low rank": Subject(
        lambda words: WordLSTM(LowRankVectors(words, WIDTH, 16)), rate=FAST, seeds=1
    ),
    "slim": Subject(
        lambda words: WordLSTM(SlimVectors(words, WIDTH, _square(words))), rate=FAST, seeds=1
    ),
    "hashed": Subject(
        lambda words: WordLSTM(HashedVectors(words, WIDTH, _square(words))), rate=FAST, seeds=1
    ),
    "quotients": Subject(
        lambda words: WordLSTM(QuotientRemainderVectors(words, WIDTH)), rate=FAST, seeds=1
    ),
}
SIZED = (
    "light",
    "full",
    "uneven",
    "adaptive",
    "light, GRU",
    "light, unmoved",
    "low rank",
    "slim",
    "hashed",
    "quotients",
)
FIRST = ("light", "full", "uneven")  # all their seeds come before those of the others


def main() -> None:
    rows = start("light_rnn", "movie-reviews-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task = few(movie_reviews(words=2000)) if rows.quick else movie_reviews(words=WORDS)
    if not rows.has("uneven", "pass") and rows.wanted("sizes"):
        size_rows(rows, task)
    for longest in COUNTED:
        name = f"counts, {longest} words"
        if not rows.done(name, None) and rows.wanted(name):
            count_rows(rows, name, task, longest)
    seeds = range(1 if rows.quick else 3)
    order = [(name, seed) for seed in seeds for name in FIRST]
    order += [(name, seed) for seed in seeds for name in SUBJECTS if name not in FIRST]
    order = [
        (name, seed)
        for name, seed in order
        if seed < SUBJECTS[name].seeds and (name in QUICK or not rows.quick)
    ]
    for name, seed in order:
        if not rows.done(name, seed) and rows.wanted(f"{name}.{seed}"):
            subject_rows(rows, name, task, seed)
    if rows.wanted("repeats"):
        repeat_rows(rows, task)
    if not rows.quick and not rows.has("planner", "file") and rows.wanted("planner"):
        planner_rows(rows, task)
    rows.close()


def few(task: NextWord) -> NextWord:
    """The same task with a tenth of its texts."""
    texts = {split: getattr(task, split) for split in ("train", "validation", "test")}
    return replace(task, **{split: text[: len(text) // 10] for split, text in texts.items()})


def untrained(name: str, task: NextWord, seed: int) -> Any:
    """The network of a subject before its training."""
    with seeded(seed):
        model: Any = SUBJECTS[name].made(task.words)
        if SUBJECTS[name].scattered:
            model.place(torch.randperm(task.words))
    return model


def subject_rows(rows: Rows, name: str, task: NextWord, seed: int) -> None:
    """The rows and the file of one seed of a network."""
    model, moves = untrained(name, task, seed), SUBJECTS[name].moves
    a_pass = len(list(task.sealed().batches("train")))
    steps = a_pass * (1 if rows.quick else SUBJECTS[name].passes)
    rate = AdamW(SUBJECTS[name].rate)
    kept, training = file_of(rows, name, seed), Training(steps, rate, precision=Mixed())
    costs: list[tuple[float, float]] = []
    with seeded(seed), resuming(kept.with_suffix(".unfinished")):
        if moves is None:
            train(model, task.sealed(), training, what=f"{name}, seed {seed}")
        else:
            alternate(
                model,
                task.sealed(),
                training,
                at=moves[-1:] if rows.quick else moves,
                least=SUBJECTS[name].least,
                what=f"{name}, seed {seed}",
                say=lambda *cost: costs.append(cost),
            )
    size = save(model, task.sealed(), kept)
    rows.add(name, "validation perplexity", perplexity(score(task.sealed(), model)), "", seed)
    rows.add(name, "test perplexity", perplexity(prove(kept, task, seed=seed)), "", seed)
    rows.add(name, "parameters", sum(p.numel() for p in model.parameters()), "", seed)
    rows.add(name, "file", size, "bytes", seed)
    rows.add(name, "done", 1, "", seed)
    shutil.rmtree(kept.with_suffix(".unfinished"), ignore_errors=True)


def count_rows(rows: Rows, name: str, task: NextWord, longest: int) -> None:
    """The rows of n-grams of up to `longest` words: all is computed with what its file gives."""
    text = task.train.numpy()
    began = process_time()
    made = counted(text, task.words, longest)
    rows.add(name, "pass", (process_time() - began) / 60, "minutes of a core", timed=True)
    file = packed(made, text)
    began = process_time()
    model = unpacked(file)
    rows.add(name, "loading", process_time() - began, "s of a core", timed=True)
    rows.add(name, "validation perplexity", perplexity(score(task.sealed(), model)), "")
    rows.add(name, "test perplexity", perplexity(task.score(model, "test")), "")
    rows.add(name, "numbers for words", model.numbers(), "")
    rows.add(name, "file", len(file), "bytes")
    rows.add(name, "file has the text", float(holds_text(file)), "")
    rows.add(name, "memory", model.memory(), "bytes")
    rows.add(name, "done", 1, "")


def repeat_rows(rows: Rows, task: NextWord) -> None:
    """Test perplexities without passages that the training text has, of counts and kept files."""
    text = task.train.numpy()
    new = ~repeated(task.test.numpy(), text, PASSAGE)[1:]
    if not rows.has("repeats", "share of the test text"):
        rows.add("repeats", "share of the test text", 1 - float(new.mean()), "")
    metric, models = "test perplexity without repeats", list[tuple[str, int | None, Any]]()
    models += [(f"counts, {longest} words", None, longest) for longest in COUNTED]
    models += [(name, seed, file_of(rows, name, seed)) for name in FIRST for seed in range(3)]
    for name, seed, made in models:
        known = any(
            (row["subject"], row["seed"], row["metric"]) == (name, seed, metric)
            for row in rows.rows
        )
        if not known and (seed is None or made.exists()):
            model = counted(text, task.words, made) if seed is None else load(made)
            found = task.merits(model, "test")[new]
            rows.add(name, metric, perplexity(float(found.mean())), "", seed)


def file_of(rows: Rows, name: str, seed: int) -> Path:
    """Where the trained network of a seed is kept."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    quick = ".quick" if rows.quick else ""
    return FOLDER / f"light_rnn.{name.replace(', ', '_').replace(' ', '_')}.{seed}{quick}.shoe"


def size_rows(rows: Rows, task: NextWord) -> None:
    """Of each network, the numbers that are about words, and the time of a pass.

    Steps of all networks are timed in turn, and reassignments are measured once.
    """
    made = {name: untrained(name, task, 0) for name in (QUICK if rows.quick else SIZED)}
    for name, model in made.items():
        layers = sum(
            p.numel()
            for part, layer in model.named_children()
            if part in LAYERS
            for p in layer.parameters()
        )
        rows.add(name, "numbers for words", sum(p.numel() for p in model.parameters()) - layers, "")
        rows.add(name, "numbers of layers", layers, "")
    steps = len(list(task.sealed().batches("train")))
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(2 if rows.quick else 4):
        for name, model in made.items():
            began = process_time()
            train(model, task.sealed(), Training(5, AdamW(RATE), precision=Mixed()))
            if turn:  # the first turn prepares
                seconds[name].append((process_time() - began) / 5)
    moving = {
        type(made[name]): moving_row(rows, name, made[name], task)
        for name in ("light", "uneven")
        if name in made
    }
    for name, model in made.items():
        moves = len(SUBJECTS[name].moves or ()) / SUBJECTS[name].passes
        a_pass = (steps * median(seconds[name]) + moves * moving.get(type(model), 0.0)) / 60
        rows.add(name, "pass", a_pass, "minutes of a core", timed=True)


def moving_row(rows: Rows, name: str, model: Any, task: NextWord) -> float:
    """The seconds of a core that a reassignment of all words takes, and its row."""
    began = process_time()
    reassigned(model, task.sealed())
    seconds = process_time() - began
    rows.add(name, "reassignment", seconds / 60, "minutes of a core", timed=True)
    return seconds


def planner_rows(rows: Rows, task: NextWord) -> None:
    """The smallest file with uneven rows that is no worse than the full model, by the planner.

    The seed is the one whose validation perplexity is the median.
    """
    found: Any = rows.rows
    if not values(found, "uneven", "file") or not values(found, "full", "file"):
        print("the planner waits for the rows of uneven and full", flush=True)
        return
    by_seed = dict(enumerate(values(found, "uneven", "validation perplexity")))
    seed = sorted(by_seed, key=lambda one: by_seed[one])[len(by_seed) // 2]
    most = mean(values(found, "full", "file")) / SMALLER
    least = -torch.tensor(mean(values(found, "full", "validation perplexity"))).log2().item()
    model = load_into(file_of(rows, "uneven", seed), untrained("uneven", task, seed))
    path = FOLDER / "light_rnn.planner.shoe"
    budget = f"size<={most / 1000:.1f}KB, score>={least:.4f}"
    outcome = compress(model, task, budget, path, minutes=MINUTES, seed=seed, say=print)
    rows.add("planner", "size limit", most, "bytes", seed)
    rows.add("planner", "file", path.stat().st_size, "bytes", seed)
    rows.add("planner", "met", float(outcome.met), "", seed)
    validation = perplexity(score(task.sealed(), load(path)))
    rows.add("planner", "validation perplexity", validation, "", seed)
    rows.add("planner", "test perplexity", perplexity(prove(path, task, seed=seed)), "", seed)
    rows.add("planner", "minutes", MINUTES, "minutes", seed)


if __name__ == "__main__":
    main()
