"""Tagging words and cutting texts into words: our files, baselines and other tools.

    OMP_NUM_THREADS=1 python benchmarks/text_tools.py

Trains the networks (three seeds; `--only en_tag` makes one of them), scores their files on the test
sentences once, and times them from text to answers, in seconds of the processor, on one core. Goes
on where it was interrupted. TEXT_PEERS=PYTHON names the Python of an environment that has jieba,
fugashi with unidic-lite, sudachipy and spaCy, and TEXT_TRAINED=PYTHON that of one with ufal.udpipe
and spacy_pkuseg; without them these are not run. SPACY_STEPS is the most steps of spaCy's training,
where its own 20,000 are too many. --quick: one pass, one seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from rows import RESULTS, Rows, start

from shoestring.artifact import HashedWords, load
from shoestring.artifact.chains.tokens import words_of
from shoestring.kit.corpora.conllu import NO_TAG
from shoestring.recipes.text_tools import (
    PLAIN_TAGGER,
    SEGMENTER,
    SMALL_TAGGER,
    TAGGER,
    TAUGHT_PLAIN_TAGGER,
    TAUGHT_SEGMENTER,
    TextSettings,
    english_clusters,
    segment_score,
    segmenter,
    tag_score,
    tagger,
)
from shoestring.tasks import (
    Sentence,
    treebank,
    unlabelled_english,
    word_f1,
    written,
)

SPLITS = ("train", "validation", "test")
PEERS = {"zh": ("jieba",), "ja": ("fugashi", "sudachi-A", "sudachi-B", "sudachi-C")}
TRAINED = {
    "zh_pkuseg": ("zh", "pkuseg"),
    "ja_pkuseg": ("ja", "pkuseg"),
    "zh_udpipe_words": ("zh", "udpipe-words"),
    "ja_udpipe_words": ("ja", "udpipe-words"),
    "zh_udpipe_tags": ("zh", "udpipe-tags"),
    "ja_udpipe_tags": ("ja", "udpipe-tags"),
    "en_udpipe_tags": ("en", "udpipe-tags"),
}
"""Other tools that learn from the same sentences."""
Data = dict[str, list[Sentence]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A network: its language, what it is for, its file's size in bytes and its settings."""

    language: str
    job: str
    size: int
    settings: TextSettings
    seeds: tuple[int, ...] = (0, 1, 2)


JOBS = {
    "en_tag": Job(language="en", job="tag", size=500_000, settings=TAGGER),
    "en_tag_100kb": Job(language="en", job="tag", size=100_000, settings=SMALL_TAGGER),
    "zh_tag": Job(language="zh", job="tag", size=300_000, settings=TAUGHT_PLAIN_TAGGER),
    "ja_tag": Job(language="ja", job="tag", size=300_000, settings=PLAIN_TAGGER),
    "zh_segment": Job(language="zh", job="segment", size=400_000, settings=TAUGHT_SEGMENTER),
    "ja_segment_100kb": Job(language="ja", job="segment", size=99_000, settings=SEGMENTER),
    "ja_segment": Job(language="ja", job="segment", size=300_000, settings=SEGMENTER),
}


def main() -> None:
    rows = start("text_tools", "ud-cpu", __doc__ or "", seeds=True)
    torch.set_num_threads(1)
    for name, job in JOBS.items():
        for seed in job.seeds[:1] if rows.quick else job.seeds:
            if rows.wanted(name) and not rows.done(name, seed) and rows.seed in (None, seed):
                ours(rows, name, job, seed)
    for language in ("en", "zh", "ja"):
        subject = f"{language}_baseline"
        if rows.wanted(subject) and not rows.done(subject, None):
            baselines(rows, language, subject)
    for language, tools in PEERS.items():
        for tool in tools:
            subject = f"{language}_{tool}"
            if rows.wanted(subject) and not rows.done(subject, None):
                peer(rows, language, tool, subject)
    for subject, (language, tool) in TRAINED.items():
        if rows.wanted(subject) and not rows.done(subject, None):
            trained_peer(rows, language, tool, subject)
    if rows.wanted("en_spacy") and not rows.done("en_spacy", None):
        spacy(rows, "en_spacy")
    if rows.only is None and rows.seed is None:
        rows.close()


def corpus(language: str) -> Data:
    return {split: treebank(language, split) for split in SPLITS}


