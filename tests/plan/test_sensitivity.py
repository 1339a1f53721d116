"""Which layer hurts: against harm that is known, and on real digits."""

import csv
import io
import json
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
import torch
from torch import nn

from shoestring.artifact.format.names import TABLE
from shoestring.core import Cost, Task, chain, score, seeded
from shoestring.kit import (
    SkippedWarning,
    Study,
    Supervised,
    Training,
    Trial,
    clone,
    export,
    pack,
    train,
)
from shoestring.kit.study.study import StudyError
from shoestring.meters import Latency, Operations, RemoteError, Timing
from shoestring.plan import Table, sensitivity
from shoestring.plan.relative_latency import RelativeLatency, between
from shoestring.plan.same_graph import file_of, signature_of
from shoestring.plan.trials import Trials
from shoestring.prune import Magnitude
from shoestring.quantize import WeightSharing
from shoestring.tasks import digits

from .made_up import CALLS, Harm, Sum, summing

HARMS = (0.0, 0.5, 0.125, 0.25)
ROOT = Path(__file__).parents[2]
QUICK = Latency(repeats=7, warm_up=1)


@pytest.fixture(scope="module")
def task() -> Supervised:
    return digits()


@pytest.fixture(scope="module")
def network(task: Task) -> nn.Module:
    with seeded(0):
        return train(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)),
            task,
            Training(200),
        )


def lost(table: Table) -> dict[str, float | None]:
    return {one.layer: one.score_lost for one in table.effects}


def test_each_layer_loses_what_it_is_known_to_lose():
    table = sensitivity(Sum(4), summing(4), Harm(harms=HARMS), meters=())
    assert lost(table) == {"layers.0": None, "layers.1": 0.5, "layers.2": 0.125, "layers.3": 0.25}
    assert table.effects[0].note == "nothing to do"
    assert [one.layer for one in table.worst_first()] == ["layers.1", "layers.3", "layers.2"]
    assert table.score == 4 and table.examples == 64


def test_noise_that_both_have_is_not_in_the_standard_error():
    table = sensitivity(Sum(2), summing(2, noise=3.0), Harm(harms=(0.25, 0.5)), meters=())
    assert lost(table) == pytest.approx({"layers.0": 0.25, "layers.1": 0.5})
    assert all((one.score_error or 0) < 1e-6 for one in table.effects)


def test_the_standard_error_is_that_of_the_differences(task, network):
    action = Magnitude(density=0.05, training=Training(0))
    effect = sensitivity(network, task, action, meters=(), examples=None).effects[0]
    changed = replace(action, only=effect.layers)(network, task.sealed())
    with torch.no_grad():
        apart = torch.tensor(
            task.merits(network.eval(), "validation") - task.merits(changed.eval(), "validation")
        )
    assert effect.score_lost == pytest.approx(float(apart.mean()))
    assert effect.score_error == pytest.approx(float(apart.std(correction=0)) / 400**0.5)


@pytest.mark.slow
def test_a_real_network_is_weighed_by_its_files(task, network):
    actions = [
        Magnitude(density=0.1, training=Training(0)),
        WeightSharing(levels=4, training=Training(0)),
    ]
    table = sensitivity(network, task, actions, meters=[QUICK, Operations()])
    assert [one.layer for one in table.effects] == ["1", "3"] * 2
    assert {one.action for one in table.effects} == {repr(action) for action in actions}
    original = pack(network, export(network, task))
    assert table.bytes == len(original) and table.score == pytest.approx(score(task, network))
    for one in table.effects:
        action = next(action for action in actions if repr(action) == one.action)
        changed = replace(action, only=one.layers)(network, task.sealed())
        assert one.bytes_saved == len(original) - len(pack(changed, export(changed, task)))
        assert one.score_lost == pytest.approx(table.score - score(task, changed), abs=1e-9)
        assert one.milliseconds_low <= one.milliseconds_saved <= one.milliseconds_high  # type: ignore[operator]
        assert one.saved.operations == 0, "zeros are multiplied by like any number"


def test_a_layer_that_the_action_does_not_act_on_is_a_line_and_no_trial():
    CALLS.clear()
    table = sensitivity(
        Sum(4), summing(4), Harm(harms=HARMS, deaf=("layers.1",)), meters=(), most=3
    )
    assert (
        lost(table) == {"layers.0": None, "layers.1": None, "layers.2": 0.125, "layers.3": 0.25}
        and len(CALLS) == 3
    )
    assert table.effects[1].note == "nothing to do; Harm does not act on it"


