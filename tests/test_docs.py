"""The docs show what the results files say, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_tables_are_those_of_the_results():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "tables.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_committed_files_are_small_and_load():
    from shoestring.artifact import load

    files = sorted((ROOT / "benchmarks" / "results" / "files").glob("*.shoe"))
    assert files
    for file in files:
        # What the benchmarks start from is larger than what they make.
        assert file.stat().st_size <= (15_000_000 if file.name.startswith("baseline_") else 100_000)
        load(file)
