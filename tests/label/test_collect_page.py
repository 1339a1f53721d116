"""The labelling page in a real browser: keys, two people, texts, spans, boxes, and trouble."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import labelling
import pytest
from labelling import PRESS, READY, SAVED, held, saved, shown, visited

from shoestring.label import Annotation, Box, Choice, Collection, Example, Span

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "web" / "label"


def test_two_people_label_two_hundred_and_none_twice(tmp_path, visit):
    with labelling.paged(labelling.texts(260), tmp_path / "a") as (project, address):
        ann, bob = visited(visit, address, "ann"), visited(visit, address, "bob")
        for _ in range(2):
            for seen in (ann, bob):
                told = seen.page.evaluate(PRESS, [50, ["1", "2", "3"]])
                assert told["stopped"] == 50, told
        for seen in (ann, bob):
            saved(seen)
            assert not seen.faults
        rows = project.store.answers()
        assert len(rows) == 200 == len({one.example for one in rows})
        assert {one.by for one in rows} == {"ann", "bob"}
        assert {one.labels[0].name for one in rows} == set(labelling.CLASSES)
        assert all(one.seconds is not None and one.seconds >= 0 for one in rows)


def test_keys_answer_undo_skip_and_move(tmp_path, visit):
    with labelling.paged(labelling.texts(20), tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        press = seen.page.keyboard.press
        first = shown(seen)
        press("2")
        second = shown(seen)
        assert second != first
        press("s")
        third = shown(seen)
        press("ArrowDown")
        press("ArrowDown")
        press("Space")
        fourth = shown(seen)
        saved(seen)
        found = held(project)
        assert found[first].labels == (Choice(name="dog"),) and found[second].skipped
        assert found[third].labels == (Choice(name="dog"),)
        press("Backspace")
        assert shown(seen) == third
        press("3")
        assert shown(seen) == fourth
        press("Backspace")
        press("Backspace")
        press("Backspace")
        assert shown(seen) == first
        saved(seen)
        assert held(project) == {}
        press("Control+1")  # of the browser
        press("x")  # of no class
        assert shown(seen) == first
        seen.page.get_by_role("button", name="cat").click()
        saved(seen)
        assert held(project)[first].labels == (Choice(name="cat"),)
        assert not seen.faults


def test_the_page_is_accessible_on_a_phone_and_in_the_dark(tmp_path, visit):
    collection = labelling.pictures(tmp_path / "p", 20, Box)
    first, *rest = collection.examples
    said = Annotation(labels=(Box(left=4, top=4, width=16, height=16, name="cat"),), score=0.8)
    notes = ("a note on the source",)
    collection = replace(
        collection, examples=(replace(first, predictions=(said,), priority=1.0), *rest), notes=notes
    )
    with labelling.paged(collection, tmp_path / "a", agreement=1.0) as (_, address):
        for options in (
            {"viewport": {"width": 1280, "height": 800}},
            {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark", "has_touch": True},
        ):
            seen = visited(visit, address, **options)
            seen.page.wait_for_selector("#side table, #side .big")
            seen.page.locator("#keys summary").click()
            assert seen.inaccessible() == [] and seen.sideways() <= 0 and not seen.faults


@pytest.mark.slow
def test_answers_given_offline_do_not_land_on_other_texts(tmp_path, visit):
    before = labelling.texts(30)
    moved = zip(before.examples[:-1], before.examples[1:], strict=True)
    after = replace(before, examples=tuple(replace(one, text=other.text) for one, other in moved))
    with labelling.paged(before, tmp_path / "a") as (_, address):
        seen = visited(visit, address)
        seen.page.evaluate(PRESS, [2, ["1"]])
        saved(seen)
        port = int(address.rpartition(":")[2].partition("/")[0])
    seen.page.evaluate(PRESS, [3, ["2"]])
    assert not seen.page.evaluate(SAVED)
    with labelling.paged(after, tmp_path / "a", port=port) as (project, _):
        seen.page.wait_for_function(SAVED, timeout=20_000)
        seen.page.wait_for_function("() => document.body.innerText.includes('and not counted')")
        assert project.status()["labelled"] == 0  # the two before are of other texts now, too
        assert len(project.store.answers()) == 5
        seen.page.wait_for_function("() => document.body.innerText.includes('has changed')")
        seen.page.evaluate(PRESS, [20, ["3"]])
        seen.page.wait_for_function(SAVED)
        for one in project.labelled().examples:
            if one.annotations:
                assert one.annotations[-1].labels == (Choice(name="emu"),)
        assert project.status()["labelled"] == 20


@pytest.mark.slow
def test_who_labels_is_asked_once(tmp_path, visit):
    with labelling.paged(labelling.texts(5), tmp_path / "a") as (project, address):
        seen = visit()
        page = seen.open(address)
        page.get_by_label("Who labels?").fill("Ada <b>L.</b>")
        assert seen.inaccessible() == []
        page.keyboard.press("Enter")
        page.wait_for_function(READY)
        page.keyboard.press("1")
        saved(seen)
        assert [one.by for one in project.store.answers()] == ["Ada <b>L.</b>"]
        page.reload()
        assert page.get_by_label("Who labels?").input_value() == "Ada <b>L.</b>"


def test_a_disagreement_is_listed_opened_and_decided(tmp_path, visit):
    with labelling.paged(labelling.texts(3), tmp_path / "a", agreement=1.0) as (project, address):
        pages = {}
        for by, keys in (("ann", "111"), ("bob", "121")):  # one after the other: ann has all three
            seen = pages[by] = visited(visit, address, by)
            for key in keys:
                shown(seen)
                seen.page.keyboard.press(key)
            seen.page.wait_for_selector(".finished")
            saved(seen)
        ann, bob = pages.values()
        found = project.status()["disagreements"]
        assert found["count"] >= 1 and len(found["shown"]) == found["count"]
        row = found["shown"][0]
        assert {one["by"]: one["labels"] for one in row["said"]} == {
            "ann": [{"name": "cat"}], "bob": [{"name": "dog"}]
        }  # fmt: skip
        page = ann.page
        page.locator("#disagreements-summary").click()
        assert "ann: cat; bob: dog" in page.locator("#disagreements").inner_text()
        assert ann.inaccessible() == []
        page.locator(f"#decide-{row['index']}").click()
        page.get_by_text("What you say now counts").wait_for()
        page.wait_for_function(READY)
        page.keyboard.press("1")  # once more what ann said: she decides, and bob is wrong
        saved(ann)
        assert held(project)[row["name"]].labels == (Choice(name="cat"),)
        said = project.status()["disagreements"]
        assert said["count"] == found["count"] - 1 and said["decided"] == 1
        page.locator("#settled-summary").click()
        assert "bob: dog; ann decided: cat" in page.locator("#settled").inner_text()
        assert ann.inaccessible() == [] and not ann.faults and not bob.faults


def test_ten_classes_and_a_long_name_in_the_list_fit(tmp_path, visit):
    names = tuple("0123456789")
    collection = replace(labelling.texts(1), names=names)
    long = replace(collection.examples[0], name="scans/of/the/second/box/scan_000283.png")
    collection = replace(collection, examples=(long,))
    with labelling.paged(collection, tmp_path / "a", agreement=1.0) as (_, address):
        for by, key in (("Ada", "2"), ("Bob", "3")):
            seen = visited(visit, address, by, viewport={"width": 1180, "height": 760})
            shown(seen)
            seen.page.keyboard.press(key)
            seen.page.wait_for_selector(".finished")
            saved(seen)
        page = seen.page
        page.locator("#disagreements-summary").click()
        button = page.locator("#disagreements li button")
        below = page.locator("#disagreements li span")
        name, said = button.bounding_box(), below.bounding_box()
        assert said["y"] >= name["y"] + name["height"] and said["height"] < 40
        button.click()
        page.get_by_text("What you say now counts").wait_for()
        page.wait_for_function(READY)
        assert page.evaluate(
            "() => { const list = document.getElementById('classes'); "
            "return list.scrollHeight <= list.clientHeight; }"
        )
        last = page.locator("#classes button").last.bounding_box()
        assert last["y"] + last["height"] < 760


NASTY = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>&amp; <b>bold</b>'


def test_markup_and_scripts_are_shown_and_never_run(tmp_path, visit):
    named = f"{NASTY}!"  # the model is not scored on it, so that the guess is shown
    example = Example(name=named, text=f"{NASTY} javascript:hurt()", fields={NASTY: NASTY})
    said = Annotation(labels=(Choice(name=NASTY),), by=NASTY, score=0.5)
    collection = Collection(
        examples=(replace(example, predictions=(said,)),),
        kind=Choice,
        names=(NASTY, "plain"),
        notes=(NASTY,),
    )
    with labelling.paged(collection, tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        seen.page.locator("summary", has_text="Other columns").click()
        seen.page.wait_for_selector("#side .big")
        assert seen.page.locator(".text").inner_text().startswith(NASTY)
        assert seen.page.evaluate("() => window.hurt") is None
        assert seen.page.locator("#stage img, #stage b, #side img").count() == 0
        seen.page.locator(".text").click()  # away from the summary, which takes the space bar
        seen.page.keyboard.press("Space")
        saved(seen)
        assert held(project)[named].labels == (Choice(name=NASTY),)
        assert seen.page.evaluate("() => window.hurt") is None and not seen.faults


@pytest.mark.slow
def test_many_classes_are_found_by_their_names(tmp_path, visit):
    names = tuple(f"class {at:03}" for at in range(200))
    collection = labelling.texts(5, names=names)
    with labelling.paged(collection, tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        keyboard = seen.page.keyboard
        first = shown(seen)
        keyboard.press("/")
        keyboard.type("157")
        keyboard.press("Enter")
        second = shown(seen)
        keyboard.press("q")  # the eleventh
        saved(seen)
        assert held(project)[first].labels == (Choice(name="class 157"),)
        assert held(project)[second].labels == (Choice(name="class 010"),)
        assert seen.sideways() <= 0
        seen.page.locator("summary", has_text="Add a class").click()
        seen.page.locator("#adding-name").fill("one more")
        keyboard.press("Enter")
        seen.page.wait_for_selector("button.class:has-text('one more')")
        assert project.store.names()[-1] == "one more"


@pytest.mark.slow
def test_a_very_long_text_is_cut_until_it_is_asked_for(tmp_path, visit):
    collection = labelling.texts(1)
    long = replace(collection.examples[0], text="word " * 100_000)
    collection = replace(collection, examples=(long,))
    with labelling.paged(collection, tmp_path / "a") as (_, address):
        seen = visited(visit, address)
        assert len(seen.page.locator(".text").inner_text()) < 21_000
        seen.page.get_by_role("button", name=re.compile("more characters")).click()
        assert len(seen.page.locator(".text").inner_text()) > 490_000


def test_a_picture_comes_when_the_server_is_back(tmp_path, visit):
    """A server that does not answer says nothing about a picture."""
    refused: list[str] = []

    def silent_at_first(route):
        if len(refused) < 3:
            refused.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    collection = labelling.pictures(tmp_path / "p", 1)
    with labelling.paged(collection, tmp_path / "a") as (project, address):
        seen = visit()
        seen.page.route("**/api/picture/*", silent_at_first)
        seen.open(f"{address}&by=ann").wait_for_function(READY)
        assert len(refused) == 3 and not seen.page.locator(".unopened").count()
        (first,) = (one.name for one in collection.examples)
        seen.page.keyboard.press("1")
        saved(seen)
        assert held(project)[first].labels == (Choice(name=collection.names[0]),)


SPANNED = "👩‍👩‍👧 Ångström met Zoe\u0308 in São Paulo 🇧🇷 today"


def test_spans_count_characters_as_python_does(tmp_path, visit):
    collection = Collection(
        examples=tuple(Example(name=f"{at}", text=SPANNED) for at in range(2)),
        kind=Span,
        names=("person", "place"),
    )
    select = """([from, to]) => {
        const node = document.querySelector('.spans').firstChild;
        getSelection().setBaseAndExtent(node, from, node, to);
    }"""
    with labelling.paged(collection, tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        page, press = seen.page, seen.page.keyboard.press
        first = shown(seen)
        units = len(SPANNED[: SPANNED.index("🇧🇷")].encode("utf-16-le")) // 2
        page.evaluate(select, [units - 1, units + 1])  # half of a flag, and a space before it
        press("2")
        marked = page.evaluate("() => document.querySelector('.marks').innerText")
        assert "🇧🇷" in marked
        press("m")
        press("Space")
        saved(seen)
        (span,) = held(project)[first].labels
        assert SPANNED[span.start : span.end] == "🇧🇷" and not held(project)[first].complete
        # by keys alone: the fourth word, and the one after it
        for key in ("ArrowRight",) * 3 + ("Shift+ArrowRight", "1"):
            press(key)
        press("ArrowRight")
        press("2")
        press("Backspace")
        press("Enter")
        saved(seen)
        (span,) = held(project)["1" if first == "0" else "0"].labels
        assert SPANNED[span.start : span.end] == "met Zoe\u0308" and span.name == "person"
        assert not seen.faults


def test_boxes_are_dragged_and_moved_by_keys(tmp_path, visit):
    collection = labelling.pictures(tmp_path / "p", 2, Box)
    with labelling.paged(collection, tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        page, press = seen.page, seen.page.keyboard.press
        first = shown(seen)
        area = page.locator(".frame").bounding_box()
        scale = area["width"] / 64
        press("2")
        page.mouse.move(area["x"] + 10 * scale, area["y"] + 5 * scale)
        page.mouse.down()
        page.mouse.move(area["x"] + 30 * scale, area["y"] + 15 * scale, steps=3)
        page.mouse.up()
        press("Shift+ArrowRight")
        press("Alt+ArrowDown")
        press("b")
        press("3")
        press("m")
        assert seen.inaccessible() == []
        press("Enter")
        saved(seen)
        said = held(project)[first]
        dragged, made = said.labels
        assert dragged.name == "dog" and made.name == "emu" and not said.complete
        assert dragged.left == pytest.approx(20, abs=0.5)
        assert dragged.width == pytest.approx(20, abs=0.5)
        assert dragged.height == pytest.approx(11, abs=0.5)
        assert (made.left, made.top, made.width, made.height) == (24, 12, 16, 8)
        press("b")
        press("Delete")
        press("Enter")
        saved(seen)
        (other,) = set(held(project)) - {first}
        assert held(project)[other].labels == () and held(project)[other].complete
        assert not seen.faults


@pytest.mark.slow
def test_what_the_model_says_is_taken_with_one_key(tmp_path, visit):
    collection = labelling.texts(3)
    said = Annotation(labels=(Choice(name="emu"),), by="the model", score=0.75)
    collection = replace(
        collection, examples=tuple(replace(one, predictions=(said,)) for one in collection.examples)
    )
    with labelling.paged(collection, tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        assert (
            seen.page.locator("#guess").inner_text()
            == "the model says emu (75 % sure): Space takes it."
        )
        first = shown(seen)
        seen.page.keyboard.press("Space")
        saved(seen)
        assert held(project)[first].labels == (Choice(name="emu"),)


@pytest.mark.slow
def test_pictures_that_do_not_open_are_skipped_and_told(tmp_path, visit):
    collection = labelling.pictures(tmp_path / "p", 2)
    (tmp_path / "p" / "0.png").write_text("no picture")
    (tmp_path / "p" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with labelling.paged(collection, tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        for _ in range(2):
            told = seen.page.locator(".unopened").inner_text()
            assert "cannot open it" in told or "no picture that can be opened" in told
            before = shown(seen)
            seen.page.keyboard.press("1")  # what nobody can see gets no class
            seen.page.keyboard.press("ArrowDown")
            seen.page.keyboard.press("Space")
            assert shown(seen) == before
            assert "skip it with s" in seen.page.locator("#guess").inner_text()
            seen.page.keyboard.press("s")
        seen.page.wait_for_selector(".finished")
        saved(seen)
        assert all(one.skipped for one in held(project).values()) and len(held(project)) == 2


def test_a_browser_that_was_closed_sends_what_it_had_and_a_full_disk_is_told(tmp_path, visit):
    """The same context is the same browser: what waits there outlives the page."""
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with labelling.paged(labelling.texts(30), tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        page = seen.page
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
            page.evaluate(PRESS, [5, ["1"]])
            page.wait_for_selector("#trouble:has-text('make room on its disk')")
            told = page.locator("#trouble").inner_text()
            assert "5 labels wait in this browser" in told and project.store.count() == 0
            page.on("dialog", lambda dialog: dialog.accept())
            page.goto("about:blank")  # closed
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        other = page.context.new_page()
        other.goto(f"{address}&by=bob")  # the next day, and somebody else first
        other.wait_for_function(SAVED)
        with contextlib.suppress(Exception):
            other.wait_for_function("() => document.documentElement.dataset.saved === '5'")
        rows = project.store.answers()
        assert len(rows) == 5 == len({one.example for one in rows})
        assert {one.by for one in rows} == {"ann"}


def test_the_committed_page_is_what_its_sources_make(tmp_path):
    node = shutil.which("node")
    if node is None or not (SOURCES / "node_modules" / "esbuild").exists():
        pytest.skip("esbuild is not installed: run `npm ci` in web/label")
    built = tmp_path / "page.html"
    ran = subprocess.run(
        [node, "build.mjs", str(built)], cwd=SOURCES, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    page = resources.files("shoestring.label.collect").joinpath("page.html")
    same = built.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    assert same, "page.html is old: run `npm ci && npm run build` in web/label"
