"""Rounds of training, step by step: what goes on, what is aimed, what is left out.

And the look before them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import count

import pytest
from torch import nn

from shoestring.artifact import bill, load
from shoestring.artifact.format.names import NOTE, names_beside
from shoestring.core import ActsOnLayers, Budget, Cost, Stage
from shoestring.kit import Supervised, Trial, clone, parameters_of
from shoestring.kit.clock import Clock
from shoestring.meters import Latency
from shoestring.plan import compress
from shoestring.plan.compress import searching
from shoestring.plan.experiments import Experiments
from shoestring.plan.forecast import forecast_of
from shoestring.plan.frontier import undominated
from shoestring.plan.kept import kept
from shoestring.plan.moves import Arm, moves
from shoestring.plan.proposal import Proposal, open_proposals, save_proposal
from shoestring.plan.rounds import Rounds
from shoestring.plan.search import Search
from shoestring.plan.standing import Standing
from shoestring.plan.training_time import step_seconds
from shoestring.plan.untrained import Untrained
from shoestring.prune import Magnitude
from shoestring.quantize import PostTraining


def test_what_no_dial_makes_fast_enough_leaves_its_place_to_another(
    model, task, tmp_path, monkeypatch
):
    rounds = rounds_of(model, task, tmp_path, "latency<=1ms, drop<=1%")
    slow, fast, other = [Arm((move,)) for move in moves() if move.trains][:3]
    tried: list[str] = []

    def aimed(arm, share, target):
        tried.append(arm.name)
        if arm is slow:
            return None
        rounds.aiming.begun += 1
        return Trial(
            technique=f"{len(tried)}",
            seed=0,
            cost=Cost(bytes=10, milliseconds=0.5),
            score=rounds.experiments.base - 0.2,
        )

    monkeypatch.setattr(rounds.aiming, "train", aimed)
    monkeypatch.setattr(rounds.replacing, "after", lambda results: [])
    monkeypatch.setattr(rounds, "_as_many_as_fit", lambda share, most: 1)
    rounds._fewer_for_longer([slow, fast, other])
    assert tried[:2] == [slow.name, fast.name] and other.name not in tried


def rounds_of(model, task, folder, budget: str) -> Rounds:
    """Rounds that may take ten minutes, on a search that has only looked."""
    standing = Standing(
        Experiments(model, task, folder), Budget.parse(budget), Clock(600.0), lambda trial: None
    )
    standing.begin(standing.experiments.trials())
    return Rounds(Untrained(standing), 0.01, 10)


def test_a_few_bytes_too_many_do_not_put_out_what_learned_better(model, task, tmp_path):
    limits = Budget.parse("size<=1KB, drop<=1%")
    experiments = Experiments(model, task, tmp_path)
    rounds = Rounds(
        Untrained(Standing(experiments, limits, Clock(60.0), lambda trial: None)), 0.01, 10
    )
    rate = next(Arm((move,)) for move in moves() if move.aims)
    other = next(Arm((move,)) for move in moves() if move.trains and not move.aims)

    def trial(size: int, score_: float) -> Trial:
        return Trial(technique=f"{size} {score_}", seed=0, cost=Cost(bytes=size), score=score_)

    better, worse = trial(1_100, experiments.base - 0.02), trial(990, experiments.base - 0.2)
    key = rounds.standing.key
    assert key(worse) < key(better), "as files, the one that breaks one limit is nearer"
    assert key(rounds._if_aimed_again(rate, better)) < key(rounds._if_aimed_again(rate, worse))
    assert rounds._if_aimed_again(other, better) is better, "what cannot be told where to end"
    far = trial(2_000, experiments.base)
    assert rounds._if_aimed_again(rate, far) is far


def test_who_is_too_slow_does_not_go_on_beside_who_is_not(model, task, tmp_path, monkeypatch):
    experiments = Experiments(model, task, tmp_path)
    original = replace(
        experiments.original, cost=replace(experiments.original.cost, milliseconds=1.0)
    )
    standing = Standing(
        experiments, Budget.parse("latency<=0.5ms, drop<=1%"), Clock(600.0), lambda trial: None
    )
    standing.best = original
    rounds = Rounds(Untrained(standing), 0.01, 10)
    slow, fast = [Arm((move,)) for move in moves() if move.trains][:2]
    tried: list[str] = []

    def aimed(arm, share, target):
        tried.append(arm.name)
        lost, milliseconds = (0.0, 0.6) if arm is slow else (0.3, 0.4)
        cost = Cost(bytes=1000, milliseconds=milliseconds)
        return Trial(
            technique=f"{arm.name} {len(tried)}", seed=0, cost=cost, score=experiments.base - lost
        )

    monkeypatch.setattr(rounds.aiming, "train", aimed)
    monkeypatch.setattr(rounds.replacing, "after", lambda results: [])
    rounds._fewer_for_longer([slow, fast])
    assert tried == [slow.name, fast.name, fast.name, fast.name]
    tried.clear()
    rounds._fewer_for_longer([slow])
    assert tried == [slow.name] * 2, "where nothing is fast enough, what is nearest goes on"


def test_where_a_training_diverged_another_kind_of_chain_is_tried(
    model, task, tmp_path, monkeypatch
):
    rounds = rounds_of(model, task, tmp_path, "drop<=5%")
    first, second = [Arm((move,)) for move in moves() if move.aims][:2]
    tried: list[str] = []

    def aimed(arm, share, target):
        tried.append(arm.name)
        found = None if arm is first else rounds.experiments.base
        return Trial(technique=f"{len(tried)}", seed=0, cost=Cost(bytes=100), score=found)

    monkeypatch.setattr(rounds.aiming, "train", aimed)
    monkeypatch.setattr(rounds.replacing, "after", lambda results: [])
    monkeypatch.setattr(rounds, "_as_many_as_fit", lambda share, most: 1)
    rounds._ever_smaller([first, second])
    assert tried == [first.name, second.name, second.name, second.name]


def test_what_others_may_be_at_is_not_gone_on_with(tmp_path):
    folder = tmp_path / "unfinished" / "one"
    save_proposal(
        folder,
        Proposal(techniques=(Magnitude(),), arm="Magnitude", dials=(0.5,), steps=10, fidelity=0.1),
    )
    when = (folder / "proposal.json").stat().st_mtime
    assert len(open_proposals(tmp_path)) == len(open_proposals(tmp_path, before=when + 1)) == 1
    assert open_proposals(tmp_path, before=when - 1) == []


def test_fetching_a_batch_is_part_of_a_step(model, task, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("shoestring.plan.training_time.monotonic", lambda: now[0])

    class Slow(Supervised):
        def batches(self, split):
            for batch in super().batches(split):
                now[0] += 0.25
                yield batch

    slow = Slow(train=task.train, validation=task.validation, test=task.test)
    assert step_seconds(model, task) == 0 and step_seconds(model, slow) == 0.25


@pytest.mark.slow
def test_a_loss_that_asks_for_what_a_wrapped_model_has_not_does_not_end_the_look(
    model, task, tmp_path
):
    class Own(nn.Sequential):
        name = "mine"

    class Asking(Supervised):
        def loss(self, model, batch):
            assert model.name == "mine"
            return super().loss(model, batch)

    mine, asking = (
        Own(*clone(model)),
        Asking(train=task.train, validation=task.validation, test=task.test),
    )
    untrained = rounds_of(mine, asking, tmp_path, "size<=1KB").first
    assert untrained.first_files(20.0), "what does not call the loss"


def test_the_gentle_end_of_the_first_move_comes_before_other_moves(
    model, task, tmp_path, monkeypatch
):
    """Where time is short, what lies between the two ends can be looked for.

    Other moves come after.
    """
    untrained = rounds_of(model, task, tmp_path, "size<=1KB, drop<=1%").first
    asked: list[tuple[str, float]] = []

    def busy(proposal, *, wait=True):
        asked.append((proposal.arm, *proposal.dials))

    monkeypatch.setattr(untrained, "attempt", busy)
    assert untrained.first_files(20.0) == []
    assert asked[:3] == [("PostTraining", 0.667), ("PostTraining", 0.0), ("WeightSharing", 0.667)]
    assert len(set(asked)) == len(asked) / 2, (
        "each is tried once, and once more where another process was at it"
    )


def test_only_what_acts_on_layers_is_refined_and_no_longer_than_it_may(
    model, task, tmp_path, monkeypatch
):
    untrained = rounds_of(model, task, tmp_path, "size<=1KB, drop<=0.01%").first
    asked: list[int] = []

    def tried(*args, most, **rest):
        asked.append(most)
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["shoestring.plan.untrained"], "fallback", tried)
    for move in untrained.moves:
        acts = isinstance(move.technique, ActsOnLayers)
        if (
            move.trains
            or move.stage is not Stage.NUMBERS
            or (acts and type(move.technique) is not PostTraining)
        ):
            continue
        name = Proposal(techniques=(move.at(0.667, 0),)).name
        cost, lost = Cost(bytes=100, seconds=10.0), 0.001 if acts else 0.0005
        untrained.standing.seen[name] = Trial(
            technique=name, seed=0, cost=cost, score=untrained.experiments.base - lost
        )
    with pytest.raises(KeyboardInterrupt):
        untrained.refine()
    assert asked == [int(0.15 * 0.95 * 600 / 10)]


def test_the_names_of_every_files_tensors_are_kept_also_of_modules_that_wrap_others(
    model, task, tmp_path
):
    experiments = Experiments(model, task, tmp_path / "out.shoe.study")
    for techniques in ((), (PostTraining(),)):
        trial = experiments(Proposal(techniques=techniques)) if techniques else experiments.original
        assert trial is not None and trial.score is not None
        experiments.note_names([trial])
        data = experiments.bytes_of(trial)
        names = [line.name for line in bill(data, names_beside(tmp_path / "out.shoe", data))]
        assert {one.name for one in parameters_of(model) if one.is_parameter} <= set(names), names


def test_what_was_not_timed_is_timed_for_a_while_the_best_first(model, task, tmp_path, monkeypatch):
    before = Experiments(model, task, tmp_path)
    for bits in (8, 2):
        before(Proposal(techniques=(PostTraining(bits=bits),)))
    experiments = Experiments(model, task, tmp_path, [Latency()], timing_seconds=0.1)
    files = [one for one in experiments.study.trials() if one.score is not None]
    assert len(files) > 1
    seconds = count()  # each file takes one, and one tenth is allowed
    monkeypatch.setattr(
        sys.modules["shoestring.plan.experiments"], "monotonic", lambda: float(next(seconds))
    )
    monkeypatch.setattr(sys.modules["shoestring.plan.experiments"], "_CATCHING_UP", 1.0)
    found = experiments.trials()[1:]
    timed = [one for one in found if one.cost.milliseconds is not None]
    assert (
        len(timed) == 1
        and timed[0].key in {one.key for one in undominated(files)}
        and len(found) == len(files)
    )


@pytest.mark.slow
def test_points_are_picked_as_they_were_reported_though_files_were_timed_in_other_hours(
    model, task, tmp_path
):
    path = tmp_path / "out.shoe"
    compress(model, task, "size<=6KB, latency<=1000%, drop<=20%", path, minutes=2.0)
    study = tmp_path / "out.shoe.study"
    note = json.loads((study / NOTE).read_text())

    def milliseconds(**changes) -> list[float | None]:
        (study / NOTE).write_text(json.dumps({**note, "points": [], **changes}))
        return [
            one.cost.milliseconds for one in kept(study)[1].points if one.technique != "chain()"
        ]

    now = milliseconds()
    slower = {**note["original_cost"], "milliseconds": 2 * note["original_cost"]["milliseconds"]}
    assert (
        now
        and all(now)
        and milliseconds(original_cost=slower) == pytest.approx([2 * one for one in now])
    )  # type: ignore[operator]
    assert milliseconds(timer="another machine's") == [], "what this timer did not time"


def test_somebody_who_asks_for_the_end_is_heard_though_an_exception_was_lost(model, task, tmp_path):
    asked: list[bool] = []
    settings = {
        "minutes": 2.0,
        "asked": lambda: bool(asked),
        "tell": lambda event: asked.append(True),
    }
    with searching(
        model, task, "size<=600B, drop<=10%", tmp_path / "out.shoe", **settings
    ) as outcome:
        assert outcome.interrupted and asked and load(outcome.file)


@pytest.mark.slow
def test_the_frontier_of_a_shared_storage_is_the_one_that_was_reported(model, task, tmp_path):
    pytest.importorskip("optuna", reason="needs the extra `search`")
    path, storage = tmp_path / "out.shoe", f"journal:{tmp_path / 'study.log'}"
    compress(model, task, "size<=6KB, drop<=20%", path, minutes=2.0, storage=storage)
    outcome = compress(
        model, task, "size<=6KB, latency<=1000%, drop<=20%", path, minutes=2.0, storage=storage
    )
    found = kept(tmp_path / "out.shoe.study")[1]
    assert [one.technique for one in found.points] == [
        one.technique for one in outcome.frontier.points
    ]
    assert [one.cost.milliseconds for one in found.points] == [
        one.cost.milliseconds for one in outcome.frontier.points
    ]


def test_a_forecast_goes_by_what_an_earlier_training_came_to(model, task, tmp_path):
    standing = rounds_of(model, task, tmp_path, "latency<=0.5ms, drop<=1%").standing
    original = standing.experiments.original
    slow = replace(original, cost=replace(original.cost, milliseconds=1.0))
    standing.experiments.original = standing.best = slow
    search = Search(standing, step=0.01)
    before = forecast_of(search)
    trained = replace(
        slow, technique="trained", fidelity=0.3, cost=replace(slow.cost, milliseconds=0.8)
    )
    standing.seen = {one.technique: one for one in (slow, trained)}
    after = forecast_of(search)
    assert (
        before.milliseconds
        and after.milliseconds
        and before.chance is not None
        and after.chance is not None
    )
    assert before.milliseconds.middle == pytest.approx(
        0.475
    ) and after.milliseconds.middle == pytest.approx(0.8)
    assert after.chance < before.chance / 2


def test_between_a_setting_that_is_too_large_and_one_that_is_too_poor_another_is_looked_for(
    model, task, tmp_path, monkeypatch
):
    experiments = Experiments(model, task, tmp_path)
    standing = Standing(
        experiments, Budget.parse("size<=1KB, drop<=1%"), Clock(600.0), lambda trial: None
    )
    standing.best = experiments.original
    untrained = Untrained(standing)
    sharing = next(move for move in moves() if move.name == "WeightSharing")
    tried: list[float] = []

    def trial(dial: float) -> Trial:
        """Smaller and poorer the harder it presses: both limits are kept from 0.3 to 0.4 alone."""
        size, lost = (900 if dial >= 0.3 else 2_000), (0.0 if dial <= 0.4 else 0.1)
        name = Proposal(techniques=(sharing.at(dial, 0),)).name
        return Trial(technique=name, seed=0, cost=Cost(bytes=size), score=experiments.base - lost)

    def attempt(proposal: Proposal) -> Trial:
        tried.append(proposal.dials[0])
        return trial(proposal.dials[0])

    monkeypatch.setattr(untrained, "attempt", attempt)
    untrained.between()
    assert not tried, "nothing is known that is too large, or too poor"
    for dial in (0.0, 0.667, 1.0):
        standing.seen[trial(dial).technique] = trial(dial)
    untrained.between()
    assert tried == [pytest.approx(0.3335)]  # half way from 0 to 0.667
    tried.clear()
    standing.seen[trial(0.5).technique] = trial(0.5)  # nearer to what is asked
    untrained.between()
    assert tried == [pytest.approx(0.25), pytest.approx(0.375)]
