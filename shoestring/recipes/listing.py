"""The list of recipes: the records in the files of this package, read without importing them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shoestring.recipes.record import Line, Measure, Published, Recipe, Results

if TYPE_CHECKING:
    from shoestring.recipes.running import Run

_PARTS = {one.__name__: one for one in (Recipe, Results, Line, Measure, Published)}


@dataclass(frozen=True)
class Later:
    """A function whose module is imported when it is called, so that listing needs no torch."""

    module: str
    function: str

    def __call__(self, run: Run) -> None:
        """Import the module and call the function."""
        getattr(import_module(self.module), self.function)(run)


@cache
def recipes() -> Mapping[str, Recipe]:
    """All records by name, sorted; no recipe is imported."""
    by_name: dict[str, Recipe] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for record in records(path, f"{__package__}.{path.stem}"):
            if record.name in by_name:
                where = by_name[record.name].module
                raise ValueError(f"{path}: there is a recipe {record.name!r} already, in {where}")
            by_name[record.name] = record
    return MappingProxyType(dict(sorted(by_name.items())))


def recipe(name: str) -> Recipe:
    """The record of a name; raises ValueError, with similar names, where there is none."""
    known = recipes()
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.55) or [
            other for other in known if name in other
        ]
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)};"
        raise ValueError(
            f"there is no recipe {name!r}: {hint} `shoestring recipes` says what each does"
        )
    return known[name]


def records(path: Path, module: str) -> list[Recipe]:
    """The records in a file: the calls of `Recipe` that its top level assigns to names.

    Raises ValueError, with the line, for a value that is not a number, text, a tuple or a part of a
    record.
    """
    return [
        replace(_value(node.value, path, module), module=module)
        for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and _called(node.value) == Recipe.__name__
    ]


def _called(node: ast.expr | None) -> str | None:
    """The name of the function that an expression calls; None for another expression."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def _value(node: ast.expr | None, path: Path, module: str) -> Any:
    """The value of an expression in a record."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple):
        return tuple(_value(one, path, module) for one in node.elts)
    if isinstance(node, ast.Name):
        return Later(module, node.id)
    if (
        isinstance(node, ast.Call)
        and (part := _PARTS.get(_called(node) or ""))
        and all(one.arg for one in node.keywords)
    ):
        given = [_value(one, path, module) for one in node.args]
        return part(
            *given, **{one.arg: _value(one.value, path, module) for one in node.keywords if one.arg}
        )
    line = 0 if node is None else node.lineno
    raise ValueError(
        f"{path}:{line}: a recipe's record is read without running its file: write numbers, text, "
        f"tuples and the parts of a record ({', '.join(_PARTS)}), and for `run` the name of a "
        "function of this file"
    )
