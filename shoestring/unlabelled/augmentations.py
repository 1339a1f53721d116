"""Changes of inputs that keep what they show, weak and strong, of pictures, texts and tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit import mirrored

Augmentation = Callable[..., Tensor | tuple[Tensor, ...]]
"""Takes the inputs of a batch, and returns them changed: one tensor, or a tuple of several."""


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name} of {share!r}: give a share, 0 to 1")


def _warped(images: Tensor, matrices_N23: Tensor) -> Tensor:
    """The pictures, each through an affine map of its own."""
    grid = functional.affine_grid(matrices_N23.to(images), list(images.shape), align_corners=False)
    border = "zeros" if images.shape[1] == 1 else "reflection"
    return functional.grid_sample(images, grid, padding_mode=border, align_corners=False)


@dataclass(frozen=True)
class Shifted:
    """Move each picture N×C×H×W at random, by up to a share of its side, and by parts of pixels.

    What comes in at the border is 0 in pictures of one channel, and mirrored in others.

    `share`: of each side, 0 to 1.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        _check_share("a shift", self.share)

    def __call__(self, images: Tensor) -> Tensor:
        still = torch.eye(2).expand(len(images), 2, 2)
        by = (2 * torch.rand(len(images), 2, 1) - 1) * 2 * self.share
        return _warped(images, torch.cat([still, by], 2))


@dataclass(frozen=True)
class ShiftedMirrored:
    """Move each picture N×C×H×W at random, and mirror half of them horizontally.

    Not for pictures whose mirror image is another class, such as letters.

    `share`: of the longer side by which one is moved at most, 0 to 1.
    """

    share: float = 0.1

    def __call__(self, images: Tensor) -> Tensor:
        return mirrored(Shifted(self.share)(images))


