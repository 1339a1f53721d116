"""The site builds without a warning and asks for nothing from elsewhere; the tutorial runs."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def test_the_outputs_of_the_tutorial_are_of_its_code():
    notebook = _module("notebook")
    content = json.loads(notebook.NOTEBOOK.read_text(encoding="utf-8"))
    cells = notebook.code_cells(content)
    assert len(cells) >= 6 and sum(bool(cell["outputs"]) for cell in cells) >= 6
    assert content["metadata"]["shoestring"]["outputs_of"] == notebook.fingerprint(content), (
        "run python docs/notebook.py"
    )


@pytest.mark.slow
def test_the_tutorial_runs_and_ends_with_a_small_file(tmp_path):
    # In a process of its own, as a reader would run it: what it sets in torch stays there.
    code = (
        "import json, pathlib, notebook; content = "
        "json.loads(notebook.NOTEBOOK.read_text(encoding='utf-8'));"
        "print(json.dumps(notebook.run(content, "
        "pathlib.Path.cwd())))"
    )
    paths = os.pathsep.join([str(DOCS), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    printed, tables = zip(*shown, strict=True)
    assert sum("<table" in table for table in tables) == 1, "the outcome"
    assert (tmp_path / "small.html").stat().st_size > 100_000
    small, large = ((tmp_path / name).stat().st_size for name in ("small.shoe", "large.shoe"))
    assert small < large / 4
    (bill,) = (text for text in printed if "the whole file" in text)
    assert f"{small:,}" in bill
    scores = [
        float(score) for text in printed for score in re.findall(r"test score .*?(\d\.\d{4})", text)
    ]
    assert len(scores) == 3 and min(scores) > 0.9


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for name in ("sphinx", "myst_parser", "furo"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, DOCS / "build.py", out], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_the_site_is_whole_and_has_a_reference(site):
    pages = {str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html")}
    assert {path.stem for path in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]} <= pages
    assert "shoestring.prune.Magnitude" in (site / "reference" / "prune.html").read_text(
        encoding="utf-8"
    )
    assert "shoestring compress" in (site / "reference" / "commands.html").read_text(
        encoding="utf-8"
    )
    which = (site / "which-technique.html").read_text(encoding="utf-8")
    assert 'href="reference/quantize.html#shoestring.quantize.PostTraining"' in which


@pytest.mark.slow
def test_no_page_asks_for_anything_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        asked = _Asked()
        asked.feed(page.read_text(encoding="utf-8"))
        assert asked.found, page.name
        assert not [one for one in asked.found if re.match(r"(https?:)?//", one)], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(
            r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")
        ), sheet.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a page](no-such-page.md)", "no-such-page.md"),
        ("[a section](planner.md#no-such-section)", "no-such-section"),
        ("See `docs/no-such-page.md`.", "no-such-page"),
    ],
)
@pytest.mark.slow
def test_what_leads_nowhere_fails_the_build(site, tmp_path, text, said):
    """A copy of the settings and of two pages is enough: the checks are of each page."""
    for name in ("conf.py", "site_pages.py", "site_static/shoestring.css", "planner.md"):
        target = tmp_path / "docs" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((DOCS / name).read_text(encoding="utf-8"), encoding="utf-8")
    # No reference, which would take most of the time.
    (tmp_path / "docs" / "site_reference.py").write_text(
        "def classes():\n    return {}\n\ndef setup(app):\n    pass\n"
    )
    (tmp_path / "docs" / "index.md").write_text(
        f"# Front\n\n{text}\n\n```{{toctree}}\nplanner\n```\n"
    )
    for name in ("sensitivity", "rate", "study", "runtimes", "planner-results", "tasks"):
        (tmp_path / "docs" / f"{name}.md").write_text(f":orphan:\n\n# {name}\n")
    (tmp_path / "README.md").write_text("")
    (tmp_path / "CONTRIBUTING.md").write_text("")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "--fail-on-warning",
        "--nitpicky",
        tmp_path / "docs",
        tmp_path / "out",
    ]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and said in done.stderr, done.stderr


class _Asked(HTMLParser):
    """What a page has the browser load: scripts, sheets, pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and values.get("src"):
            self.found.append(str(values["src"]))
        if (
            tag == "link"
            and values.get("rel") in ("stylesheet", "preload", "icon")
            and values.get("href")
        ):
            self.found.append(str(values["href"]))


def _module(name: str):
    """A script of the docs, imported from its file."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
