"""Networks for tables of categories and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from shoestring.search.hashing import FACTORS, HASHED, PRIME, HashedRows, RowEach, Rows
from shoestring.search.space import Architecture, Decision, Role, Space


class TableNorm(Enum):
    """What follows each hidden layer, before its ReLU."""

    NONE = "nothing"
    BATCH = "batch norm"

    def __repr__(self) -> str:
        return f"TableNorm.{self.name}"


@dataclass(frozen=True, kw_only=True)
class TableNetwork(Architecture):
    """Embedded categories and standardised numbers, and layers with ReLU.

    Ids N×C (int64) and raw numbers N×D to logits N×classes; where there are no categories, numbers
    N×D alone, and where there are no numbers, ids alone. All columns share one table of embeddings.

    An id that a column does not have (below 0, or its size and above) is taken for one more id of
    that column: a spare row, or, where rows are hashed, one that it may share with other ids. A
    spare row is zeros until a training has such ids.

    Source: Guo & Berkhahn 2016 (embedded categories); Weinberger et al. 2009 (hashed ones).

    `sizes`: the number of ids of each column of categories; there may be none.
    `mean`, `deviation`: of each column of numbers, in training; there may be none.
    `rows`: of the table of embeddings.
    `width`: of an embedding.
    `hidden`: the widths of the hidden layers; with none the network is linear.
    `norm`: of hidden layers.
    `classes`: of answers.
    """

    sizes: tuple[int, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    rows: Rows
    width: int
    hidden: tuple[int, ...]
    norm: TableNorm
    classes: int

    def code(self) -> str:
        """The network as a module of Python."""
        made, run, given = list[str](), list[str](), list[str]()
        if self.sizes:
            *starts, end = accumulate((size + 1 for size in self.sizes), initial=0)
            made.append(f'        self.register_buffer("sizes", tensor({list(self.sizes)}))\n')
            made.append(f'        self.register_buffer("starts", tensor({starts}))\n')
            count = self.rows.count(end)
            made.append(f"        self.categories = nn.Embedding({count}, {self.width})\n")
            run.append(_KNOWN)
            if isinstance(self.rows, HashedRows):
                run.append(f"        rows = hashed(rows, {FACTORS[0]}, {count})\n")
            else:
                made.append(_SPARE)
            run.append("        vectors = self.categories(rows).flatten(1)\n")
            given.append("vectors")
        if self.mean:
            for name in ("mean", "deviation"):
                numbers = list(getattr(self, name))
                made.append(f'        self.register_buffer("{name}", tensor({numbers}))\n')
            run.append("        scaled = (numbers - self.mean) / self.deviation\n")
            given.append("scaled")
        width, layers = len(self.sizes) * self.width + len(self.mean), list[str]()
        for one in self.hidden:
            layers.append(f"            nn.Linear({width}, {one}),\n")
            if self.norm is TableNorm.BATCH:
                layers.append(f"            nn.BatchNorm1d({one}),\n")
            layers.append("            nn.ReLU(),\n")
            width = one
        layers.append(f"            nn.Linear({width}, {self.classes}),\n")
        names = ["ids"] * bool(self.sizes) + ["numbers"] * bool(self.mean)
        taken = given[0] if len(given) == 1 else f"cat([{', '.join(given)}], 1)"
        is_hashed = bool(self.sizes) and isinstance(self.rows, HashedRows)
        functions = ["cat"] * (len(given) > 1) + ["nn"]
        functions += ["no_grad"] * (bool(self.sizes) and not is_hashed)
        functions += ["tensor"] + ["where"] * bool(self.sizes)
        return (
            '"""A network for tables that a search found; it needs torch only."""\n\n'
            f"from torch import {', '.join(functions)}\n\n\n"
            + HASHED
            * is_hashed
            + "class Network(nn.Module):\n"
            f'    """From {_taken(self)} to logits N×{self.classes}."""\n\n'
            "    def __init__(self):\n"
            "        super().__init__()\n"
            + "".join(made)
            + f"        self.layers = nn.Sequential(\n{''.join(layers)}        )\n\n"
            f"    def forward(self, {', '.join(names)}):\n"
            + "".join(run)
            + f"        return self.layers({taken})\n"
        )

    def roles(self) -> Mapping[str, Role]:
        """By layer, counted from the first; the first has weights of its own for each column."""
        columns = tuple(f"column {one + 1}" for one in range(len(self.sizes)))
        numbers = ("numbers",) * bool(self.mean)
        channels = (*(self.width for _ in columns), *(len(self.mean) for _ in numbers))
        roles, at, reads = dict[str, Role](), 0, (*columns, *numbers)
        for number in range(len(self.hidden)):
            key = f"hidden layer {number + 1}, {self.norm!r}"
            roles[f"layers.{at}"] = Role(key, reads, channels)
            if self.norm is TableNorm.BATCH:
                roles[f"layers.{at + 1}"] = Role(f"{key}, its norm")
                at += 1
            at, reads, channels = at + 2, (), ()
        key = "answers from columns" if reads else f"answers, {self.norm!r}"
        return roles | {f"layers.{at}": Role(key, reads, channels)}


_KNOWN = """\
        is_known = (ids >= 0) & (ids < self.sizes)
        rows = where(is_known, ids, self.sizes) + self.starts
