"""Study: what was tried, remembered once, among real processes that are really killed."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from study_workers import contents, hold, hold_lock, measure, start, wait_for
from tiers import repetitions

from shoestring.core import Cost
from shoestring.kit import Study, StudyHeld, StudyMismatch, Trial
from shoestring.kit.study import alone
from shoestring.kit.study import trial as study_trial
from shoestring.kit.study import worker as study_worker
from shoestring.kit.study.study import StudyError

KILLS = int(os.environ.get("SHOESTRING_KILLS", "0")) or repetitions(3, 30)
STORAGES = ["sqlite", "journal", "database"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and kill")


@pytest.fixture(params=STORAGES)
def storage(request, tmp_path) -> str | None:
    return storage_named(request.param, tmp_path)


def storage_named(name: str, folder: Path) -> str | None:
    if name != "sqlite":
        pytest.importorskip("optuna", reason="needs the extra `search`")
    return {
        "sqlite": None,
        "journal": f"journal:{folder / 'j' / 'study.log'}",
        "database": f"sqlite:///{folder}/db.sqlite",
    }[name]


def trial(number: int, **told) -> Trial:
    return Trial(**{"technique": f"T({number})", "score": number / 10, **told})


def add(study: Study, one: Trial, data: bytes | None = None) -> Trial:
    claim = study.claim(one.technique, one.seed, one.fidelity)
    assert claim is not None
    return claim.finish(one, data)


def lines(said: Path) -> list[str]:
    return said.read_text().splitlines() if said.exists() else []


# -- what is remembered


def test_a_trial_comes_back_as_it_was(tmp_path, storage):
    cost, noise = Cost(bytes=7, milliseconds=0.5, seconds=3.0), {"milliseconds": (0.4, 0.6)}
    with Study(tmp_path, "model", storage=storage) as study:
        done = add(
            study, trial(1, seed=3, cost=cost, noise=noise, error=0.01, note="é"), b"the file"
        )
        assert done.file == f"{done.sha256}.shoe" and done.noise == noise and done.cost == cost
        failed = add(study, trial(2, score=None, note="it failed"))
    with Study(tmp_path, "model", storage=storage) as again:
        assert again.trials() == [done, failed]
        assert again.find("T(1)", 3) == done and again.find("T(1)", 0) is None
        assert again.read(done) == b"the file" and again.holds(done) and not again.holds(failed)
        assert again.claim("T(1)", 3) is None and again.claim("T(2)") is None
        with pytest.raises(StudyError, match="no file was kept of T"):
            again.read(failed)
    with Study(tmp_path, "another", storage=storage) as other:
        assert other.trials() == [] and other.claim("T(1)", 3) is not None
    with Study(tmp_path, "model", storage=storage) as again:
        assert again.trials() == [done, failed]


def test_more_fidelity_is_another_trial_and_less_is_not(tmp_path, storage):
    with Study(tmp_path, "model", storage=storage) as study:
        half = add(study, trial(1, fidelity=0.5))
        assert study.claim("T(1)", 0, 0.25) is None
        whole = add(study, trial(1, fidelity=1.0, score=0.9))
        assert study.find("T(1)") == whole and study.find("T(1)", 0, 0.5) == half
        with pytest.raises(ValueError, match=r"fidelity is 1.5"):
            study.claim("T(2)", 0, 1.5)


def test_a_claim_excludes_others_until_it_is_given_back(tmp_path, storage):
    with (
        Study(tmp_path, "model", storage=storage) as one,
        Study(tmp_path, "model", storage=storage) as two,
    ):
        claim = one.claim("T(1)")
        assert claim is not None and claim.deaths == 0
        assert two.claim("T(1)") is None and one.claim("T(1)") is None and two.find("T(1)") is None
        with pytest.raises(KeyError), claim:
            raise KeyError("what went wrong")
        with two.claim("T(1)") as second:
            assert one.claim("T(1)") is None
            with pytest.raises(ValueError, match="the trial is of"):
                second.finish(trial(2))
            second.finish(trial(1))
            with pytest.raises(ValueError, match="has ended"):
                second.finish(trial(1))
        assert one.find("T(1)") == two.find("T(1)") is not None


def test_a_file_that_is_missing_or_altered_is_named(tmp_path):
    study = Study(tmp_path, "model")
    done = add(study, trial(1), b"the file")
    (tmp_path / done.file).write_bytes(b"another")
    with pytest.raises(StudyError, match=f"{done.file} of T.* was altered"):
        study.read(done)
    (tmp_path / done.file).unlink()
    with pytest.raises(StudyError, match=f"{done.file} of T.* is no longer"):
        study.read(done)


def test_sweeping_leaves_what_is_wanted_or_not_known(tmp_path, storage):
    with (
        Study(tmp_path, "model", storage=storage) as study,
        Study(tmp_path, "model", storage=storage) as worker,
    ):
        kept, gone = add(study, trial(1), b"kept"), add(study, trial(2), b"gone")
        shared = add(study, trial(3), b"shared")
        with Study(tmp_path, "another", storage=storage) as other:
            theirs = add(other, trial(1), b"shared")
            news = add(worker, trial(4), b"news")
            (tmp_path / "digits.shoe").write_bytes(b"no file of a study")
            folder = tmp_path
            if storage is not None and storage.startswith("journal:"):  # these lie beside it
                journal = Path(storage.removeprefix("journal:"))
                folder = journal.with_name(f"{journal.name}.files")
            orphans = [
                folder / f"{'0' * 64}.shoe",
                folder / ".shoe-old",
                folder / f"{'1' * 64}.shoe",
            ]
            for path in orphans:
                path.write_bytes(b"")
            for path in orphans[:2]:
                os.utime(path, (1e9, 1e9))
            in_folder = storage is None or storage.startswith("journal:")
            assert study.sweep([kept]) == (3 if in_folder else 2)
            assert study.holds(kept) and not study.holds(gone) and study.holds(news)
            assert study.holds(shared) == in_folder and other.read(theirs) == b"shared"
            assert [path.exists() for path in orphans] == (
                [False, False, True] if in_folder else [True] * 3
            )
        assert (tmp_path / "digits.shoe").exists() and len(study.trials()) == 4


def test_what_a_database_cannot_keep_is_told(tmp_path, monkeypatch):
    storage = storage_named("database", tmp_path)
    from shoestring.kit.study import database as study_database

    with Study(tmp_path, "model", storage=storage) as study:
        data = random.Random(0).randbytes(150_000)  # several pieces
        assert study.read(add(study, trial(1), data)) == data
        monkeypatch.setattr(study_database, "LARGEST_FILE", 1000)
        with (
            pytest.raises(StudyError, match=r"150,000 bytes.*at most 1,000"),
            study.claim("T(2)") as claim,
        ):
            claim.finish(trial(2), data)
        add(study, trial(2))  # it was given back


def test_a_study_knows_whether_the_storage_has_trials_of_other_models_alone(tmp_path, storage):
    with (
        Study(tmp_path, "one", storage=storage) as one,
        Study(tmp_path, "two", storage=storage) as two,
    ):
        assert not one.is_apart() and not two.is_apart()
        add(one, trial(1), b"a file")
        assert not one.is_apart() and two.is_apart()
        add(two, trial(1), b"another")
        assert not two.is_apart()


# -- several processes, and kills


def test_others_see_what_is_claimed_and_whose_trials_there_are(tmp_path, storage):
    with Study(tmp_path, "a", storage=storage) as one, Study(tmp_path, "b", storage=storage) as two:
        claim = one.claim("T(1)", 3, 0.5)
        assert claim is not None
        with Study(tmp_path, "a", storage=storage) as watching:
            assert watching.claimed() == [("T(1)", 3, 0.5)] and two.claimed() == []
            assert not watching.has_others()
            claim.give_back()
            assert watching.claimed() == []
            assert one.claim("T(1)", 3, 0.5).finish(Trial(technique="T(1)", seed=3, fidelity=0.5))  # type: ignore[union-attr]
            assert watching.claimed() == []
        assert two.has_others() and not one.has_others()


def together(folder: Path, storage: str | None, count: int) -> None:
    """Two processes make all trials: each is begun once and finished once."""
    processes = [start(measure, folder, storage, count, folder / f"said-{i}") for i in range(2)]
    for process in processes:
        process.join(900)
        assert process.exitcode == 0
    said = Counter(line for i in range(2) for line in lines(folder / f"said-{i}"))
    assert said == Counter(f"{word} {n}" for n in range(count) for word in ("begins", "finished"))
    with Study(folder, "model", storage=storage) as study:
        done = study.trials()
        assert Counter(one.technique for one in done) == Counter(f"T({n})" for n in range(count))
        assert all(
            study.read(one) == contents(int(one.technique[2:-1])) for one in done if one.file
        )


def test_tables_that_another_process_makes_meanwhile_are_of_no_other_program(tmp_path, monkeypatch):
    """What is read of a file is of one moment, though between two reads another process made its
    tables.
    """
    path, made = tmp_path / "study.sqlite", list[Study]()
    plain = sqlite3.Connection.execute

    class Slow(sqlite3.Connection):
        def execute(self, sql, *rest):
            if "sqlite_master" in sql and not made:
                made.append(None)  # type: ignore[arg-type]
                threading.Thread(target=other).start()
                time.sleep(0.3)
            return plain(self, sql, *rest)

    def other() -> None:
        with Study(tmp_path, "model"):
            pass

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **kwargs: connect(*args, **kwargs, factory=Slow)
    )
    with Study(tmp_path, "model") as study:
        assert study is not None and path.exists()


def test_two_processes_measure_each_once(tmp_path):
    together(tmp_path, None, repetitions(20, 200))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("journal", 40), ("database", 12)])
def test_two_processes_measure_each_once_elsewhere_too(tmp_path, name, count):
    together(tmp_path, storage_named(name, tmp_path), count)


@posix
def test_kills_at_random_moments_lose_nothing(tmp_path):
    chance, said, count = random.Random(5), tmp_path / "said", 100_000
    for kill in range(KILLS):
        processes = [start(measure, tmp_path, None, count, said) for _ in range(1 + kill % 2)]
        before = sum(line.startswith("finished") for line in lines(said))
        while sum(line.startswith("finished") for line in lines(said)) == before:
            assert any(process.is_alive() for process in processes)
            time.sleep(0.005)
        for process in processes:
            time.sleep(chance.uniform(0, 0.15))
            os.kill(process.pid, signal.SIGKILL)
        for process in processes:
            process.join(900)
            assert process.exitcode == -signal.SIGKILL
    study = Study(tmp_path, "model")
    done = {int(one.technique[2:-1]): one for one in study.trials()}
    finished: set[int] = set()
    for word, number in ((line.split()[0], int(line.split()[1])) for line in lines(said)):
        assert number not in finished, f"trial {number} was measured again after it was finished"
        finished |= {number} if word == "finished" else set()
    assert finished <= set(done) and len(finished) >= KILLS
    assert all(study.read(one) == contents(number) for number, one in done.items() if one.file)
    begun = {int(line.split()[1]) for line in lines(said)}
    for number in begun - set(done):  # all that the dead had in hand is free
        assert study.claim(f"T({number})", number % 3) is not None


@posix
@pytest.mark.parametrize("name", STORAGES)
def test_the_claim_of_a_dead_process_is_taken_over_at_once(tmp_path, name):
    storage = storage_named(name, tmp_path)
    holder = start(hold, tmp_path, storage, tmp_path / "said")
    wait_for(tmp_path / "said", holder)
    with Study(tmp_path, "model", storage=storage) as study:
        assert study.claim("T(0)") is None
        holder.kill()
        holder.join()
        claim = study.claim("T(0)")
        assert claim is not None and claim.deaths == 1
        claim.finish(trial(0))
        assert len(list((tmp_path / "workers").iterdir())) == 1  # of this process


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sqlite", "journal"])
def test_a_claim_from_another_machine_is_free_when_its_heart_stops(tmp_path, name, monkeypatch):
    storage = storage_named(name, tmp_path)
    monkeypatch.setattr(study_worker, "host", lambda: "far 1")
    far = Study(tmp_path, "model", storage=storage, patience=0.6)
    held = far.claim("T(1)")
    monkeypatch.setattr(study_worker, "host", lambda: "near 2")
    with Study(tmp_path, "model", storage=storage, patience=3.0) as near:
        until = (
            time.monotonic() + 4.0
        )  # it beats ten times a second: it lives, however long it takes
        while time.monotonic() < until:
            assert near.claim("T(1)") is None
            time.sleep(0.2)
        far._heart.stop()
        until, claim = time.monotonic() + 900, None
        while claim is None and time.monotonic() < until:
            claim = near.claim("T(1)")
            time.sleep(0.1)
        assert claim is not None and claim.deaths == 1
        first = held.finish(trial(1, score=0.3))  # it only slept: the first to finish counts
        assert (
            claim.finish(trial(1, score=0.4)) == first == near.find("T(1)")
            and len(near.trials()) == 1
        )
    far.close()


@pytest.mark.parametrize("name", STORAGES)
def test_other_versions_do_not_work_on_one_study(tmp_path, name, monkeypatch):
    storage = storage_named(name, tmp_path)
    with Study(tmp_path, "model", storage=storage) as two:
        with Study(tmp_path, "model", storage=storage) as one:
            monkeypatch.setattr(study_worker, "versions", lambda: {"torch": "1.0", "numpy": "3"})
            assert one.claim("T(1)") is not None
            monkeypatch.setattr(study_worker, "versions", lambda: {"torch": "2.0", "numpy": "4"})
            with pytest.raises(
                StudyMismatch, match=f"process {os.getpid()} .*torch 1.0 there and 2.0 here;"
            ):
                two.claim("T(2)")
        assert two.claim("T(2)") is not None  # the other has ended


@posix
def test_the_lock_says_who_has_it_and_is_free_after_a_kill(tmp_path):
    holder = start(hold_lock, tmp_path, tmp_path / "said")
    child = int(wait_for(tmp_path / "said", holder))
    study = Study(tmp_path, "model")
    try:
        with (
            pytest.raises(StudyHeld, match=rf"process {holder.pid} on .*, since 20.* works in "),
            alone(tmp_path),
        ):
            pass
        assert study.claim("T(1)") is not None  # workers join without it
        holder.kill()
        holder.join()
        os.kill(child, 0)  # what it forked lives on, without the lock
        with (
            alone(tmp_path),
            pytest.raises(StudyHeld, match=f"process {os.getpid()} "),
            alone(tmp_path),
        ):
            pass
        with alone(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


@posix
def test_a_forked_process_is_a_worker_of_its_own(tmp_path):
    study = Study(tmp_path, "model")
    claim = study.claim("T(1)")
    if not (child := os.fork()):
        with pytest.raises(StudyError, match="forked"):
            claim.finish(trial(1))
        ok = study.claim("T(1)") is None and study.claim("T(2)") is not None
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert study.claim("T(2)").deaths == 1
    claim.finish(trial(1))


# -- PostgreSQL, really started


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of a server of our own, in a temporary folder, on a socket there."""
    pytest.importorskip("optuna", reason="needs the extra `search`")
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("there is no PostgreSQL server here: apt-get install postgresql")
    folder, user = Path(tempfile.mkdtemp(prefix="shoe-pg-", dir="/tmp")), []
    if os.getuid() == 0:  # which PostgreSQL refuses
        name = next(
            (
                one
                for one in ("postgres", "nobody")
                if subprocess.run(["id", one], capture_output=True).returncode == 0
            ),
            None,
        )
        if name is None or shutil.which("runuser") is None:
            pytest.skip("there is no user to run PostgreSQL as")
        shutil.chown(folder, name)
        user = ["runuser", "-u", name, "--"]

    def run(tool: str, *arguments: str) -> None:
        command = [*user, str(found[-1].with_name(tool)), "-D", str(folder / "data"), *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()

    run("initdb", "-U", "shoestring", "-A", "trust", "-E", "UTF8", "--no-sync")
    run(
        "pg_ctl",
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-k {folder} -c listen_addresses= -c fsync=off",
        "start",
    )
    try:
        yield f"postgresql://shoestring:secret@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_two_processes_measure_each_once_in_postgresql(tmp_path, postgres):
    holder = start(hold, tmp_path, postgres, tmp_path / "said")
    wait_for(tmp_path / "said", holder)
    holder.kill()
    holder.join()
    together(tmp_path, postgres, 20)
    with Study(tmp_path / "another machine", "model", storage=postgres) as study:
        done = study.find("T(5)", 2)
        assert study.read(done) == contents(5) and not list(study.folder.glob("*.shoe"))
        assert (
            study.sweep([done]) == 3 and study.holds(done) and not study.holds(study.find("T(0)"))
        )
    with pytest.raises(
        StudyError, match=r"cannot use the database postgresql://shoestring:.*@"
    ) as told:
        Study(tmp_path, "model", storage=postgres + "-nowhere")
    assert "secret" not in str(told.value)


# -- what is broken


def test_a_file_that_is_no_study_is_refused(tmp_path):
    path = tmp_path / "study.sqlite"
    path.write_text("Dear diary, " * 500)
    with pytest.raises(StudyError, match="is not a study: it is a file of another kind"):
        Study(tmp_path, "model")
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("create table recipes (name text)")
    connection.close()
    with pytest.raises(StudyError, match="a database of another program"):
        Study(tmp_path, "model")


def test_a_study_of_a_newer_version_is_refused(tmp_path):
    Study(tmp_path, "model").close()
    connection = sqlite3.connect(tmp_path / "study.sqlite")
    connection.execute("pragma user_version = 9")
    connection.close()
    with pytest.raises(
        StudyError, match=r"made by a newer version .*its schema is 9, and this version reads 1"
    ):
        Study(tmp_path, "model")


def test_a_study_that_is_cut_short_is_refused(tmp_path):
    study = Study(tmp_path, "model")
    for number in range(30):
        add(study, trial(number, note="long " * 100))
    study.close()
    path = tmp_path / "study.sqlite"
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 4096, 4096, 1000, 99):
        path.write_bytes(whole[:size])
        with pytest.raises(StudyError, match=r"is damaged|is not a study"):
            Study(tmp_path, "model").trials()


