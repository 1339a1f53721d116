"""Two tiers of tests: `pytest` runs the default tier, `pytest --all` everything.

A test leaves the default tier by `@pytest.mark.slow`. A test of many cases keeps some of them by
`@pytest.mark.by_default("mlp", "lstm-*")`, patterns of the names that pytest gives to the cases.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tiers

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from real_browser import Visit


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all",
        action="store_true",
        dest="everything",
        help="run the slow tests and cases too, and every repetition of the others",
    )


def pytest_configure(config: pytest.Config) -> None:
    tiers.EVERYTHING = config.getoption("everything")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves what is slow out, unless `--all`, a marker expression or the name of a test asks for
    it.
    """
    named = any("::" in argument for argument in config.args)
    if not named:
        check_patterns(items)
    for item in items:
        if not by_default(item):
            item.add_marker(pytest.mark.slow)
    if tiers.EVERYTHING or config.option.markexpr or named:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def case(item: pytest.Item) -> str | None:
    """The name of the case, as it stands in brackets; None of a test without cases."""
    spec = getattr(item, "callspec", None)
    return None if spec is None else spec.id


def by_default(item: pytest.Item) -> bool:
    """Whether the mark `by_default` keeps this case."""
    mark, name = item.get_closest_marker("by_default"), case(item)
    return mark is None or name is None or any(fnmatchcase(name, pattern) for pattern in mark.args)


def check_patterns(items: list[pytest.Item]) -> None:
    """Raises UsageError for a mark `by_default` with a pattern that no case has, or that keeps all
    cases.
    """
    known: dict[str, tuple[tuple[str, ...], list[str]]] = {}
    for item in items:
        mark, name = item.get_closest_marker("by_default"), case(item)
        if mark is not None and name is not None:
            known.setdefault(item.nodeid.partition("[")[0], (mark.args, []))[1].append(name)
    for test, (patterns, names) in known.items():
        kept = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
        if not kept or len(kept) == len(names):
            raise pytest.UsageError(
                f"{test}: by_default{patterns} keeps {len(kept)} of the {len(names)} cases "
                f"({', '.join(names)}): name some of them, or leave the mark out"
            )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not tiers.EVERYTHING and not config.option.markexpr:
        terminalreporter.write_line("The default tier: --all runs the slow tests too.")


@pytest.fixture
def shoestring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Calls the program in an empty folder: (exit status, standard output, standard error)."""
    from shoestring import cli

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["shoestring", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        code = stop.value.code or 0
        assert isinstance(code, int)
        return code, printed.out, printed.err

    return call


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real Chromium without a window, one for each process; skips where there is none."""
    import real_browser

    with real_browser.started() as found:
        yield found


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens pages in contexts of their own: `visit(viewport=..., color_scheme=...)`."""
    import real_browser

    with ExitStack() as stack:

        def new(**options: Any) -> Visit:
            return stack.enter_context(real_browser.visiting(chromium, **options))

        yield new
