"""A language model over bytes in 100 KB: bits per byte and keystrokes, beside compressors.

    OMP_NUM_THREADS=1 python benchmarks/byte_model.py

Trains the model (three seeds), reads the test lines of English and of Chinese once, codes them
without loss with the model's probabilities, and types some of them, simulated. Beside it: xz,
zstd-22 and PPMd (`pip install pyppmd`; without it that is not run), each of which first read as
much training text as it codes in as many bytes as our file may have; each codes the test lines in
one stream, and some of them alone, as our file reads them. And a prefix tree of phrases in as many
bytes. And the search box of web/complete, with the committed file, in Chromium (needs
`npm ci` in web/demo). Goes on where it was interrupted; `--only complete --seed 0` makes one seed.
--quick: a small network, a tenth of the lines, one seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from time import process_time

import torch
from byte_coding import Coder, alone, coded, decoded, joined, ppm, that_fits, xz, zstd
from byte_keys import Completer, Phrases, saved, typed
from byte_page import page
from rows import RESULTS, Rows, start

from shoestring.artifact import load
from shoestring.recipes.byte_language import BYTE_MODEL, SIZE, bits_per_byte, both, byte_model
from shoestring.tasks import typed_lines
from shoestring.tasks.typed_lines import LANGUAGES

SEEDS = (0, 1, 2)
ORDERS = (4, 5, 6, 7)  # of PPMd: the best on validation is taken
TEXT_BYTES = 99_000  # of text before it, where a coder has no model
TYPED = 100  # lines of a language that are typed
ALONE = 200  # lines of a language that each coder codes alone
DECODED = 256  # lines of a language that are decoded again, as a check
Lines = dict[str, dict[str, list[str]]]


def main() -> None:
    rows = start("byte_model", "tatoeba-xquad-ewt-wikitext-cpu", __doc__ or "", seeds=True)
    torch.set_num_threads(1)
    lines = typed_lines()
    if rows.quick:
        lines = {
            split: {language: some[::10] for language, some in languages.items()}
            for split, languages in lines.items()
        }
    for seed in SEEDS[:1] if rows.quick else SEEDS:
        if rows.seed in (None, seed):
            for subject, act in (
                ("complete", ours),
                ("coded", coding),
                ("lines alone", ours_alone),
                ("keys", typing),
            ):
                if rows.wanted(subject) and not rows.done(subject, seed):
                    act(rows, lines, seed)
    if rows.seed is None:
        beside(rows, lines)
    if rows.only is None and rows.seed is None:
        rows.close()


def file_of(rows: Rows, seed: int) -> Path:
    """Where the file of a seed is."""
    folder = RESULTS / "unfinished"
    folder.mkdir(exist_ok=True)
    return folder / f"complete_seed{seed}{'.quick' if rows.quick else ''}.shoe"


def ours(rows: Rows, lines: Lines, seed: int) -> None:
    """Train the model and score its file."""
    settings = BYTE_MODEL
    if rows.quick:
        settings = replace(settings, states=96, passes=1, coding_passes=1, least_steps=150)
    path = file_of(rows, seed)
    began = process_time()
    made = byte_model(both(lines), path, size=SIZE, settings=settings, seed=seed)
    rows.add("complete", "training", (process_time() - began) / 60, "minutes of a core", seed)
    rows.add("complete", "size", made.bytes, "bytes", seed)
    rows.add("complete", "parameters, 4 bytes each", made.before, "bytes", seed)
    rows.add("complete", "validation bits per byte", made.validation, "bits", seed)
    rows.add("complete", "validation bits per byte before coding", made.trained, "bits", seed)
    for language in LANGUAGES:
        found = bits_per_byte(path, lines["test"][language])
        rows.add("complete", f"test bits per byte, {language}", found, "bits", seed)
    rows.add("complete", "done", 1, "", seed)


def coding(rows: Rows, lines: Lines, seed: int) -> None:
    """The test lines, coded with the file's probabilities; the first ones are decoded again."""
    loaded = load(file_of(rows, seed), threads=1)
    for language in LANGUAGES:
        test = [line.encode("utf-8", "replace") for line in lines["test"][language]]
        some = test[:DECODED]
        if decoded(loaded, coded(loaded, some)) != some:
            raise RuntimeError(f"the {language} lines came back otherwise than they were coded")
        began = process_time()
        code = coded(loaded, test)
        whole = len(joined(lines["test"][language]))
        taken = process_time() - began
        rows.add("coded", f"coded test lines, {language}", len(code), "bytes", seed)
        rows.add("coded", f"test lines, {language}", whole, "bytes", seed)
        rows.add("coded", f"speed, {language}", whole / taken, "bytes/s", seed, timed=True)
    rows.add("coded", "done", 1, "", seed)


def ours_alone(rows: Rows, lines: Lines, seed: int) -> None:
    """Our file's bits on the lines that the compressors code alone; it reads all lines so."""
    for language in LANGUAGES:
        found = bits_per_byte(file_of(rows, seed), some_of(lines, language))
        rows.add("lines alone", f"test bits per byte, {language}", found, "bits", seed)
    rows.add("lines alone", "done", 1, "", seed)


