"""A search for a network, from a function of the reader's to a file that keeps a budget."""

from __future__ import annotations

import importlib.util
import json
import random
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import ClassVar

import pytest
import torch
from made_networks import Dense, rings

from shoestring.artifact import load, save
from shoestring.artifact.format.names import NETWORKS, SEARCHED
from shoestring.core import Budget, BudgetError, Cost, score, seeded
from shoestring.kit import AdamW, Supervised, Training, export, pack, train
from shoestring.kit.clock import Clock
from shoestring.kit.study import StudyHeld, alone
from shoestring.meters import Latency
from shoestring.plan import network_search
from shoestring.plan.network_files import NetworkFiles
from shoestring.plan.network_report import Point, beats
from shoestring.plan.network_search import NetworkSearch, of_networks
from shoestring.plan.network_training import trained, trained_first
from shoestring.plan.networks import (
    _minutes,
    _of_file,
    _scores_of_yours,
    network_job,
)
from shoestring.search import (
    AtRandom,
    Halving,
    Method,
    OperationTable,
    estimates,
    find,
    milliseconds,
)

METHOD = Method(searcher=AtRandom(), halving=Halving(rungs=1))


EVENTS = list[dict]()
"""What the search of the fixture told."""


def own() -> torch.nn.Module:
    """The model to beat: one layer, which cannot tell rings apart."""
    with seeded(0):
        model = torch.nn.Linear(2, 2)
        return train(model, rings(), Training(50, AdamW(1e-2)))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("found") / "found.shoe"
    budget = Budget.parse("operations<=3000, size<=3KB")
    EVENTS.clear()
    return network_job(
        lambda: (own(), rings(), Dense()),
        budget,
        path,
        minutes=1.0,
        method=METHOD,
        seed=1,
        tell=EVENTS.append,
    )


def test_the_file_keeps_the_budget_and_beats_the_model_that_came_in(report):
    path = report.compressed.outcome.file
    assert report.met and path.stat().st_size <= 3000
    assert score(rings().sealed(), load(path)) > score(rings().sealed(), own()) + 0.1
    yours, *others, delivered = report.points
    assert (yours.name, delivered.name) == ("yours", "delivered") and others
    assert delivered.bytes == path.stat().st_size
    assert "beside yours: +" in report.as_text()
    assert report.as_json()["points"][0]["name"] == "yours"


def test_the_code_beside_the_file_is_the_network(report):
    spec = importlib.util.spec_from_file_location("found", report.code)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shapes = [tuple(one.shape) for one in module.Network().parameters()]
    assert shapes == [tuple(one.shape) for one in report.chosen.untrained().parameters()]


def test_what_was_measured_is_beside_the_file(report):
    path = report.compressed.outcome.file
    assert path.with_name(f"{path.name}{NETWORKS}").is_dir()


def test_networks_and_the_end_of_the_search_are_told(report):
    tried = [one for one in EVENTS if one["event"] == "network"]
    assert len(tried) == len(report.found.trials)
    ends = [one for one in EVENTS if one["event"] == "searched"]
    assert ends == [{"event": "searched", **report.found.as_json()}]
    assert EVENTS.index(ends[0]) == len(tried)


def test_the_folder_keeps_what_a_page_shows(report):
    path = report.compressed.outcome.file
    note = json.loads((path.with_name(f"{path.name}{NETWORKS}") / SEARCHED).read_text())
    assert note["text"] == str(report.chosen) and note["code"] == "found.py"
    assert len(note["trials"]) == len(report.found.trials)
    assert [one["name"] for one in note["files"]] == [one.name for one in report.points]
    assert note["budget"] == note["limits"] == "size<=3KB, operations<=3000"


def ended_after(networks: int, path: Path) -> Path:
    """The path of a job that somebody ended after so many networks were tried."""
    events = list[dict]()
    with pytest.raises(KeyboardInterrupt):
        network_job(
            lambda: (rings(), Dense()),
            Budget(),
            path,
            minutes=0.4,
            method=METHOD,
            asked=lambda: len(events) >= networks,
            tell=events.append,
        )
    return path


