"""Movie reviews: 2,000 reviews of 1.5 million words, for models that predict the next word."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import chain
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.core import Axis, Numbers, Predict, Task, Vary, array
from shoestring.core.kinds import Kinds
from shoestring.tasks.fetch import DataError, Source, fetch

END, UNKNOWN = 0, 1
WINDOW = 64
_SPECIAL = ("<end>", "<unknown>")
_SOURCE = Source(
    "nltk",
    "movie_reviews.zip",
    "https://raw.githubusercontent.com/nltk/nltk_data/5db857e/packages/corpora/movie_reviews.zip",
    "a41211ae685019137410268134db6a1a14428c89b671eb83056151a878539008",
)
_SPLITS = {"train": "01234567", "validation": "8", "test": "9"}  # by the review's first digit
_HELD_BYTES = 200_000  # of validation and of test, where bytes are predicted
_AT_ONCE = 16  # windows scored at a time: 40,000 logits for each of their words


@dataclass(frozen=True)
class ReviewVocabulary:
    """The words that have an id, the most frequent first.

    `words`: the first two are "<end>", which ends a review, and "<unknown>", which stands for
        every word without an id.
    """

    words: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        """The number of ids."""
        return len(self.words)

    def ids(self, words: Iterable[str]) -> Tensor:
        """The ids of words in lower case, T (int64); 1 for a word that has none."""
        known = {word: number for number, word in enumerate(self.words)}
        return torch.tensor([known.get(word, UNKNOWN) for word in words], dtype=torch.int64)


def review_vocabulary(words: int = 40_000) -> ReviewVocabulary:
    """The vocabulary of `movie_reviews(words=words)`.

    It is made from the training reviews, which have 45,671 different words. Words of one frequency
    come in alphabetical order.

    `words`: how many ids there are, those of "<end>" and "<unknown>" included; 3 or more.
    Raises DataError, and ValueError for a number that is too small.
    """
    return _vocabulary(_read()["train"], words)


@dataclass(frozen=True, kw_only=True, eq=False)
class NextWord(Task):
    """Predict each word of a text from those before it, within windows.

    The model gets ids N×(T+1), and returns the log-probabilities, in nats, of the ids after the
    first of each window: N×T. Its states begin as zeros in each window: a window is an example, in
    any order, and the first words of a window are predicted from few. (Many published figures carry
    the states from window to window, which gives lower perplexities.)

    The score is the mean log-probability of a word in bits, which is at most 0: the perplexity is 2
    to the power of minus the score (`perplexity`). Limit what may be lost in bits: `drop<=0.01`.

    `train`, `validation`, `test`: the ids of a text, one stream each (int64).
    `words`: how many ids there are.
    `window`: words that are predicted in a window, 1 or more. The words that are left over at the
        end of a stream are a shorter window in validation and test, and not trained on.
    `batch_size`: windows of a training batch, 1 or more.
    `entries`: further methods of the model that take ids N×T, such as ("next",), for its file: a
        file then has the entry "forward" and these.
    `name`: tells tasks apart in records.

    Raises ValueError for a stream that is shorter than a window, and for ids out of range.
    """

    train: Tensor = field(repr=False)
    validation: Tensor = field(repr=False)
    test: Tensor = field(repr=False)
    words: int
    window: int = WINDOW
    batch_size: int = 16
    entries: tuple[str, ...] = ()
    name: str = "next word"
    kinds: Kinds = field(default_factory=Numbers, repr=False)
    _chosen: Tensor | None = field(default=None, repr=False)
    """The windows of the validation split that are scored; None: all."""

    def __post_init__(self) -> None:
        if self.window < 1 or self.batch_size < 1:
            raise ValueError(
                f"the window is {self.window} and the batch size {self.batch_size}: both must be "
                "1 or more"
            )
        for split in _SPLITS:
            stream = self._stream(split)
            if len(stream) <= self.window:
                raise ValueError(
                    f"the {split} stream has {len(stream)} words: it must have more than a window "
                    f"({self.window})"
                )
            low, high = int(stream.min()), int(stream.max())
            if low < 0 or high >= self.words:
                raise ValueError(
                    f"the {split} stream has ids from {low} to {high}: they must be from 0 to "
                    f"{self.words - 1}, as there are {self.words} words; map words beyond the "
                    "vocabulary to an id for unknown words"
                )

    def batches(self, split: str, *, model: Any = None) -> Iterator[Tensor]:
        """Batches of windows, ids N×(T+1). The order of "train" is drawn anew for each pass."""
        if split != "train":
            yield from self._scored(split)
            return
        windows = self._windows(split)
        for indices in torch.randperm(len(windows)).split(self.batch_size):
            yield windows[indices]

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The mean over words of minus the log-probability, in nats."""
        return -model(batch).mean()

    def score(self, predict: Predict, split: str) -> float:
        """The mean log-probability of a word, in bits."""
        return float(self.merits(predict, split).mean())

    def merits(self, predict: Predict, split: str) -> np.ndarray:
        """The log-probability of each word, in bits."""
        file_with_entries = bool(self.entries) and not isinstance(predict, torch.nn.Module)
        call: Any = predict.forward if file_with_entries else predict  # type: ignore[attr-defined]
        parts = [array(call(ids)).reshape(-1) for ids in self._scored(split)]
        return np.concatenate(parts).astype(np.float64) / log(2)

    def sampled(self, examples: int, seed: int) -> Task:
        """The same task with at most `examples` validation windows (1 or more), in their order."""
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        count = len(self._windows("validation"))
        if examples >= count:
            return self
        drawn = np.random.default_rng(seed).choice(count, examples, replace=False)
        task = copy(self)
        object.__setattr__(task, "_chosen", torch.from_numpy(np.sort(drawn)))
        return task

    def example(self) -> Any:
        """Two windows; their number and their length vary."""
        windows = self._windows("validation")[:2]
        # A window of one id predicts nothing, and recurrent layers take no empty sequence.
        call = (Vary(windows, {0: "N", 1: Axis("T", least=2)}),), {}
        further = (Vary(windows, {0: "N", 1: "T"}),), {}
        return {"forward": call, **dict.fromkeys(self.entries, further)} if self.entries else call

    def _stream(self, split: str) -> Tensor:
        if split not in _SPLITS:
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        return getattr(self, split)

    def _windows(self, split: str) -> Tensor:
        """The whole windows, N×(window+1); the last id of one is the first of the next."""
        return self._stream(split).unfold(0, self.window + 1, self.window)

    def _scored(self, split: str) -> Iterator[Tensor]:
        """The windows that are scored, some at a time, and what is left over."""
        windows = self._windows(split)
        if split == "validation" and self._chosen is not None:
            yield from windows[self._chosen].split(_AT_ONCE)
            return
        yield from windows.split(_AT_ONCE)
        rest = self._stream(split)[len(windows) * self.window :]
        if len(rest) > 1:
            yield rest[None]


