"""A text as hashes of the n-grams of its words, without a vocabulary, for one label of it all."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact.chains import hashed_text_loop
from shoestring.artifact.chains.checks import whole
from shoestring.artifact.chains.hashing import mixed
from shoestring.artifact.chains.language_codes import with_code
from shoestring.artifact.chains.letter_blocks import (
    LetterBlocks,
    check_pages,
    check_scripts,
    letter_blocks,
)
from shoestring.artifact.chains.text_steps import Run, TextStep, texts_of
from shoestring.artifact.wire import ShoeError

UNDETERMINED = "und"
"""The answer where a text says nothing; also the code of ISO 639-3 for that."""
_OFFSET, _PRIME = np.uint32(2166136261), np.uint32(16777619)
_LETTERS_AT_ONCE = 1 << 16  # characters that are computed together, about: all in a cache
_TEXTS_AT_ONCE = 1 << 14  # each takes a number for each kind of blocks, also where it is empty
_IDS_AT_ONCE = 1 << 14  # of one run of the network, about: their embeddings fit into a cache
_LETTER, _OTHER = 1, 2
_KINDS = np.zeros(0x110000, np.uint8)  # of code points; 0: not looked up yet


@dataclass(frozen=True, kw_only=True)
class HashedText(TextStep):
    """For each text the hashes of all n-grams of its words, in any number.

    A text is put in small letters and in Unicode's form NFC. Letters and marks stay (the general
    categories L and M); each run of other characters is one space, and a space stands before and
    after the text. An n-gram may have a space as its first or as its last character, and not
    inside, nor alone. Its id is 1 + FNV-1a (32 bits, over whole code points, from a start that
    depends on its length), mixed, modulo `buckets`. Ids come by the place where n-grams begin, and
    there by length; 0 is padding.

    Source: Joulin et al. 2016 (hashed n-grams); Botha et al. 2017, section 4.1 (language
    identification).

    `lengths`: of n-grams in characters, 1 to 8, rising.
    `buckets`: how many ids there are besides padding, 1 to 2^22.
    `most`: how many characters of a text count, 1 to 65,536: the first ones.
    `pages`: the pages of Unicode (256 code points each) in which training had letters, as pairs of
        a first page and a last one: letters of others are unknown. (): all are known.
    `scripts`: sets of blocks of 128 code points, one after the other: each is the number of its
        pairs, and these pairs of a first block and a last one.
    `script_of`: of each label the number of the set, from 0, in which its training texts had their
        letters: no text with less than half of its letters there has this label. Sets have 256
        pairs in all, at most. (), for both: any text may have any label.

    Raises ValueError for other fields.
    """

    job: ClassVar[str] = "identify"

    lengths: tuple[int, ...] = (1, 2, 3, 4)
    buckets: int = 1 << 15
    most: int = 256
    pages: tuple[int, ...] = ()
    scripts: tuple[int, ...] = ()
    script_of: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.lengths, tuple) or not 1 <= len(self.lengths) <= 8:
            raise ValueError("lengths must be a tuple of 1 to 8 integers")
        for length in self.lengths:
            whole("a length", length, 1, 8)
        if list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths are {self.lengths}: give each once, the shortest first")
        whole("buckets", self.buckets, 1, 1 << 22)
        whole("most", self.most, 1, 1 << 16)
        check_pages(self.pages)
        check_scripts(self.scripts, self.script_of)

    @property
    def ids(self) -> int:
        """How many ids there are, with 0 for padding."""
        return 1 + self.buckets

    def of_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts, one text after the other (int64), and how many each has (N)."""
        ids, counts_N, _ = self.features(texts)
        return ids, counts_N

    def features(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ids of all texts, how many each has (N), and the share of its letters that is known.

        A letter is known where training had letters of its page of Unicode; the share is 0 where a
        text has no letters. The numbers are the same with numba as without.
        """
        ids, counts_N, letters_NC = self._read(texts)
        return ids, counts_N, self._letter_blocks().known(letters_NC)

    def _letter_blocks(self) -> LetterBlocks:
        return letter_blocks(self.pages, self.scripts)

    def _read(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ids of all texts, how many each has, and its letters by the kind of their block."""
        found = self._letter_blocks()
        kinds = found.kinds
        if hashed_text_loop.worth_it(sum(map(len, texts))):
            points = self._points(texts)
            _kinds(points)
            return hashed_text_loop.hashes(
                points, _KINDS, found.kind_of, kinds, self.lengths, self.buckets, len(texts)
            )
        points, text_of = self.letters(texts)
        ids, counts_N = self._ids(points, text_of, len(texts))
        letter = points != 0x20
        places = text_of[letter] * kinds + found.kind_of[points[letter] >> 7]
        letters = np.bincount(places, minlength=len(texts) * kinds)
        return ids, counts_N, letters.reshape(len(texts), kinds)

    def _ids(
        self, points: np.ndarray, text_of: np.ndarray, texts: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and their numbers, given what `letters` returns."""
        grams = len(points)
        space = points == 0x20
        more = np.concatenate([points, np.full(8, 0x20, np.uint32)])
        spaced = np.concatenate([space, np.ones(8, bool)])
        ids = np.zeros((grams, len(self.lengths)), np.int64)
        state = np.full(grams, _OFFSET, np.uint32)
        whole_word = np.ones(grams, bool)  # no character but the first was a space so far
        for at in range(max(self.lengths)):
            state = (state ^ more[at : at + grams]) * _PRIME
            last = spaced[at : at + grams]
            if at + 1 in self.lengths:
                found = mixed(state + np.uint32(at)).astype(np.int64) % self.buckets + 1
                fits = whole_word & (np.arange(grams) + at < grams)
                if at < 2:
                    fits &= ~(space & last)  # nothing but spaces
                ids[:, self.lengths.index(at + 1)] = found * fits
            if at:
                whole_word = whole_word & ~last
        kept = ids != 0
        return ids[kept], np.bincount(text_of, kept.sum(1), minlength=texts).astype(np.int64)

    def _points(self, texts: Sequence[str]) -> np.ndarray:
        """The code points of texts in small letters and NFC, a newline before and after each."""
        cut = [text[: self.most].replace("\n", " ") for text in texts]
        line = "\n" + "\n".join(cut) + "\n" if cut else "\n"
        line = unicodedata.normalize("NFC", line.lower())
        return np.frombuffer(line.encode("utf-32-le", "surrogatepass"), np.uint32)

    def letters(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Code points with one space around each run of letters, and the text of each.

        One space stands between two texts; as it begins n-grams it belongs to the second.
        """
        points = self._points(texts)
        text_of = np.cumsum(points == 0x0A) - 1
        letter = _kinds(points) == _LETTER
        points = np.where(letter, points, np.uint32(0x20))
        kept = letter.copy()
        kept[:-1] |= letter[1:]  # the space before a letter
        kept[1:] |= letter[:-1]  # the space after one
        points, text_of, letter = points[kept], text_of[kept], letter[kept]
        twice = np.zeros(len(points), bool)  # of two spaces the first; n-grams start at the second
        twice[:-1] = ~letter[:-1] & ~letter[1:]
        points, text_of, letter = points[~twice], text_of[~twice], letter[~twice]
        begins = np.zeros(len(points), np.int64)
        begins[:-1] = np.where(letter[:-1], text_of[:-1], text_of[1:])
        if len(points):
            begins[-1] = text_of[-1] if letter[-1] else text_of[-2]
        return points, begins

    def scores(self, labels: int) -> int:
        """One for each label."""
        return labels

    def __call__(self, raw: Any) -> np.ndarray:
        """Ids N×T (int64) of N texts, or of one; raises ValueError for what are no texts."""
        return padded(*self.of_texts(texts_of(raw)))

    def shape_of(self, shape: Any) -> tuple[int, ...]:
        """1×1: the number of n-grams varies."""
        return (1, 1)

    def answers(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        run: Run,
        *,
        top: int = 1,
        among: Sequence[str] = (),
    ) -> list[list[tuple[str, float]]]:
        """For each text its most likely labels with their probabilities, the likeliest first.

        Where less than half of a text's letters are of known pages, or it has none, the answer is
        "und" alone, with the share of its letters that are unknown (1 where it has none). Labels
        that `scripts` rule out are no answer, and probabilities are those among the others; where
        they rule all out, it is "und" with the share of letters that are in no label's blocks.

        `top`: how many labels, 1 or more.
        `among`: the labels that can be the answer: a label, or the part of labels before "_", which
            stands for all of these; (): all. Probabilities are those among them, and add up to 1.
        Raises ValueError for another `top`, and for what in `among` is no label.
        """
        if type(top) is not int or top < 1:
            raise ValueError(f"top is {top!r}: it must be an integer, 1 or more")
        chosen_K, names = chosen(labels, among), [*map(str, labels)]
        found: list[list[tuple[str, float]]] = []
        for batch in _batches(texts, self.most):
            known_N, left_N, best_NK, share_NK = self._best(batch, run, chosen_K, top)
            if top == 1:  # fewer objects, which take more time than the network's sums
                told = (one.tolist() for one in (known_N, left_N, best_NK[:, 0], share_NK[:, 0]))
                found += [
                    [(names[best], share) if left else (UNDETERMINED, 1 - known)]
                    for known, left, best, share in zip(*told, strict=True)
                ]
                continue
            told = (one.tolist() for one in (known_N, left_N, best_NK, share_NK))
            for known, left, best, share in zip(*told, strict=True):
                if left:
                    likely = [names[k] for k in best[:left]]
                    found.append(list(zip(likely, share[:left], strict=True)))
                else:
                    found.append([(UNDETERMINED, 1 - known)])
        return found

    def _best(
        self, texts: Sequence[str], run: Run, chosen_K: np.ndarray, top: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """For each text what its letters and its scores say.

        The share of its letters that are known, or are in the blocks of the label that has the most
        of them; how many labels are left, up to `top`; the numbers of the likeliest of these, and
        their probabilities.
        """
        ids, counts_N, letters_NC = self._read(texts)
        known_N = self._letter_blocks().known(letters_NC)
        left_N = np.full(len(texts), len(chosen_K))
        of_K: np.ndarray | None = None  # the set of each label
        ruled_NS = np.zeros((len(texts), 0), np.float32)  # -infinity where a set is ruled out
        if self.scripts:
            of_K = np.array(self.script_of)[chosen_K]
            inside_NS = self._letter_blocks().inside(letters_NC)
            out_NS = inside_NS < 0.5
            ruled_NS = np.where(out_NS, np.float32(-np.inf), np.float32(0))
            left_N = ~out_NS @ np.bincount(of_K, minlength=out_NS.shape[1])
            known_N = np.where(known_N < 0.5, known_N, inside_NS[:, np.unique(of_K)].max(1))
        left_N[known_N < 0.5] = 0
        first_N = np.cumsum(counts_N) - counts_N
        top = min(top, len(chosen_K))
        best = np.zeros((len(texts), top), np.int64)
        shares = np.zeros((len(texts), top))
        order = np.argsort(counts_N, kind="stable")  # texts of about one length together
        order = order[left_N[order] > 0]
        at = 0
        while at < len(order):
            longest = max(1, int(counts_N[order[min(at + 255, len(order) - 1)]]))
            some = order[at : at + max(1, min(256, _IDS_AT_ONCE // longest))]
            at += len(some)
            scores = np.asarray(run(_rows(ids, first_N, counts_N, some)))
            if len(chosen_K) < scores.shape[1]:
                scores = scores[:, chosen_K]
            if of_K is not None:
                scores = scores + np.take(ruled_NS[some], of_K, axis=1)
            likely = scores.argmax(1)[:, None]  # the first NaN, where there is one
            most = np.take_along_axis(scores, likely, 1)
            if not np.isfinite(most).all():
                raise ShoeError("the network gives NaN or infinity: no label is the likeliest")
            if top > 1:
                likely = np.argsort(-scores, axis=1, kind="stable")[:, :top]
            powers = np.exp(scores - most)
            best[some] = chosen_K[likely]
            shares[some] = np.take_along_axis(powers, likely, 1) / powers.sum(1, keepdims=True)
        return known_N, np.minimum(left_N, top), best, shares

    def described(self, text: str, answer: Any) -> dict[str, Any]:
        """The text, its label, and labels with scores."""
        scores = [{"label": label, "score": round(score, 6)} for label, score in answer]
        return {"text": text, "label": answer[0][0], "scores": scores}

    def line(self, answer: Any) -> str:
        """The label; where there are several, each with its score."""
        if len(answer) == 1:
            return answer[0][0]
        return " ".join(f"{label} {score:.4f}" for label, score in answer)


def chosen(labels: Sequence[str], among: Sequence[str]) -> np.ndarray:
    """The numbers of the labels that `HashedText.answers` chooses among, rising.

    Raises ValueError for texts in `among` that are no labels, nor the part of one before "_".
    """
    if isinstance(among, str):
        raise ValueError(f"among is {among[:60]!r}: give a list of labels")
    if not among:
        return np.arange(len(labels))
    wanted = set(among)
    parts = {label.partition("_")[0] for label in labels}
    if unknown := sorted(map(str, wanted - parts - set(labels))):
        said = ", ".join(repr(one[:60]) for one in unknown[:8])
        more = f" and {len(unknown) - 8:,} more" if len(unknown) > 8 else ""
        raise ValueError(
            f"the file has no label {said}{more}: it has {len(labels):,} others"
            f"{_similar(unknown, labels)}; shoestring identify FILE --labels lists them"
        )
    numbers = [k for k, one in enumerate(labels) if {one, one.partition("_")[0]} & wanted]
    return np.array(numbers, np.int64)


def _similar(unknown: Sequence[str], labels: Sequence[str]) -> str:
    """What labels may be meant by some that the file has not."""
    meant = {one: with_code(one, labels)[:4] for one in unknown[:8]}
    told = [f"{one!r} is {' or '.join(some)} there" for one, some in meant.items() if some]
    if told:
        return f", and {', '.join(told)}"
    begin = [label for one in unknown for label in labels if one and label.startswith(one)]
    return f", among them {', '.join(begin[:4])}" if begin else ""


def _rows(
    ids: np.ndarray, first_N: np.ndarray, counts_N: np.ndarray, some: np.ndarray
) -> np.ndarray:
    """The ids of some texts, the longest last, in rows with padding."""
    width = max(1, int(counts_N[some[-1]]))
    if hashed_text_loop.worth_it(0):
        return hashed_text_loop.rows(ids, first_N, counts_N, some, width)
    places = np.arange(width)
    inside = places < counts_N[some, None]
    rows = np.zeros((len(some), width), np.int64)
    rows[inside] = ids[(first_N[some, None] + places)[inside]]
    return rows


def padded(ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Ids of texts one after the other, in rows with padding: N×T, T at least 1."""
    inside = np.arange(max(1, int(counts.max(initial=1)))) < counts[:, None]
    rows = np.zeros(inside.shape, np.int64)
    rows[inside] = ids
    return rows


def _kinds(points: np.ndarray) -> np.ndarray:
    """Whether code points are letters or marks; each is looked up once in a process."""
    kinds = _KINDS[points]
    if not kinds.all():
        for point in np.unique(points[kinds == 0]).tolist():
            category = unicodedata.category(chr(point))
            _KINDS[point] = _LETTER if category[0] in "LM" else _OTHER
        kinds = _KINDS[points]
    return kinds


def _batches(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += min(len(text), most) + 1
        if characters > _LETTERS_AT_ONCE or len(batch) >= _TEXTS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
