"""Splits out of Datasets, DataLoaders and lists of pairs."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
)

from shoestring import Supervised
from shoestring.core import score
from shoestring.kit.training import collected as room

X, Y = torch.arange(20.0).reshape(10, 2), torch.arange(10) % 3


class Rows(Dataset):
    """What `make` gives of each place."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 10

    def __getitem__(self, place):
        return self.make(place)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def supervised(train):
    return Supervised(train=train, validation=(X, Y), test=(X, Y))


@pytest.mark.parametrize(
    "given",
    [
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=4),
        [(x, int(y)) for x, y in zip(X, Y, strict=True)],
        Rows(lambda place: (X[place].numpy(), np.int64(Y[place]))),
        Stream(),
        DataLoader(Stream(), batch_size=3),
    ],
)
def test_all_items_are_there_in_their_order(given):
    inputs, targets = supervised(given).train
    assert torch.equal(inputs, X) and torch.equal(targets, Y) and targets.dtype == torch.int64


def test_a_loader_that_shuffles_keeps_pairs_together():
    inputs, targets = supervised(DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True)).train
    order = inputs[:, 0].argsort()
    assert torch.equal(inputs[order], X) and torch.equal(targets[order], Y)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_batch_that_drop_last_leaves_out_is_read(shuffle):
    data = TensorDataset(X, Y)
    task = Supervised(
        train=DataLoader(Stream(), batch_size=4, drop_last=True),
        validation=(X, Y),
        test=DataLoader(data, batch_size=8, drop_last=True, shuffle=shuffle),
    )
    inputs, targets = task.test
    order = inputs[:, 0].argsort()
    assert torch.equal(inputs[order], X) and torch.equal(targets[order], Y)
    assert torch.equal(task.train[0], X)


@pytest.mark.parametrize(
    "chosen",
    [
        {"sampler": SubsetRandomSampler([1, 4, 7])},
        {"batch_sampler": BatchSampler([1, 4, 7], 2, drop_last=True)},
        {"batch_sampler": [[1, 4], [7]]},
    ],
)  # fmt: skip
def test_items_that_a_sampler_leaves_out_are_said(chosen):
    with pytest.warns(
        UserWarning, match="train: the DataLoader gives 3 of the 10 items that its data set has"
    ):
        inputs, _ = supervised(DataLoader(TensorDataset(X, Y), **chosen)).train
    assert sorted(inputs[:, 0].tolist()) == [2, 8, 14]


def test_of_several_parts_the_last_is_the_target():
    for given in (
        TensorDataset(X, X + 1, Y),
        Rows(lambda place: ((X[place], X[place] + 1), Y[place])),
    ):
        (one, two), targets = supervised(given).train
        assert torch.equal(one, X) and torch.equal(two, X + 1) and torch.equal(targets, Y)


def test_it_is_trained_and_scored_as_tensors_are():
    model = nn.Linear(2, 3)
    assert score(supervised(TensorDataset(X, Y)), model) == score(supervised((X, Y)), model)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (
            DataLoader(Rows(lambda place: {"ids": X[place], "label": Y[place]})),
            TypeError,
            "batch 0 is a mapping with 'ids', 'label'",
        ),
        (
            Rows(lambda place: X[place]),
            TypeError,
            r"item 0 is of type Tensor, and a pair \(input, target\) is wanted",
        ),
        (
            Rows(lambda place: (object(), Y[place])),
            TypeError,
            "item 0 holds a object, which is no tensor: convert it in the Dataset",
        ),
        (
            Rows(lambda place: (X[: place + 1], Y[place])),
            ValueError,
            r"items are of several shapes .*\(1, 2\).*pad them to one",
        ),
        (
            Rows(lambda place: (X[place], X[place], Y[place])[place % 2 :]),
            ValueError,
            "item 1 has 2 parts, and item 0 has 3",
        ),
        (TensorDataset(X[:0], Y[:0]), ValueError, "the train split is empty"),
        (
            "train.csv",
            TypeError,
            r"train must be a pair \(inputs, targets\) of tensors, not str: .*or give a Dataset "
            r"or a DataLoader",
        ),
    ],
)
def test_what_cannot_be_a_split_is_said(given, kind, words):
    with pytest.raises(kind, match=words):
        supervised(given)


def test_random_changes_are_told_where_they_belong():
    with pytest.warns(
        UserWarning, match=r"train: an item differs from one reading to the next.*augment"
    ):
        supervised(Rows(lambda place: (X[place] + torch.rand(2), Y[place])))


def test_what_is_too_large_is_not_read_whole(monkeypatch):
    monkeypatch.setattr(room, "MOST_BYTES", 100)
    with pytest.raises(
        ValueError, match=r"train has more than .* GB, and would be read into memory: write a class"
    ):
        supervised(TensorDataset(X, Y))
    monkeypatch.setattr(room, "MOST_BYTES", 240)
    assert len(supervised(TensorDataset(X, Y)).train[1]) == 10


class Answers(dict):
    """As outputs of language models are."""


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda y: (y, None), r"a tuple of 2 .*cross_entropy\(outputs\[0\], targets\)"),
        (
            lambda y: Answers(logits=y),
            r"a Answers of logits .*cross_entropy\(outputs\['logits'\], targets\)",
        ),
    ],
)
def test_a_criterion_that_does_not_take_what_the_model_returns(returned, words):
    task = supervised((X, Y))
    with pytest.raises(
        TypeError, match=f"the criterion does not take what the model returns, {words}"
    ):
        task.loss(lambda x: returned(x @ torch.ones(2, 3)), next(iter(task.batches("train"))))


def test_a_criterion_that_gives_no_tensor():
    task = Supervised(
        train=(X, Y),
        validation=(X, Y),
        test=(X, Y),
        criterion=lambda outputs, targets: {"loss": outputs.mean()},
    )
    with pytest.raises(
        TypeError,
        match=r"the criterion gives dict, and a tensor with one number is wanted: .*\['loss'\]",
    ):
        task.loss(lambda x: x, next(iter(task.batches("train"))))