def test_the_table_can_be_read_by_people_and_by_programs():
    table = sensitivity(
        Sum(4), summing(4), Harm(harms=HARMS, failing="layers.3"), meters=[Operations()]
    )
    lines = str(table).splitlines()
    assert lines[0].startswith("Harm(harms=") and lines[1].split()[:3] == ["layer", "score", "lost"]
    assert [line.split()[0] for line in lines[2:6]] == [
        "layers.1",
        "layers.2",
        "layers.0",
        "layers.3",
    ]
    assert (
        "+0.5000 ± 0.0000" in lines[2]
        and "nothing to do" in lines[4]
        and "layers.3 cannot be changed" in lines[5]
    )
    assert "score 4.0000 on 64 validation examples" in lines[-1]
    assert json.loads(table.to_json())["effects"][1]["score_lost"] == 0.5
    rows = re.findall("<tr>(.*?)</tr>", table._repr_html_())
    assert ["layers.1" in rows[1], "layers.2" in rows[2], "+0.5000" in rows[1]] == [True] * 3
    assert "width:90px" in rows[1] and "width:22px" in rows[2], "a quarter of the longest bar"
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [(row["layer"], row["score_lost"]) for row in rows][1:3] == [
        ("layers.1", "0.5"),
        ("layers.2", "0.125"),
    ]


def test_no_more_models_are_made_than_allowed_and_the_rest_says_so():
    CALLS.clear()
    table = sensitivity(Sum(4), summing(4), Harm(harms=(1.0, 1.0, 1.0, 1.0)), meters=(), most=3)
    assert len(CALLS) == 3
    assert [one.note for one in table.effects] == [
        "",
        "",
        "",
        "not tried: 3 trials were allowed, and made",
    ]


def test_the_largest_layers_are_tried_first(task, network):
    table = sensitivity(
        network, task, WeightSharing(levels=4, training=Training(0)), meters=(), most=1
    )
    assert [one.layer for one in table.effects if one.score_lost is not None] == ["1"], (
        "3,120 of 3,610 parameters"
    )


def test_an_interrupted_call_goes_on(tmp_path: Path):
    action = Harm(harms=(0.5, 0.25, 0.125, 0.0625))
    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        sensitivity(Sum(4), summing(4), replace(action, interrupting=2), meters=(), folder=tmp_path)
    assert len(CALLS) == 2
    table = sensitivity(Sum(4), summing(4), action, meters=(), folder=tmp_path)
    assert len(CALLS) == len(set(CALLS)) == 4, "none was made twice"
    assert lost(table) == {"layers.0": 0.5, "layers.1": 0.25, "layers.2": 0.125, "layers.3": 0.0625}
    assert (
        sensitivity(Sum(4), summing(4), action, meters=(), folder=tmp_path) == table
        and len(CALLS) == 4
    )
    assert not any(
        path.is_file() and path.name not in ("study.sqlite", TABLE) for path in tmp_path.rglob("*")
    ), "no files of models stay"


def test_the_table_stays_in_the_folder_and_says_of_which_model_it_is(tmp_path: Path):
    action = Harm(harms=(0.5, 0.25))
    table = sensitivity(Sum(2), summing(2), action, meters=(), folder=tmp_path)
    assert (tmp_path / TABLE).read_text() == table.to_json()
    other = Sum(2)
    nn.init.constant_(other.layers[0].weight, 2.0)  # type: ignore[arg-type]
    assert len(table.sha256) == 64
    assert sensitivity(other, summing(2), action, meters=()).sha256 != table.sha256


def test_trials_of_another_model_do_not_count(tmp_path: Path):
    CALLS.clear()
    action = Harm(harms=(0.5, 0.25))
    sensitivity(Sum(2), summing(2), action, meters=(), folder=tmp_path)
    other = Sum(2)
    nn.init.constant_(other.layers[0].weight, 2.0)  # type: ignore[arg-type]
    assert sensitivity(other, summing(2), action, meters=(), folder=tmp_path).score == 3
    assert len(CALLS) == 4


def test_a_study_that_is_none_is_told(tmp_path: Path):
    (tmp_path / "study.sqlite").write_bytes(b"\xff\xfe\x00 of something else" * 100)
    with pytest.raises(StudyError, match=r"is not a study.*name another folder"):
        sensitivity(Sum(2), summing(2), Harm(harms=(0.5, 0.25)), meters=(), folder=tmp_path)


def test_what_was_timed_and_what_failed_is_remembered(tmp_path: Path):
    CALLS.clear()
    action = Harm(harms=HARMS, failing="layers.2", deaf=("layers.3",))
    table = sensitivity(Sum(4), summing(4), action, meters=[QUICK, Operations()], folder=tmp_path)
    assert (
        sensitivity(Sum(4), summing(4), action, meters=[QUICK, Operations()], folder=tmp_path)
        == table
    )
    assert len(CALLS) == 3, "and of layers.3 no model is made"
    effect = table.effects[1]
    assert (
        effect.saved == Cost(operations=0)
        and effect.bytes_saved is not None
        and table.milliseconds is not None
    )
    assert effect.milliseconds_low <= effect.milliseconds_saved <= effect.milliseconds_high  # type: ignore[operator]
    assert (
        table.effects[0].note == "nothing to do"
        and "layers.2 cannot be changed" in table.effects[2].note
    )


