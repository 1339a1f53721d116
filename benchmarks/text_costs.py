"""What a tagger costs that reads a window, and one that is recurrent, and one that attends.

    OMP_NUM_THREADS=1 python benchmarks/text_costs.py

The claim is that of Botha et al. 2017: a feed-forward tagger at no less accuracy than a recurrent
one, with 15 times less compute and 10 times less memory. All networks here read the same hashed
pieces of words, learn from the same sentences (English-EWT, no other text) for about the same
minutes of a core, and are then coded to the same size by `Rate`, for about the same minutes. Each
is measured as trained (float32, losslessly coded) and coded. All tag the same words, so a network
is compared with the window by paired differences, a sentence each; `--only beside` makes these rows
from the files that there are. Goes on where it was interrupted; --quick: one pass over 1,000
sentences, one seed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from time import process_time

import numpy as np
import torch
from rows import FILES, RESULTS, Rows, start
from text_costs_networks import AttentionTagger, RecurrentTagger, padded, tagged
from text_tools import fastest
from torch import Tensor, nn

from shoestring.artifact import HashedWords, Loaded, load
from shoestring.core import Task, score, seeded
from shoestring.kit import AdamW, Supervised, Training, resuming, save, train
from shoestring.meters import Memory, Operations
from shoestring.models import WindowTagger
from shoestring.quantize import Rate, Toward
from shoestring.tasks import Sentence, ewt_vocabulary, tagging, treebank
from shoestring.tasks.ewt import TAGS

STEP = HashedWords(rules=1)
SIZE, AROUND = 150_000, 4_000  # bytes: of a coded file, and of what is in it beside weights
EXAMPLE = 16  # words of the sentence on which operations and memory are counted: the mean of EWT
Data = dict[str, list[Sentence]]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network: how it is made, and its passes over the data, which take about equal minutes.

    `alone`: whether it reads whole sentences, each padded; else all texts in one stream.
    """

    make: Callable[[int], nn.Module]
    passes: int
    coding_passes: int
    learning_rate: float
    alone: bool = True


NETWORKS = {
    "window": Network(
        make=lambda labels: WindowTagger(STEP.ids, STEP.kinds, labels, unseen=0.1),
        passes=12,
        coding_passes=6,
        learning_rate=4e-3,
        alone=False,
    ),
    "bilstm64": Network(
        make=lambda labels: RecurrentTagger(STEP, labels, 64),
        passes=9,
        coding_passes=4,
        learning_rate=4e-3,
    ),
    "bilstm128": Network(
        make=lambda labels: RecurrentTagger(STEP, labels, 128),
        passes=6,
        coding_passes=3,
        learning_rate=4e-3,
    ),
    "transformer": Network(
        make=lambda labels: AttentionTagger(STEP, labels, 128, 2),
        passes=5,
        coding_passes=2,
        learning_rate=1e-3,
    ),
}


def main() -> None:
    rows = start("text_costs", "ewt-cpu", __doc__ or "", seeds=True)
    torch.set_num_threads(1)
    data = {split: treebank("en", split) for split in ("train", "validation", "test")}
    if rows.quick:
        data = {split: sentences[:1000] for split, sentences in data.items()}
    for seed in (0,) if rows.quick else (0, 1, 2):
        for name, network in NETWORKS.items():
            if rows.wanted(name) and not rows.done(name, seed) and rows.seed in (None, seed):
                measured(rows, name, network, data, seed)
        for name in tuple(NETWORKS)[1:]:
            subject = f"{name} beside the window"
            if rows.wanted(subject) and not rows.done(subject, seed) and rows.seed in (None, seed):
                beside(rows, subject, name, data, seed)
    if rows.wanted("vocabulary") and not rows.done("vocabulary", None):
        with_vocabulary(rows, data)
    if rows.only is None and rows.seed is None:
        rows.close()


