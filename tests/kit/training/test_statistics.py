"""Batch norm's moving average: where it fails, and what cures it."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.kit import (
    AdamW,
    Averaged,
    Clipped,
    Constant,
    MixtureOfExperts,
    MovingAverage,
    SkippedWarning,
    Supervised,
    Training,
    average_batch_norm,
    clone,
    resuming,
    train,
)
from shoestring.kit.training.statistics import SingleStatistics
from shoestring.models import PlainNetwork


def images(size: int = 8, count: int = 32, dtype: torch.dtype = torch.float32) -> Supervised:
    with seeded(0):
        pair = torch.rand(count, 3, size, size).to(dtype), torch.randint(0, 10, (count,))
    return Supervised(train=pair, validation=pair, test=pair, batch_size=count)


def answers(model: nn.Module, task: Supervised, *, training: bool) -> torch.Tensor:
    copy = clone(model).train(training)
    with torch.no_grad():
        return copy(task.train[0])


def test_lagging_averages_multiply_through_depth_to_nan_and_averaging_cures_it():
    """The trap: training mode is fine, evaluation is NaN."""
    task = images()
    with seeded(0):
        model = PlainNetwork(110, 4)
    average_batch_norm(model, task)
    with torch.no_grad():
        for layer in model.modules():  # as when weights grow faster than the averages follow
            if isinstance(layer, nn.Conv2d):
                layer.weight.mul_(8)
    assert answers(model, task, training=True).isfinite().all()
    assert not answers(model, task, training=False).isfinite().all()  # 8 to the power of 109

    cured = average_batch_norm(clone(model), task)
    evaluated, trained = (answers(cured, task, training=mode) for mode in (False, True))
    # The same batch; running variances are unbiased, those within a batch are not.
    assert evaluated.isfinite().all()
    assert float((evaluated - trained).abs().median()) < 0.2


def test_an_average_that_is_rounded_to_bfloat16_stops_and_in_single_it_arrives():
    torch.manual_seed(0)
    inputs = (10 + 0.5 * torch.randn(64, 4)).bfloat16()
    torchs, ours = (nn.BatchNorm1d(4, momentum=0.01).bfloat16() for _ in range(2))
    with torch.no_grad(), SingleStatistics(ours):
        for _ in range(400):
            torchs(inputs)
            ours(inputs)
    assert float(torchs.running_mean.max()) < 7  # of 10: it has stopped
    assert ours.running_mean.dtype == torch.bfloat16
    assert float((ours.running_mean.float() - 10).abs().max()) < 0.3
    assert float((ours.running_var.float() - 0.25).abs().max()) < 0.1
    assert int(ours.num_batches_tracked) == 400
    ours(inputs)  # without the hooks it is torch's again
    assert float((ours.running_mean.float() - 10).abs().max()) < 0.3


def test_training_keeps_averages_in_single():
    torch.manual_seed(0)
    inputs = torch.randn(64, 4).bfloat16() + 3
    pair = inputs, torch.randint(0, 2, (64,))
    task = Supervised(train=pair, validation=pair, test=pair, batch_size=16)
    half = train(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)).bfloat16(), task, Training(7))
    wide = nn.BatchNorm1d(4)
    torch.manual_seed(0)
    for _ in range(7):  # other batches of the same numbers: equal within their spread
        wide(inputs.float())
    assert torch.allclose(half[0].running_mean.float(), wide.running_mean, atol=0.35)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_averages_are_the_mean_of_the_batches(dtype: torch.dtype):
    torch.manual_seed(0)
    inputs = (torch.randn(48, 3) * 2 + 5).to(dtype)
    pair = inputs, torch.randint(0, 2, (48,))
    task = Supervised(train=pair, validation=pair, test=pair, batch_size=48)
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).to(dtype).eval()
    assert average_batch_norm(model, task) is model
    norm = model[0]
    exact = inputs.double()
    digits = 1e-5 if dtype == torch.float32 else 2**-8
    assert torch.allclose(norm.running_mean.double(), exact.mean(0), rtol=digits)
    assert torch.allclose(norm.running_var.double(), exact.var(0), rtol=digits)
    assert int(norm.num_batches_tracked) == 0 and norm.momentum == 0.1
    assert not model.training  # modes are restored


def test_training_averages_at_its_end_where_asked():
    task = images()
    with seeded(0):
        model = PlainNetwork(8, 4)

    def trained(statistics: MovingAverage | Averaged) -> nn.Module:
        training = Training(4, AdamW(1e-3), Constant(), statistics=statistics)
        with seeded(1):
            return train(clone(model), task, training)

    moving, averaged = trained(MovingAverage()), trained(Averaged(1))
    for (name, a), (_, b) in zip(
        moving.named_parameters(), averaged.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name  # the same training
    distance = {
        which: float(
            (answers(one, task, training=False) - answers(one, task, training=True)).abs().max()
        )
        for which, one in (("moving", moving), ("averaged", averaged))
    }
    assert distance["averaged"] < distance["moving"] / 3


def test_frozen_norms_stay_and_unreached_ones_are_told():
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.frozen, self.spare = (nn.BatchNorm1d(4) for _ in range(3))
            self.last = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.frozen(self.norm(x)))

    pair = torch.randn(16, 4) + 2, torch.randint(0, 2, (16,))
    task = Supervised(train=pair, validation=pair, test=pair)
    model = Network()
    model.frozen.eval()
    with pytest.warns(SkippedWarning, match="skipped spare: no batch reached it"):
        average_batch_norm(model, task)
    assert float(model.norm.running_mean.mean()) == pytest.approx(2, abs=0.5)
    assert not model.frozen.running_mean.any() and not model.frozen.training


def experts(count: int = 8) -> nn.Module:
    """Experts with batch norm, of which most get one row of a small batch, or none."""

    def expert() -> nn.Module:
        return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())

    with seeded(0):
        router = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, count))
        mixture = MixtureOfExperts([expert() for _ in range(count)], router)
        return nn.Sequential(mixture, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))


def test_experts_without_rows_get_no_nan():
    with seeded(0):
        pair = torch.rand(64, 4, 5, 5), torch.randint(0, 4, (64,))
    task = Supervised(train=pair, validation=pair, test=pair, batch_size=8)
    calls: list[tuple[int, bool]] = []
    model = experts()
    for norm in (part for part in model.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.register_forward_pre_hook(
            lambda part, args: calls.append((len(args[0]), part.training))
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)  # of experts that no batch reaches
        average_batch_norm(model, task)
    assert (0, False) in calls and any(rows > 1 for rows, _ in calls)
    assert all(bool(buffer.isfinite().all()) for buffer in model.buffers())
    assert model.eval()(pair[0]).isfinite().all()


def test_batches_count_by_their_rows():
    class Halves(nn.Module):
        """Two of the first batch's rows reach the norm, and eight of the second's."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.turn = nn.BatchNorm1d(1), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows, self.turn = (2, 8)[self.turn % 2], self.turn + 1
            return torch.cat([self.norm(x[:rows] + 5.0 * rows), x[rows:]]).expand(-1, 2)

    pair = torch.zeros(32, 1), torch.randint(0, 2, (32,))
    task = Supervised(train=pair, validation=pair, test=pair, batch_size=16)
    model = average_batch_norm(Halves(), task)
    assert float(model.norm.running_mean) == pytest.approx((2 * 10 + 8 * 40) / 10)


