import json
import sys
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from shoestring import cli, kit
from shoestring.artifact import OnnxRuntime
from shoestring.meters import Platform, parse_runtime
from shoestring.meters.interleaved import Timing
from shoestring.plan import platforms as compare
from shoestring.plan.platforms_chart import Dot, chart
from shoestring.plan.relative_latency import RelativeLatency


@pytest.fixture(scope="module")
def task():
    split = torch.eye(4), torch.arange(4)
    return kit.Supervised(train=split, validation=split, test=split)


@pytest.fixture(scope="module")
def files(tmp_path_factory, task):
    """A file that is always right, and one that is right where the answer is 0."""
    found = []
    for name, weights in (
        ("right", torch.eye(4)),
        ("zero", torch.tensor([[1.0], [0], [0], [0]]).expand(4, 4)),
    ):
        layer = nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            layer.weight.copy_(weights)
        found.append(tmp_path_factory.mktemp("files") / f"{name} <&>.shoe")
        kit.write(layer, task, found[-1])
    return found


def test_files_beside_each_other(files, task, monkeypatch):
    asked = []

    def alternate(paths, task, **settings):
        asked.append((paths, settings["threads"], settings["batch"]))
        factor = {None: 10.0}.get(settings["threads"], 1.0)
        return [Timing.of([factor * ms] * 20, 1) for ms in (2.0, 1.0, 2.0)]

    monkeypatch.setattr(sys.modules["shoestring.plan.platforms"], "alternate", alternate)
    table = compare(
        files,
        task,
        [parse_runtime("onnxruntime"), parse_runtime("onnxruntime:all-threads")],
        batch=3,
    )
    assert asked == [([*files, files[0]], threads, 3) for threads in (1, None)]
    right, zero = table.lines
    assert (right.score, zero.score) == (1.0, 0.25)
    assert right.operations == zero.operations == 2 * 4 * 4
    assert [line.bytes for line in table.lines] == [file.stat().st_size for file in files]
    assert right.relative_latencies == (
        RelativeLatency(ratio=1, low=1, high=1, milliseconds=2),
        RelativeLatency(ratio=1, low=1, high=1, milliseconds=20),
    )
    assert zero.relative_latencies == (
        RelativeLatency(ratio=0.5, low=0.5, high=0.5, milliseconds=2),
        RelativeLatency(ratio=0.5, low=0.5, high=0.5, milliseconds=20),
    )
    lines = str(table).splitlines()
    assert (
        "ms, onnxruntime:all-threads" in lines[0]
        and "Milliseconds are of a run of 3 examples" in lines[-1]
    )
    assert all(word in lines[2] for word in ("0.2500", "32", "1 (1 to 1)", "10 (10 to 10)"))
    plain = json.loads(json.dumps(table.as_json()))
    assert [one["milliseconds"] for one in plain["files"][1]["platforms"]] == [1, 10]
    texts = [one.text for one in ElementTree.fromstring(table.to_svg()) if one.tag.endswith("text")]
    assert "onnxruntime" in texts and texts.count(files[0].name) == 2


def test_a_chart_of_one_dot():
    ElementTree.fromstring(chart({"here": [Dot("a", 1.0, 1.0, 1.0, 0.0)]}))


def test_bad_settings(files, task):
    with pytest.raises(ValueError, match="a list of one file or more"):
        compare([], task)
    with pytest.raises(ValueError, match="a list of one file or more"):
        compare("a.shoe", task)
    with pytest.raises(ValueError, match="a list of one Platform or more"):
        compare(files, task, [])
    with pytest.raises(ValueError, match="a list of one Platform or more"):
        compare(files, task, Platform(OnnxRuntime()))  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_the_command(files, monkeypatch, capsys, tmp_path):
    (tmp_path / "platforms_task.py").write_text(
        "import torch\nfrom shoestring import Supervised\nsplit = torch.eye(4), torch.arange(4)\n"
        "def task(): return Supervised(train=split, validation=split, test=split)\n"
    )
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["shoestring", "platforms", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    status, out, err = call("platforms_task.py:task", *files, "--json", "--svg", "out.svg")
    assert status == 0, err
    found = json.loads(out)["files"]
    assert [one["score"] for one in found] == [1.0, 0.25]
    assert all(
        0 < p["milliseconds_low"] <= p["milliseconds_high"]
        for one in found
        for p in one["platforms"]
    )
    ElementTree.parse(tmp_path / "out.svg")
    status, out, _ = call("platforms_task.py:task", files[0], "--runtime", "onnxruntime")
    assert status == 0 and "ms, onnxruntime" in out
    for arguments, said in (
        (files, "give one function"),
        (["platforms_task.py:task"], "one file or more"),
        (["platforms_task.py:task", files[0], "--runtime", "onnxrutime"], "(onnxruntime?)"),
        (["platforms_task.py:task", "absent.shoe"], "absent.shoe: no such file"),
    ):
        status, _, err = call(*arguments)
        assert status == 1 and said in err
