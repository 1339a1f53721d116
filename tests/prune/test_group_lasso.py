"""Channels shrink as wholes, reach zero, and are then gone for nothing."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo import Calls, Residual, classified

from shoestring import kit
from shoestring.core import seeded
from shoestring.kit import AdamW, SkippedWarning, Supervised, Training, clone, parameters_of, train
from shoestring.kit.surgery.groups import dependency_groups
from shoestring.prune import Channels, GroupLasso
from shoestring.prune.group_lasso import _shrink


def test_a_step_takes_the_same_length_from_every_channel():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[3.0, 0.1, 0.0], [4.0, 0.1, 0.0]]))
    (group,) = dependency_groups(model, classified((2,)), who="test").groups
    gone = torch.zeros(3, dtype=torch.bool)
    with torch.no_grad():
        _shrink(
            parameters_of(model), group, gone, 0.5**0.5
        )  # in the root of the mean of two squares: lengths shrink by 1
    # Of length 5 it becomes 4: (3, 4) is (2.4, 3.2). The next is of length 0.14 and is gone, as is
    # the one that was zero.
    torch.testing.assert_close(model[1].weight, torch.tensor([[2.4, 0.0, 0.0], [3.2, 0.0, 0.0]]))
    assert gone.tolist() == [False, True, True]


def test_needless_channels_become_zero_and_go_without_loss():
    with seeded(0):
        x = torch.randn(200, 4)
        targets = (x[:, 0] > 0).long() + 2 * (
            x[:, 1] > 0
        ).long()  # two of the inputs matter, and few units are needed
        task = Supervised(
            train=(x, targets), validation=(x, targets), test=(x, targets), batch_size=50
        )
        model = train(
            nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4)),
            task,
            Training(200, AdamW(1e-2)),
        )
        sparse = GroupLasso(penalty=0.75, training=Training(400, AdamW(1e-2)))(model, task)
    zero = int((sparse[2].weight == 0).all(0).sum())
    assert 4 < zero < 32
    assert (model[2].weight != 0).any(0).all()
    small = Channels(share=1 - zero / 32, multiple=1, training=Training(0))(sparse, task)
    torch.testing.assert_close(small(x), sparse(x), rtol=1e-4, atol=1e-5)
    assert small[0].out_features == 32 - zero
    assert task.score(small, "validation") > 0.8


def test_a_unit_that_is_gone_stays_so_when_training_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shoestring.kit.training.resume._SECONDS", 0)
    with seeded(0):
        x = torch.randn(64, 4)
        split = x, (x[:, 0] > 0).long()
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    killed = [False]

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if killed[0] and (at := len(list(tmp_path.glob("killed/*.pt")))):
            raise KeyboardInterrupt(at)
        return functional.cross_entropy(outputs, targets)

    task = Supervised(train=split, validation=split, test=split, batch_size=32, criterion=loss)
    technique = GroupLasso(penalty=0.1, training=Training(300, AdamW(0.05)))
    with seeded(0), kit.resuming(tmp_path / "whole"):
        whole = technique(model, task)
    killed[0] = True
    with seeded(0), kit.resuming(tmp_path / "killed"), pytest.raises(KeyboardInterrupt):
        technique(model, task)
    killed[0] = False
    with seeded(0), kit.resuming(tmp_path / "killed"):
        resumed = technique(model, task)
    assert (whole[2].weight == 0).all(0).any()
    assert whole.state_dict().keys() == model.state_dict().keys()
    assert all(
        torch.equal(one, resumed.state_dict()[name]) for name, one in whole.state_dict().items()
    )


def test_units_of_a_residual_sum_shrink_in_all_their_readers():
    with seeded(0):
        model, task = Residual(), classified((3, 8, 8))
        sparse = GroupLasso(penalty=20.0, training=Training(30, AdamW(1e-2)))(model, task)
    gone = (sparse.conv.weight == 0).all(3).all(2).all(0)
    assert gone.any() and torch.equal(gone, (sparse.head.weight == 0).all(0))
    assert clone(sparse).eval()(torch.randn(2, 3, 8, 8)).isfinite().all()


def test_readers_that_cannot_shrink_are_named():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
    reader = next(one for one in parameters_of(model) if one.name == "2.weight")
    reader.share(torch.linspace(-1, 1, 4), torch.randint(0, 4, (4, 6)))
    with pytest.warns(SkippedWarning) as caught:
        GroupLasso(training=Training(1))(model, classified((4,)))
    assert [str(one.message) for one in caught] == [
        "GroupLasso skipped 0: weights that read its channels have a codebook or a scale",
        "GroupLasso found no channel in the model that it could shrink",
    ]
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)).bfloat16()
    task = Calls((torch.randn(2, 4, dtype=torch.bfloat16),), {})
    with pytest.warns(SkippedWarning) as caught:
        GroupLasso(penalty=2.0, training=Training(1))(model, task)
    assert "weights that read its channels have half precision: use model.float()" in str(
        caught[0].message
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="the penalty is 0: it must be above 0"):
            GroupLasso(penalty=0)
