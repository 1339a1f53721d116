"""Optuna databases for a study: their URLs, their errors, and the files of trials in them."""

from __future__ import annotations

import base64
import contextlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep, time
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shoestring.artifact.errors import install
from shoestring.kit.study.trial import Files, StudyError, explained_when_full

LARGEST_FILE = 64_000_000
"""The size of the largest file that a database stores, in bytes."""
_TRIES = 10
_CHUNK = 48_000  # bytes in an attribute; in base64 they fit into MySQL's shortest text column


def with_driver(url: str) -> str:
    """The URL with the driver of the extra `postgres`.

    Raises ModuleNotFoundError where that driver is not installed.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        return url
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError(
            "psycopg is not installed: a study in PostgreSQL comes with the extra `postgres` "
            f"({install('search', 'postgres')})",
            name="psycopg",
        ) from None
    return f"postgresql+psycopg://{rest}"


def connected(url: str) -> RDBStorage:
    """Optuna's storage in a database.

    Where two processes create its tables at one time, the later one fails, and finds the tables
    when it tries again.
    """
    for left in reversed(range(_TRIES)):
        try:
            # with pre-ping, a restart of the server does not end a long search
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        except SQLAlchemyError as error:
            if not left or not (
                isinstance(error, IntegrityError) or "already exists" in str(error)
            ):
                raise
            sleep(random.uniform(0.1, 0.5))
    raise AssertionError("the last try returns or raises")


def shown_url(url: str) -> str:
    """The URL without its password."""
    from sqlalchemy.engine import make_url

    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        raise StudyError(
            "the storage is neither journal:PATH nor the URL of a database, as in "
            "postgresql://user@host/database"
        ) from None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn errors of a storage into StudyError, which says what failed, without the password."""
    try:
        with explained_when_full(what):
            yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, ImportError) as error:
        if isinstance(error, ModuleNotFoundError) and "extra" in str(error):
            raise
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise StudyError(
            f"cannot use {what}: {reason}; what was finished is kept there: see to it and run again"
        ) from error


class DatabaseFiles(Files):
    """Files in a database.

    Each file is an Optuna study of its own, with the file in pieces as its attributes, so that it
    is read only on demand and can be deleted.
    """

    def __init__(self, storage: BaseStorage, name: str, what: str) -> None:
        self._storage, self._what = storage, what
        self._prefix = f"{name} file "

    def write(self, name: str, data: bytes) -> None:
        if len(data) > LARGEST_FILE:
            raise StudyError(
                f"the file has {len(data):,} bytes, and {self._what} keeps files of at most "
                f"{LARGEST_FILE:,}: finish the trial without its file, or use a journal in a "
                "shared folder"
            )
        with explained(self._what):
            sampler = optuna.samplers.RandomSampler()
            kept = optuna.create_study(
                storage=self._storage,
                study_name=self._prefix + name,
                load_if_exists=True,
                sampler=sampler,
            )
            kept.set_user_attr("written", time())
            pieces = range(0, len(data), _CHUNK)
            for number, start in enumerate(pieces):
                kept.set_user_attr(
                    f"piece {number}", base64.b64encode(data[start : start + _CHUNK]).decode()
                )
            kept.set_user_attr("pieces", len(pieces))  # last: without it there is no file

    def _attributes(self, name: str) -> dict[str, Any]:
        with explained(self._what):
            try:
                number = self._storage.get_study_id_from_name(self._prefix + name)
                return self._storage.get_study_user_attrs(number)
            except KeyError:
                return {}

    def read(self, name: str) -> bytes | None:
        kept = self._attributes(name)
        if "pieces" not in kept:
            return None
        return b"".join(
            base64.b64decode(kept[f"piece {number}"]) for number in range(kept["pieces"])
        )

    def holds(self, name: str) -> bool:
        with explained(self._what):
            return self._prefix + name in optuna.get_all_study_names(self._storage)

    def written(self) -> dict[str, float]:
        with explained(self._what):
            names = [
                one
                for one in optuna.get_all_study_names(self._storage)
                if one.startswith(self._prefix)
            ]
        return {
            one.removeprefix(self._prefix): self._attributes(one.removeprefix(self._prefix)).get(
                "written", 0.0
            )
            for one in names
        }

    def remove(self, name: str) -> None:
        with explained(self._what), contextlib.suppress(KeyError):  # another process deleted it
            optuna.delete_study(study_name=self._prefix + name, storage=self._storage)
