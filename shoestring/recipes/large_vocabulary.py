"""LightRNN on film reviews: 40,000 words in the vectors of 400 rows and columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from shoestring.core import Ledger, prove, score, seeded
from shoestring.kit import AdamW, Mixed, Training, resuming, save, train
from shoestring.kit.embeddings.vectors import FullVectors
from shoestring.models import LightRNN, UnevenLightRNN, WordLSTM, alternate
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import NextWord, movie_reviews, perplexity


@dataclass(frozen=True)
class Row:
    """A file of the recipe.

    `name`: without its suffix.
    `bytes`: its size.
    `validation`, `test`: its perplexities.
    """

    name: str
    bytes: int
    validation: float
    test: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of the recipe.

    `width`: of the vectors and of the LSTM.
    `passes`: over the training text, of both networks.
    `learning_rate`: the highest.
    `moves`: shares of LightRNN's training at which words move to better cells.
    `uneven_learning_rate`, `uneven_moves`: those of uneven rows.
    `least`: of uneven rows, rarer words do not move.
    """

    width: int = 128
    passes: float = 4
    learning_rate: float = 3e-3
    moves: tuple[float, ...] = (0.1, 0.25, 0.5)
    uneven_learning_rate: float = 1e-2
    uneven_moves: tuple[float, ...] = (0.1, 0.3)
    least: int = 20


def light_rnn(
    task: NextWord,
    folder: Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """LightRNN, as published and with uneven rows, and an LSTM with a vector for each word.

    All are trained for as many passes. The files are left in `folder`: `light`, `uneven` and
    `full`. They are lossless.

    `task`: `tasks.movie_reviews()`.
    `say`: called with each file.
    """
    chosen = settings or Settings()
    sealed, rows = task.sealed(), list[Row]()
    steps = round(chosen.passes * len(list(sealed.batches("train"))))
    training = Training(steps, AdamW(chosen.learning_rate), precision=Mixed())

    def row(name: str, model: nn.Module) -> None:
        path = folder / f"{name}.shoe"
        size = save(model, sealed, path)
        test = prove(path, task, ledger=ledger, seed=seed, note=f"light_rnn: {name}")
        rows.append(Row(name, size, perplexity(score(sealed, model)), perplexity(test)))
        say(rows[-1])

    with seeded(seed):
        light = LightRNN(task.words, chosen.width)
        row("light", alternate(light, sealed, training, at=chosen.moves))
    faster = replace(training, optimizer=AdamW(chosen.uneven_learning_rate))
    with seeded(seed):
        uneven = UnevenLightRNN(task.words, chosen.width)
        moves = chosen.uneven_moves
        row("uneven", alternate(uneven, sealed, faster, at=moves, least=chosen.least))
    with seeded(seed):
        full = WordLSTM(FullVectors(task.words, chosen.width))
        row("full", train(full, sealed, training, what="training the full network"))
    return rows


def end_to_end(run: Run) -> None:
    """Three networks of `benchmarks/light_rnn.py`.

    A quick run has 4,000 words, a width of 64 and half a pass.
    """
    task = movie_reviews(words=4000) if run.quick else movie_reviews()
    settings = (
        Settings(width=64, passes=0.3, moves=(0.5,), uneven_moves=(0.5,)) if run.quick else None
    )

    def say(row: Row) -> None:
        run.row(row.name, "file", row.bytes, "bytes")
        run.row(row.name, "validation perplexity", row.validation, "")
        run.row(row.name, "test perplexity", row.test, "")
        run.say(f"  {run.time_left()}")

    with resuming(run.folder / "training"):
        light_rnn(task, run.folder, settings=settings, seed=run.seed, ledger=run.ledger, say=say)


RECIPE = Recipe(
    name="light_rnn",
    line="a language model of 40,000 words in the vectors of 1,000 rows and columns",
    scarce="bytes, and minutes of training, where the vocabulary is large",
    instead="a softmax in two steps, and a matching of words to cells",
    data=("movie reviews",),
    minutes=40,
    quick_minutes=1.5,
    page="language.md",
    run=end_to_end,
    published=(
        Published(
            "times smaller",
            40,
            "",
            "Li, Qin, Yang, Hu & Liu 2016, abstract",
            "One Billion Words: 40 to 100 times smaller models at comparable perplexity, trained "
            "in half the time",
        ),
    ),
    # `python benchmarks/light_rnn.py --add` makes the rows that are missing. Then these follow:
    # ours: "planner", "light, GRU", "light, unmoved" and "light, scattered"; peers: "low rank",
    # "slim", "hashed" and "quotients".
    results=Results(
        file="light_rnn.movie-reviews-cpu.jsonl",
        before=(
            Line("a vector for each word, learning rate 0.01", "full, fast"),
            Line("a vector for each word, learning rate 0.003", "full"),
        ),
        ours=(
            Line("LightRNN with uneven rows", "uneven"),
            Line("LightRNN, as published", "light"),
            Line("the same, learning rate 0.01", "light, fast"),
            Line("LightRNN, its words moved 15 times", "light, moved often"),
        ),
        # The length of the first was chosen on validation data.
        baselines=(
            Line("counts of up to 5 words (Kneser–Ney)", "counts, 5 words", cheaper=True),
            Line("counts of up to 2 words", "counts, 2 words", cheaper=True),
        ),
        peers=(
            Line("adaptive softmax, learning rate 0.01", "adaptive, fast"),
            Line("adaptive softmax, learning rate 0.003", "adaptive"),
        ),
        saved=Measure("file, bytes", "file", "bytes", ",.0f"),
        lost=Measure("test perplexity", "test perplexity", "", ".1f"),
        also=(
            Measure("validation perplexity", "validation perplexity", "", ".1f"),
            Measure("numbers for words", "numbers for words", "", ",.0f"),
        ),
        price=Measure("minutes of a core for a pass", "pass", "minutes of a core", ".2g"),
    ),
)
