"""Writing sequences with a module or a file that has the entries `encode` and `step`.

`encode(*inputs)` returns a mapping of tensors with N rows, the state. `step(last, **state)` takes
the item before, N, and returns a mapping with `logits` N×V of the next one and what changed in the
state. `models.Translator` is one such module; a module of another kind and a loaded file of it are
called in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shoestring.core import array

_AFTER_THE_END = 0  # what stands where a sequence has ended


@dataclass(frozen=True, kw_only=True)
class Alphabet:
    """The ids with a meaning of their own; 0 is padding.

    `start`: stands before the first item.
    `end`: the item that ends a sequence.
    `most`: items of a sequence, with its end, 1 or more; longer ones are cut there.

    Raises ValueError for numbers out of range.
    """

    start: int
    end: int
    most: int

    def __post_init__(self) -> None:
        if self.most < 1 or self.start < 0 or self.end < 1:
            raise ValueError(
                f"start is {self.start}, end {self.end} and most {self.most}: they must be at "
                "least 0, 1 and 1, as 0 is padding"
            )


State = dict[str, Any]


def greedy(predict: Any, inputs: Sequence[Any], alphabet: Alphabet) -> Tensor:
    """The likeliest item at each place: N×T (int64), each with its end, 0 after that.

    `predict`: a module or a file with the entries `encode` and `step`.
    `inputs`: what `encode` takes.
    """
    return _written(predict, inputs, alphabet, lambda logits: logits.argmax(-1))


def sampled(
    predict: Any, inputs: Sequence[Any], alphabet: Alphabet, *, temperature: float = 1.0
) -> Tensor:
    """Items drawn from the probabilities, by torch's generator: N×T, 0 after the end.

    `temperature`: by which logits are divided, above 0.
    Raises ValueError for another temperature.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}: it must be above 0, such as 1")
    # The highest of the logits and Gumbel noise is a draw from their softmax.
    return _written(
        predict,
        inputs,
        alphabet,
        lambda logits: (logits / temperature - torch.empty_like(logits).exponential_().log())
        .argmax(-1),
    )  # fmt: skip


def beam(
    predict: Any,
    inputs: Sequence[Any],
    alphabet: Alphabet,
    *,
    beams: int = 4,
    length_power: float = 0.6,
) -> tuple[Tensor, Tensor]:
    """The best sequences that a beam finds: ids N×K×T and their log-probabilities N×K.

    The best comes first, by the log-probability divided by its number of items to the power
    `length_power`. A beam as wide as there are sequences searches them all.

    `beams`: K, 1 or more.
    `length_power`: 0 prefers the likeliest sequences, which are short; 1 their mean.
    Raises ValueError for numbers out of range.
    """
    if beams < 1 or length_power < 0:
        raise ValueError(
            f"beams is {beams} and length_power {length_power}: they must be at least 1 and 0"
        )
    state = _encoded(predict, inputs)
    count = _rows(state)
    found = _Found.none(count, beams, alphabet.most)
    state = _chosen(state, torch.arange(count).repeat_interleave(beams))
    alive = torch.arange(count)
    ids = torch.zeros(count, beams, 0, dtype=torch.long)
    # At first all beams are equal: only one of them may go on.
    scores = torch.full((count, beams), -torch.inf)
    scores[:, 0] = 0
    ended = torch.zeros(count, beams, dtype=torch.bool)
    lengths = torch.zeros(count, beams)
    last = torch.full((count * beams,), alphabet.start)
    for _ in range(alphabet.most):
        before = state
        logits, state = _stepped(predict, last, state)
        logs = logits.log_softmax(-1).view(len(alive), beams, -1)
        width = logs.shape[-1]
        # An ended sequence goes on as itself alone.
        logs = logs.masked_fill(ended[..., None], -torch.inf)
        logs[..., _AFTER_THE_END] = torch.where(ended, 0.0, logs[..., _AFTER_THE_END])
        scores, best = (scores[..., None] + logs).flatten(1).topk(min(beams, beams * width), 1)
        source, item = best // width, best % width
        ids = torch.cat([_along(ids, source), item[..., None]], 2)
        lengths = lengths.gather(1, source) + ~ended.gather(1, source)
        ended = ended.gather(1, source) | (item == alphabet.end)
        goes_on = ~ended.all(1)
        found.keep(alive[~goes_on], ids[~goes_on], scores[~goes_on], lengths[~goes_on])
        if not bool(goes_on.any()):
            break
        rows = torch.arange(len(alive))[:, None] * beams + source
        if bool(goes_on.all()):
            state, last = _moved(before, state, rows.flatten()), item.flatten()
            continue
        state, last = _chosen(state, rows[goes_on].flatten()), item[goes_on].flatten()
        alive, ids, scores = alive[goes_on], ids[goes_on], scores[goes_on]
        ended, lengths = ended[goes_on], lengths[goes_on]
    else:
        found.keep(alive, ids, scores, lengths)
    return found.in_order(length_power, ids.shape[2])


