"""Whether a Label Studio server takes what is written for it, and gives it back.

Start one (`pip install label-studio`), and name it in LABEL_STUDIO_URL and LABEL_STUDIO_TOKEN:

    python benchmarks/label_studio.py
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import rows

from shoestring.label import Annotation, Box, Choice, Collection, Example, Span
from shoestring.label.formats import read, write

WITH_PREDICTIONS = {"serialization_options": {"predictions": {"only_id": False}}}


def main() -> None:
    results = rows.start("label_studio", "server", __doc__ or "")
    server = Server(os.environ["LABEL_STUDIO_URL"], os.environ["LABEL_STUDIO_TOKEN"])
    results.conditions = f"Label Studio {server.version()}; " + results.conditions
    with tempfile.TemporaryDirectory() as folder:
        for subject, collection in collections(Path(folder)).items():
            if results.wanted(subject) and not results.done(subject, None):
                check(results, server, subject, collection, Path(folder))
                results.add(subject, "done", 1, "", None)
    results.close()


class Server:
    """A Label Studio server: its projects, by its API."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token
        # A server of this machine is not behind the proxy of the net.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, content: Any = None) -> Any:
        """The answer in JSON to a GET, or to a POST of JSON."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
        )
        with self.opener.open(request, timeout=120) as answer:
            return json.load(answer)

    def version(self) -> str:
        return str(self.ask("/api/version").get("release"))

    def project(self, title: str, config: str, tasks: Any) -> int:
        """The number of a new project with these tasks."""
        made = self.ask("/api/projects", {"title": title, "label_config": config})["id"]
        self.ask(f"/api/projects/{made}/import", tasks)
        return made

    def plain_export(self, project: int) -> Any:
        return self.ask(f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")

    def snapshot(self, project: int) -> Any:
        """An export with whole predictions."""
        made = self.ask(f"/api/projects/{project}/exports/", WITH_PREDICTIONS)["id"]
        for _ in range(60):
            state = self.ask(f"/api/projects/{project}/exports/{made}")["status"]
            if state == "completed":
                break
            time.sleep(1)
        return self.ask(f"/api/projects/{project}/exports/{made}/download?exportType=JSON")


def check(
    results: rows.Rows, server: Server, subject: str, collection: Collection, folder: Path
) -> None:
    """Write, import, export, read, and count what is there again."""
    path = folder / f"{subject}.json"
    write(collection, path)
    config = path.with_suffix(".xml").read_text(encoding="utf-8")
    project = server.project(subject, config, json.loads(path.read_text(encoding="utf-8")))
    for name, exported in (
        ("export", server.plain_export(project)),
        ("export with predictions", server.snapshot(project)),
    ):
        again_path = folder / f"{subject}-{project}-{len(name)}.json"
        again_path.write_text(json.dumps(exported), encoding="utf-8")
        again = {one.name: one for one in read(again_path, result="label").examples}
        for metric, of in (
            ("examples", lambda one: [one.text]),
            ("annotations", lambda one: [rounded(said) for said in one.annotations]),
            ("predictions with their scores", lambda one: list(map(rounded, one.predictions))),
            ("priorities", lambda one: [] if one.priority is None else [one.priority]),
        ):
            written = sum(len(of(one)) for one in collection.examples)
            same = sum(
                part in of(again[one.name])
                for one in collection.examples
                if one.name in again
                for part in of(one)
            )
            results.add(subject, f"{name}: {metric} written", written, "", None)
            results.add(subject, f"{name}: {metric} the same", same, "", None)


def rounded(said: Annotation) -> Annotation:
    """What is compared: the labels, to a thousandth of a pixel, and the rest."""
    labels = tuple(
        replace(
            one,
            left=round(one.left, 3),
            top=round(one.top, 3),
            width=round(one.width, 3),
            height=round(one.height, 3),
        )
        if isinstance(one, Box)
        else one
        for one in said.labels
    )
    return replace(said, labels=labels, by="", at=None)


def collections(folder: Path) -> dict[str, Collection]:
    """Texts with classes, texts with spans, and pictures of blood cells with boxes."""

    def said(*labels: Any, **more: Any) -> Annotation:
        return Annotation(labels=labels, **more)

    texts = [
        Example(
            name=f"text {at}",
            text=f"Sentence {at}: it is <b>fine</b> & 😀",
            annotations=(said(Choice(name="pos"), seconds=1.5),)
            if at % 3 == 0
            else (Annotation(skipped=True),)
            if at % 3 == 1
            else (),
            predictions=(said(Choice(name="neg"), by="m1", score=at / 40),),
            priority=1 - at / 40,
            split="train" if at % 2 else "test",
        )
        for at in range(30)
    ]
    spans = [
        Example(
            name=f"span {at}",
            text=f"😀 Ann saw Bob in Ulm, {at} times.",
            annotations=(
                said(Span(start=2, end=5, name="PER"), Span(start=17, end=20, name="LOC")),
            ),
            predictions=(said(Span(start=10, end=13, name="PER"), by="m1", score=0.25),),
            priority=at / 10,
        )
        for at in range(10)
    ]
    source = Path(os.environ.get("SHOESTRING_DATA", "")) / "bccd" / "BCCD.tar.gz"
    if not source.is_file():
        sys.exit(f"{source} is not there: set SHOESTRING_DATA to a folder that has it")
    with tarfile.open(source) as packed:
        packed.extractall(folder, filter="data")
    cells = read(folder / "BCCD")
    boxes = [
        replace(
            one,
            predictions=(replace(one.annotations[0], by="m1", score=0.5),),
            priority=float(at),
        )
        for at, one in enumerate(cells.examples[:20])
    ]
    return {
        "texts": Collection(examples=tuple(texts), kind=Choice, names=("neg", "pos")),
        "spans": Collection(examples=tuple(spans), kind=Span, names=("PER", "LOC")),
        "boxes": Collection(examples=tuple(boxes), kind=Box, names=cells.names),
    }


if __name__ == "__main__":
    main()
