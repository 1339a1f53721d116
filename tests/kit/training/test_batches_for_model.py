"""The model that is trained is given to tasks whose batches depend on it.

They learn better by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Task, View, array, batches, check_task, evaluating, score, seeded
from shoestring.kit import AdamW, Training, train
from shoestring.kit.training.resume import Batches
from shoestring.prune import Magnitude
from shoestring.quantize import PostTraining

AT_ONCE, HARD, CANDIDATES, STEPS = 32, 16, 2048, 200


@dataclass(frozen=True, eq=False)
class Disc(Task):
    """Points of a square, of which one in fifty is within a small disc.

    Batches are the points of 2,048 that are within, and 32 that are not, drawn at random; where
    `hard`, half of these are those that the model that is trained takes most for points within.
    """

    hard: bool = False
    seen: list[Any] = field(default_factory=list)

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Tensor, Tensor]]:
        self.seen.append(model)
        if split != "train":
            yield self.points(2000, seed=7)
            return
        while True:
            x, y = self.points(CANDIDATES)
            inside, outside = x[y > 0], x[y == 0]
            chosen = torch.randperm(len(outside))[:AT_ONCE]
            if self.hard and model is not None:
                with evaluating(model), torch.no_grad():
                    chosen[HARD:] = model(outside)[:, 0].topk(AT_ONCE - HARD).indices
            given = torch.cat([inside, outside[chosen]])
            yield given, torch.cat([torch.ones(len(inside)), torch.zeros(AT_ONCE)])

    def points(self, count: int, seed: int | None = None) -> tuple[Tensor, Tensor]:
        made = None if seed is None else torch.Generator().manual_seed(seed)
        x = 2 * torch.rand(count, 2, generator=made) - 1
        return x, ((x - 0.4).square().sum(1) < 4 * 0.02 / torch.pi).float()

    def loss(self, model: Any, batch: Any) -> Tensor:
        x, y = batch
        return functional.binary_cross_entropy_with_logits(model(x)[:, 0], y)

    def score(self, predict: Any, split: str) -> float:
        """The F1 of the points within the disc."""
        x, y = self.points(5000, seed=len(split))
        said, true = array(predict(x))[:, 0] > 0, y.numpy() > 0
        return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))

    def example(self) -> Any:
        return (torch.zeros(2, 2),), {}


@dataclass(frozen=True, eq=False)
class Plain(Disc):
    """A task as they were before: its batches take a split and nothing else."""

    def batches(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:  # type: ignore[override]
        yield from (self.points(AT_ONCE, seed) for seed in range(3))


@dataclass(frozen=True, eq=False)
class Halved(View):
    """Half the loss."""

    task: Task

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(model, batch) / 2


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )


def learned(task: Task, seed: int) -> float:
    with seeded(seed):
        return score(task, train(network(), task.sealed(), Training(STEPS, AdamW(1e-2))))


def test_hard_negatives_that_the_model_picks_teach_more():
    pairs = [(learned(Disc(hard=True), seed), learned(Disc(), seed)) for seed in range(2)]
    assert all(hard > plain + 0.2 for hard, plain in pairs), pairs


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t,
        lambda t: t.sealed(),
        lambda t: t.taught_by(network()),
        lambda t: Halved(t.sealed()),
    ],
    ids=["itself", "sealed", "taught", "one's own"],
)
def test_the_model_that_is_trained_reaches_the_task_through_every_view(view: Any):
    task, model = Disc(), network()
    train(model, view(task), Training(2))
    assert task.seen == [model]
    assert (
        list(map(len, next(iter(batches(view(task), "validation"))))) == [2000, 2000]
        and task.seen[1] is None
    )
    assert len(next(Batches(view(task), model))[0]) >= AT_ONCE and task.seen[2] is model


def test_techniques_hand_on_the_model_that_they_look_at():
    task, model = Disc(), network()
    PostTraining(examples=64)(model, task.sealed())
    assert isinstance(task.seen[-1], nn.Module)
    task.seen.clear()
    Magnitude(density=0.5, training=Training(3))(model, task.sealed())
    assert len(task.seen) == 1 and isinstance(task.seen[0], nn.Module) and task.seen[0] is not model


def test_a_task_whose_batches_take_no_model_goes_on_working():
    task, model = Plain(), network()
    for view in (task, task.sealed(), task.taught_by(network()), Halved(task)):
        check_task(view)
        train(model, view, Training(5))
        assert len(list(batches(view, "train", model))) == 3


def test_a_type_error_within_batches_is_not_taken_for_a_missing_parameter():
    class Broken(Disc):
        def batches(self, split: str, *, model: Any = None) -> Any:
            raise TypeError("batches() got an unexpected keyword argument 'model'")

    with pytest.raises(TypeError, match="unexpected keyword"):
        next(iter(batches(Broken(), "train", network())))


def test_batches_that_cannot_be_called_with_a_split_are_refused():
    class Wants(Disc):
        def batches(self, split: str, model: Any) -> Any:  # type: ignore[override]
            return []

    with pytest.raises(
        TypeError,
        match=r"cannot be called with a split .*def batches\(self, split, \*, model=None\)",
    ):
        check_task(Wants())


def test_a_loss_that_mixes_devices_is_told_in_a_sentence():
    class Mixed(Disc):
        def loss(self, model: Any, batch: Any) -> Tensor:
            return (torch.ones(1, device="meta") + model(batch[0])).sum()

    class Said(Disc):
        def loss(self, model: Any, batch: Any) -> Tensor:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found two, cuda:0 and cpu!"
            )

    class Other(Disc):
        def loss(self, model: Any, batch: Any) -> Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(
        RuntimeError,
        match=r"loss mixes devices \(Expected all.*the model is on cpu.*device=x\.device",
    ):
        train(network(), Said(), Training(2))
    with pytest.raises(RuntimeError, match="the task's loss mixes devices"):
        train(network(), Mixed(), Training(2))
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"):
        train(network(), Other(), Training(2))


def test_a_model_on_several_devices_is_not_trained():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, device="meta"))
    with pytest.raises(ValueError, match=r"on several devices, cpu, meta"):
        train(model, Disc(), Training(2))
