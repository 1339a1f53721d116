"""Regions: tiles of pictures as the examples that are bought."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import LabelBudgetError, Ledger, apply, seeded
from shoestring.kit import AdamW, SkippedWarning, Supervised, Training, train
from shoestring.label import (
    Badge,
    Bald,
    Clustered,
    KCentre,
    LeastConfident,
    Listed,
    Margin,
    PredictiveEntropy,
    ProbCover,
    Random,
    Regions,
    Tile,
    Typical,
    Worthiest,
    purchases,
)


class Dots(nn.Module):
    """Logits of a pixel that are its own channels, as a convolution of one pixel says."""

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.last = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.dirac_(self.last.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        """N×C×H×W."""
        return self.last(pictures)


def pictures_of(pixels: Tensor, known: int = 0, **settings: Any) -> Supervised:
    """A task with pictures N×2×H×W, the last `known` with a mask; a pixel's class is its sign."""
    masks = (pixels[:, 1] > pixels[:, 0]).long()
    count = len(pixels) - known
    return Supervised(
        train=(pixels[count:], masks[count:]),
        validation=(pixels, masks),
        test=(pixels, masks),
        unlabelled=pixels[:count],
        batch_size=2,
        merit=lambda outputs, targets: (outputs.argmax(1) == targets).mean((1, 2)),
        **settings,
    )


def regions_of(pixels: Tensor, known: int = 0, side: int = 2, **settings: Any) -> Regions:
    masks = (pixels[:, 1] > pixels[:, 0]).long()[: len(pixels) - known]
    return Regions(task=pictures_of(pixels, known), side=side, answer=masks, **settings)


def drawn(count: int = 3, height: int = 4, width: int = 6, seed: int = 0) -> Tensor:
    with seeded(seed):
        return torch.randn(count, 2, height, width)


def test_tiles_are_numbered_picture_by_picture_and_row_by_row():
    tiles = regions_of(drawn(), known=1)
    assert tiles.pool().tolist() == list(range(12)) and tiles.known().tolist() == list(
        range(12, 18)
    )
    assert tiles.tiles([0, 2, 3, 7]) == [
        Tile(0, 0, 0, 2), Tile(0, 0, 4, 2), Tile(0, 2, 0, 2), Tile(1, 0, 2, 2)
    ]  # fmt: skip
    whole = tiles.task.train[1][0]  # type: ignore[attr-defined]
    assert torch.equal(tiles.labels([16])[0], whole[2:4, 2:4])
    assert tiles.left() is None and not tiles.task.left()  # type: ignore[attr-defined]


def test_a_tile_is_answered_as_part_of_its_picture():
    """A network that looks around sees what lies beyond the tile."""
    pixels = drawn()
    with seeded(0):
        model = nn.Conv2d(2, 2, 3, padding=1)
    tiles = regions_of(pixels)
    given = tiles.inputs([5, 0, 13])
    assert [len(one) for one in given] == [2, 3, 3], "two pictures for three tiles"
    with torch.no_grad():
        whole = model(pixels)
    wanted = torch.stack([whole[0, :, 2:4, 4:6], whole[0, :, 0:2, 0:2], whole[2, :, 0:2, 2:4]])
    torch.testing.assert_close(tiles.outputs(model, given), wanted)


def test_the_loss_counts_the_pixels_of_bought_tiles_alone():
    pixels = drawn()
    tiles = regions_of(pixels).buy([1, 14])
    assert tiles.known().tolist() == [1, 14] and 1 not in tiles.pool() and len(tiles.pool()) == 16
    ((inputs, masks),) = tiles.batches("train")
    assert len(masks) == 2 and int((masks >= 0).sum()) == 8
    model = Dots()
    loss = tiles.loss(model, (inputs, masks))
    truth = (pixels[:, 1] > pixels[:, 0]).long()
    parts = [(0, slice(0, 2), slice(2, 4)), (2, slice(0, 2), slice(4, 6))]
    wanted = functional.cross_entropy(
        torch.stack([pixels[n, :, h, w] for n, h, w in parts]),
        torch.stack([truth[n, h, w] for n, h, w in parts]),
    )
    assert float(loss.detach()) == pytest.approx(float(wanted))
    assert torch.equal(tiles.labels([14])[0], truth[2, 0:2, 4:6])


