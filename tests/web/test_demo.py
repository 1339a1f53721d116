"""The page in web/demo in a real Chromium: digits drawn with a mouse, a finger and the keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from demo_page import ANSWER, FOUR, THREE, draw, serving, touch
from playwright.sync_api import Page, expect
from real_browser import Visit

from shoestring.artifact import load
from shoestring.tasks import DataError, mnist

ROOT = Path(__file__).parents[2]
FILES = ROOT / "benchmarks" / "results" / "files"
SMALL, LARGE = FILES / "lenet5_rate_5e-05.shoe", FILES / "baseline_lenet5.shoe"
RESULTS = ROOT / "benchmarks" / "results"
Visiting = Callable[..., Visit]


@pytest.fixture
def address(chromium: object) -> Iterator[str]:
    with serving() as found:
        yield found


def opened(seen: Visit, address: str) -> Page:
    """The page, when both networks have answered."""
    page = seen.open(address)
    expect(page.locator("#large-answer")).to_contain_text("%")
    return page


def test_the_first_answer_is_there_soon(visit: Visiting, address: str):
    """A bound that holds on a busy machine; benchmarks/browser_demo.py has the time."""
    seen = visit()
    page = seen.open(address)
    expect(page.locator("#page-bytes")).to_contain_text("files")  # which is written after it
    assert page.evaluate("performance.getEntriesByName('first-answer')[0].startTime") < 8000
    expect(page.locator("#digit")).to_have_text("7")
    expect(page.locator("#hint")).to_contain_text("example")


def test_a_mouse_draws(visit: Visiting, address: str):
    seen = visit()
    page = opened(seen, address)
    draw(page, FOUR)
    expect(page.locator("#digit")).to_have_text("4")
    expect(page.locator("#hint")).to_have_text("")  # the example is gone
    expect(page.locator("#bars .best")).to_contain_text("4")
    expect(page.locator("#large-answer")).to_contain_text(re.compile(r"^4 \("))
    expect(page.locator("#said")).to_contain_text("4, ")  # for screen readers
    expect(page.locator("#speed")).to_contain_text("ms")
    expect(page.locator("#large-run")).to_contain_text("ms")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#sure")).to_have_text("Draw a digit from 0 to 9.")
    expect(page.locator("#small-answer")).to_have_text("…")
    draw(page, THREE)
    expect(page.locator("#digit")).to_have_text("3")
    assert seen.faults == []


def test_a_finger_draws_on_a_phone_without_scrolling_it(visit: Visiting, address: str):
    seen = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = opened(seen, address)
    page.locator("#pad").scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    touch(page, FOUR)
    expect(page.locator("#digit")).to_have_text("4")
    assert page.evaluate("scrollY") == before
    assert seen.sideways() <= 0
    assert seen.faults == []


def test_the_keyboard_draws(visit: Visiting, address: str):
    seen = visit()
    page = opened(seen, address)
    page.locator("#pad").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#said")).to_have_text("Cleared.")
    for key in ["ArrowLeft"] * 6 + [" "] + ["ArrowRight"] * 12:
        page.keyboard.press(key)
    expect(page.locator("#said")).to_contain_text("Pen down")
    expect(page.locator("#cursor")).to_be_visible()
    page.keyboard.down("ArrowLeft")  # together they go aslant
    page.keyboard.press("ArrowDown")
    page.keyboard.up("ArrowLeft")
    for _ in range(5):
        for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
            page.keyboard.press(key)
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press(" ")
    expect(page.locator("#digit")).to_have_text("7")
    expect(page.locator("#said")).to_contain_text("7, ")
    page.keyboard.press("Delete")
    expect(page.locator("#sure")).to_have_text("Draw a digit from 0 to 9.")
    assert seen.faults == []


def test_digits_of_mnist_come_through_unchanged_and_are_answered_as_by_onnx_runtime(
    visit: Visiting, address: str
):
    """Each of 200 test digits, painted cell by cell, is what both networks see, to the byte; the
    answers are those of the files in ONNX Runtime.
    """
    try:
        images = mnist().test[0][::50].numpy()  # type: ignore[union-attr]
    except DataError as error:
        pytest.skip(str(error))
    assert images.shape == (200, 1, 28, 28)
    greys = np.rint(255 * images).astype(int).reshape(200, -1)
    seen = visit()
    page = opened(seen, address)
    found = page.evaluate(
        """async digits => {
            const answer = ANSWER;
            const pad = document.getElementById("pad");
            const [ink, cell] = [pad.getContext("2d"), pad.width / 28];
            const answers = [];
            for (const digit of digits) {
                ink.clearRect(0, 0, pad.width, pad.height);
                digit.forEach((grey, i) => {
                    ink.fillStyle = `rgba(0, 0, 0, ${grey / 255})`;
                    ink.fillRect((i % 28) * cell, Math.floor(i / 28) * cell, cell, cell);
                });
                answers.push(await answer());
            }
            return answers;
        }""".replace("ANSWER", ANSWER),
        greys.tolist(),
    )
    for one, grey in zip(found, greys, strict=True):
        assert one["picture"] == grey.tolist()
    for name, file in (("likely", SMALL), ("beside", LARGE)):
        logits = load(file)(images)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        ours = np.array([one[name] for one in found])
        assert (ours.argmax(1) == logits.argmax(1)).all()
        np.testing.assert_allclose(ours, powers / powers.sum(1, keepdims=True), atol=1e-4)
    assert seen.faults == []


def test_nothing_is_asked_for_elsewhere_and_its_bytes_are_told(visit: Visiting, address: str):
    seen = visit()
    page = opened(seen, address)
    expect(page.locator("#page-bytes")).to_contain_text("files")
    home = urlsplit(address).netloc
    assert seen.requests and {urlsplit(one).netloc for one in seen.requests} == {home}
    ours = {urlsplit(one).path for one in seen.requests if not one.endswith(".shoe")}
    sizes = [
        len(
            page.request.get(f"http://{home}{path}", headers={"Accept-Encoding": "identity"}).body()
        )
        for path in ours
    ]
    assert len(sizes) > 15 and all(sizes)
    told = re.search(r"is (\d+) files of ([\d,]+) bytes", page.inner_text("#page-bytes"))
    assert told and int(told[1]) == len(ours)
    assert int(told[2].replace(",", "")) < sum(sizes)  # they were deflated on their way
    assert page.inner_text("#small-bytes") == f"{SMALL.stat().st_size:,} bytes"
    assert page.inner_text("#large-bytes") == f"{LARGE.stat().st_size:,} bytes"
    assert SMALL.stat().st_size <= 1500
    assert seen.faults == []


def test_the_policy_of_the_page_lets_nothing_else_in(visit: Visiting, address: str):
    seen = visit()
    page = opened(seen, address)
    tried = page.evaluate(
        """() => fetch("http://127.0.0.1:9/", { mode: "no-cors" }).then(() => "went", String)"""
    )
    assert tried != "went"
    assert (
        page.evaluate(
            """() => { const one = document.createElement("script");
                   one.textContent = "window.ran = 1";
                   document.body.append(one); return window.ran ?? null }"""
        )
        is None
    )
    assert any("Content Security Policy" in fault for fault in seen.faults)


@pytest.mark.slow
@pytest.mark.by_default("360-dark", "1280-light")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_width_and_scheme_is_accessible(
    visit: Visiting, address: str, scheme: str, width: int
):
    seen = visit(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = opened(seen, address)
    assert seen.sideways() <= 0
    assert seen.inaccessible() == []
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    light = np.mean([int(part) for part in re.findall(r"\d+", paper)[:3]]) > 128
    assert light == (scheme == "light")
    moves = page.evaluate("getComputedStyle(document.querySelector('.fill')).transitionDuration")
    assert moves == "0s"
    assert seen.faults == []


def test_without_the_network_the_page_says_so(visit: Visiting, address: str):
    seen = visit()
    seen.page.route("**/lenet5_rate*", lambda route: route.fulfill(status=404))
    page = seen.open(address)
    expect(page.locator("#fault")).to_contain_text("could not be fetched: 404")


def test_its_figures_are_those_of_the_results():
    """Not only that tables.py wrote them: the size, the ratio and the errors are found again."""
    page = (ROOT / "web" / "demo" / "index.html").read_text()
    rows = [
        json.loads(line)
        for line in (RESULTS / "rate_lenet.mnist-cpu.jsonl").read_text().splitlines()
    ]

    def value(subject: str, metric: str) -> float:
        return next(
            row["value"]
            for row in rows
            if (row["subject"], row["metric"], row["seed"]) == (f"lenet5, {subject}", metric, 0)
        )

    small, before = value("price 5e-05", "size"), value("uncompressed", "size")
    assert small == SMALL.stat().st_size
    head = page[page.index("<h1>") : page.index("</header>")]
    for figure in (
        f"{small:,} bytes",
        f"{before:,} bytes",
        f"{before / small:,.0f} times",
        f"{value('price 5e-05', 'test error'):.2f} %",
        f"{value('uncompressed', 'test error'):.2f} %",
    ):
        assert figure in head
