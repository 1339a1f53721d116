"""What the house forbids, checked by machine.

The tools alone: `pytest tests/test_house.py -k tool`; but the slow: `-m "not slow"`.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import shoestring

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "shoestring"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
VAGUE = ("utils", "util", "helpers", "helper", "common", "base", "manager", "managers")
# In two halves, or this file would be found too: a folder of one machine, and the hosts that
# packages come from.
FOREIGN = [
    "/wo" + "rk/",
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "golang" + ".org",
    "crates" + ".io",
]


def run(*command: str) -> tuple[int, str]:
    """(exit status, what was said) of a command in the root of the repository."""
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
    )
    return done.returncode, done.stdout


def tool(name: str) -> str:
    """The path of a tool, of this environment first; skips where it is not installed."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: pip install -e '.[dev]'")
    return path


# -- tools


def test_tool_ruff_check():
    status, said = run(tool("ruff"), "check", "--output-format=concise", ".")
    assert status == 0, said


def test_tool_ruff_format():
    # Code in pages is laid out for readers, by hand.
    status, said = run(
        tool("ruff"), "format", "--check", "--config", 'extend-exclude=["*.md"]', "."
    )
    assert status == 0, f"{said}\nrun: ruff format"


def test_tool_lint_imports():
    status, said = run(tool("lint-imports"))
    assert status == 0, said


@pytest.mark.slow
def test_tool_pyright():
    status, said = run(tool("pyright"), "--pythonpath", sys.executable)
    if not re.search(r"\d+ errors?, \d+ warning", said):
        pytest.skip(
            f"pyright could not start (it fetches a part of itself the first time): {said[-300:]}"
        )
    assert status == 0, said


# -- imports


@pytest.mark.parametrize("name", ["shoestring", "shoestring.artifact"])
def test_importing_brings_none_of_the_heavy_packages(name: str):
    heavy = ("torch", "onnx", "onnxscript", "sklearn", "scipy", "PIL")
    status, said = run(
        sys.executable,
        "-c",
        f"import sys, {name}; print([one for one in {heavy!r} if one in sys.modules])",
    )
    assert status == 0 and said.splitlines()[-1] == "[]", said


def test_importing_the_package_brings_little():
    """What it brings is counted, not timed: that holds on a busy machine too."""
    status, said = run(
        sys.executable,
        "-c",
        "import sys; before = set(sys.modules); import shoestring; print(len(set(sys.modules) - "
        "before))",
    )
    assert status == 0 and int(said.splitlines()[-1]) < 20, (
        f"import shoestring brings {said.splitlines()[-1]} modules: see python -X importtime"
    )


# -- sizes and names


def test_no_file_is_too_long():
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in FILES
    }
    assert len(lines) > 20
    long = {name: count for name, count in lines.items() if count > MAX_FILE_LINES}
    assert not long, f"more than {MAX_FILE_LINES} lines: a mechanism is missing from kit/"


def test_no_function_is_too_long():
    long: dict[str, int] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = count
    assert not long, f"more than {MAX_FUNCTION_LINES} lines: a mechanism is missing from kit/"


def test_no_name_is_vague():
    vague = [
        str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.stem.strip("_") in VAGUE
    ]
    assert not vague, "name a module after what is in it"


def test_no_folder_is_empty():
    folders = [
        PACKAGE,
        *(path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__"),
    ]
    assert len(folders) > 5
    for folder in folders:
        here = [path for path in FILES if path.parent == folder]
        assert any(path.name == "__init__.py" for path in here), (
            f"{folder} has no __init__.py: a room, or no folder"
        )
        tenants = [path for path in here if path.name != "__init__.py"] or [
            one for one in folders if one.parent == folder
        ]
        assert tenants, f"{folder} is empty: it exists when its first tenant does"


def test_every_module_says_what_it_is():
    for path in FILES:
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert said and said.splitlines()[0].endswith((".", "?")), (
            f"{path.relative_to(ROOT)} begins with no docstring of one line"
        )


# -- what belongs to one machine


def test_no_tracked_file_has_the_words_of_one_machine():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of the repository: there are no tracked files")
    status, said = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "-z")
    assert status == 0, said
    found: list[str] = []
    for name in filter(None, said.split("\0")):
        path = ROOT / name
        if not path.is_file():  # deleted, and not committed yet
            continue
        content = path.read_bytes()
        found += [f"{name}: {word}" for word in (*FOREIGN, *indices()) if word.encode() in content]
    assert not found, "write what is true on every machine"


def indices() -> list[str]:
    """The hosts that pip was told to use on this machine."""
    told = (
        os.environ.get(name, "")
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY")
    )
    return sorted(
        {host for url in told for host in re.findall(r"//(?:[^/@]*@)?([^/:\s]+)", url)}
        - {"localhost", "127.0.0.1"}
    )


def test_git_tracks_no_package_of_npm_and_no_link():
    """A link that one machine has leads nowhere on another."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    status, said = run("git", "ls-files", "--stage")
    assert status == 0, said
    tracked = [line.split("\t", 1) for line in said.splitlines()]
    assert len(tracked) > 500
    assert [name for mode, name in tracked if mode.startswith("120000")] == []
    assert [name for _, name in tracked if "node_modules" in name.split("/")] == []


def test_rooms_are_there_when_they_are_asked_for():
    """`shoestring.prune.Magnitude` needs no import of its own, and `import shoestring` no torch."""
    told = (
        "import sys, shoestring; assert 'torch' not in sys.modules; print(sorted(one for one in "
        "dir(shoestring) if hasattr(getattr(shoestring, one), '__path__')), "
        "shoestring.prune.Magnitude.__name__)"
    )
    said = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True
    ).stdout
    rooms = sorted(
        one.name
        for one in PACKAGE.iterdir()
        if (one / "__init__.py").exists() and one.name != "cli"
    )
    assert said.strip() == f"{rooms} Magnitude"
    with pytest.raises(AttributeError, match="has no attribute 'pruning'"):
        _ = shoestring.pruning  # pyright: ignore
