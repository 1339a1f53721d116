"""A forecast in words."""

from __future__ import annotations

import pytest

from shoestring.plan import Outlook, affordable, scaling

POINTS = [(size, 1 - 0.005 - 1.9 * size**-0.5) for size in (100, 180, 320, 560, 1000)]


def test_the_lines_have_the_numbers_of_the_forecast():
    found = scaling(POINTS)
    text = str(Outlook(found=found, sizes=[10_000], unit="images"))
    there = found.at(10_000)
    first, row, floor = text.splitlines()
    assert first == "5 small runs, 100 to 1,000 images: scores of 0.805 to 0.9349"
    assert row.split() == [
        "10,000",
        "images:",
        f"{there.middle:.4f}",
        f"({there.low:.4f}",
        "to",
        f"{there.high:.4f})",
    ]
    assert floor.startswith(f"  with any number: {found.floor().middle:.4f} (")


def test_a_score_has_a_size_a_price_and_years():
    found = scaling(POINTS)
    outlook = Outlook(found=found, sizes=[], target=0.957, price=0.05, affords=500)
    _, _, size, price, today, *years = str(outlook).splitlines()
    wanted = found.size_for(0.957)  # about 2,500
    assert size.startswith("a score of 0.957 takes about 2,") and " examples (" in size
    assert price.startswith("  at 0.05 each: about 1") and price.count(",") <= 3
    assert "500 examples today" in today and len(years) == 3
    assert wanted.middle is not None
    assert f"in about {affordable(wanted.middle, 500, 2):.1f} years" in years[1]
    plain = outlook.as_json()
    assert plain["years"]["2"]["middle"] == pytest.approx(affordable(wanted.middle, 500, 2))
    assert plain["size_for"]["score"] == 0.957 and plain["unit"] == "examples"


def test_a_score_out_of_reach_is_said_so():
    points = [(size, 1 - 0.1 - 2.0 * size**-0.7) for size in (100, 300, 1000, 10_000, 100_000)]
    text = str(Outlook(found=scaling(points), sizes=[], target=0.96, price=1.0, affords=10.0))
    assert text.splitlines()[-1].startswith("a score of 0.96 is out of reach")


def test_a_score_that_may_be_out_of_reach_has_an_open_end():
    text = str(Outlook(found=scaling(POINTS), sizes=[], target=0.992))
    assert text.endswith(" examples at best, and more likely no number is enough")


def test_undecided_is_said_and_nothing_else():
    found = scaling([(10, 0.8), (100, 0.7), (1000, 0.6)])
    outlook = Outlook(found=found, sizes=[10_000], target=0.9)
    lines = str(outlook).splitlines()
    assert len(lines) == 2 and lines[1].startswith("undecided: the scores do not rise")
    assert outlook.as_json()["undecided"] and "years" not in outlook.as_json()
