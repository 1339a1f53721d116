"""The search box in web/complete, built into one file, in a real Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from real_browser import Visit, served

from shoestring.artifact import load

ROOT = Path(__file__).parents[2]
FILE = ROOT / "benchmarks" / "results" / "files" / "complete.shoe"
NODE = shutil.which("node")
MOST_BYTES = 250_000
PREFIXES = (
    *("", " ", "W", "What is the n", "How many", "I don't kn", "The ", "the", "In 19", "She's "),
    *("I want to", "Where did", "Do you know ", "thank y", "Please ", "THE", "3", "1,00", "$"),
    *("He said that he", "can't", "e-mail", "Tom is", "(", '"', "Mr.", "U.S.", "http://", "you."),
    *("我", "我想", "他是一", "今天", "你好", "中国", "这", "這個", "汤姆", "为什么", "2011年"),
    *(
        "，",
        "。",
        "é",
        "naïve ",
        "zzzzqqq",
        "日本",
        "한국",
        "🙂",
        "a\tb",
        "x" * 300,
        "好" * 120,
        "?",
    ),
)
ANSWERS = """async ({ texts }) => {
    const box = document.getElementById("text");
    const found = [];
    for (const text of texts) {
        found.push(await new Promise(resolve => {
            const told = ({ detail }) => resolve(detail.completions);
            box.addEventListener("answer", told, { once: true });
            box.value = text;
            box.dispatchEvent(new Event("input"));
        }));
    }
    return found;
}"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if NODE is None or not (ROOT / "web" / "demo" / "node_modules" / "terser").exists():
        pytest.skip("the page is not built: install node and run `npm ci` in web/demo")
    page = tmp_path_factory.mktemp("complete") / "complete.html"
    build = ROOT / "web" / "complete" / "build.mjs"
    ran = subprocess.run(
        [NODE, str(build), str(page), str(FILE)], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return page


def ready(seen: Visit, address: str | Path) -> Page:
    page = seen.open(address)
    expect(page.locator("#ready")).to_have_text(re.compile("ms$"))
    return page


def test_the_page_is_one_file_of_250_kb_and_asks_for_nothing(
    built: Path, visit: Callable[..., Visit]
):
    assert built.stat().st_size <= MOST_BYTES
    seen = visit()
    page = ready(seen, built)
    assert seen.requests == [built.as_uri()] and seen.faults == []
    expect(page.locator("#bytes")).to_have_text(f"{FILE.stat().st_size:,} bytes")
    expect(page.locator("#page")).to_have_text(f"{built.stat().st_size:,} bytes")
    assert "unsafe-inline" not in built.read_text().partition("</head>")[0]
    assert page.evaluate("performance.getEntriesByName('ready')[0].startTime") < 8000


def test_the_completions_are_those_of_python(built: Path, visit: Callable[..., Visit]):
    """Of 50 prefixes and more."""
    texts = list(PREFIXES)
    assert len(set(texts)) >= 50
    page = ready(visit(), built)
    found = page.evaluate(ANSWERS, {"texts": texts})
    wanted = load(FILE, threads=1).answers(texts, top=5)
    for text, ours, theirs in zip(texts, found, wanted, strict=True):
        assert [one["text"] for one in ours] == [one.text for one in theirs], text[:20]
        for one, other in zip(ours, theirs, strict=True):
            assert one["probability"] == pytest.approx(other.probability, rel=1e-3), text[:20]


def test_the_keyboard_does_it_all(built: Path, visit: Callable[..., Visit]):
    seen = visit()
    page = ready(seen, built)
    box, ways = page.locator("#text"), page.locator("#list li")
    expect(box).to_be_focused()
    page.keyboard.type("I don't kn")
    expect(ways.first).to_contain_text("I don't know")
    expect(box).to_have_attribute("aria-expanded", "true")
    first = ways.first.locator("b").inner_text()
    expect(page.locator("#rest")).to_have_text(first)
    page.keyboard.press("Tab")
    expect(box).to_have_value(f"I don't kn{first}")
    expect(page.locator("#keystrokes")).to_have_text(f"10 of {10 + len(first)} characters")
    expect(ways.first).to_contain_text("I don't know")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "way-1")
    expect(ways.nth(1)).to_have_attribute("aria-selected", "true")
    before, second = box.input_value(), ways.nth(1).locator("b").inner_text()
    page.keyboard.press("Enter")
    expect(box).to_have_value(before + second)
    page.keyboard.press("Escape")
    expect(page.locator("#list")).to_be_hidden()
    expect(box).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowUp")  # opens it again
    expect(page.locator("#list")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(box).to_have_value("")
    page.keyboard.press("Tab")  # with nothing typed it goes on to the next thing
    expect(box).not_to_be_focused()
    assert seen.faults == []


def test_a_click_takes_a_completion_and_examples_fill_the_box(
    built: Path, visit: Callable[..., Visit]
):
    page = ready(visit(), built)
    page.locator(".tries button", has_text="我想").click()
    way = page.locator("#list li").first
    expect(way).to_contain_text("我想")
    added = way.locator("b").inner_text()
    way.click()
    expect(page.locator("#text")).to_have_value(f"我想{added}")
    page.locator("#clear").click()
    expect(page.locator("#text")).to_have_value("")


def test_what_is_typed_is_text_and_nothing_else(built: Path, visit: Callable[..., Visit]):
    seen = visit()
    page = ready(seen, built)
    page.locator("#text").fill('<img src=x onerror="alert(1)"> <script>')
    expect(page.locator("#list li").first).to_contain_text("<script>")
    assert page.locator("#list img, #ghost img").count() == 0
    assert seen.faults == [] and len(seen.requests) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screen_readers_and_small_screens_can_use_it(
    built: Path, visit: Callable[..., Visit], scheme: str
):
    seen = visit(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = ready(seen, built)
    page.keyboard.type("How m")
    expect(page.locator("#list li").first).to_contain_text("How many")
    page.keyboard.press("ArrowDown")
    assert seen.inaccessible() == []
    assert seen.sideways() == 0
    expect(page.get_by_role("combobox")).to_have_attribute("aria-controls", "list")
    assert page.get_by_role("option").count() >= 3
    expect(page.locator("#said")).to_contain_text("completions; the first: ")


def test_the_sources_run_too_from_any_server(visit: Callable[..., Visit]):
    seen = visit()
    with served(ROOT) as address:
        page = ready(seen, f"{address}/web/complete/")
        page.keyboard.type("How m")
        expect(page.locator("#list li").first).to_contain_text("How many")
    assert seen.faults == []


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_another_file_is_refused_with_a_sentence():
    script = """
        const { opened } = await import(process.argv[1]);
        const { readFile } = await import("node:fs/promises");
        const bytes = new Uint8Array(await readFile(process.argv[2]));
        await opened(bytes).catch((error) => console.log(JSON.stringify(error.message)));
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    network = ROOT / "web" / "complete" / "network.js"
    ran = subprocess.run(
        [*command, network.as_uri(), str(FILE.with_name("en_tag.shoe"))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "does not complete texts" in json.loads(ran.stdout)
