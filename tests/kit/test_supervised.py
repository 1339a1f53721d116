"""Inputs in, targets out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoestring.core import SealedError, Vary, score
from shoestring.kit import Supervised, accuracy


def task(examples: int = 5, **settings) -> Supervised:
    x, y = torch.arange(examples * 2.0).view(examples, 2), torch.arange(examples) % 2
    return Supervised(train=(x, y), validation=(x, y), test=(x, y), batch_size=2, **settings)


def test_score_is_the_mean_merit():
    assert accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])).tolist() == [1, 0]
    chosen = task()

    def first(x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]] * len(x))

    assert chosen.score(first, "validation") == 3 / 5
    assert chosen.standard_error(first, "validation") == pytest.approx((0.6 * 0.4 / 5) ** 0.5)


def test_batches_are_shuffled_for_training_only_and_seeded():
    chosen = task(8)
    assert [y.tolist() for _, y in chosen.batches("validation")] == [[0, 1]] * 4
    torch.manual_seed(0)
    first = [x[0].flatten().tolist() for x, _ in chosen.batches("train")]
    torch.manual_seed(0)
    assert first == [x[0].flatten().tolist() for x, _ in chosen.batches("train")]
    assert first != [x[0].flatten().tolist() for x, _ in chosen.batches("train")]
    assert sorted(one for batch in first for one in batch) == list(range(16))


def test_no_training_batch_is_of_one_example():
    assert [len(y) for _, y in task(5).batches("train")] == [2, 3]
    assert [len(y) for _, y in task(5).batches("validation")] == [2, 2, 1]
    assert [len(y) for _, y in task(1).batches("train")] == [1]


def test_several_inputs_and_outputs():
    x, z, y = torch.ones(4, 3, 2), torch.zeros(4), torch.tensor([0, 1, 1, 1])
    split = ((x, z), y)
    chosen = Supervised(
        train=split, validation=split, test=split, batch_size=3, axes={1: "T"},
        merit=lambda outputs, targets: accuracy(outputs["logits"][0], targets),
    )  # fmt: skip
    (args, kwargs) = chosen.example()
    assert kwargs == {} and [one.axes for one in args] == [{0: "N", 1: "T"}, {0: "N"}]
    assert isinstance(args[0], Vary) and args[0].tensor.shape == (2, 3, 2)
    seen = []

    def predict(a: torch.Tensor, b: torch.Tensor) -> dict:
        seen.append((a.shape, b.shape))
        return {"logits": [torch.tensor([[0.0, 1.0]] * len(b))]}

    assert score(chosen, predict) == 3 / 4
    assert seen == [((4, 3, 2), (4,))]


def test_bad_data_is_refused():
    x, y = torch.ones(4, 2), torch.zeros(4)
    good = (x, y)
    with pytest.raises(ValueError, match="the test split of mine is empty"):
        Supervised(train=good, validation=good, test=(x[:0], y[:0]), name="mine")
    with pytest.raises(ValueError, match="the train split of supervised has 4 inputs and 3 targets"):
        Supervised(train=(x, y[:3]), validation=good, test=good)
    with pytest.raises(ValueError, match="the validation split of supervised holds NaN or infinite inputs"):
        Supervised(train=good, validation=(x / 0, y), test=good)
    with pytest.raises(ValueError, match="the train split of supervised holds NaN or infinite targets"):
        Supervised(train=(x, y / 0), validation=good, test=good)
    with pytest.raises(ValueError, match="there is no split 'dev'"):
        task().score(lambda x: x, "dev")


def test_sealed_task_has_no_test_split():
    with pytest.raises(SealedError):
        list(task().sealed().batches("test"))


def test_augmentation_changes_training_inputs_only():
    chosen = task(4, augment=lambda x: -x)
    assert all((x[0] <= 0).all() for x, _ in chosen.batches("train"))
    assert all((x[0] >= 0).all() for x, _ in chosen.batches("validation"))


def test_inputs_are_made_ready_in_every_split_before_they_are_changed():
    chosen = task(4, prepare=lambda x: x[:, :1], augment=lambda x: -x)
    assert sorted(float(one) for x, _ in chosen.batches("train") for one in x[0].flatten()) == [-6, -4, -2, 0]
    assert [x[0].tolist() for x, _ in chosen.batches("validation")] == [[[0], [2]], [[4], [6]]]
    widths = []

    def predict(x: torch.Tensor) -> torch.Tensor:
        widths.append(x.shape[1])
        return x

    chosen.score(predict, "test")
    assert widths == [1]
    (example,), _ = chosen.example()
    assert example.tensor.shape == (2, 2)  # what a user may give
