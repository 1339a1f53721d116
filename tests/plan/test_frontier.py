"""The frontier: what no other file beats, and its names, by hand."""

import json
from xml.etree import ElementTree

import pytest

from shoestring.core import Cost
from shoestring.kit import Trial
from shoestring.plan.frontier import Frontier, as_svg, gist, rate, undominated

BASE = 0.9


def trial(
    size: int, score: float | None, milliseconds: float | None = None, technique: str = ""
) -> Trial:
    return Trial(
        technique=technique or f"chain(T(size={size}))",
        score=score,
        cost=Cost(bytes=size, milliseconds=milliseconds),
    )


TRIALS = [
    trial(9000, 0.9),
    trial(5000, 0.91),
    trial(3000, 0.893),
    trial(2000, 0.86),
    trial(2500, 0.85),
    trial(100, 0.3),
]


def sizes(trials) -> list[int]:
    return [one.cost.bytes for one in trials]


def test_what_another_beats_in_both_is_left_out():
    assert sizes(undominated(TRIALS)) == [100, 2000, 3000, 5000]
    assert sizes(undominated(TRIALS[::-1])) == [100, 2000, 3000, 5000]


def test_of_equal_ones_the_first_stays():
    equal = [trial(10, 0.5, technique="A()"), trial(10, 0.5, technique="B()")]
    assert [one.technique for one in undominated(equal)] == ["A()"]
    assert sizes(undominated([trial(10, 0.5), trial(11, 0.5), trial(10, 0.4)])) == [10]


def test_in_two_resources_a_larger_and_worse_file_stays_where_it_is_faster():
    trials = [
        trial(1000, 0.9, 2.0),
        trial(2000, 0.8, 1.0),
        trial(3000, 0.8, 1.5),
        trial(500, 0.95, 3.0),
        trial(400, 0.7),
    ]
    fields = ("milliseconds", "bytes")
    assert sizes(undominated(trials, fields)) == [2000, 1000, 500], (
        "the fastest first; what nobody timed is left out"
    )
    assert sizes(undominated(trials)) == [400, 500]


def test_what_failed_is_on_no_frontier():
    assert undominated([trial(1, None)]) == []


def test_what_lost_half_of_the_score_is_left_out_where_there_is_more():
    assert sizes(Frontier.of(TRIALS, ["bytes"], BASE).points) == [2000, 3000, 5000]
    assert sizes(Frontier.of(TRIALS[-1:], ["bytes"], BASE).points) == [100]
    assert sizes(Frontier.of([trial(5, -9.0), trial(6, -3.0)], ["bytes"], -2.5).points) == [6]


def test_three_points_have_names():
    # Nothing beyond 2 × 0.002 = 0.4 points is free; 1 % of 0.9 is 0.9 points, 5 % are 4.5.
    found = Frontier.of(TRIALS, ["bytes"], BASE, base_error=0.002)
    assert {name: one.cost.bytes for name, one in found.named().items()} == {
        "free": 5000,
        "balanced": 3000,
        "tiny": 2000,
    }


def test_a_name_whose_point_is_anothers_is_left_out():
    noisy = Frontier.of(TRIALS, ["bytes"], BASE, base_error=0.01)
    assert {name: one.cost.bytes for name, one in noisy.named().items()} == {
        "free": 3000,
        "tiny": 2000,
    }
    single = Frontier.of(TRIALS[:1], ["bytes"], BASE)
    assert list(single.named()) == ["free"]
    assert Frontier.of([trial(10, 0.5)], ["bytes"], BASE).named() == {}


def test_a_wide_error_never_makes_balanced_larger_than_free():
    found = Frontier.of(TRIALS, ["bytes"], BASE, base_error=0.1).named()
    assert {name: one.cost.bytes for name, one in found.items()} == {"free": 2000}