@dataclass(frozen=True, eq=False)
class _Found:
    """What a beam has found so far: ids N×K×T, their log-probabilities and lengths N×K."""

    ids: Tensor
    scores: Tensor
    lengths: Tensor

    @classmethod
    def none(cls, count: int, beams: int, most: int) -> _Found:
        """Room for so many inputs, beams and items."""
        return cls(
            ids=torch.full((count, beams, most), _AFTER_THE_END),
            scores=torch.full((count, beams), -torch.inf),
            lengths=torch.ones(count, beams),
        )

    def keep(self, rows: Tensor, ids: Tensor, scores: Tensor, lengths: Tensor) -> None:
        """Note the sequences of these inputs, which are at their end."""
        self.ids[rows, :, : ids.shape[2]] = ids
        self.scores[rows], self.lengths[rows] = scores, lengths

    def in_order(self, length_power: float, longest: int) -> tuple[Tensor, Tensor]:
        """The sequences of each input, cut to the longest, and their log-probabilities.

        The best comes first.
        """
        order = (self.scores / self.lengths.clamp(min=1) ** length_power).argsort(
            dim=1, descending=True, stable=True
        )
        return _along(self.ids[..., :longest], order), self.scores.gather(1, order)


def log_likelihoods(predict: Any, inputs: Sequence[Any], target: Tensor) -> Tensor:
    """The log-probability of each target, N, in nats, item by item as a file can say it.

    `target`: ids N×(T+1), each with its start and end, 0 after that.
    """
    state = _encoded(predict, inputs)
    total = torch.zeros(len(target))
    for place in range(target.shape[1] - 1):
        logits, state = _stepped(predict, target[:, place], state)
        wanted = target[:, place + 1]
        likely = logits.log_softmax(-1).gather(1, wanted[:, None]).squeeze(1)
        total = total + likely * (wanted != _AFTER_THE_END)
    return total


def _along(ids: Tensor, source: Tensor) -> Tensor:
    """The sequences N×K×T of each row in the order that `source` N×K says."""
    return ids.gather(1, source[..., None].expand(-1, -1, ids.shape[2]))


def _written(
    predict: Any, inputs: Sequence[Any], alphabet: Alphabet, choose: Callable[[Tensor], Tensor]
) -> Tensor:
    """Sequences whose items `choose` takes from logits; rows that have ended are left out."""
    state = _encoded(predict, inputs)
    alive = torch.arange(_rows(state))
    ids = torch.full((len(alive), alphabet.most), _AFTER_THE_END)
    last = torch.full((len(alive),), alphabet.start)
    for place in range(alphabet.most):
        logits, state = _stepped(predict, last, state)
        last = choose(logits)
        ids[alive, place] = last
        goes_on = last != alphabet.end
        if not bool(goes_on.any()):
            return ids[:, : place + 1]
        if not bool(goes_on.all()):
            left = goes_on.nonzero().squeeze(1)
            state, last, alive = _chosen(state, left), last[left], alive[left]
    return ids


def _encoded(predict: Any, inputs: Sequence[Any]) -> State:
    state = predict.encode(*inputs)
    if not isinstance(state, Mapping):
        raise TypeError(
            f"the entry encode gives {type(state).__name__}: return a mapping of tensors with a "
            "row for each input, the keyword arguments of step"
        )
    return {name: _tensor(value) for name, value in state.items()}


def _stepped(predict: Any, last: Tensor, state: State) -> tuple[Tensor, State]:
    answer = {name: _tensor(value) for name, value in predict.step(last, **state).items()}
    logits = answer.pop("logits").float()
    return logits, {**state, **answer}


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(array(value))


def _rows(state: State) -> int:
    return len(next(iter(state.values())))


def _moved(before: State, after: State, rows: Tensor) -> State:
    """The state after a step, in the order of the beams that go on.

    What the step did not change is alike for all beams of an input, and stays as it is.
    """
    changed = {name: value for name, value in after.items() if value is not before[name]}
    return {**after, **_chosen(changed, rows)}


def _chosen(state: State, rows: Tensor) -> State:
    return {name: value[rows] for name, value in state.items()}