def ours(rows: Rows, name: str, job: Job, seed: int) -> None:
    """Train a network, score its file and time it."""
    data, settings = corpus(job.language), job.settings
    if rows.quick:
        settings = replace(settings, passes=1, coding_passes=1)
    folder = RESULTS / "unfinished"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_seed{seed}{'.quick' if rows.quick else ''}.shoe"
    began = process_time()
    kept = folder / f"{job.language}_{job.job}{'.quick' if rows.quick else ''}"
    unlabelled = unlabelled_english() if job.language == "en" else []
    arguments = {"size": job.size, "settings": settings, "unlabelled": unlabelled, "folder": kept}
    if job.job == "tag":
        step = settings.step
        wanted = isinstance(step, HashedWords) and step.clusters
        known = clusters(folder, data, unlabelled) if wanted else None
        made = tagger(data, path, clusters=known, seed=seed, **arguments)
    else:
        made = segmenter(data, path, seed=seed, **arguments)
    rows.add(name, "training", (process_time() - began) / 60, "minutes of a core", seed)
    rows.add(name, "size", made.bytes, "bytes", seed)
    rows.add(name, "parameters, 4 bytes each", made.before, "bytes", seed)
    rows.add(name, "validation score", 100 * made.validation, "%", seed)
    rows.add(name, "validation score before coding", 100 * made.trained, "%", seed)
    if made.taught is not None:
        rows.add(name, "validation score of the teachers", 100 * made.taught, "%", seed)
    score = tag_score if job.job == "tag" else segment_score
    test = 100 * score(path, data, "test")
    rows.add(name, "test score", test, "%", seed)
    rows.add(name, "test error", 100 - test, "%", seed)
    timed(rows, name, path, data["test"], job.job, seed)
    rows.add(name, "done", 1, "", seed)


def clusters(folder: Path, data: Data, unlabelled: list[list[str]]) -> dict[str, tuple[int, ...]]:
    """The clusters of English words, learned once."""
    path = folder / "english_codes.json"
    if not path.exists():
        path.write_text(json.dumps(english_clusters(data["train"], unlabelled)))
    return json.loads(path.read_text())


def timed(rows: Rows, name: str, path: Path, test: Sequence[Sentence], job: str, seed: int) -> None:
    """Words or characters a second, from texts to answers; the fastest of five runs."""
    loaded = load(path, threads=1)
    if job == "tag":
        texts = [" ".join(one.words) for one in test]
        count, unit = sum(len(one.words) for one in test), "words/s"
        answers = partial(loaded.answers, texts, spaces=True)
    else:
        texts = [written(one)[0] for one in test]
        count, unit = sum(map(len, texts)), "characters/s"
        answers = partial(loaded.answers, texts)
    rows.add(name, "speed", count / fastest(answers), unit, seed, timed=True)


def fastest(act: Callable[[], object]) -> float:
    """The fewest processor seconds of five runs."""
    taken = []
    for _ in range(5):
        began = process_time()
        act()
        taken.append(process_time() - began)
    return min(taken)


def baselines(rows: Rows, language: str, subject: str) -> None:
    """The most frequent tag of each word, and the longest match of training words."""
    data = corpus(language)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for one in data["train"]:
        for word, tag in zip(one.words, one.tags, strict=True):
            seen[word][tag] += 1
    rare = Counter(tag for tags in seen.values() if sum(tags.values()) == 1 for tag in tags)
    likely, unknown = (
        {w: tags.most_common(1)[0][0] for w, tags in seen.items()},
        rare.most_common(1),
    )
    right = [
        likely.get(word, unknown[0][0]) == tag
        for one in data["test"]
        for word, tag in zip(one.words, one.tags, strict=True)
    ]
    rows.add(subject, "test score, most frequent tag", 100 * sum(right) / len(right), "%")
    table = zlib.compress(json.dumps(likely).encode(), 9)
    rows.add(subject, "size", len(table), "bytes, deflated JSON")
    rows.add(subject, "test error", 100 - 100 * sum(right) / len(right), "%")
    if language == "en":
        texts, words = zip(*map(written, data["test"]), strict=True)
        rows.add(
            subject, "F1 of the rules for words", 100 * word_f1(words, [*map(words_of, texts)]), "%"
        )
    else:
        known = {word for one in data["train"] for word in one.surface}
        texts, words = zip(*map(written, data["test"]), strict=True)
        found = [longest_match(text, known) for text in texts]
        rows.add(subject, "test F1, longest match", 100 * word_f1(words, found), "%")
    rows.add(subject, "done", 1, "")


def longest_match(text: str, known: set[str]) -> list[str]:
    """At each place the longest known word, or one character."""
    found = []
    for piece in text.split():
        place = 0
        while place < len(piece):
            ends = range(min(len(piece), place + 12), place + 1, -1)
            end = next((e for e in ends if piece[place:e] in known), place + 1)
            found.append(piece[place:end])
            place = end
    return found