"""
_SPARE = """\
        with no_grad():
            self.categories.weight[self.starts + self.sizes] = 0
"""


def _taken(table: TableNetwork) -> str:
    """The inputs of a network, in words."""
    ids = [f"ids N×{len(table.sizes)}"] * bool(table.sizes)
    return " and ".join(ids + [f"numbers N×{len(table.mean)}"] * bool(table.mean))


@dataclass(frozen=True, kw_only=True)
class Tables(Space):
    """Networks for tables: ids N×C of categories and raw numbers N×D, or either alone, to logits.

    Source: Guo & Berkhahn 2016; Weinberger et al. 2009.
    Differs: a column has a spare row for all ids that it does not have.

    `sizes`: the number of ids of each column of categories, each 1 or more, together with a spare
        row each below 2³¹; none by default.
    `mean`, `deviation`: of each column of numbers, in training; as many of both, and deviations
        above 0. None by default.
    `classes`: of answers, 1 or more.
    `rows`: of the table of embeddings that all columns share.
    `widths`: of an embedding, 1 or more.
    `hidden`: for each hidden layer, from the first on, the widths to choose from; 0: there is no
        such layer.
    `norms`: what to choose from.

    Raises ValueError for a table without columns and for numbers out of range.
    """

    sizes: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    classes: int = 2
    rows: tuple[Rows, ...] = (HashedRows(16), HashedRows(64), HashedRows(256), RowEach())
    widths: tuple[int, ...] = (1, 2, 4, 8, 16)
    hidden: tuple[tuple[int, ...], ...] = ((0, 8, 16, 32, 64, 128),) * 3
    norms: tuple[TableNorm, ...] = (TableNorm.NONE, TableNorm.BATCH)

    def __post_init__(self) -> None:
        if not self.sizes and not self.mean:
            raise ValueError(
                "a table without columns: give the sizes of categories, or the mean and the "
                "deviation of numbers"
            )
        if len(self.mean) != len(self.deviation) or not all(one > 0 for one in self.deviation):
            raise ValueError(
                f"{len(self.mean)} means and the deviations {self.deviation}: give each column of "
                "numbers a mean, and a deviation above 0 (1 where it never changes)"
            )
        if sum(self.sizes) > (most := PRIME - len(self.sizes)):
            raise ValueError(
                f"columns of {sum(self.sizes):,} ids together: the hash takes up to {most:,}, so "
                "give fewer, such as one id for all rare ones"
            )
        hidden = [width for layer in self.hidden for width in layer]
        if min((self.classes, *self.sizes, *self.widths)) < 1 or min(hidden, default=0) < 0:
            raise ValueError(
                f"{self!r}: classes, sizes and widths must be 1 or more, and hidden widths "
                "0 or more"
            )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Those of categories, where there are any, then of the hidden layers."""
        of_categories = (
            Decision("rows of embeddings", self.rows),
            Decision("width of an embedding", self.widths),
        )
        return (
            *(of_categories if self.sizes else ()),
            *(Decision(f"hidden layer {at + 1}", one) for at, one in enumerate(self.hidden)),
            Decision("norm", self.norms),
        )

    def made(self, picks: Sequence[int]) -> TableNetwork:
        """The network of these picks."""
        *chosen, norm = self.options(picks)
        rows, width = chosen[:2] if self.sizes else (RowEach(), 0)
        return TableNetwork(
            sizes=self.sizes,
            mean=self.mean,
            deviation=self.deviation,
            rows=rows,
            width=width,
            hidden=tuple(one for one in chosen[2 if self.sizes else 0 :] if one),
            norm=norm,
            classes=self.classes,
        )
