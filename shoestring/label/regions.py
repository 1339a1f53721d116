"""Regions: pictures whose pixels have classes, labelled tile by tile."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.artifact import tree
from shoestring.core import Task, label_task
from shoestring.core.view import View
from shoestring.kit import SkippedWarning
from shoestring.kit.training.pool import Pool

UNMARKED = -100
"""The target of a pixel that nobody labelled; torch's cross_entropy leaves such pixels out."""


class Tile(NamedTuple):
    """A square of a picture.

    `picture`: the index of the picture in the wrapped task.
    `top`, `left`: of its first pixel. `side`: in pixels.
    """

    picture: int
    top: int
    left: int
    side: int


Marks = Callable[[Sequence[Tile]], Any] | Tensor | None
"""What labels tiles: `answer(tiles)`, integers N×side×side; or the masks of all pictures, P×H×W."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Regions(View):
    """A segmentation whose labels are bought tile by tile, in place of picture by picture.

    The pictures of a task are cut in tiles, which are the examples that a technique chooses: the
    worth of a tile is the sum over its pixels, and a label is that of a tile. The network still
    sees whole pictures, so that it answers a tile by what is around it, and the loss counts the
    pixels of labelled tiles only; all others have the target -100 (UNMARKED).

        tiles = Regions(task=pictures, side=32, answer=ask)
        trained = Margin(labels=200, rounds=5)(model, tiles)  # 200 tiles

    Tiles are numbered picture by picture, each row by row. The pictures that came with a mask come
    after those without, as in the wrapped task. Scores are those of the wrapped task.

    `task`: has pictures N×C×H×W as its first input, integer masks N×H×W as labels, and pictures
        without a label (`Supervised(unlabelled=...)`). Its criterion must leave -100 out, which is
        tried. Where it changes pictures and masks together, some labelled pixel must stay.
    `side`: of a tile, in pixels; it divides the height and the width.
    `answer`: what labels tiles: a function that gets a list of Tile and returns their masks,
        integers N×side×side; or the masks of all unlabelled pictures, from which tiles are cut.
    `limit`: how many tiles may be bought, 0 or more; None for no limit.

    Source: Mackowiak et al. 2018, "CEREALS - Cost-Effective REgion-based Active Learning for
    Semantic Segmentation": parts of pictures, by the doubt that is summed over their pixels.
    Differs: tiles are those of a fixed grid, where theirs lie anywhere and are thinned out by
    non-maximum suppression; all cost the same, where theirs have a price by a cost model that
    learns the clicks of people. Casanova et al. 2020, "Reinforced active learning for image
    segmentation", buy parts of a grid too, chosen by a network that learns to choose; that is not
    done here.

    Raises ValueError for masks or pictures of other shapes, for a side that does not divide them,
    and for a task of which labels were bought already.
    """

    task: Task
    side: int = 32
    answer: Marks = field(default=None, repr=False)
    limit: int | None = None
    _tiles: Pool = field(default=None, repr=False)  # type: ignore[assignment]  # made below
    _grid: tuple[int, int] = field(default=(0, 0), repr=False)
    _tried: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if self._tiles is not None:  # of a task that was derived from another one
            return
        inner = label_task(self.task)
        pool, known = np.asarray(inner.pool()), np.asarray(inner.known())
        masks = torch.as_tensor(inner.labels(known))
        self._check(masks, pool, known)
        height, width = masks.shape[1:]
        object.__setattr__(self, "_grid", (height // self.side, width // self.side))
        count = self._grid[0] * self._grid[1]
        answer = self.answer
        if isinstance(answer, Tensor):
            if answer.shape != (len(pool), height, width):
                raise ValueError(
                    f"the answers have shape {list(answer.shape)}: give a mask of {height}×{width} "
                    f"for each of {len(pool)} unlabelled pictures"
                )
            answer = self._cut(answer)
        elif answer is not None:
            ask = answer
            answer = lambda indices: ask(self.tiles(indices))  # noqa: E731
        tiles = Pool.of(
            ((torch.zeros(len(known) * count),), self._cut(masks).long()),
            (torch.zeros(len(pool) * count),),
            answer,
            self.limit,
        )
        object.__setattr__(self, "_tiles", tiles)

    def _check(self, masks: Tensor, pool: np.ndarray, known: np.ndarray) -> None:
        """Raise ValueError where the task cannot be cut in tiles."""
        if not np.array_equal(np.concatenate([pool, known]), np.arange(len(pool) + len(known))):
            raise ValueError(
                "labels of whole pictures were bought or changed already: cut the task in regions "
                "first, and buy tiles"
            )
        if masks.ndim != 3 or masks.is_floating_point():
            raise ValueError(
                f"the labels have shape {list(masks.shape)} and type {masks.dtype}: regions are of "
                "masks N×H×W, an integer for each pixel"
            )
        height, width = masks.shape[1:]
        indices = np.arange(min(1, len(pool) + len(known)))
        seen = label_task(self.task).inputs(indices)[0].shape
        if len(seen) != 4 or tuple(seen[2:]) != (height, width):
            raise ValueError(
                f"the pictures have shape {list(seen)} and the masks {height}×{width}: give "
                "pictures N×C×H×W and masks of the same height and width"
            )
        side = self.side
        if isinstance(side, bool) or not isinstance(side, int) or side < 1:
            raise ValueError(f"side={side!r}: give the side of a tile in pixels, 1 or more")
        if height % side or width % side:
            both = [
                one for one in range(2, min(height, width) + 1) if not (height % one or width % one)
            ]
            sides = f"give side={' or '.join(map(str, both))}, or " if both else ""
            raise ValueError(
                f"tiles of {side} pixels do not divide pictures of {height}×{width}: {sides}pad "
                "pictures and masks to a height and width that the side divides"
            )

    def loss(self, model: Any, batch: Any) -> Any:
        if not self._tried:
            self._try_criterion(model)
        try:
            return self.task.loss(model, batch)
        except IndexError as error:
            raise ValueError(
                f"the loss of labelled pixels fails ({error}); the labels of tiles have the "
                f"classes {self._classes()}: answer with classes that the network has an output "
                f"for, from 0 up, and with {UNMARKED} for a pixel without one"
            ) from error

    def tiles(self, indices: Any) -> list[Tile]:
        """Where the tiles of these indices are."""
        rows, columns = self._grid
        found = []
        for index in map(int, indices):
            picture, number = divmod(index, rows * columns)
            row, column = divmod(number, columns)
            found.append(Tile(picture, row * self.side, column * self.side, self.side))
        return found

    def pool(self) -> np.ndarray:
        """The indices of the tiles without a bought label, in ascending order."""
        return (~self._tiles.bought).nonzero().flatten().numpy()

    def left(self) -> int | None:
        """How many more tiles may be bought; None for all."""
        return self._tiles.left()

    def known(self) -> np.ndarray:
        """The indices of the tiles with a label."""
        return self._tiles.indices.numpy().copy()

    def inputs(self, indices: Any) -> tuple[Tensor, ...]:
        """The inputs of the pictures that have these tiles, each once, and for each tile N two
        integers: which of these pictures has it, and its number there.
        """
        self._tiles.inputs(indices)  # which refuses what is no index
        at = torch.as_tensor(np.asarray(indices), dtype=torch.long)
        count = self._grid[0] * self._grid[1]
        pictures, row_N = (at // count).unique(return_inverse=True)
        return (*label_task(self.task).inputs(pictures.numpy()), row_N, at % count)

    def labels(self, indices: Any) -> Tensor:
        """The labels of tiles, N×side×side; raises ValueError for a tile without a label."""
        return self._tiles.labels(indices)

    def outputs(self, model: Any, inputs: Any) -> Any:
        """What the network answers at the pixels of the tiles: N×…×side×side.

        Raises ValueError where the answers have not the height and width of the pictures.
        """
        whole = label_task(self.task).outputs(model, inputs[:-2])
        height, width = (side * self.side for side in self._grid)

        def cut(values: Tensor) -> Tensor:
            if values.ndim != 4 or tuple(values.shape[2:]) != (height, width):
                raise ValueError(
                    f"the network answers with shape {list(values.shape)} to pictures of "
                    f"{height}×{width}: regions need an answer N×classes×{height}×{width}, so "
                    "enlarge it in the network"
                )
            return self.of_examples(values, inputs)

        return tree.map(cut, whole)

    def of_examples(self, values: Tensor, inputs: Any, axis: int = 1) -> Tensor:
        """The part of each tile of maps of pictures U×D×H×W (or U×H×W×D, where axis is 3).

        Maps that are coarser than the pictures are averaged to a whole number of cells a tile. What
        has no height and width is the same for all tiles of a picture, and a SkippedWarning says
        so.
        """
        *_, row_N, tile_N = inputs
        if values.ndim != 4:
            warnings.warn(
                f"features of shape {list(values.shape)} have no height and width: the tiles of a "
                "picture all have the same",
                SkippedWarning,
                stacklevel=2,
            )
            return values[row_N]
        rows, columns = self._grid
        maps = values.movedim(axis, 1)
        cells = max(1, round(maps.shape[2] / rows)), max(1, round(maps.shape[3] / columns))
        wanted = rows * cells[0], columns * cells[1]
        if tuple(maps.shape[2:]) != wanted:
            maps = functional.adaptive_avg_pool2d(maps, wanted)
        parts = maps.reshape(len(maps), -1, rows, cells[0], columns, cells[1])
        return parts[row_N, :, tile_N // columns, :, tile_N % columns].movedim(1, axis)

    def losses(self, outputs: Any, labels: Any) -> Tensor:
        """The loss of each tile: N."""
        return label_task(self.task).losses(outputs, labels)

    def buy(self, indices: Any) -> Regions:
        """A new task with the labels of these tiles too."""
        tiles = self._tiles.buy(indices)
        return self if tiles is self._tiles else self._of(tiles)

    def recalled(self, indices: Any, labels: Any) -> Regions:
        """A new task with these labels of tiles, N×side×side, which an earlier run bought."""
        tiles = self._tiles.recalled(indices, labels)
        return self if tiles is self._tiles else self._of(tiles)

    def with_labels(self, labels: Any, weights: Any = None, indices: Any = None) -> Regions:
        """A new task with exactly these labels of tiles, N×side×side.

        Raises ValueError for weights: tiles of one picture are trained together, and count alike.
        """
        if weights is not None:
            raise ValueError(
                "weights of tiles are not supported, since a picture is trained as a whole: leave "
                "tiles out instead"
            )
        return self._of(self._tiles.with_labels(labels, None, indices))

    def _of(self, tiles: Pool) -> Regions:
        """The same task with the labels of a pool of tiles."""
        count = self._grid[0] * self._grid[1]
        pictures, row_N = (tiles.indices // count).unique(return_inverse=True)
        shape = (len(pictures) * count, self.side, self.side)
        parts = torch.full(shape, UNMARKED, dtype=tiles.targets.dtype)
        parts[row_N * count + tiles.indices % count] = tiles.targets
        masks = self._joined(parts)
        # without a labelled pixel the mean over labelled pixels is not a number
        if (has_any := (masks != UNMARKED).flatten(1).any(1)).any():
            masks, pictures = masks[has_any], pictures[has_any]
        task = label_task(self.task).with_labels(masks, indices=pictures.numpy())
        return replace(self, task=task, _tiles=tiles)

    def _cut(self, masks: Tensor) -> Tensor:
        """Masks P×H×W as tiles (P·rows·columns)×side×side."""
        rows, columns = self._grid
        parts = masks.reshape(len(masks), rows, self.side, columns, self.side)
        return parts.transpose(2, 3).reshape(-1, self.side, self.side)

    def _joined(self, parts: Tensor) -> Tensor:
        """The opposite of `_cut`."""
        rows, columns = self._grid
        grid = parts.reshape(-1, rows, columns, self.side, self.side).transpose(2, 3)
        return grid.reshape(-1, rows * self.side, columns * self.side)

    def _classes(self) -> str:
        """The classes of labelled pixels, in words."""
        classes = self._tiles.targets.unique().tolist()
        shown = ", ".join(str(one) for one in classes if one != UNMARKED)
        return shown if len(shown) < 80 else f"{classes[0]} to {classes[-1]}"

    @cached_property
    def _partly(self) -> np.ndarray:
        """The index of the first picture with labelled pixels and others; empty where none has.

        Raises ValueError where no pixel of any picture is labelled.
        """
        inner = label_task(self.task)
        known = np.asarray(inner.known())
        unmarked = (torch.as_tensor(inner.labels(known)) == UNMARKED).flatten(1)
        if len(known) and unmarked.all():
            raise ValueError(
                f"no pixel of the {len(self._tiles.indices):,} labelled tiles has a class, all are "
                f"{UNMARKED}, and nothing can be learnt from them: have the answer give classes, "
                "or buy other tiles"
            )
        return known[(unmarked.any(1) & ~unmarked.all(1)).numpy()][:1]

    def _try_criterion(self, model: Any) -> None:
        """Raise ValueError where the loss of a picture depends on pixels that nobody labelled."""
        if not len(first := self._partly):
            return
        inner = label_task(self.task)
        outputs, masks = inner.outputs(model, inner.inputs(first)), inner.labels(first)
        masks = torch.as_tensor(masks)
        hidden = masks == UNMARKED
        try:
            inner.losses(outputs, masks.where(~hidden, masks[~hidden][0]))
        except IndexError:
            return  # of the classes that were answered: the loss says so

        def other(values: Tensor) -> Tensor:
            classes = torch.arange(values.shape[1], dtype=values.dtype)[:, None, None]
            return torch.where(hidden[:, None], values + classes + 1, values)

        try:
            before = inner.losses(outputs, masks)
            after = inner.losses(tree.map(other, outputs), masks)
        except (IndexError, RuntimeError) as error:
            raise ValueError(_COUNTS.format(f"fails at them ({error})")) from error
        if not torch.allclose(before, after, rtol=1e-4, atol=0, equal_nan=True):
            raise ValueError(_COUNTS.format("counts them"))
        self._try_dilution(outputs, masks, before)
        self._tried.add("criterion")

    def _try_dilution(self, outputs: Any, masks: Tensor, before: Tensor) -> None:
        """Raise ValueError where more pixels that nobody labelled make a loss smaller."""
        twice = torch.cat([masks, torch.full_like(masks, UNMARKED)], 1)
        try:
            more = label_task(self.task).losses(
                tree.map(lambda values: torch.cat([values, values], 2), outputs), twice
            )
        except (IndexError, RuntimeError, ValueError):
            return  # a criterion for pictures of one size alone
        if not torch.allclose(before, more, rtol=1e-3, atol=0, equal_nan=True):
            raise ValueError(_COUNTS.format("divides by their number"))


_COUNTS = (
    f"pixels that nobody labelled have the target {UNMARKED}, and the criterion {{}}: have it "
    "leave them out, as torch's cross_entropy does"
)
