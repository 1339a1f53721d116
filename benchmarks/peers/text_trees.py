"""A parser (UDPipe 1) trained on trees from standard input, and the trees that it finds.

    python benchmarks/peers/text_trees.py MODEL < trees.json

It runs in an environment of its own, with ufal.udpipe. It learns from the words, the tags and the
trees of "train", and parses the words of "test" with the tags of "tags". MODEL is trained if it is
not there. Prints JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import process_time

from ufal.udpipe import Model, ProcessingError, Sentence, Trainer, Word  # pyright: ignore[reportMissingImports]

_SETTINGS = (
    "iterations=3;embedding_upostag=20;embedding_feats=0;embedding_xpostag=0;"
    "embedding_form=50;embedding_lemma=0;embedding_deprel=20;learning_rate=0.02;"
    "learning_rate_final=0.001;l2=0.5;hidden_layer=100;batch_size=10;transition_system=projective;"
    "transition_oracle=dynamic;structured_interval=0;use_gold_tags=1"
)


def sentence(words, tags, heads=None, relations=None) -> Sentence:
    """A sentence; without heads it is one that is still to be parsed."""
    made = Sentence()
    for place, (form, tag) in enumerate(zip(words, tags, strict=True)):
        word: Word = made.addWord(form)
        word.upostag = tag
        if heads is not None and relations is not None:
            word.head, word.deprel = heads[place], relations[place]
    if heads is not None and relations is not None:
        for place, head in enumerate(heads):
            made.setHead(place + 1, head, relations[place])
    return made


def main() -> None:
    asked, path = json.load(sys.stdin), Path(sys.argv[1])
    began = process_time()
    if not path.exists():
        error = ProcessingError()
        train = [sentence(*one) for one in asked["train"]]
        made = Trainer.train("morphodita_parsito", train, [], "none", "none", _SETTINGS, error)
        if error.occurred():
            sys.exit(error.message)
        path.write_bytes(bytes(made))
    training = process_time() - began
    model = Model.load(str(path))
    sentences = [
        sentence(words, tags)
        for (words, *_), tags in zip(asked["test"], asked["tags"], strict=True)
    ]
    began = process_time()
    for one in sentences:
        if not model.parse(one, Model.DEFAULT):
            sys.exit("a sentence could not be parsed")
    seconds = process_time() - began
    trees = [
        [[word.head for word in list(one.words)[1:]], [w.deprel for w in list(one.words)[1:]]]
        for one in sentences
    ]
    size = path.stat().st_size
    told = {"trees": trees, "seconds": seconds, "training": training, "bytes": size}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
