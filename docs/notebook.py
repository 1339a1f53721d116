"""Run the tutorial and keep what it prints.

`python docs/notebook.py` writes the outputs into `docs/start.ipynb`.
A notebook is a list of cells, and this is all of Jupyter that ours needs: code cells run one after
the other in one namespace, in a folder of their own. What they print is their output. A line such
as `!shoestring inspect small.shoe` runs the command, as in Jupyter.
"""

from __future__ import annotations

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
from typing import Any

NOTEBOOK = Path(__file__).resolve().parent / "start.ipynb"


def code_cells(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells with code."""
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def fingerprint(content: dict[str, Any]) -> str:
    """Of all code together, spaces apart: outputs that were made by other code are told by it."""
    code = "".join("".join(cell["source"]) for cell in code_cells(content))
    return sha256("".join(code.split()).encode()).hexdigest()[:16]


def run(content: dict[str, Any], folder: Path) -> list[str]:
    """What each code cell prints, run in `folder`.

    Raises what a cell raises, with the cell's number.
    """
    names: dict[str, Any] = {"__name__": "__main__", "_shoestring": _shoestring}
    printed: list[str] = []
    with contextlib.chdir(folder):
        for number, cell in enumerate(code_cells(content), 1):
            source = re.sub(
                r"^!shoestring (.*)$", r"_shoestring('\1')", "".join(cell["source"]), flags=re.M
            )
            code = compile(source, f"{NOTEBOOK.name}, cell {number}", "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, names)
            printed.append(out.getvalue())
    return printed


def _shoestring(arguments: str) -> None:
    """Print what the command prints; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "shoestring.cli", *shlex.split(arguments)]
    print(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout, end="")


def main() -> int:
    """Run the notebook and write it with its outputs."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        printed = run(content, Path(folder))
    for number, (cell, text) in enumerate(zip(code_cells(content), printed, strict=True), 1):
        lines = text.splitlines(keepends=True)
        cell["outputs"] = (
            [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
        )
        cell["execution_count"] = number
        print(f"--- {number}\n{text}", end="")
    content["metadata"]["shoestring"] = {"outputs_of": fingerprint(content)}
    NOTEBOOK.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
