"""Tagging words and cutting texts into words, as Tasks made of sentences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.artifact import HashedCharacters, HashedWords, InputChain
from shoestring.artifact.chains.hashed_characters import BEGIN, INSIDE
from shoestring.artifact.chains.rows import positions
from shoestring.artifact.progress import progress
from shoestring.core.kinds import ClassLogits
from shoestring.kit import Supervised
from shoestring.kit.corpora.conllu import NO_TAG, Sentence

_ASKED = 256  # rows that a teacher is asked about together
_ROW = 60  # places of a training row that are scored
_UNSCORED, _UNSEEN = -100, -101  # targets that are no label


def tagging(
    train: Sequence[Sentence],
    validation: Sequence[Sentence],
    test: Sequence[Sentence] | None,
    *,
    step: HashedWords,
    batch_size: int = 16,
    name: str = "tagging",
) -> Supervised:
    """Ids R×T×K of words and their tags R×T; the score is the share of words whose tag is right.

    Sentences stand one after the other in rows of one length, as a file reads them, so nothing is
    lost on padding; words at a row's edges are there as context for others, with -100 for a tag.
    The labels are the tags of the training sentences, in alphabetical order. A word without a tag
    (`NO_TAG`) is not scored. A tag that training has not is never right, which a warning says.

    `test`: None: nothing can be proved.
    `step`: from words to ids; its `reach` is that of the network.
    `batch_size`: rows of a training batch, of 60 words each.
    Raises ValueError where no training word has a tag.
    """
    labels = tuple(sorted({tag for one in train for tag in one.tags} - {NO_TAG}))
    if not labels:
        raise ValueError("no word of the training sentences has a tag: give tagged sentences")
    known = {tag: number for number, tag in enumerate(labels)} | {NO_TAG: _UNSCORED}
    splits: dict[str, Any] = {}
    for split, sentences in (("train", train), ("validation", validation), ("test", test)):
        if sentences is None:
            continue
        if new := sorted({tag for one in sentences for tag in one.tags} - known.keys()):
            warnings.warn(
                f"the {split} sentences have tags that training has not, which count as wrong: "
                f"{', '.join(map(repr, new[:8]))}",
                stacklevel=2,
            )
        ids = step.of_sentences([[word for one in sentences for word in one.words]])[0]
        targets = [known.get(tag, _UNSEEN) for one in sentences for tag in one.tags]
        lengths = [len(one.words) for one in sentences]
        splits[split] = _rows(ids, targets, lengths, apart=step.reach, reach=step.reach)
    return _task(splits, step, labels, batch_size, name)


def segmenting(
    train: Sequence[Sentence],
    validation: Sequence[Sentence],
    test: Sequence[Sentence],
    *,
    step: HashedCharacters,
    batch_size: int = 16,
    name: str = "segmenting",
) -> Supervised:
    """Ids R×T×K of characters, and whether a word begins (0) or goes on (1) at each, R×T.

    Rows are as in `tagging`. The score is the share of characters that are right: words are scored
    on the file, as `word_f1` does. The words are those of `Sentence.surface`.

    `step`: from characters to ids; its `reach` is that of the network.
    """
    splits: dict[str, Any] = {}
    apart = max(2, step.reach)
    for split, sentences in (("train", train), ("validation", validation), ("test", test)):
        ids, targets, lengths = [np.zeros((0, len(step.buckets)), np.int64)], [], []
        for text, words in map(written, sentences):
            ids.append(step([text])[0][: len(text)])
            targets += targets_of(text, words)
            lengths.append(len(text))
        splits[split] = _rows(np.concatenate(ids), targets, lengths, apart, step.reach)
    return _task(splits, step, (BEGIN, INSIDE), batch_size, name)


def taught_rows(
    task: Supervised,
    teacher: Callable[[Tensor], Tensor],
    sentences: Sequence[Sequence[str]] = (),
    *,
    own: float = 0.5,
    copies: int = 1,
) -> Supervised:
    """The same task, whose training targets are probabilities of labels, R×T×labels.

    The teacher is asked once about each row. At labelled words the probability is a mixture of the
    label's and of the teacher's; sentences without labels, which only the teacher labels, make more
    rows. A place that is not scored has zeros. Validation and test stay as they are.

    `task`: made by `tagging` or `segmenting`.
    `teacher`: ids R×T×K to logits R×T×labels: a module in evaluation mode, or a function.
    `sentences`: the words of each, or texts for a segmenter.
    `own`: the share of the label in the mixture, 0 to 1.
    `copies`: how often a labelled row is in the training split, 1 or more.

    Raises ValueError for numbers out of range.
    Source: Hinton, Vinyals & Dean 2015, section 2 (soft targets); Buciluă et al. 2006 (a large
    model labels what has no labels, for a small one).
    """
    if not 0 <= own <= 1 or copies < 1:
        raise ValueError(f"own is {own} and copies {copies}: from 0 to 1, and 1 or more")
    assert task.input_chain is not None
    ids, targets = task.train
    assert isinstance(ids, Tensor)
    labels = len(task.input_chain.labels)
    scored = (targets >= 0).unsqueeze(-1)
    exact = functional.one_hot(targets.clamp(min=0), labels)
    mixed = (own * exact + (1 - own) * _asked(teacher, ids)) * scored
    rows, wanted = [ids] * copies, [mixed.half()] * copies
    if sentences:
        step = task.input_chain.steps[0]
        more, places = _unlabelled(step, sentences)
        rows.append(more)
        wanted.append((_asked(teacher, more) * (places >= 0).unsqueeze(-1)).half())
    return replace(
        task,
        train=(torch.cat(rows), torch.cat(wanted)),
        criterion=_soft_loss,
        kinds=ClassLogits(2),
    )


def _unlabelled(step: Any, sentences: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """The rows of sentences without labels, and targets of 0 where a place is theirs."""
    if isinstance(step, HashedWords):
        ids = step.of_sentences([[word for words in sentences for word in words]])[0]
        targets, apart = [0] * len(ids), step.reach
    else:
        ids = np.concatenate([step([text])[0][: len(text)] for text in sentences])
        targets = [_UNSCORED if one.isspace() else 0 for text in sentences for one in text]
        apart = max(2, step.reach)
    return _rows(ids, targets, [*map(len, sentences)], apart, step.reach)


@torch.no_grad()
def _asked(teacher: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """The teacher's probabilities, R×T×labels."""
    batches = ids.split(_ASKED)
    with progress("asking the teacher", len(batches)) as advance:
        answers = []
        for batch in batches:
            answers.append(teacher(batch).softmax(-1).half())
            advance("")
    return torch.cat(answers)


