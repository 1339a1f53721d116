"""The command line as a user has it: what is printed, what is written, the exit status."""

import csv
import io
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import warnings
from time import monotonic
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import save_file

from shoestring import cli
from shoestring.artifact import load
from shoestring.core import Cost, Ledger, Row
from shoestring.kit.importing.onnx_pack import pack_onnx

SOURCE = """
from dataclasses import replace
from torch import nn
from shoestring.core import seeded
from shoestring.kit import Training, train
from shoestring.tasks import digits

def small():
    task = digits()
    with seeded(0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        return train(model, task.sealed(), Training(300)), task

def wrong():
    return 42

def task():
    return digits()

def named():
    return replace(digits(), metrics={"right": lambda out, y: (out.argmax(-1) == y).mean()})

def alone():
    return small()[0]

def fails():
    return {}["absent"]
"""


EASY = "size<=6KB, drop<=20%"
"""Kept without training and without loss: the search ends as soon as it sees that."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "mine.py").write_text(SOURCE)
    return folder


@pytest.fixture
def shoestring(folder, monkeypatch, capsys):
    """Calls the program and returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["shoestring", *map(str, arguments)])
        monkeypatch.setattr(cli.search, "BEGAN", monotonic())
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def file(folder, shoestring):
    path = folder / "small.shoe"
    if not path.exists():
        assert shoestring("compress", "mine.py:small", "--budget", EASY)[0] == 0
    return path


@pytest.mark.slow
def test_compress_prints_json_lines_of_which_the_last_is_the_report(folder, shoestring):
    status, out, _ = shoestring(
        "compress", "mine:small", "--budget", EASY, "--out", "told.shoe", "--json"
    )
    assert status == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [one["event"] for one in events][:2] == ["first", "forecast"] and events[-1][
        "event"
    ] == "done"
    found = events[-1]
    promised = (
        "bytes_before bytes_after score_before score_after milliseconds_before milliseconds_after "
        "path onnx_bytes_before"
    )
    assert set(promised.split()) <= found.keys()
    assert found["bytes_before"] == 4 * (64 * 32 + 32 + 32 * 10 + 10)
    assert found["bytes_after"] == (folder / found["path"]).stat().st_size <= 6000
    assert found["met"] is True and found["interrupted"] is False


@pytest.mark.slow
def test_quiet_prints_the_report_alone(file, shoestring):
    status, out, err = shoestring(
        "compress", "mine:small", "--budget", EASY, "--out", file, "--quiet"
    )
    assert status == 0 and err == ""
    assert (
        "forecast" not in out and "first file" not in out and out.split()[:2] == ["before", "after"]
    )
    assert out.endswith(f"`shoestring report {file}` shows all of this as a page\n")


@pytest.mark.slow
def test_compress_says_nearest_and_exits_with_3_where_the_budget_cannot_be_kept(folder, shoestring):
    arguments = (
        "compress",
        "mine.py:small",
        "--budget",
        "size<=50B, time<=6s",
        "--out",
        "nearest.shoe",
    )
    status, out, _ = shoestring(*arguments)
    assert status == cli.search.BUDGET_NOT_MET == 3
    assert "nearest" in out and "size blocks" in out
    assert load(folder / "nearest.shoe")
    status, out, _ = shoestring(*arguments, "--json")
    assert status == 3 and json.loads(out.splitlines()[-1])["nearest"] is True


@pytest.mark.slow
def test_forecast_says_what_compress_would_come_to(shoestring):
    status, out, _ = shoestring("forecast", "mine.py:small", "--budget", EASY)
    assert (
        status == 0
        and out.startswith("forecast, by rules of thumb: about ")
        and "the chance that the budget is kept is" in out
    )
    found = json.loads(shoestring("forecast", "mine.py:small", "--budget", EASY, "--json")[1])
    assert found["event"] == "forecast" and 0 <= found["chance"] <= 1
    assert found["bytes"]["low"] <= found["bytes"]["middle"] <= found["bytes"]["high"]


def test_frontier_is_there_again_and_a_point_of_it_is_written(file, folder, shoestring):
    status, out, _ = shoestring("frontier", file)
    assert status == 0 and out.split()[:3] == ["bytes", "score", "lost"]
    points = json.loads(shoestring("frontier", file, "--json")[1])
    assert len(points) == len(out.splitlines()) - 1 and [one["number"] for one in points] == [
        *range(1, len(points) + 1)
    ]
    for point in points:
        assert (
            shoestring("frontier", file, "--pick", point["number"], "--out", "picked.shoe")[0] == 0
        )
        assert (folder / "picked.shoe").stat().st_size == point["bytes"] and load(
            folder / "picked.shoe"
        )
    assert shoestring("frontier", "small.shoe.study", "--pick", 1)[0] == 0
    assert (folder / "small.1.shoe").stat().st_size == points[0]["bytes"]
    assert "there is no point 99" in shoestring("frontier", file, "--pick", 99)[2]
    assert (
        json.loads(shoestring("frontier", file, "--pick", 1, "--json")[1])["bytes"]
        == points[0]["bytes"]
    )