def test_the_table_has_a_line_for_each_point_with_the_exchange_rate():
    found = Frontier.of(TRIALS, ["bytes"], BASE, base_error=0.002)
    head, *lines = str(found).splitlines()
    assert head.split()[:3] == ["bytes", "score", "lost"]
    assert lines[0].split() == ["1", "2,000", "0.8600", "+0.0400", "tiny", "T(size=2000)"]
    assert lines[1].split() == [
        "2",
        "3,000",
        "0.8930",
        "+0.0070",
        "+1,000",
        "B",
        "buy",
        "+0.0330",
        "balanced",
        "T(size=3000)",
    ]
    assert lines[2].split() == [
        "3",
        "5,000",
        "0.9100",
        "-0.0100",
        "+2,000",
        "B",
        "buy",
        "+0.0170",
        "free",
        "T(size=5000)",
    ]
    assert len(lines) == 3


def test_the_exchange_rate_of_a_step():
    assert rate(trial(2000, 0.86), trial(3000, 0.893)) == "+1,000 B buy +0.0330"
    assert rate(trial(3000, 0.8), trial(2500, 0.9)) == "-500 B buy +0.1000"


def test_as_plain_values():
    noisy = Trial(
        technique="T()",
        score=0.9,
        cost=Cost(bytes=10, milliseconds=0.5),
        noise={"milliseconds": (0.4, 0.6)},
    )
    (found,) = Frontier.of([noisy], ["milliseconds", "bytes"], BASE).as_json()
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "number": 1,
        "name": "free",
        "score": 0.9,
        "bytes": 10,
        "milliseconds": 0.5,
        "intervals": {"milliseconds": [0.4, 0.6]},
        "technique": "T()",
    }


@pytest.mark.parametrize(
    ("technique", "words"),
    [
        ("chain()", "as it came in"),
        ("chain(WeightSharing(levels=16, training=Training(0)))", "WeightSharing(levels=16)"),
        ("chain(Rate(price=Toward(bytes=960.0), rise=0.6))", "Rate(price=Toward(bytes=960.0))"),
        ("chain(A(x=(1, 2), y=3), B())", "A(x=(1, 2)) + B"),
        ("Lone(x=[1, 2])", "Lone(x=[1, 2])"),
    ],
)
def test_a_chain_in_short(technique, words):
    assert gist(technique) == words


SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_has_a_mark_for_each_point_and_names_are_escaped():
    trials = [trial(2000, 0.86, technique='chain(T(x="<a> & b"))'), *TRIALS]
    root = ElementTree.fromstring(
        as_svg(Frontier.of(trials, ["bytes"], BASE, base_error=0.002), 'mine & "<yours>"')
    )
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title").text == 'mine & "<yours>"'
    marks = root.findall(f"{SVG}circle")
    titles = [one.find(f"{SVG}title").text for one in marks]
    assert titles[0] == '1: 2,000 bytes, score 0.8600, T(x="<a> & b")' and len(titles) == 3
    places = [(float(one.get("cx")), float(one.get("cy"))) for one in marks]
    assert places == sorted(places) and [y for _, y in places] == sorted(
        (y for _, y in places), reverse=True
    )
    assert all(0 < x < 640 and 0 < y < 400 for x, y in places)
    assert {"tiny", "balanced", "free"} <= {
        word for one in root.iter(f"{SVG}text") for word in (one.text or "").split()
    }


def test_a_picture_of_a_single_point():
    root = ElementTree.fromstring(as_svg(Frontier.of([trial(2000, 0.9)], ["bytes"], BASE)))
    assert len(root.findall(f"{SVG}circle")) == 1


def test_a_notebook_shows_the_table_that_print_shows_with_bars():
    frontier = Frontier.of(TRIALS, ("bytes",), BASE)
    written = frontier._repr_html_()
    root = ElementTree.fromstring(written)
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    lines = [line.split() for line in str(frontier).splitlines()]
    assert len(rows) == len(lines) == 4
    assert rows[1][:4] == ["1", "T(size=2000)", "2,000", "0.8600"]
    for row, line in zip(rows[1:], lines[1:], strict=True):
        assert row[0] == line[0] and row[2] == line[1] and row[3] == line[2]
    widths = [one.get("style", "") for one in root.iter("span")]
    assert [f"width:{width}px" in style for width, style in zip((36, 54, 90), widths, strict=True)]
    evil = Frontier.of([trial(5, 0.9, technique="<script>")], ("bytes",), BASE)
    assert "<script>" not in evil._repr_html_()
