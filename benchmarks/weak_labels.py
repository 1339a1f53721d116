"""What rules are worth in labels: SST-2 and TREC, by keyword rules, beside true labels.

    python benchmarks/weak_labels.py

With WEAK_PEERS=FOLDER, an environment with snorkel in it labels the same votes.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import torch
from rows import Rows, start
from torch import Tensor, nn
from weak_rules import TREC

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training, train
from shoestring.label import (
    DawidSkene,
    MajorityVote,
    Says,
    Votes,
    Weak,
    combined,
    rule_table,
    votes_of,
)
from shoestring.models import NgramClassifier
from shoestring.recipes.film_rules import FILM_RULES
from shoestring.tasks import Vocabulary

SEEDS = (0, 1, 2)
PLAIN = (40, 100, 200, 400, 1000, 2000)
"""Labels of the network that has no rules; all of them are trained on."""
RULED = (0, 40, 140)
"""Labels to train on of the network that has rules; `CHECKED` more are validated on."""
CHECKED = 60
TRAINING = Training(200, AdamW(1e-2))
COMBINERS = (MajorityVote(), DawidSkene())
PEER = Path(__file__).parent / "peers" / "snorkel_votes.py"


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A set of texts, and rules for it."""

    files: Mapping[str, str]
    classes: tuple[str, ...]
    rules: Mapping[str, Says]

    def split(self, name: str) -> tuple[list[str], list[int]]:
        """Texts and classes; a line is a class, a space and the text."""
        folder = Path(os.environ.get("SHOESTRING_DATA", "")) / "sentence-classification"
        path = folder / f"{self.files[name]}.gz"
        if not path.is_file():
            sys.exit(f"{path} is not there: set SHOESTRING_DATA to a folder that has it")
        lines = gzip.decompress(path.read_bytes()).decode("latin1").splitlines()
        pairs = [line.strip().partition(" ") for line in lines if line.strip()]
        return [text for _, _, text in pairs], [int(label) for label, _, _ in pairs]


SETS = {
    "SST-2": Texts(
        files={"train": "stsa.binary.train", "test": "stsa.binary.test"},
        classes=("0", "1"),
        rules=FILM_RULES,
    ),
    "TREC": Texts(
        files={"train": "TREC.train.all", "test": "TREC.test.all"},
        classes=tuple("012345"),
        rules=TREC,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Ids of the texts, their classes, and the votes on the training texts."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    votes: Votes
    words: int

    def task(self, labels: int, checked: int, seed: int) -> tuple[Supervised, np.ndarray]:
        """`labels` texts to train on and `checked` to validate on; the others are the pool.

        Returns the places of the pool among the training texts too. Texts that are validated on
        have no part in anything else.
        """
        ids, classes = self.train
        order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))
        held, given, rest = order.split([checked, labels, len(order) - checked - labels])
        # A task wants something to validate on; without, it is what it trains on.
        held = held if len(held) else given
        task = Supervised(
            train=(ids[given], classes[given]),
            validation=(ids[held], classes[held]),
            test=self.test,
            unlabelled=ids[rest],
            batch_size=64,
        )
        return task, rest.numpy()

    def network(self) -> nn.Module:
        return NgramClassifier(self.words, len(self.votes.classes), width=64, dropout=0.3)


def prepared(texts: Texts) -> Prepared:
    """The words of the training texts that occur twice or more, labels or none, have ids."""
    (train_texts, train_labels), (test_texts, test_labels) = map(texts.split, ("train", "test"))
    lower = [text.lower() for text in train_texts]
    seen: dict[str, int] = {}
    for text in lower:
        for word in set(text.split()):
            seen[word] = seen.get(word, 0) + 1
    vocabulary = Vocabulary(tuple(sorted(word for word, count in seen.items() if count > 1)))
    return Prepared(
        train=(vocabulary.ids(lower, 64), torch.tensor(train_labels)),
        test=(vocabulary.ids([text.lower() for text in test_texts], 64), torch.tensor(test_labels)),
        votes=votes_of(texts.rules, train_texts, texts.classes),
        words=len(vocabulary),
    )


def main() -> None:
    rows = start("weak_labels", "sst2-trec-cpu", __doc__ or "")
    seeds = SEEDS[:1] if rows.quick else SEEDS
    for name in list(SETS)[-1:] if rows.quick else SETS:
        data: Prepared | None = None
        for subject in (f"{name}, labels", f"{name}, networks"):
            for seed in (None,) if subject.endswith("labels") else seeds:
                if not rows.wanted(subject) or rows.done(subject, seed):
                    continue
                data = data or prepared(SETS[name])
                if seed is None:
                    label_quality(rows, subject, data)
                else:
                    networks(rows, subject, data, seed)
                rows.add(subject, "done", 1, "", seed)
        worth(rows, name, seeds)
    rows.close()