def test_tiles_bought_later_join_those_of_their_picture():
    pixels = drawn()
    tiles = regions_of(pixels, known=1).buy([0]).buy([5, 0, 11])
    assert tiles.known().tolist() == [*range(12, 18), 0, 5, 11]
    masks = dict(zip(tiles.task.known().tolist(), tiles.task.train[1], strict=True))  # type: ignore[attr-defined]
    truth = (pixels[:, 1] > pixels[:, 0]).long()
    assert torch.equal(masks[2], truth[2]), "the picture that came with a mask keeps it"
    assert torch.equal(
        masks[0] >= 0, torch.tensor([[1, 1, 0, 0, 0, 0]] * 2 + [[0, 0, 0, 0, 1, 1]] * 2) > 0
    )
    assert torch.equal(masks[0][masks[0] >= 0], truth[0][masks[0] >= 0])
    others = tiles.with_labels(torch.ones(1, 2, 2).long(), indices=[3])
    assert others.known().tolist() == [3] and others.labels([3]).sum() == 4


def test_the_tile_with_the_most_doubt_comes_first():
    pixels = torch.zeros(2, 2, 4, 4)
    pixels[:, 0] = 9.0  # sure everywhere
    pixels[1, :, 2:, :2] = 0.0  # and in doubt at one tile,
    pixels[0, :, 0, 2] = 0.0  # and at one pixel of another
    tiles = regions_of(pixels)
    for technique in (Margin, LeastConfident, PredictiveEntropy):
        chosen = technique(batch=Worthiest()).choose(Dots(), tiles, 2)
        assert chosen.tolist() == [6, 1]
    dear = Listed((1.0,) * 6 + (9.0,) + (1.0,))
    assert Margin(batch=Worthiest(), prices=dear).choose(Dots(), tiles, 1).tolist() == [1]


def test_against_a_slow_reference():
    """Eleven hundred tiles, which are three chunks, in pictures that chunks share."""
    pixels = drawn(11, 20, 20)
    tiles = regions_of(pixels, side=2).buy([7, 200])
    top = pixels.softmax(1).sort(1).values
    doubt = (1 - (top[:, 1] - top[:, 0])).numpy()
    worth = {
        index: doubt[one.picture, one.top : one.top + 2, one.left : one.left + 2].sum()
        for index, one in enumerate(tiles.tiles(range(1100)))
    }
    wanted = sorted(set(worth) - {7, 200}, key=lambda index: -worth[index])[:30]
    assert Margin(batch=Worthiest()).choose(Dots(), tiles, 30).tolist() == wanted


def test_a_batch_is_spread_by_the_features_of_tiles():
    """Of fifty equal tiles in doubt and three other kinds of them, one of each kind is taken."""
    pixels = torch.zeros(4, 2, 8, 28)
    for kind, at in enumerate([(0, 0), (1, 4), (3, 24)]):
        pixels[at[0], :, 4:, at[1] : at[1] + 4] = 1.0 + kind
    tiles = regions_of(pixels, side=4)
    with seeded(0):
        chosen = Margin(batch=Clustered(100)).choose(Dots(), tiles, 4)
    assert {7, 22, 55} < {int(one) for one in chosen}


@pytest.mark.parametrize(
    "technique", [Random(), Badge(), Bald(), KCentre(), ProbCover(), Typical()]
)
def test_every_technique_takes_tiles(technique: Any):
    with seeded(0):
        model = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.Dropout(0.2), nn.Conv2d(6, 2, 1))
    tiles = regions_of(drawn(), known=1)
    with seeded(0):
        chosen = technique.choose(model, tiles.sealed(), 5)
    assert len(set(chosen.tolist())) == 5 and set(chosen.tolist()) <= set(range(12))