def measured(rows: Rows, name: str, network: Network, data: Data, seed: int) -> None:
    """Train a network, code it, and measure both files."""
    labels = labels_of(data)
    if rows.quick:
        network = replace(network, passes=1, coding_passes=1)
    task: Supervised = (
        padded(data, STEP, labels)
        if network.alone
        else tagging(data["train"], data["validation"], data["test"], step=STEP)
    )
    steps = sum(1 for _ in task.batches("train"))
    path, coded = files_of(rows, name, seed).values()
    path.parent.mkdir(exist_ok=True)
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        model = network.make(len(labels))
        began = process_time()
        optimizer = AdamW(network.learning_rate, weight_decay=0.0)
        train(model, task.sealed(), Training(network.passes * steps, optimizer), what=name)
        trained = process_time()
        slower = AdamW(network.learning_rate / 2, weight_decay=0.0)
        training = Training(network.coding_passes * steps, slower)
        rated = Rate(price=Toward(SIZE - AROUND), training=training)(model, task.sealed())
        ended = process_time()
    rows.add(name, "training", (trained - began) / 60, "minutes of a core", seed)
    rows.add(name, "passes", network.passes, "", seed)
    rows.add(name, "coding", (ended - trained) / 60, "minutes of a core", seed)
    for kind, one, file in (("trained", model, path), ("coded", rated, coded)):
        save(one, task.sealed(), file, smallest=kind == "coded")
        rows.add(name, f"{kind}: validation", 100 * score(task.sealed(), one), "%", seed)
        costs(rows, name, kind, file, example(data), seed)
        loaded = load(file, threads=1)
        act = answering(network, loaded, labels, data)
        rows.add(name, f"{kind}: test", 100 * share_right(act(), data["test"]), "%", seed)
        words = sum(len(one.words) for one in data["test"])
        rows.add(name, f"{kind}: speed", words / fastest(act), "words/s", seed, timed=True)
    rows.add(name, "parameters", sum(p.numel() for p in model.parameters()), "", seed)
    rows.add(name, "done", 1, "", seed)


def labels_of(data: Data) -> tuple[str, ...]:
    """The tags of the training sentences, which a network's outputs stand for."""
    return tuple(sorted({tag for one in data["train"] for tag in one.tags}))


def files_of(rows: Rows, name: str, seed: int) -> dict[str, Path]:
    """Where the files of a network are, as trained and coded."""
    file = f"costs_{name}_seed{seed}{'.quick' if rows.quick else ''}.shoe"
    folder = RESULTS / "unfinished"
    return {"trained": folder / file, "coded": folder / f"coded_{file}"}


def answering(
    network: Network, loaded: Loaded, labels: tuple[str, ...], data: Data
) -> Callable[[], list[list[str]]]:
    """What tags the test sentences with a file of a network."""
    tag = tagged if network.alone else _streamed
    return partial(tag, loaded, STEP, labels, texts_of(data["test"]))


def beside(rows: Rows, subject: str, name: str, data: Data, seed: int) -> None:
    """The window's share of right words less another network's, and the error of that difference.

    The same form of file is compared: float32 with float32, and coded with coded. Says which files
    are not there.
    """
    files = {one: files_of(rows, one, seed) for one in ("window", name)}
    missing = [path.name for one in files.values() for path in one.values() if not path.exists()]
    if missing:
        print(f"{subject}, seed {seed}: not run: there is no {', '.join(missing)}")
        return
    words = sum(len(one.words) for one in data["test"])
    for kind in ("trained", "coded"):
        window, other = (
            right_words(
                answering(NETWORKS[one], load(path[kind], threads=1), labels_of(data), data)(),
                data["test"],
            )
            for one, path in files.items()
        )
        error = paired_error(window, other, words)
        points = 100 * float((window - other).sum()) / words
        rows.add(subject, f"{kind}: more words right", points, "%", seed)
        rows.add(subject, f"{kind}: paired standard error", 100 * error, "%", seed)
    rows.add(subject, "done", 1, "", seed)


def right_words(found: list[list[str]], sentences: list[Sentence]) -> np.ndarray:
    """How many words of each sentence have their tag."""
    return np.array(
        [
            sum(tag == wanted for tag, wanted in zip(tags, one.tags, strict=True))
            for tags, one in zip(found, sentences, strict=True)
        ]
    )


