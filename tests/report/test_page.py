"""The page of a report in a real browser: what it shows, and how it answers mouse and keyboard."""

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
from browser import NODE_MODULES, Visit, served
from playwright.sync_api import Locator, Page, expect

from shoestring.report.document import Document
from shoestring.report.page import page_of

Open = Callable[..., Visit]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
OPENS_WITHIN = 10.0
"""Seconds: generous, since timings are the matter of benchmarks/report_page.py."""


@pytest.fixture
def show(tmp_path: Path, visit: Callable[..., Visit]) -> Open:
    """Opens the page of a document, ready and without faults: `show(document, viewport=…)`."""

    def opened(document: Document | str, **options: Any) -> Visit:
        page = document if isinstance(document, str) else page_of(document)
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8")
        seen = visit(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
        ready(seen.open(path))
        assert seen.faults == []
        return seen

    return opened


def ready(page: Page) -> None:
    """Waits until the page has drawn what is seen first."""
    page.wait_for_selector("html[data-ready=yes]", state="attached")


def box(page: Page) -> Locator:
    """What takes the keys of the chart."""
    return page.locator(".frontier-box")


def named(page: Page, words: str) -> Locator:
    """The label of the chart with these words."""
    return page.locator(".frontier-box svg text", has_text=re.compile(f"^{words}$"))


# -- what is seen first


def test_the_three_answers_are_above_the_fold(show: Open) -> None:
    document = made_documents.study()
    page = show(document).page
    headline = page.locator("h1").inner_text()
    assert document.after is not None and document.before is not None
    size, was = document.after.costs["bytes"], document.before.costs["bytes"]
    assert f"made-up.shoe: {size:,.0f} bytes" in headline
    factor = re.search(r"([\d.]+) times smaller", headline)
    assert factor and float(factor[1]) == pytest.approx(was / size, rel=0.02)
    assert "lower (test)" in headline
    assert headline.endswith("keeps the budget." if document.after.fits else "misses the budget.")
    for part in ("#got .before-after", "#else svg", "#details h3"):
        seen = page.locator(part).first.bounding_box()
        assert seen is not None and seen["y"] + min(seen["height"], 200) <= DESKTOP["height"], part
    table = page.locator(".before-after").inner_text()
    assert "What you got" in table and "What it cost" in table and "latency" in table
    assert (
        "0.9800" in table and "What else you could have had" in page.locator("#else").inner_text()
    )


def test_notes_stand_at_the_top(show: Open) -> None:
    document = replace(made_documents.study(), notes=("1,000 of 20,000 trials are shown.",))
    page = show(document).page
    note = page.locator("#notes")
    expect(note).to_have_text("1,000 of 20,000 trials are shown.")
    place = note.bounding_box()
    assert place is not None and place["y"] < 150


def test_the_delivered_file_the_model_before_and_named_points_are_labelled(show: Open) -> None:
    page = show(made_documents.study()).page
    for words in ("before", "delivered", "free", "tiny"):
        expect(page.locator(".frontier-box svg text", has_text=words).first).to_be_visible()
    expect(page.locator(".frontier-box svg text", has_text="within the budget")).to_have_count(1)
    assert re.search(r"\d+ of 60 points on the frontier", page.locator(".caption").inner_text())
    assert "1 trial failed" in page.locator(".caption").inner_text()


# -- the frontier


def test_other_axes_have_another_frontier(show: Open) -> None:
    document = made_documents.study()
    page = show(document).page
    for label, field in (("latency", "milliseconds"), ("size", "bytes")):
        page.get_by_label("across").select_option(label=label)
        expect(page.locator(".frontier-box svg text", has_text=f"{label} (lower")).to_have_count(1)
        slow = frontier(document, field, "score")
        assert re.match(f"{len(slow)} of 60 points", page.locator(".caption").inner_text())
    page.get_by_label("up").select_option(label="recall")
    expect(page.locator(".frontier-box svg text", has_text="recall (higher")).to_have_count(1)
    ticks = page.locator(".frontier-box svg").first.inner_html()
    page.get_by_label("logarithmic").uncheck()
    assert page.locator(".frontier-box svg").first.inner_html() != ticks


def frontier(document: Document, x: str, y: str) -> list[str]:
    """The ids that no other point beats on these axes; slow and plain."""
    good = [(p.costs[x], p.scores[y], p.id) for p in document.points if p.state == "ok"]
    return [
        name
        for cost, score, name in good
        if not any((a <= cost and b >= score) and (a, b) != (cost, score) for a, b, other in good)
    ]


def test_hover_shows_the_chain_of_a_point(show: Open) -> None:
    document = made_documents.study()
    page = show(document).page
    free = next(p for p in document.points if p.id == document.named["free"])
    page.mouse.move(*place_of(page, "free"))
    expect(page.locator("#details h3")).to_have_text(free.label)
    expect(page.locator("#details .steps li")).to_have_text(list(free.steps))
    assert f"{free.costs['bytes']:,.0f}" in page.locator("#details .values").inner_text()
    assert " to " in page.locator("#details .values").inner_text()  # the interval


def place_of(page: Page, words: str) -> tuple[float, float]:
    """Where a point with a name is on the screen.

    Found by walking to it with the arrow keys: the ring of what is looked at tells the place.
    """
    chart = box(page)
    chart.focus()
    page.keyboard.press("Home")
    for _ in range(200):
        if words in page.locator("#details .badges").inner_text():
            break
        page.keyboard.press("ArrowRight")
    ring = page.evaluate(
        """() => [...document.querySelectorAll('.frontier-box svg path')]
            .map((path) => path.getBoundingClientRect())
            .filter((place) => Math.abs(place.width - 24) < 3 && Math.abs(place.height - 24) < 3)
            .map((place) => [place.x + place.width / 2, place.y + place.height / 2])"""
    )
    assert len(ring) == 1, ring
    page.keyboard.press("Home")
    return ring[0][0], ring[0][1]


def test_the_ring_is_around_the_point_that_is_looked_at(show: Open) -> None:
    document = made_documents.study()
    page = show(document).page
    x, y = place_of(page, "delivered")
    middles = page.evaluate(
        """() => [...document.querySelectorAll('.frontier-box .frontier:not(.above) svg path')]
            .map((path) => path.getBoundingClientRect())
            .map((place) => [place.x + place.width / 2, place.y + place.height / 2])"""
    )
    assert min(abs(x - mark[0]) + abs(y - mark[1]) for mark in middles) < 1.5


def test_arrow_keys_go_along_the_frontier_and_enter_pins(show: Open) -> None:
    document = made_documents.study()
    seen = show(document)
    page = seen.page
    box(page).focus()
    sizes = []
    page.keyboard.press("Home")
    for _ in range(6):
        text = page.locator("#details .values").inner_text()
        sizes.append(int(re.search(r"([\d,]+)\u202fB", text)[1].replace(",", "")))  # type: ignore[index]
        page.keyboard.press("ArrowRight")
    assert sizes == sorted(sizes) and len(set(sizes)) == 6
    assert "on the frontier" in page.locator("#said").inner_text()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator("#comparison")).to_contain_text("Pin another point")
    assert "pinned as A" in page.locator("#said").text_content()  # type: ignore[operator]
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    compared = page.locator("#comparison table.two")
    expect(compared).to_be_visible()
    assert "from a to b:" in page.locator(".rate").inner_text().lower() or "From B to A" in (
        page.locator(".rate").inner_text()
    )
    assert "for each point of score" in page.locator(".rate").inner_text()
    page.keyboard.press("Escape")
    expect(compared).to_have_count(0)
    assert seen.faults == []