def test_the_report_says_what_compress_did_and_its_commands_work(file, folder, shoestring):
    found = json.loads(shoestring("report", "small.shoe", "--json")[1])
    rows = [json.loads(line) for line in shoestring("ledger", "--json")[1].splitlines()]
    size = file.stat().st_size
    assert found["before"]["costs"]["bytes"] == 4 * (64 * 32 + 32 + 32 * 10 + 10)
    assert found["after"]["costs"]["bytes"] == found["bill"]["total"] == size
    assert found["after"]["costs"]["milliseconds"] > 0 < found["before"]["costs"]["milliseconds"]
    proofs = [row["score_after"] for row in rows if row["kind"] == "prove"]
    assert {found["before"]["test"], found["after"]["test"]} <= {*proofs}
    assert found["budget"]["met"] is True and found["notes"] == [] and not found["working"]
    points = json.loads(shoestring("frontier", file, "--json")[1])
    numbered = {one["number"]: one for one in found["points"] if one["number"]}
    assert {n: one["costs"]["bytes"] for n, one in numbered.items()} == {
        one["number"]: one["bytes"] for one in points
    }
    (again,) = [one["command"] for one in found["commands"] if " compress " in one["command"]]
    assert again == f"shoestring compress mine.py:small --budget '{EASY}'"
    (scored,) = [one["command"] for one in found["commands"] if " score " in one["command"]]
    status, out, _ = shoestring(*shlex.split(scored)[1:], "--ledger", "other.ledger")
    assert status == 0 and float(out) == pytest.approx(found["after"]["test"], abs=1e-4)
    assert shoestring("report", "small.shoe")[0] == 0 and (folder / "small.html").is_file()


def test_frontier_is_drawn(file, folder, shoestring):
    assert shoestring("frontier", file, "--svg", "frontier.svg")[0] == 0
    root = ElementTree.parse(folder / "frontier.svg").getroot()
    marks = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(marks) == len(json.loads(shoestring("frontier", file, "--json")[1]))


@pytest.fixture
def images(folder):
    from shoestring.tasks import digits

    path = folder / "images.npz"
    np.savez(path, images=digits().train[0].numpy())
    return path


@pytest.mark.slow
def test_a_model_alone_is_compressed_by_how_it_answers(images, folder, shoestring):
    status, out, err = shoestring(
        "compress",
        "mine.py:alone",
        "--inputs",
        images,
        "--same",
        "class",
        "--budget",
        EASY,
        "--out",
        "alone.shoe",
    )
    assert status == 0 and (folder / "alone.shoe").stat().st_size <= 6000, err
    assert (
        "agreement on output the same class; 599 inputs to train on, 199 to choose by, 199 to "
        "prove on" in err
    )
    status, out, _ = shoestring(
        "score", "alone.shoe", "mine.py:alone", "--inputs", images, "--same", "class"
    )
    assert status == 0 and 0.8 <= float(out) <= 1
    assert (
        "give --inputs, the same as when the file was made"
        in shoestring("score", "alone.shoe", "mine.py:alone")[2]
    )


@pytest.mark.slow
def test_a_model_alone_is_looked_at_by_how_it_answers(images, shoestring):
    status, out, err = shoestring(
        "forecast", "mine.py:alone", "--inputs", images, "--json", "--budget", "size<=6KB"
    )
    assert "if output are logits of classes, say same=SameClass() (--same class)" in err
    assert status == 0 and json.loads(out.splitlines()[-1])["event"] == "forecast"
    status, out, _ = shoestring(
        "sensitivity", "mine.py:alone", "--inputs", images, "--same", "class", "--bits", 8, "--json"
    )
    assert status == 0 and json.loads(out)


