"""Networks of cells: two small graphs of operations, which are stacked and shrink pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from shoestring.search.operations import OPERATIONS, Operation, check_groups, check_strides, parts
from shoestring.search.space import Architecture, Decision, Role, Space

_NODES = "abcdefghijklmnopqrstuvwxyz"


class BlockCombiner(Enum):
    """How the two results of a block become one."""

    SUM = "their sum"
    JOINED = "their channels side by side, and a convolution that halves them"

    def __repr__(self) -> str:
        return f"BlockCombiner.{self.name}"


class Block(NamedTuple):
    """Two operations on two of the maps before, and what becomes of both.

    `first`, `second`: which maps: 0 and 1 are what the cell is given (the cell before the last, and
        the last), 2 is the first block, and so on.
    `left`, `right`: the operation on each.
    """

    first: int
    second: int
    left: Operation
    right: Operation
    combiner: BlockCombiner = BlockCombiner.SUM


@dataclass(frozen=True, kw_only=True)
class CellNetwork(Architecture):
    """Normal cells at one size of the picture, a reduction cell that halves it, and again.

    Source: Zoph et al. 2018, section 3.
    Differs: widths grow by 2 with each reduction and the first cells see the first convolution
    twice; there is no auxiliary classifier.

    `normal`, `reduction`: blocks of either cell. Maps that no block reads are what a cell gives.
    `width`: channels of a block in the first cells, a multiple of the groups of its operations.
    `depth`: normal cells at each size, 1 or more.
    `sizes`: of the picture: 1 more than there are reductions.
    `channels`, `classes`: of pictures, and of answers.
    `stride`: of the first convolution: 1, or 2, which halves pictures before the first cell.
    """

    normal: tuple[Block, ...]
    reduction: tuple[Block, ...]
    width: int
    depth: int
    sizes: int
    channels: int
    classes: int
    stride: int = 1

    def code(self) -> str:
        """The network as a module of Python: its cells as classes, and `Network`.

        Cells and inputs of cells that nothing reads are left out.
        """
        made, run, cells = list[str](), list[str](), self._cells()
        for number, cell in enumerate(cells):
            if not cell.is_read:
                continue
            sizes = f"{cell.before}, {cell.last}, {cell.width}, {cell.is_larger}"
            made.append(f"        self.cell_{number} = {cell.kind}Cell({sizes})\n")
            before, last = (_map_of(number - 1 - back) for back in (1, 0))
            given = (
                before if 0 in self._read(cell.kind) else "None",
                last if 1 in self._read(cell.kind) else "None",
            )
            run.append(f"        cell_{number} = self.cell_{number}({', '.join(given)})\n")
        kinds = {cell.kind for cell in cells if cell.is_read}
        blocks = [block for kind in _KINDS if kind in kinds for block in self._blocks(kind)]
        return (
            '"""A network of cells that a search found; it needs torch only."""\n\n'
            "from torch import cat, nn\n\n\n"
            + parts(one for block in blocks for one in (block.left, block.right))
            + _FIT
            + "".join(_cell(kind, self._blocks(kind)) for kind in _KINDS if kind in kinds)
            + _NETWORK.format(
                channels=self.channels,
                width=self.width,
                stride=self.stride,
                cells="".join(made),
                run="".join(run),
                last=_map_of(len(cells) - 1),
                given=cells[-1].width * len(_loose(self._blocks(cells[-1].kind))),
                classes=self.classes,
            )
        )

    def roles(self) -> Mapping[str, Role]:
        """By place, operation and the blocks that are read, whatever the width and the depth."""
        roles, places = {"first": Role("first")}, Counter[tuple[int, str]]()
        before = last = ("first",)
        for number, cell in enumerate(self._cells()):
            places[cell.size, cell.kind] += 1
            kind = cell.kind.lower()
            number_of_kind = places[cell.size, cell.kind]
            where = f"size {cell.size + 1}, {kind}"
            where += f" cell {number_of_kind}" if kind == "normal" else ""
            if cell.is_read:
                name, read = f"cell_{number}", self._read(cell.kind)
                roles |= {f"{name}.before": Role(f"{where}, before", before)} if 0 in read else {}
                roles |= {f"{name}.last": Role(f"{where}, last", last)} if 1 in read else {}
                for at, block in enumerate(self._blocks(cell.kind)):
                    node, place = f"{name}.{_NODES[at + 2]}", f"{where}, block {at + 1}"
                    roles[f"{node}_left"] = Role(f"{place}, left: {block.left!r}")
                    roles[f"{node}_right"] = Role(f"{place}, right: {block.right!r}")
                    roles[f"{node}_joined"] = Role(f"{place}, joined", ("left", "right"))
            loose = _loose(self._blocks(cell.kind))
            before, last = last, tuple(f"{kind} block {one - 1}" for one in loose)
        return roles | {"head": Role("head", last)}

    def _blocks(self, kind: str) -> tuple[Block, ...]:
        return self.normal if kind == "Normal" else self.reduction

    def _read(self, kind: str) -> set[int]:
        """Which of the two maps that a cell is given its blocks read."""
        blocks = self._blocks(kind)
        return {one for block in blocks for one in (block.first, block.second) if one < 2}

    def _cells(self) -> list[_Placed]:
        """The cells in their order, with their channels, and whether anything reads them."""
        placed, width = list[_Placed](), self.width
        before = last = self.width
        for size in range(self.sizes):
            width *= 2 if size else 1
            for kind in ["Reduction"] * bool(size) + ["Normal"] * self.depth:
                is_larger = bool(placed) and placed[-1].kind == "Reduction"
                placed.append(_Placed(kind, size, before, last, width, is_larger))
                before, last = last, width * len(_loose(self._blocks(kind)))
        read = {len(placed) - 1}
        for number in reversed(range(len(placed))):
            if number in read:
                read |= {number - 2 + one for one in self._read(placed[number].kind)}
        return [one._replace(is_read=number in read) for number, one in enumerate(placed)]


_KINDS = ("Normal", "Reduction")


class _Placed(NamedTuple):
    """A cell of a network: its channels, and whether a later one or the head reads it."""

    kind: str
    size: int
    before: int
    last: int
    width: int
    is_larger: bool
    is_read: bool = True


def _map_of(number: int) -> str:
    """The name of what a cell gives; before the first cell, what the first convolution gives."""
    return f"cell_{number}" if number >= 0 else "first"


_FIT = '''\
def fit(taken, given, halved):
    """Maps of another cell with as many channels as this one's, and of its size."""
    return nn.Sequential(*layer(taken, given, 1, 2 if halved else 1), nn.ReLU())


