"""Supervised learning from loaders: any iterable of batches, read anew each time and never held."""

from __future__ import annotations

import gc
import weakref
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from shoestring import Supervised, load
from shoestring.core import SealedError, Task, prove, score, scores, seeded
from shoestring.core.labels import label_task
from shoestring.kit import AdamW, Training, resuming, train, write
from shoestring.plan.judge import quick_judge
from shoestring.plan.pool import has_pool
from shoestring.quantize import PostTraining

MADE = torch.Generator().manual_seed(0)
X = torch.randn(600, 4, generator=MADE)
Y = (X[:, 0] + X[:, 1] > 0).long()
PLAIN = Supervised(
    train=(X[:400], Y[:400]), validation=(X[400:500], Y[400:500]), test=(X[500:], Y[500:])
)


def loader(start: int, end: int, batch: int = 64, **settings: Any) -> DataLoader:
    return DataLoader(TensorDataset(X[start:end], Y[start:end]), batch_size=batch, **settings)


def streamed(**settings: Any) -> Any:
    return Supervised.from_loaders(
        loader(0, 400, shuffle=True), loader(400, 500), loader(500, 600), **settings
    )


class Linear(nn.Module):
    """Takes its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, values: Tensor, scale: Tensor | None = None) -> Tensor:
        return self.layer(values if scale is None else values * scale)


def test_it_scores_as_tensors_do_and_learns():
    task, model = streamed(), nn.Linear(4, 2)
    for split in ("validation", "test"):
        assert score(task, model, split) == score(PLAIN, model, split)
        assert task.merits(model, split).tolist() == PLAIN.merits(model, split).tolist()
    assert task.standard_error(model, "validation") == pytest.approx(
        PLAIN.standard_error(model, "validation")
    )
    with seeded(0):
        train(model, task.sealed(), Training(150, AdamW(3e-2)))
    assert score(task, model) > 0.9
    assert (
        isinstance(task, Supervised)
        and isinstance(task, Task)
        and task.has_test
        and task.sealed().has_test
    )


def test_it_becomes_a_file_that_is_proved(tmp_path: Any):
    task, model = (
        streamed(metrics={"recall": lambda out, y: (out.argmax(-1) == 1)[y == 1].mean()}),
        nn.Linear(4, 2),
    )
    write(model, task, tmp_path / "a.shoe")
    assert prove(tmp_path / "a.shoe", task) == pytest.approx(score(PLAIN, model, "test"))
    assert scores(task, load(tmp_path / "a.shoe")) == pytest.approx(scores(task, model))
    PostTraining(examples=64)(model, task.sealed())
    with pytest.raises(SealedError):
        task.sealed().scores(model, "test")


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda x, y: (x, y), {}),
        (lambda x, y: [[x], y], {}),
        (lambda x, y: (x.numpy(), y.numpy()), {}),
        (lambda x, y: (x, y.tolist()), {}),
        (lambda x, y: (x, torch.ones(len(x), 1), y), {}),
        (lambda x, y: {"values": x, "labels": y}, {}),
        (lambda x, y: UserDict(values=x, scale=torch.ones(len(x), 1), label=y), {}),
        (lambda x, y: {"values": x, "rank": y, "row": y}, {"target": "rank", "inputs": ["values"]}),
        (lambda x, y: ({"values": x, "row": y}, y), {"inputs": ("values",)}),
    ],
    ids=[
        "pair",
        "list",
        "arrays",
        "numbers",
        "several",
        "mapping",
        "another mapping",
        "named",
        "nested mapping",
    ],
)
def test_batches_of_every_form(make: Any, settings: dict[str, Any]):
    batches = [make(X[at : at + 50], Y[at : at + 50]) for at in range(0, 200, 50)]
    task, model = Supervised.from_loaders(batches, batches, **settings), Linear()
    plain = Supervised(
        train=(X[:200], Y[:200]), validation=(X[:200], Y[:200]), test=(X[:200], Y[:200])
    )
    assert score(task, model) == score(plain, model)
    (args, kwargs), first = task.example(), next(iter(task.batches("train")))
    assert [len(one.tensor) for one in (*args, *kwargs.values())] == [2] * len(first[0])
    train(model, task, Training(5))
    assert first[1].dtype == torch.int64


class Bag(nn.Module):
    """Means of words, of a nest of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 2)

    def forward(self, text: dict[str, Tensor], bias: Tensor) -> Tensor:
        known = text["mask"].float()[..., None]
        return (self.words(text["ids"]) * known).sum(1) / known.sum(1) + bias


