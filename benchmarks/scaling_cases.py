"""The cases of scaling.py: real data, and models that train in seconds on a core.

Sets that settings were chosen on have no case among those that are counted.
"""

from __future__ import annotations

import gzip
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Network:
    """A case of torch: a network and its task, trained by `plan.small_runs`.

    Its scores are of validation data. `steps`: of training on all the data.
    """

    name: str
    make: Callable[[], tuple[Any, Any]]
    steps: int
    choosing: bool = False


def data_folder() -> Path:
    """The folder of the data sets; raises FileNotFoundError where none is named."""
    if not (folder := os.environ.get("SHOESTRING_DATA")):
        raise FileNotFoundError("set SHOESTRING_DATA to the folder of the data sets")
    return Path(folder)


Learner = Callable[[int], Any]
"""From a seed to an untrained model of scikit-learn."""


@dataclass(frozen=True)
class Split:
    """Examples to train on, held-out examples that the scores are of, and the score of chance."""

    train: tuple[Any, np.ndarray]
    held_out: tuple[Any, np.ndarray]

    @property
    def chance(self) -> float:
        """The score of the most frequent class of the training data."""
        values, counts = np.unique(self.train[1], return_counts=True)
        return float((self.held_out[1] == values[counts.argmax()]).mean())


@dataclass(frozen=True)
class Case:
    """A set and a model. `choosing`: settings were chosen on it, and it does not count."""

    name: str
    data: Callable[[], Split]
    learner: Learner
    choosing: bool = False


@lru_cache(maxsize=1)
def mnist_pixels() -> Split:
    """MNIST, pixels averaged in pairs of rows and columns: 196 numbers."""
    from shoestring.tasks import mnist

    return _halved(_all_of(mnist()), 1, 28)


def _all_of(task: Any) -> Split:
    """With the validation data among the training data."""
    import torch

    (x, y), (xv, yv), (xt, yt) = task.train, task.validation, task.test
    return Split(
        (torch.cat([x, xv]).flatten(1).numpy(), torch.cat([y, yv]).numpy()),
        (xt.flatten(1).numpy(), yt.numpy()),
    )


def _halved(split: Split, channels: int, side: int) -> Split:
    def smaller(x: np.ndarray) -> np.ndarray:
        half = side // 2
        parts = x.reshape(len(x), channels, half, 2, half, 2).mean((3, 5))
        return parts.reshape(len(x), -1).astype(np.float32)

    (x, y), (xt, yt) = split.train, split.held_out
    return Split((smaller(x), y), (smaller(xt), yt))


@lru_cache(maxsize=1)
def cifar_pixels() -> Split:
    """CIFAR-10 (JPEG), pixels averaged in pairs of rows and columns: 768 numbers."""
    from shoestring.tasks import cifar10

    return _halved(_all_of(cifar10()), 3, 32)