@pytest.mark.by_default("1")
@pytest.mark.parametrize("networks", [1, 4])  # with and without one that was trained fully
def test_what_is_ended_before_it_is_compressed_leaves_the_best_network(tmp_path, networks):
    path = ended_after(networks, tmp_path / "f.shoe")
    assert score(rings().sealed(), load(path)) > 0.3
    assert "class Network" in path.with_suffix(".py").read_text()
    note = json.loads((tmp_path / f"f.shoe{NETWORKS}" / SEARCHED).read_text())
    assert note["found"]["interrupted"] and note["files"] == []
    path.write_bytes(b"of an earlier search")
    files = NetworkFiles(path)
    files.write_code("class Earlier: ...")
    save(files.folder / SEARCHED, b"its note")
    ended_after(networks, path)
    assert path.read_bytes() == b"of an earlier search"
    assert files.code.read_text() == "class Earlier: ..."
    assert (files.folder / SEARCHED).read_bytes() == b"its note"
    files.code.unlink()
    ended_after(networks, path)
    assert not files.code.exists()  # rather none than another network's


def test_too_few_minutes_are_those_that_were_given_and_what_is_enough_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"^2 minutes are too few, .* Give ([2-9]|\d\d)"):
        network_job(
            lambda: (rings(), Dense()),
            Budget(),
            tmp_path / "f.shoe",
            minutes=2.0,
            began=monotonic() - 90,
        )


@dataclass
class Heavy:
    """A meter of files that says each takes as many milliseconds as it has kilobytes."""

    measures: ClassVar[str] = "milliseconds"

    def why_not(self) -> None:
        return None

    def __call__(self, subject, task) -> Cost:
        return Cost(milliseconds=Path(subject).stat().st_size / 1000)


@dataclass(frozen=True)
class Crawling(Latency):
    """A latency of which each measurement takes two seconds."""

    def __call__(self, subject, task) -> Cost:
        TICKS.append(2.0)
        return Cost(milliseconds=1.0)


TICKS = list[float]()


@pytest.mark.parametrize("seconds", [60.0, 600.0])
def test_a_table_takes_no_more_than_its_share_of_the_time(tmp_path, monkeypatch, seconds):
    """A measurement that was begun is ended, and operations before others have several."""
    for module in (milliseconds, network_search, estimates):
        monkeypatch.setattr(module, "monotonic", lambda: sum(TICKS))
    TICKS.clear()
    table, told = OperationTable(meter=Crawling()), list[dict]()
    gauge = network_search._Milliseconds(Dense(), 0, table, 3.0, Clock(seconds), told.append)
    draw = random.Random(0)
    for _ in range(20):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", estimates.UnestimatedWarning)
            gauge(Dense().made(Dense().drawn(draw)).network(), rings())
    assert sum(TICKS) < 0.1 * seconds + 25
    assert told[0]["measurements"] > 0


@pytest.mark.slow
def test_where_no_file_keeps_a_limit_the_nearest_is_delivered_and_the_limit_named(tmp_path):
    said = list[str]()
    report = network_job(
        lambda: (rings(), Dense()),
        Budget.parse("latency<=0.1ms"),
        tmp_path / "f.shoe",
        minutes=0.5,
        method=METHOD,
        meters=[Heavy()],
        say=said.append,
    )
    assert not report.met and "latency" in report.compressed.outcome.verdict.broken
    assert any("none of" in line and "latency" in line for line in said)
    assert (tmp_path / "f.shoe").stat().st_size > 100
    assert "The budget was not kept: this is the nearest" in report.as_text()


