"""How the page writes numbers and names, with values that a reader can check by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[2] / "web" / "report" / "src"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    NODE is None, reason="node is not installed: the sources of the page cannot be run"
)


def evaluate(module: str, expressions: list[str]) -> list[Any]:
    """What expressions come to that use the names of a module, through JSON."""
    script = (
        f"import * as m from {json.dumps((SOURCES / module).as_uri())};"
        f"console.log(JSON.stringify([{','.join(expressions)}]))"
    )
    ran = subprocess.run(
        [str(NODE), "--input-type=module", "-e", script], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def test_numbers_and_names_are_written_as_people_read_them():
    expected = {
        'm.quantity(1394, "B")': "1,394 B",
        'm.quantity(12_345_678, "B")': "12.35 MB",
        'm.quantity(0.98254, "%")': "98.25 %",
        'm.quantity(0.0812, "ms")': "0.0812 ms",
        'm.quantity(3725, "s")': "1 h 2 min",
        'm.quantity(0.5, "min")': "30 s",
        'm.quantity(null, "B")': "–",
        'm.short(20000, "B")': "20 KB",
        'm.range([0.0251, 0.0277], "ms")': "0.0251 to 0.0277 ms",
        'm.scoreAmount(0.01, "%")': "1.00 point",
        'm.scoreAmount(0.0025, "%")': "0.25 points",
        'm.scoreAmount(1.5, "")': "1.5",
        'm.difference(-0.005, "%")': "−0.50 points",
        'm.difference(1200, "B")': "+1,200 B",
        'm.difference(0, "B")': "the same",
        'm.change(212008, 1394, m.comparatives("bytes"))': "152 times smaller",
        'm.change(1.0, 1.1, m.comparatives("milliseconds"))': "10 % slower",
        'm.change(5, 5, m.comparatives("bytes"))': "the same",
        'm.count(1, "trial")': "1 trial",
        'm.count(1200, "trial")': "1,200 trials",
        'm.cut("abcdef", 4)': "abc…",
        'm.cut("abcd", 4)': "abcd",
        'm.cut("a\\nb", 9)': "a b",
        'm.cut("a\\u{1F600}bc", 3)': "a…",
        'm.brief("Rate(bytes=2853.2507739938083, x=0.5)")': "Rate(bytes=2853.25, x=0.5)",
        'm.shortener(["e.0.weight", "e.1.weight"])("e.1.weight", 9)': "…1.weight",
        'm.shortener(["a.b", "c.d"])("abcdefghijkl", 6)': "abc…kl",
        "m.alike([1, 2], [2, 3])": True,
        "m.alike([1, 2], [2.1, 3])": False,
        "m.alike(undefined, [1, 2])": False,
    }
    found = evaluate("format.js", list(expected))
    plain = [one.replace("\u202f", " ") if isinstance(one, str) else one for one in found]
    assert dict(zip(expected, plain, strict=True)) == expected


def test_the_frontier_and_the_exchange_of_two_points():
    points = """[[10, 0.9], [20, 0.8], [20, 0.95], [5, 0.2], [5, 0.2], [30, 0.95]].map(
        ([bytes, score], id) => ({id, state: "ok", costs: {bytes}, scores: {score}}))"""
    x = '{field: "bytes", better: "lower"}'
    y = '{field: "score", better: "higher"}'
    found = evaluate(
        "pareto.js",
        [
            f"m.frontierOf({points}, {x}, {y}).map((point) => point.id)",
            f"m.frontierOf({points}, {y}, {x}).map((point) => point.id)",
            f"m.useful({points}, {{...{y}, least: 0.45}}).map((point) => point.id)",
            f"(([a, , b]) => m.exchange(a, b, {x}, {y}))({points})",
            f"(([a, b]) => m.exchange(a, b, {x}, {y}))({points})",
        ],
    )
    assert found[0] == [3, 0, 2]  # of the two equal ones the first
    assert sorted(found[1]) == [0, 2, 3]
    assert found[2] == [0, 1, 2, 5]  # a score of 0.2 is less than 0.45
    assert found[3]["from"]["id"] == 2 and found[3]["to"]["id"] == 0
    assert found[3]["saved"] == 10 and found[3]["lost"] == pytest.approx(0.05)
    assert found[4] is None  # the first is better in both


def test_a_difference_within_two_standard_errors_is_noise():
    axis = '{field: "score"}'
    given = f"{{scores: [{axis}]}}"
    point = (
        "((score, error, ms) => ({costs: {ms: score}, scores: {score}, error, intervals: {ms}}))"
    )
    cases = {
        f"m.noisy({given}, {axis}, {point}(0.90, 0), {point}(0.895, 0.003))": True,
        f"m.noisy({given}, {axis}, {point}(0.90, 0), {point}(0.895, 0.002))": False,
        f"m.noisy({given}, {axis}, {point}(0.90, 0.002), {point}(0.895, 0.002))": True,
        f"m.noisy({given}, {axis}, {point}(0.90, null), {point}(0.895, null))": False,
        f"m.noisy({given}, {axis}, null, {point}(0.895, 1))": False,
        f'm.noisy({given}, {{field: "ms"}}, {point}(1, 1, [1, 2]), {point}(2, 1, [2, 3]))': True,
        f'm.noisy({given}, {{field: "ms"}}, {point}(1, 1, [1, 2]), {point}(2, 1, [3, 4]))': False,
        f'm.noisy({given}, {{field: "ms"}}, {point}(1.5, 1), {point}(2, 1, [1, 3]))': True,
        f'm.noisy({given}, {{field: "ms"}}, {point}(0.5, 1), {point}(2, 1, [1, 3]))': False,
        f'm.noisy({given}, {{field: "ms"}}, {point}(1, 1), {point}(1, 1))': False,
    }
    assert dict(zip(cases, evaluate("pareto.js", list(cases)), strict=True)) == cases


def test_ticks_and_ranges_are_round():
    found = evaluate("view.js", ["m.logTicks([900, 21000])", "m.logTicks([2100, 4200])"])
    assert found[0] == [1000, 2000, 5000, 10000, 20000]
    assert found[1] == [3000, 4000]