@lru_cache(maxsize=1)
def digit_pixels() -> Split:
    """The digits of scikit-learn; every fifth is held out."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return _held_out(found.data / 16, found.target)


@lru_cache(maxsize=1)
def spoken() -> Split:
    """FSDD: the features of the recordings of six speakers."""
    from shoestring.tasks import fsdd

    return _all_of(fsdd())


@lru_cache(maxsize=1)
def adult_rows() -> Split:
    """Adult: a column of 0 and 1 for each value, and the numbers, standardised."""
    import torch

    from shoestring.tasks import adult, adult_columns

    columns, task = adult_columns(), adult()

    def rows(inputs: Any) -> np.ndarray:
        ids, numbers = inputs
        ones = [np.eye(size, dtype=np.float32)[ids[:, at]] for at, size in enumerate(columns.sizes)]
        mean, deviation = np.array(columns.mean), np.array(columns.deviation)
        return np.hstack([*ones, (numbers.numpy() - mean) / deviation]).astype(np.float32)

    (x, y), (xv, yv), (xt, yt) = task.train, task.validation, task.test  # type: ignore[misc]
    whole = tuple(torch.cat(pair) for pair in zip(x, xv, strict=True))
    labels = torch.cat([y, yv]).numpy()
    return Split((rows(whole), labels), (rows(xt), yt.numpy()))


@lru_cache(maxsize=1)
def sst2_words() -> Split:
    """SST-2: hashed words and pairs of words of the sentences."""
    folder = data_folder() / "sentence-classification"
    train, test = (_labelled(folder / f"stsa.binary.{name}.gz") for name in ("train", "test"))
    return _bags(train, test)


@lru_cache(maxsize=1)
def languages() -> Split:
    """The language of 60 letters of the Declaration of Human Rights: hashed runs of letters."""
    from sklearn.feature_extraction.text import HashingVectorizer

    from shoestring.tasks import udhr

    some, others = udhr("train"), udhr("test")
    by: Any = HashingVectorizer(
        analyzer="char_wb", ngram_range=(1, 3), n_features=1 << 14, alternate_sign=False
    )
    kept = sorted(set(some.labels) & set(others.labels))[:40]
    number = {name: at for at, name in enumerate(kept)}

    def of(texts: Any) -> tuple[Any, np.ndarray]:
        pieces = [
            (text[at : at + 60], number[label])
            for text, label in zip(texts.texts, texts.labels, strict=True)
            if label in number
            for at in range(0, max(len(text) - 59, 1), 60)
        ]
        return by.transform([one[0] for one in pieces]), np.array([one[1] for one in pieces])

    return Split(of(some), of(others))


def sentences(name: str) -> Callable[[], Split]:
    """A set of `sentence-classification` without test data: every fifth is held out."""

    @lru_cache(maxsize=1)
    def read() -> Split:
        folder = data_folder() / "sentence-classification"
        if name == "TREC":
            train, test = (
                _labelled(folder / f"TREC.{split}.all.gz") for split in ("train", "test")
            )
            return _bags(train, test)
        texts, labels = _labelled(folder / f"{name}.all.gz")
        order = np.random.default_rng(0).permutation(len(labels))
        held = set(order[::5].tolist())
        parts = [
            (
                [texts[at] for at in order if (at in held) == out],
                np.array([labels[at] for at in order if (at in held) == out]),
            )
            for out in (False, True)
        ]
        return _bags(parts[0], parts[1])

    return read


@lru_cache(maxsize=1)
def reviews() -> Split:
    """Film reviews of nltk, whole documents: every fifth is held out."""
    with zipfile.ZipFile(data_folder() / "nltk" / "movie_reviews.zip") as file:
        names = sorted(one for one in file.namelist() if re.search(r"/(pos|neg)/.*\.txt$", one))
        texts = [file.read(one).decode("utf-8", "replace") for one in names]
    labels = np.array([int("/pos/" in one) for one in names])
    order = np.random.default_rng(0).permutation(len(labels))
    held, kept = order[::5], np.delete(order, np.s_[::5])
    return _bags(
        ([texts[at] for at in kept], labels[kept]), ([texts[at] for at in held], labels[held])
    )


@lru_cache(maxsize=1)
def census() -> Split:
    """Census-Income (KDD), its test file: is the income above 50,000 dollars?"""
    from sklearn.preprocessing import OrdinalEncoder

    path = next((data_folder() / "census-income-test").glob("*.gz"))
    rows = [line.split(",") for line in _read(path).strip().split("\n")][:40_000]
    table = np.array([[one.strip() for one in row] for row in rows])
    labels = np.array([int("50000+" in one) for one in table[:, -1]])
    numbers = OrdinalEncoder().fit_transform(table[:, :-1])
    numbers = (numbers - numbers.mean(0)) / (numbers.std(0) + 1e-9)
    return _held_out(numbers.astype(np.float32), labels)


@lru_cache(maxsize=1)
def characters() -> Split:
    """Shakespeare: the next character after the last four, each as 0 and 1."""
    text = _read(data_folder() / "tinyshakespeare" / "input.txt.gz")
    ids = np.unique(list(text), return_inverse=True)[1]
    places = np.random.default_rng(0).choice(len(ids) - 4, 30_000, replace=False)
    before = ids[places[:, None] + np.arange(4)]
    ones = np.eye(ids.max() + 1, dtype=np.float32)[before].reshape(len(places), -1)
    return _held_out(ones, ids[places + 4])


@lru_cache(maxsize=1)
def word_kinds() -> Split:
    """EWT: the part of speech of a word, by hashed letters of it and its neighbours."""
    from sklearn.feature_extraction.text import HashingVectorizer

    from shoestring.tasks import treebank

    by: Any = HashingVectorizer(n_features=1 << 13, alternate_sign=False, token_pattern=r"\S+")
    splits = []
    for split, most in (("train", 40_000), ("validation", 10_000)):
        texts, tags = [], []
        for one in treebank("en", split):
            words = ["<", *one.words, ">"]
            for at, tag in enumerate(one.tags, 1):
                word = words[at].lower()
                marks = [f"a{words[at - 1].lower()}", f"b{words[at + 1].lower()}", f"w{word}"]
                marks += [f"{size}{word[-size:]}" for size in (1, 2, 3)]
                texts.append(" ".join([*marks, "C" if words[at][:1].isupper() else "c"]))
                tags.append(tag)
        splits.append((by.transform(texts[:most]), np.array(tags[:most])))
    return Split(splits[0], splits[1])


def _held_out(x: np.ndarray, y: np.ndarray) -> Split:
    order = np.random.default_rng(0).permutation(len(y))
    held, kept = order[::5], np.delete(order, np.s_[::5])
    return Split((x[kept], y[kept]), (x[held], y[held]))


def _read(path: Path) -> str:
    with gzip.open(path, "rb") as file:
        return file.read().decode("latin-1")


def _labelled(path: Path) -> tuple[list[str], np.ndarray]:
    """Lines of a label, a space and a text."""
    text = _read(path)
    pairs = [line.partition(" ")[::2] for line in text.strip().split("\n")]
    names = {name: at for at, name in enumerate(sorted({one[0] for one in pairs}))}
    return [one[1] for one in pairs], np.array([names[one[0]] for one in pairs])


def _bags(train: tuple[list[str], np.ndarray], held_out: tuple[list[str], np.ndarray]) -> Split:
    from sklearn.feature_extraction.text import HashingVectorizer

    by: Any = HashingVectorizer(ngram_range=(1, 2), n_features=1 << 14, alternate_sign=False)
    return Split((by.transform(train[0]), train[1]), (by.transform(held_out[0]), held_out[1]))


def regression(strength: float = 1.0) -> Learner:
    """Logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return lambda seed: LogisticRegression(C=strength, max_iter=100)


