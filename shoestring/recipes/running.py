"""Running a recipe end to end: its rows, files and result are delivered to a folder."""

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
from shoestring.kit.study import alone
from shoestring.recipes.record import Recipe
from shoestring.recipes.rows import Row, conditions, processor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoestring.kit import Supervised

FORMAT, VERSION = "shoestring recipe result", 1
"""Of result.json, which docs/recipes.md describes."""
RESULT, ROWS, LEDGER, UNFINISHED = "result.json", "rows.jsonl", "shoestring.ledger", "unfinished"
_KEY = "run.json"  # identifies the run of an unfinished folder


@dataclass(frozen=True, kw_only=True)
class SmallerFile:
    """A file of a network with fewer operations than that which a recipe began with.

    `bytes`: its size.
    `operations`: for one image.
    `validation`, `test`: its scores, 0 to 1.
    """

    bytes: int
    operations: float
    validation: float
    test: float


@dataclass(kw_only=True)
class Run:
    """One run of a recipe: its settings, and the rows that it writes.

    `recipe`: its name.
    `folder`: where its files go; those that end in `.shoe` are part of the result.
    `quick`: whether the run is smaller, of about a minute.
    `seed`: for everything random.
    `minutes`: the time that the record expects.
    `say`: called with lines of progress.
    `rows`: what was measured so far.
    `ledger`: an attribute, for `apply` and `prove`.
    """

    recipe: str
    folder: Path
    quick: bool
    seed: int
    minutes: float
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = monotonic()
        self.ledger = Ledger(self.folder / LEDGER, once=True)
        self._conditions = conditions(quick=self.quick)

    def row(
        self,
        subject: str,
        metric: str,
        value: float,
        unit: str,
        *,
        seeded: bool = True,
        timed: bool = False,
    ) -> None:
        """Add one number to the rows and to their file.

        `seeded`: whether the seed decides it.
        `timed`: whether it is a timing: its row says the processor.
        """
        row = Row(
            benchmark=self.recipe,
            subject=subject,
            metric=metric,
            value=value,
            unit=unit,
            seed=self.seed if seeded else None,
            conditions=self._conditions,
        )
        if timed:
            row["processor"] = processor()
        self.rows.append(row)
        save(self.folder / ROWS, as_lines(self.rows))
        number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        self.say(f"{subject:32} {metric:24} {number:>12} {unit}")

    def scores(self, subject: str, size: int, validation: float, test: float) -> None:
        """Add the rows of a file: its bytes, and its errors in percent; then say the time left.

        `size`: in bytes.
        `validation`, `test`: scores, 0 to 1.
        """
        self.row(subject, "size", size, "bytes")
        self.row(subject, "validation error", 100 * (1 - validation), "%")
        self.row(subject, "test error", 100 * (1 - test), "%")
        self.say(f"  {self.time_left()}")

    def time_left(self) -> str:
        """The minutes that are gone, and those left by the time that the record expects."""
        gone = (monotonic() - self.began) / 60
        left = self.minutes - gone
        rest = (
            f"about {left:.1f} min left"
            if left > 0
            else f"longer than the {self.minutes:g} min that were expected"
        )
        return f"{gone:.1f} min gone, {rest}"


def run_recipe(
    record: Recipe,
    folder: Path,
    *,
    quick: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run a recipe end to end, and return its result, which is also in `folder/result.json`.

    Everything is made in `folder/unfinished`. At the end it is copied to `folder`, the result last,
    each file completely or not at all. After a kill, the same call goes on where the recipe can; a
    run with another seed or other versions begins again. No row of the ledger is written twice.
    Torch runs on one thread, so that the same seed gives the same numbers.

    `quick`: a smaller run.
    `seed`: for everything random.
    `say`: called with lines of progress.

    Raises ModuleNotFoundError, which names the extra, where a package is missing, StudyHeld where
    another process runs a recipe in the folder, and OSError where it cannot be written.
    """
    check_extras(record)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, "name another folder with --output"):
        return _run(record, folder, quick, seed, say)


def _run(
    record: Recipe, folder: Path, quick: bool, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a recipe, as `run_recipe` does, in a folder in which no other process runs one."""
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
        "files": [_description(work, name) for name in files],
        "machine": machine(),
        "versions": key["versions"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(monotonic() - run.began, 1),
        "resumed": resumed,
    }
    _deliver(work, folder, files, result, earlier)
    return result


def check_extras(record: Recipe) -> None:
    """Raise ModuleNotFoundError, which names the extra, where a recipe lacks a package."""
    try:
        required = metadata.requires("shoestring") or []
    except metadata.PackageNotFoundError:  # not installed: the import says what is missing
        return
    for extra in record.extras:
        for requirement in required:
            name = re.match(r"[\w.-]+", requirement)
            if name is None or not re.search(rf"extra == ['\"]{extra}['\"]", requirement):
                continue
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                raise ModuleNotFoundError(
                    f"the recipe {record.name} needs {name[0]}, which is not installed: it comes "
                    f"with the extra `{extra}` ({install(extra)})",
                    name=name[0],
                ) from None


def few(task: Supervised, train: int, others: int) -> Supervised:
    """The task with its first examples alone.

    `train`: of the training split.
    `others`: of the validation split and of the test split.
    """

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
    """Prepare the unfinished folder; returns whether the same run goes on in it."""
    if work.is_dir() and any(work.iterdir()):
        try:
            earlier = json.loads((work / _KEY).read_text())
        except (OSError, ValueError):
            raise FileExistsError(
                f"{work} is not of a recipe's run: name another folder with --output, or delete it"
            ) from None
        if earlier == key:
            return True
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    save(work / _KEY, json.dumps(key).encode())
    return False


def _description(work: Path, name: str) -> dict[str, Any]:
    """A file in a result: its path, bytes and digest."""
    data = (work / name).read_bytes()
    return {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _earlier(folder: Path) -> list[Path]:
    """The files of an earlier result in a folder.

    Raises FileExistsError for a result.json that is not a recipe's, and for files that a recipe
    would replace where there is no result.json.
    """
    path = folder / RESULT
    if not path.exists():
        if (folder / UNFINISHED / _KEY).exists():  # a kill while files were delivered
            return []
        others = [folder / name for name in (ROWS, LEDGER)] + sorted(folder.glob("*.shoe"))
        if there := [one for one in others if one.exists()]:
            raise FileExistsError(
                f"{there[0]} is there, and no {RESULT} says that a recipe made it: name another "
                "folder with --output"
            )
        return []
    try:
        result = json.loads(path.read_text())
        is_ours = result["format"] == FORMAT
        paths = [folder / file["path"] for file in result["files"]] if is_ours else None
    except (ValueError, KeyError, TypeError):
        paths = None
    if paths is None:
        raise FileExistsError(f"{path} is not a recipe's result: name another folder with --output")
    return [path for path in paths if path.resolve().is_relative_to(folder.resolve())]


def _deliver(
    work: Path, folder: Path, files: list[str], result: dict[str, Any], earlier: list[Path]
) -> None:
    """Copy the files from the unfinished folder, the result last.

    Files of an earlier result that were not made again are deleted.
    """
    target = folder / RESULT
    target.unlink(missing_ok=True)  # so that there is never a result without its files
    for path in set(earlier) - {folder / name for name in files}:
        path.unlink(missing_ok=True)
    for name in (*files, ROWS, LEDGER):
        if (work / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            save(folder / name, (work / name).read_bytes())
    save(target, (json.dumps(result, indent=1) + "\n").encode())
    shutil.rmtree(work)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch run on one thread within the context, so that sums are reproducible."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
