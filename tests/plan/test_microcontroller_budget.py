"""Budgets on flash and RAM: kept by a search, and refused where nothing can be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from shoestring.core import BudgetError, Cost
from shoestring.meters import Flash, Ram
from shoestring.plan import compress
from shoestring.plan.verdict import judge

emulated = pytest.mark.skipif(Ram().why_not() is not None, reason=str(Ram().why_not()))


@pytest.fixture(scope="module")
def found(model, task, tmp_path_factory):
    path = tmp_path_factory.mktemp("flash") / "out.shoe"
    return compress(model, task, "flash<=5KB, ram<=2KB, drop<=20%", path, minutes=2.0)


@emulated
def test_a_search_keeps_limits_on_flash_and_ram(found, task) -> None:
    assert found.met
    before, after = found.trials[0].cost, found.trial.cost
    assert before.flash_bytes > 5000 >= after.flash_bytes and after.ram_bytes <= 2000
    again = Flash()(found.file, task.sealed()) | Ram()(found.file, task.sealed())
    assert (again.flash_bytes, again.ram_bytes) == (after.flash_bytes, after.ram_bytes)


@emulated
def test_readings_of_another_target_are_measured_anew(found, model, task) -> None:
    other = compress(
        model,
        task,
        "flash<=50KB, drop<=20%",
        found.file,
        minutes=2.0,
        meters=[Flash(target="cortex-m0plus")],
    )
    known = {trial.technique: trial.cost.flash_bytes for trial in found.trials}
    both = [trial for trial in other.trials if trial.technique in known]
    assert both and all(trial.cost.flash_bytes > known[trial.technique] for trial in both)


@emulated
def test_bytes_are_aimed_at_what_flash_leaves_for_weights(found) -> None:
    costs = [trial.cost for trial in found.trials if trial.cost.flash_bytes is not None]
    code = min(cost.flash_bytes - cost.bytes for cost in costs)
    assert 500 < code < 4000
    verdict = judge(found.budget, found.trials[0], found.trials[0].score)
    assert "flash" in verdict.broken


@dataclass(frozen=True)
class Nothing:
    """A meter that measures nothing, though it could."""

    measures: ClassVar[str] = "flash_bytes"

    def why_not(self) -> str | None:
        return None

    def __call__(self, subject, task) -> Cost:
        return Cost()


def test_what_was_not_measured_of_the_original_is_refused_by_name(model, task, tmp_path) -> None:
    with pytest.raises(BudgetError, match="flash, and it was not measured of the model that came"):
        compress(model, task, "flash<=5KB", tmp_path / "out.shoe", meters=[Nothing()])


def test_a_missing_compiler_is_refused_at_once(model, task, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BudgetError, match=r"limits flash, .*gcc-arm-none-eabi.*Leave flash out"):
        compress(model, task, "flash<=5KB", tmp_path / "out.shoe")