def test_coarse_features_and_those_without_a_place():
    tiles = regions_of(drawn(2, 4, 4))
    given = tiles.inputs([3, 4])
    coarse = torch.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)  # a cell for each tile
    assert torch.equal(
        tiles.of_examples(coarse, given)[:, :, 0, 0],
        torch.stack([coarse[0, :, 1, 1], coarse[1, :, 0, 0]]),
    )
    last = tiles.of_examples(coarse.movedim(1, 3), given, 3)
    assert torch.equal(last.movedim(3, 1), tiles.of_examples(coarse, given))
    with pytest.warns(SkippedWarning, match="the tiles of a picture all have the same"):
        assert torch.equal(tiles.of_examples(coarse.mean((2, 3)), given), coarse.mean((2, 3)))


def test_a_person_is_asked_for_tiles_once():
    asked: list[Tile] = []

    def answer(tiles: Any) -> Tensor:
        asked.extend(tiles)
        return torch.ones(len(tiles), 2, 2).long()

    tiles = Regions(task=pictures_of(drawn()), side=2, answer=answer, limit=3)
    bought = tiles.buy([4, 7])
    tiles.buy([4])
    assert asked == [Tile(0, 2, 2, 2), Tile(1, 0, 2, 2)] and bought.left() == 1
    with pytest.raises(LabelBudgetError, match="2 labels were asked for, and 1 more"):
        bought.buy([0, 1])
    with pytest.raises(LabelBudgetError, match="nobody to ask"):
        Regions(task=pictures_of(drawn()), side=2).buy([0])


def test_apply_counts_tiles_and_the_model_learns(tmp_path: Path):
    tiles = regions_of(drawn(4, 8, 8), known=0, side=4)
    with seeded(0), torch.no_grad():
        model = nn.Sequential(nn.Conv2d(2, 2, 1))
        model[0].weight.copy_(-torch.eye(2)[:, :, None, None])  # type: ignore[operator]
    ledger = Ledger(tmp_path / "ledger.jsonl")
    small = apply(
        Margin(labels=6, rounds=2, training=Training(60, AdamW(0.1))), model, tiles, ledger=ledger
    )
    assert ledger.rows()[-1].cost_after.labels == 6
    assert tiles.score(small, "validation") > 0.9 > tiles.score(model, "validation")
    sizes = [len(task.known()) for _, task in purchases(Random(labels=6, rounds=3), model, tiles)]
    assert sizes == [2, 4, 6]


def test_a_criterion_that_counts_unmarked_pixels_is_refused():
    def counts(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets.clamp(min=0))

    def fails(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, ignore_index=255)

    for criterion, why in ((counts, "counts them"), (fails, "fails at them")):
        task = Regions(
            task=replace(pictures_of(drawn()), criterion=criterion),
            side=2,
            answer=torch.zeros(3, 4, 6).long(),
        )
        with pytest.raises(ValueError, match=f"have the target -100, and the criterion {why}"):
            train(Dots(), task.buy([0]), Training(1))


