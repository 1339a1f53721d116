"""Dense maps of boxes, the loss of both, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pytest import approx

from shoestring.kit.boxes import CentreLoss, box_rows, boxes_task, decode, maps_of, overlaps
from shoestring.kit.boxes.maps import HEAT, OFFSETS, SIDES

BOXES = [[(0, 8.0, 4.0, 20.0, 12.0), (1, 40.0, 20.0, 8.0, 16.0)], []]


def perfect(rows: torch.Tensor, classes: int, size: tuple[int, int], stride: int):
    """The outputs of a network that knows the boxes."""
    maps = maps_of(rows, classes, size, stride)
    picture, kind, row, column = maps.centres
    outputs = {
        HEAT: torch.full((len(rows), classes, *size), -9.0),
        SIDES: torch.zeros(len(rows), 2, *size),
        OFFSETS: torch.zeros(len(rows), 2, *size),
    }
    outputs[HEAT][picture, kind, row, column] = 9.0
    outputs[SIDES][picture, :, row, column] = maps.sides
    outputs[OFFSETS][picture, :, row, column] = maps.offsets
    return outputs


def test_the_maps_of_two_boxes_by_hand():
    maps = maps_of(box_rows(BOXES), 2, (12, 16), 4)
    # centres at (18, 10) and (44, 28) pixels: cells (4, 2) and (11, 7), half and none left over
    assert [one.tolist() for one in maps.centres] == [[0, 0], [0, 1], [2, 7], [4, 11]]
    assert maps.offsets.tolist() == [[0.5, 0.5], [0, 0]]
    assert maps.sides.exp().tolist() == [approx([5, 3]), approx([2, 4])]
    assert maps.heat.shape == (2, 2, 12, 16) and maps.heat[1].max() == 0
    assert maps.heat[0, 0, 2, 4] == 1 and maps.heat[0, 1, 7, 11] == 1
    deviation = 5 * (0.3 / 1.7) / 2  # of five cells of width
    assert maps.heat[0, 0, 2, 6].item() == approx(math.exp(-((2 / deviation) ** 2) / 2), rel=1e-4)
    assert maps.complete.tolist() == [True, True]


def test_neighbours_share_the_higher_heat():
    rows = box_rows([[(0, 0, 0, 40, 40), (0, 8, 0, 40, 40)]])
    together = maps_of(rows, 1, (12, 16), 4).heat
    apart = [maps_of(rows[:, [number, 2]], 1, (12, 16), 4).heat for number in (0, 1)]
    assert torch.equal(together, torch.maximum(*apart))


def test_decoding_gives_the_boxes_back():
    rows = box_rows(BOXES)
    found = decode(perfect(rows, 2, (12, 16), 4), stride=4, least=0.1)
    assert found[0].boxes == approx(np.array([box[1:] for box in BOXES[0]]), abs=1e-4)
    assert found[0].kinds.tolist() == [0, 1] and (found[0].scores > 0.99).all()
    assert len(found[1].boxes) == 0


def test_a_centre_outside_the_picture_is_at_its_edge():
    maps = maps_of(box_rows([[(0, 60.0, 40.0, 20.0, 20.0)]]), 1, (12, 16), 4)
    assert [one.tolist() for one in maps.centres] == [[0], [0], [11], [15]]
    assert ((maps.offsets >= 0) & (maps.offsets <= 1)).all()


def test_of_two_boxes_of_a_class_at_one_place_the_surer_stays():
    outputs = {
        HEAT: torch.full((1, 2, 4, 8), -9.0),
        SIDES: torch.full((1, 2, 4, 8), math.log(6.0)),
        OFFSETS: torch.zeros(1, 2, 4, 8),
    }
    outputs[HEAT][0, 0, 1, 1], outputs[HEAT][0, 0, 1, 3] = 2.0, 1.0
    outputs[HEAT][0, 1, 1, 3] = 0.5
    # of a class: moved by two cells of six, 4 × 6 of 48
    assert len(decode(outputs, stride=4, least=0.1, overlap=0.45)[0].boxes) == 2
    assert len(decode(outputs, stride=4, least=0.1, overlap=0.55)[0].boxes) == 3
    assert len(decode(outputs, stride=4, least=0.1, overlap=0.55, most=1)[0].boxes) == 1


def test_the_loss_of_a_perfect_answer_is_near_none():
    rows = box_rows(BOXES)
    outputs = perfect(rows, 2, (12, 16), 4)
    loss = CentreLoss(stride=4)
    assert loss(outputs, rows) < 1e-5
    moved = {**outputs, SIDES: outputs[SIDES] + 0.25}
    assert loss(moved, rows).item() == approx(0.5, abs=1e-4), "a quarter for each of two sides"
    blind = {**outputs, HEAT: torch.full_like(outputs[HEAT], -9.0)}
    assert loss(blind, rows).item() == approx(9.0, rel=1e-2)


def test_the_loss_goes_back_to_every_map():
    rows = box_rows(BOXES)
    outputs = {name: one.clone().requires_grad_() for name, one in
               perfect(rows, 2, (12, 16), 4).items()}  # fmt: skip
    with torch.no_grad():
        for one in outputs.values():
            one += torch.randn(one.shape, generator=torch.Generator().manual_seed(0)) / 9
    CentreLoss(stride=4)(outputs, rows).backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in outputs.values())


def test_a_class_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="a box has class 1, and there are 1 classes"):
        maps_of(box_rows(BOXES), 1, (12, 16), 4)


def test_pictures_without_a_box_have_a_loss_too():
    rows = box_rows([[], []])
    outputs = {HEAT: torch.zeros(2, 1, 4, 4), SIDES: torch.zeros(2, 2, 4, 4),
               OFFSETS: torch.zeros(2, 2, 4, 4)}  # fmt: skip
    assert CentreLoss(stride=4)(outputs, rows).item() == approx(32 * 0.25 * math.log(2))


def test_a_box_moved_by_two_deviations_overlaps_by_seven_tenths():
    # 400 pixels of width are 100 cells: wide enough for a Gaussian of more than the least width
    heat = maps_of(box_rows([[(0, 0.0, 0.0, 400.0, 400.0)]]), 1, (100, 100), 4).heat[0, 0, 50]
    drop = -torch.log(heat[60]).item()  # ten cells from the centre: (10 / deviation)² / 2
    deviation = 10 / math.sqrt(2 * drop)
    box = np.array([[0.0, 0.0, 100.0, 100.0]])
    assert overlaps(box, box + np.array([2 * deviation, 0, 0, 0])).item() == approx(0.7, abs=1e-4)


def test_two_boxes_in_one_cell_are_both_in_the_loss():
    maps = maps_of(box_rows([[(0, 8, 8, 8, 8), (0, 9, 9, 6, 6)]]), 1, (8, 8), 4)
    assert [one.tolist() for one in maps.centres] == [[0, 0], [0, 0], [3, 3], [3, 3]]
    assert maps.sides.exp().tolist() == [approx([2, 2]), approx([1.5, 1.5])]


def test_a_class_that_the_measured_pictures_lack_has_no_score_of_its_own():
    pictures = torch.zeros(1, 3, 32, 32)
    both = pictures, box_rows([[(0, 0, 0, 8, 8), (1, 16, 16, 8, 8)]])
    one = pictures, box_rows([[(0, 0, 0, 8, 8)]])
    for splits, named in (
        ({"train": both, "validation": both, "test": both}, {"a", "b"}),
        ({"train": both, "validation": one, "test": both}, {"a"}),
        ({"train": both, "validation": both, "test": one}, {"a"}),
        ({"train": one, "validation": both}, {"a", "b"}),
    ):
        assert set(boxes_task(splits, names=("a", "b"), name="s").metrics) == named
