"""Digits that a program draws, whose labels are known because it drew them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

Stroke = Sequence[tuple[float, float]]

_WAYS: dict[int, list[list[Stroke]]] = {
    0: [[[(0.5, 0), (0.15, 0.2), (0.1, 0.6), (0.4, 1), (0.8, 0.75), (0.85, 0.3), (0.5, 0)]]],
    1: [
        [[(0.5, 0), (0.5, 0.5), (0.5, 1)]],
        [[(0.3, 0.25), (0.45, 0.1), (0.55, 0)], [(0.55, 0), (0.55, 0.5), (0.55, 1)]],
    ],
    2: [
        [
            [(0.1, 0.25), (0.3, 0.02), (0.7, 0.05), (0.8, 0.3), (0.5, 0.65), (0.1, 1)],
            [(0.1, 1), (0.5, 0.97), (0.9, 1)],
        ],
        [
            [
                *((0.1, 0.2), (0.4, 0), (0.75, 0.15), (0.65, 0.5), (0.3, 0.9)),
                *((0.1, 0.85), (0.25, 0.75), (0.6, 0.95), (0.95, 0.9)),
            ]
        ],
    ],
    3: [
        [
            [(0.15, 0.1), (0.5, 0), (0.8, 0.2), (0.6, 0.43), (0.4, 0.47)],
            [(0.4, 0.47), (0.75, 0.55), (0.85, 0.8), (0.5, 1), (0.1, 0.9)],
        ]
    ],
    4: [
        [
            [(0.25, 0), (0.15, 0.3), (0.15, 0.55)],
            [(0.15, 0.55), (0.5, 0.53), (0.9, 0.5)],
            [(0.75, 0.05), (0.7, 0.5), (0.65, 1)],
        ],
        [
            [(0.6, 0), (0.35, 0.35), (0.1, 0.65)],
            [(0.1, 0.65), (0.5, 0.65), (0.9, 0.65)],
            [(0.65, 0), (0.65, 0.5), (0.65, 1)],
        ],
    ],
    5: [
        [
            [(0.85, 0.02), (0.5, 0.02), (0.25, 0.05)],
            [(0.25, 0.05), (0.22, 0.25), (0.2, 0.42)],
            [(0.2, 0.42), (0.55, 0.38), (0.82, 0.6), (0.7, 0.92), (0.35, 1), (0.1, 0.88)],
        ]
    ],
    6: [
        [
            [
                *((0.7, 0), (0.35, 0.25), (0.15, 0.65), (0.35, 0.98)),
                *((0.7, 0.9), (0.75, 0.65), (0.45, 0.55), (0.2, 0.75)),
            ]
        ],
        [[(0.55, 0), (0.25, 0.4), (0.2, 0.8), (0.5, 1), (0.75, 0.8), (0.6, 0.6), (0.25, 0.7)]],
    ],
    7: [
        [[(0.1, 0.05), (0.5, 0.03), (0.88, 0.03)], [(0.88, 0.03), (0.65, 0.45), (0.45, 1)]],
        [
            [(0.1, 0.05), (0.5, 0.03), (0.88, 0.03)],
            [(0.88, 0.03), (0.65, 0.45), (0.45, 1)],
            [(0.35, 0.5), (0.6, 0.5), (0.85, 0.48)],
        ],
    ],
    8: [
        [
            [
                *((0.75, 0.15), (0.5, 0), (0.25, 0.2), (0.5, 0.48), (0.75, 0.75)),
                *((0.5, 1), (0.22, 0.8), (0.45, 0.5), (0.72, 0.25), (0.68, 0.08)),
            ]
        ],
        [
            [(0.5, 0), (0.25, 0.2), (0.5, 0.45), (0.75, 0.2), (0.5, 0)],
            [(0.5, 0.45), (0.2, 0.75), (0.5, 1), (0.8, 0.75), (0.5, 0.45)],
        ],
    ],
    9: [
        [
            [(0.75, 0.2), (0.45, 0), (0.2, 0.25), (0.4, 0.48), (0.7, 0.35), (0.75, 0.15)],
            [(0.75, 0.15), (0.72, 0.6), (0.65, 1)],
        ],
        [
            [
                *((0.8, 0.15), (0.5, 0.02), (0.25, 0.25), (0.45, 0.45)),
                *((0.75, 0.2), (0.75, 0.6), (0.5, 0.95), (0.25, 1)),
            ]
        ],
    ],
}
"""Ways to write a digit: strokes, each a curve through points in a box of 1×1, x right, y down."""

_PIECES = 8  # straight pieces between two points of a curve
_SIDE, _BOX = 28, 20.0  # of MNIST's pictures, and of the digit in them


def drawn_digits(count: int, *, seed: int = 0, shaking: float = 0.045) -> tuple[Tensor, Tensor]:
    """Pictures N×1×28×28 in 0..1 and their digits N, in an order drawn at random.

    Each digit is written in one or two ways, as often as the others. The points of its strokes are
    moved at random, the whole is widened, slanted and turned, and a round pen goes along it. Size
    and place are those of MNIST: a box of 20 pixels, the centre of mass in the middle. The ways,
    the widths of the pen and how far digits slant were written down by somebody who knows how
    digits look, and were not fitted to data. In about one of 2,000 pictures a stroke leaves at one
    side and comes in at the other.

    `count`: how many, 20 or more; where it is no multiple of 20, as many as the last one below it.
    `seed`: for the random parts.
    `shaking`: the standard deviation of a point, as a share of the digit's height, 0 to 1.

    Raises ValueError for numbers out of range.
    """
    if not isinstance(count, int) or count < 20 or not 0 <= shaking <= 1:
        raise ValueError(
            f"{count!r} digits with points moved by {shaking!r}: give 20 or more, a whole number, "
            "and 0 to 1"
        )
    draw = torch.Generator().manual_seed(seed)
    pictures, digits = list[Tensor](), list[int]()
    for digit, ways in _WAYS.items():
        for strokes in ways:
            each = 2 * (count // 20) // len(ways)
            pictures.append(_written(strokes, each, shaking, draw))
            digits += [digit] * each
    order = torch.randperm(len(digits), generator=draw)
    return torch.cat(pictures)[order], torch.tensor(digits)[order]


def _written(
    strokes: Sequence[Stroke], count: int, shaking: float, draw: torch.Generator
) -> Tensor:
    """So many pictures of one way to write a digit, N×1×28×28."""
    # A point that two strokes share is moved for both.
    names = {point: number for number, point in enumerate(dict.fromkeys(chain(*strokes)))}
    points = torch.tensor(list(names)) + shaking * torch.randn(count, len(names), 2, generator=draw)
    points = _bent(points, draw)
    lines = [_curve(points[:, [names[point] for point in stroke]]) for stroke in strokes]
    starts = torch.cat([line[:, :-1] for line in lines], 1)
    ends = torch.cat([line[:, 1:] for line in lines], 1)
    pen = 0.9 + 1.1 * torch.rand(count, generator=draw)  # half the width of a line, in pixels
    both = torch.cat([starts, ends], 1)
    low, high = both.amin(1, keepdim=True), both.amax(1, keepdim=True)
    scale = ((_BOX + 1 - 2 * pen) / (high - low).amax((1, 2)))[:, None, None]
    starts, ends = ((one - (low + high) / 2) * scale for one in (starts, ends))
    return _centred(_inked(starts, ends, pen))


def _bent(points: Tensor, draw: torch.Generator) -> Tensor:
    """Points N×P×2 around the middle, each digit widened, slanted and turned."""
    count = len(points)
    width = 0.55 + 0.4 * torch.rand(count, 1, generator=draw)
    slant = 0.1 + 0.25 * torch.randn(count, 1, generator=draw)
    turn = 0.12 * torch.randn(count, 1, generator=draw)
    y = points[..., 1] - 0.5
    x = (points[..., 0] - 0.5) * width - slant * y
    return torch.stack([turn.cos() * x - turn.sin() * y, turn.sin() * x + turn.cos() * y], -1)


def _curve(points: Tensor) -> Tensor:
    """Straight pieces along a smooth curve through points N×P×2 (Catmull & Rom 1974)."""
    first = 2 * points[:, :1] - points[:, 1:2]
    last = 2 * points[:, -1:] - points[:, -2:-1]
    whole = torch.cat([first, points, last], 1)
    a, b, c, d = (whole[:, at : whole.shape[1] - 3 + at, None] for at in range(4))
    t = torch.arange(_PIECES)[:, None] / _PIECES
    between = b + t / 2 * ((c - a) + t * ((2 * a - 5 * b + 4 * c - d) + t * (3 * (b - c) + d - a)))
    return torch.cat([between.flatten(1, 2), points[:, -1:]], 1)


def _inked(starts: Tensor, ends: Tensor, pen: Tensor) -> Tensor:
    """Pictures of pieces from `starts` to `ends`, N×S×2 in pixels from the middle."""
    places = torch.arange(_SIDE) - (_SIDE - 1) / 2
    grid = torch.cartesian_prod(places, places).flip(1)  # x and y of each pixel
    nearest = torch.full((len(starts), len(grid)), float("inf"))
    for start, end in zip(starts.unbind(1), ends.unbind(1), strict=True):
        along, to_pixel = (end - start)[:, None], grid - start[:, None]
        share = (to_pixel * along).sum(-1) / along.square().sum(-1).clamp(min=1e-9)
        away = to_pixel - share.clamp(0, 1)[..., None] * along
        nearest = torch.minimum(nearest, away.square().sum(-1))
    ink = ((pen[:, None] - nearest.sqrt()) / 1.2 + 0.5).clamp(0, 1)
    return ink.unflatten(1, (1, _SIDE, _SIDE))


def _centred(pictures: Tensor) -> Tensor:
    """The same pictures, moved by whole pixels so that the centre of mass is in the middle."""
    places = torch.arange(_SIDE) - (_SIDE - 1) / 2
    mass = pictures.sum((1, 2, 3))
    down = (pictures.sum((1, 3)) @ places / mass).round().long().tolist()
    right = (pictures.sum((1, 2)) @ places / mass).round().long().tolist()
    moved = [
        one.roll((-by_y, -by_x), (1, 2))
        for one, by_y, by_x in zip(pictures, down, right, strict=True)
    ]
    return torch.stack(moved)
