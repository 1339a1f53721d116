"""Adult, also called Census Income: does a person earn more than 50,000 dollars a year?"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from shoestring.kit import Supervised
from shoestring.tasks.fetch import DataError, Source, content_of

CATEGORICAL = (
    "workclass",
    "education",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "native-country",
)
NUMERIC = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
_UNKNOWN = 0
_INCOMES = {"<=50K": 0, ">50K": 1}
_HOME = "https://raw.githubusercontent.com/UCLA-StarAI/mc2/9b5345ada98fc74f6af860df46b9783d5bcc0bb5/data/adult"
# Each file as its home has it, and the same file gzipped.
_FILES = {
    name: (
        Source("adult", name, f"{_HOME}/{name}", plain),
        Source("adult", f"{name}.gz", "", gzipped),
    )
    for name, plain, gzipped in (
        (
            "adult.data",
            "30abd82a271a87f44eb69b20a3985ccf2dc0d6963941ef2f2738df22e8415658",
            "84e80fb98d86612a1ce0020784b96e75d844c4fde449409f14fe7d4bfae8406b",
        ),
        (
            "adult.test",
            "a801d0e4b970d1476dd653ebdd271527a9a25d68dd542a5917c845f95799f027",
            "9eb31f0924d00b1c76b28bf20ce545edc34b81f8f96577edf136b5ecb9b11e4b",
        ),
    )
}
_Row = Mapping[str, str]


@dataclass(frozen=True)
class Columns:
    """The values and statistics of the columns, from the training rows.

    `values`: for each column of CATEGORICAL its values in alphabetical order. The first has the id
        1; 0 is any other value. "?" (unknown) is a value like the rest.
    `mean`, `deviation`: of each column of NUMERIC; the deviation is the standard deviation of the
        population.
    """

    values: tuple[tuple[str, ...], ...] = field(repr=False)
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of ids of each column of CATEGORICAL, 0 included."""
        return tuple(len(values) + 1 for values in self.values)

    def tensors(self, rows: Iterable[_Row]) -> tuple[Tensor, Tensor]:
        """Rows as tensors: ids N×8 (int64) and numbers N×6 (float32), which are not standardized.

        `rows`: mappings from a column's name to its text.
        """
        ids_of = [
            {value: number for number, value in enumerate(values, 1)} for values in self.values
        ]
        rows = list(rows)
        ids = [
            [
                known.get(row[name], _UNKNOWN)
                for name, known in zip(CATEGORICAL, ids_of, strict=True)
            ]
            for row in rows
        ]
        return (
            torch.tensor(ids, dtype=torch.int64).reshape(-1, len(CATEGORICAL)),
            torch.tensor(_numbers(rows), dtype=torch.float32).reshape(-1, len(NUMERIC)),
        )


def adult_columns() -> Columns:
    """The values and statistics of the rows that `adult` trains on. Raises DataError."""
    return _columns(_split(_read("adult.data"))[0])


def adult(*, batch_size: int = 128) -> Supervised:
    """48,842 people by categories and numbers; the label is 1 above 50,000 dollars a year, else 0.

    Inputs are ids N×8 and numbers N×6; `adult_columns()` describes both. Of the 32,561 rows of
    adult.data, 29,304 are for training and 3,257 for validation, always the same ones. The 16,281
    rows of adult.test are for testing. The numbers are not standardized: `TabularNet` does that
    inside, so its file takes raw numbers.

    `batch_size`: rows of a training batch, 1 or more.
    Source: Becker & Kohavi 1996, UCI.
    Raises DataError where the files cannot be had or are damaged.
    """
    train, validation = _split(_read("adult.data"))
    columns = _columns(train)
    parts = {"train": train, "validation": validation, "test": _read("adult.test")}
    splits: dict[str, Any] = {
        split: (
            columns.tensors(rows),
            torch.tensor([_INCOMES[row["income"].rstrip(".")] for row in rows]),
        )
        for split, rows in parts.items()
    }
    return Supervised(**splits, name="adult", batch_size=batch_size)


def _split(rows: list[_Row]) -> tuple[list[_Row], list[_Row]]:
    """Training rows and validation rows; a tenth of the rows are for validation."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
    held_out = -(-len(rows) // 10)
    return [rows[index] for index in order[:-held_out]], [
        rows[index] for index in order[-held_out:]
    ]


def _columns(rows: list[_Row]) -> Columns:
    numbers = torch.tensor(_numbers(rows), dtype=torch.float64)
    deviation = numbers.std(0, correction=0)
    return Columns(
        tuple(tuple(sorted({row[name] for row in rows})) for name in CATEGORICAL),
        tuple(numbers.mean(0).tolist()),
        # 1 for a column with one value, whose deviation is 0.
        tuple(torch.where(deviation > 0, deviation, 1.0).tolist()),
    )


def _numbers(rows: Sequence[_Row]) -> list[list[float]]:
    return [[float(row[name]) for name in NUMERIC] for row in rows]


def _read(name: str) -> list[_Row]:
    """The rows of a file; its first line has the names of the columns."""
    path, content = content_of(*_FILES[name])
    names, *rows = [*csv.reader(content.decode("latin1").splitlines())] or [[]]
    if missing := {*CATEGORICAL, *NUMERIC, "income"} - set(names):
        raise DataError(
            f"{path} has no column {min(missing)!r} in its first line: it must have the names of "
            "all fifteen"
        )
    read: list[_Row] = []
    for number, fields in enumerate(rows, 2):
        if fields:
            row = dict(zip(names, fields, strict=False))
            if (
                len(fields) != len(names)
                or row["income"].rstrip(".") not in _INCOMES
                or not all(map(_is_number, map(row.get, NUMERIC)))
            ):
                raise DataError(
                    f"line {number} of {path} is {','.join(fields)[:40]!r}: it must have "
                    f"{len(names)} fields, numbers in those of numbers, and end in <=50K or >50K"
                )
            read.append(row)
    return read


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False
