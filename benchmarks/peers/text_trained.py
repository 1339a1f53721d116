"""Other taggers and segmenters, trained on the same sentences: run in an environment of their own.

    python benchmarks/peers/text_trained.py udpipe-tags|udpipe-words|pkuseg FOLDER < sentences.json

The environment has ufal.udpipe and spacy_pkuseg. Reads `{"train": [...], "validation": ...,
"test": ...}` as JSON, where a sentence is `{"words", "tags", "text", "surface", "spaces"}`: its
words with their tags; its text, the words of that, and whether a space follows each of these. What
is trained is kept in FOLDER, and is not trained again where it is there. Writes as JSON the answers
of each test and validation sentence (tags or words), the bytes of the model, the minutes of a core
that training took, and the processor seconds of the test sentences: the least of five runs.

UDPipe 1 has the defaults of its tagger, which predicts nothing but the tags, and of its tokenizer,
but for the passes, which are minutes of a core each: 5 instead of 20 and 20 instead of 100. Both
keep their best pass on the validation sentences; the log on standard error says how they went.
pkuseg has its defaults, which are 20 passes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from time import process_time

_TAGGER = "iterations=5;use_lemma=0;use_xpostag=0;use_feats=0;provide_lemma=0"
_TOKENIZER = "epochs=20"
_RUNS = 5
Answers = Callable[[list], list]


def udpipe_tags(folder: Path, data: dict) -> Answers:
    """From sentences to the tags of their words."""
    from ufal.udpipe import Model  # pyright: ignore[reportMissingImports]

    model = _udpipe(folder / "tags.udpipe", data, "none", _TAGGER)

    def answers(sentences: list) -> list:
        found = []
        for one in sentences:
            made = _sentence(one["words"])
            if not model.tag(made, Model.DEFAULT):
                sys.exit("a sentence could not be tagged")
            found.append([word.upostag for word in list(made.words)[1:]])
        return found

    return answers


def udpipe_words(folder: Path, data: dict) -> Answers:
    """From sentences to the words of their texts; each text is one sentence."""
    from ufal.udpipe import Model, Sentence  # pyright: ignore[reportMissingImports]

    model = _udpipe(folder / "words.udpipe", data, _TOKENIZER, "none")

    def answers(sentences: list) -> list:
        tokenizer = model.newTokenizer(Model.TOKENIZER_PRESEGMENTED)  # it needs the model alive
        found = []
        for one in sentences:
            words: list[str] = []
            tokenizer.setText(one["text"])
            made = Sentence()
            while tokenizer.nextSentence(made):
                words += [word.form for word in list(made.words)[1:]]
                made = Sentence()
            found.append(words)
        return found

    return answers


def _udpipe(path: Path, data: dict, tokenizer: str, tagger: str):
    """A model, trained where there is none; validation sentences choose its pass."""
    from ufal.udpipe import Model, ProcessingError, Trainer  # pyright: ignore[reportMissingImports]

    if not path.exists():
        error = ProcessingError()
        splits = [
            [
                _sentence(one["words"], one["tags"])
                if tokenizer == "none"
                else _sentence(one["surface"], spaces=one["spaces"])
                for one in data[split]
            ]
            for split in ("train", "validation")
        ]
        made = Trainer.train("morphodita_parsito", *splits, tokenizer, tagger, "none", error)
        if error.occurred():
            sys.exit(error.message)
        path.write_bytes(bytes(made))
    return Model.load(str(path))


def _sentence(words: list[str], tags: list[str] | None = None, spaces: list[bool] | None = None):
    from ufal.udpipe import Sentence  # pyright: ignore[reportMissingImports]

    made = Sentence()
    for place, form in enumerate(words):
        word = made.addWord(form)
        if tags is not None:
            word.upostag = tags[place]
        if spaces is not None:
            word.setSpaceAfter(spaces[place])
    return made


def pkuseg(folder: Path, data: dict) -> Answers:
    """From sentences to the words of their texts."""
    import spacy_pkuseg as tool  # pyright: ignore[reportMissingImports]

    model = folder / "pkuseg"
    if not (model / "weights.npz").exists():
        for split in ("train", "validation"):
            lines = "".join(" ".join(one["surface"]) + "\n" for one in data[split])
            (folder / f"{split}.utf8").write_text(lines, encoding="utf-8")
        kept = sys.stdout
        sys.stdout = sys.stderr  # it tells of its training there
        train, validation = (str(folder / f"{one}.utf8") for one in ("train", "validation"))
        tool.train(train, validation, str(model), train_iter=20)
        sys.stdout = kept
    segmenter = tool.pkuseg(model_name=str(model))
    return lambda sentences: [segmenter.cut(one["text"]) for one in sentences]


def main() -> None:
    tools = {
        "udpipe-tags": (udpipe_tags, "ufal.udpipe", "tags.udpipe"),
        "udpipe-words": (udpipe_words, "ufal.udpipe", "words.udpipe"),
        "pkuseg": (pkuseg, "spacy_pkuseg", "pkuseg"),
    }
    act, package, kept = tools[sys.argv[1]]
    folder, data = Path(sys.argv[2]), json.load(sys.stdin)
    folder.mkdir(parents=True, exist_ok=True)
    began, told = _processor(), folder / f"{sys.argv[1]}.minutes"
    answers = act(folder, data)
    if not told.exists():
        told.write_text(str((_processor() - began) / 60))
    taken, test = [], None
    for _ in range(_RUNS):
        began = process_time()
        test = answers(data["test"])
        taken.append(process_time() - began)
    model = folder / kept
    files = [path for path in model.rglob("*") if path.is_file()] if model.is_dir() else [model]
    answer = {
        "version": f"{package} {metadata.version(package)}",
        "minutes": float(told.read_text()),
        "bytes": sum(path.stat().st_size for path in files),
        "validation": answers(data["validation"]),
        "test": test,
        "seconds": min(taken),
    }
    print(json.dumps(answer))


def _processor() -> float:
    """Processor seconds of this process and of the processes that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
