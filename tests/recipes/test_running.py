"""Running a recipe: what is left in its folder, whole or not at all, and what is said where it
cannot run.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path

import pytest
import torch
from made_recipe import made_of

from shoestring.recipes import Recipe, running
from shoestring.recipes.rows import Row
from shoestring.recipes.running import Run, few, run_recipe
from shoestring.tasks import digits


def one_file(run: Run) -> None:
    """A file whose bytes tell the seed, in a folder of its own, and rows of it."""
    (run.folder / "net").mkdir(exist_ok=True)
    path = run.folder / "net" / f"small{run.seed}.shoe"
    path.write_bytes(bytes([run.seed] * 3))
    run.scores("net", 3, 0.75, 0.5)
    run.row("net", "time", 1.25, "ms", seeded=False, timed=True)


def test_what_a_run_leaves(tmp_path: Path):
    said: list[str] = []
    result = run_recipe(made_of(one_file), tmp_path / "out", quick=True, seed=2, say=said.append)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == [
        "net",
        "result.json",
        "rows.jsonl",
        "small2.shoe",
    ]
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == result
    told = {one["path"]: one for one in result["files"]}
    assert told["net/small2.shoe"] == {
        "path": "net/small2.shoe",
        "bytes": 3,
        "sha256": hashlib.sha256(bytes([2, 2, 2])).hexdigest(),
    }
    assert [(row["metric"], row["value"], row["seed"]) for row in result["rows"]] == [
        ("size", 3, 2),
        ("validation error", 25, 2),
        ("test error", 50, 2),
        ("time", 1.25, None),
    ]
    assert [
        json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()
    ] == result["rows"]
    assert all(
        set(row) | {"processor"} == set(Row.__annotations__) and row["benchmark"] == "small"
        for row in result["rows"]
    )
    assert [row["metric"] for row in result["rows"] if "processor" in row] == ["time"]
    assert "quick: smaller than the real one" in result["rows"][0]["conditions"]
    assert (result["quick"], result["seed"], result["resumed"], result["recipe"]["scarce"]) == (
        True,
        2,
        False,
        "bytes",
    )
    assert {"format", "version", "machine", "versions", "finished", "seconds"} <= set(result)
    assert any("min gone" in text for text in said)


def test_the_result_s_keys_are_those_that_the_docs_tell(tmp_path: Path):
    result = run_recipe(made_of(one_file), tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    for key in (*result, *result["recipe"], *result["files"][0], *result["rows"][0]):
        assert f"`{key}`" in page, f"docs/recipes.md does not tell what {key} is"


def test_a_run_that_is_killed_leaves_nothing_half_written_and_goes_on(tmp_path: Path):
    begun: list[bool] = []

    def killed(run: Run) -> None:
        begun.append((run.folder / "kept").exists())
        (run.folder / "kept").touch()
        one_file(run)
        if len(begun) in (1, 3):
            raise KeyboardInterrupt

    for _ in range(2):
        if not begun:
            with pytest.raises(KeyboardInterrupt):
                run_recipe(made_of(killed), tmp_path, seed=1)
            assert [path.name for path in tmp_path.iterdir()] == ["unfinished"]
        else:
            assert run_recipe(made_of(killed), tmp_path, seed=1)["resumed"]
    assert begun == [False, True] and (tmp_path / "net" / "small1.shoe").exists()
    first = (tmp_path / "result.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):  # another run, killed: the result that was there stays
        run_recipe(made_of(killed), tmp_path, seed=3)
    assert (tmp_path / "result.json").read_bytes() == first
    other = run_recipe(made_of(killed), tmp_path, seed=4)  # nothing of seed 3 is taken for its own
    assert not other["resumed"] and begun[-1] is False
    assert [one["path"] for one in other["files"]] == ["net/small4.shoe"]
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["small4.shoe"]


def test_folders_of_others_are_left_alone(tmp_path: Path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="is not of a recipe's run"):
        run_recipe(made_of(one_file), tmp_path)
    assert (tmp_path / "unfinished" / "mine.txt").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "result.json").write_text('{"format": "another"}')
    with pytest.raises(FileExistsError, match="is not a recipe's result"):
        run_recipe(made_of(one_file), tmp_path / "b")


@pytest.mark.parametrize("name", ["rows.jsonl", "shoestring.ledger", "mine.shoe"])
def test_files_that_no_recipe_made_are_not_replaced(tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name} is there, and no result.json"):
        run_recipe(made_of(one_file), tmp_path)
    assert (tmp_path / name).read_text() == "mine" and not (tmp_path / "unfinished").exists()


def test_a_kill_while_files_are_delivered_does_not_end_the_run(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(running.shutil, "rmtree", lambda path: None)  # unfinished is left there
    run_recipe(made_of(one_file), tmp_path)
    (tmp_path / "result.json").unlink()
    monkeypatch.undo()
    assert run_recipe(made_of(one_file), tmp_path)["resumed"]
    assert (tmp_path / "result.json").exists() and not (tmp_path / "unfinished").exists()


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch):
    required = ["no-such-thing>=1; extra == 'fast'", "numpy>=1; extra == 'train'"]
    monkeypatch.setattr(metadata, "requires", lambda name: required)
    with pytest.raises(
        ModuleNotFoundError, match=r"the recipe small needs no-such-thing, .* the extra `fast`"
    ):
        run_recipe(
            Recipe(**{**vars(made_of(one_file)), "extras": ("train", "fast")}), tmp_path / "a"
        )
    assert not (tmp_path / "a").exists()


def test_torch_computes_on_one_thread_meanwhile(tmp_path: Path):
    before, seen = torch.get_num_threads(), []
    run_recipe(made_of(lambda run: seen.append(torch.get_num_threads())), tmp_path)
    assert seen == [1] and torch.get_num_threads() == before


def test_few():
    task = few(digits(), 30, 20)
    assert [len(part[1]) for part in (task.train, task.validation, task.test)] == [30, 20, 20]
