"""The page of a report in a real browser: for every reader, of any document, and kept fresh."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_documents
import pytest
from playwright.sync_api import Page, expect
from real_browser import Visit, served

from report.opened_page import DESKTOP, PHONE, Open, box, ready
from shoestring.report.document import Document
from shoestring.report.page import page_of

OPENS_WITHIN = 10.0
"""Seconds: generous, since timings are the matter of benchmarks/report_page.py."""


# -- every reader


@pytest.mark.by_default("desktop-light", "phone-dark")
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_serious_stands_in_the_way_of_anyone(
    show: Open, colours: str, window: dict[str, int]
) -> None:
    seen = show(made_documents.study(), viewport=window, color_scheme=colours)
    page = seen.page
    box(page).focus()
    for key in ("Home", "Enter", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # draws what is below, too
    assert seen.inaccessible() == []
    assert seen.sideways() <= 0
    assert seen.faults == []


def test_dark_and_light_can_be_chosen_and_are_remembered(show: Open) -> None:
    page = show(made_documents.study(), color_scheme="light").page
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    line = page.locator(".frontier-box svg").first.inner_html()
    page.get_by_role("button", name="Use dark colours").click()
    assert page.evaluate(paper) != light
    assert page.locator(".frontier-box svg").first.inner_html() != line, (
        "the chart changes its colours"
    )
    page.reload()
    ready(page)
    assert page.evaluate(paper) != light


def test_the_system_decides_between_light_and_dark(show: Open) -> None:
    seen = [
        show(made_documents.study(), color_scheme=colours).page.evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for colours in ("light", "dark")
    ]
    assert seen[0] != seen[1]


def test_paper_is_white(show: Open) -> None:
    page = show(made_documents.study(), color_scheme="dark").page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert page.locator("#sensitivity svg").count() == 1, "what is below is drawn for paper, too"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_the_page_asks_nobody_for_anything(show: Open) -> None:
    seen = show(made_documents.study())
    seen.page.wait_for_timeout(300)
    assert len(seen.requests) == 1, "the page itself and nothing else"
    refused = seen.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    assert refused == "refused"
    assert any("Content Security Policy" in fault for fault in seen.faults), "its policy forbids it"


# -- hostile text


@pytest.mark.by_default("phone")
@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_text_stays_text_and_long_text_is_cut(show: Open, window: dict[str, int]) -> None:
    document = json.loads(made_documents.hostile().to_json())
    # Python cuts long texts, too; the page must not rely on it.
    long = made_documents.EVIL + "x" * 1_000_000
    document["notes"].append(long)
    document["points"][1] |= {"label": long, "technique": long, "steps": [long], "note": long}
    document["after"] |= {"label": long, "technique": long, "steps": [long, long], "note": long}
    document["ledger"][0] |= {"gist": long, "note": long}
    document["bill"]["rows"][0]["tensor"] = long
    document["layers"][0]["tensor"] = long
    document["title"] = long
    text = json.dumps(document).replace("<", "\\u003c")
    page = page_of(made_documents.empty())
    start = page.index('<script type="application/json"')
    end = page.index("</script>", start)
    whole = page[:start] + '<script type="application/json" id="document">' + text + page[end:]
    seen = show(whole, viewport=window)
    seen_page = seen.page
    seen_page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    box(seen_page).focus()
    for key in ("Home", "Enter", "End", "Enter"):
        seen_page.keyboard.press(key)
    for part in ("#bill svg", "#layers svg", "#sensitivity svg"):
        seen_page.locator(part).first.hover()
    assert seen_page.evaluate("window.struck") is None
    assert seen_page.locator("main img, main script").count() == 0
    shown = seen_page.locator("body").inner_text()
    assert "<script>window.struck" in shown and "…" in shown
    assert len(shown) < 200_000, "a megabyte is cut"
    assert seen.sideways() <= 0
    assert seen.faults == []


# -- little or nothing


def good() -> list[Any]:
    return [point for point in made_documents.points(20) if point.state == "ok"]


EMPTY = {
    "nothing": (made_documents.empty(), "no trial was measured", "No trial was measured"),
    "working": (
        made_documents.empty(True),
        "measuring the model as it came in",
        "Points appear here",
    ),
    "failed": (
        made_documents.of(*[p for p in made_documents.points(300) if p.state == "failed"]),
        "none of 4 trials",
        "4 trials failed",
    ),
    "nan": (
        made_documents.of(*[p for p in made_documents.points(300) if p.state == "nan"]),
        "none of 4 trials",
        "a score that is no number",
    ),
    "waiting": (
        replace(made_documents.empty(), live=True),
        "waiting for the search",
        "Points appear here",
    ),
    "one": (made_documents.of(good()[0]), "1 file measured", "1 of 1 point on the frontier"),
    "file": (made_documents.file_alone(), "12 tensors", "Where the bytes go"),
    "ledger": (made_documents.ledger_alone(), "40 rows", "The ledger"),
}


@pytest.mark.parametrize("case", EMPTY)
def test_little_or_nothing_is_said_in_words(show: Open, case: str) -> None:
    document, headline, words = EMPTY[case]
    seen = show(document)
    page = seen.page
    assert headline in page.locator("h1").inner_text()
    assert words in page.locator("main").inner_text()
    assert "NaN" not in page.locator("body").inner_text()
    assert "undefined" not in page.locator("main").inner_text()
    parts = page.locator(".part").count()
    assert "nothing to choose from" not in page.locator("main").inner_text() or case == "nothing"
    assert parts == {"nothing": 0, "working": 0, "waiting": 0, "failed": 1, "nan": 1, "one": 2}.get(
        case, parts
    )
    if case in ("file", "ledger"):
        assert not page.locator("#else").is_visible()
    assert seen.inaccessible() == []  # the last, since it skips where axe-core is missing


def test_a_page_without_its_document_says_so(show: Open, tmp_path: Path, visit: Any) -> None:
    whole = page_of(made_documents.empty())
    broken = whole.replace('{"schema":1', '{"schema":7')
    path = tmp_path / "broken.html"
    path.write_text(broken)
    seen = visit()
    page = seen.open(path)
    expect(page.locator("h1")).to_have_text("This report cannot be shown")
    expect(page.locator("#notes")).to_contain_text("schema 7")


# -- real ones


@pytest.mark.slow
def test_a_real_search_is_shown(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    """The digits, compressed for half a minute: what the page says is what the command found."""
    command = [sys.executable, "-m", "shoestring.cli"]
    asked = ["compress", "--minutes", "0.5", "--budget", "size<=30KB, drop<=5%", "--quiet"]
    done = subprocess.run([*command, *asked], cwd=tmp_path, capture_output=True, timeout=400)
    assert done.returncode in (0, 3), done.stderr[-2000:]
    made = subprocess.run(
        [*command, "report", "digits.shoe"], cwd=tmp_path, capture_output=True, timeout=100
    )
    assert made.returncode == 0, made.stderr[-2000:]
    seen = visit(viewport=DESKTOP)
    page = seen.open(tmp_path / "digits.html")
    ready(page)
    size = (tmp_path / "digits.shoe").stat().st_size
    assert f"{size:,} bytes" in page.locator("h1").inner_text()
    assert f"{size:,}" in page.locator("#bill .lead").inner_text()
    assert page.locator(".frontier-box svg text", has_text="delivered").count() == 1
    shown = int(page.locator("#trials .told").inner_text().split(" ")[-2].replace(",", ""))
    assert shown > 1
    box(page).focus()
    for key in ("Home", "Enter", "End", "Enter"):
        page.keyboard.press(key)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert seen.faults == [] and len(seen.requests) == 1
    assert seen.inaccessible() == []  # the last, since it skips where axe-core is missing


# -- many


def test_a_thousand_trials_open_and_filter_and_the_file_is_small(show: Open) -> None:
    document = made_documents.study(1000)
    assert len(page_of(document).encode()) < 2_000_000
    start = time.monotonic()
    page = show(document).page
    assert time.monotonic() - start < OPENS_WITHIN
    assert marks(page) > 800, "every point in reach is drawn"
    page.get_by_label("Filter trials").fill("levels=9")
    expect(page.locator("#trials .told")).to_contain_text("filtered from 1,000")


def marks(page: Page) -> int:
    """How many circles the chart has: many are one path, which begins anew for each."""
    drawn = page.locator(".frontier-box svg path").evaluate_all(
        "(all) => all.map((one) => one.getAttribute('d') ?? '')"
    )
    return sum(len(re.findall(r"[Mm]", path)) for path in drawn)


@pytest.mark.slow
def test_of_very_many_points_a_thousand_are_drawn_and_listed_and_a_note_says_so(show: Open) -> None:
    page = show(made_documents.study(6000)).page
    expect(page.locator("#notes")).to_contain_text("Of 6,000 points 1,000 are shown")
    assert marks(page) > 800
    expect(page.locator("#trials .told")).to_have_text("1 to 25 of 1,000 trials")


# -- a page that a server keeps fresh


def test_a_live_page_takes_what_is_new_and_keeps_what_the_reader_chose(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    def put(document: Document) -> None:
        (tmp_path / "new").write_text(document.to_json())
        (tmp_path / "new").replace(tmp_path / "document.json")

    first = replace(made_documents.study(40), live=True, working=True)
    (tmp_path / "index.html").write_text(page_of(first))
    put(first)
    seen = visit(viewport=DESKTOP)
    with served(tmp_path) as address:
        page = seen.open(f"{address}/index.html")
        ready(page)
        expect(page.locator("#live")).to_have_text("working…")
        page.get_by_label("across").select_option(label="latency")
        page.get_by_label("Filter trials").fill("levels")
        box(page).focus()
        for key in ("Home", "Enter", "End", "Enter"):
            page.keyboard.press(key)
        pinned = page.locator("#comparison").inner_text()
        page.evaluate("window.scrollTo(0, 400)")
        more = made_documents.study(41)
        extra = [p for p in more.points if p.id not in {q.id for q in first.points}]
        put(replace(first, points=(*first.points, *extra), working=False))
        expect(page.locator("#live")).to_have_text("finished", timeout=8000)
        expect(page.locator("#trials .told")).to_contain_text(str(len(first.points) + len(extra)))
        assert page.locator("#comparison").inner_text() == pinned
        assert page.get_by_label("across").input_value() == "milliseconds"
        assert page.get_by_label("Filter trials").input_value() == "levels"
        assert page.evaluate("window.scrollY") == 400
        assert seen.faults == []
        assert {one.removeprefix(address) for one in seen.requests} == {
            "/index.html",
            "/document.json",
        }


@pytest.mark.slow
def test_a_live_page_says_that_its_server_has_gone(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    document = replace(made_documents.study(5), live=True, working=True)
    (tmp_path / "index.html").write_text(page_of(document))
    (tmp_path / "document.json").write_text(document.to_json())
    seen = visit()
    with served(tmp_path) as address:
        page = seen.open(f"{address}/index.html")
        ready(page)
    expect(page.locator("#live")).to_contain_text("the server has gone", timeout=15_000)
    assert "made-up.shoe" in page.locator("h1").inner_text(), "what it said last stays"
