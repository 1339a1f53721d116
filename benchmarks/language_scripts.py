"""Give files for languages that are there already the scripts of their labels, and measure again.

    OMP_NUM_THREADS=1 python benchmarks/language_scripts.py NAME

NAME is a job of `language_identification.py`, such as udhr_100kb, whose files of all seeds are in
`results/unfinished`. Only the note of a file changes: its network stays byte for byte, and is not
trained again. Rows of scores, sizes and timings take the place of earlier ones.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from language_identification import JOBS, scored, timed
from rows import RESULTS, Rows

from shoestring.artifact import HashedText, load
from shoestring.artifact.chains.input_chain import input_chain_of
from shoestring.artifact.format import about, file
from shoestring.artifact.format.saving import save
from shoestring.recipes.language_identification import label_score, language_score, short
from shoestring.recipes.rows import conditions
from shoestring.tasks import LabelledTexts, excerpts, with_scripts


def main() -> None:
    name = sys.argv[1]
    job = JOBS[name]
    texts = {split: job.texts(split) for split in ("train", "validation", "test")}
    rows = Rows(
        benchmark="language_identification",
        setting="udhr-cpu",
        quick=False,
        as_json=False,
        only=f"scripts of {name}",
        conditions=conditions(),
    )
    rows.partial = rows.path.with_suffix(".scripts.partial")
    for seed in job.seeds:
        path = RESULTS / "unfinished" / f"{name}_seed{seed}.shoe"
        noted(path, texts["train"])
        validation = 100 * label_score(path, short(texts["validation"]))
        rows.add(name, "size", path.stat().st_size, "bytes", seed)
        rows.add(name, "validation score", validation, "%", seed)
        rows.add(name, "validation error", 100 - validation, "%", seed)
        loaded = load(path, threads=1)
        scored(rows, name, loaded, texts["test"], seed)
        timed(rows, name, loaded, texts["test"], seed)
        uncoded = path.with_suffix(".uncoded.shoe")
        if name == "udhr_100kb" and uncoded.exists():
            noted(uncoded, texts["train"])
            some = excerpts(texts["test"], 50)
            rows.add("uncoded", "size", uncoded.stat().st_size, "bytes", seed)
            score = 100 * language_score(uncoded, some)
            rows.add("uncoded", "test error", 100 - score, "%", seed)
            score = 100 * label_score(uncoded, short(texts["validation"]))
            rows.add("uncoded", "validation error", 100 - score, "%", seed)
    rows.publish()
    rows.partial.unlink()


def noted(path: Path, train: LabelledTexts) -> None:
    """Write the scripts of labels into the note of a file."""
    data = path.read_bytes()
    content = file.unpack(data)
    chain = input_chain_of(content.notes)
    assert chain is not None and isinstance(chain.steps[0], HashedText)
    assert chain.labels == tuple(sorted(set(train.labels)))
    step = with_scripts(chain.steps[0], train)
    notes = {**content.notes, **replace(chain, steps=(step,)).notes()}
    version = data[4]
    bodies = dict(file.sections(data))
    assert file.framed(bodies, version) == data
    bodies[file.NAMES] = memoryview(about.encode(content.names, notes, version))
    save(path, file.framed(bodies, version))


if __name__ == "__main__":
    main()
