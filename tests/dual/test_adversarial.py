"""Adversarial training: what the discriminator and the directions learn, and when it wins."""

from __future__ import annotations

import warnings

import pytest
import torch
from made_duals import Readers, pictures_and_labels
from made_spelling import ALPHABET, FIRST, LETTERS, spelled, spellers, spelling, with_end
from made_tables import PAIRS, both_tables, check_like, expected_gradient, policy_gradients, tables
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import seeded
from shoestring.dual import Adversarial, DenseJudge, SequenceJudge
from shoestring.dual.adversarial import _Contest, _judged, _WithJudge
from shoestring.kit import AdamW, SkippedWarning, Training, train


def test_the_discriminators_loss_by_hand():
    """Real pairs and made ones count alike, whatever makes them."""
    real, one, other = torch.tensor([2.0]), torch.tensor([-1.0]), torch.tensor([0.0])
    wanted = (
        functional.softplus(-real) + (functional.softplus(one) + functional.softplus(other)) / 2
    )
    assert float(_judged(real, one, other)) == pytest.approx(float(wanted))


def test_the_directions_do_not_learn_from_the_discriminators_loss():
    """Rewards are constants: the judge's weights have no gradient by way of the policy."""
    task = pictures_and_labels(40)
    with seeded(0):
        both = _WithJudge(Readers(), DenseJudge(source=64, target=10).made())
    source, target = next(iter(task.batches("train")))
    lesson = _Contest(task, 1.0)
    logits = both.judge(source, target)
    gain = lesson._gain(both.model, task.forward, (source, target), target, logits)
    gain.backward()
    assert all(p.grad is None for p in both.judge.parameters())
    assert any(p.grad is not None for p in both.model.read.parameters())  # type: ignore[union-attr]


class Likes(nn.Module):
    """Finds pairs real by their ids and places; it has nothing to learn."""

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        width = torch.arange(1, target.shape[1] + 1)
        return (source[:, 0] - 3.5) + ((target == 4) * width).sum(1) / 2 - (target == 3).sum(1)


def test_the_policy_gradient_that_trains_is_that_of_the_expected_reward_by_enumeration():
    """Of samples of one to three items, empty ones and such as have no end, in both directions."""
    both, task = _WithJudge(tables(), Likes()), both_tables()
    source, target = (one.repeat(20_000, 1) for one in PAIRS)
    found = policy_gradients(lambda policy: _Contest(task, policy), both, (source, target))
    ways = (task.forward, task.backward)
    for there, alone, like, got in zip(ways, PAIRS, reversed(PAIRS), found, strict=True):

        def reward(given: Tensor, made: Tensor, is_ahead: bool = there is task.forward) -> Tensor:
            real = both.judge(*((given, made) if is_ahead else (made, given))).sigmoid()
            return real * ~((made[:, 0] == 2) | ~(made == 2).any(1))

        wanted = expected_gradient(there, there.of(both.model), alone, reward)
        check_like(got * (like != 0).sum(1).float().mean(), wanted)


class Knows(nn.Module):
    """Sure of what is right; it has nothing to learn."""

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        is_right = torch.zeros(len(source), dtype=torch.bool)
        if target.shape == source.shape and int((source == ALPHABET.end).sum()) == len(source):
            is_right = (with_end(spelled(source[:, :-1])) == target).all(1)
        return torch.where(is_right, 9.0, -9.0)


class KnowsAll:
    """The kind of discriminator that knows."""

    def made(self) -> nn.Module:
        return Knows()


def test_a_discriminator_that_wins_at_once_is_said():
    slowly = Training(20, AdamW(1e-6))
    with pytest.warns(SkippedWarning, match="tells 100 % of the pairs right"), seeded(0):
        Adversarial(judge=KnowsAll(), training=slowly)(spellers(), spelling(16).sealed())


@pytest.mark.slow
def test_one_that_is_deceived_is_not_said():
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("error")
        judge = SequenceJudge(ids=FIRST + LETTERS)
        model = train(spellers(), spelling(16).sealed(), Training(150, AdamW(5e-3)))
        Adversarial(judge=judge, training=Training(20, AdamW(1e-3)))(model, spelling(16).sealed())


def test_sequences_are_judged_and_learnt_from():
    task, training = spelling(16), Training(4, AdamW(1e-3))
    with seeded(0):
        model = train(spellers(), task.sealed(), Training(30, AdamW(5e-3)))
        result = Adversarial(judge=SequenceJudge(ids=FIRST + LETTERS), training=training)(
            model, task.sealed()
        )
    assert all(torch.isfinite(p).all() for p in result.parameters())
    assert not torch.equal(next(iter(model.parameters())), next(iter(result.parameters())))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="policy's weight is 0"):
        Adversarial(judge=DenseJudge(source=64, target=10), policy=0.0)
    with pytest.raises(TypeError, match="one direction only"):
        Adversarial(judge=DenseJudge(source=64, target=10))(Readers(), pictures_and_labels().ahead)
