"""The page of a report in a real browser: what it shows, and how it answers mouse and keyboard."""

from __future__ import annotations

import re
from dataclasses import replace

import made_documents
import pytest
from playwright.sync_api import Page, expect

from report.opened_page import DESKTOP, Open, box
from shoestring.report.document import Document, Point, Speed
from shoestring.report.rates import rates_of

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
    assert "98.00" in table and "What else you could have had" in page.locator("#else").inner_text()


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


def test_what_noise_may_have_made_is_no_clear_change_and_has_no_rate(show: Open) -> None:
    known = [
        Point(
            id=f"p{at}",
            label=f"P{at}",
            costs={"bytes": 1000.0 * at},
            scores={"score": score},
            error=0.004,
            test=0.9,
            tests=at,
        )
        # The first two are 0.005 apart, less than twice 0.0057; the third is 0.05 away.
        for at, score in ((1, 0.90), (2, 0.905), (3, 0.955))
    ]
    rates = rates_of(known, [made_documents.SIZE], [made_documents.SCORE], "bytes")
    before = replace(
        made_documents.before(), scores={"score": 0.907}, error=0.0, test=0.905, tests=1
    )
    document = made_documents.of(*known, before=before, after=known[1], rates=rates)
    page = show(document).page
    assert "no clear change of score (test)" in page.locator("h1").inner_text()
    test = page.locator(".before-after tr", has_text="score (test)")
    assert "no clear change" in test.inner_text()
    assert "1 time before and 2 times after" in str(test.locator("th").get_attribute("title"))
    validation = page.locator(".before-after tr", has_text="score (validation)")
    assert "no clear change" in validation.inner_text()
    said = page.locator("#rates li").all_inner_texts()
    assert len(said) == 2 and "+1,000 B: no clear change of the score" in said[0]
    assert "buy" in said[1]
    cells = page.locator("#frontier-table tbody tr").all_inner_texts()
    assert ["no clear change" in cell for cell in cells[:3]] == [False, True, False]
    for at in (1, 2):
        row = page.locator("#frontier-table tbody tr", has_text=f"P{at}").first
        row.get_by_role("button", name=re.compile("^Pin ")).click()
    expect(page.locator(".rate")).to_contain_text("No exchange rate: no clear change of score")
    assert "no clear change" in page.locator("table.two tr", has_text="score").inner_text()


def test_how_fast_and_how_long_are_told_as_compress_tells_them(show: Open) -> None:
    whole = made_documents.study()
    speed = Speed(median=0.99, low=0.19, high=2.34, words="ratio too noisy to tell", clear=False)
    whole = replace(whole, speed=speed, search_seconds=56.0)
    page = show(whole).page
    latency = page.locator(".before-after tr", has_text="latency").inner_text()
    assert "no clear change" in latency and "ratio too noisy to tell" in latency
    assert "56" in page.locator(".before-after tr", has_text="the whole search").inner_text()
    clear = replace(speed, median=0.5, words="ratio 0.50 (0.4 to 0.6)", clear=True)
    page = show(replace(whole, speed=clear, working=True)).page
    latency = page.locator(".before-after tr", has_text="latency").inner_text()
    assert "2 times faster" in latency and "ratio 0.50" in latency
    assert "Best so far" in page.locator(".before-after").inner_text()
    expect(page.locator(".frontier-box svg text", has_text="best so far").first).to_be_visible()


def test_the_model_that_came_in_is_no_point_of_the_count(show: Open) -> None:
    first = made_documents.before()
    packed = replace(first, id="packed", label="as a file", costs={"bytes": 100_000.0})
    small = replace(packed, id="small", label="small", costs={"bytes": 1000.0})
    document = made_documents.of(first, packed, small, before=first, after=small)
    page = show(document).page
    assert "1 of 2 points on the frontier" in page.locator(".caption").inner_text()
    assert page.locator("#frontier-table tbody tr").count() == 1


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
    expect(rows).to_have_text("Nothing matches.")


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


def test_what_was_not_measured_is_counted_of_what_the_heat_map_shows(show: Open) -> None:
    found = made_documents.study()
    assert found.sensitivity is not None
    cells = list(found.sensitivity.cells)
    cells[0] = replace(cells[0], bytes_saved=None)
    document = replace(found, sensitivity=replace(found.sensitivity, cells=tuple(cells)))
    part = show(document).page.locator("#sensitivity")
    expect(part.locator(".lead")).to_contain_text("12 cells were not measured")
    part.locator("select").focus()
    part.locator("select").select_option("bytes_saved")
    expect(part.locator(".lead")).to_contain_text("13 cells were not measured")
    expect(part.locator("select")).to_have_value("bytes_saved")
    expect(part.locator("select")).to_be_focused()


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
