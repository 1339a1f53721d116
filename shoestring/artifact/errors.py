"""Errors for packages that are not installed, with the command that installs them.

Shoestring is not on a package index, so the command installs from its source.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def missing(*names: str, extra: str, what: str = "") -> ModuleNotFoundError:
    """The error to raise when optional packages are not installed.

    Its message names the absent packages, the extra that contains them, and the command.
    `names`: the packages that are needed; if all are installed, the first is called absent.
    `extra`: the extra that contains them, such as "train".
    `what`: what needs them, for the beginning of the message; "": not said.
    """
    absent = [name for name in names if not _is_installed(name)] or list(names[:1])
    sentence = (
        f"{', '.join(absent[:-1])} and {absent[-1]} are" if len(absent) > 1 else f"{absent[0]} is"
    )
    comes = "they come" if len(absent) > 1 else "it comes"
    needs = f"{what}: " if what else ""
    return ModuleNotFoundError(
        f"{needs}{sentence} not installed: {comes} with the extra `{extra}` ({install(extra)})",
        name=absent[0],
    )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def install(*extras: str) -> str:
    """The command that installs extras, and the folder in which to run it."""
    source = Path(__file__).parents[2]
    here = (
        f"the folder of its source{f', {source}' if (source / 'pyproject.toml').is_file() else ''}"
    )
    return f"pip install '.[{','.join(extras)}]' in {here}"