def test_what_another_process_is_at_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    CALLS.clear()
    action = Harm(harms=(0.5, 0.25))
    mine = Trials(Sum(2), summing(2), (), examples=None, most=5, seed=0, folder=tmp_path)
    theirs = Study(tmp_path, mine.identity)
    claim = theirs.claim(repr(action))
    assert claim is not None and mine.attempt(action) is None and not CALLS

    def finish(seconds: float) -> None:
        claim.finish(Trial(technique=repr(action), score=1.5, error=0.0, sha256="theirs"))

    monkeypatch.setattr("shoestring.plan.trials.sleep", finish)
    assert mine(action).lost == 0.5 and mine.made == 0 and not CALLS
    other = replace(action, keep=("layers.1",))
    assert theirs.claim(repr(other)) is not None
    monkeypatch.setattr("shoestring.plan.trials.sleep", lambda seconds: theirs.close())
    assert mine(other).lost == 0.5 and len(CALLS) == 1, (
        "one that ends without an answer leaves the trial to others"
    )
    mine.close()


AT_ONE_TIME = """
import sys
from pathlib import Path
from shoestring.plan import sensitivity
from tests.plan.made_up import Harm, Sum, summing

here = Path(sys.argv[1])
Path(here, "begun").touch()
harm = Harm(harms=(0.125,) * 6, log=here / "log")
sensitivity(Sum(6), summing(6), harm, meters=(), folder=here / "folder")
"""


@pytest.mark.slow
def test_two_processes_on_one_folder_make_each_trial_once(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", AT_ONE_TIME, str(tmp_path)], cwd=ROOT) as other:
        while not (tmp_path / "begun").exists() and other.poll() is None:
            sleep(0.01)
        action = Harm(harms=(0.125,) * 6, log=tmp_path / "log")
        table = sensitivity(Sum(6), summing(6), action, meters=(), folder=tmp_path / "folder")
        assert other.wait(900) == 0
    assert set(lost(table).values()) == {0.125}
    assert sorted((tmp_path / "log").read_text().split()) == [
        f"layers.{place}" for place in range(6)
    ]


def test_groups_are_tried_together():
    table = sensitivity(
        Sum(4), summing(4), Harm(harms=HARMS), meters=(), groups=[("layers.1", "layers.3")]
    )
    assert lost(table) == {"layers.0": None, "layers.1 + layers.3": 0.75, "layers.2": 0.125}


def test_tied_layers_are_tried_together():
    model = Sum(3)
    model.layers[2].weight = model.layers[0].weight
    table = sensitivity(model, summing(3), Harm(harms=(0.25, 0.5, 9.0)), meters=())
    assert lost(table) == {"layers.0 + layers.2": 0.5, "layers.1": 0.5}, "one weight, used twice"


def test_an_action_says_which_layers_and_prepares_once():
    class Prepared(Harm):
        def layers(self, model: nn.Module, task: Task) -> list[str]:
            return ["layers.1", "layers.3"]

        def prepared(self, model: nn.Module, task: Task) -> Harm:
            CALLS.append("prepared")
            return replace(self)

    CALLS.clear()
    table = sensitivity(Sum(4), summing(4), Prepared(harms=HARMS), meters=())
    assert lost(table) == {"layers.1": 0.5, "layers.3": 0.25}
    assert CALLS.count("prepared") == 1 and len(CALLS) == 3


def test_what_the_action_keeps_is_left_out():
    table = sensitivity(
        Sum(4), summing(4), Harm(harms=HARMS, keep=("layers.1",), only=("layers.[12]",)), meters=()
    )
    assert lost(table) == {"layers.2": 0.125}


def test_what_a_technique_skips_is_in_the_note_and_other_warnings_are_heard():
    class Warns(Harm):
        def __call__(self, model: nn.Module, task: Task) -> nn.Module:
            warnings.warn("the bias is left alone", SkippedWarning, stacklevel=2)
            warnings.warn("listen", UserWarning, stacklevel=2)
            return super().__call__(model, task)

    with pytest.warns(UserWarning, match="listen"):
        table = sensitivity(Sum(1), summing(1), Warns(harms=(0.5,)), meters=())
    assert table.effects[0].note == "the bias is left alone"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"actions": []}, ValueError, "needs an action"),
        ({"actions": chain()}, TypeError, "needs a technique that acts on layers"),
        (
            {"actions": [Harm(harms=HARMS, only=("layer.1",))]},
            ValueError,
            r"only= names 'layer.1'.*layers.1",
        ),
        (
            {"groups": [("layers.0",), ("layers.*",)]},
            ValueError,
            "the layer 'layers.0' is in two groups",
        ),
        ({"groups": ["layers.0"]}, TypeError, r"write \('layers.0',\)"),
        ({"groups": [("layers.9",)]}, ValueError, "groups= names 'layers.9'"),
        ({"most": 0}, ValueError, "most is 0"),
        ({"examples": 1}, ValueError, "examples is 1"),
    ],
)
def test_what_cannot_be_worked_with_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        sensitivity(Sum(4), summing(4), **{"actions": Harm(harms=HARMS), "meters": (), **settings})


