"""Make docs/collect.png again: `python docs/collect_picture.py`.

The page of `shoestring label shoestring.tasks:digits` after 60 labels, with what a model learned
from them. It needs Chromium and Playwright, as the tests of pages do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from small_picture import save_small

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "collect.png"
WINDOW = {"width": 1180, "height": 760}
LABELS, PART = 60, 15
MOST_WITHOUT = 40  # examples that may come without a guess
NAMED = "() => document.getElementById('example-name').innerText"
MOST_BYTES = 150_000


def main() -> int:
    """Draw the picture; the exit status, 0 where it is there and small enough."""
    sys.path.insert(0, str(ROOT / "tests"))
    import labelling
    import real_browser

    from shoestring.recipes.collected import collected
    from shoestring.recipes.labelling import learn_choices
    from shoestring.tasks import digits

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        asked = collected(digits(), place / "p", labelled=False)
        said = collected(digits(), place / "p")
        keys = {one.name: one.annotations[0].labels[0].name for one in said.examples}
        path = place / "digits.labels"
        with (
            labelling.paged(asked, path, learn=learn_choices) as (project, address),
            real_browser.started() as chromium,
            real_browser.visiting(chromium, viewport=WINDOW, reduced_motion="reduce") as seen,
        ):
            page = seen.open(f"{address}&by=Ada")
            page.wait_for_function("() => document.documentElement.dataset.painted")

            def answer() -> None:
                page.wait_for_function(NAMED)
                page.keyboard.press(keys[page.locator("#example-name").inner_text()])

            for at in range(LABELS):
                answer()
                if (at + 1) % PART == 0:
                    learned_again(project)
            for _ in range(MOST_WITHOUT):  # every fifth is shown without a guess
                if "says" in page.locator("#guess").inner_text():
                    break
                answer()
                page.wait_for_timeout(300)
            page.wait_for_selector("#guess:has-text('says')", timeout=10_000)
            page.wait_for_timeout(3500)
            size = save_small(page.screenshot(), PICTURE)
            if seen.faults:
                raise RuntimeError(f"the page has faults: {seen.faults}")
    print(f"written: {PICTURE}, {size:,} bytes")
    return 0 if size <= MOST_BYTES else 1


def learned_again(project: object) -> None:
    """Wait until the model has learned from the last labels."""
    from time import monotonic, sleep

    from shoestring.label.collect import Project

    assert isinstance(project, Project)
    before, ends = project.status()["rounds"], monotonic() + 60
    while project.status()["rounds"] == before and monotonic() < ends:
        sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
