"""Tables of sensitivity: as a search's folder holds them, or as a file of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shoestring.artifact.format.names import TABLE
from shoestring.report.document import Cell, Sensitivity, finite


def sensitivity_in(folder: Path, digest: str, say: Callable[[str], None]) -> Sensitivity | None:
    """The table of sensitivity that is kept in a folder; None where there is none.

    `digest`: of the model that came in. A table of another model is left out, and `say` gets a
        sentence about it, as about one that cannot be read.
    """
    path = folder / TABLE
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        say(f"The table of sensitivity {path.name} cannot be read ({error}): it is left out.")
        return None
    if isinstance(values, Mapping) and digest and values.get("sha256") not in ("", None, digest):
        say(f"The table of sensitivity {path.name} is of another model: it is left out.")
        return None
    try:
        return sensitivity_of(values)
    except (ValueError, TypeError, KeyError, AttributeError):
        say(f"{path.name} is no table of sensitivity: it is left out.")
        return None


def sensitivity_of(values: Mapping[str, Any]) -> Sensitivity:
    """The table from the values of its JSON, which `shoestring sensitivity --json` prints.

    Raises ValueError, TypeError, KeyError or AttributeError for other values.
    """
    cells = tuple(_cell(effect) for effect in values["effects"])
    score, size, examples = values["score"], values["bytes"], values["examples"]
    on = "validation data" if examples is None else f"{examples:,} validation examples"
    return Sensitivity(
        layers=tuple(dict.fromkeys(cell.layer for cell in cells)),
        actions=tuple(dict.fromkeys(cell.action for cell in cells)),
        cells=cells,
        words=f"Of the model as it came in: score {score:.4f} on {on}, {size:,} bytes.",
    )


def _cell(effect: Mapping[str, Any]) -> Cell:
    return Cell(
        layer=" + ".join(map(str, effect["layers"])),
        action=str(effect["action"]),
        score_lost=finite(effect["score_lost"]),
        score_error=finite(effect["score_error"]),
        bytes_saved=finite(effect["bytes_saved"]),
        milliseconds_saved=finite(effect["milliseconds_saved"]),
        note=str(effect["note"]),
    )
