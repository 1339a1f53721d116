"""Dual learning: the policy gradient against enumeration, and what round trips teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_duals import Readers, pictures_and_labels
from made_spelling import directions, spellers, spelling
from made_tables import (
    GIVEN,
    PAIRS,
    both_tables,
    check_like,
    expected_gradient,
    lengths,
    policy_gradients,
    tables,
)
from torch import Tensor, nn

from shoestring.core import scores, seeded
from shoestring.dual import Best, Classes, Drawn, DualLearning, Pool, RewardError
from shoestring.dual.learning import _RoundTrips, round_trip
from shoestring.kit import AdamW, Training, clone, resuming, state_of, train

FEW = Training(2, AdamW(1e-3))


class Tables(nn.Module):
    """p(y|x) and p(x|y) as tables: 2 sources and 3 targets."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.there = nn.Embedding.from_pretrained(
            torch.randn(2, 3, generator=generator), freeze=False
        )
        self.back = nn.Embedding.from_pretrained(
            torch.randn(3, 2, generator=generator), freeze=False
        )


def test_the_policy_gradient_that_trains_is_that_of_the_expected_reward_by_enumeration():
    """Of samples of one to three items, empty ones and such as have no end, on both round trips."""
    model, task, share = tables(), both_tables(), 0.3
    many = GIVEN.repeat(5000, 1)
    found = policy_gradients(
        lambda policy: _RoundTrips(task, Drawn(2), share, 1.0, policy), model, (PAIRS, many, many)
    )
    ways = (task.forward, task.backward), (task.backward, task.forward)
    for (there, back), like, got in zip(ways, reversed(PAIRS), found, strict=True):

        def reward(given: Tensor, made: Tensor, there: Any = there, back: Any = back) -> Tensor:
            right = back.log_likelihood(back.of(model), made, given) / (given != 0).sum(1)
            whole = (1 - share) * right + share * lengths(made) / (made != 0).sum(1)
            nothing = (made[:, 0] == 2) | ~(made == 2).any(1)
            return torch.where(nothing, whole.min(), whole)

        wanted = expected_gradient(there, there.of(model), GIVEN, reward)
        check_like(got * (like != 0).sum(1).float().mean(), wanted)


def test_rewards_and_advantages_by_hand():
    model = Tables()
    q_CS = model.back.weight.detach().log_softmax(-1)
    trip = round_trip(
        model,
        Classes(part="there"),
        Classes(part="back"),
        lambda y: -y.float(),
        torch.tensor([1]),
        writing=Best(3),
        fluency=0.25,
    )
    rewards = [float(0.75 * q_CS[y, 1] - 0.25 * y) for y in trip.made.tolist()]
    assert sorted(trip.made.tolist()) == [0, 1, 2]
    assert trip.reward.tolist() == pytest.approx(rewards)
    first = rewards[0] - (rewards[1] + rewards[2]) / 2
    assert float(trip.advantage[0]) == pytest.approx(first)
    assert float(trip.advantage.sum()) == pytest.approx(0, abs=1e-6)


class Mute(nn.Module):
    """Writes empty sequences."""

    def encode(self, source: Tensor) -> dict[str, Tensor]:
        return {"of": source[:, :1]}

    def step(self, last: Tensor, of: Tensor) -> dict[str, Tensor]:
        return {"logits": torch.tensor([0.0, 0.0, 99.0, 0, 0, 0, 0]).expand(len(last), -1)}

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, 99.0, 0, 0, 0, 0]).expand(*target.shape, -1)


def test_an_empty_round_trip_has_the_lowest_reward_and_teaches_nothing():
    model, (there, back) = spellers(), directions()
    model.ahead = Mute()
    trip = round_trip(
        model, there, back, None, torch.tensor([[3, 4, 2]]), writing=Drawn(2), fluency=0.0
    )
    assert trip.made.tolist() == [[2], [2]] and not trip.says.any()
    assert torch.isfinite(trip.reward).all() and trip.advantage.tolist() == [0, 0]
    with seeded(0):
        result = DualLearning(fluency=0.0, training=FEW)(model, spelling())
    assert all(torch.isfinite(p).all() for p in result.parameters())


@pytest.mark.slow
def test_round_trips_teach_both_directions_more_than_more_steps_on_the_pairs():
    task, model = spelling(16), spellers()
    with seeded(0):
        begun = train(clone(model), task.sealed(), Training(200, AdamW(5e-3)))
        longer = train(clone(begun), task.sealed(), Training(200, AdamW(3e-3)))
        taught = DualLearning(training=Training(200, AdamW(3e-3)))(begun, task.sealed())
    pairs, ours = (scores(task, one, "validation") for one in (longer, taught))
    assert ours["forward"] > pairs["forward"] + 0.1 and ours["backward"] > pairs["backward"] + 0.1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"writing": Drawn(1)}, "writes one sample"),
        ({"fluency": 1.5}, "fluency is 1.5"),
        ({"weight": 0.0}, "weight 0.0"),
        ({"policy": -1.0}, "policy -1"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        DualLearning(**changed)


def test_tasks_that_lack_something_are_refused_by_name():
    task, model = spelling(), spellers()
    with pytest.raises(ValueError, match="no sources without a pair: give sources="):
        DualLearning()(model, replace(task, sources=()))
    with pytest.raises(ValueError, match="no targets without a pair"):
        DualLearning()(model, replace(task, targets=()).sealed())
    with pytest.raises(ValueError, match="fluency counts and a side has no marginal"):
        DualLearning()(model, replace(task, marginals=type(task.marginals)()))
    with pytest.raises(TypeError, match="spelling has one direction only"):
        DualLearning()(model, task.ahead)


def test_a_reward_that_is_no_number_is_named():
    task = spelling()
    wrong = replace(
        task, marginals=replace(task.marginals, target=lambda rows: rows.sum(1) * float("nan"))
    )
    with pytest.raises(RewardError, match="the fluency is nan for 32 of 32 examples"):
        DualLearning(training=FEW)(spellers(), wrong)


def test_a_killed_run_goes_on_and_its_end_is_the_same(tmp_path: Path, monkeypatch: Any):
    from shoestring.kit.training import resume

    monkeypatch.setattr(resume, "EVERY", 1)
    monkeypatch.setattr(resume, "_SECONDS", 0)
    task, technique = pictures_and_labels(200), DualLearning(training=Training(11, AdamW(1e-2)))
    # a pool that ends within a pass over the pairs is drawn anew there
    task = replace(task, sources=Pool(task.sources.examples[:70], 64))  # type: ignore[attr-defined]
    with seeded(0):
        model = Readers()

    def run(folder: Path, stop: int | None) -> Any:
        left = [stop]

        def marginal(examples: Tensor) -> Tensor:
            if left[0] is not None:
                left[0] -= 1
                if not left[0]:
                    raise KeyboardInterrupt
            return examples.flatten(1).sum(1) / 64

        own = replace(task, marginals=replace(task.marginals, source=marginal))
        with seeded(0), resuming(folder):
            return state_of(technique(model, own.sealed()))

    whole = run(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", 8)
    again = run(tmp_path / "killed", None)
    assert all(torch.equal(whole.values[name], again.values[name]) for name in whole.values)
