"""spaCy's example sentences of each language: run by the Python of an environment that has spaCy.

    python benchmarks/peers/examples_of_spacy.py

Writes {code: [sentence, ...]} as JSON. spaCy's folders have codes of ISO 639-1 where there are
some.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import spacy.lang  # pyright: ignore[reportMissingImports]


def main() -> None:
    found = {}
    for path in sorted(Path(spacy.lang.__path__[0]).glob("*/examples.py")):
        module = importlib.import_module(f"spacy.lang.{path.parent.name}.examples")
        found[path.parent.name] = [one for one in module.sentences if one.strip()]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