def sentences(length: int, count: int) -> Any:
    ids = torch.randint(0, 20, (count, length))
    return {
        "text": {"ids": ids, "mask": torch.ones_like(ids)},
        "bias": torch.zeros(count, 1),
        "labels": ids[:, 0] % 2,
    }


def test_nested_inputs_of_batches_of_several_lengths(tmp_path: Any):
    with seeded(0):
        batches = [sentences(length, count) for length, count in ((3, 4), (7, 2), (5, 6))]
    task, model = Supervised.from_loaders(batches, batches, batches, axes={"text": {1: "T"}}), Bag()
    (), kwargs = task.example()
    assert kwargs["text"]["ids"].axes == kwargs["text"]["mask"].axes == {0: "N", 1: "T"} and kwargs[
        "bias"
    ].axes == {0: "N"}
    train(model, task, Training(6))
    write(model, task, tmp_path / "bag.shoe")
    assert score(task, load(tmp_path / "bag.shoe"), "test") == score(task, model, "test")
    with pytest.raises(ValueError, match="axes names 'words', and the inputs are text, bias"):
        Supervised.from_loaders(batches, batches, axes={"words": {1: "T"}})
    with pytest.raises(ValueError, match="axes has 1 mappings, and a call has 3 tensors"):
        Supervised.from_loaders(batches, batches, axes=({1: "T"},))