def test_two_pins_are_compared_with_the_command_that_picks_them(show: Open) -> None:
    document = made_documents.study()
    page = show(document).page
    one, other = (
        next(p for p in document.points if p.id == document.frontier[at]) for at in (2, 5)
    )
    page.mouse.click(*place_of(page, "tiny"))
    page.keyboard.press("Escape")
    for point in (one, other):
        # Words that are of no other point.
        row = page.locator("#frontier-table tbody tr", has_text=point.label).first
        row.get_by_role("button", name=re.compile("^Pin ")).click()
    text = page.locator("#comparison").inner_text()
    saved = abs(one.costs["bytes"] - other.costs["bytes"])
    lost = 100 * abs(one.scores["score"] - other.scores["score"])
    assert f"{saved:,.0f}" in text
    rate = re.search(r"([\d,.]+)\u202f(K?B) for each point of score", text)
    assert rate is not None
    shown = float(rate[1].replace(",", "")) * (1000 if rate[2] == "KB" else 1)
    assert shown == pytest.approx(saved / lost, rel=0.02)
    commands = {c.id: c.command for c in document.commands}
    assert commands[one.id] in text and commands[other.id] in text
    assert {"A", "B"} <= set(page.locator(".frontier-box svg text").all_text_contents())


def test_buttons_keep_the_focus_and_axes_too(show: Open) -> None:
    page = show(made_documents.study()).page
    for press in (
        page.locator("#details").get_by_role("button"),
        page.locator("#trials tbody tr").nth(4).get_by_role("button", name=re.compile("^Pin ")),
    ):
        press.focus()
        page.keyboard.press("Enter")
        expect(press).to_be_focused()
        assert press.get_attribute("aria-pressed") == "true"
    page.get_by_label("across").select_option(label="latency")
    page.get_by_label("across").focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("across")).to_be_focused()
    assert page.get_by_label("across").input_value() == "bytes"