def movie_reviews(
    *,
    words: int = 40_000,
    window: int = WINDOW,
    batch_size: int = 16,
    entries: tuple[str, ...] = (),
) -> NextWord:
    """Next words of film reviews: 1.2 million to train on, 148,000 to choose by, 154,000 to test.

    Reviews are split by their numbers: those whose number begins with 8 are for validation, with 9
    for testing, the others for training. Each ends with the id 0. Words are in lower case and
    separated as the corpus has them; its line ends are left out.

    `words`: how many ids there are, 3 or more; `review_vocabulary(words)` has them. With 40,000, 1
        word in 200 is unknown in training, and 1 in 40 in validation.
    `window`, `batch_size`, `entries`: as in NextWord.
    Source: Pang & Lee 2004, polarity dataset 2.0, as packaged by NLTK (CC BY 4.0).
    Raises DataError where the file cannot be had or is damaged, and ValueError.
    """
    texts = _read()
    known = {word: number for number, word in enumerate(_vocabulary(texts["train"], words).words)}
    streams: dict[str, Any] = {
        split: torch.tensor(
            [known.get(word, UNKNOWN) for review in reviews for word in (*review, _SPECIAL[END])],
            dtype=torch.int64,
        )
        for split, reviews in texts.items()
    }
    return NextWord(
        **streams,
        words=len(known),
        window=window,
        batch_size=batch_size,
        entries=entries,
        name="movie_reviews",
    )


def review_bytes(*, window: int = 128, batch_size: int = 16) -> NextWord:
    """Next bytes of the same reviews: 6.3 million to train on, 200,000 to choose by and to test.

    Its score is minus the bits per byte. The splits are those of `movie_reviews`, of which
    validation and test are cut. Words are separated by spaces and reviews by line ends, in Latin-1.

    `window`, `batch_size`: as in NextWord.
    Raises DataError where the file cannot be had or is damaged, and ValueError.
    """
    streams: dict[str, Any] = {}
    for split, reviews in _read().items():
        text = "\n".join(map(" ".join, reviews)).encode("latin1")
        text = text if split == "train" else text[:_HELD_BYTES]
        streams[split] = torch.from_numpy(np.frombuffer(text, np.uint8).astype(np.int64))
    return NextWord(**streams, words=256, window=window, batch_size=batch_size, name="review bytes")


def perplexity(score: float) -> float:
    """The perplexity that belongs to a score of NextWord: 2 to the power of minus the score."""
    return 2.0**-score


def _vocabulary(reviews: list[list[str]], words: int) -> ReviewVocabulary:
    if words <= len(_SPECIAL):
        raise ValueError(f"a vocabulary of {words} words: 3 is the least, as two ids are special")
    counts = Counter(chain.from_iterable(reviews))
    kept = sorted(counts, key=lambda word: (-counts[word], word))[: words - len(_SPECIAL)]
    return ReviewVocabulary((*_SPECIAL, *kept))


def _read() -> dict[str, list[list[str]]]:
    """The words of the reviews of each split, in the order of their paths."""
    path = fetch(_SOURCE)
    texts: dict[str, list[list[str]]] = {split: [] for split in _SPLITS}
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            for name in sorted(archive.namelist()):
                _, is_review, number = name.partition("/cv")
                if is_review:
                    split = next(split for split, digits in _SPLITS.items() if number[0] in digits)
                    texts[split].append(archive.read(name).decode("latin1").split())
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DataError(f"{path} is not the reviews as NLTK packages them: {error}") from error
    return texts
