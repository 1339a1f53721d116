"""The tables of `docs/design.md`.

The layers that import-linter checks, from `pyproject.toml`, each room with its first line.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def rooms() -> str:
    """A table for each contract of layers, the top layer first.

    Rooms in one row do not import each other.
    """
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [
        one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers"
    ]
    return "\n\n".join(
        _table(container, one) for one in contracts for container in one.get("containers", [""])
    )


def _table(container: str, contract: dict) -> str:
    """A row for each room; the first of a layer says how high it is."""
    where = f"**`{container}`**: " if container else ""
    lines = [
        f"{where}{contract['name']}",
        "",
        "| layer | room | what is in it |",
        "| --- | --- | --- |",
    ]
    for depth, layer in enumerate(contract["layers"], 1):
        for room in (name.strip(" ()") for name in layer.replace(":", "|").split("|")):
            lines.append(
                f"| {len(contract['layers']) - depth} | `{room}` | {_about(container, room)} |"
            )
    return "\n".join(lines)


def _about(container: str, room: str) -> str:
    """The first line of a room's docstring."""
    path = ROOT.joinpath(*container.split("."), *room.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    first = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
    return first.replace("|", "\\|")
