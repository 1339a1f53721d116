"""A language model over bytes, in a file of 100 KB that completes what a person types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from torch import nn

from shoestring.artifact import BytePrefix, InputChain, load
from shoestring.core import Task, View, seeded
from shoestring.core import score as task_score
from shoestring.kit import AdamW, Mixed, Training, parameter_bytes, resuming, train
from shoestring.models import ByteGRU
from shoestring.recipes.coding_to_size import coded_to_size
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import ByteText, byte_text, typed_lines
from shoestring.tasks.typed_lines import LANGUAGES

SIZE = 99_500
"""Bytes of the file, at most."""
_AROUND = 3000  # bytes of a file beside the coded weights: graph, note, frame
_LOST = 0.01  # the loss of bits per byte that is good enough


@dataclass(frozen=True, kw_only=True)
class ByteSettings:
    """How a model of bytes is built and trained.

    `step`: from texts to bytes, and how completions are looked for.
    `width`, `pieces`, `states`, `dropout`: as in ByteGRU.
    `window`, `batch_size`: as in ByteText.
    `passes`: over the training lines, in floating point.
    `coding_passes`: over them again, while the weights go to the size of the file.
    `least_steps`: of the training in floating point, where the passes are fewer; of the coding half
        as many.
    `learning_rate`: of AdamW; a third of it while coding.
    """

    step: BytePrefix = field(default_factory=BytePrefix)
    width: int = 32
    pieces: tuple[tuple[int, int], ...] = ((2048, 24), (4096, 16), (8192, 16))
    states: int = 195
    dropout: float = 0.0
    window: int = 80
    batch_size: int = 48
    passes: float = 3
    coding_passes: float = 2
    least_steps: int = 800
    learning_rate: float = 5e-3


BYTE_MODEL = ByteSettings()


@dataclass(frozen=True, kw_only=True)
class ByteResult:
    """A trained model in a file.

    `bytes`: of the file. `before`: bytes of its parameters in float32.
    `validation`: bits per byte of the file on validation lines.
    `trained`: bits per byte before it was coded.
    """

    bytes: int
    before: int
    validation: float
    trained: float


def byte_model(
    lines: Mapping[str, Sequence[str]],
    path: Path,
    *,
    size: int,
    settings: ByteSettings = BYTE_MODEL,
    seed: int = 0,
) -> ByteResult:
    """A model of the next byte, trained and coded to `size` bytes at most; its file is `path`.

    After a kill, the same call goes on.

    `lines`: of "train" and of "validation", as `tasks.byte_text` takes them.
    `size`: of the file, in bytes, above 3,000.
    Raises ValueError for a smaller size, for a split without lines, and, as `coded_to_size`, where
    no try led to a file of `size` bytes.
    """
    if size <= _AROUND:
        raise ValueError(f"a file of {size:,} bytes is too small: give more than {_AROUND:,}")
    task = replace(
        byte_text(lines, states=settings.states),
        window=settings.window,
        batch_size=settings.batch_size,
        input_chain=InputChain(steps=(settings.step,)),
    )
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        model: nn.Module = ByteGRU(
            width=settings.width,
            pieces=settings.pieces,
            states=settings.states,
            dropout=settings.dropout,
        )
        before = parameter_bytes(model)
        pass_steps = _steps_of_a_pass(task)
        optimizer = AdamW(settings.learning_rate)
        steps = max(settings.least_steps, round(settings.passes * pass_steps))
        training = Training(steps, optimizer, precision=Mixed())
        train(model, task.sealed(), training, what="training the network")
        steps = max(settings.least_steps // 2, round(settings.coding_passes * pass_steps))
        slower = AdamW(settings.learning_rate / 3)
        coded = Training(steps, slower, precision=Mixed())
        made = coded_to_size(
            model,
            task.sealed(),
            path,
            size=size,
            around=_AROUND,
            lesson=Untaught(task.sealed()),
            training=coded,
            score=lambda file: task_score(task.sealed(), load(file, threads=1)),
            lost=_LOST,
        )
    return ByteResult(bytes=made.bytes, before=before, validation=-made.after, trained=-made.before)


@final
@dataclass(frozen=True, eq=False)
class Untaught(View):
    """A task without a teacher: while it is coded the model still learns more from the text itself.

    `task`: the wrapped task.
    """

    task: Task

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(model, batch)

    def taught_by(self, teacher: Any) -> Task:
        """Itself."""
        return self


def _steps_of_a_pass(task: ByteText) -> int:
    """About how many batches a pass over the training lines has."""
    count = sum(len(line) + 1 for line in task.train)
    return max(1, round(count / (task.window * task.batch_size)))


def end_to_end(run: Run) -> None:
    """The file of English and Chinese; a quick run has every tenth line and half a pass."""
    lines = typed_lines()
    settings = BYTE_MODEL
    if run.quick:
        lines["train"] = {one: text[::10] for one, text in lines["train"].items()}
        settings = replace(settings, states=96, passes=1, coding_passes=1, least_steps=150)
    path = run.folder / "complete.shoe"
    made = byte_model(both(lines), path, size=SIZE, settings=settings, seed=run.seed)
    run.row("complete", "size", made.bytes, "bytes")
    run.row("complete", "validation bits per byte", made.validation, "bits")
    for language in LANGUAGES:
        found = bits_per_byte(path, lines["test"][language])
        run.row("complete", f"test bits per byte, {language}", found, "bits")


def both(lines: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """The lines of each split, of all languages together."""
    return {
        split: [line for one in languages.values() for line in one]
        for split, languages in lines.items()
    }


def bits_per_byte(path: Path, lines: Sequence[str]) -> float:
    """What a byte of lines takes at the file's probabilities, in bits; line ends count."""
    held_out = list(lines)
    task = byte_text({"train": held_out, "validation": held_out})
    loaded = load(path, threads=1)
    task = replace(task, states=int(loaded.inputs[1].shape[1]))
    return -task_score(task, loaded)


RECIPE = Recipe(
    name="byte_model",
    line="the next byte of English and Chinese, in a file that completes what is typed",
    scarce="bytes, and a vocabulary for every language",
    instead="training of a network that reads a byte at a time",
    data=("Tatoeba", "XQuAD", "English-EWT", "WikiText-2"),
    minutes=6,
    quick_minutes=0.5,
    page="byte-model.md",
    run=end_to_end,
    results=Results(
        file="byte_model.tatoeba-xquad-ewt-wikitext-cpu.jsonl",
        before=(
            Line(
                "the network in float32",
                "complete",
                metrics=(
                    "parameters, 4 bytes each",
                    "validation bits per byte before coding",
                ),
            ),
        ),
        ours=(Line("its file", "complete"),),
        peers=(
            Line("PPMd, after as many bytes of text, in one stream", "PPMd"),
            Line("zstd-22, the same", "zstd-22"),
            Line("xz, the same", "xz"),
        ),
        lost=Measure("validation bits per byte", "validation bits per byte", "", ".3f"),
        also=(
            Measure("test, English", "test bits per byte, en", "", ".3f"),
            Measure("test, Chinese", "test bits per byte, zh", "", ".3f"),
        ),
        price=Measure("minutes of a core", "training", "minutes of a core", ".1f"),
    ),
)
