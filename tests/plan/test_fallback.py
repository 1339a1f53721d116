"""The fewest layers that must stay: against harm that is known, and on real digits."""

import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.core import Technique, score, seeded
from shoestring.kit import Supervised, Training, train
from shoestring.meters import Latency
from shoestring.plan import FallbackResult, fallback, sensitivity
from shoestring.plan.relative_latency import RelativeLatency
from shoestring.plan.trials import Trials
from shoestring.prune import Magnitude
from shoestring.tasks import digits

from .made_up import CALLS, Harm, Sum, summing


@pytest.fixture(autouse=True)
def fresh():
    CALLS.clear()


def kept(found: FallbackResult) -> list[int]:
    return sorted(int(name.split(".")[1]) for one in found.kept for name in one.layers)


def search(action: Harm, drop: float, **settings) -> FallbackResult:
    count = len(action.harms)
    return fallback(Sum(count), summing(count), action, drop=drop, **settings)


class Everywhere(Harm):
    """Does harm whatever it keeps."""

    def __call__(self, model, task):
        model = super().__call__(model, task)
        with torch.no_grad():
            model.layers[0].weight.sub_(1)  # type: ignore[union-attr]
        return model


EIGHTHS = (1, 0, 6, 2, 0, 0, 9, 1, 3, 0)
HARMS = tuple(one / 8 for one in EIGHTHS)


@pytest.mark.by_default("0.5-*", "2.75-*")
@pytest.mark.parametrize(
    ("drop", "expected"),
    [(0.0, [0, 2, 3, 6, 7, 8]), (0.5, [2, 6, 8]), (0.875, [2, 6]), (2.0, [6]), (2.75, [])],
)
def test_the_fewest_layers_stay(drop: float, expected: list[int]):
    found = search(Harm(harms=HARMS), drop)
    assert kept(found) == expected and found.met and found.complete
    assert (
        found.lost == sum(one for place, one in enumerate(HARMS) if place not in expected) <= drop
    )
    fewer = [set(some) for some in combinations(range(10), max(len(expected) - 1, 0))]
    if expected:  # the obvious way: no smaller set does
        assert all(
            sum(one for place, one in enumerate(HARMS) if place not in some) > drop
            for some in fewer
        )
    assert found.technique == Harm(harms=HARMS, keep=tuple(f"layers.{place}" for place in expected))


def test_the_technique_that_is_found_makes_the_model_again():
    found = search(Harm(harms=HARMS), 0.5)
    again = found.technique(Sum(10), summing(10).sealed())
    assert score(summing(10), again) == found.score == 9.5


def test_where_all_may_be_changed_one_trial_tells():
    found = search(Harm(harms=HARMS), 3.0)
    assert found.kept == () and found.trials == len(CALLS) == 1
    assert found.technique == Harm(harms=HARMS)


def test_harm_that_only_shows_in_company_is_found():
    found = search(Harm(harms=(0.0,) * 6, together=(1, 4)), 0.5)
    assert kept(found) in ([1], [4]) and found.lost == 0


def test_noise_in_the_scores_does_not_change_the_answer():
    quiet = search(Harm(harms=HARMS), 0.5)
    noisy = fallback(Sum(10), summing(10, noise=5.0), Harm(harms=HARMS), drop=0.5001)
    assert kept(noisy) == kept(quiet)


@pytest.mark.slow
def test_many_layers_take_few_trials_where_nothing_is_known_of_them():
    harms = [0.0] * 32
    for place in (5, 20, 21):
        harms[place] = 1.0
    found = search(Harm(harms=tuple(harms)), 0.5, most=40)
    assert kept(found) == [5, 20, 21] and found.complete
    assert found.trials < 32, "fewer than there are layers"


def test_what_must_stay_and_what_must_not():
    found = search(Harm(harms=HARMS), 0.5, must_not=("layers.1",), must=("layers.8",))
    assert kept(found) == [0, 1, 2, 3, 6], (
        "layer 8 loses 3 / 8: of the others no more than 1 / 8 may be lost"
    )
    reasons = {one.layers[0]: one.reason for one in found.kept}
    assert reasons["layers.1"] == "it must not be touched"
    assert ("layers.8",) in found.changed


def test_where_the_drop_cannot_be_kept_it_says_so():
    found = search(Harm(harms=HARMS), 0.5, must=("layers.6",))
    assert not found.met and found.lost == 9 / 8 and ("layers.6",) in found.changed
    assert "is not kept, whatever stays" in str(found)


