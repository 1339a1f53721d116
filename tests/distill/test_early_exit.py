"""Early exits: who leaves where, what the file computes, and which models are left alone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from zoo import classified

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.distill import EarlyExit, threshold_for
from shoestring.kit import (
    AdamW,
    ShortfallWarning,
    SkippedWarning,
    Supervised,
    Training,
    exit_shares,
    load_into,
    save,
    train,
)
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
    again = EarlyExits(Blocks(), {"blocks.0": _copy(model, 0), "blocks.1": _copy(model, 1)})
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


def pooled(convolutions: int) -> nn.Sequential:
    """Convolutions, a pool and a linear layer, all in one row."""
    convs = [nn.Conv2d(a, 8, 3, padding=1) for a in (1, *[8] * (convolutions - 1))]
    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


def test_no_exit_stands_where_the_rest_costs_no_more_than_the_classifier():
    made, task = EarlyExit(exits=2, training=Training(0)), digits().sealed()
    found = made(pooled(4), task)
    assert isinstance(found, EarlyExits) and found.names == ("0", "1")
    two = (
        r"save anything: a classifier costs as much as what follows 1 \([\d,]+ operations, and 160"
    )
    with pytest.warns(SkippedWarning, match=two):
        left = EarlyExit(only=("1", "2"), training=Training(0))(pooled(2), task)
    assert isinstance(left, nn.Sequential)


def test_fewer_exits_than_asked_for_are_said():
    made = EarlyExit(exits=9, training=Training(0))
    with pytest.warns(ShortfallWarning, match=r"asked for 9 exits and set 3, .* what follows 3 "):
        found = made(pooled(5), digits().sealed())
    assert isinstance(found, EarlyExits) and found.names == ("0", "1", "2")


def test_where_the_rest_cannot_be_counted_the_block_is_taken():
    class Distances(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return torch.cdist(rows, torch.eye(4))

    task = classified((4,))
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Distances())
    found = EarlyExit(exits=1, training=Training(0))(net, task)
    assert isinstance(found, EarlyExits) and len(found.names) == 1


def test_the_shares_of_the_exits_and_the_scores_of_who_leaves(trained: nn.Module):
    task, model = digits(), with_exits(trained)
    rows = exit_shares(model, task)
    assert [row.name for row in rows] == ["blocks.0", "blocks.1", ""]
    assert sum(row.share for row in rows) == pytest.approx(1) and rows[0].share > 0
    whole = sum(row.share * row.score for row in rows if row.score is not None)
    assert whole == pytest.approx(score(task, model))
    model.threshold = 1.0  # none leaves
    first, _, last = exit_shares(model, task.sealed())
    assert (first.share, first.score) == (0, None)
    assert (last.share, last.score) == (1, pytest.approx(score(task, trained)))
    with pytest.raises(ValueError, match="a Blocks and has no early exits"):
        exit_shares(trained, task)


def test_a_score_that_is_no_mean_over_examples_has_shares_alone(trained: nn.Module):
    task = digits()
    task = replace(task, metric=lambda outputs, targets: (outputs.argmax(1) == targets).mean())
    rows = exit_shares(with_exits(trained), task)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert {row.score for row in rows} == {None}


class Signals(nn.Module):
    """Convolutions over texts of any length, T×8."""

    def __init__(self) -> None:
        super().__init__()
        convolutions = [nn.Conv1d(8, 8, 3, padding=1) for _ in range(3)]
        self.blocks = nn.Sequential(*(m for one in convolutions for m in (one, nn.ReLU())))
        self.last = nn.Linear(8, 4)

    def forward(self, words: Tensor) -> Tensor:
        return self.last(self.blocks(words.transpose(1, 2)).mean(2))


class Words(nn.Module):
    """Layers on each word, T×8."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(8, 8) for _ in range(6)]
        self.blocks = nn.Sequential(*(m for one in layers for m in (one, nn.ReLU())))
        self.last = nn.Linear(8, 4)

    def forward(self, words: Tensor) -> Tensor:
        return self.last(self.blocks(words).mean(1))


class Turned(Words):
    """Words as they come are the blocks' inputs, and no layer says what their axes are."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU())


@pytest.mark.parametrize("made", [Signals, Words])
@pytest.mark.parametrize("length", [8, 5])
def test_exits_read_the_channels_of_texts_of_any_length(made: type[nn.Module], length: int):
    found = EarlyExit(training=Training(0))(made(), classified((length, 8)))
    assert isinstance(found, EarlyExits)
    found.threshold = 0.3
    for other in (3, 8, 13):
        assert found.eval()(torch.randn(5, other, 8)).shape == (5, 4)


def test_where_no_layer_tells_the_axis_of_the_channels_the_block_is_skipped():
    with (
        pytest.warns(SkippedWarning, match="found no block"),
        pytest.warns(SkippedWarning, match="blocks.0, blocks.1, blocks.2: no layer before tells"),
    ):
        EarlyExit(training=Training(0))(Turned(), classified((5, 8)))


def test_a_network_in_half_precision_gets_exits_in_half_precision():
    with seeded(0):
        images, classes = torch.rand(64, 1, 8, 8).bfloat16(), torch.arange(64) % 10
        data = (images, classes)
        task = Supervised(train=data, validation=data, test=data)
        found = EarlyExit(training=Training(2))(Blocks().bfloat16(), task).eval()
    assert isinstance(found, EarlyExits) and found(images).dtype == torch.bfloat16
    assert {p.dtype for p in found.parameters()} == {torch.bfloat16}


def test_a_call_that_fails_leaves_nothing_behind():
    made = EarlyExits(Words(), {"blocks.1": nn.Sequential(nn.Flatten(), nn.Linear(40, 4))})
    made.train()(torch.randn(6, 5, 8)).sum().backward()
    deepcopy(made)  # no logits with a graph
    with pytest.raises(RuntimeError):
        made(torch.randn(6, 4, 8))
    assert not made.passage.logits and made.passage.threshold is None
    deepcopy(made)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="0 exits"):
        EarlyExit(exits=0)
    with pytest.raises(ValueError, match=r"2\.5 exits: give an integer"):
        EarlyExit(exits=2.5)  # type: ignore[arg-type]
    made = EarlyExits(Blocks(), {})
    for wrong in (7.0, float("nan")):
        with pytest.raises(ValueError, match="it is a probability"):
            made.threshold = wrong
    with pytest.raises(ValueError, match="threads is 0"):
        over_inputs(["a.shoe"], digits(), threads=0)
    with pytest.raises(ValueError, match=r"-1 of the score"):
        EarlyExit(lost=-1)
    with pytest.raises(ValueError, match="threshold is 2"):
        EarlyExits(Blocks(), {}, threshold=2)
    with pytest.raises(ValueError, match="list of one path"):
        over_inputs([], digits())