class Watched(Dataset):
    """Items that are counted as long as anybody holds them."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet = weakref.WeakSet()
        self.most = 0

    def __len__(self) -> int:
        return 200

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        item = torch.full((4,), float(place))
        self.alive.add(item)
        self.most = max(self.most, len(self.alive))
        return item, place % 2


def test_items_are_read_as_they_are_asked_for_and_none_is_held():
    data = Watched()
    task = Supervised.from_loaders(DataLoader(data, batch_size=10), DataLoader(data, batch_size=10))
    assert data.most <= 21, "a batch of each split was looked at"
    passed = iter(task.batches("train"))
    next(passed)
    assert data.most <= 21
    assert sum(1 for _ in passed) == 19
    score(task, nn.Linear(4, 2))
    gc.collect()
    assert data.most <= 31 and not data.alive


def test_what_can_be_read_once_is_refused():
    def once() -> Iterator[Any]:
        yield X, Y

    for given in (once(), iter([(X, Y)]), zip([X], [Y], strict=True)):
        with pytest.raises(
            TypeError,
            match=r"train is a \w+, which can be read once.*give a DataLoader, a list of batches",
        ):
            Supervised.from_loaders(given, [(X, Y)])

    class Hidden:
        """Begins anew only once."""

        def __init__(self) -> None:
            self.source = once()

        def __iter__(self) -> Iterator[Any]:
            return self.source

    with pytest.raises(TypeError, match=r"the __iter__ of validation, a Hidden, gives one"):
        Supervised.from_loaders([(X, Y)], Hidden())


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X[:70], Y[:70], strict=True))


def test_streams_and_last_batches():
    task = Supervised.from_loaders(
        DataLoader(Stream(), 32), DataLoader(Stream(), 32, drop_last=True)
    )
    assert [len(y) for _, y in task.batches("validation")] == [32, 32, 6], (
        "a score is of all examples"
    )
    assert [len(y) for _, y in task.batches("train")] == [32, 32, 6]


def test_without_a_test_split_nothing_is_proved(tmp_path: Any):
    task = Supervised.from_loaders(loader(0, 400), loader(400, 500))
    assert not task.has_test and not task.sealed().has_test
    write(nn.Linear(4, 2), task, tmp_path / "a.shoe")
    with pytest.raises(ValueError, match=r"has no test split to prove the file on: .*test="):
        prove(tmp_path / "a.shoe", task)
    with pytest.raises(ValueError, match="has no test split: give from_loaders a loader for test="):
        score(task, nn.Linear(4, 2), "test")
    with pytest.raises(SealedError):
        task.sealed().batches("test")


def test_a_sample_is_drawn_from_all_batches_and_held():
    task, model = streamed(), nn.Linear(4, 2)
    fewer = task.sampled(30, 3)
    again = [one for one, _ in fewer.batches("validation")]
    assert sum(len(one[0]) for one in again) == 30 and len(again) == 2
    assert (
        task.sampled(100, 3) is task
        and fewer.sampled(30, 3) is fewer
        and len(fewer.merits(model, "validation")) == 30
    )
    rows = torch.cat([one[0] for one in again])
    wanted = torch.randperm(100, generator=torch.Generator().manual_seed(3))[:30].sort().values
    assert torch.equal(rows, X[400:500][wanted])
    before = torch.get_rng_state()
    assert len(fewer.sampled(7, 0).merits(model, "validation")) == 7 and torch.equal(
        torch.get_rng_state(), before
    )


def test_a_judge_scores_it_on_a_sample(tmp_path: Any):
    labels = torch.arange(1000) % 2
    batches = [
        (torch.eye(2)[labels[at : at + 100]], labels[at : at + 100]) for at in range(0, 1000, 100)
    ]
    task, model = Supervised.from_loaders(batches, batches), nn.Linear(2, 2, bias=False)
    nn.init.eye_(model.weight)
    write(model, task, tmp_path / "a.shoe")
    judge = quick_judge(task.sealed(), tmp_path / "a.shoe", model, 0, 1e-9)
    assert judge.examples == 200 and judge.base == 1.0


@pytest.mark.parametrize(
    ("batch", "settings", "kind", "words"),
    [
        (
            X,
            {},
            TypeError,
            r"train: batch 0 is a Tensor, and \(inputs, targets\) or a dict .* is wanted",
        ),
        (
            {"values": X, "outcome": Y},
            {},
            ValueError,
            "a mapping of 'values', 'outcome': say .* by target=",
        ),
        (
            {"label": X, "y": Y},
            {},
            ValueError,
            "a mapping of 'label', 'y': say which of these are the targets",
        ),
        (
            {"values": X, "y": Y},
            {"target": "z"},
            ValueError,
            "has no 'z', but 'values', 'y': name the targets by target=",
        ),
        (
            {"values": X, "y": Y},
            {"inputs": ["ids"]},
            ValueError,
            "has no 'ids', but 'values', 'y': name inputs= that it has",
        ),
        ((X, "yes"), {}, TypeError, "has targets of type str, which are no tensor"),
        ((X, Y[0]), {}, ValueError, "has no examples: axis 0 of the targets must be the example"),
    ],
)
def test_batches_that_are_not_understood_are_told(
    batch: Any, settings: dict[str, Any], kind: Any, words: str
):
    with pytest.raises(kind, match=words):
        Supervised.from_loaders([batch], [batch], **settings)


def test_what_is_no_loader_is_told():
    with pytest.raises(
        TypeError,
        match=r"train is a TensorDataset: give a DataLoader.*DataLoader\(dataset, batch_size=128\)",
    ):
        Supervised.from_loaders(TensorDataset(X, Y), [(X, Y)])
    with pytest.raises(
        TypeError, match="from_loaders takes no augment=: batches are what the loaders give"
    ):
        Supervised.from_loaders([(X, Y)], [(X, Y)], augment=lambda x: x)
    with pytest.raises(ValueError, match="the validation split of supervised has no batches"):
        Supervised.from_loaders([(X, Y)], [])
    with pytest.raises(ValueError, match="has a merit and a metric"):
        Supervised.from_loaders(
            [(X, Y)], [(X, Y)], metric=lambda out, y: 1.0, merit=lambda out, y: y
        )


# -- scores by name


def recall(outputs: Any, targets: np.ndarray) -> float:
    return float((outputs.argmax(-1) == 1)[targets == 1].mean())


def test_metrics_by_name_are_of_the_whole_split():
    task = Supervised(
        train=(X, Y),
        validation=(X, Y),
        test=(X[:9], Y[:9]),
        metrics={"recall": recall, "half": lambda out, y: 0.5},
    )
    with seeded(0):
        model = nn.Linear(4, 2)
    said = model(X).argmax(-1)
    assert scores(task, model) == {
        "recall": pytest.approx(float((said == 1)[Y == 1].double().mean())),
        "half": 0.5,
    }
    for view in (task.sealed(), task.taught_by(model), task.sealed().sampled(600, 0)):
        assert scores(view, model) == scores(task, model)
    assert (
        scores(task, model, "test") != scores(task, model)
        and PLAIN.scores(model, "validation") == {}
    )
    wrong = Supervised(
        train=(X, Y), validation=(X, Y), test=(X, Y), metrics={"each": lambda out, y: y}
    )
    with pytest.raises(
        ValueError, match=r"the metric 'each' gives shape \[600\], and one number is wanted"
    ):
        scores(wrong, model)


def test_a_stream_has_no_pool_and_is_searched_and_resumed_all_the_same(tmp_path):
    task = streamed()
    assert task.labelled() is None and has_pool(task) is None
    with pytest.raises(TypeError, match="no labels that can be bought"):
        label_task(task)
    steps: list[int] = []
    for _ in range(2):
        with resuming(tmp_path), seeded(0):
            train(nn.Linear(4, 2), task, Training(3), before_step=steps.append)
    assert steps == [0, 1, 2]
