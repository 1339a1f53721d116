"""The results file of a recipe, three seeds: `python benchmarks/recipe.py digits_lenet`.

For recipes whose record names a results file of their own name; the others have benchmarks of their
own, with peers and latencies. Goes on where it was interrupted; `--only 1` runs that seed alone.
Leaves the `.shoe` files of each seed in results/unfinished/NAME.SEED. --quick: the recipe's quick
run, one seed.
"""

from __future__ import annotations

import argparse
from time import process_time

from rows import RESULTS, Rows

from shoestring.recipes import recipe
from shoestring.recipes.rows import conditions
from shoestring.recipes.running import run_recipe

SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the recipe")
    parser.add_argument(
        "--quick", action="store_true", help="the recipe's quick run, one seed; said so in its rows"
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON lines on standard output")
    parser.add_argument("--only", help="only this seed")
    chosen = parser.parse_args()
    record = recipe(chosen.name)
    benchmark, _, rest = (record.results.file if record.results else "").partition(".")
    if benchmark != record.name:
        parser.error(f"the results of {record.name} are made by python benchmarks/{benchmark}.py")
    rows = Rows(
        benchmark, rest.removesuffix(".jsonl"), chosen.quick, chosen.json, chosen.only, conditions()
    )
    for seed in SEEDS[:1] if chosen.quick else SEEDS:
        if rows.done("recipe", seed) or not rows.wanted(str(seed)):
            continue
        began = process_time()
        folder = RESULTS / "unfinished" / f"{record.name}.{seed}{'.quick' if chosen.quick else ''}"
        for row in run_recipe(record, folder, quick=chosen.quick, seed=seed)["rows"]:
            told = row["subject"], row["metric"], row["value"], row["unit"], row["seed"]
            rows.add(*told, timed="processor" in row)
        rows.add("recipe", "time", (process_time() - began) / 60, "minutes of a core", seed)
        rows.add("recipe", "done", 1, "", seed)
    rows.close()


if __name__ == "__main__":
    main()
