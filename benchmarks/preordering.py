"""Putting English words into head-final order: our files, no reordering, and a parser.

    OMP_NUM_THREADS=1 python benchmarks/preordering.py

Trains the network with three seeds, scores each file on the test sentences of English-EWT once, and
times it from text to text, in seconds of the processor, on one core. PREORDER_PEER=PYTHON names the
Python of an environment that has ufal.udpipe: its parser is then trained on the same sentences, and
the rules are applied to its trees; without it the parser is not run. Goes on where it was
interrupted. --quick: 3,000 sentences, one seed.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import torch
from rows import FILES, RESULTS, Rows, start
from text_tools import fastest

from shoestring.artifact import Entries, load, read_model, save
from shoestring.kit import Supervised
from shoestring.meters import Operations
from shoestring.recipes.preordering import (
    SIZE,
    PreorderSettings,
    in_head_final_order,
    preorder_scores,
    preorderer,
)
from shoestring.tasks import Reordered, Sentence, head_final, order_scores, treebank
from shoestring.tasks.preordering import nearest

SEEDS = (0, 1, 2)
_EXAMPLE = 16  # words of the sentence on which operations are counted: the mean of EWT
PEER = Path(__file__).parent / "peers" / "text_trees.py"


def main() -> None:
    rows = start("preordering", "ewt-cpu", __doc__ or "", seeds=True)
    torch.set_num_threads(1)
    data = {
        split: in_head_final_order(treebank("en", split))
        for split in ("train", "validation", "test")
    }
    if rows.wanted("no reordering") and not rows.done("no reordering", None):
        baselines(rows, data["test"])
    for seed in SEEDS[:1] if rows.quick else SEEDS:
        if (
            rows.wanted("en_preorder")
            and not rows.done("en_preorder", seed)
            and rows.seed in (None, seed)
        ):
            ours(rows, data, seed)
    if rows.wanted("parser") and not rows.done("parser", None) and not rows.quick:
        parser(rows, data["test"])
    if not rows.quick:
        keep_median(rows)
    if rows.only is None and rows.seed is None:
        rows.close()


def ours(rows: Rows, data: dict[str, list[Reordered]], seed: int) -> None:
    """Train a network, score its file and time it."""
    name, settings = "en_preorder", PreorderSettings()
    if rows.quick:
        settings = replace(settings, passes=1, coding_passes=1)
        data = data | {"train": data["train"][:3000]}
    folder = RESULTS / "unfinished"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_seed{seed}{'.quick' if rows.quick else ''}.shoe"
    began = process_time()
    made = preorderer(data, path, size=SIZE, settings=settings, seed=seed)
    rows.add(name, "training", (process_time() - began) / 60, "minutes of a core", seed)
    rows.add(name, "size", made.bytes, "bytes", seed)
    rows.add(name, "parameters, 4 bytes each", made.before, "bytes", seed)
    rows.add(name, "validation pairs", 100 * made.validation, "%", seed)
    rows.add(name, "validation pairs before coding", 100 * made.trained, "%", seed)
    told(rows, name, preorder_scores(path, data["test"]), seed)
    rows.add(name, "operations", multiply_adds(path, data["test"]), "multiply-adds/word", seed)
    texts = [" ".join(one.words) for one in data["test"]]
    words = sum(len(one.words) for one in data["test"])
    act = partial(load(path, threads=1).answers, texts, spaces=True)
    rows.add(name, "speed", words / fastest(act), "words/s", seed, timed=True)
    rows.add(name, "done", 1, "", seed)


def keep_median(rows: Rows) -> None:
    """Of the files that this machine has, keep the one that is median on validation."""
    pairs = {
        row["seed"]: row["value"]
        for row in rows.rows
        if row["subject"] == "en_preorder" and row["metric"] == "validation pairs"
    }
    files = {seed: RESULTS / "unfinished" / f"en_preorder_seed{seed}.shoe" for seed in pairs}
    there = sorted((seed for seed in pairs if files[seed].exists()), key=lambda seed: pairs[seed])
    if there:
        save(FILES / "en_preorder.shoe", files[there[len(there) // 2]].read_bytes())


def told(rows: Rows, subject: str, scores: dict[str, float], seed: int | None = None) -> None:
    """The rows of an order's scores on test sentences."""
    rows.add(subject, "test Kendall's tau", scores["tau"], "", seed)
    rows.add(subject, "test fuzzy reordering score", scores["fuzzy"], "", seed)
    rows.add(subject, "test exact", 100 * scores["exact"], "%", seed)
    rows.add(subject, "test error", 50 * (1 - scores["tau"]), "%", seed)


def multiply_adds(path: Path, sentences: list[Reordered]) -> float:
    """Of the file's graph, for a word; choosing the cuts adds and compares, and is not in it."""
    content = read_model(path)
    assert not isinstance(content, Entries)
    words = [word for one in sentences for word in one.words][:_EXAMPLE]
    chain = load(path, threads=1).input_chain
    assert chain is not None
    ids = torch.from_numpy(chain([" ".join(words)]))
    split = (ids, torch.zeros(len(ids), dtype=torch.int64))
    task = Supervised(train=split, validation=split, test=split, axes={1: "T"})
    operations = Operations()(path, task).operations
    assert operations is not None
    return operations / 2 / ids.shape[1]


def baselines(rows: Rows, test: list[Reordered]) -> None:
    """The words as they are, and brackets that are cut greedily with the right order known."""
    wanted = [one.order for one in test]
    told(rows, "no reordering", order_scores(wanted, [range(len(one)) for one in wanted]))
    told(rows, "best that brackets reach", order_scores(wanted, [nearest(one) for one in test]))
    rows.add("no reordering", "size", 0, "bytes")
    rows.add("no reordering", "done", 1, "")


def parser(rows: Rows, test: list[Reordered]) -> None:
    """The rules on the trees of a parser that is trained on the same sentences."""
    python = os.environ.get("PREORDER_PEER")
    if not python:
        print("parser: not run: PREORDER_PEER names no Python")
        return
    splits = {split: treebank("en", split) for split in ("train", "test")}
    asked = {
        split: [[one.words, one.tags, one.heads, one.relations] for one in sentences]
        for split, sentences in splits.items()
    }
    tagger = load(FILES / "en_tag.shoe", threads=1)
    texts = [" ".join(one.words) for one in splits["test"]]
    began = process_time()
    tags = [[tag for _, tag in one] for one in tagger.answers(texts, spaces=True)]
    tagging = process_time() - began
    asked["tags"] = tags
    model = RESULTS / "unfinished" / "parser.udpipe"
    done = subprocess.run(
        [python, PEER, model], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"parser: failed: {done.stderr[-300:]}")
        return
    answer = json.loads(done.stdout)
    found = [
        head_final(Sentence(words=one.words, tags=one.tags, heads=tuple(heads), relations=tuple(r)))
        for one, (heads, r) in zip(splits["test"], answer["trees"], strict=True)
    ]
    told(rows, "parser", order_scores([one.order for one in test], found))
    right = [
        one == other
        for sentence, (heads, _) in zip(splits["test"], answer["trees"], strict=True)
        for one, other in zip(sentence.heads, heads, strict=True)
    ]
    rows.add("parser", "heads right", 100 * float(np.mean(right)), "%")
    rows.add("parser", "size", answer["bytes"], "bytes")
    rows.add("parser", "training", answer["training"] / 60, "minutes of a core")
    words = sum(len(one.words) for one in test)
    rows.add("parser", "speed", words / (answer["seconds"] + tagging), "words/s", timed=True)
    rows.add("parser", "done", 1, "")


if __name__ == "__main__":
    main()
