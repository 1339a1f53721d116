"""Timings say their processor, stand in a column of their own, and are not replaced by another
processor's.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import rows as benchmark_rows
from rows import Rows, metrics, on, processors

from shoestring.recipes.rows import processor

AMD, INTEL = "AMD EPYC, AVX-512", "Intel Xeon, AMX"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", AMD),
        ("model name\t: AMD EPYC 9654 96-Core Processor\nflags\t: avx2 avx512f avx512_vnni", AMD),
        (
            "model name : Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n"
            "flags : avx2 avx_vnni avx512_vnni amx_bf16 amx_tile amx_int8",
            INTEL,
        ),
        (
            "model name : Intel(R) Core(TM) i5-1240P\nflags : avx2 avx_vnni",
            "Intel Core, AVX2 with VNNI",
        ),
        ("model name : AMD EPYC 7763\nflags : sse4_2 avx2", "AMD EPYC, AVX2"),
        ("model name : Old One\nflags : sse2", "Old One"),
        (
            "model name : Neoverse-N1\nFeatures : fp asimd asimddp",
            "Neoverse-N1, NEON with dot products",
        ),
    ],
)
def test_a_processor_is_its_family_and_what_it_has_for_integers(cpuinfo, name):
    assert processor(cpuinfo) == name


def test_a_processor_has_a_name_where_nothing_is_known_of_it():
    assert processor("") and processor()


def measured(monkeypatch, where, milliseconds, size):
    """A run of a benchmark on a processor."""
    monkeypatch.setattr(benchmark_rows, "processor", lambda: where)
    run = Rows("kernels", "made-up-cpu", False, False, None, f"{where}, 2 cores")
    run.add("one", "file", size, "bytes", 0)
    run.add("one", "time", milliseconds, "ms", 0, timed=True)
    run.add("one", "done", 1, "", 0)
    assert run.close()
    return [json.loads(line) for line in run.path.read_text().splitlines()]


def test_measuring_on_another_processor_adds_rows_and_replaces_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark_rows, "RESULTS", tmp_path)
    first = measured(monkeypatch, AMD, 3.0, 100)
    assert [row.get("processor") for row in first] == [None, AMD]
    both = measured(monkeypatch, INTEL, 2.0, 101)
    assert processors(both) == [AMD, INTEL]
    again = measured(monkeypatch, AMD, 4.0, 102)
    assert {row["processor"]: row["value"] for row in again if "processor" in row} == {
        AMD: 4.0,
        INTEL: 2.0,
    }
    # What is no timing is that of the last run, once.
    assert [row["value"] for row in again if row["metric"] == "file"] == [102]
    assert metrics(on(INTEL, again), "one") == {"file": 102, "time": 2.0}
    assert metrics(on(AMD, again), "one") == {"file": 102, "time": 4.0}
    capsys.readouterr()


def test_what_has_rows_is_not_run_again_where_rows_are_added(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark_rows, "RESULTS", tmp_path)
    measured(monkeypatch, INTEL, 2.0, 100)
    measured(monkeypatch, AMD, 3.0, 100)
    run = Rows("kernels", "made-up-cpu", False, False, None, "conditions", adding=True)
    assert run.done("one", 0) and not run.done("two", 0)
    assert run.has("one", "time") and not run.has("one", "speed")
    run.add("two", "time", 5.0, "ms", 0, timed=True)
    assert run.close()
    rows = benchmark_rows.read(run.path)
    assert metrics(on(AMD, rows), "one") == {"file": 100, "time": 3.0}
    assert metrics(on(INTEL, rows), "one") == {"file": 100, "time": 2.0}
    assert metrics(on(AMD, rows), "two") == {"time": 5.0} and not metrics(on(INTEL, rows), "two")
    assert not any(row["metric"] == "done" for row in rows)
    capsys.readouterr()


def test_a_search_against_the_clock_has_its_processor_in_every_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark_rows, "RESULTS", tmp_path)
    monkeypatch.setattr(benchmark_rows, "processor", lambda: INTEL)
    run = Rows("search", "made-up-cpu", False, False, None, "conditions", appending=True)
    run.add("one", "file", 100, "bytes", 0)
    assert json.loads(run.path.read_text())["processor"] == INTEL
    capsys.readouterr()


def other(rows):
    """The rows as another processor would have them: each time doubled."""
    return [
        {**row, "processor": INTEL, "value": 2 * row["value"]} for row in rows if "processor" in row
    ]


@pytest.mark.parametrize(
    ("module", "function", "benchmark", "columns"),
    [
        ("quantised_table", "quantised", "quantised", 2),
        ("quantised_table", "short", "quantised", 4),
        ("xnor_table", "kernels", "xnor", 5),
        ("xnor_table", "latency", "xnor", 2),
        ("structure_table", "structure", "structure", 2),
        ("convert_table", "converted", "convert", 2),
        ("sensitivity_table", "sensitivity", "sensitivity", 1),
        ("lossless_table", "lossless", "lossless", 2),
        ("tables", "coding", "coding", 5),
        ("browser_table", "browser", "browser", 6),
    ],
)
def test_every_table_of_speeds_has_columns_for_each_processor(
    monkeypatch, module, function, benchmark, columns
):
    loaded = __import__(module)
    found = benchmark_rows.results(benchmark)
    monkeypatch.setattr(loaded, "results", lambda name: found)
    one = getattr(loaded, function)()
    monkeypatch.setattr(loaded, "results", lambda name: found + other(found))
    two = getattr(loaded, function)()
    heads = [line for line in one.splitlines() if f"({AMD})" in line and line.startswith("|")]
    wide = [line for line in two.splitlines() if f"({INTEL})" in line and line.startswith("|")]
    assert heads and len(heads) == len(wide)
    for before, after in zip(heads, wide, strict=True):
        assert before.count(f"({AMD})") == after.count(f"({AMD})") == columns
        assert after.count(f"({INTEL})") == columns
    # The first processor's figures are still there, and every row has as many cells as its head.
    cells = 0
    for line in two.splitlines():
        if not line.startswith("|"):
            cells = 0
        elif not cells:
            cells = line.count(" |")
        else:
            assert line.count(" |") == cells, line


def test_the_recipes_tables_have_a_column_for_each_processor(monkeypatch):
    import recipe_tables

    from shoestring.recipes import recipe

    record = recipe("int8_resnet")
    found = benchmark_rows.results("quantised")
    monkeypatch.setattr(recipe_tables, "_rows", lambda file: found + other(found))
    table = recipe_tables.section(record).splitlines()
    head = next(line for line in table if line.startswith("| | |"))
    assert f"time at batch 1 ({AMD}) | time at batch 1 ({INTEL})" in head
    ours = next(line for line in table if line.startswith("| ours |"))
    assert "| 0.33 | 0.66 |" in ours
    assert {line.count(" |") for line in table if line.startswith("|")} == {head.count(" |")}
    saved, *_ = recipe_tables.exchange(record.results)
    assert f"on {AMD}; **" in saved and saved.endswith(f"on {INTEL}")


def test_what_a_search_finds_is_told_for_each_processor(monkeypatch):
    import planner_table

    found = planner_table._found()
    assert processors(found) == [AMD]
    there = [{**row, "processor": INTEL} for row in found]
    monkeypatch.setattr(planner_table, "_found", lambda: found + there)
    text = planner_table.planner()
    first, second = text.split(f"Timed and searched on **{INTEL}**:")
    assert first.startswith(f"Timed and searched on **{AMD}**:")
    assert first.removeprefix(f"Timed and searched on **{AMD}**:").strip() == second.strip()


def test_rows_of_an_unfinished_run_are_published_and_the_run_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark_rows, "RESULTS", tmp_path)
    measured(monkeypatch, AMD, 3.0, 100)
    run = Rows("kernels", "made-up-cpu", False, False, "two", "again")
    run.add("two", "file", 50, "bytes", 0)
    run.add("one", "file", 90, "bytes", 0)
    run.add("two", "done", 1, "", 0)
    run.publish()
    rows = [json.loads(line) for line in run.path.read_text().splitlines()]
    assert [(r["subject"], r["metric"], r["value"]) for r in rows] == [
        ("one", "time", 3.0),
        ("two", "file", 50),
        ("one", "file", 90),
    ]
    assert Rows("kernels", "made-up-cpu", False, False, "two", "again").done("two", 0)


def test_a_recipe_names_what_is_published_on_other_data():
    import recipe_tables

    from shoestring.recipes import recipe

    table = recipe_tables.section(recipe("preorderer"))
    assert "| published | Botha et al. 2017, other data; figures not compared here |" in table
    assert "| published | none published |" in recipe_tables.section(recipe("byte_model"))


def test_the_error_of_a_paired_difference_by_hand():
    """Three sentences of three words: one word more, none, one fewer. Equal answers: no error."""
    from text_costs import paired_error, right_words

    from shoestring.tasks import Sentence

    sentences = [Sentence(words=("a", "b", "c"), tags=("X", "Y", "Z"))] * 3
    ours = right_words([["X", "Y", "Z"], ["X", "Y", "-"], ["-", "-", "Z"]], sentences)
    other = right_words([["X", "-", "Z"], ["-", "Y", "Z"], ["X", "-", "Z"]], sentences)
    assert ours.tolist() == [3, 2, 1] and other.tolist() == [2, 2, 2]
    assert paired_error(ours, other, 9) == pytest.approx(2**0.5 / 9)
    assert paired_error(ours, ours, 9) == 0
