"""The commands of recipes as a user has them."""

from __future__ import annotations

import json
from pathlib import Path

from shoestring.artifact import load
from shoestring.recipes import recipe, recipes
from shoestring.recipes.running import run_recipe


def test_the_list(shoestring):
    status, out, _ = shoestring("recipes")
    assert status == 0
    for record in recipes().values():
        assert any(
            line.startswith(f"{record.name} ") and line.endswith(record.line)
            for line in out.splitlines()
        )
    status, out, _ = shoestring("recipes", "--json")
    assert status == 0 and [one["name"] for one in json.loads(out)] == list(recipes())


def test_a_recipe_end_to_end_and_again(shoestring, tmp_path: Path):
    status, out, err = shoestring("recipe", "digits_lenet", "--quick", "--seed", 1)
    assert status == 0, err
    assert "about 0.2 min" in out.splitlines()[0] and "min gone" in out and "quick run" in out
    folder = tmp_path / "digits_lenet-quick"
    result = json.loads((folder / "result.json").read_text())
    assert (result["seed"], result["quick"]) == (1, True)
    for one in result["files"]:
        assert (folder / one["path"]).stat().st_size == one["bytes"]
        load(folder / one["path"])
    sizes = {row["subject"]: row["value"] for row in result["rows"] if row["metric"] == "size"}
    assert sizes["uncompressed"] > 20 * sizes["pruned and shared"]
    again = run_recipe(recipe("digits_lenet"), tmp_path / "again", quick=True, seed=1)
    assert (again["rows"], again["files"]) == (result["rows"], result["files"])


def test_what_cannot_be_run(shoestring, tmp_path: Path):
    status, _, err = shoestring("recipe", "digits_lenett")
    assert status == 1 and "did you mean digits_lenet?" in err.replace(" or ", "? ")
    (tmp_path / "there").touch()
    status, _, err = shoestring("recipe", "digits_lenet", "--output", "there")
    assert status == 1 and "there is a file: name a folder" in err
    assert shoestring("recipe", "digits_lenet", "--seed", -1)[0] == 2