def test_a_journal_that_is_no_journal_is_refused_and_half_a_line_mended(tmp_path):
    storage = storage_named("journal", tmp_path)
    path = Path(storage.removeprefix("journal:"))
    with Study(tmp_path, "model", storage=storage) as study:
        add(study, trial(1))
        with path.open("ab") as file:
            file.write(b'{"op_code": 4, "wor')  # what a power cut leaves
        add(study, trial(2))
    with Study(tmp_path, "model", storage=storage) as study:
        assert [one.technique for one in study.trials()] == ["T(1)", "T(2)"]
    path.write_text("Dear diary,\nit rained.\n")
    with pytest.raises(StudyError, match="is no journal of a study"):
        Study(tmp_path, "model", storage=storage)


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("study.db", "is not known"),
        ("journal:", "names no file"),
        ("nothing://x", "cannot use the database"),
    ],
)
def test_a_storage_that_is_none_is_refused(tmp_path, storage, said):
    if storage != "study.db":
        pytest.importorskip("optuna", reason="needs the extra `search`")
    with pytest.raises(StudyError, match=said):
        Study(tmp_path, "model", storage=storage)


def test_what_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    for name in [
        one
        for one in sys.modules
        if one in ("shoestring.kit.study.optuna_storage", "shoestring.kit.study.database")
    ]:
        monkeypatch.delitem(sys.modules, name)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "optuna", None)
        with pytest.raises(ModuleNotFoundError, match="extra `search`"):
            Study(tmp_path, "model", storage="journal:x")
    pytest.importorskip("optuna")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ModuleNotFoundError, match="extra `postgres`"):
        Study(tmp_path, "model", storage="postgresql://localhost/x")


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on a disk of 300 KB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.getuid() or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root: the same is simulated in another test")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("a small disk cannot be mounted here: the same is simulated in another test")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_keeps_what_was_finished(small_disk):
    study = Study(small_disk, "model")
    done: list[Trial] = []
    with pytest.raises(OSError, match=r"no room on the disk.*sweep") as told:
        for number in range(30):
            with study.claim(f"T({number})") as claim:
                done.append(claim.finish(trial(number), bytes([number]) * 40_000))
    assert told.value.errno == errno.ENOSPC and 2 < len(done) < 30
    (small_disk / "filler").write_bytes(b"")
    with (
        pytest.raises(OSError, match="No space"),
        (small_disk / "filler").open("wb", buffering=0) as file,
    ):
        while file.write(bytes(4096)):
            pass
    with pytest.raises(OSError, match=r"no room on the disk") as told:
        for number in range(100, 200):
            add(study, trial(number, note="long " * 1000))
    assert told.value.errno == errno.ENOSPC
    again = Study(small_disk, "model")
    assert [one for one in again.trials() if one.file] == done
    assert all(again.read(one) == bytes([number]) * 40_000 for number, one in enumerate(done))
    (small_disk / "filler").unlink()
    assert again.sweep(done[:1]) >= len(done) - 1
    add(study, trial(len(done)), b"it goes on")


def test_a_full_disk_simulated_keeps_what_was_finished(tmp_path, monkeypatch):
    """Simulated: the write of the file fails as on a full disk."""
    study = Study(tmp_path, "model")
    done = add(study, trial(1), b"kept")

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(study_trial, "save", full)
        with (
            pytest.raises(OSError, match=r"no room on the disk for a file of 4 bytes") as told,
            study.claim("T(2)") as claim,
        ):
            claim.finish(trial(2), b"lost")
    assert (
        told.value.errno == errno.ENOSPC
        and study.trials() == [done]
        and study.read(done) == b"kept"
    )
    add(study, trial(2), b"now")
