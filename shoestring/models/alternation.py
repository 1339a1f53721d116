"""The training of LightRNN: train, then move the words to better cells, and again."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from shoestring.artifact import save
from shoestring.core import Task, batches, evaluating, seeded
from shoestring.kit import Training, progress, train
from shoestring.kit.embeddings.matching import EXACT, Cells, cost, exact, improved
from shoestring.kit.training.resume import snapshots
from shoestring.models.light_rnn import LightRNN
from shoestring.models.uneven_light_rnn import UnevenLightRNN

_SWEEPS = 10

Celled = TypeVar("Celled", LightRNN, UnevenLightRNN)
"""A network whose words are cells."""


def alternate(
    model: Celled,
    task: Task,
    training: Training,
    *,
    at: Sequence[float] = (0.1, 0.25, 0.5),
    least: int = 0,
    what: str = "training LightRNN",
    say: Callable[[float, float], None] = lambda before, after: None,
) -> Celled:
    """Train a LightRNN in place, and move its words to better cells in between; returns it.

    At each share of `at`, the losses of every word of the training split in every row and column
    are added up (`word_costs`), and words are matched to cells at the least sum (`matched`). One
    schedule of the learning rate spans the whole training.

    Within `kit.resuming(folder)` a training that was killed goes on where it was, also within a
    reassignment, and ends as if it had not been interrupted.

    Source: Li, Qin, Yang, Hu & Liu 2016, sections 3.2 and 3.3.
    Differs: the matching is exact up to 2,000 words, and improved step by step beyond
    (`kit.embeddings.matching`); the paper's approximation is that of Preis 1999. The paper starts
    from random cells, and trains to convergence between reassignments.

    `model`: of words that are cells.
    `task`: its batches are ids N×(T+1), as those of tasks.NextWord.
    `training`: all steps, those between the reassignments together.
    `at`: after which shares of the steps words move, each above 0 and below 1; empty: never.
    `least`: words that are rarer in the training split stay where they are. With few examples a
        word finds a cell that suits these, and not others.
    `say`: called with the sum of the losses, in nats, before and after each reassignment.

    Raises ValueError for shares out of range.
    """
    if wrong := [share for share in at if not 0 < share < 1]:
        raise ValueError(f"at={wrong[0]}: give shares of the steps, above 0 and below 1")
    if least < 0:
        raise ValueError(f"least={least}: give how often a word must come to move, 0 or more")
    due = sorted({max(1, round(share * training.steps)) for share in at})
    kept = _Kept(snapshots(), _digest(model, training, [*due, least]))

    def before_step(step: int) -> None:
        if step in due and not kept.has(step):
            cells, before, after = reassigned(model, task, least=least)
            kept.save(step, cells)
            say(before, after)
        kept.place(model, step)

    key = f"moves at {due}, {least}"
    train(model, task, training, before_step=before_step, what=what, key=key)
    kept.place(model, training.steps)
    return model


def reassigned(
    model: LightRNN | UnevenLightRNN, task: Task, *, least: int = 0
) -> tuple[Cells, float, float]:
    """Better cells for the words of a model, and the costs before and after, in nats.

    The costs are of the words that may move. The model stays as it is: `model.place(cells)` moves
    the words.

    `least`: as in `alternate`.
    """
    words, free = (one.cpu().numpy() for one in model.movable())
    words = words[_counts(task, len(model.cells))[words] >= least] if least else words
    row_costs, column_costs = (costs[words] for costs in word_costs(model, task))
    all_cells = model.cells.cpu().numpy().copy()
    cells = all_cells[words]
    before = cost(row_costs, column_costs, cells)
    if len(cells) <= EXACT:
        cells = exact(row_costs, column_costs, np.concatenate([cells, free]))
    else:
        with progress("moving words", _SWEEPS) as advance:
            for better in improved(row_costs, column_costs, cells, free=free, sweeps=_SWEEPS):
                cells = better
                advance(f"{cost(row_costs, column_costs, cells) / before:.4f} of the cost")
    all_cells[words] = cells
    return all_cells, before, cost(row_costs, column_costs, cells)


def word_costs(model: LightRNN | UnevenLightRNN, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """What each word would cost in each row, V×R, and in each column, V×C.

    A cost is the sum over the training split of the losses, in nats, that the word would have, with
    all words in the cells that they have now.
    """
    words, device = len(model.cells), model.cells.device
    rows = torch.zeros(words, len(model.rows), device=device)
    columns = torch.zeros(words, len(model.columns), device=device)
    with evaluating(model), torch.no_grad(), seeded(0):
        for ids in batches(task, "train", model):
            of_rows, of_columns = model.losses(ids)
            index = ids[:, 1:].reshape(-1)
            rows.index_add_(0, index, of_rows.flatten(0, 1))
            columns.index_add_(0, index, of_columns.flatten(0, 1))
    return rows.cpu().numpy(), columns.cpu().numpy()


def _counts(task: Task, words: int) -> np.ndarray:
    """How often each word is predicted in the training split."""
    with seeded(0):
        ids = [batch[:, 1:].reshape(-1) for batch in task.batches("train")]
    return torch.bincount(torch.cat(ids), minlength=words).cpu().numpy()


class _Kept:
    """The cells after each reassignment: in memory, and in the folder of snapshots if there is one.

    Snapshots have parameters and not buffers, so the cells have files of their own.
    """

    def __init__(self, folder: Path | None, digest: str) -> None:
        self._folder, self._digest = folder, digest
        self._cells: dict[int, Cells] = {}
        self._placed = -1
        if folder is not None:
            for path in folder.glob(f"cells-{digest}-*.npy"):
                step = int(path.stem.rpartition("-")[2])
                self._cells[step] = np.load(path, allow_pickle=False)

    def has(self, step: int) -> bool:
        """Whether the reassignment before this step is done."""
        return step in self._cells

    def save(self, step: int, cells: Cells) -> None:
        """Keep cells, completely or not at all."""
        self._cells[step] = cells
        if self._folder is not None:
            data = io.BytesIO()
            np.save(data, cells, allow_pickle=False)
            save(self._folder / f"cells-{self._digest}-{step}.npy", data.getbuffer())

    def place(self, model: LightRNN | UnevenLightRNN, step: int) -> None:
        """Give the model the cells of the last reassignment up to a step."""
        last = max((known for known in self._cells if known <= step), default=-1)
        if last != self._placed:
            model.place(self._cells[last])
            self._placed = last


def _digest(model: LightRNN | UnevenLightRNN, training: Training, due: Sequence[int]) -> str:
    """What tells this training from others in one folder."""
    digest = hashlib.sha256(f"{training!r} {due}".encode())
    for tensor in (*model.parameters(), model.cells, torch.get_rng_state()):
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:20]
