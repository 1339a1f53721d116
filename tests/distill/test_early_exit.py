"""Early exits: who leaves where, what the file computes, and which models are left alone."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.distill import EarlyExit, threshold_for
from shoestring.kit import AdamW, SkippedWarning, Training, load_into, save, train
from shoestring.kit.routing.exits import EarlyExits, Exit
from shoestring.meters import Operations, over_inputs
from shoestring.prune import Channels, OfChannels
from shoestring.quantize import QuantizationAware
from shoestring.tasks import digits


class Blocks(nn.Module):
    """Four convolutions in a Sequential, and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
                for a in (1, 8, 8, 8)
            )
        )
        self.last = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.blocks(images).mean((2, 3)))


class Mixed(Blocks):
    """The same, but what follows the blocks needs the input too."""

    def forward(self, images: Tensor) -> Tensor:
        return self.last((self.blocks(images) + images).mean((2, 3)))


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    with seeded(0):
        return train(Blocks(), digits(), Training(80, AdamW(1e-2))).eval()


def with_exits(model: nn.Module) -> EarlyExits:
    made = EarlyExit(exits=2, lost=0.01, training=Training(60, AdamW(5e-3)))
    with seeded(0):
        found = made(model, digits().sealed())
    assert isinstance(found, EarlyExits)
    return found


def test_it_loses_no_more_than_it_may_and_the_file_stops_where_it_is_sure(
    trained: nn.Module, tmp_path: Path
):
    task, model = digits(), with_exits(trained)
    assert 0.3 <= model.threshold < 1
    before, after = (score(task, one) for one in (trained, model))
    assert after >= before - 0.01
    path, plain = tmp_path / "exits.shoe", tmp_path / "plain.shoe"
    save(model, task, path)
    save(trained, task, plain)
    assert score(task, load(path)) == pytest.approx(after)
    counted = [Operations()(one, task).operations for one in (path, plain)]
    assert counted[0] < 0.6 * counted[1]  # type: ignore[operator]
    timed = over_inputs([plain, path], task, examples=5, rounds=2)
    assert len(timed) == 2 and all(one.median > 0 for one in timed)


def test_rows_leave_at_the_first_exit_that_is_sure(trained: nn.Module):
    model = with_exits(trained)
    images = torch.rand(12, 1, 8, 8)
    with torch.no_grad():
        first, second, last = model.at_each(images)
        for threshold in (0.0, 0.3, 0.5, 1.0):
            model.threshold = threshold
            sure = [one.softmax(-1).amax(-1, keepdim=True) > threshold for one in (first, second)]
            wanted = torch.where(sure[0], first, torch.where(sure[1], second, last))
            np.testing.assert_allclose(model(images).numpy(), wanted.numpy(), atol=1e-5)
        torch.testing.assert_close(last, trained(images))  # the network itself is as it was


def test_nothing_is_lost_where_nothing_may_be_and_the_exits_know_nothing(
    trained: nn.Module,
):
    task = digits().sealed()
    untrained = EarlyExit(lost=0.0, training=Training(0))(trained, task)
    assert isinstance(untrained, EarlyExits)
    assert score(task, untrained) >= score(task, trained)
    untrained.threshold = 0.0  # all leave at the first exit
    assert score(task, untrained) < 0.5
    assert threshold_for(untrained, task, 1.0) == 0.3


def test_at_1_no_example_leaves_however_sure_an_exit_is():
    net, head = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), nn.Linear(4, 3)
    with torch.no_grad():
        head.weight.mul_(1000)  # its softmax is 1.0 in single precision
        model = EarlyExits(net, {"0": head}, threshold=1.0).eval()
        x = torch.randn(16, 4)
        first, last = model.at_each(x)
        assert (first.softmax(-1).amax(-1) == 1).any()
        assert torch.equal(model(x), last)


def test_the_threshold_travels_with_the_weights(trained: nn.Module, tmp_path: Path):
    task, model = digits().sealed(), with_exits(trained)
    model.threshold = 0.62
    save(model, task, tmp_path / "exits.shoe")
    again = EarlyExits(Blocks(), {"blocks.0": _copy(model, 0), "blocks.2": _copy(model, 1)})
    assert load_into(tmp_path / "exits.shoe", again).threshold == pytest.approx(0.62)  # type: ignore[union-attr]
    again.load_state_dict(model.state_dict())
    assert again.threshold == pytest.approx(0.62)
    with pytest.raises(ValueError, match=r"threshold is 1\.5"):
        again.threshold = 1.5


def _copy(model: EarlyExits, number: int) -> nn.Module:
    """The classifier of an exit, untrained."""
    exits = [part for part in model.modules() if isinstance(part, Exit)]
    head = deepcopy(exits[number].head)
    for part in head.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.reset_parameters()
    return head


def test_a_network_with_exits_is_thinned_and_trained_with_rounding(trained: nn.Module):
    task, model = digits().sealed(), with_exits(trained)
    share = Channels(share=0.5, of=OfChannels(), multiple=1, training=Training(0))
    thin = share(model, task)
    assert isinstance(thin, EarlyExits)
    assert thin.get_submodule("inner.blocks.3.0").out_channels == 4
    small = QuantizationAware(examples=64, training=Training(2))(model, task)
    assert score(task, small) > score(task, model) - 0.1


def test_blocks_that_cannot_be_left_are_skipped_by_name():
    with (
        pytest.warns(SkippedWarning, match="found no block"),
        pytest.warns(SkippedWarning, match="EarlyExit skipped blocks.0, blocks.1, blocks.2"),
    ):
        left = EarlyExit(training=Training(0))(Mixed(), digits().sealed())
    assert isinstance(left, Mixed)
    assert EarlyExit().layers(Blocks(), digits().sealed()) == ["blocks.0", "blocks.1", "blocks.2"]


def test_what_it_refuses():
    with pytest.raises(ValueError, match="0 exits"):
        EarlyExit(exits=0)
    with pytest.raises(ValueError, match=r"-1 of the score"):
        EarlyExit(lost=-1)
    with pytest.raises(ValueError, match="threshold is 2"):
        EarlyExits(Blocks(), {}, threshold=2)
    with pytest.raises(ValueError, match="list of one path"):
        over_inputs([], digits())
