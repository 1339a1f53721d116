"""Running a recipe end to end: its rows, files and result, in a folder, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from shoestring.artifact import save
from shoestring.artifact.errors import install
from shoestring.core.ledger import Ledger, machine, versions
from shoestring.recipes.record import Recipe
from shoestring.recipes.rows import Row, conditions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoestring.kit import Supervised

FORMAT, VERSION = "shoestring recipe result", 1
"""Of the shape of result.json, which docs/recipes.md tells."""
RESULT, ROWS, LEDGER, UNFINISHED = "result.json", "rows.jsonl", "shoestring.ledger", "unfinished"
_KEY = "run.json"  # in the unfinished folder: of which run it is


@dataclass(kw_only=True)
class Run:
    """One run of a recipe: what the recipe is told, and what it tells.

    `folder`: where its files go; what ends in `.shoe` is part of the result. `quick`: smaller, in
    under a minute or so.
    `ledger`: for `apply` and `prove`. `minutes`: what the record expects.
    """

    recipe: str
    folder: Path
    quick: bool
    seed: int
    minutes: float
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began, self.ledger = monotonic(), Ledger(self.folder / LEDGER)
        self._conditions = conditions(quick=self.quick)

    def row(
        self, subject: str, metric: str, value: float, unit: str, *, seeded: bool = True
    ) -> None:
        """One number, in the file of rows at once; not `seeded` where no seed decides it."""
        seed = self.seed if seeded else None
        self.rows.append(
            Row(
                benchmark=self.recipe,
                subject=subject,
                metric=metric,
                value=value,
                unit=unit,
                seed=seed,
                conditions=self._conditions,
            )
        )
        save(self.folder / ROWS, as_lines(self.rows))
        number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        self.say(f"{subject:32} {metric:24} {number:>12} {unit}")

    def scores(self, subject: str, size: int, validation: float, test: float) -> None:
        """The rows of a file: its bytes, and its errors in percent; then how long is left.

        `validation` and `test` are scores between 0 and 1.
        """
        self.row(subject, "size", size, "bytes")
        self.row(subject, "validation error", 100 * (1 - validation), "%")
        self.row(subject, "test error", 100 * (1 - test), "%")
        self.say(f"  {self.time_left()}")

    def time_left(self) -> str:
        """The minutes gone, and those that are left if the record is right about this machine."""
        gone = (monotonic() - self.began) / 60
        left = self.minutes - gone
        told = (
            f"about {left:.1f} min left"
            if left > 0
            else f"longer than the {self.minutes:g} min that were expected"
        )
        return f"{gone:.1f} min gone, {told}"


def run_recipe(
    record: Recipe,
    folder: Path,
    *,
    quick: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run a recipe end to end, and return its result, which is also in `folder/result.json`.

    Everything is made in `folder/unfinished`. At the end it is copied to `folder`, each file whole
    or not at all, the result last. Killed and called again, the run goes on where the recipe can; a
    run with another seed or other versions begins again. Torch computes on one thread meanwhile, so
    that the same seed gives the same numbers.
    Raises ModuleNotFoundError, which names the extra, where one is missing, and OSError where the
    folder cannot be written.
    """
    check_extras(record)
    earlier = _earlier(folder)
    key = {"recipe": record.name, "quick": quick, "seed": seed, "versions": versions()}
    work = folder / UNFINISHED
    minutes = record.quick_minutes if quick else record.minutes
    with _one_thread():
        resumed = _begin(work, key)
        run = Run(recipe=record.name, folder=work, quick=quick, seed=seed, say=say, minutes=minutes)
        record.run(run)
    files = [path.relative_to(work).as_posix() for path in sorted(work.rglob("*.shoe"))]
    result = {
        "format": FORMAT,
        "version": VERSION,
        "recipe": record.as_dict(),
        "quick": quick,
        "seed": seed,
        "rows": run.rows,
        "files": [_told(work, name) for name in files],
        "machine": machine(),
        "versions": key["versions"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(monotonic() - run.began, 1),
        "resumed": resumed,
    }
    _deliver(work, folder, files, result, earlier)
    return result


def check_extras(record: Recipe) -> None:
    """Raises ModuleNotFoundError, which names the extra, where a recipe's package is missing."""
    try:
        required = metadata.requires("shoestring") or []
    except metadata.PackageNotFoundError:  # run from its source: the import says what is missing
        return
    for extra in record.extras:
        for one in required:
            name = re.match(r"[\w.-]+", one)
            if name is None or not re.search(rf"extra == ['\"]{extra}['\"]", one):
                continue
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                raise ModuleNotFoundError(
                    f"the recipe {record.name} needs {name[0]}, which is not installed: it comes "
                    "with "
                    f"the extra `{extra}` ({install(extra)})",
                    name=name[0],
                ) from None


def few(task: Supervised, train: int, others: int) -> Supervised:
    """The task with its first `train` examples to train on, `others` to choose and to test on."""

    def first(part: Any, count: int) -> Any:
        return tuple(first(one, count) for one in part) if isinstance(part, tuple) else part[:count]

    return replace(
        task,
        train=first(task.train, train),
        validation=first(task.validation, others),
        test=first(task.test, others),
    )


def as_lines(rows: list[Row]) -> bytes:
    """The rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _begin(work: Path, key: dict[str, Any]) -> bool:
    """Make the unfinished folder ready, and say whether a run like this one goes on in it."""
    if work.is_dir() and any(work.iterdir()):
        try:
            told = json.loads((work / _KEY).read_text())
        except (OSError, ValueError):
            raise FileExistsError(
                f"{work} is not of a recipe's run: name another folder with --output, or delete it"
            ) from None
        if told == key:
            return True
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    save(work / _KEY, json.dumps(key).encode())
    return False


def _told(work: Path, name: str) -> dict[str, Any]:
    data = (work / name).read_bytes()
    return {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _earlier(folder: Path) -> list[Path]:
    """The files of an earlier result; raises FileExistsError where result.json is another's."""
    place = folder / RESULT
    if not place.exists():
        return []
    try:
        told = json.loads(place.read_text())
        paths = (
            [folder / one["path"] for one in told["files"]] if told["format"] == FORMAT else None
        )
    except (ValueError, KeyError, TypeError):
        paths = None
    if paths is None:
        raise FileExistsError(
            f"{place} is not a recipe's result: name another folder with --output"
        )
    return [path for path in paths if path.resolve().is_relative_to(folder.resolve())]


def _deliver(
    work: Path, folder: Path, files: list[str], result: dict[str, Any], earlier: list[Path]
) -> None:
    """Copy what was made to its place, each file whole, the result last.

    Files of an earlier result that were not made again are deleted.
    """
    place = folder / RESULT
    place.unlink(missing_ok=True)  # a result without its files would be worse than none
    for path in set(earlier) - {folder / name for name in files}:
        path.unlink(missing_ok=True)
    for name in (*files, ROWS, LEDGER):
        if (work / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            save(folder / name, (work / name).read_bytes())
    save(place, (json.dumps(result, indent=1) + "\n").encode())
    shutil.rmtree(work)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within, torch computes on one thread: sums come out the same every time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
