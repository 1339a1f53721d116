"""The pages under `reference/`, written anew by each build.

A page for each room, and one for the command line.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import shoestring

_ITEM = re.compile(
    r"(`[^`]+`(?:(?:, | and )`[^`]+`)*:|Saves:|Costs:|Source:|Differs:|Raises:?(?= "
    r"[A-Z]\w*Error)) ?"
)


def write(folder: Path) -> None:
    """Write the pages into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "shoestring.rst").write_text(_front(), encoding="utf-8")
    for room, names in rooms().items():
        (folder / f"{room.removeprefix('shoestring.')}.rst").write_text(
            _page(room, names), encoding="utf-8"
        )
    (folder / "commands.md").write_text(_commands(), encoding="utf-8")


@cache
def rooms() -> dict[str, dict[str, Any]]:
    """Of each package with public names, in the order of their letters.

    Those that no package before it has.
    """
    found: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()
    for info in pkgutil.walk_packages(shoestring.__path__, "shoestring."):
        room = importlib.import_module(info.name) if info.ispkg else None
        if room is None or not (public := _public(room)):
            continue
        found[info.name] = {name: one for name, one in public.items() if id(one) not in seen}
        seen |= {id(one) for one in found[info.name].values()}
    return {room: names for room, names in found.items() if names}


def _public(room: ModuleType) -> dict[str, Any]:
    return {name: getattr(room, name) for name in getattr(room, "__all__", ())}


@cache
def classes() -> dict[str, str]:
    """Of each public class whose name no other has, its full name."""
    every = [
        (name, f"{room}.{name}")
        for room, names in rooms().items()
        for name, one in names.items()
        if inspect.isclass(one)
    ]
    times = Counter(name for name, _ in every)
    return {name: full for name, full in every if times[name] == 1}


def _front() -> str:
    """The page of what `import shoestring` gives: a line for each name, which leads to its room."""
    lines = [_title("shoestring"), *_paragraph(inspect.getdoc(shoestring)), ""]
    places = {
        id(one): f"{room}.{name}" for room, names in rooms().items() for name, one in names.items()
    }
    for name, one in _public(shoestring).items():
        first = (inspect.getdoc(one) or "").split("\n\n")[0].replace("\n", " ")
        place = places.get(id(one))  # an old name may be a function of its own, which no room has
        lines += [
            f":py:obj:`shoestring.{name} <{place}>`" if place else f"`shoestring.{name}`",
            f"    {_plain(first)}",
            "",
        ]
    return "\n".join(lines) + "\n"


def _page(room: str, names: dict[str, Any]) -> str:
    """A page of a room: what it is, and each name with its docstring."""
    lines = [_title(room), *_paragraph(inspect.getdoc(importlib.import_module(room))), ""]
    for name, one in sorted(names.items(), key=lambda item: item[0].lower()):
        lines += [name, "-" * len(name), "", f".. {_directive(one)}:: {room}.{name}"]
        lines += _words(room, name, one) if _directive(one) == "py:data" else []
        lines += ["   :members:"] if inspect.isclass(one) else []
        lines += (
            ["   :show-inheritance:"] if inspect.isclass(one) and one.__base__ is not object else []
        )
        lines.append("")
    return "\n".join(lines) + "\n"


def _directive(one: Any) -> str:
    if inspect.isclass(one):
        return "autoexception" if issubclass(one, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(one) else "py:data"


def _words(room: str, name: str, one: Any) -> list[str]:
    """What the text below a constant says, where the constant is made: a value has no docstring."""
    for place, module in sorted(sys.modules.items()):
        if place.startswith(room) and getattr(module, name, None) is one:
            said = ModuleAnalyzer.for_module(place).find_attr_docs().get(("", name))
            if said is not None:
                return ["", *(f"   {_plain(line)}" for line in said)]
    return []


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _paragraph(text: str | None) -> list[str]:
    return (text or "").splitlines()


def _commands() -> str:
    """The page of the command line, from its own help."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "shoestring.cli",
        "utils",
        "docs",
        "--name",
        "shoestring",
        "--title",
        "Commands",
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = re.sub(
        r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", text
    )  # its lines are cut short, and a section each follows
    return text.replace("```console", "```text")


def itemised(app: Sphinx, what: str, name: str, one: Any, options: Any, lines: list[str]) -> None:
    """Make the fields of a docstring, a line each in the source, the items of a list.

    Docstrings are plain text with code in backticks: other marks that Sphinx knows are escaped.
    """
    made: list[str] = []
    inside = False
    for line in lines:
        text = _plain(line)
        if item := _ITEM.match(line) or _field(one, line):
            label = item[1] if item[1].startswith("`") else f"**{item[1]}**"
            made += ["", f"- {label} {_plain(line[item.end() :])}"]
            inside = True
        else:
            inside = inside and bool(line)
            made.append(f"  {text.strip()}" if inside else text)
    lines[:] = made


def _field(one: Any, line: str) -> re.Match[str] | None:
    """`name: what it is`, where the class or function has a parameter of that name."""
    item = re.match(r"([a-z_]+:) ", line)
    if item is None or not callable(one):
        return None
    try:
        return item if item[1][:-1] in inspect.signature(one).parameters else None
    except ValueError:  # what is written in C has no signature to read
        return None


def _plain(line: str) -> str:
    """A line with the marks of reStructuredText outside code escaped."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(
        part if i % 2 else re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part)
        for i, part in enumerate(parts)
    )


def foreign(app: Sphinx, what: str, name: str, one: Any, skip: bool, options: Any) -> bool | None:
    """Leave out members that are others' functions, such as a loss of torch's that is a default."""
    return True if str(getattr(one, "__module__", "")).startswith("torch") else None


def setup(app: Sphinx) -> None:
    """Connect the hooks."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference"))
    app.connect("autodoc-process-docstring", itemised)
    app.connect("autodoc-skip-member", foreign)