def steps(passes: int = 10) -> Learner:
    """Logistic regression by stochastic gradient descent."""
    from sklearn.linear_model import SGDClassifier

    classifier: Any = SGDClassifier  # whose annotations allow no tol of None
    return lambda seed: classifier(
        loss="log_loss", alpha=1e-5, max_iter=passes, tol=None, random_state=seed
    )


def bayes() -> Learner:
    """Naive Bayes of words."""
    from sklearn.naive_bayes import MultinomialNB

    return lambda seed: MultinomialNB(alpha=0.1)


def margins() -> Learner:
    """A linear support vector machine."""
    from sklearn.svm import LinearSVC

    return lambda seed: LinearSVC(random_state=seed)


def kernel() -> Learner:
    """A support vector machine with a Gaussian kernel."""
    from sklearn.svm import SVC

    return lambda seed: SVC(C=5.0)


def neighbours() -> Learner:
    """The nearest neighbour."""
    from sklearn.neighbors import KNeighborsClassifier

    return lambda seed: KNeighborsClassifier(1, algorithm="brute")


def forest(trees: int = 30) -> Learner:
    """A random forest."""
    from sklearn.ensemble import ExtraTreesClassifier

    return lambda seed: ExtraTreesClassifier(trees, random_state=seed)


def boosted() -> Learner:
    """Boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return lambda seed: HistGradientBoostingClassifier(max_iter=60, random_state=seed)


def network(passes: int = 10) -> Learner:
    """A network with one hidden layer of 64."""
    from sklearn.neural_network import MLPClassifier

    classifier: Any = MLPClassifier  # whose annotations allow no number as batch_size
    return lambda seed: classifier(
        (64,), max_iter=passes, batch_size=64, random_state=seed, learning_rate_init=2e-3
    )


def mnist_network() -> tuple[Any, Any]:
    """LeNet-300-100 on MNIST."""
    from shoestring.models import LeNet300
    from shoestring.tasks import mnist

    return LeNet300(), mnist(batch_size=64)


def digit_network() -> tuple[Any, Any]:
    """A small LeNet on the digits of scikit-learn."""
    from shoestring.recipes import digits_lenet

    return digits_lenet(0, steps=0)


def adult_network() -> tuple[Any, Any]:
    """A network for tables on Adult."""
    from shoestring.models import TabularNet
    from shoestring.tasks import adult, adult_columns

    columns = adult_columns()
    return TabularNet(columns.sizes, columns.mean, columns.deviation), adult()


def layers_of(data: Callable[[], Split], width: int) -> Callable[[], tuple[Any, Any]]:
    """A network with one hidden layer on a set."""

    def make() -> tuple[Any, Any]:
        import torch
        from torch import nn

        from shoestring.kit import Supervised

        split = data()
        parts: list[Any] = []
        for x, y in (split.train, split.held_out):
            dense = x if isinstance(x, np.ndarray) else x[:, :4096].toarray()
            parts.append((torch.tensor(dense, dtype=torch.float32), torch.tensor(y)))
        task = Supervised(train=parts[0], validation=parts[1], batch_size=64)
        inputs, classes = parts[0][0].shape[1], int(parts[0][1].max()) + 1
        return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes)), task

    return make


def cases() -> list[Case | Network]:
    """Those on which settings were chosen, and the twenty that count."""
    trec, subj, mpqa, reviewed = (sentences(name) for name in ("TREC", "subj", "mpqa", "custrev"))
    chosen_on: list[Case | Network] = [
        Case("TREC, logistic regression", trec, steps(20)),
        Case("TREC, support vectors", trec, margins()),
        Case("TREC, naive Bayes", trec, bayes()),
        Case("Subj, naive Bayes", subj, bayes()),
        Case("Subj, logistic regression", subj, steps(20)),
        Case("MPQA, naive Bayes", mpqa, bayes()),
        Case("MPQA, support vectors", mpqa, margins()),
        Case("customer reviews, logistic regression", reviewed, steps(20)),
        Case("customer reviews, naive Bayes", reviewed, bayes()),
        Case("film reviews, naive Bayes", reviews, bayes()),
        Case("census income, boosted trees", census, boosted()),
        Case("census income, forest", census, forest(20)),
        Case("census income, network", census, network(5)),
        Case("Shakespeare's characters, logistic regression", characters, steps(5)),
        Case("Shakespeare's characters, forest", characters, forest(20)),
        Case("EWT tags, logistic regression", word_kinds, steps(10)),
        Case("EWT tags, support vectors", word_kinds, margins()),
        Network("census income, network of torch", layers_of(census, 64), 1500),
        Network("Shakespeare's characters, network of torch", layers_of(characters, 128), 1500),
        Network("Subj, network of torch", layers_of(subj, 32), 800),
    ]
    counted: list[Case | Network] = [
        Case("MNIST, logistic regression", mnist_pixels, steps(5)),
        Case("MNIST, forest", mnist_pixels, forest(20)),
        Case("MNIST, nearest neighbour", mnist_pixels, neighbours()),
        Network("MNIST, LeNet-300-100", mnist_network, 2000),
        Case("digits, logistic regression", digit_pixels, regression()),
        Case("digits, Gaussian kernel", digit_pixels, kernel()),
        Case("digits, forest", digit_pixels, forest()),
        Network("digits, small LeNet", digit_network, 1500),
        Case("SST-2, logistic regression", sst2_words, steps(20)),
        Case("SST-2, naive Bayes", sst2_words, bayes()),
        Case("SST-2, support vectors", sst2_words, margins()),
        Case("40 languages, naive Bayes", languages, bayes()),
        Case("40 languages, support vectors", languages, margins()),
        Case("FSDD, Gaussian kernel", spoken, kernel()),
        Case("FSDD, forest", spoken, forest()),
        Case("Adult, logistic regression", adult_rows, regression()),
        Case("Adult, boosted trees", adult_rows, boosted()),
        Network("Adult, network for tables", adult_network, 1000),
        Case("CIFAR-10, forest", cifar_pixels, forest(20)),
        Case("CIFAR-10, network", cifar_pixels, network(3)),
    ]
    return [*(replace(one, choosing=True) for one in chosen_on), *counted]