def test_where_even_an_action_that_keeps_all_does_harm_it_says_so():
    found = search(Everywhere(harms=(0.0, 0.0)), 0.5)
    assert not found.met and found.changed == () and found.lost == 1


def test_a_layer_that_fails_is_kept_and_the_reason_told():
    found = search(Harm(harms=HARMS, failing="layers.4"), 0.5)
    assert kept(found) == [2, 4, 6, 8] and found.met
    assert "layers.4 cannot be changed" in next(
        one.reason for one in found.kept if one.layers == ("layers.4",)
    )


def test_layers_that_the_action_does_not_act_on_are_left_out():
    found = search(Harm(harms=HARMS, deaf=("layers.6", "layers.0")), 0.5, must_not=("layers.0",))
    assert kept(found) == [2, 8] and found.met and found.lost == 0.5 - 1 / 8
    assert not {("layers.0",), ("layers.6",)} & {*found.changed}
    assert found.technique(Sum(10), summing(10).sealed())


def test_an_action_on_other_layers_than_were_thought_of_is_refused():
    with pytest.raises(
        ValueError, match=r"acts on none of layers.0, layers.1; let it say by a method layers"
    ):
        search(Everywhere(harms=(1.0, 1.0), deaf=("layers.0", "layers.1")), 0.0)


def test_the_reasons_are_what_changing_a_layer_too_would_lose():
    found = search(Harm(harms=HARMS), 0.5)
    assert {one.layers[0]: one.reason for one in found.kept} == {
        "layers.2": "changed too, +1.2500 is lost",
        "layers.6": "changed too, +1.6250 is lost",
        "layers.8": "changed too, +0.8750 is lost",
    }
    said = str(found)
    assert (
        "3 of 10 layers or groups stay" in said and "lost +0.5000 ± 0.0000, and 0.5 may be" in said
    )
    assert said.splitlines()[-1] == repr(found.technique)


def test_a_model_that_is_one_layer_has_a_name():
    task: Supervised = digits()
    found = fallback(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        task,
        Magnitude(training=Training(0)),
        drop=1.0,
        must_not=("1",),
    )
    one = replace(found, kept=(replace(found.kept[0], layers=("",)),))
    assert str(one).splitlines()[1] == "  (the model itself): it must not be touched"


def test_groups_stay_or_change_as_one():
    found = search(
        Harm(harms=HARMS),
        0.875,
        groups=[("layers.2", "layers.3", "layers.4"), ("layers.5", "layers.6")],
    )
    assert kept(found) == [2, 3, 4, 5, 6] and len(found.kept) == 2


def test_what_the_action_keeps_already_stays_in_the_technique():
    found = search(Harm(harms=HARMS, keep=("layers.6",)), 0.875)
    assert found.technique == Harm(harms=HARMS, keep=("layers.6", "layers.2"))


def test_a_table_saves_the_trials_of_layers_alone():
    action = Harm(harms=HARMS)
    table = sensitivity(Sum(10), summing(10), action, meters=())
    CALLS.clear()
    found = search(action, 0.5, table=table)
    assert kept(found) == [2, 6, 8]
    assert not any("only=" in name for name in CALLS)


def test_a_search_that_may_make_few_models_ends_with_what_does():
    found = search(Harm(harms=HARMS), 0.5, most=4)
    assert found.met and not found.complete and len(CALLS) == 4
    assert "cut short" in str(found) and kept(found) == [0, 1, 2, 3, 4, 5, 6] and found.lost == 0.5
    CALLS.clear()
    one = search(Harm(harms=HARMS), 0.5, most=1)
    assert not one.met and not one.complete


def test_an_interrupted_search_goes_on_and_finds_the_same(tmp_path: Path):
    action = Harm(harms=HARMS)
    whole = search(action, 0.5)
    calls = len(CALLS)
    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        search(replace(action, interrupting=6), 0.5, folder=tmp_path)
    resumed = search(action, 0.5, folder=tmp_path)
    assert len(CALLS) == calls and replace(resumed, trials=whole.trials) == whole


class Speeds:
    """Stands in for the timing: so long takes the model, with each layer's change."""

    def __init__(self, faster: dict[int, float], alone: float = 0.0) -> None:
        self.faster, self.alone = faster, alone

    def milliseconds(self, action: Harm | None) -> float:
        if action is None:
            return 10.0
        changed = [
            place
            for place in range(10)
            if (not action.only or f"layers.{place}" in action.only)
            and f"layers.{place}" not in action.keep
        ]
        return (
            10.0
            - sum(self.faster.get(place, 0.0) for place in changed)
            + (self.alone if len(changed) == 1 else 0)
        )


