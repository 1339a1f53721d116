"""Labelling projects for tests: their collections, and their pages in a browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shoestring.label import Choice, Collection, Example
from shoestring.label.collect import Answer, Project
from shoestring.label.collect.answer import standing
from shoestring.label.collect.server import address, listening, server_of

CLASSES = ("cat", "dog", "emu")


def texts(count: int, kind: Any = Choice, names: tuple[str, ...] = CLASSES) -> Collection:
    """Texts of a few words, without labels."""
    return Collection(
        examples=tuple(
            Example(name=f"row {at}", text=f"The {CLASSES[at % 3]} of Ada Lovelace, number {at}.")
            for at in range(count)
        ),
        kind=kind,
        names=names,
    )


def pictures(folder: Path, count: int, kind: Any = Choice, size: int = 64) -> Collection:
    """Grey pictures of a bright square each."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for at in range(count):
        made = Image.new("L", (size, size // 2), 40)
        made.paste(220, (4 + at % 20, 4, 20 + at % 20, 20))
        made.save(folder / f"{at}.png")
    examples = tuple(Example(name=f"{at}.png", picture=folder / f"{at}.png") for at in range(count))
    return Collection(examples=examples, kind=kind, names=CLASSES)


@contextmanager
def opened(collection: Collection, path: Path, **settings: Any) -> Iterator[Project]:
    """A project, closed afterwards."""
    project = Project(collection, path, **settings)
    try:
        yield project
    finally:
        project.close()


@contextmanager
def paged(
    collection: Collection,
    path: Path,
    root: Path | None = None,
    port: int | None = None,
    **settings: Any,
) -> Iterator[tuple[Project, str]]:
    """A project and the address of its page, served by a thread."""
    with opened(collection, path, **settings) as project:
        made = listening("127.0.0.1", port)
        server = server_of(project, made, root)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [made]}, daemon=True)
        thread.start()
        try:
            yield project, address(project, "127.0.0.1", made.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(10)
            made.close()


PRESS = """async ([count, keys, drawn = false]) => {
    const root = document.documentElement;
    const wait = drawn ? requestAnimationFrame : setTimeout;
    const frame = () => new Promise((done) => wait(() => done()));
    const times = [];
    for (let at = 0; at < count; at += 1) {
        const before = performance.now();
        while (root.dataset.painted !== root.dataset.shown || !root.dataset.shown) {
            if (performance.now() - before > 15000) return { times, stopped: at };
            await frame();
        }
        const shown = root.dataset.shown;
        const key = keys[at % keys.length];
        const begun = performance.now();
        const given = { key, bubbles: true, cancelable: true };
        document.body.dispatchEvent(new KeyboardEvent("keydown", given));
        await frame();
        times.push(performance.now() - begun);
        if (root.dataset.shown === shown) return { times, stopped: at };
    }
    return { times, stopped: count };
}"""
"""Presses keys as fast as the page shows examples.

With `drawn`, the milliseconds are those from each key to the next frame, as a person sees it.
Without it, no frame is waited for, which takes a busy machine long."""
SAVED = "() => document.documentElement.dataset.waiting === '0'"
READY = "() => document.documentElement.dataset.painted"


def held(project: Project) -> dict[str, Answer]:
    """The answer that holds for each example, of whoever gave it last."""
    found = standing(project.store.answers())
    return {name: list(said.values())[-1] for name, said in found.items()}


def visited(visit: Any, address: str, by: str = "ann", **options: Any) -> Any:
    """The page of a project under a name, once it shows an example."""
    seen = visit(**options)
    seen.open(f"{address}&by={by}").wait_for_function(READY)
    return seen


def saved(seen: Any) -> None:
    """Wait until no answer is on its way."""
    seen.page.wait_for_function(SAVED)


def shown(seen: Any) -> str:
    """The name of the example on the page."""
    return seen.page.locator("#example-name").inner_text()
