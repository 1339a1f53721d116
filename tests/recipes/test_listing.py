"""Recipes are found by walking their folder, and their records are what their files and the results
say.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import shoestring.recipes
from shoestring.recipes import Line, Measure, Published, Recipe, Results, recipe, recipes
from shoestring.recipes.listing import Later, records

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import recipe_tables  # noqa: E402
from recipe_tables import columns, exchange, values  # noqa: E402

ALL = pytest.mark.parametrize("record", recipes().values(), ids=lambda record: record.name)
MINE = """
from shoestring.recipes import Recipe, Published

def end_to_end(run): pass

RECIPE = Recipe(
    name="mine", line="what it " "does", scarce="bytes", instead="time", data=("digits",),
    minutes=2, quick_minutes={quick}, page="mine.md", run=end_to_end,
    published=(Published("test error", 1.5, "%", "Somebody 2020", "all of it"),),
)
"""


def test_all_recipes_are_found():
    known = {
        "baseline",
        "channels_resnet",
        "deep_compression",
        "digits_lenet",
        "int8_resnet",
        "int8_transformer",
    }
    assert known | {"rate_cifar", "rate_lenet", "xnor_convnet"} <= set(recipes())


@ALL
def test_the_record_is_what_its_file_makes_of_it(record: Recipe):
    module = import_module(record.module)
    (made,) = (
        one for one in vars(module).values() if isinstance(one, Recipe) and one.name == record.name
    )
    assert isinstance(record.run, Later) and made.run is getattr(module, record.run.function)
    assert replace(made, run=record.run, module=record.module) == record
    function = getattr(shoestring.recipes, record.name)
    assert function is getattr(module, record.name) and function.__name__ == record.name
    assert record.line and "\n" not in record.line and 0 < record.quick_minutes <= record.minutes


@ALL
def test_the_page_has_the_recipe_s_table(record: Recipe):
    assert f"<!-- recipe-{record.name} -->\n" in (ROOT / "docs" / record.page).read_text()
    rows = (ROOT / "docs" / "exchange-rates.md").read_text().splitlines()
    assert sum(row.startswith(f"| [`{record.name}`]({record.page}) |") for row in rows) == 1


@ALL
def test_every_line_has_rows(record: Recipe):
    results = record.results
    assert results is not None and (ROOT / "benchmarks" / "results" / results.file).exists()
    for line in (*results.before, *results.ours, *results.baselines, *results.peers):
        for number, measure in enumerate(results.measures()[: len(line.metrics) or 2]):
            assert any(
                values(results, measure, line, number, processor)
                for processor in columns(results, measure)
            ), f"{line.title}: no rows of {measure.title}"


def test_a_record_is_read_without_running_its_file(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text("import no_such_package\n" + MINE.format(quick=0.5))
    (found,) = records(file, "mine")
    assert (found.line, found.quick_minutes, found.module) == ("what it does", 0.5, "mine")
    assert found.run == Later("mine", "end_to_end")
    assert found.as_dict()["published"][0]["source"] == "Somebody 2020"


def test_a_record_that_computes(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(MINE.format(quick="30 / 60"))
    with pytest.raises(
        ValueError, match=r"mine.py:8: a recipe's record is read without running its file"
    ):
        records(file, "mine")


def test_names_that_are_none():
    with pytest.raises(ValueError, match="no recipe 'rate_lenett': did you mean rate_lenet"):
        recipe("rate_lenett")
    with pytest.raises(ValueError, match="there are audited, baseline, "):
        recipe("zzz")
    with pytest.raises(AttributeError, match="no attribute 'rate_lenett'"):
        _ = shoestring.recipes.rate_lenett
    assert "rate_lenet" in dir(shoestring.recipes)


def test_the_list_needs_no_torch():
    without = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['shoestring', *sys.argv[1:]]; from "
        "shoestring.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, "recipes"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "rate_lenet " in done.stdout, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", without, "recipe", "xnor_convnet"], capture_output=True, text=True
    )
    assert (
        done.returncode == 1
        and "the extra `train`" in done.stderr
        and not Path("xnor_convnet").exists()
    )
    asked = "import sys; sys.modules['torch'] = None; from shoestring.recipes import xnor_convnet"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    assert "the recipe xnor_convnet trains: " in done.stderr and "the extra `train`" in done.stderr


def test_the_columns_of_a_table():
    saved, price = (
        Measure("bytes", "size", "bytes", ",.0f"),
        Measure("minutes", "time", "minutes", ".1f"),
    )
    results = Results(
        file="none.jsonl", before=(Line("a", "a"),), ours=(Line("b", "b"),), lost=None, price=price
    )
    assert results.measures() == (saved, price)
    assert values(results, saved, results.ours[0]) == []
    assert vars(Published("m", 1, "u", "s", "c")) == {
        "metric": "m",
        "value": 1,
        "unit": "u",
        "source": "s",
        "conditions": "c",
    }


@pytest.mark.parametrize(
    ("size", "error", "cheaper", "has_rate"),
    [
        (10, 2, True, False),
        (9, 1, True, False),
        (10, 2, False, True),
        (10, 3, True, True),
        (11, 1, True, True),
    ],
)
def test_no_rate_where_a_cheaper_baseline_is_as_good(
    size: int, error: int, cheaper: bool, has_rate: bool, monkeypatch: pytest.MonkeyPatch
):
    seen = {"before": (100, 2), "ours": (10, 2), "plain": (size, error)}
    rows = [
        {"subject": subject, "metric": metric, "value": value}
        for subject, pair in seen.items()
        for metric, value in zip(("size", "test error"), pair, strict=True)
    ]
    monkeypatch.setattr(recipe_tables, "_rows", lambda file: rows)
    results = Results(
        file="none.jsonl",
        before=(Line("before", "before"),),
        ours=(Line("ours", "ours"),),
        baselines=(Line("plain", "plain", cheaper=cheaper),),
    )
    rate = "**10×** less: ours, bytes 100 → 10"
    none = f"**nothing**: a cheaper way is no worse: plain, bytes {size}, test error {error}.00 %"
    assert exchange(results)[0] == (rate if has_rate else none)
