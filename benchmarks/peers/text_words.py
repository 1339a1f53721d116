"""The words that another tool finds in texts: run by the Python of an environment that has it.

    python benchmarks/peers/text_words.py jieba|fugashi|sudachi-A|sudachi-B|sudachi-C < texts.json

Reads a list of texts as JSON, and writes their words and the processor seconds that it took.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from time import process_time


def jieba():
    import logging

    import jieba as tool  # pyright: ignore[reportMissingImports]

    tool.setLogLevel(logging.ERROR)
    tool.initialize()
    return tool.lcut, ("jieba",)


def fugashi():
    from fugashi import Tagger  # pyright: ignore[reportMissingImports]

    tagger = Tagger()
    return lambda text: [word.surface for word in tagger(text)], ("fugashi", "unidic-lite")


def sudachi(mode: str):
    from sudachipy import Dictionary, SplitMode  # pyright: ignore[reportMissingImports]

    splits = {"A": SplitMode.A, "B": SplitMode.B, "C": SplitMode.C}
    tokenizer = Dictionary().create()
    return (
        lambda text: [word.surface() for word in tokenizer.tokenize(text, splits[mode])],
        ("sudachipy", "sudachidict_core"),
    )


def main() -> None:
    name, _, mode = sys.argv[1].partition("-")
    cut, packages = {"jieba": jieba, "fugashi": fugashi}.get(name, lambda: sudachi(mode))()
    texts = json.load(sys.stdin)
    cut(texts[0])
    began = process_time()
    words = [cut(text) for text in texts]
    seconds = process_time() - began
    size = sum(
        (os.path.getsize(file.locate()) if os.path.isfile(file.locate()) else 0)
        for package in packages
        for file in metadata.files(package) or []
    )
    told = [f"{package} {metadata.version(package)}" for package in packages]
    print(json.dumps({"words": words, "seconds": seconds, "bytes": size, "versions": told}))


if __name__ == "__main__":
    main()