def some_of(lines: Lines, language: str, split: str = "test", count: int = ALONE) -> list[str]:
    """Lines that are coded alone, drawn once."""
    there = lines[split][language]
    return Random(0).sample(there, min(count, len(there)))


def typing(rows: Rows, lines: Lines, seed: int) -> None:
    """Characters of test lines that need not be typed, and the time of a completion."""
    loaded = load(file_of(rows, seed), threads=1)
    known: dict[str, list[str]] = {}
    spent = 0.0

    def complete(text: str) -> list[str]:
        nonlocal spent
        if text not in known:
            began = process_time()
            known[text] = [one.text for one in loaded.answers([text])[0]]
            spent += process_time() - began
        return known[text]

    keys(rows, "keys", lines, complete, seed)
    rows.add("keys", "a completion", 1000 * spent / len(known), "ms", seed, timed=True)
    rows.add("keys", "done", 1, "", seed)


def keys(rows: Rows, subject: str, lines: Lines, complete: Completer, seed: int | None) -> None:
    """The rows of typing, simulated, with one and with three completions in sight."""
    for language in LANGUAGES:
        some = typed(lines["test"][language], TYPED, 0)
        for shown in (1, 3):
            not_typed, spared = saved(some, complete, shown)
            of = f"{language}, {shown} in sight, simulated"
            rows.add(subject, f"characters not typed, {of}", 100 * not_typed, "%", seed)
            rows.add(subject, f"keys saved, {of}", 100 * spared, "%", seed)


def beside(rows: Rows, lines: Lines) -> None:
    """The compressors, and the prefix tree."""
    coders: dict[str, Coder] = {"xz": xz, "zstd-22": zstd}
    best: dict[int, Coder] = {}
    try:
        best |= {order: ppm(order) for order in ORDERS}
    except ImportError:
        print("PPMd is not run: pip install pyppmd")
    else:
        held = joined(both(lines)["validation"])
        coders["PPMd"] = min(best.values(), key=lambda coder: coder(b"", held))
    for name, coder in coders.items():
        if rows.wanted(name) and not rows.done(name, None):
            compressor(rows, lines, name, coder)
        subject = f"{name}, lines alone"
        if rows.wanted(subject) and not rows.done(subject, None):
            chosen = list(best.values()) if name == "PPMd" else [coder]
            compressor_alone(rows, lines, subject, chosen)
    if rows.wanted("page") and not rows.done("page", None):
        page(rows)
    if rows.wanted("phrases") and not rows.done("phrases", None):
        tree = Phrases(both(lines)["train"], TEXT_BYTES)
        rows.add("phrases", "size", tree.bytes, "bytes")
        rows.add("phrases", "phrases", tree.phrases, "")
        keys(rows, "phrases", lines, tree, None)
        rows.add("phrases", "done", 1, "")


def compressor(rows: Rows, lines: Lines, name: str, coder: Coder) -> None:
    """Bits per byte of the test lines after training text of the mix, of the language, and none."""
    mixed = that_fits(both(lines)["train"], TEXT_BYTES, coder, 0)
    rows.add(name, "size", TEXT_BYTES, "bytes")
    rows.add(name, "training text that it read", len(mixed), "bytes")
    held = joined(both(lines)["validation"])
    rows.add(name, "validation bits per byte", 8 * coder(mixed, held) / len(held), "bits")
    for language in LANGUAGES:
        test = joined(lines["test"][language])
        alone = that_fits(lines["train"][language], TEXT_BYTES, coder, 0)
        code = coder(mixed, test)
        rows.add(name, f"coded test lines, {language}", code, "bytes")
        rows.add(name, f"test bits per byte, {language}", 8 * code / len(test), "bits")
        for what, before in (("its own language", alone), ("nothing", b"")):
            bits = 8 * coder(before, test) / len(test)
            rows.add(name, f"test bits per byte after {what}, {language}", bits, "bits")
    rows.add(name, "done", 1, "")


def compressor_alone(rows: Rows, lines: Lines, subject: str, coders: list[Coder]) -> None:
    """Bits per byte of test lines that are coded alone, after the same training text.

    `coders`: the settings of a compressor; the best on validation lines, coded so too, is taken.
    """
    train = both(lines)["train"]
    coder = coders[0]
    if len(coders) > 1:
        held = [line for one in LANGUAGES for line in some_of(lines, one, "validation", ALONE // 4)]
        coder = min(coders, key=lambda one: alone(one, that_fits(train, TEXT_BYTES, one, 0), held))
    mixed = that_fits(train, TEXT_BYTES, coder, 0)
    for language in LANGUAGES:
        some = some_of(lines, language)
        whole = len(joined(some))
        rows.add(subject, f"lines, {language}", len(some), "")
        rows.add(subject, f"bytes of the lines, {language}", whole, "bytes")
        own = that_fits(lines["train"][language], TEXT_BYTES, coder, 0)
        for what, before in (("", mixed), (" after its own language", own)):
            bits = 8 * alone(coder, before, some) / whole
            rows.add(subject, f"test bits per byte{what}, {language}", bits, "bits")
    rows.add(subject, "done", 1, "")


if __name__ == "__main__":
    main()
