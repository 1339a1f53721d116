"""Lines of progress are printed, and logged; none twice."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO

import pytest

from shoestring.artifact.progress import LOG, listening, progress, tell
from shoestring.kit import progress as progress_of


@pytest.fixture(autouse=True)
def all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["shoestring.artifact.progress"]
    monkeypatch.setattr(module, "QUIET_SECONDS", -1.0)
    monkeypatch.setattr(module, "LINE_SECONDS", -1.0)


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """What the logger writes at INFO, with a handler that is no console."""
    text = StringIO()
    handler, level = logging.StreamHandler(text), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    yield text
    LOG.removeHandler(handler)
    LOG.setLevel(level)


def run() -> None:
    with progress("training", 2) as advance:
        advance("loss 1.0")
        advance("")


LINES = ["training: 1 of 2, loss 1.0, 0 s left", "training: 2 of 2, 0 s left"]


def test_lines_are_printed_and_not_logged_by_default(capsys: pytest.CaptureFixture):
    run()
    assert capsys.readouterr().err.splitlines() == LINES
    assert (
        any(isinstance(one, logging.NullHandler) for one in LOG.handlers)
        and LOG.name == "shoestring"
    )


def test_lines_are_printed_and_logged_to_a_file(capsys: pytest.CaptureFixture, logged: StringIO):
    run()
    assert capsys.readouterr().err.splitlines() == logged.getvalue().splitlines() == LINES


def test_what_the_logger_writes_to_the_console_is_not_printed_besides(
    capsys: pytest.CaptureFixture, logged: StringIO
):
    handler = logging.StreamHandler(sys.stderr)
    LOG.addHandler(handler)
    try:
        run()
        assert capsys.readouterr().err.splitlines() == logged.getvalue().splitlines() == LINES
        handler.setLevel(logging.ERROR)
        run()
        assert capsys.readouterr().err.splitlines() == LINES, (
            "printed, where the console has errors alone"
        )
    finally:
        LOG.removeHandler(handler)


def test_a_console_of_the_root_logger_counts_too():
    code = (
        "import logging, sys; logging.basicConfig(level=logging.INFO, format='%(name)s "
        "%(message)s')\n"
        "import shoestring.artifact.progress as module\n"
        "module.QUIET_SECONDS = module.LINE_SECONDS = -1.0\n"
        "with module.progress('packing', 1) as advance: advance('')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr.splitlines() == ["shoestring packing: 1 of 1, 0 s left"]


def test_the_bar_of_a_terminal_is_logged_as_lines(
    monkeypatch: pytest.MonkeyPatch, logged: StringIO
):
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    run()
    assert logged.getvalue().splitlines() == LINES and "training: 1 of 2" not in screen.getvalue()


def test_a_listener_hears_steps_and_nothing_is_logged(
    capsys: pytest.CaptureFixture, logged: StringIO
):
    heard: list[tuple[str, int, int, str]] = []
    with listening(lambda *step: heard.append(step)):
        run()
    assert heard == [("training", 1, 2, "loss 1.0"), ("training", 2, 2, "")]
    assert capsys.readouterr().err == logged.getvalue() == "" and progress_of is progress


def test_what_was_done_is_told_once_and_no_listener_gets_it(
    logged: StringIO, capsys: pytest.CaptureFixture[str]
):
    tell("replaced 2 layers")
    steps: list[str] = []
    with listening(lambda what, done, total, note: steps.append(what)):
        tell("replaced 3 layers")
    assert logged.getvalue() == capsys.readouterr().err == "replaced 2 layers\n"
    assert not steps
    handler = logging.StreamHandler()  # standard error
    LOG.addHandler(handler)
    try:
        tell("replaced 4 layers")
    finally:
        LOG.removeHandler(handler)
    assert capsys.readouterr().err == "replaced 4 layers\n"
