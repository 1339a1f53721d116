"""LightRNN with rows of unequal length: frequent words share with few others, or with none."""

from __future__ import annotations

from math import ceil, log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding, linear


class UnevenLightRNN(nn.Module):
    """Words share the vectors of rows and columns, and rows of frequent words are short.

    As in LightRNN, a word is a cell of a table, and its probability is that of its row times that
    of its column in this row. The most frequent words have a row of their own, and need no column;
    then the rows grow, up to the number of columns.
    Source: Li, Qin, Yang, Hu & Liu 2016 (rows and columns); Grave, Joulin, Cissé, Grangier & Jégou
    2017 (rare words in larger clusters).
    Differs: the network takes one step for each word instead of two. It reads the sum of the two
    vectors and a gated layer of both. The states of each recurrent layer are added to what it
    reads. A gated cell of its own takes the step from the state and the row to the column.

    `model(ids)` takes ids N×(T+1) and gives the log-probability, in nats, of each id after the
    first, N×T. `model.next(ids)` takes ids N×T and gives the log-probabilities of every word that
    may follow, N×V, which sum to 1.

    Ids must be in the order of falling frequency.

    `words`: how many words there are, V: 2 or more.
    `width`: of the vectors and the states, D.
    `rows`: of the table; None: 3.8·√V, and as many as there are words at the most.
    `columns`: the words of the longest row; None: 1.2·√V.
    `own`: how many of the first words have a row of their own; None: 2.8·√V.
    `layers`: how many recurrent layers, 1 or more.
    `recurrent`: nn.LSTM or nn.GRU.
    `dropout`: the share of values that is dropped from inputs and states in training, 0 to 1.

    There are (rows + columns)·(D + 1) numbers that are about words. `cells` is a buffer with
    the cell of each word: its row times the number of columns, plus its column.
    Raises ValueError for fewer than 2 words, no layer, and for tables that the words do not fill or
    that have no room for them.
    """

    cells: Tensor

    def __init__(
        self,
        words: int,
        width: int,
        *,
        rows: int | None = None,
        columns: int | None = None,
        own: int | None = None,
        layers: int = 2,
        recurrent: type[nn.LSTM] | type[nn.GRU] = nn.LSTM,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if words < 2:
            raise ValueError(f"a vocabulary of {words} words: a table needs 2 cells or more")
        if layers < 1:
            raise ValueError(f"{layers} recurrent layers: give 1 or more")
        root = words**0.5
        rows = min(words, ceil(3.8 * root)) if rows is None else rows
        columns = ceil(1.2 * root) if columns is None else columns
        own = min(rows - 1, int(2.8 * root)) if own is None else own
        lengths = row_lengths(words, rows, columns, own)
        self.own = own
        self.rows = nn.Parameter(torch.empty(rows, width).uniform_(-0.1, 0.1))
        self.columns = nn.Parameter(torch.empty(columns, width).uniform_(-0.1, 0.1))
        self.row_bias = nn.Parameter(torch.zeros(rows))
        self.column_bias = nn.Parameter(torch.zeros(columns))
        first = np.cumsum(lengths) - lengths
        of_words = np.repeat(np.arange(rows), lengths)
        cells = of_words * columns + np.arange(words) - first[of_words]
        self.register_buffer("cells", torch.from_numpy(cells))
        self.reading = nn.Linear(2 * width, 2 * width)
        self.recurrent = nn.ModuleList(
            recurrent(width, width, batch_first=True) for _ in range(layers)
        )
        self.to_column = nn.GRUCell(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Log-probabilities N×T of the ids after the first, of N×(T+1)."""
        rows_NT, columns_NT = self._places(ids)
        states_MD = self._states(rows_NT[:, :-1], columns_NT[:, :-1]).flatten(0, 1)
        rows, columns = rows_NT[:, 1:].flatten(), columns_NT[:, 1:].flatten()
        found = _chosen(linear(states_MD, self.rows, self.row_bias), rows)
        if torch.compiler.is_compiling():  # which words come must not decide a file's shapes
            found = found + _chosen(self._of_columns(states_MD, rows, self._nowhere()), columns)
        else:  # words with a row of their own need no column
            shared = (rows >= self.own).nonzero().squeeze(1)
            logits = self._of_columns(states_MD[shared], rows[shared], self._nowhere())
            found = found.index_add(0, shared, _chosen(logits, columns[shared]))
        return found.reshape(len(ids), -1)

    def losses(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What each word after the first would cost in each row, N×T×R, and column, N×T×C, in nats.

        The cost in a column is that after the word's own row, which may not have this column.
        """
        rows_NT, columns_NT = self._places(ids)
        states = self._states(rows_NT[:, :-1], columns_NT[:, :-1])
        of_rows = linear(states, self.rows, self.row_bias).float()
        rows = rows_NT[:, 1:]
        stepped = self._stepped(states.flatten(0, 1), rows.flatten())
        logits = linear(stepped, self.columns, self.column_bias).float().reshape(*rows.shape, -1)
        total = (logits + embedding(rows, self._nowhere())).logsumexp(-1, keepdim=True)
        return -of_rows.log_softmax(-1), total - logits

    def next(self, ids: Tensor) -> Tensor:
        """Log-probabilities N×V of every word that may follow ids N×T."""
        count, rows = len(ids), len(self.rows)
        last = self._states(*self._places(ids))[:, -1]
        of_rows = linear(last, self.rows, self.row_bias).log_softmax(-1)
        each = torch.arange(rows, device=ids.device).repeat(count)
        logits = self._of_columns(last.repeat_interleave(rows, 0), each, self._nowhere())
        both = of_rows.unsqueeze(-1) + logits.log_softmax(-1).reshape(count, rows, -1)
        return both.flatten(1)[:, self.cells]

    def place(self, cells: np.ndarray | Tensor) -> None:
        """Move every word to another cell; changes the model in place.

        `cells`: the cells that words have now, in another order.
        Raises ValueError for others.
        """
        given = torch.as_tensor(cells).to(self.cells)
        if given.shape != self.cells.shape or not given.sort()[0].equal(self.cells.sort()[0]):
            raise ValueError(
                f"cells must be the {len(self.cells)} that words have now, in another order"
            )
        self.cells.copy_(given)

    def movable(self) -> tuple[Tensor, Tensor]:
        """The words that may move, and the cells without a word: those of shared rows, and none."""
        shared = self.cells >= self.own * len(self.columns)
        return shared.nonzero().squeeze(1), self.cells[:0]

    def _places(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The rows and the columns of words."""
        # Not self.cells[ids], to which -1 is the last word.
        cells = self.cells.index_select(0, ids.flatten()).reshape(ids.shape)
        columns = len(self.columns)
        rows = torch.div(cells, columns, rounding_mode="floor")
        return rows, cells - rows * columns

    def _states(self, rows_NT: Tensor, columns_NT: Tensor) -> Tensor:
        """The states N×T×D after each word."""
        row, column = embedding(rows_NT, self.rows), embedding(columns_NT, self.columns)
        more, gate = self.reading(torch.cat([row, column], -1)).chunk(2, -1)
        read = self.dropout(row + column + more * gate.sigmoid())
        for layer in self.recurrent:
            read = read + layer(read)[0]
        return self.dropout(read)

    def _nowhere(self) -> Tensor:
        """Minus infinity where a row has no such column, and 0 elsewhere: R×C."""
        table = self.row_bias.new_full((len(self.rows) * len(self.columns),), float("-inf"))
        return table.index_fill(0, self.cells, 0.0).reshape(len(self.rows), -1)

    def _stepped(self, states_MD: Tensor, rows_M: Tensor) -> Tensor:
        """The states M×D after one more step with a row each."""
        return self.dropout(self.to_column(embedding(rows_M, self.rows), states_MD))

    def _of_columns(self, states_MD: Tensor, rows_M: Tensor, nowhere: Tensor) -> Tensor:
        """Logits M×C of the words of a row each."""
        stepped = self._stepped(states_MD, rows_M)
        return linear(stepped, self.columns, self.column_bias) + embedding(rows_M, nowhere)


def row_lengths(words: int, rows: int, columns: int, own: int) -> NDArray[np.int64]:
    """How many words each row has: 1 in the first rows, and then more by a constant factor.

    `rows`, `columns`, `own`: as in UnevenLightRNN.
    Raises ValueError where the words do not fit, or where a row would have none.
    """
    shared, left = rows - own, words - own
    if own < 0 or not shared <= left <= shared * columns or shared < 1:
        raise ValueError(
            f"{words} words in {rows} rows, {own} of them of one word, and {columns} columns: give "
            "0 or more rows of one word, 1 or more others, and at least one word for each row and "
            "a cell for each word"
        )
    growth = np.arange(1, shared + 1)
    low, high = 0.0, log(columns)
    for _ in range(60):
        middle = (low + high) / 2
        enough = np.exp(np.minimum(growth * middle, log(columns))).sum() >= left
        low, high = (low, middle) if enough else (middle, high)
    sizes = np.exp(np.minimum(growth * high, log(columns)))
    ends = np.minimum(sizes.cumsum().round(), left).astype(np.int64)
    ends[-1] = left
    return np.concatenate([np.ones(own, np.int64), np.diff(ends, prepend=0)])


def _chosen(logits: Tensor, index: Tensor) -> Tensor:
    """The log-probabilities M of one of each row of logits M×K."""
    return logits.float().log_softmax(-1).gather(-1, index.unsqueeze(-1)).squeeze(-1)
