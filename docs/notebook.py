"""Run the tutorial and keep what it prints.

`python docs/notebook.py` writes the outputs into `docs/start.ipynb`.
A notebook is a list of cells, and this is all of Jupyter that ours needs: code cells run one after
the other in one namespace, in a folder of their own. What they print is their output, and so is
the value of an expression that comes last, where it shows as HTML. A line such as
`!shoestring inspect small.shoe` runs the command, as in Jupyter.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

NOTEBOOK = Path(__file__).resolve().parent / "start.ipynb"


class Shown(NamedTuple):
    """What a cell shows: what it printed, and its last value as HTML ("" where it has none)."""

    text: str
    html: str


def code_cells(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells with code."""
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def fingerprint(content: dict[str, Any]) -> str:
    """Of all code together, spaces apart: outputs that were made by other code are told by it."""
    code = "".join("".join(cell["source"]) for cell in code_cells(content))
    return sha256("".join(code.split()).encode()).hexdigest()[:16]


def run(content: dict[str, Any], folder: Path) -> list[Shown]:
    """What each code cell shows, run in `folder`.

    Raises what a cell raises, with the cell's number.
    """
    names: dict[str, Any] = {"__name__": "__main__", "_shoestring": _shoestring}
    shown: list[Shown] = []
    with contextlib.chdir(folder):
        for number, cell in enumerate(code_cells(content), 1):
            source = re.sub(
                r"^!shoestring (.*)$", r"_shoestring('\1')", "".join(cell["source"]), flags=re.M
            )
            with contextlib.redirect_stdout(io.StringIO()) as out:
                value = _value(source, f"{NOTEBOOK.name}, cell {number}", names)
            as_html = getattr(value, "_repr_html_", None)
            shown.append(Shown(out.getvalue(), "" if as_html is None else as_html()))
    return shown


def _value(source: str, name: str, names: dict[str, Any]) -> Any:
    """Run the source of a cell; returns the value of its last line, where that is an expression."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), names)


def _outputs(shown: Shown, number: int) -> list[dict[str, Any]]:
    """What a cell shows, as a notebook stores it."""
    lines = shown.text.splitlines(keepends=True)
    printed = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
    result = {
        "data": {"text/html": shown.html.splitlines(keepends=True)},
        "execution_count": number,
        "metadata": {},
        "output_type": "execute_result",
    }
    return [*printed, result] if shown.html else printed


def _shoestring(arguments: str) -> None:
    """Print what the command prints; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "shoestring.cli", *shlex.split(arguments)]
    print(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout, end="")


def main() -> int:
    """Run the notebook and write it with its outputs."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        cells = zip(code_cells(content), run(content, Path(folder)), strict=True)
    for number, (cell, shown) in enumerate(cells, 1):
        cell["outputs"] = _outputs(shown, number)
        cell["execution_count"] = number
        print(f"--- {number}\n{shown.text}", end="")
    content["metadata"]["shoestring"] = {"outputs_of": fingerprint(content)}
    NOTEBOOK.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