def peer(rows: Rows, language: str, tool: str, subject: str) -> None:
    """Another tool's words in the test texts."""
    python = os.environ.get("TEXT_PEERS")
    if not python:
        print(f"{subject}: not run: TEXT_PEERS names no Python")
        return
    texts, words = zip(*map(written, treebank(language, "test")), strict=True)
    script = Path(__file__).parent / "peers" / "text_words.py"
    done = subprocess.run(
        [python, script, tool], input=json.dumps(texts), capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{subject}: failed: {done.stderr[-300:]}")
        return
    told = json.loads(done.stdout)
    found = [[word for word in answer if word.strip()] for answer in told["words"]]
    found = [[part for word in answer for part in word.split()] for answer in found]
    print(f"{subject}: {', '.join(told['versions'])}")
    rows.add(subject, "test F1", 100 * word_f1(words, found), "%")
    rows.add(subject, "size", told["bytes"], "bytes")
    rows.add(subject, "speed", sum(map(len, texts)) / told["seconds"], "characters/s", timed=True)
    rows.add(subject, "done", 1, "")


def trained_peer(rows: Rows, language: str, tool: str, subject: str) -> None:
    """A tagger or a segmenter of others, trained on the same sentences, scored and timed."""
    python = os.environ.get("TEXT_TRAINED")
    if not python or rows.quick:
        print(f"{subject}: not run: TEXT_TRAINED names no Python, or --quick")
        return
    data = corpus(language)
    script = Path(__file__).parent / "peers" / "text_trained.py"
    folder = RESULTS / "unfinished" / f"peers_{language}"
    asked = {split: [*map(told_of, sentences)] for split, sentences in data.items()}
    told = told_by(subject, [python, script, tool, folder], asked)
    if told is None:
        return
    of_tags = tool.endswith("tags")
    for split in ("validation", "test"):
        score = tags_right if of_tags else words_found
        rows.add(subject, f"{split} score", 100 * score(data[split], told[split]), "%")
    if of_tags:
        count, unit = sum(len(one.words) for one in data["test"]), "words/s"
    else:
        count, unit = sum(len(str(one["text"])) for one in asked["test"]), "characters/s"
    rows.add(subject, "training", told["minutes"], "minutes of a core")
    rows.add(subject, "size", told["bytes"], "bytes")
    rows.add(subject, "speed", count / told["seconds"], unit, timed=True)
    rows.add(subject, "done", 1, "")


def told_by(subject: str, command: Sequence[str | Path], asked: object) -> dict[str, Any] | None:
    """What a script that trains another tool answers, in JSON; None, said, where it failed."""
    done = subprocess.run(
        command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        print(f"{subject}: failed: see above")
        return None
    told = json.loads(done.stdout)
    print(f"{subject}: {told['version']}")
    return told


def told_of(one: Sentence) -> dict[str, object]:
    """A sentence for another tool: words, tags, text and whether a space follows each word."""
    text, words = written(one)
    ends = np.cumsum([*map(len, words)])
    # The places in the text of its characters without white space.
    places = [place for place, character in enumerate(text) if not character.isspace()]
    spaces = [text[places[end - 1] + 1 : places[end - 1] + 2].isspace() for end in ends]
    return {
        "words": one.words,
        "tags": one.tags,
        "text": text,
        "surface": words,
        "spaces": spaces,
    }


def tags_right(sentences: Sequence[Sentence], found: Sequence[Sequence[str]]) -> float:
    """The share of words whose tag was found; words without a tag do not count."""
    right = [
        tag == wanted
        for one, tags in zip(sentences, found, strict=True)
        for wanted, tag in zip(one.tags, tags, strict=True)
        if wanted != NO_TAG
    ]
    return sum(right) / len(right)


def words_found(sentences: Sequence[Sentence], found: Sequence[Sequence[str]]) -> float:
    """The F1 of the words that were found; white space inside them does not count."""
    ours = [written(one)[1] for one in sentences]
    return word_f1(ours, [["".join(word.split()) for word in words] for words in found])


def spacy(rows: Rows, subject: str) -> None:
    """spaCy's tagger, trained on the same sentences, scored and timed on the same words."""
    python = os.environ.get("TEXT_PEERS")
    if not python or rows.quick:
        print(f"{subject}: not run: TEXT_PEERS names no Python, or --quick")
        return
    data = {
        split: [(one.words, one.tags) for one in sentences]
        for split, sentences in corpus("en").items()
    }
    script = Path(__file__).parent / "peers" / "spacy_tagger.py"
    folder = RESULTS / "unfinished" / "spacy"
    steps = os.environ.get("SPACY_STEPS", "").split()
    told = told_by(subject, [python, script, folder, *steps], data)
    if told is None:
        return
    rows.add(subject, "training", told["minutes"], "minutes of a core")
    rows.add(subject, "size", told["bytes"], "bytes")
    rows.add(subject, "size of the networks", told["network_bytes"], "bytes")
    rows.add(subject, "validation score", 100 * told["validation"], "%")
    rows.add(subject, "test score", 100 * told["test"], "%")
    rows.add(subject, "test error", 100 - 100 * told["test"], "%")
    rows.add(subject, "speed", told["words"] / told["seconds"], "words/s", timed=True)
    rows.add(subject, "done", 1, "")


if __name__ == "__main__":
    main()
