"""The semi-supervised GAN: its losses by hand, what each moves, and its bad input."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from half_moons import CHANGES, moons, network
from torch import Tensor, nn
from torch.nn.functional import softplus

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.unlabelled import DenseGenerator, SemiSupervisedGAN
from shoestring.unlabelled.consistency import Pair
from shoestring.unlabelled.semi_supervised_gan import _Contest, _Rival


def same(inputs: Tensor) -> Tensor:
    return inputs


class Half(nn.Module):
    """Makes what it is told by one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.5))

    def forward(self, noise: Tensor) -> Tensor:
        return self.level.expand(len(noise), 2)


def test_both_losses_by_hand_and_what_they_move():
    network = nn.Sequential(nn.Identity(), nn.Linear(2, 3))
    pair = Pair(network, 0.9, _Rival(Half(), 4))
    real = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    loss = _Contest("1", same, 0.0)(pair, (real,), 0.5)
    linear = pair.network[1]  # type: ignore[index]
    sure = linear(real).logsumexp(1)
    sure_made = linear(torch.full((2, 2), 0.5)).logsumexp(1)
    told = softplus(-sure).mean() + softplus(sure_made).mean()
    apart = (1.5**2 + 2.5**2) / 2  # of the mean features (2, 3) and (0.5, 0.5)
    assert float(loss.detach()) == pytest.approx(float(told.detach()) + apart, rel=1e-5)
    loss.backward()
    assert pair.memory.generator.level.grad.item() == pytest.approx(-(1.5 + 2.5))  # type: ignore[union-attr]
    wanted = torch.autograd.grad(told, linear.weight)[0]
    assert linear.weight.grad is not None and torch.allclose(linear.weight.grad, wanted, atol=1e-6)
    assert all(one.requires_grad for one in pair.network.parameters())


def normed() -> nn.Module:
    with seeded(0):
        return nn.Sequential(
            nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
        )  # fmt: skip


@pytest.mark.parametrize("momentum", [0.1, None])
def test_made_examples_do_not_move_the_averages_of_batch_norms(momentum: float | None):
    """After a step they are those of one forward pass of the real inputs, and no more."""
    network, wanted = normed(), normed()
    network[1].momentum = wanted[1].momentum = momentum  # type: ignore[index, union-attr]
    real = torch.tensor([[1.0, 2.0], [3.0, 4.0], [2.0, 0.0]])
    wanted(real)
    pair = Pair(network, 0.9, _Rival(DenseGenerator(4, 8).made(10 + real), 4))
    loss = _Contest("3", same, 0.0)(pair, (real,), 0.5)
    loss.backward()
    found = dict(pair.network.named_buffers())
    assert all(torch.equal(found[name], one) for name, one in wanted.named_buffers())
    assert int(found["1.num_batches_tracked"]) == 1
    assert pair.network[1].momentum == momentum  # type: ignore[index, union-attr]
    assert all(one.grad is not None for one in pair.network.parameters())


@dataclass(frozen=True)
class Far:
    """The kind of generator that makes what is far from all real inputs."""

    noise: int = 4

    def made(self, like: Tensor) -> nn.Module:
        return nn.Sequential(nn.Linear(self.noise, 2), Shifted())


class Shifted(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return rows + 50.0


def test_a_network_with_batch_norm_is_judged_by_the_statistics_of_real_inputs():
    """Its averages are near the means of the training inputs, which is what it meets in use."""
    technique = SemiSupervisedGAN(
        training=Training(60, AdamW(1e-2)),
        generator=Far(),  # type: ignore[arg-type]
        size=32,
        **CHANGES,
    )
    task = moons()
    model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tried = technique.tried(model, task.sealed())
    norm = tried.learnt[1]  # type: ignore[index]
    with torch.no_grad():
        seen = tried.learnt[0](task.unlabelled)  # type: ignore[index]
    apart = (norm.running_mean - seen.mean(0)).abs() / seen.std(0)
    assert float(apart.max()) < 0.5
    assert tried.scores[0] > 0.75


def test_the_generator_makes_what_it_sees():
    like = torch.rand(50, 1, 4, 4) * 3 - 1
    made = DenseGenerator(noise=5, width=6).made(like)(10 * torch.randn(20, 5))
    assert made.shape == (20, 1, 4, 4)
    assert like.min() <= made.min() and made.max() <= like.max()


def test_it_learns_beside_the_labels():
    technique = SemiSupervisedGAN(training=Training(60, AdamW(1e-2)), size=16, **CHANGES)
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tried = technique.tried(network(), moons().sealed())
    assert tried.scores[0] > 0.7 and "SemiSupervisedGAN" in tried.why
    assert tried.refused == (tried.scores[0] <= tried.scores[1])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"weight": -1.0}, "weight of unlabelled examples is -1.0"),
        ({"rise": 2.0}, "the rise is 2.0"),
        ({"size": 1}, "one unlabelled example a batch has no mean"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        SemiSupervisedGAN(**settings)
    with pytest.raises(ValueError, match="the noise of a generator is 0"):
        DenseGenerator(noise=0)


def test_what_it_cannot_make_or_match():
    ids = torch.randint(1, 9, (20, 5))
    labels = torch.arange(20) % 2
    texts = Supervised(train=(ids, labels), validation=(ids, labels), unlabelled=ids)
    reader = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 2))
    few = SemiSupervisedGAN(training=Training(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"a generator makes one tensor of real numbers"):
            few(reader, texts.sealed())
