"""LightRNN: a large vocabulary in the vectors of a few rows and columns."""

from __future__ import annotations

from math import ceil, isqrt

import numpy as np
import torch
from torch import Tensor, nn


class LightRNN(nn.Module):
    """Each word is a cell of a table, and shares its row's vector and its column's with others.

    The network reads the row and then the column of each word. After a word it predicts the row of
    the next, and after that row the column: the probability of a word is the product of the two, so
    that 2·√V probabilities are computed instead of V.
    Source: Li, Qin, Yang, Hu & Liu 2016.
    Differs: LSTM or GRU instead of a plain recurrent network; the vectors of the outputs are those
    of the inputs (Inan, Khosravi & Socher 2017).

    `model(ids)` takes ids N×(T+1) and gives the log-probability, in nats, of each id after the
    first, N×T. `model.next(ids)` takes ids N×T and gives the log-probabilities of every word that
    may follow, N×V; they sum to 1 where every cell has a word, and to less where cells are empty.

    `words`: how many words there are, V: 2 or more.
    `width`: of the vectors and the states.
    `columns`: of the table; None: √V, rounded up. There are as many rows as the words need.
    `recurrent`: nn.LSTM or nn.GRU.
    `dropout`: the share of values that is dropped from inputs and states in training, 0 to 1.

    `cells` is a buffer with the cell of each word: its row times the number of columns, plus its
    column. At first words fill the table row by row, in the order of their ids.
    Raises ValueError for fewer than 2 words, and for columns that the words do not fill.
    """

    cells: Tensor

    def __init__(
        self,
        words: int,
        width: int,
        *,
        columns: int | None = None,
        recurrent: type[nn.LSTM] | type[nn.GRU] = nn.LSTM,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if words < 2:
            raise ValueError(f"a vocabulary of {words} words: a table needs 2 cells or more")
        columns = isqrt(words - 1) + 1 if columns is None else columns
        if not 1 <= columns <= words:
            raise ValueError(f"{columns} columns for {words} words: give from 1 to {words}")
        rows = ceil(words / columns)
        self.rows = nn.Parameter(torch.empty(rows, width).uniform_(-0.1, 0.1))
        self.columns = nn.Parameter(torch.empty(columns, width).uniform_(-0.1, 0.1))
        self.row_bias = nn.Parameter(torch.zeros(rows))
        self.column_bias = nn.Parameter(torch.zeros(columns))
        self.register_buffer("cells", torch.arange(words))
        self.recurrent = recurrent(width, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Log-probabilities N×T of the ids after the first, of N×(T+1)."""
        rows_NT, columns_NT = self._places(ids)
        of_rows, of_columns = self._logits(rows_NT, columns_NT)
        return _chosen(of_rows, rows_NT[:, 1:]) + _chosen(of_columns, columns_NT[:, 1:])

    def losses(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What each word after the first would cost in each row, N×T×R, and column, N×T×C, in nats.

        The cost in a column is that after the word's own row.
        """
        of_rows, of_columns = self._logits(*self._places(ids))
        return -of_rows.log_softmax(-1), -of_columns.log_softmax(-1)

    def next(self, ids: Tensor) -> Tensor:
        """Log-probabilities N×V of every word that may follow ids N×T."""
        count, (rows, width) = len(ids), self.rows.shape
        rows_NT, columns_NT = self._places(ids)
        read = torch.stack([self.rows[rows_NT], self.columns[columns_NT]], 2).flatten(1, 2)
        outputs, last = self.recurrent(read)
        of_rows = nn.functional.linear(outputs[:, -1], self.rows, self.row_bias).log_softmax(-1)
        # From the state after the text, one more step with each row.
        each = self.rows.expand(count, rows, width).reshape(-1, 1, width)
        if isinstance(last, tuple):
            states, _ = self.recurrent(each, tuple(_repeated(part, rows) for part in last))
        else:
            states, _ = self.recurrent(each, _repeated(last, rows))
        of_columns = nn.functional.linear(states[:, 0], self.columns, self.column_bias)
        both = of_rows.unsqueeze(-1) + of_columns.log_softmax(-1).reshape(count, rows, -1)
        return both.flatten(1)[:, self.cells]

    def place(self, cells: np.ndarray | Tensor) -> None:
        """Move every word to another cell; changes the model in place.

        `cells`: V different numbers from 0 to rows times columns - 1.
        Raises ValueError for others.
        """
        given = torch.as_tensor(cells).to(self.cells)
        if given.shape != self.cells.shape or len(given.unique()) != len(given):
            raise ValueError(
                f"cells must be {len(self.cells)} different numbers, one for each word"
            )
        most = len(self.rows) * len(self.columns)
        if int(given.min()) < 0 or int(given.max()) >= most:
            raise ValueError(f"cells must be from 0 to {most - 1}, and {int(given.max())} is not")
        self.cells.copy_(given)

    def movable(self) -> tuple[Tensor, Tensor]:
        """The words that may move, and the cells without a word: all of both."""
        cells = torch.arange(len(self.rows) * len(self.columns), device=self.cells.device)
        return torch.arange(len(self.cells)), cells[~torch.isin(cells, self.cells)]

    def _places(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The rows and the columns of words."""
        # Not self.cells[ids], to which -1 is the last word.
        cells = self.cells.index_select(0, ids.flatten()).reshape(ids.shape)
        columns = len(self.columns)
        rows = torch.div(cells, columns, rounding_mode="floor")
        return rows, cells - rows * columns

    def _logits(self, rows_NT: Tensor, columns_NT: Tensor) -> tuple[Tensor, Tensor]:
        """Logits N×T×R of the rows and N×T×C of the columns of the words after the first."""
        pairs = torch.stack([self.rows[rows_NT], self.columns[columns_NT]], 2).flatten(1, 2)
        # The last column is read by nobody.
        states, _ = self.recurrent(self.dropout(pairs[:, :-1]))
        states = self.dropout(states)
        return (
            nn.functional.linear(states[:, 1::2], self.rows, self.row_bias),
            nn.functional.linear(states[:, 2::2], self.columns, self.column_bias),
        )


def _chosen(logits: Tensor, index_NT: Tensor) -> Tensor:
    return logits.log_softmax(-1).gather(-1, index_NT.unsqueeze(-1)).squeeze(-1)


def _repeated(state: Tensor, times: int) -> Tensor:
    """A state 1×N×D, each row of N as many times in a row."""
    return state.repeat_interleave(times, 1)