def written(sentence: Sentence) -> tuple[str, tuple[str, ...]]:
    """The text of a sentence, and the words of which it consists.

    Where the file has no text, or one of which the words are not a part, the text is the words
    without spaces between.
    """
    words = tuple("".join(word.split()) for word in sentence.surface)
    text = sentence.text
    if "".join(text.split()) != "".join(words):
        text = "".join(words)
    return text, words


def targets_of(text: str, words: Sequence[str]) -> list[int]:
    """For each character 0 where a word begins, 1 inside, -100 for white space."""
    begins = set(np.cumsum([0, *map(len, words)]).tolist())
    targets, place = [], 0
    for character in text:
        if character.isspace():
            targets.append(_UNSCORED)
        else:
            targets.append(0 if place in begins else 1)
            place += 1
    return targets


def word_f1(wanted: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """The F1 of words, 0 to 1: a word is right where both its ends are.

    `wanted`, `found`: the words of each text, whose characters are the same but for white space.
    Source: the shared task of CoNLL 2018 (words). Raises ValueError for other characters.
    """
    right = count = 0
    for ours, theirs in zip(wanted, found, strict=True):
        if "".join(ours) != "".join(theirs):
            raise ValueError(f"the words {theirs[:8]} are not those of {''.join(ours)[:40]!r}")
        right += len(_spans(ours) & _spans(theirs))
        count += len(ours) + len(theirs)
    return 2 * right / count if count else 0.0


def _spans(words: Sequence[str]) -> set[tuple[int, int]]:
    ends = np.cumsum([0, *map(len, words)]).tolist()
    return set(pairwise(ends))


def _rows(
    ids_PK: np.ndarray, targets: list[int], lengths: list[int], apart: int, reach: int
) -> tuple[Tensor, Tensor]:
    """Ids R×T×K and targets R×T of all places of texts."""
    places, size = positions(np.array(lengths, np.int64), apart)
    count = -(-max(1, size - 2 * reach) // _ROW)
    stream = np.zeros((count * _ROW + 2 * reach, ids_PK.shape[1]), np.int64)
    stream[places] = ids_PK
    wanted = np.full(len(stream), _UNSCORED, np.int64)
    wanted[places] = targets
    at_RT = np.arange(count)[:, None] * _ROW + np.arange(_ROW + 2 * reach)
    targets_RT = wanted[at_RT]
    targets_RT[:, :reach] = _UNSCORED
    targets_RT[:, _ROW + reach :] = _UNSCORED
    return torch.from_numpy(stream[at_RT]), torch.from_numpy(targets_RT)


def _task(
    splits: dict[str, Any],
    step: HashedWords | HashedCharacters,
    labels: tuple[str, ...],
    batch_size: int,
    name: str,
) -> Supervised:
    return Supervised(
        **splits,
        name=name,
        batch_size=batch_size,
        criterion=_loss,
        merit=_right,
        axes={1: "T"},
        input_chain=InputChain(steps=(step,), labels=labels),
    )


def _loss(logits_RTC: Tensor, targets: Tensor) -> Tensor:
    """The mean loss over places that are scored and have a known label."""
    return functional.cross_entropy(
        logits_RTC.flatten(0, 1), targets.clamp(min=_UNSCORED).flatten(), ignore_index=_UNSCORED
    )


def _soft_loss(logits_RTC: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy with probabilities R×T×C over places that have some."""
    scored = targets.sum(-1) > 0
    return functional.cross_entropy(logits_RTC[scored], targets[scored].to(logits_RTC))


def _right(logits_RTC: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 for each place whose label is right, else 0."""
    return (logits_RTC.argmax(-1) == targets)[targets != _UNSCORED].astype(np.float64)
