"""Networks for texts: the n-grams of ids, hashed and embedded, pooled, and a layer or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from shoestring.search.hashing import FACTORS, HASHED, HashedRows, RowEach, Rows
from shoestring.search.space import Architecture, Decision, Role, Space

LONGEST = 3
"""Ids of an n-gram, at most."""


class Pooling(Enum):
    """How the embeddings of a text become one. A text without ids gives zeros."""

    SUM = "their sum"
    ROOT = "their sum over the root of their number"
    MEAN = "their mean"
    MAX = "the largest number in each channel"
    ATTENTION = "their mean with weights: the softmax of a linear function of each"

    def __repr__(self) -> str:
        return f"Pooling.{self.name}"


class Grams(NamedTuple):
    """The table of the n-grams of one length.

    `rows`: of the table. Those of two ids or more are HashedRows.
    `width`: of an embedding.
    """

    rows: Rows
    width: int


@dataclass(frozen=True, kw_only=True)
class TextNetwork(Architecture):
    """Ids N×T (int64; 0 is padding, at the end) to logits N×classes.

    The embeddings of n-grams of each length are pooled, and stand side by side before the hidden
    layer. An n-gram with padding in it counts as none. An id out of range (below 0, or `ids` and
    above) is hashed as any other; where each id has a row, all of them have a spare one, which is
    zeros until a training has such ids.

    Source: Joulin et al. 2016, section 2.1 (n-grams, hashed); Botha et al. 2017, section 2 (a table
    and a width for each kind of feature, a hidden layer); Weinberger et al. 2009.
    Differs: ids are hashed inside the network.

    `ids`: how many there are, padding included.
    `grams`: of one id, of two, and so on: 1 to 3 of them.
    `dropout`: the share of ids that become padding in training, 0 to 1. Only n-grams of neighbours
        that stay count.
    `hidden`: the width of the hidden layer; 0: there is none.
    `classes`: of answers.
    """

    ids: int
    grams: tuple[Grams, ...]
    pooling: Pooling
    dropout: float
    hidden: int
    classes: int

    def code(self) -> str:
        """The network as a module of Python."""
        made, run, pooled = list[str](), list[str](), list[str]()
        for length, (rows, width) in enumerate(self.grams, 1):
            count = rows.count(self.ids + 1)
            made.append(f"        self.table_{length} = nn.Embedding({count}, {width})\n")
            made.append(f"        nn.init.normal_(self.table_{length}.weight, std=0.05)\n")
            key = "ids"
            if length > 1:
                run.append(f"        after = functional.pad(ids, (0, {length - 1}))")
                run.append(f"[:, {length - 1}:]\n        is_gram = is_gram & (after != 0)\n")
                run.append(f"        key = (key * {FACTORS[0]} + after) % PRIME\n")
                key = "key"
            if isinstance(rows, HashedRows):
                key = f"hashed({key}, {FACTORS[length]}, {count})"
            else:
                made.append(_SPARE.format(ids=self.ids))
                run.append(_KNOWN.format(ids=self.ids))
                key = "known"
            arguments = f"self.table_{length}({key}), is_gram"
            if self.pooling is Pooling.ATTENTION:
                made.append(f"        self.weight_{length} = nn.Linear({width}, 1)\n")
                arguments += f", self.weight_{length}"
            run.append(f"        pooled_{length} = pooled({arguments})\n")
            pooled.append(f"pooled_{length}")
        width = sum(one.width for one in self.grams)
        layers = [f"nn.Linear({self.hidden or width}, {self.classes})"]
        if self.hidden:
            layers = [f"nn.Linear({width}, {self.hidden})", "nn.ReLU()", *layers]
        made.append(f"        self.layers = nn.Sequential({', '.join(layers)})\n")
        several = len(self.grams) > 1
        is_hashed = several or isinstance(self.grams[0].rows, HashedRows)
        has_spare = isinstance(self.grams[0].rows, RowEach)
        names = ["cat"] * several + ["nn"] + ["no_grad"] * has_spare
        names += ["rand"] * bool(self.dropout) + ["where"] * has_spare
        start = ["        is_gram = ids != 0\n"]
        if self.dropout:
            start.insert(0, _DROPOUT.format(dropout=self.dropout))
        if several:
            start.append("        key = ids\n")
        return (
            '"""A network for texts that a search found; it needs torch only."""\n\n'
            f"from torch import {', '.join(names)}\n"
            + "from torch.nn import functional\n" * several
            + "\n\n"
            + HASHED * is_hashed
            + _POOLED[self.pooling]
            + _NETWORK.format(
                classes=self.classes,
                made="".join(made),
                run="".join(start + run),
                given=f"cat([{', '.join(pooled)}], 1)" if several else pooled[0],
            )
        )

    def roles(self) -> Mapping[str, Role]:
        """Tables by the length of n-grams and by rows; the first layer by the n-grams it reads."""
        roles = dict[str, Role]()
        for length, (rows, _) in enumerate(self.grams, 1):
            roles[f"table_{length}"] = Role(f"{length}-grams, {rows!r}")
            roles[f"weight_{length}"] = Role(f"weights of {length}-grams, {rows!r}")
        reads = tuple(f"{length}-grams" for length in range(1, len(self.grams) + 1))
        first = "hidden layer" if self.hidden else "answers from n-grams"
        channels = tuple(one.width for one in self.grams)
        return roles | {"layers.0": Role(first, reads, channels), "layers.2": Role("answers")}


_DROPOUT = """\
        if self.training:
            ids = ids * (rand(ids.shape, device=ids.device) >= {dropout})
