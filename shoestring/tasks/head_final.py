"""The words of a sentence in the order of a language whose heads come last, such as Japanese."""

from __future__ import annotations

from collections.abc import Sequence

from shoestring.kit.corpora.conllu import Sentence

_LAST = frozenset({"case", "mark", "aux", "cop"})
"""Relations of words that are heads to Head Finalization, and dependents to a UD treebank."""
_BESIDE = frozenset({"conj", "appos", "parataxis", "list", "flat", "fixed", "goeswith", "orphan"})
"""Relations of words that stand beside their head and not below it: these keep their order."""


def head_final(sentence: Sentence) -> tuple[int, ...]:
    """The words' places (from 0) in head-final order: those that depend on a word come before it.

    Everything but the head keeps its order. `Differs` where a UD treebank and Japanese ask for it:

    - Prepositions, subordinating conjunctions, auxiliaries and copulas (`case`, `mark`, `aux`,
      `cop`) are dependents in UD and heads in the paper: they come after their word, those before
      it the nearest first (would have seen: seen have would).
    - Coordination is an exception, as in the paper: conjuncts keep their order. A preposition or an
      auxiliary of the first one comes after the last one, unless another conjunct has one of its
      own kind (in Paris and London: Paris and London in). Appositions, parataxis, lists, names and
      fixed expressions keep their order too.
    - Punctuation that begins or ends what depends on a word stays there, so a full stop stays last;
      other punctuation is like any dependent.
    - It is an order only: the paper also leaves out articles and puts in particles that mark the
      subject and the object, and we do neither.

    Source: Isozaki et al. 2010, section 2.
    Raises ValueError for a sentence without heads, or whose heads are no tree.
    """
    return tuple(_subtree(_children(sentence), sentence, -1)[:-1])


def _children(sentence: Sentence) -> list[list[int]]:
    """The dependents of each word, in their order; those of the last entry are the roots.

    Raises ValueError for heads that are no tree.
    """
    count = len(sentence.words)
    start = " ".join(sentence.words[:6])
    if len(sentence.heads) != count:
        raise ValueError(
            f"the sentence {start!r} has no heads: give CoNLL-U with heads and relations in the "
            "seventh and the eighth field"
        )
    children: list[list[int]] = [[] for _ in range(count + 1)]
    for place, head in enumerate(sentence.heads):
        if not 0 <= head <= count:
            raise ValueError(f"the sentence {start!r} has a head {head} and {count} words")
        children[head - 1].append(place)
    seen, waiting = 0, list(children[-1])
    while waiting:
        seen += 1
        waiting += children[waiting.pop()]
    if seen != count:
        raise ValueError(f"the heads of the sentence {start!r} are no tree: there is a circle")
    return children


def _subtree(children: list[list[int]], sentence: Sentence, root: int) -> list[int]:
    """The places of all below a word and of itself, in head-final order; -1 is above all roots."""
    orders: dict[int, list[int]] = {}
    waiting = [(root, False)]
    while waiting:  # not by recursion: a sentence may be a chain of any length
        word, ready = waiting.pop()
        if not ready:
            waiting.append((word, True))
            waiting += [(child, False) for child in children[word]]
        else:
            orders[word] = _joined(word, children, sentence.relations, orders)
    return orders[root]


def _joined(
    word: int, children: list[list[int]], relations: Sequence[str], orders: dict[int, list[int]]
) -> list[int]:
    """The order of a word and what is below it, given the orders of what is below it."""
    kinds = {child: relations[child].partition(":")[0] for child in children[word]}
    beside = [c for c in children[word] if kinds[c] in _BESIDE and c > word]
    last = [c for c in children[word] if kinds[c] in _LAST]
    first, ending = _edges(word, [c for c in children[word] if c not in last], kinds)
    own = [c for c in last if c > word]  # 's is there already
    shared: list[int] = []
    conjuncts = [c for c in beside if kinds[c] == "conj"]
    theirs = {relations[c].partition(":")[0] for one in conjuncts for c in children[one]}
    for child in reversed([c for c in last if c < word]):
        (shared if conjuncts and kinds[child] not in theirs else own).append(child)
    placed = {*first, *ending, *beside, *last}
    before = [c for c in children[word] if c not in placed]
    parts = [*first, *before, word, *own, *beside, *shared, *ending]
    return [at for part in parts for at in ([word] if part == word else orders[part])]


def _edges(word: int, others: list[int], kinds: dict[int, str]) -> tuple[list[int], list[int]]:
    """The punctuation with which what is below a word begins, and that with which it ends."""
    row = sorted([word, *others])
    begin, end = 0, len(row)
    while begin < end and kinds.get(row[begin]) == "punct":
        begin += 1
    while end > begin and kinds.get(row[end - 1]) == "punct":
        end -= 1
    return row[:begin], row[end:]