def test_statistics_that_are_not_finite_are_refused_with_the_layer():
    pair = torch.randn(16, 4) * 1e30, torch.randint(0, 2, (16,))  # squares overflow
    task = Supervised(train=pair, validation=pair, test=pair)
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="what 0 gets in training has no finite statistics"):
        average_batch_norm(model, task)
    assert not model[0].running_mean.any()


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="statistics of 0 batches"):
        Averaged(0)
    with pytest.raises(ValueError, match="statistics of 0 batches"):
        average_batch_norm(nn.BatchNorm1d(2), images(), batches_read=0)
    with pytest.raises(ValueError, match=r"statistics of 2\.5 batches: give an integer"):
        average_batch_norm(nn.BatchNorm1d(2), images(), batches_read=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gradients clipped at '1'"):
        Clipped("1")  # type: ignore[arg-type]


def test_a_batch_that_overflows_is_left_out_of_all_norms_and_told():
    with seeded(0):
        clean, labels = torch.randn(32, 4), torch.randint(0, 2, (32,))
        model = nn.Sequential(
            nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
        )

    def averaged(x: torch.Tensor) -> nn.Module:
        pair = x, torch.cat([labels, labels])[: len(x)]
        task = Supervised(train=pair, validation=pair, test=pair, batch_size=16)
        return average_batch_norm(clone(model), task)

    with pytest.warns(SkippedWarning, match="skipped 1 of 3 batches: what 0 gets in them has no"):
        found = averaged(torch.cat([clean, clean[:15], torch.full((1, 4), 1e30)]))
    assert all(bool(buffer.isfinite().all()) for buffer in found.buffers())
    # Without the batch the second norm gets what it gets of clean examples, about.
    ratio = found[2].running_var / averaged(clean)[2].running_var
    assert ratio.sub(1).abs().max() < 0.5


class Buffers(nn.Module):
    """A batch norm beside what else keeps state."""

    def __init__(self) -> None:
        super().__init__()
        self.instance = nn.InstanceNorm1d(1, track_running_stats=True)
        self.batch = nn.BatchNorm1d(4)
        self.last = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2))
        self.register_buffer("wide", torch.zeros(1, 4).expand(3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.batch(self.instance(x[:, None])[:, 0]))


def test_only_batch_norms_are_written():
    with seeded(0):
        pair = torch.randn(32, 4), torch.randint(0, 2, (32,))
        model = Buffers().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average_batch_norm(model, Supervised(train=pair, validation=pair, test=pair))
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"batch.running_mean", "batch.running_var"}


def test_a_killed_training_in_half_precision_goes_on_with_its_averages(tmp_path):
    torch.manual_seed(0)
    pair = torch.randn(64, 4).bfloat16() + 3, torch.randint(0, 2, (64,))
    task = Supervised(train=pair, validation=pair, test=pair, batch_size=16)

    def trained(folder: Path | None, kill_at: int = 1000) -> nn.Module:
        def before_step(step: int) -> None:
            if step == kill_at:
                raise KeyboardInterrupt

        with seeded(1):
            model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)).bfloat16()
            with resuming(folder) if folder is not None else nullcontext():
                return train(model, task, Training(130), before_step=before_step)

    whole = trained(None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shoestring.kit.training.resume._SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, kill_at=120)
        resumed = trained(tmp_path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
