"""What is in an episode, that an embedding learns by them, and data that cannot make any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shoestring import kit
from shoestring.adapt import ByAttention, Episodes, ToPrototype
from shoestring.core import SealedError, score, seeded
from shoestring.kit import AdamW, Training
from shoestring.tasks import digits


def numbered(classes: range, each: int = 6) -> tuple[Tensor, Tensor]:
    """Examples [class, number] of some classes."""
    labels = torch.tensor(list(classes)).repeat_interleave(each)
    return torch.stack([labels, torch.arange(len(labels)) % each], 1).float(), labels


def small(**settings: Any) -> Episodes:
    return Episodes(
        **{
            "train": numbered(range(8)),
            "validation": numbered(range(8, 12)),
            "ways": 4,
            "shots": 2,
            "queries": 3,
            **settings,
        }
    )


def test_an_episode_has_ways_shots_and_queries_of_one_split():
    with seeded(0):
        found = list(small().batches("train"))
    assert len(found) == 100
    for inputs, ways in found[:10]:
        assert ways == 4 and inputs.shape == (4 * 5, 2)
        support, queries = inputs[:8].reshape(4, 2, 2), inputs[8:].reshape(4, 3, 2)
        assert (support[:, :, 0] == queries[:, :1, 0]).all()
        assert len(support[:, 0, 0].unique()) == 4 and support[:, :, 0].max() < 8
        rows = torch.cat([support, queries], 1)
        assert all(len(rows[one].unique(dim=0)) == 5 for one in range(4)), "an example comes twice"
    assert len({int(one) for inputs, _ in found for one in inputs[:, 0]}) == 8


def test_classes_of_an_episode_are_of_one_group():
    groups = "aaaaabbb" + "cccc"
    with seeded(0):
        found = list(small(groups=groups, ways=5).batches("train"))
    ways = {(frozenset(groups[int(one)] for one in inputs[:, 0]), count) for inputs, count in found}
    assert ways == {(frozenset("a"), 5), (frozenset("b"), 3)}


def test_a_perfect_embedding_is_right_and_none_is_right_by_chance():
    task = small()
    assert score(task, nn.Linear(2, 2).requires_grad_(False)) <= 1
    first = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0]]))
    assert score(task, first) == 1 and score(task, first) == score(task, first)
    assert len(task.merits(first, "validation")) == 100


def test_an_embedding_of_digits_is_learnt():
    images, labels = digits().train
    assert isinstance(images, Tensor)
    old = labels < 6
    for comparison in (ToPrototype(), ByAttention()):
        task = Episodes(
            train=(images[old], labels[old]), validation=(images[~old], labels[~old]), ways=4,
            comparison=comparison,
        )  # fmt: skip
        with seeded(0):
            body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
            before = score(task, body, "train")
            kit.train(body, task, Training(60, AdamW(2e-3)))
        assert score(task, body, "train") > before + 0.1, comparison


def test_the_augmentation_is_for_training_alone():
    task = small(augment=lambda inputs: inputs + 100)
    assert next(iter(task.batches("train")))[0].min() >= 100
    assert next(iter(task.batches("validation")))[0].max() < 100


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ways": 1}, "ways=1: give an integer, 2 or more"),
        ({"shots": 0}, "shots=0: give an integer, 1 or more"),
        ({"ways": 9}, "the train split has 8 classes, and an episode 9"),
        ({"queries": 5}, r"class 0 of the train split has 6 examples.* 2 \+ 5"),
        ({"train": numbered(range(1))}, "the train split has 1 class, and an episode 4"),
        ({"validation": numbered(range(7, 11))}, "class 7 is in the splits 'train' and 'valid"),
        ({"train": (torch.ones(8, 2), torch.ones(7, dtype=torch.long))}, "one integer for each"),
        ({"train": (torch.ones(8, 2), torch.ones(8))}, "one integer for each example"),
        ({"groups": "aabb"}, "class 4 has no group"),
        ({"groups": "abcdefgh" + "iiii"}, "has 1 class in its largest group"),
    ],
)
def test_what_makes_no_episode_is_refused(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        small(**settings)


def test_nan_and_outputs_that_are_no_embeddings_are_refused():
    inputs, labels = numbered(range(8))
    inputs[9, 1] = float("nan")
    with pytest.raises(ValueError, match="example 9 of the train split holds NaN"):
        small(train=(inputs, labels))
    task = small()
    with pytest.raises(ValueError, match="an embedding is N×D"):
        task.loss(nn.Unflatten(1, (2, 1)), next(iter(task.batches("train"))))


def test_the_test_split_is_sealed_and_may_be_absent():
    task = small()
    with pytest.raises(SealedError):
        task.sealed().batches("test")
    with pytest.raises(ValueError, match="episodes has no test split"):
        next(iter(task.batches("test")))
    whole = replace(task, test=numbered(range(20, 24)))
    read: Callable[[Tensor], Tensor] = lambda x: x  # noqa: E731
    assert whole.has_test and whole.score(read, "test") > 0
