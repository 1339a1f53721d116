"""The docs show what the results files say, their links lead somewhere, and what they name is
there.
"""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "web" / "README.md",
    *sorted(DOCS.glob("*.md")),
]


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page in a language ("" for what names none)."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [code for its, code in found if its == language]


def test_the_tables_are_those_of_the_results():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "tables.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_is_a_front_page():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 130
    assert sum(line.startswith("![") for line in lines) == 1


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name
)
def test_code_in_a_page_is_python_and_what_it_imports_is_there(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module or "").split(".")[0] == "shoestring"
            ):
                room = importlib.import_module(str(node.module))
                for name in node.names:
                    getattr(room, name.name)  # raises where it is not


def test_commands_in_the_pages_are_those_of_the_command_line():
    from shoestring.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = 0
    for page in PAGES:
        for line in "".join(blocks(page, "")).splitlines():
            words = (
                shlex.split(line.removesuffix("\\"), comments=True)
                if re.match(r"(\.venv/bin/)?shoestring ", line)
                else []
            )
            if not words:
                continue
            found += 1
            assert words[1] in commands, f"{page.name}: {line}"
            known = {option for one in commands[words[1]].params for option in one.opts} | {
                "--help"
            }
            given = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
            assert given <= known, f"{page.name}: {line}"
    assert found > 20


def test_paths_in_the_design_lead_somewhere():
    paths = re.findall(
        r"`((?:shoestring|tests|docs|benchmarks|web|examples)/[\w./]*)`",
        (DOCS / "design.md").read_text(),
    )
    assert len(paths) > 30
    for path in paths:
        assert "NAME" in path or (ROOT / path).exists(), (
            f"design.md names {path}: where has it gone?"
        )


def test_the_glossary_has_a_sentence_a_word():
    entries = re.findall(
        r"^- \*\*(.+?)\*\*: (.+(?:\n  .+)*)$", (DOCS / "glossary.md").read_text(), re.MULTILINE
    )
    words = [word for word, _ in entries]
    assert len(words) >= 30 and len(set(words)) == len(words)
    for word, lines in entries:
        sentence = " ".join(lines.split())
        assert sentence.endswith((".", ").")) and ". " not in sentence, word


def test_every_page_has_one_place_in_the_navigation():
    text = (DOCS / "index.md").read_text() + (DOCS / "reference.md").read_text()
    trees = re.findall(r"^```{toctree}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    places = [
        re.sub(r".*<(.*)>", r"\1", line.strip()) for tree in trees for line in tree.splitlines()
    ]
    for page in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]:
        assert page.stem == "index" or places.count(page.stem) == 1, page.name


def test_the_committed_files_are_small_and_load():
    from shoestring.artifact import load

    files = sorted((ROOT / "benchmarks" / "results" / "files").glob("*.shoe"))
    assert files
    for file in files:
        # What the benchmarks start from is larger than what they make.
        assert file.stat().st_size <= (15_000_000 if file.name.startswith("baseline_") else 100_000)
        load(file)