# -- tables


def test_trials_sort_and_filter(show: Open) -> None:
    page = show(made_documents.study(300)).page
    part = page.locator("#trials")
    size = part.locator("thead th", has_text="size")
    values = {}
    for direction in ("ascending", "descending"):
        size.get_by_role("button").click()
        assert size.get_attribute("aria-sort") == direction
        shown = part.locator("tbody tr td:nth-child(2)").all_inner_texts()
        values[direction] = [int(re.sub(r"\D", "", one)) for one in shown]
    assert values["ascending"] == sorted(values["ascending"])
    assert values["descending"] == sorted(values["descending"], reverse=True)
    assert values["descending"][0] > values["ascending"][-1]
    part.get_by_label("Filter trials").fill("levels=7) 0.1")
    text = part.locator(".told").inner_text()
    assert re.search(r"^\d+ trials, filtered from 300$", text), text
    rows = part.locator("tbody tr")
    assert 0 < rows.count() < 25
    assert all("levels=7)" in row for row in rows.all_inner_texts())
    part.get_by_label("Filter trials").fill("nothing has this")
    expect(part.locator(".told")).to_have_text("no trials, filtered from 300")


def test_pages_turn(show: Open) -> None:
    page = show(made_documents.study(60)).page
    part = page.locator("#ledger")
    first = part.locator("tbody tr").first.inner_text()
    expect(part.locator(".told")).to_have_text("1 to 25 of 60 rows")
    part.get_by_role("button", name="Next").click()
    expect(part.locator(".told")).to_have_text("26 to 50 of 60 rows")
    assert part.locator("tbody tr").first.inner_text() != first


def test_the_heat_map_says_what_was_not_measured_and_shows_bytes_too(show: Open) -> None:
    page = show(made_documents.study()).page
    part = page.locator("#sensitivity")
    part.scroll_into_view_if_needed()
    expect(part.locator(".lead")).to_contain_text("12 cells were not measured")
    expect(part.locator("svg")).to_be_visible()
    assert part.locator("svg pattern").count() >= 1, "cells that were not measured are hatched"
    before = part.locator("svg").inner_html()
    part.get_by_label("shown").select_option(label="bytes saved")
    assert part.locator("svg").inner_html() != before
    assert part.get_by_label("shown").locator("option").count() == 2  # nobody measured milliseconds


def test_the_bill_and_the_layers_are_drawn_and_listed(show: Open) -> None:
    document = made_documents.study()
    page = show(document).page
    assert document.bill is not None
    for part, words in (("#bill", "layers.11.weight"), ("#layers", "bits a number")):
        page.locator(part).scroll_into_view_if_needed()
        expect(page.locator(f"{part} svg text", has_text=words).first).to_be_visible()
    assert f"{document.bill.total:,}" in page.locator("#bill .lead").inner_text()
    assert page.locator("#layers tbody tr").count() == 12


def test_a_command_is_copied(show: Open) -> None:
    seen = show(made_documents.study())
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = seen.page.locator("#commands .copy").first
    button.click()
    expect(button).to_have_text("Copied")
    held = seen.page.evaluate("navigator.clipboard.readText()")
    assert held == "shoestring frontier made-up.shoe"


# -- every reader


@pytest.mark.by_default("desktop-light", "phone-dark")
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_serious_stands_in_the_way_of_anyone(
    show: Open, colours: str, window: dict[str, int]
) -> None:
    if not (NODE_MODULES / "axe-core").exists():
        pytest.skip("axe-core is not installed: run `npm ci` in tests/node")
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
    "working": (made_documents.empty(True), "nothing is measured yet", "points appear here"),
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
    assert parts == {"nothing": 0, "working": 0, "failed": 1, "nan": 1, "one": 2}.get(case, parts)
    if case in ("file", "ledger"):
        assert not page.locator("#else").is_visible()
    assert seen.inaccessible() == [] if (NODE_MODULES / "axe-core").exists() else True


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
    if (NODE_MODULES / "axe-core").exists():
        assert seen.inaccessible() == []


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
def test_of_very_many_points_some_are_drawn_and_all_are_listed(show: Open) -> None:
    page = show(made_documents.study(6000)).page
    expect(page.locator(".caption")).to_contain_text("are drawn; the table has all")
    expect(page.locator("#trials .told")).to_have_text("1 to 25 of 6,000 trials")


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