"""
_SPARE = """\
        with no_grad():
            self.table_1.weight[{ids}] = 0
"""
_KNOWN = """\
        known = where((ids >= 0) & (ids < {ids}), ids, {ids})
"""
_SUM = '''\
def pooled(vectors, is_gram):
    """Vectors N×T×C to N×C: {what}."""
    is_gram = is_gram[:, :, None].to(vectors.dtype)
    return (vectors * is_gram).sum(1){over}


'''
_POOLED = {
    Pooling.SUM: _SUM.format(what="their sum", over=""),
    Pooling.ROOT: _SUM.format(
        what="their sum over the root of their number",
        over=" / is_gram.sum(1).clamp(min=1).sqrt()",
    ),
    Pooling.MEAN: _SUM.format(what="their mean", over=" / is_gram.sum(1).clamp(min=1)"),
    Pooling.MAX: '''\
def pooled(vectors, is_gram):
    """Vectors N×T×C to N×C: the largest number in each channel."""
    largest = vectors.masked_fill(~is_gram[:, :, None], -1e4).amax(1)
    return largest * is_gram.any(1, keepdim=True)


''',
    Pooling.ATTENTION: '''\
def pooled(vectors, is_gram, weight):
    """Vectors N×T×C to N×C: their mean, with a weight for each."""
    is_gram = is_gram[:, :, None]
    weights = weight(vectors).masked_fill(~is_gram, -1e4).softmax(1)
    return (vectors * weights * is_gram).sum(1)


''',
}
_NETWORK = '''\
class Network(nn.Module):
    """From ids N×T, where 0 is padding, to logits N×{classes}."""

    def __init__(self):
        super().__init__()
{made}
    def forward(self, ids):
{run}        return self.layers({given})
'''


@dataclass(frozen=True, kw_only=True)
class Ngrams(Space):
    """Networks for ids N×T of texts (0 is padding) to logits N×classes.

    Source: Joulin et al. 2016; Botha et al. 2017; Weinberger et al. 2009.

    `ids`: how many there are, padding included; 2 to 2³¹ - 1.
    `classes`: of answers, 1 or more.
    `lengths`: the longest n-grams, 1 to 3; shorter ones count as well.
    `rows`: of the table of single ids.
    `longer_rows`: of the table of each longer n-gram.
    `widths`: of embeddings, 1 or more; single ids and longer n-grams each have one.
    `poolings`: what to choose from.
    `dropouts`: the share of ids that become padding in training, 0 or more and below 1.
    `hidden`: widths of the hidden layer; 0: there is none.

    Raises ValueError for numbers out of range.
    """

    ids: int
    classes: int = 2
    lengths: tuple[int, ...] = (1, 2, 3)
    rows: tuple[Rows, ...] = (
        HashedRows(500),
        HashedRows(1000),
        HashedRows(2000),
        HashedRows(5000),
        RowEach(),
    )
    longer_rows: tuple[HashedRows, ...] = (
        HashedRows(500),
        HashedRows(2000),
        HashedRows(5000),
        HashedRows(20000),
    )
    widths: tuple[int, ...] = (2, 4, 8, 16, 32)
    poolings: tuple[Pooling, ...] = tuple(Pooling)
    dropouts: tuple[float, ...] = (0.0, 0.2, 0.4)
    hidden: tuple[int, ...] = (0, 8, 16, 32)

    def __post_init__(self) -> None:
        if not 2 <= self.ids < 2**31:
            raise ValueError(f"{self.ids} ids: give 2 (padding is one) to {2**31 - 1:,}")
        if min((self.classes, *self.widths)) < 1 or min(self.hidden) < 0:
            raise ValueError(
                f"{self!r}: classes and widths must be 1 or more, and hidden widths 0 or more"
            )
        if wrong := [length for length in self.lengths if not 1 <= length <= LONGEST]:
            raise ValueError(f"n-grams of {wrong[0]} ids: give 1 to {LONGEST}")
        if wrong := [share for share in self.dropouts if not 0 <= share < 1]:
            raise ValueError(f"a dropout of {wrong[0]}: give 0 or more and below 1")

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What is read, how it is embedded and pooled, and the hidden layer."""
        return (
            Decision("longest n-grams", self.lengths),
            Decision("rows of single ids", self.rows),
            Decision("width of single ids", self.widths),
            Decision("rows of longer n-grams", self.longer_rows),
            Decision("width of longer n-grams", self.widths),
            Decision("pooling", self.poolings),
            Decision("dropout", self.dropouts),
            Decision("hidden width", self.hidden),
        )

    def made(self, picks: Sequence[int]) -> TextNetwork:
        """The network of these picks."""
        length, rows, width, more, wide, pooling, dropout, hidden = self.options(picks)
        return TextNetwork(
            ids=self.ids,
            grams=(Grams(rows, width), *[Grams(more, wide)] * (length - 1)),
            pooling=pooling,
            dropout=dropout,
            hidden=hidden,
            classes=self.classes,
        )
