"""A search finds what it should, within its limits, and goes on where it was."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import ClassVar

import pytest
import torch
from made_networks import Dense, parameters, rings

from shoestring.core import Budget, BudgetError, Cost, score
from shoestring.kit import AdamW, Supervised, Training, Trial, train
from shoestring.search import (
    AtRandom,
    Evolution,
    Found,
    Halving,
    Method,
    SearchWarning,
    evaluation,
    find,
    finding,
)
from shoestring.search import found as found_networks
from shoestring.search.training_length import TooShortError

SHORT = Training(120, AdamW(1e-2))
METHOD = Method(searcher=AtRandom(), halving=Halving(rungs=1))


def searched(folder: Path | None = None, limits: str = "", most: int = 9, **more) -> Found:
    return find(rings(), Dense(), limits, folder, method=METHOD, training=SHORT, most=most, **more)


def test_the_best_network_tells_rings_apart_and_its_file_is_what_was_scored():
    found = searched()
    best = found.best
    assert best.share == 1 and best.score is not None and best.score > 0.85
    assert score(rings().sealed(), best.network()) == pytest.approx(best.score, abs=1e-9)
    assert best.cost.bytes == len(best.file or b"")
    assert best.score == max(one.score or 0 for one in found.candidates if one.share == 1)
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(str(best), namespace)  # what is printed is the network
    assert parameters(namespace["Network"]()) == parameters(best.untrained())


def test_as_many_networks_are_begun_as_were_asked_for_and_a_third_goes_on():
    found = searched(most=9)
    shares = [trial.fidelity for trial in found.trials]
    assert shares.count(1 / 3) == 9 and shares.count(1.0) == 3
    full = {trial.technique for trial in found.trials if trial.fidelity == 1}
    firsts = {one.technique: one.score or 0 for one in found.trials if one.fidelity == 1 / 3}
    assert max(firsts, key=lambda name: firsts[name]) in full


def test_of_a_space_too_small_for_halving_the_best_is_trained_fully():
    space = Dense(widths=(16,), depths=(1,))
    found = find(rings(), space, method=METHOD, training=SHORT, minutes=2)
    assert [one.share for one in found.candidates] == [1.0, 1 / 3]
    assert found.best.network() is not None


def test_no_network_above_the_limits_is_trained():
    found = searched(limits="operations<=200")
    assert found.refused and found.trials
    for one in found.candidates:
        assert one.estimate.operations is not None and one.estimate.operations <= 200
        assert not one.over


def test_a_second_search_goes_on_and_trains_nothing_twice(tmp_path):
    first = searched(tmp_path, most=4)
    again = searched(tmp_path, most=4)
    assert again.trials == first.trials
    more = searched(tmp_path, most=7)
    assert more.trials[: len(first.trials)] == first.trials
    assert len({one.technique for one in more.trials}) == 7


def test_limits_of_a_later_search_leave_out_what_breaks_them(tmp_path):
    searched(tmp_path, most=8)
    small = searched(tmp_path, "operations<=60", most=3)
    assert all((one.estimate.operations or 0) <= 60 for one in small.candidates)


def test_other_data_are_another_search(tmp_path):
    searched(tmp_path, most=2)
    found = find(
        rings(seed=1), Dense(), "", tmp_path, method=METHOD, training=SHORT, most=2, seed=5
    )
    assert len(found.trials) == 2


def test_other_validation_data_are_another_search_whatever_they_score(tmp_path):
    """Labels that an untrained network gets wrong either way tell nothing by its score."""
    searched(tmp_path, most=2)
    task = rings()
    points, labels = task.validation
    changed = labels.clone()
    changed[:2] = 1 - changed[:2]
    other = replace(task, validation=(points, changed))
    found = find(other, Dense(), "", tmp_path, method=METHOD, training=SHORT, most=1)
    assert len({one.technique for one in found.trials}) == 1


def test_ways_that_are_compared_get_as_many_trainings():
    method = replace(METHOD, trainings=2.0)
    found = find(rings(), Dense(), method=method, training=SHORT)
    assert 1.75 < sum(one.fidelity for one in found.trials) <= 2.75


def test_nothing_fits_is_an_error_with_the_nearest_network():
    with pytest.raises(
        BudgetError, match=r"none keeps operations<=5: the nearest is estimated at 8 \("
    ):
        searched(limits="operations<=5")


def test_an_interrupted_search_returns_what_it_has_and_the_next_goes_on(tmp_path):
    calls = 0

    def asked() -> bool:
        nonlocal calls
        calls += 1
        return calls > 300

    found = searched(tmp_path, most=30, asked=asked)
    assert found.interrupted and 0 < len(found.trials) < 30
    assert searched(tmp_path, most=1).trials[: len(found.trials)] == found.trials


def test_an_interrupted_search_without_a_full_training_has_the_file_of_its_best(tmp_path):
    events = list[dict]()
    asked = lambda: len(events) == 2  # noqa: E731
    found = searched(tmp_path, asked=asked, tell=events.append)
    assert found.interrupted and all(one.share < 1 for one in found.candidates)
    best, other = found.candidates
    assert best.file is not None and other.file is None
    assert score(rings(), best.network()) == pytest.approx(best.score, abs=1e-6)


def test_each_network_is_told_with_its_estimates_and_the_best_so_far():
    events = list[dict]()
    found = searched(most=3, limits="size<=3KB", tell=events.append)
    assert [one["event"] for one in events] == ["network"] * len(found.trials)
    json.dumps(events)
    for event, trial in zip(events, found.trials, strict=True):
        assert repr(tuple(event["picks"])) == trial.technique
        assert (event["score"], event["share"]) == (trial.score, trial.fidelity)
        assert event["estimate"]["bytes"] <= 3000 and event["over"] == {} and event["note"] == ""
    assert [one["number"] for one in events[:3]] == [1, 2, 3]
    assert events[2]["best"] == max(one["score"] for one in events[:3])


def test_too_little_time_is_an_error_with_what_is_enough():
    with pytest.raises(TooShortError, match=r"^1 minutes are too few .* Give") as caught:
        find(rings(), Dense(), minutes=1.0, began=monotonic() - 60)
    # What is gone, and four trainings of some 360 steps, which take seconds.
    assert 60 < caught.value.seconds < 200


def test_the_time_is_kept_and_there_is_a_network_by_then():
    began = monotonic()
    found = find(rings(), Dense(), minutes=0.1, method=Method(searcher=Evolution()))
    assert monotonic() - began < 0.1 * 60 * 1.03 + 5  # a file may still be written at the end
    assert found.best.score is not None


def test_a_network_that_fails_is_a_result_and_if_all_fail_so_does_the_search():
    class Broken(Supervised):
        def loss(self, model, batch):
            raise RuntimeError("no loss today")

    task = rings()
    broken = Broken(
        train=task.train, validation=task.validation, test=task.test, name="b", batch_size=64
    )
    with pytest.raises(RuntimeError, match=r"first 3 networks all failed.*no loss today"):
        find(broken, Dense(), training=SHORT, method=METHOD)


@pytest.mark.slow
def test_a_network_whose_process_died_twice_counts_as_failed(tmp_path):
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import shoestring.search.finding as finding\n"
        "import shoestring.search.evaluation as evaluation\n"
        "from made_networks import Dense, rings\n"
        "evaluation.train = lambda *a, **k: os._exit(9)\n"
        "from shoestring.kit import AdamW, Training\n"
        "from shoestring.search import AtRandom, Halving, Method\n"
        "finding.find(rings(), Dense(), '', sys.argv[1],\n"
        "    method=Method(searcher=AtRandom(), halving=Halving(rungs=1)),\n"
        "    training=Training(120, AdamW(1e-2)), most=9)\n"
    )
    folder = tmp_path / "study"
    for _ in range(2):
        dead = subprocess.run([sys.executable, script, folder], capture_output=True, text=True)
        assert dead.returncode == 9, dead.stderr
    found = searched(folder, most=4)
    failed = [one for one in found.candidates if one.score is None]
    assert [one.note for one in failed] == ["2 processes died with it"]


def test_scores_that_are_noise_are_said():
    draw = torch.Generator().manual_seed(0)

    def split(count: int):
        return torch.randn(count, 2, generator=draw), torch.randint(0, 2, (count,), generator=draw)

    noise = Supervised(
        train=split(200), validation=split(60), test=split(60), name="noise", batch_size=64
    )
    with pytest.warns(SearchWarning, match=r"differ by .* standard error is .*luck"):
        find(noise, Dense(), training=Training(40), method=METHOD, most=6)


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"minutes": 0.0}, ValueError, "give a number above 0"),
        ({"most": 0}, ValueError, "give 1 or more"),
        ({"limits": "latency<=50%"}, BudgetError, "share of what came in"),
        ({"limits": "labels<=50"}, BudgetError, "leave it out"),
        ({"limits": "drop<=1%"}, BudgetError, "leave it out"),
    ],
)
def test_settings_out_of_range_are_errors(more, error, words):
    with pytest.raises(error, match=words):
        searched(**{"most": 1, **more})


def test_a_space_of_other_inputs_is_an_error_with_both():
    wrong = Supervised(
        train=(torch.randn(9, 3), torch.zeros(9, dtype=torch.long)),
        validation=(torch.randn(9, 3), torch.zeros(9, dtype=torch.long)),
        test=None,
        name="three",
    )
    with pytest.raises(ValueError, match="space with the task's inputs"):
        find(wrong, Dense(), training=SHORT, estimates=())
    with pytest.raises(ValueError, match="space with the task's inputs"):
        find(wrong, Dense(), training=SHORT)


def test_labels_that_the_space_has_no_answers_for_are_an_error_that_says_so():
    wrong = Supervised(
        train=(torch.randn(9, 2), torch.full((9,), 2)),
        validation=(torch.randn(9, 2), torch.zeros(9, dtype=torch.long)),
        test=None,
        name="a third class",
    )
    with pytest.raises(ValueError, match="an answer for each"):
        find(wrong, Dense(), minutes=0.5)


class Slow:
    """A meter of files that says each takes as many milliseconds as it has kilobytes."""

    measures = "milliseconds"

    def why_not(self) -> None:
        return None

    def __call__(self, subject, task) -> Cost:
        return Cost(milliseconds=Path(subject).stat().st_size / 1000)


def test_the_file_decides_on_what_no_estimate_is_of():
    loose = searched(limits="latency<=1000ms", meters=(Slow(),))
    assert loose.best.cost.milliseconds == (loose.best.cost.bytes or 0) / 1000
    with pytest.raises(ValueError, match=r"keeps latency<=0\.1ms as a file.*nearest: latency"):
        _ = searched(limits="latency<=0.1ms", meters=(Slow(),)).best


def test_where_no_file_keeps_the_limits_the_nearest_is_known_and_the_words_for_it():
    found = searched(limits="latency<=0.1ms", meters=(Slow(),))
    full = [one for one in found.candidates if one.share == 1]
    nearest = found.nearest
    assert nearest.cost.milliseconds == min(one.cost.milliseconds or 0 for one in full)
    assert nearest.over == {"latency": (nearest.cost.milliseconds, 0.1)}
    assert f"the nearest: latency: {nearest.cost.milliseconds:.4g} for 0.1" in found.not_kept
    assert searched(most=1).not_kept == ""


def test_a_score_of_0_is_no_failure():
    """Where scores are errors below 0, a network without any error is the best."""
    scores = (-0.5, None, 0.0, -2.0)
    trials = tuple(
        Trial(technique=repr((number, 0, 0)), seed=0, fidelity=1.0, score=one)
        for number, one in enumerate(scores)
    )
    found = Found(
        space=Dense(),
        limits=Budget(),
        training=SHORT,
        suits=False,
        trials=trials,
        estimates={one.technique: Cost() for one in trials},
        files={},
        refused=0,
        seconds=1.0,
    )
    assert [one.score for one in found.candidates] == [0.0, -0.5, -2.0, None]
    assert found.best.score == 0.0


def made(when: Sequence[float], limits: str = "", estimate: Cost | None = None) -> Found:
    """Networks of files of 9 ms and 0.9 ± 0.1 that were trained at these seconds, up to 1000."""
    trials = tuple(
        Trial(
            technique=repr((number, 0, 0)),
            cost=Cost(milliseconds=9.0),
            score=0.9,
            noise={"score": (0.8, 1.0)},
            when=one,
        )
        for number, one in enumerate(when)
    )
    return Found(
        space=Dense(),
        limits=Budget.parse(limits) if limits else Budget(),
        training=SHORT,
        suits=False,
        trials=trials,
        estimates={one.technique: estimate or Cost() for one in trials},
        files={},
        refused=4,
        seconds=100.0,
        ended=1000.0,
    )


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ([900.0, 950.0], "2 networks trained in 1.7 min, 4 refused"),
        ([899.0, 950.0], "2 networks, 1 of them trained now, in 1.7 min, 4 refused"),
        ([10.0], "1 network, none of them trained now, in 1.7 min, 4 refused"),
    ],
)
def test_networks_of_earlier_searches_took_no_time_of_this_one(when, words):
    assert str(made(when)).startswith(words)


@pytest.mark.parametrize(
    ("estimate", "foretold"),
    [(Cost(milliseconds=4.0), True), (Cost(milliseconds=6.0), False), (Cost(bytes=4), False)],
)
def test_estimates_are_said_to_keep_a_limit_where_they_do(estimate, foretold):
    text = made([950.0], "latency<=5ms", estimate).not_kept
    assert "keeps latency<=5ms as a file" in text and "latency: 9 for 5" in text
    assert ("although estimates of it do" in text) == foretold


def test_the_standard_error_of_a_score_is_half_its_interval():
    found = made([950.0])
    assert found.candidates[0].error == pytest.approx(0.1)
    assert found.as_json()["networks"][0]["error"] == pytest.approx(0.1)


def test_the_table_names_the_score_the_share_and_the_costs():
    text = str(searched())
    assert re.search(r"9 networks trained in .*, \d+ refused", text)
    assert re.search(r"0\.9\d+\s+100%\s+[\d,]+\s+[\d,]+", text)


@pytest.mark.slow
def test_several_processes_share_a_study(tmp_path):
    script = tmp_path / "searches.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from made_networks import Dense, rings\n"
        "from shoestring.kit import AdamW, Training\n"
        "from shoestring.search import AtRandom, Halving, Method, find\n"
        "find(rings(), Dense(), '', sys.argv[1], worker=int(sys.argv[2]),\n"
        "    method=Method(searcher=AtRandom(), halving=Halving(rungs=1)),\n"
        "    training=Training(120, AdamW(1e-2)), most=9)\n"
    )
    running = [
        subprocess.Popen([sys.executable, script, tmp_path / "study", str(number)])
        for number in range(2)
    ]
    assert [one.wait() for one in running] == [0, 0]
    found = searched(tmp_path / "study", most=9)
    keys = [trial.key for trial in found.trials]
    assert len(keys) == len(set(keys))
    assert len({one.technique for one in found.trials}) >= 9


def test_each_network_gets_the_optimizer_that_suits_it_where_nobody_gives_one(monkeypatch):
    given = list[tuple[int, Training]]()

    def trained(network, task, training, **more):
        given.append((parameters(network), training))
        return train(network, task, training, **more)

    def own(training, network, task):
        return replace(training, optimizer=AdamW(1e-3 * parameters(network)))

    monkeypatch.setattr(evaluation, "train", trained)
    monkeypatch.setattr(evaluation, "suited", own)
    monkeypatch.setattr(found_networks, "suited", own)
    monkeypatch.setattr(finding, "steps_for", lambda *_: 30)
    found = find(rings(), Dense(), method=METHOD, minutes=2, most=6)
    assert found.suits and len({many for many, _ in given}) > 1
    assert all(one.optimizer == AdamW(1e-3 * many) for many, one in given)
    network = found.best.untrained()
    assert found.training_of(network, rings()).optimizer == AdamW(1e-3 * parameters(network))
    before = len(given)
    plain = searched(most=1)
    assert not plain.suits and plain.training_of(network, rings()) == SHORT
    assert all(one.optimizer == SHORT.optimizer for _, one in given[before:])


@dataclass
class Foretold:
    """A meter that foretells 1.9 milliseconds, and 2.1 of a network with so many parameters."""

    wrong: int = 0
    measures: ClassVar[str] = "milliseconds"

    def why_not(self) -> None:
        return None

    def __call__(self, subject, task) -> Cost:
        is_wrong = isinstance(subject, torch.nn.Module) and parameters(subject) == self.wrong
        return Cost(milliseconds=2.1 if is_wrong else 1.9)


def test_a_network_whose_file_keeps_a_limit_stays_when_its_estimate_has_moved(tmp_path):
    def found(estimate: Foretold) -> Found:
        return find(
            *(rings(), Dense(widths=(16, 8), depths=(1,)), "latency<=2ms", tmp_path),
            method=METHOD,
            training=SHORT,
            meters=[Foretold()],
            estimates=[estimate],
            minutes=2,
        )

    before = found(Foretold())
    assert before.best.file is not None
    after = found(Foretold(parameters(before.best.untrained())))
    assert after.best.picks == before.best.picks


def test_lines_of_progress_name_the_network_that_was_trained():
    events = list[dict]()
    found = searched(most=9, tell=events.append)
    numbers = {}
    for event in events:
        assert numbers.setdefault(tuple(event["picks"]), event["number"]) == event["number"]
    assert sorted(numbers.values()) == list(range(1, len(found.candidates) + 1))