def test_a_space_that_does_not_fit_the_task_is_found_out_before_a_table_is_measured(tmp_path):
    draw, labels = torch.randn(9, 3), torch.zeros(9, dtype=torch.long)
    wrong = Supervised(train=(draw, labels), validation=(draw, labels), test=(draw, labels))
    search = NetworkSearch(wrong, Dense(), Budget.parse("latency<=3ms"), None, tmp_path, 0)
    with pytest.raises(ValueError, match="space with the task's inputs"):
        search.run(1.0, METHOD, Clock(60.0))
    assert not (tmp_path / "milliseconds").exists()


def test_milliseconds_beside_other_processes_are_said_to_be(report):
    timed = replace(report, found=replace(report.found, limits=Budget.parse("latency<=3ms")))
    assert "2 processes searched" in replace(timed, workers=2).as_text()
    assert "processes searched" not in timed.as_text()
    assert "processes searched" not in replace(report, workers=2).as_text()


def test_what_was_found_is_trained_with_the_seed_of_the_command(tmp_path):
    found = find(rings(), Dense(), method=METHOD, training=Training(8), most=1)
    (chosen,) = found.candidates
    assert chosen.share < 1
    first, again, other = (
        trained(chosen, found, rings(), Clock(600.0), 450.0, seed, tmp_path)[0]
        for seed in (0, 0, 1)
    )
    weights = [next(one.parameters()) for one in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_what_was_trained_longer_is_kept_for_the_next_command(tmp_path):
    """A command with less time must not deliver what was trained for a shorter time."""
    training = Training(12, AdamW(1e-2))
    found = find(rings(), Dense(), method=METHOD, training=training, most=6)
    chosen = found.best
    assert chosen.share == 1
    _, longer = trained(chosen, found, rings(), Clock(600.0), 8.0, 0, tmp_path)
    assert longer is not None and longer[1] > longer[0] == chosen.score
    again, more = trained(chosen, found, rings(), Clock(600.0), 0.0, 0, tmp_path)
    assert more is None
    assert score(rings().sealed(), again) == pytest.approx(longer[1])


def test_no_point_with_a_mark_is_beaten():
    best = Point("a", 0.9, 1.0, 100)
    assert beats(best, Point("b", 0.9, 1.0, 101))
    assert not beats(best, Point("b", 0.91, 2.0, 200))
    assert not beats(best, best)


def test_where_nothing_limits_the_score_it_may_fall_by_a_twentieth():
    assert _of_file(Budget.parse("size<=3KB, time<=1min"), 0.8).drop == pytest.approx(0.04)
    assert _of_file(Budget.parse("size<=3KB, score>=0.7"), 0.8).drop is None
    assert _of_file(Budget(), 0.8) == Budget()


def test_limits_on_the_score_are_not_those_of_a_search():
    budget = Budget.parse("size<=3KB, drop<=1%, score(recall)>=0.5, time<=1min")
    assert str(of_networks(budget)) == "size<=3KB"


def short(build, tmp_path: Path, budget: str = "") -> None:
    limits = Budget.parse(budget) if budget else Budget()
    network_job(build, limits, tmp_path / "f.shoe", minutes=0.2, method=METHOD)


def test_a_share_needs_a_model_to_beat(tmp_path):
    with pytest.raises(ValueError, match="no model to beat came in"):
        short(lambda: (rings(), Dense()), tmp_path, "size<=50%")


def test_nothing_fits_is_an_error_before_anything_is_trained(tmp_path):
    with pytest.raises(BudgetError, match="none keeps operations<=2"):
        short(lambda: (rings(), Dense()), tmp_path, "operations<=2")


def test_what_is_no_task_is_an_error_that_says_what_to_return(tmp_path):
    with pytest.raises(ValueError, match="returned Linear: it must return a task"):
        short(own, tmp_path)
    with pytest.raises(ValueError, match="returned Supervised, Supervised"):
        short(lambda: (rings(), rings()), tmp_path)


def test_a_task_without_a_test_split_is_an_error(tmp_path):
    task = rings()
    untested = Supervised(train=task.train, validation=task.validation, test=None, name="u")
    with pytest.raises(ValueError, match="no test split"):
        short(lambda: (untested, Dense()), tmp_path)


def test_a_module_of_the_reader_is_not_replaced_by_the_code_of_a_network(tmp_path):
    (tmp_path / "f.py").write_text("precious")
    with pytest.raises(FileExistsError, match=r"f\.py is there"):
        short(lambda: pytest.fail("it was loaded"), tmp_path)
    assert (tmp_path / "f.py").read_text() == "precious"
    with pytest.raises(FileExistsError, match=r"ends in \.shoe"):
        network_job(lambda: (rings(), Dense()), Budget(), tmp_path / "new.py", minutes=0.2)


def test_code_that_a_search_wrote_is_replaced_unless_it_was_changed(tmp_path):
    files = NetworkFiles(tmp_path / "f.shoe")
    files.folder.mkdir()
    for text in ("one", "other"):
        files.write_code(text)
        assert files.code.read_text() == text
    files.code.write_text("one")  # as after a kill between two writes
    files.check()
    files.code.write_text("one, and a layer more")
    with pytest.raises(FileExistsError, match="changed since"):
        files.check()


def test_two_commands_do_not_search_for_one_file(tmp_path):
    folder = tmp_path / f"f.shoe{NETWORKS}"
    folder.mkdir()
    with alone(folder), pytest.raises(StudyHeld, match="--out"):
        short(lambda: (rings(), Dense()), tmp_path)


def test_a_drop_is_from_the_score_of_the_model_to_beat(tmp_path):
    path, said = tmp_path / "yours.shoe", list[str]()
    model = own()
    save(path, pack(model, export(model, rings())))
    came_in = score(rings().sealed(), load(path))
    budget = Budget.parse("size<=3KB, drop<=1%")
    limits = _scores_of_yours(budget, path, rings(), said.append)
    assert limits.drop is None and limits.size == 3000
    assert limits.score == pytest.approx(came_in - 0.01)
    assert "score>=" in said[0]
    higher = Budget.parse("score>=0.99, drop<=1%")
    assert _scores_of_yours(higher, path, rings(), said.append).score == 0.99
    assert _scores_of_yours(budget, None, rings(), said.append) == budget


def test_a_drop_by_name_is_from_that_score_of_the_model_to_beat(tmp_path):
    task = rings()
    named = Supervised(
        train=task.train,
        validation=task.validation,
        test=task.test,
        metrics={"right": lambda out, y: (out.argmax(-1) == y).mean()},
    )
    path, model = tmp_path / "yours.shoe", own()
    save(path, pack(model, export(model, named)))
    limits = _scores_of_yours(Budget.parse("drop(right)<=1%"), path, named, lambda text: None)
    came_in = score(named.sealed(), load(path))
    assert limits.named == {"score(right)": pytest.approx(came_in - 0.01)}


def test_where_no_network_was_trained_fully_the_best_is_trained_as_long_as_there_is_time():
    halving = Method(searcher=AtRandom(), halving=Halving(rungs=1))
    found = find(rings(), Dense(), method=halving, training=Training(400, AdamW(1e-2)), most=1)
    chosen = found.best
    assert chosen.share == 1 / 3 and chosen.cost.seconds
    said = list[str]()
    clock = Clock(60.0, say=said.append)
    network = trained_first(chosen, found, rings(), clock, 2 * chosen.cost.seconds, 0)
    assert said[0].endswith("for 67%")
    assert score(rings().sealed(), network) > 0.5
    with pytest.raises(ValueError, match="the same command goes on"):
        trained_first(chosen, found, rings(), Clock(60.0, began=monotonic() - 90), 1.0, 0)


def test_a_limit_on_time_counts_and_other_costs_of_getting_a_model_are_errors():
    assert _minutes(Budget.parse("time<=90s, size<=3KB"), 10.0) == 1.5
    assert _minutes(Budget.parse("size<=3KB"), 10.0) == 10.0
    with pytest.raises(BudgetError, match=r"does not keep labels .*leave it out"):
        _minutes(Budget.parse("labels<=50"), 10.0)