def test_the_sample_is_seeded_and_of_validation_data(task):
    fewer = task.sampled(50, 1)
    assert len(fewer.validation[1]) == 50 and fewer.train is not None  # type: ignore[attr-defined]
    assert torch.equal(fewer.validation[0], task.sampled(50, 1).validation[0])  # type: ignore[attr-defined]
    assert not torch.equal(fewer.validation[0], task.sampled(50, 2).validation[0])  # type: ignore[attr-defined]
    assert task.sampled(400, 1) is task


def test_a_task_that_is_seen_through_another_is_sampled_too(task, network):
    taught = task.taught_by(network)
    assert sensitivity(network, taught, Harm(harms=HARMS), meters=(), examples=50).examples == 50


def timing(*milliseconds: float) -> Timing:
    return Timing(
        median=sorted(milliseconds)[len(milliseconds) // 2],
        low=0,
        high=0,
        milliseconds=milliseconds,
        runs=1,
    )


def test_an_interval_has_in_it_what_loading_again_changes():
    ours = timing(*[0.9] * 9)
    apart = between(ours, [timing(*[1.0] * 9), timing(*[1.0] * 9)])
    assert (
        apart.ratio == apart.low == apart.high == pytest.approx(0.9)
        and apart.faster
        and not apart.slower
    )
    unsure = between(ours, [timing(*[1.0] * 9), timing(*[0.85] * 9)])
    assert unsure.low == pytest.approx(0.9) and unsure.high == pytest.approx(0.9 / 0.85)
    assert not unsure.faster and not unsure.slower, "one load of the original was as fast"


def test_few_rounds_make_a_wide_interval_and_many_a_narrow_one():
    few = between(timing(*[1.0 + i / 10 for i in range(7)]), [timing(*[1.0] * 7)])
    assert (few.low, few.high) == (1.0, 1.6)
    many = between(timing(*[1.0 + i / 100 for i in range(101)]), [timing(*[1.0] * 101)])
    assert (many.low, many.ratio, many.high) == pytest.approx((1.33, 1.5, 1.67)), (
        "places 33 and 67 of 0 to 100"
    )


class Scaled(nn.Module):
    """A number that is no weight."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.linear = factor, nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.linear(x)


@pytest.mark.slow
def test_a_graph_is_exported_anew_where_it_may_be_another(task, network, monkeypatch):
    model = Scaled(1.0)
    signature = signature_of(model)
    assert signature_of(clone(model)) == signature
    changed = clone(model)
    changed.factor = 2.0
    assert signature_of(changed) != signature
    changed = clone(model)
    changed.linear.register_forward_hook(lambda module, args, output: output + 1)
    assert signature_of(changed) != signature
    calls: list[nn.Module] = []
    monkeypatch.setattr(
        "shoestring.plan.same_graph.export",
        lambda model, task: calls.append(model) or export(model, task),
    )
    exported, signature = export(network, task), signature_of(network)
    shared = WeightSharing(levels=4, training=Training(0))(network, task)
    assert (
        file_of(shared, task, exported, signature) == pack(shared, export(shared, task))
        and not calls
    )
    smaller = clone(network)
    smaller[2] = nn.Tanh()  # type: ignore[index]
    assert (
        file_of(smaller, task, exported, signature) == pack(smaller, export(smaller, task))
        and len(calls) == 1
    )


def test_a_device_that_is_gone_is_no_fault_of_the_technique(monkeypatch):
    answers = iter([RelativeLatency(ratio=1, low=1, high=1, milliseconds=1)])

    def relative_latency(*_, **__):
        try:
            return next(answers)
        except StopIteration:
            raise RemoteError("the device is gone") from None

    monkeypatch.setattr("shoestring.plan.weighing.relative_latency", relative_latency)
    with pytest.raises(RemoteError, match="gone"):
        sensitivity(Sum(2), summing(2), Harm(harms=(1.0, 1.0)), meters=[Latency()])