def paired_error(right: np.ndarray, other: np.ndarray, words: int) -> float:
    """The standard error of the difference of two shares of right words, which tag the same words.

    `right`, `other`: right words of each sentence, N. A sentence is a cluster: its words are not
    drawn one by one.
    """
    more = (right - other).astype(np.float64)
    return float(np.sqrt(((more - more.mean()) ** 2).sum()) / words)


def costs(
    rows: Rows, name: str, kind: str, file: Path, task: Task, seed: int | None = None
) -> None:
    """Bytes of a file, multiply-adds of a word and memory."""
    rows.add(name, f"{kind}: size", file.stat().st_size, "bytes", seed)
    operations = Operations()(file, task).operations
    assert operations is not None
    rows.add(name, f"{kind}: operations", operations / 2 / EXAMPLE, "multiply-adds/word", seed)
    memory = Memory()(file, task).memory_bytes
    if memory is not None:
        rows.add(name, f"{kind}: memory", memory, "bytes", seed, timed=True)


def example(data: Data) -> Supervised:
    """A task of one sentence of 16 words, for what the meters count."""
    words = [word for one in data["validation"] for word in one.words][:EXAMPLE]
    return _one((torch.from_numpy(STEP.of_sentences([words])),))


def _one(inputs: tuple[Tensor, ...]) -> Supervised:
    split = (inputs, torch.zeros(1, EXAMPLE, dtype=torch.int64))
    return Supervised(train=split, validation=split, test=split, axes={1: "T"})


def texts_of(sentences: list[Sentence]) -> list[str]:
    return [" ".join(one.words) for one in sentences]


def share_right(found: list[list[str]], sentences: list[Sentence]) -> float:
    """The share of words with their tag."""
    told, wanted = chain.from_iterable(found), chain.from_iterable(one.tags for one in sentences)
    return float(np.mean([one == other for one, other in zip(told, wanted, strict=True)]))


def _streamed(loaded: Loaded, step: HashedWords, labels: tuple[str, ...], texts: list[str]):
    words = [text.split() for text in texts]
    found = step.of_words_given(words, labels, lambda ids: np.asarray(loaded(ids)))
    return [[tag for _, tag in one] for one in found]


def with_vocabulary(rows: Rows, data: Data) -> None:
    """The trained BiLSTM of this house, which knows words and endings by a vocabulary."""
    file, vocabulary = FILES / "baseline_tagger.shoe", ewt_vocabulary()
    listed = json.dumps([vocabulary.words, vocabulary.endings])
    rows.add("vocabulary", "vocabulary", len(zlib.compress(listed.encode(), 9)), "bytes")
    words = [word for one in data["validation"] for word in one.words][:EXAMPLE]
    costs(rows, "vocabulary", "trained", file, _one(vocabulary.ids([words])))
    loaded, texts = load(file, threads=1), texts_of(data["test"])

    def act() -> list[list[str]]:
        sentences = [text.split() for text in texts]
        order = sorted(range(len(sentences)), key=lambda at: len(sentences[at]))
        found: list[list[str]] = [[]] * len(sentences)
        for at in range(0, len(order), 32):
            some = order[at : at + 32]
            ids = vocabulary.ids([sentences[one] for one in some])
            best = np.asarray(loaded(*(one.numpy() for one in ids))).argmax(-1).tolist()
            for one, row in zip(some, best, strict=True):
                found[one] = [TAGS[tag] for tag in row[: len(sentences[one])]]
        return found

    rows.add("vocabulary", "trained: test", 100 * share_right(act(), data["test"]), "%")
    count = sum(map(len, (text.split() for text in texts)))
    rows.add("vocabulary", "test words", count, "")
    rows.add("vocabulary", "trained: speed", count / fastest(act), "words/s", timed=True)
    rows.add("vocabulary", "done", 1, "")


if __name__ == "__main__":
    main()
