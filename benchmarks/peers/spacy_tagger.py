"""spaCy's tagger, trained on tagged sentences: run by the Python of an environment that has spaCy.

    python benchmarks/peers/spacy_tagger.py FOLDER [STEPS] < sentences.json

Reads `{"train": [[words, tags], ...], "validation": ..., "test": ...}` as JSON. The pipeline is
that of spaCy's own small models on a processor: `tok2vec` (HashEmbedCNN's defaults: hashes of the
norm, the prefix, the suffix and the shape of a word, four layers of 96) and `tagger`, with the
training settings of `spacy init config --pipeline tagger --optimize efficiency`, of which STEPS
replaces the most steps (20,000; it ends earlier where 1,600 steps bring no more). The best pipeline
on validation is kept in FOLDER, without the optimizer. Writes as JSON its scores, its bytes, and
the processor seconds that the test sentences took, given as words, in batches: the least of five
runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import process_time

import spacy  # pyright: ignore[reportMissingImports]
from spacy.cli.init_config import init_config  # pyright: ignore[reportMissingImports]
from spacy.language import Language  # pyright: ignore[reportMissingImports]
from spacy.tokens import Doc, DocBin  # pyright: ignore[reportMissingImports]
from spacy.training.initialize import init_nlp  # pyright: ignore[reportMissingImports]
from spacy.training.loop import train  # pyright: ignore[reportMissingImports]

SPLITS = ("train", "validation", "test")


def docs_of(nlp: Language, sentences: list, *, tagged: bool) -> list[Doc]:
    """Sentences as Docs; with their tags or without."""
    return [Doc(nlp.vocab, words=words, tags=tags if tagged else None) for words, tags in sentences]


def trained(folder: Path, data: dict, steps: int | None) -> Language:
    """The best pipeline on the validation sentences, which is written to the folder too."""
    blank = spacy.blank("en")
    for split in ("train", "validation"):
        DocBin(docs=docs_of(blank, data[split], tagged=True)).to_disk(folder / f"{split}.spacy")
    config = init_config(lang="en", pipeline=["tagger"], optimize="efficiency")
    config["paths"]["train"] = str(folder / "train.spacy")
    config["paths"]["dev"] = str(folder / "validation.spacy")
    config["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v1"}
    if steps is not None:
        config["training"]["max_steps"] = steps
    nlp = init_nlp(config)
    train(nlp, folder, stdout=sys.stderr)
    return spacy.load(folder / "model-best")


def right(nlp: Language, sentences: list) -> float:
    """The share of words whose tag is right."""
    found = [
        token.tag_ == tag
        for doc, (_, tags) in zip(
            nlp.pipe(docs_of(nlp, sentences, tagged=False)), sentences, strict=True
        )
        for token, tag in zip(doc, tags, strict=True)
    ]
    return sum(found) / len(found)


def seconds(nlp: Language, sentences: list) -> float:
    """The fewest processor seconds of five runs over the sentences, from words to tags."""
    taken = []
    for _ in range(5):
        began = process_time()
        for doc in nlp.pipe(docs_of(nlp, sentences, tagged=False), batch_size=1000):
            [token.tag_ for token in doc]
        taken.append(process_time() - began)
    return min(taken)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    data = json.load(sys.stdin)
    began = process_time()
    nlp = trained(folder, data, int(sys.argv[2]) if len(sys.argv) > 2 else None)
    minutes = (process_time() - began) / 60
    files = [path for path in (folder / "model-best").rglob("*") if path.is_file()]
    needed = sum(path.stat().st_size for path in files)
    network = sum(path.stat().st_size for path in files if path.name == "model")
    told = {
        "version": f"spacy {spacy.__version__}",
        "minutes": minutes,
        "bytes": needed,
        "network_bytes": network,
        "validation": right(nlp, data["validation"]),
        "test": right(nlp, data["test"]),
        "words": sum(len(words) for words, _ in data["test"]),
        "seconds": seconds(nlp, data["test"]),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
