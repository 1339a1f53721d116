"""The space for a task is one for its inputs, and its networks do the task."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from shoestring.core import Vary, score
from shoestring.kit import Supervised
from shoestring.search import Head, Ngrams, Space, Stages, Tables, space_of
from shoestring.tasks import digits


def supervised(inputs, classes: int = 3, **more) -> Supervised:
    count = len(inputs[0] if isinstance(inputs, tuple) else inputs)
    split = (inputs, torch.arange(count) % classes)
    return Supervised(train=split, validation=split, test=None, name="made", **more)


def scored(space: Space, task: Supervised) -> float:
    network = space.made(space.drawn(random.Random(0))).network()
    return score(task.sealed(), network)


def test_pictures_get_stages():
    space = space_of(digits())
    assert isinstance(space, Stages)
    assert (space.channels, space.classes, space.height, space.width) == (1, 10, 8, 8)
    assert 0 <= scored(space, digits()) <= 1


def test_pictures_whose_size_varies_get_heads_that_need_none():
    class AnySize(Supervised):
        def example(self):
            return (Vary(torch.rand(2, 3, 16, 16), {0: "N", 2: "H", 3: "W"}),), {}

    x = torch.rand(12, 3, 16, 16)
    split = (x, torch.arange(12) % 3)
    task = AnySize(train=split, validation=split, test=None, name="any")
    space = space_of(task)
    assert isinstance(space, Stages) and space.heads == (Head.MEAN,)


def test_large_pictures_are_halved_in_every_stage():
    space = space_of(supervised(torch.rand(6, 3, 96, 80)))
    assert isinstance(space, Stages) and space.first_strides == (2,)
    draw = random.Random(0)
    for _ in range(5):
        network = space.made(space.drawn(draw)).network()
        assert network(torch.rand(2, 3, 96, 80)).shape == (2, 3)


def test_padded_ids_get_texts_with_the_ids_of_validation_too():
    ids = torch.tensor([[5, 2, 0], [3, 0, 0], [1, 4, 2]] * 4)
    validation = (torch.tensor([[9, 1, 0]] * 6), torch.arange(6) % 2)
    task = Supervised(
        train=(ids, torch.arange(12) % 2), validation=validation, test=None, name="texts"
    )
    space = space_of(task)
    assert isinstance(space, Ngrams) and (space.ids, space.classes) == (10, 2)
    assert 0 <= scored(space, task) <= 1


def test_ids_of_columns_get_tables_also_where_a_row_ends_with_0():
    """With (1, 2, 0) alone they may be texts; (1, 0, 2) is none that is padded at its end."""
    table = torch.tensor([[1, 2, 0], [1, 0, 2], [4, 3, 4]] * 4)
    assert isinstance(space := space_of(supervised(table)), Tables) and space.sizes == (5, 4, 5)
    assert isinstance(space_of(supervised(table[::3])), Ngrams)
    drawn = torch.randint(0, 5, (200, 3), generator=torch.Generator().manual_seed(0))
    assert isinstance(space_of(supervised(drawn)), Tables)
    assert isinstance(space_of(supervised(drawn.clamp(min=1))), Tables)  # nothing is padded
    assert isinstance(space_of(supervised(drawn, axes={1: "T"})), Ngrams)  # their number varies


def test_ids_and_numbers_get_tables_with_their_sizes_and_means():
    ids = torch.tensor([[1, 0], [2, 4], [0, 3]] * 4)
    numbers = torch.tensor([[1.0, 7.0], [3.0, 7.0], [2.0, 7.0]] * 4)
    space = space_of(task := supervised((ids, numbers)))
    assert isinstance(space, Tables) and space.sizes == (3, 5) and space.classes == 3
    assert space.mean == pytest.approx((2.0, 7.0))
    assert space.deviation[1] == 1.0  # of a column that never changes
    assert 0 <= scored(space, task) <= 1


def test_tables_have_the_categories_of_validation_too():
    ids = torch.tensor([[1, 1], [2, 4], [0, 3]] * 4)
    labels = torch.arange(12) % 3
    task = Supervised(
        train=(ids, labels),
        validation=(torch.tensor([[5, 1]] * 12), labels),
        test=None,
        name="tables",
    )
    space = space_of(task)
    assert isinstance(space, Tables) and space.sizes == (6, 5)
    assert 0 <= scored(space, task) <= 1


def test_numbers_alone_get_tables():
    space = space_of(supervised(torch.randn(12, 4)))
    assert isinstance(space, Tables) and not space.sizes and len(space.mean) == 4


def test_a_model_tells_how_many_answers_there_are():
    task = supervised(torch.randn(12, 4))
    space = space_of(task, nn.Linear(4, 7))
    assert isinstance(space, Tables) and space.classes == 7


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (supervised(torch.randn(12, 4, 5)), r"the inputs are torch.float32 \(2, 4, 5\)"),
        (
            Supervised(
                train=(torch.randn(9, 4), torch.randn(9)),
                validation=(torch.randn(9, 4), torch.randn(9)),
                test=None,
                name="numbers",
                criterion=nn.functional.mse_loss,
            ),
            "labels are no classes",
        ),
    ],
)
def test_other_tasks_are_errors_that_say_what_to_give(task, words):
    with pytest.raises(ValueError, match=words + r".*give one, such as Stages"):
        space_of(task)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_labels_below_0_are_an_error_that_says_so(classes):
    """Also where those of 0 and more leave no class, one, or enough."""
    labels = torch.arange(12) % classes - 1
    split = (torch.randn(12, 4), labels)
    task = Supervised(train=split, validation=split, test=None, name="below 0")
    with pytest.raises(ValueError, match="a label is -1, and labels are classes from 0 on"):
        space_of(task)
    assert isinstance(space := space_of(task, nn.Linear(4, 3)), Tables) and space.classes == 3


def test_a_model_that_returns_no_logits_is_an_error():
    with pytest.raises(ValueError, match="not logits"):
        space_of(supervised(torch.randn(12, 4)), nn.Unflatten(1, (2, 2)))
