"""Several tasks on one body: its file, its loss by hand, its scores, and learnt weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_few import OLD, some_digits
from torch import nn

from shoestring import kit
from shoestring.adapt import Entry, Several, Uncertainty, Uniform, shared_body, train_together
from shoestring.artifact import load
from shoestring.core import Task, batches, label_task, prove, score, scores, seeded
from shoestring.kit import AdamW, Supervised, Training


def model() -> nn.ModuleDict:
    with seeded(0):
        body = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU())
        return shared_body(body, {"which": nn.Linear(48, 5), "even": nn.Linear(48, 2)})


def tasks() -> dict[str, Task]:
    """The digits 0 to 4, and whether they are even: an unlike number of batches."""
    which = some_digits(OLD)
    images, labels = which.train
    (checked, answers), (asked, truth) = which.validation, which.test  # type: ignore[misc]
    even = Supervised(
        train=(images[:100], labels[:100] % 2),  # type: ignore[index]
        validation=(checked, answers % 2),
        test=(asked, truth % 2),
        name="even",
    )
    return {"which": Entry(which, "which"), "even": Entry(even, "even")}


@pytest.mark.parametrize("weighting", [Uniform(), Uncertainty()])
def test_one_body_learns_both_and_its_file_has_it_once(
    weighting: Uniform | Uncertainty, tmp_path: Path
):
    task = Several(tasks=tasks())
    with seeded(0):
        made = train_together(model(), task, Training(80, AdamW(1e-2)), weighting=weighting)
    found = scores(task, made)
    assert found["which"] > 0.9 and found["even"] > 0.8
    assert score(task, made) == pytest.approx(sum(found.values()) / 2)
    kit.save(made, task, tmp_path / "both.shoe")
    assert scores(task, load(tmp_path / "both.shoe")) == pytest.approx(found, abs=0.01)
    assert prove(tmp_path / "both.shoe", task) > 0.8
    own = sum(p.numel() for p in made["which"].parameters())
    assert (tmp_path / "both.shoe").stat().st_size < 4 * own * 1.2


def test_the_loss_is_the_sum_and_batches_go_on():
    task, network = Several(tasks=tasks()), model()
    with seeded(0):
        found = list(batches(task, "train", network))
    first = next(iter(task.tasks.values()))
    assert len(found) == len(list(first.batches("train"))) > 1
    losses = task.losses(network, found[-1])
    assert torch.equal(task.loss(network, found[-1]), losses[0] + losses[1])


def test_learnt_variances_divide_the_losses():
    """After a long training of the variances alone each is twice its loss (or so): the minimum of
    exp(-s) L + s / 2 is where exp(s) = 2 L."""
    from shoestring.adapt.shared_body import _Uncertain, _Weighed

    task, network = Several(tasks=tasks()), model()
    whole = _Weighed(network.requires_grad_(False), 2)
    with seeded(0):
        kit.train(whole, _Uncertain(task), Training(300, AdamW(0.05)))
        losses = torch.tensor(
            [[float(x) for x in task.losses(network, b)] for b in task.batches("train")]
        ).mean(0)
    assert torch.allclose(whole.log_variances.detach().exp(), 2 * losses, rtol=0.1)


def test_an_entry_is_a_label_task_too():
    entry = label_task(tasks()["which"])
    few = entry.with_labels(entry.labels(entry.known()[:4]), indices=entry.known()[:4])
    outputs = few.outputs(model(), few.inputs(few.known()))
    assert outputs.shape == (4, 5) and isinstance(few, Entry)


def test_what_is_no_set_of_tasks_is_refused():
    one = tasks()["which"]
    with pytest.raises(ValueError, match="1 task: give two or more"):
        Several(tasks={"which": one})
    with pytest.raises(ValueError, match="names its entries already"):
        Entry(one, "again")
    with pytest.raises(ValueError, match="no head"):
        shared_body(nn.Flatten(), {})
    empty = Several(tasks={"a": one, "b": Empty()})
    with pytest.raises(ValueError, match="the train split of nothing has no batch"):
        next(iter(empty.batches("train")))


class Empty(Task):
    name = "nothing"

    def batches(self, split: str, **_: object):
        return []

    def loss(self, model: object, batch: object):
        raise AssertionError

    def score(self, predict: object, split: str) -> float:
        return 0.0

    def example(self):
        return {"even": ((torch.zeros(2, 1, 8, 8),), {})}
