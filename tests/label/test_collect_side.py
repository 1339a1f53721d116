"""The labelling page in a real browser: keys of the classes, and what stands beside the example."""

from __future__ import annotations

from pathlib import Path
from time import sleep

import labelling
import pytest
from labelling import PRESS, held, saved, shown, visited

from shoestring.label import Choice, Collection
from shoestring.label.collect.store import Point


def test_a_class_that_is_called_as_a_key_has_that_key(tmp_path, visit):
    names = ("cat", *"0123456789", "A", "s", "dog")
    with labelling.paged(labelling.texts(20, names=names), tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        buttons = seen.page.locator("button.class").all_inner_texts()
        keys = {name.split()[-1]: name.split()[0] for name in buttons}
        digits = {name: name for name in "0123456789"}
        assert keys == digits | {"A": "a", "cat": "q", "s": "w", "dog": "e"}
        for key, name in (("0", "0"), ("7", "7"), ("a", "A"), ("q", "cat"), ("w", "s")):
            example = shown(seen)
            seen.page.keyboard.press(key)
            saved(seen)
            assert held(project)[example].labels == (Choice(name=name),)


def test_a_class_that_is_added_moves_no_key(tmp_path, visit):
    with labelling.paged(labelling.texts(20), tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        project.add_name({"name": "1"})
        seen.page.wait_for_selector("button.class >> nth=3")
        example = shown(seen)
        seen.page.keyboard.press("1")
        saved(seen)
        assert held(project)[example].labels == (Choice(name="cat"),)


INSIDE = """() => {
    const list = document.getElementById('classes').getBoundingClientRect();
    const button = document.querySelector('button.class[aria-current]').getBoundingClientRect();
    return button.top >= list.top && button.bottom <= list.bottom;
}"""


def test_ten_classes_fit_and_the_marked_one_shows_on_a_small_window(tmp_path, visit):
    with labelling.paged(labelling.texts(5, names=tuple("0123456789")), tmp_path / "a") as made:
        seen = visited(visit, made[1], viewport={"width": 1280, "height": 800})
        assert seen.page.evaluate(
            "() => { const one = document.getElementById('classes');"
            " return one.scrollHeight <= one.clientHeight; }"
        )
        seen.page.set_viewport_size({"width": 1280, "height": 400})
        for _ in range(10):
            seen.page.keyboard.press("ArrowDown")
            assert seen.page.evaluate(INSIDE)
        seen.page.keyboard.press("ArrowDown")
        assert seen.page.evaluate(INSIDE)


def test_without_a_class_the_field_for_one_is_open(tmp_path, visit):
    with labelling.paged(labelling.texts(5, names=()), tmp_path / "a") as (project, address):
        seen = visited(visit, address)
        field = "() => document.activeElement.id"
        assert seen.page.evaluate(field) == "adding-name"
        assert "no class yet" in seen.page.locator("#classes").inner_text()
        assert not seen.page.locator("#do-done").is_visible() and seen.inaccessible() == []
        seen.page.keyboard.press("Escape")
        assert seen.page.evaluate(field) == "main"
        for key in ("1", "Space"):
            seen.page.keyboard.press(key)
            assert seen.page.evaluate(field) == "adding-name"
            if key == "1":
                seen.page.keyboard.press("Escape")
        example = shown(seen)
        seen.page.keyboard.type("cat")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector("button.class")
        seen.page.wait_for_function("() => document.activeElement.id === 'main'")
        assert seen.page.locator("#do-done").is_visible()
        seen.page.keyboard.press("1")
        saved(seen)
        assert held(project)[example].labels == (Choice(name="cat"),) and not seen.faults


def slow_file(collection: Collection, target: Path) -> str:
    """Stands for training that takes a while."""
    sleep(4)
    return f"written: {target.name} from {len(collection.examples)}"


def test_a_file_is_trained_from_ten_labels_on_and_the_seconds_count(tmp_path, visit):
    target = tmp_path / "a.shoe"
    with labelling.paged(labelling.texts(20), tmp_path / "a", deliver=slow_file, target=target) as (
        _,
        address,
    ):
        seen = visited(visit, address)
        button = seen.page.locator("#deliver")
        button.wait_for()
        assert button.is_disabled()
        assert "10 are missing" in seen.page.locator(".deliver").inner_text()
        assert seen.page.evaluate(PRESS, [10, ["1"]])["stopped"] == 10
        seen.page.wait_for_selector("#deliver:not([disabled])")
        button.click()
        seen.page.wait_for_selector(".deliver:has-text('for 2 s; it takes about a minute')")
        assert button.is_disabled()
        seen.page.wait_for_selector(".deliver:has-text('written: a.shoe')", timeout=60_000)
        assert not seen.faults


def test_the_curve_has_numbers_and_its_errors(tmp_path, visit):
    points = (
        Point(labels=10, score=0.55, error=0.1),
        Point(labels=40, score=0.8),
        Point(labels=80, score=0.97, error=0.05),
    )
    with labelling.paged(labelling.texts(20), tmp_path / "a") as (project, address):
        for point in points:
            project.store.add_point(point)
        seen = visited(visit, address)
        seen.page.wait_for_selector(".curve")
        assert seen.page.locator(".curve text.score").all_text_contents() == [
            "40 %",
            "70 %",
            "100 %",
        ]
        assert seen.page.locator(".curve text.labels").all_text_contents() == ["0", "40", "80"]
        errors = seen.page.locator(".curve .error").evaluate_all(
            "(all) => all.map((one) => one.getBBox()).map((box) => [box.y, box.height])"
        )
        assert len(errors) == 2 and errors[1][0] == pytest.approx(8, abs=0.1)  # no more than 100 %
        assert errors[0][1] == pytest.approx(90 * 0.2 / 0.6, abs=0.2)
        told = seen.page.locator("#side ol li").all_text_contents()
        assert told == ["10 labels: 55.0 % ± 10.0", "40 labels: 80.0 %", "80 labels: 97.0 % ± 5.0"]