def timed(monkeypatch: pytest.MonkeyPatch, speeds: Speeds) -> None:
    def relative_latency(action: Harm | None, other: Harm | None) -> RelativeLatency:
        ratio = speeds.milliseconds(action) / speeds.milliseconds(other)
        return RelativeLatency(
            ratio=ratio,
            low=ratio - 0.01,
            high=ratio + 0.01,
            milliseconds=speeds.milliseconds(other),
        )

    made: list[Harm | None] = [None]

    class Timed(Trials):
        def attempt(self, technique: Technique):
            made[0] = technique  # type: ignore[assignment]
            return super().attempt(technique)

        def compare(self, technique, other):
            return relative_latency(technique, other)

    monkeypatch.setattr(sys.modules["shoestring.plan.fallback"], "Trials", Timed)
    monkeypatch.setattr(
        sys.modules["shoestring.plan.weighing"],
        "relative_latency",
        lambda *_, **__: relative_latency(made[0], None),
    )


def test_what_makes_the_file_slower_stays(monkeypatch):
    timed(monkeypatch, Speeds({0: 1.0, 1: 1.0, 2: -0.5, 3: 1.0, 9: -0.25}))
    found = search(Harm(harms=(0.125,) * 10), 2.0, meters=[Latency()])
    assert kept(found) == [2, 9] and found.complete
    assert all("times as slow" in one.reason for one in found.kept)
    assert found.relative_latency is not None and found.relative_latency.ratio == pytest.approx(0.7)


def test_what_is_slower_alone_and_pays_in_company_is_changed(monkeypatch):
    timed(monkeypatch, Speeds(dict.fromkeys(range(10), 0.5), alone=1.0))
    found = search(Harm(harms=(0.125,) * 10), 2.0, meters=[Latency()])
    assert (
        found.kept == ()
        and found.relative_latency is not None
        and found.relative_latency.ratio == 0.5
    )


def test_score_and_speed_together(monkeypatch):
    timed(monkeypatch, Speeds({0: 1.0, 1: -1.0, 2: 2.0, 6: 2.0}))
    found = search(Harm(harms=HARMS), 0.5, meters=[Latency()])
    assert kept(found) == [1, 2, 6, 8]
    reasons = {one.layers[0]: one.reason for one in found.kept}
    assert "is lost" in reasons["layers.2"] and "times as slow" in reasons["layers.1"]


def test_a_slower_layer_that_must_be_changed_is(monkeypatch):
    timed(monkeypatch, Speeds({1: -1.0}))
    found = search(Harm(harms=(0.0,) * 10), 0.0, meters=[Latency()], must=("layers.1",))
    assert found.kept == ()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"must": ("layers.11",)}, ValueError, r"layers.11.*the nearest are layers.1"),
        ({"must_not": ("layer.*",)}, ValueError, "names 'layer.*'"),
        (
            {"must": ("layers.1",), "must_not": ("layers.[12]",)},
            ValueError,
            "layers.1 must be changed and must not",
        ),
        ({"drop": -0.1}, ValueError, "the drop is -0.1"),
        ({"drop": float("nan")}, ValueError, "the drop is nan"),
        ({"most": 0}, ValueError, "most is 0"),
    ],
)
def test_what_cannot_be_worked_with_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        search(Harm(harms=HARMS), **{"drop": 0.5, **settings})


def test_on_real_digits_the_file_is_what_is_promised():
    task: Supervised = digits()
    with seeded(0):
        model = train(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)),
            task,
            Training(300),
        )
    found = fallback(model, task, Magnitude(density=0.1, training=Training(0)), drop=0.2)
    assert found.met and [one.layers for one in found.kept] == [("3",)]
    again = found.technique(model, task.sealed())
    assert score(task, again) == pytest.approx(found.score) and found.bytes < found.bytes_before  # type: ignore[operator]


def test_a_drop_finer_than_the_data_can_tell_draws_a_warning():
    task: Supervised = digits()
    with seeded(0):
        model = train(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task, Training(100))
    with pytest.warns(UserWarning, match="finer than two standard errors"):
        fallback(model, task, Magnitude(density=0.7, training=Training(0)), drop=0.005, must=("1",))