def worth(rows: Rows, name: str, seeds: Sequence[int]) -> None:
    """How many true labels the network needs alone for the score that it has with rules.

    By the curve of the same seed, along the logarithm of the number of labels.
    """
    for seed in seeds:
        found = {
            row["metric"]: row["value"]
            for row in rows.rows
            if row["subject"] == f"{name}, networks" and row["seed"] == seed
        }
        alone = sorted(
            (int(metric.rpartition(" ")[2]), value)
            for metric, value in found.items()
            if metric.startswith("true labels, ")
        )
        for count in RULED:
            subject = f"{name}, rules and {count + CHECKED} labels"
            score_of = found.get(f"rules and {count + CHECKED} labels")
            if score_of is None or rows.done(subject, seed):
                continue
            rises = np.maximum.accumulate([value for _, value in alone])
            logarithm = np.interp(score_of, rises, np.log([labels for labels, _ in alone]))
            as_many = f"{name}, true labels for the score of rules and {count + CHECKED} labels"
            for one, labels in ((subject, count + CHECKED), (as_many, float(np.exp(logarithm)))):
                rows.add(one, "labels", labels, "labels", seed)
                rows.add(one, "test error", 100 - score_of, "%", seed)
            rows.add(subject, "done", 1, "", seed)


def label_quality(rows: Rows, subject: str, data: Prepared) -> None:
    """How often the votes are right on the training texts, whose labels serve only to say so."""
    truth, covered = data.train[1].numpy(), data.votes.covered()
    table = rule_table(data.votes, truth.tolist())
    print(table)
    rows.add(subject, "rules", len(table.rows), "")
    rows.add(subject, "covered", 100 * table.covered, "%")
    for combiner in COMBINERS:
        began = process_time()
        belief = combiner.probabilities(data.votes)
        seconds = process_time() - began
        name = type(combiner).__name__
        rows.add(subject, f"{name}: right where covered", right(belief, truth, covered), "%")
        rows.add(subject, f"{name}: seconds", seconds, "s", timed=True)
    peer = os.environ.get("WEAK_PEERS")
    if peer:
        given = json.dumps([data.votes.array().tolist(), len(data.votes.classes)])
        done = subprocess.run(
            [Path(peer) / "bin" / "python", PEER], input=given, capture_output=True, text=True
        )
        if done.returncode:
            print(f"the peer failed: {done.stderr[-500:]}", file=sys.stderr)
            return
        answer = json.loads(done.stdout.splitlines()[-1])
        for key, belief in answer["beliefs"].items():
            share = right(np.array(belief), truth, covered)
            rows.add(subject, f"{key}: right where covered", share, "%")
        rows.add(subject, "snorkel: seconds", answer["seconds"], "s", timed=True)


def right(belief_NC: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> float:
    """Per cent of the covered texts; of several most probable classes each counts its share."""
    most = belief_NC >= belief_NC.max(1, keepdims=True) - 1e-9
    share = most[np.arange(len(truth)), truth] / most.sum(1)
    return 100 * float(share[covered].mean())


def networks(rows: Rows, subject: str, data: Prepared, seed: int) -> None:
    """The network on true labels alone, and on those of rules, scored on test data."""
    for count in PLAIN[:3] if rows.quick else (*PLAIN, len(data.train[1])):
        task, _ = data.task(count, 0, seed)
        with seeded(seed):
            network = train(data.network(), task.sealed(), TRAINING)
        rows.add(subject, f"true labels, {count}", 100 * score(task, network, "test"), "%", seed)
    for count in RULED[:2] if rows.quick else RULED:
        task, pool = data.task(count, CHECKED, seed)
        votes = data.votes.at(pool)
        technique = Weak(rules=votes, training=TRAINING, tuning=Training(40, AdamW(1e-3)))
        with seeded(seed):
            network, scores = technique.tried(data.network(), task.sealed())
        test = 100 * score(task, network, "test")
        rows.add(subject, f"rules and {count + CHECKED} labels", test, "%", seed)
        for name, value in scores.items():
            rows.add(subject, f"validation, {count + CHECKED}: {name}", 100 * value, "%", seed)
    # The labels alone, without a network: the rule is asked about the known labels only.
    known = torch.randperm(len(data.train[1]), generator=torch.Generator().manual_seed(seed))
    some = set(known[: CHECKED + 40].tolist())
    truth = [int(one) if at in some else None for at, one in enumerate(data.train[1])]
    why = combined(data.votes, truth)
    print(why.why)


if __name__ == "__main__":
    main()