'''

_NETWORK = '''\
class Network(nn.Module):
    """From pictures N×{channels}×H×W to logits N×{classes}."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(*layer({channels}, {width}, 3, {stride}), nn.ReLU())
{cells}        self.head = nn.Linear({given}, {classes})

    def forward(self, pictures):
        first = self.first(pictures)
{run}        return self.head({last}.mean((2, 3)))
'''


def _cell(kind: str, blocks: Sequence[Block]) -> str:
    """The class of a cell."""
    stride = 2 if kind == "Reduction" else 1  # of operations on what the cell is given
    made, run = list[str](), list[str]()
    read = {one for block in blocks for one in (block.first, block.second)}
    if 0 in read:
        made.append("        self.before = fit(before, width, is_larger)\n")
        run.append("        a = self.before(before)\n")
    if 1 in read:
        made.append("        self.last = fit(last, width, False)\n")
        run.append("        b = self.last(last)\n")
    for number, block in enumerate(blocks):
        node, terms = _NODES[number + 2], list[str]()
        for side, given, operation in (
            ("left", block.first, block.left),
            ("right", block.second, block.right),
        ):
            own = stride if given < 2 else 1
            made.append(f"        self.{node}_{side} = {operation.code(own)}\n")
            terms.append(f"self.{node}_{side}({_NODES[given]})")
        if block.combiner is BlockCombiner.SUM:
            run.append(f"        {node} = {terms[0]} + {terms[1]}\n")
        else:
            made.append(
                f"        self.{node}_joined = nn.Sequential(*layer(2 * width, width), nn.ReLU())\n"
            )
            run.append(f"        {node} = self.{node}_joined(cat([{', '.join(terms)}], 1))\n")
    ends = [_NODES[one] for one in _loose(blocks)]
    given = ends[0] if len(ends) == 1 else f"cat([{', '.join(ends)}], 1)"
    return (
        f"class {kind}Cell(nn.Module):\n"
        "    def __init__(self, before, last, width, is_larger):\n"
        "        super().__init__()\n"
        + "".join(made)
        + "\n    def forward(self, before, last):\n"
        + "".join(run)
        + f"        return {given}\n\n\n"
    )


def _loose(blocks: Sequence[Block]) -> list[int]:
    """The blocks that no other one reads, as numbers of maps."""
    read = {one for block in blocks for one in (block.first, block.second)}
    return [number for number in range(2, len(blocks) + 2) if number not in read]


@dataclass(frozen=True, kw_only=True)
class Cells(Space):
    """Networks of cells for pictures.

    Source: Zoph et al. 2018 (the decisions of a cell); Pham et al. 2018.

    `channels`, `classes`: of pictures, and of answers.
    `blocks`: of a cell, 1 or more.
    `operations`, `combiners`: what a block chooses from.
    `widths`: channels of a block in the first cells, multiples of the groups of all operations.
    `depths`: normal cells at each size, 1 or more.
    `strides`: of the first convolution, 1 or 2.
    `sizes`: of the picture, 1 or more: it is halved between them.

    Raises ValueError for numbers out of range.
    """

    channels: int = 3
    classes: int = 10
    blocks: int = 3
    operations: tuple[Operation, ...] = OPERATIONS
    combiners: tuple[BlockCombiner, ...] = (BlockCombiner.SUM, BlockCombiner.JOINED)
    widths: tuple[int, ...] = (8, 12, 16)
    depths: tuple[int, ...] = (1, 2)
    strides: tuple[int, ...] = (1, 2)
    sizes: int = 3

    def __post_init__(self) -> None:
        counts = (self.channels, self.classes, self.blocks, self.sizes, *self.depths, *self.widths)
        if min(counts) < 1 or self.blocks > len(_NODES) - 2:
            raise ValueError(
                f"{self!r}: channels, classes, sizes, depths and widths must be 1 or more, and "
                f"blocks 1 to {len(_NODES) - 2}"
            )
        check_groups(self.operations, self.widths)
        check_strides(self.strides)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Those of the normal cell, of the reduction cell, then width, depth and first stride."""
        of_cells = (one for kind in ("normal", "reduction") for one in self._of_cell(kind))
        return (
            *of_cells,
            Decision("width", self.widths),
            Decision("depth", self.depths),
            Decision("first stride", self.strides),
        )

    def _of_cell(self, kind: str) -> Iterator[Decision]:
        for number in range(self.blocks):
            where, maps = f"{kind} cell, block {number + 1}", tuple(range(number + 2))
            yield Decision(f"{where}, first map", maps)
            yield Decision(f"{where}, second map", maps)
            yield Decision(f"{where}, left operation", self.operations)
            yield Decision(f"{where}, right operation", self.operations)
            yield Decision(f"{where}, combiner", self.combiners)

    def made(self, picks: Sequence[int]) -> CellNetwork:
        """The network of these picks."""
        chosen = self.options(picks)
        blocks = [Block(*chosen[at : at + 5]) for at in range(0, 10 * self.blocks, 5)]
        return CellNetwork(
            normal=tuple(blocks[: self.blocks]),
            reduction=tuple(blocks[self.blocks :]),
            width=chosen[-3],
            depth=chosen[-2],
            stride=chosen[-1],
            sizes=self.sizes,
            channels=self.channels,
            classes=self.classes,
        )