@pytest.mark.slow
def test_sensitivity_tells_which_layer_hurts(folder, shoestring):
    status, out, _ = shoestring(
        "sensitivity", "mine:small", "--bits", 8, "--bits", 2, "--folder", "layers", "--json"
    )
    table = json.loads(out)
    assert status == 0 and [one["layers"] for one in table["effects"]] == [["1"], ["3"]] * 2
    assert {one["action"][:20] for one in table["effects"]} == {
        "PostTraining(bits=8,",
        "PostTraining(bits=2,",
    }
    assert all(one["milliseconds_low"] <= one["milliseconds_saved"] for one in table["effects"])
    _, out, _ = shoestring(
        "sensitivity", "mine:small", "--bits", 8, "--bits", 2, "--folder", "layers", "--csv"
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [float(row["score_lost"]) for row in rows] == [
        one["score_lost"] for one in table["effects"]
    ]
    assert "leave out" in shoestring("sensitivity", "mine:small", "--csv", "--json")[2]


def test_diagnose_says_what_is_wrong_and_what_was_tried(folder, shoestring):
    status, out, _ = shoestring("diagnose", "mine:small", "--steps", 2, "--rate", 10, "--json")
    found = json.loads(out)
    assert status == 0 and [row["function"] for row in found["layers"]].count("linear") == 2
    assert [one["rate"] for one in found["rates"]] == [1, 10, 100]
    status, out, _ = shoestring("diagnose", "mine:small", "--steps", 0, "--batches", 1)
    assert status == 0 and "the mean of 1 training batches" in out and "update/weight" in out
    assert "leave out" in shoestring("diagnose", "mine:small", "--csv", "--json")[2]
    assert "above 0" in shoestring("diagnose", "mine:small", "--rate", 0)[2]


def test_inspect_adds_up_to_the_file(file, shoestring):
    _, out, _ = shoestring("inspect", file, "--json")
    assert sum(line["bytes"] for line in json.loads(out)) == file.stat().st_size
    status, text, _ = shoestring("inspect", file)
    numbers = [int(line.split()[0].replace(",", "")) for line in text.splitlines()]
    assert status == 0 and sum(numbers[:-1]) == numbers[-1] == file.stat().st_size


def test_export_gives_onnx_that_answers_as_the_file_does(file, folder, shoestring):
    assert shoestring("export", file, "out.onnx")[0] == 0
    images = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    model = onnx.load(folder / "out.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (expected,) = session.run(None, {session.get_inputs()[0].name: images})
    np.savez(folder / "in.npz", images)
    assert shoestring("run", file, "in.npz", "--out", "out.npz")[0] == 0
    with np.load(folder / "out.npz") as results:
        np.testing.assert_allclose(results["output"], expected, rtol=1e-5, atol=1e-6)
    assert "float32[3, 10]" in shoestring("run", file, "in.npz")[1]


def test_a_checkpoint_is_packed_and_given_back(folder, shoestring):
    weights = {
        "layer.weight": np.random.default_rng(0).normal(0, 0.02, (80, 50)).astype(np.float32),
        "ids": np.arange(4),
    }
    save_file(weights, folder / "mine.safetensors", {"format": "np"})
    status, out, err = shoestring("pack", "mine.safetensors")
    packed = folder / "mine.shoe"
    assert status == 0 and not err and f"{packed.stat().st_size:,}" in out.splitlines()[-1]
    assert packed.stat().st_size < 0.85 * (folder / "mine.safetensors").stat().st_size
    status, out, _ = shoestring("unpack", "mine.shoe", "again.safetensors")
    assert status == 0 and "byte for byte" in out
    assert (folder / "again.safetensors").read_bytes() == (folder / "mine.safetensors").read_bytes()
    lines = json.loads(shoestring("inspect", "mine.shoe", "--json")[1])
    assert {"layer.weight", "ids"} <= {line["name"] for line in lines}
    assert sum(line["bytes"] for line in lines) == packed.stat().st_size
    assert "already" in shoestring("unpack", "mine.shoe")[2]
    assert "must end in" in shoestring("unpack", "mine.shoe", "mine.txt")[2]
    assert "no graph" in shoestring("run", "mine.shoe", "in.npz")[2]
    assert "no graph" in shoestring("export", "mine.shoe", "out.onnx")[2]
    assert "already" in shoestring("pack", "mine.shoe")[2]


def test_a_file_of_pytorch_is_packed_and_given_back(folder, shoestring):
    torch.save({"model": {"weight": torch.ones(30, 20)}, "epoch": 3}, folder / "mine.pt")
    assert shoestring("pack", "mine.pt", "pt.shoe", "--smallest")[0] == 0
    status, out, _ = shoestring("unpack", "pt.shoe", "again.pt")
    assert status == 0 and "bit for bit" in out
    back = torch.load(folder / "again.pt", weights_only=True)
    assert back["epoch"] == 3 and torch.equal(back["model"]["weight"], torch.ones(30, 20))
    assert "max_bytes" in shoestring("unpack", "pt.shoe", "again.pt", "--max-bytes", 100)[2]


def test_a_model_is_not_unpacked(file, shoestring):
    status, _, err = shoestring("unpack", file, "model.safetensors")
    assert status == 1 and "shoestring export" in err


def test_score_and_ledger(file, shoestring):
    status, out, _ = shoestring("score", file, "mine.py:task", "--ledger", "my.ledger")
    assert status == 0 and 0.7 < float(out) <= 1
    _, out, _ = shoestring("ledger", "my.ledger", "--json")
    assert json.loads(out)["score_after"] == pytest.approx(
        float(shoestring("score", file, "mine:small")[1]), abs=1e-4
    )
    assert "prove" in shoestring("ledger", "my.ledger")[1]


def test_a_ledger_shows_what_few_steps_take_where_one_did(shoestring, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for name, cost in (
        ("plain", Cost(labels=0, seconds=1.0)),
        ("bought", Cost(labels=70, person_seconds=350.0, training_operations=10**12)),
    ):
        Ledger(f"{name}.ledger").append(Row(kind="apply", technique="Margin()", cost_after=cost))
    assert not {"labels", "operations"} & set(shoestring("ledger", "plain.ledger")[1].split())
    said = shoestring("ledger", "bought.ledger")[1].split()
    assert {"labels", "70", "person", "350", "training", "operations", "1e+12"} <= set(
        said
    ) and "communicated" not in said


def test_score_and_ledger_have_scores_by_name(file, shoestring):
    status, out, _ = shoestring("score", file, "mine.py:named", "--ledger", "named.ledger")
    value, line = out.splitlines()
    assert status == 0 and line == f"right: {value}"
    told = json.loads(
        shoestring("score", file, "mine.py:named", "--ledger", "named.ledger", "--json")[1]
    )
    assert told["scores"] == {"right": pytest.approx(told["score"])}
    rows = [
        json.loads(one) for one in shoestring("ledger", "named.ledger", "--json")[1].splitlines()
    ]
    assert [row["scores_after"] for row in rows] == [told["scores"]] * 2 and rows[0][
        "scores_before"
    ] == {}
    assert f"right {value}" in shoestring("ledger", "named.ledger")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compress", "--budget", "size<=0KB"), "more than 0"),
        (("compress", "--budget", "size<=4 parsecs"), "not in 'parsecs'"),
        (("compress", "--budget", "sise<=4KB"), "did you mean size?"),
        (("forecast", "--budget", "milliseconds<=4ms"), "did you mean latency?"),
        (("compress", "--budget", "latency<=1ms", "--runtime", "nonsense"), "nonsense"),
        (("compress", "--part", "3/2"), "write K/N"),
        (("compress", "--part", "1/2"), "name where with --storage"),
        (("frontier", "absent.shoe"), "there is no search in"),
        (("compress", "mine.py:absent"), "no function 'absent'"),
        (("compress", "mine.py:wrong"), "must return (trained model, task)"),
        (("compress", "nothing_here:small"), "there is no module"),
        (("compress", "small"), "MODULE:FUNCTION"),
        (("compress", "mine.py:alone"), "returned a model alone, Sequential: give --inputs x.npz"),
        (("compress", "mine.py:alone", "--inputs", "absent.npz"), "there is no absent.npz"),
        (("compress", "mine.py:alone", "--inputs", "mine.py"), "mine.py cannot be read as arrays"),
        (("compress", "mine.py:alone", "--same", "class"), "wants --inputs"),
        (("forecast", "--inputs", "mine.py"), "name the function that returns it"),
        (
            ("compress", "mine.py:small", "--inputs", "mine.py"),
            "returned a task of its own: leave --inputs out",
        ),
        (("compress", "mine.py:small", "--out", "no/such/folder/x.shoe"), "no folder"),
        (("compress", "mine.py:fails"), "mine.py:27, in fails"),
        (("inspect", "absent.shoe"), "absent.shoe: no such file"),
        (("inspect", "mine.py"), "not a .shoe file"),
        (("pack", "absent.safetensors"), "absent.safetensors: no such file"),
        (("pack", "mine.py"), "neither a .safetensors file nor"),
        (("unpack", "mine.py", "not.pt"), "not a .shoe file"),
        (("ledger", "absent.ledger"), "no ledger"),
        (("ledger", "mine.py"), "not a ledger"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_status_1(shoestring, arguments, message):
    status, _, err = shoestring(*arguments)
    assert status == 1
    assert message in err and err.startswith("error: ") and "Traceback" not in err


def test_inputs_that_do_not_fit(file, folder, shoestring):
    np.savez(folder / "bad.npz", images=np.zeros((2, 3), np.float32))
    assert "shape" in shoestring("run", file, "bad.npz")[2]
    (folder / "text.npz").write_text("not an archive")
    assert "not an .npz file" in shoestring("run", file, "text.npz")[2]


def test_version_and_usage(shoestring):
    from shoestring import __version__

    assert shoestring("--version")[1].strip() == __version__
    assert shoestring("compress", "--nonsense")[0] == 2


def begun(folder, *arguments):
    """The command, running in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "shoestring.cli", "compress", "mine.py:small", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells have what they run in the background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX systems")


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_the_best_file_so_far_and_exits_with_130(folder, number):
    path = folder / f"cut{number}.shoe"
    process = begun(folder, "--budget", "size<=60B, drop<=0%", "--minutes", 10, "--out", path.name)
    assert process.stdout is not None and process.stderr is not None
    while "first file" not in (line := process.stdout.readline()):
        assert line or process.poll() is None, process.stderr.read()
    assert load(path)
    process.send_signal(number)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 130, err
    assert "the same command goes on from here" in out and "Traceback" not in err
    assert load(path) and f"{path.stat().st_size:,}  in all" in out


@posix
@pytest.mark.slow
def test_two_workers_measure_in_one_study(folder):
    # On a busy machine the second worker needs a minute to begin.
    budget = "size<=60B, time<=120s"
    process = begun(folder, "--budget", budget, "--out", "two.shoe", "--workers", 2)
    study, seen = folder / "two.shoe.study" / "study.sqlite", set[str]()
    while process.poll() is None:
        if study.exists():
            try:
                with sqlite3.connect(f"file:{study}?mode=ro", uri=True, timeout=5) as connection:
                    rows = connection.execute(
                        "select distinct worker from claims where worker is not null"
                    ).fetchall()
                    seen |= {one for (one,) in rows}
            except sqlite3.OperationalError:  # it is just being made
                pass
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    _, err = process.communicate()
    assert process.returncode in (0, 3), err
    assert len(seen) == 2, "both had something in their hands"
    with sqlite3.connect(study) as connection:
        keys = connection.execute("select technique, seed, fidelity from trials").fetchall()
    assert len(set(keys)) == len(keys) > 2
    assert load(folder / "two.shoe")


@posix
@pytest.mark.slow
def test_workers_end_when_the_command_is_killed(folder):
    process = begun(folder, "--budget", "size<=60B", "--out", "killed.shoe", "--workers", 2)
    assert process.stdout is not None
    while "first file" not in (line := process.stdout.readline()):
        assert line
    helpers = children(process.pid)
    assert len(helpers) == 1
    process.kill()
    process.communicate()
    ends = monotonic() + 900
    while any(running(one) for one in helpers) and monotonic() < ends:
        os.sched_yield()
    assert not any(running(one) for one in helpers)


def children(pid: int) -> list[int]:
    said = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    ).stdout
    return [int(one) for one in said.split()]


def running(pid: int) -> bool:
    said = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    ).stdout.strip()
    return bool(said) and not said.startswith("Z")


@pytest.mark.slow
def test_a_graph_of_somebody_is_compressed_to_answer_as_it_did(folder, shoestring):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(24, 96),
        torch.nn.ReLU(),
        torch.nn.Linear(96, 48),
        torch.nn.ReLU(),
        torch.nn.Linear(48, 5),
    )
    value = torch.randn(400, 24)
    settings = {
        "input_names": ["x"],
        "output_names": ["y"],
        "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (value[:2],),
            str(folder / "theirs.onnx"),
            dynamo=False,
            opset_version=13,
            **settings,
        )
    np.savez(folder / "x.npz", x=value.numpy())
    pack_onnx(folder / "theirs.onnx", folder / "whole.shoe")
    arguments = (
        "--inputs",
        "x.npz",
        "--same",
        "class",
        "--budget",
        "size<=60%",
        "--minutes",
        "0.3",
        "--out",
        "theirs.shoe",
    )
    status, _, err = shoestring("compress", "theirs.onnx", *arguments)
    assert status == 0, err
    assert (folder / "theirs.shoe").stat().st_size <= 0.6 * (folder / "whole.shoe").stat().st_size
    found = load(folder / "theirs.shoe")
    with torch.no_grad():
        same = found(x=value).argmax(1) == network(value).argmax(1).numpy()
    assert [port.name for port in found.inputs] == ["x"] and same.mean() > 0.9
