"""What to install where something is missing.

Shoestring is on no index, so extras are those of its source.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def missing(*names: str, extra: str, what: str = "") -> ModuleNotFoundError:
    """The error that says which of these packages are not installed, which extra brings them, and
    how; `what` is what needs them.
    """
    absent = [name for name in names if not _is_there(name)] or list(names[:1])
    told = (
        f"{', '.join(absent[:-1])} and {absent[-1]} are" if len(absent) > 1 else f"{absent[0]} is"
    )
    them = "they come" if len(absent) > 1 else "it comes"
    needs = f"{what}: " if what else ""
    return ModuleNotFoundError(
        f"{needs}{told} not installed: {them} with the extra `{extra}` ({install(extra)})",
        name=absent[0],
    )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def install(*extras: str) -> str:
    """The command that installs extras, and where to give it."""
    source = Path(__file__).parents[2]
    here = (
        f"the folder of its source{f', {source}' if (source / 'pyproject.toml').is_file() else ''}"
    )
    return f"pip install '.[{','.join(extras)}]' in {here}"