@dataclass(frozen=True)
class Distorted:
    """Turn, scale, shear and move each picture at random, change its light, and cover a square.

    A small relative of RandAugment (Cubuk et al. 2020) and Cutout (DeVries & Taylor 2017): all
    changes are made to every picture, each with a random strength. What comes in at the border is 0
    in pictures of one channel, and mirrored in others. Pictures of three channels change their
    colours too.

    `turn`: the largest angle, in degrees.
    `scale`, `shear`, `shift`: the largest change, as a share of the side.
    `light`: the largest change of contrast and brightness, as a share of the range of the batch.
    `covered`: the side of the square, as a share of the picture's; 0 covers nothing.
    `mirror`: the probability with which a picture is mirrored, 0 to 1.
    """

    turn: float = 20.0
    scale: float = 0.2
    shear: float = 0.2
    shift: float = 0.1
    light: float = 0.3
    covered: float = 0.3
    mirror: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "shear", "shift", "light", "covered", "mirror"):
            _check_share(f"a distortion with {name}", getattr(self, name))

    def __call__(self, images: Tensor) -> Tensor:
        return self._cover(self._light(self._bend(images)))

    def _bend(self, images: Tensor) -> Tensor:
        count = len(images)

        def drawn(most: float) -> Tensor:
            return (2 * torch.rand(count) - 1) * most

        angle = drawn(self.turn * math.pi / 180)
        wide, high = 1 + drawn(self.scale), 1 + drawn(self.scale)
        wide = torch.where(torch.rand(count) < self.mirror, -wide, wide)
        cosine, sine, shear = torch.cos(angle), torch.sin(angle), drawn(self.shear)
        rows = (
            torch.stack([wide * cosine, -sine + shear, drawn(2 * self.shift)], 1),
            torch.stack([sine, high * cosine, drawn(2 * self.shift)], 1),
        )
        return _warped(images, torch.stack(rows, 1))

    def _light(self, images: Tensor) -> Tensor:
        if not self.light or not images.numel():
            return images
        low, high = images.min(), images.max()
        each = (len(images), images.shape[1] if images.shape[1] == 3 else 1, 1, 1)
        contrast = 1 + (2 * torch.rand(each) - 1).to(images) * self.light
        added = (2 * torch.rand(each) - 1).to(images) * self.light * (high - low)
        if images.shape[1] == 1:  # a background of 0 stays what it is
            return torch.minimum(torch.maximum(low + (images - low) * contrast, low), high)
        middle = images.mean((1, 2, 3), keepdim=True)
        return torch.minimum(
            torch.maximum(middle + (images - middle) * contrast + added, low), high
        )

    def _cover(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        side = round(self.covered * max(height, width))
        if not side:
            return images
        top = torch.randint(0, height, (len(images), 1, 1, 1), device=images.device)
        left = torch.randint(0, width, (len(images), 1, 1, 1), device=images.device)
        rows = torch.arange(height, device=images.device).view(1, 1, -1, 1) - top + side // 2
        columns = torch.arange(width, device=images.device).view(1, 1, 1, -1) - left + side // 2
        inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
        grey = images.shape[1] == 1
        fill = images.new_zeros(()) if grey else images.mean((1, 2, 3), keepdim=True)
        return torch.where(inside, fill, images)


@dataclass(frozen=True)
class WordDropout:
    """Leave out words of each text, ids N×T, at random; one word of a text stays.

    Columns of padding at the end are cut off.

    `share`: of the words, 0 to 1.
    `instead`: the id that stands for a word that is left out; 0 is padding.
    """

    share: float = 0.1
    instead: int = 0

    def __post_init__(self) -> None:
        _check_share("a dropout of words", self.share)

    def __call__(self, ids: Tensor) -> Tensor:
        lasts = (ids != 0).any(0).nonzero()
        ids = ids[:, : int(lasts[-1]) + 1 if len(lasts) else 1]
        chance = torch.rand(ids.shape, device=ids.device).masked_fill(ids == 0, -1.0)
        stays = chance >= self.share
        stays |= chance == chance.max(1, keepdim=True).values
        return torch.where(stays | (ids == 0), ids, torch.full_like(ids, self.instead))


@dataclass(frozen=True)
class SwappedFeatures:
    """Replace features of each row by those of other rows of the batch, at random.

    Source: Bahri et al. 2022 (SCARF), section 3.
    Differs: the other rows are those of the batch, and not of all examples.

    Takes one table N×F, or several of the same N, of numbers or of ids.

    `share`: of the features, 0 to 1.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        _check_share("a swap of features", self.share)

    def __call__(self, *tables: Tensor) -> tuple[Tensor, ...]:
        return tuple(map(self._swap, tables))

    def _swap(self, rows: Tensor) -> Tensor:
        flat = rows.reshape(len(rows), -1)
        others = torch.randint(0, max(1, len(flat)), flat.shape, device=flat.device)
        swapped = torch.rand(flat.shape, device=flat.device) < self.share
        return torch.where(swapped, flat.gather(0, others), flat).reshape(rows.shape)


@dataclass(frozen=True)
class Augmentations:
    """A weak and a strong change of inputs, and in words what they are and why.

    `weak`: for what is labelled, and for what labels.
    `strong`: for what the network has to recognise all the same.
    """

    weak: Augmentation
    strong: Augmentation
    why: str


def augmentations(
    inputs: tuple[Tensor, ...], weak: Augmentation | None, strong: Augmentation | None
) -> Augmentations:
    """The changes that were given, and for None those that the kind of the inputs implies.

    One tensor N×C×H×W of real numbers holds pictures; one N×T of integers the ids of texts, with 0
    as padding; tensors N×F tables, where some are real. Pictures are not mirrored: where a mirror
    image shows the same, give `ShiftedMirrored()` and `Distorted(mirror=0.5)`.

    Raises ValueError for inputs of another kind, where a change is not given.
    """
    kind, first, second = _inferred(inputs)
    if kind is None and (weak is None or strong is None):
        shapes = ", ".join(f"{list(one.shape)} of {one.dtype}" for one in inputs)
        raise ValueError(
            f"nothing is known of inputs {shapes} (pictures, ids of texts and tables are): give "
            "weak= and strong=, functions of the inputs of a batch that keep what they show"
        )
    chosen = weak if weak is not None else first
    stronger = strong if strong is not None else second
    assert chosen is not None and stronger is not None
    given = weak is not None and strong is not None
    why = f"{'as given' if given else f'the inputs are {kind}'}: weak {_named(chosen)}, "
    return Augmentations(chosen, stronger, f"{why}strong {_named(stronger)}")


def _inferred(
    inputs: tuple[Tensor, ...],
) -> tuple[str | None, Augmentation | None, Augmentation | None]:
    """The kind of the inputs in words, and its weak and strong change; None for another kind."""
    real = [one.is_floating_point() for one in inputs]
    if len(inputs) == 1 and inputs[0].ndim == 4 and real[0]:
        return "pictures", Shifted(), Distorted()
    if len(inputs) == 1 and inputs[0].ndim == 2 and not real[0]:
        return "ids of texts", WordDropout(0.1), WordDropout(0.4)
    if any(real) and all(one.ndim == 2 for one in inputs):
        return "a table", SwappedFeatures(0.1), SwappedFeatures(0.4)
    return None, None, None


def _named(change: Augmentation) -> str:
    return getattr(change, "__name__", None) or repr(change)
