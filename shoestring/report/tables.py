"""Tables of sensitivity: as a search's folder holds them, or as a file of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shoestring.artifact.format.names import TABLE
from shoestring.artifact.format.saving import check_file
from shoestring.report.document import Cell, Sensitivity, finite


def sensitivity_in(folder: Path, digest: str, say: Callable[[str], None]) -> Sensitivity | None:
    """The table of sensitivity that is kept in a folder; None where there is none.

    `digest`: of the model that came in. A table of another model is left out, and `say` gets a
        sentence about it, as about one that cannot be read.
    """
    path = folder / TABLE
    try:
        table, model = _read(path)
        if _is_other(model, digest):
            say(f"The table of sensitivity {path.name} is of another model: it is left out.")
            return None
        return table
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        say(f"The table of sensitivity is left out: {error}.")
        return None


def sensitivity_of(path: Path, digest: str, say: Callable[[str], None]) -> Sensitivity:
    """The table in a file of what `shoestring sensitivity --json` printed.

    `digest`: of the model that came in; "" where it is not known. `say` gets a sentence about a
        table of another model, which is shown nevertheless, since somebody named it.

    Raises OSError where it cannot be read, and ValueError for a file of another kind.
    """
    table, model = _read(path)
    if _is_other(model, digest):
        say(
            f"The table of sensitivity {path.name} is of another model, and is shown since it was "
            "named: its losses are those of that model."
        )
    return table


def _is_other(model: str, digest: str) -> bool:
    """Whether the digest of the model of a table is known to be another."""
    return bool(model and digest) and model != digest


def _read(path: Path) -> tuple[Sensitivity, str]:
    """The table in a file of JSON, and the digest of its model; "" where it has none.

    Raises OSError where it cannot be read, and ValueError for other contents.
    """
    check_file(path)
    try:
        values = json.loads(path.read_bytes())
        if not isinstance(values, Mapping):
            raise ValueError("it is no JSON object")
        return _table(values), str(values.get("sha256") or "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no table of sensitivity ({error}): `shoestring sensitivity --json` prints "
            "one"
        ) from None


def _table(values: Mapping[str, Any]) -> Sensitivity:
    cells = tuple(_cell(effect) for effect in values["effects"])
    score, size, examples = values["score"], values["bytes"], values["examples"]
    on = "validation data" if examples is None else f"{examples:,} validation examples"
    return Sensitivity(
        layers=tuple(dict.fromkeys(cell.layer for cell in cells)),
        actions=tuple(dict.fromkeys(cell.action for cell in cells)),
        cells=cells,
        words=f"Of the model as it came in: score {_told(score)} on {on}, {size:,} bytes.",
    )


def _told(score: float) -> str:
    """A score as the page tells those that are shares of 1: in percent."""
    return f"{100 * score:.2f} %" if 0 <= score <= 1 else f"{score:.4g}"


def _cell(effect: Mapping[str, Any]) -> Cell:
    return Cell(
        layer=" + ".join(str(name) or "(the model itself)" for name in effect["layers"]),
        action=str(effect["action"]),
        score_lost=finite(effect["score_lost"]),
        score_error=finite(effect["score_error"]),
        bytes_saved=finite(effect["bytes_saved"]),
        milliseconds_saved=finite(effect["milliseconds_saved"]),
        note=str(effect["note"]),
    )
