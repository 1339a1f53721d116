"""A supernet: its scores, a kill, and spaces and trainings that come to nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
import torch

from shoestring.core import SealedError, score, seeded
from shoestring.kit import AdamW, DivergedError, Supervised, Training, resuming
from shoestring.kit.training import resume
from shoestring.search import (
    Architecture,
    BlockCombiner,
    Cells,
    CollapsedError,
    Convolution,
    Decision,
    RankingRounds,
    Role,
    Separable,
    Shared,
    Space,
    Supernet,
)
from shoestring.tasks import digits

SPACE = Cells(
    channels=1,
    blocks=1,
    operations=(Separable(3), Convolution(3)),
    combiners=(BlockCombiner.SUM,),
    widths=(8,),
    depths=(1,),
    sizes=2,
)
QUICK = Supernet(training=Training(70, AdamW(2e-2)), batches=4)


@dataclass(frozen=True)
class Window(Architecture):
    """A linear layer that sees the first rows of a picture of 8×8 only.

    `own`: whether its weights are its own, whatever other networks there are.
    """

    rows: int
    own: bool = False

    def code(self) -> str:
        return (
            "from torch import nn\n\n\nclass Network(nn.Module):\n    def __init__(self):\n"
            f"        super().__init__()\n        self.layer = nn.Linear({8 * self.rows}, 10)\n\n"
            "    def forward(self, x):\n"
            f"        return self.layer(x[:, :, :{self.rows}].flatten(1))\n"
        )

    def roles(self) -> Mapping[str, Role]:
        return {"layer": Role(f"rows {self.rows}" if self.own else "rows")}


@dataclass(frozen=True)
class Windows(Space):
    rows: tuple[int, ...] = (1, 2, 5, 8)
    own: bool = False

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return (Decision("rows", self.rows),)

    def made(self, picks: Sequence[int]) -> Window:
        return Window(self.rows[self.checked(picks)[0]], self.own)


@pytest.fixture(scope="module")
def task() -> Supervised:
    return replace(digits(), batch_size=64)


@pytest.fixture(scope="module")
def windows(task: Supervised) -> Shared:
    return Supernet(training=Training(150, AdamW(1e-2))).trained(Windows(), task, 0)


def test_who_sees_more_scores_more(windows: Shared):
    scores = [windows.score((pick,)) for pick in range(4)]
    assert scores == sorted(scores) and scores[0] < 0.5 < 0.8 < scores[-1]
    assert [one.picks for one in windows.ranked([(1,), (3,), (0,), (2,)])] == [
        (3,), (2,), (1,), (0,)
    ]  # fmt: skip


def test_rounds_say_on_how_many_examples(windows: Shared, task: Supervised):
    ranked = windows.ranked([(0,), (1,), (3,)], RankingRounds(examples=(50, None)))
    assert [one.examples for one in ranked] == [None, 50, 50]
    assert ranked[0].score == windows.score((3,))
    assert windows.score((0,), examples=50) == windows.score((0,), examples=50)
    last = ranked[-1]
    assert last.score == score(task.sampled(50, 0), windows.network(last.picks))


def test_the_test_split_is_not_read(windows: Shared):
    with pytest.raises(SealedError):
        windows.score((0,), "test")


def test_networks_of_cells_begin_with_weights_that_know_something(task: Supervised):
    """Each of four networks, with statistics of its own, is ahead of what it is untrained."""
    shared = QUICK.trained(SPACE, task, 0)
    draw = random.Random(5)
    for _ in range(4):
        picks = SPACE.drawn(draw)
        with seeded(0):
            untrained = SPACE.made(picks).network()
        assert shared.score(picks) > score(task, untrained) + 0.05
        network = shared.network(picks)
        variances = [one for name, one in network.named_buffers() if name.endswith("running_var")]
        assert variances and not any(bool((one == 1).all()) for one in variances)


class Killed(BaseException):
    pass


def test_killed_it_goes_on_and_loses_nothing(task: Supervised, tmp_path, monkeypatch):
    how = Supernet(training=Training(130, AdamW(1e-2)), batches=2)
    whole = how.trained(Windows(), task, 1)
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    save, walked = resume.Snapshot.save, list[int]()

    def killing(self, now, batches, *, last=False):
        save(self, now, batches, last=last)
        walked.append(now)
        if now == 105 and len(walked) < 110:
            raise Killed

    monkeypatch.setattr(resume.Snapshot, "save", killing)
    with pytest.raises(Killed), resuming(tmp_path):
        how.trained(Windows(), task, 1)
    begun = len(walked)
    with resuming(tmp_path):
        again = how.trained(Windows(), task, 1)
    assert walked[begun] == 100 and len(walked) - begun == 31  # from step 100 on, and the end
    for name, weight in whole.weights.weights.items():
        assert torch.equal(weight, again.weights.weights[name]), name


def test_only_what_is_drawn_is_trained(task: Supervised):
    how = Supernet(training=Training(60, AdamW(1e-2)))
    shared = how.trained(Windows(), task, 0, draw=lambda draw: (draw.choice((1, 2)),))
    assert {tuple(one.shape) for one in shared.weights.parameters()} == {(10,), (10, 40)}


def test_collapsed_it_says_so(task: Supervised):
    """Labels that have nothing to do with the pictures: nothing is better than a guess."""
    images, labels = task.validation
    drawn = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    task = replace(task, validation=(images, labels[drawn]))
    with pytest.raises(CollapsedError, match=r"without seeing their inputs.*more steps"):
        Supernet(training=Training(2, AdamW(1e-9)), batches=1).trained(SPACE, task, 0)


def test_networks_with_nothing_in_common(task: Supervised):
    with pytest.raises(ValueError, match=r"no two of the 4 networks.*rows 1.*roles"):
        QUICK.trained(Windows(own=True), task, 0)


def test_a_space_of_one_network_has_all_in_common(task: Supervised):
    assert QUICK.trained(Windows(rows=(8,)), task, 0).score((0,)) > 0.5


def test_a_loss_that_is_nan(task: Supervised):
    images, labels = task.train
    assert isinstance(images, torch.Tensor)
    with pytest.raises(DivergedError, match="supernet"):
        QUICK.trained(Windows(), replace(task, train=(images * 3e38, labels)), 0)


@pytest.mark.parametrize("settings", [{"training": Training(0)}, {"batches": 0}])
def test_settings_out_of_range(settings: dict[str, object]):
    with pytest.raises(ValueError, match="1 or more"):
        Supernet(**settings)  # type: ignore[arg-type]