def test_a_criterion_that_divides_by_unmarked_pixels_is_refused():
    def dilutes(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none").mean()

    def weighs(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, torch.tensor([1.0, 3.0]))

    masks = torch.zeros(3, 4, 6).long()
    task = replace(pictures_of(drawn()), criterion=dilutes)
    with pytest.raises(ValueError, match="the criterion divides by their number"):
        train(Dots(), Regions(task=task, side=2, answer=masks).buy([0]), Training(1))
    task = replace(pictures_of(drawn()), criterion=weighs)
    train(Dots(), Regions(task=task, side=2, answer=masks).buy([0]), Training(1))


def test_tiles_of_which_nothing_is_marked():
    """They are paid; pictures of such tiles alone are not trained on, and one marked is enough."""
    pixels = drawn(count=4)
    masks = torch.full((4, 4, 6), -100)
    task = replace(pictures_of(pixels), batch_size=1)
    none = Regions(task=task, side=2, answer=masks)
    with pytest.raises(ValueError, match="no pixel of the 3 labelled tiles has a class"):
        train(Dots(), none.buy([0, 7, 14]), Training(1))
    masks[3, :2, :2] = 1
    one = Regions(task=task, side=2, answer=masks).buy([0, 7, 14]).buy([18])
    assert one.known().tolist() == [0, 7, 14, 18] and len(one.pool()) == 20
    assert [len(batch[1]) for batch in one.batches("train")] == [1]
    trained = train(Dots(), one, Training(8))
    assert all(bool(weight.isfinite().all()) for weight in trained.parameters())
    # nor is the criterion blamed for what was not marked of the first picture
    last = Regions(task=pictures_of(pixels), side=2, answer=masks)
    Margin(labels=24, rounds=1, training=Training(2))(Dots(), last)


@pytest.mark.parametrize("label", [255, -1, 2])
def test_a_class_of_a_pixel_that_the_network_has_not_is_told(label: int):
    masks = torch.zeros(3, 4, 6).long()
    masks[0, 0, 1] = label
    tiles = Regions(task=pictures_of(drawn()), side=2, answer=masks).buy([0, 9])
    with pytest.raises(
        ValueError, match=rf"have the classes .*{label}.*: answer with classes that"
    ):
        train(Dots(), tiles, Training(1))


@pytest.mark.parametrize(
    ("height", "width", "told"),
    [
        (4, 6, "of 4×6: give side=2, or pad"),
        (13, 7, "of 13×7: pad pictures"),
        (24, 18, "side=2 or 3 or 6"),
    ],
)
def test_the_sides_that_are_named_divide_the_pictures(height: int, width: int, told: str):
    with pytest.raises(ValueError, match=told):
        regions_of(drawn(1, height, width), side=5)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: regions_of(drawn(), side=4), "tiles of 4 pixels do not divide pictures of 4×6"),
        (lambda: regions_of(drawn(), side=0), "side=0: give the side"),
        (lambda: regions_of(drawn()).with_labels([[[1, 1]] * 2], [1.0], [0]), "weights of tiles"),
        (lambda: regions_of(drawn()).labels([0]), "index 0 has no label"),
        (lambda: regions_of(drawn()).buy([18]), "there is no index 18"),
        (lambda: regions_of(drawn()).inputs([-1]), "-1 is none"),
        (
            lambda: Regions(task=pictures_of(drawn()), side=2, answer=torch.zeros(3, 4, 4)),
            "give a mask of 4×6 for each of 3",
        ),
        (
            lambda: Regions(
                task=replace(pictures_of(drawn()), answer=torch.zeros(3, 4, 6).long()).buy([1])
            ),
            "were bought or changed already",
        ),
        (
            lambda: regions_of(drawn()).outputs(
                nn.Conv2d(2, 2, 2, 2), regions_of(drawn()).inputs([0])
            ),
            "so enlarge it in the network",
        ),
    ],
)  # fmt: skip
def test_bad_input(made: Any, why: str):
    with pytest.raises(ValueError, match=why):
        made()


def test_labels_that_are_no_masks():
    pixels = drawn()
    plain = Supervised(
        train=(pixels, np.arange(3)), validation=(pixels, np.arange(3)), unlabelled=pixels
    )
    with pytest.raises(ValueError, match="regions are of masks N×H×W"):
        Regions(task=plain, side=2)
    with pytest.raises(ValueError, match="of the same height and width"):
        Regions(task=replace(plain, train=(pixels, torch.zeros(3, 2, 3).long())), side=1)
