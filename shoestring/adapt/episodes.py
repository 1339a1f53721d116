"""Episodes: an embedding is learnt by classifying from a few examples, again and again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.adapt.comparing import ByAttention, ToPrototype
from shoestring.core import Predict, Task, Vary, array

Split = tuple[Tensor, Tensor]
_PASS = 100
"""Episodes of a pass over a split."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Episodes(Task):
    """Learn to tell classes from few examples: each batch is an episode with other classes.

    An episode has `ways` classes, `shots` examples of each that are known, and `queries` of each
    that are to be classified by comparing their embeddings with those of the known ones. The model
    gives embeddings N×D: its outputs. Train it with `kit.train`, then give it the classes that you
    have with `Prototypes(features=ModelOutputs())` or `Matching(features=ModelOutputs())`.

        task = Episodes(train=(x, y), validation=(x_of_other_classes, y_of_other_classes))
        body = train(Conv4(), task, Training(1000))

    The score is the share of right answers in 100 episodes, which are always the same ones.

    `train`, `validation`, `test`: (inputs, labels) of *different classes*; inputs are one tensor
        N×…, labels integers N, of any value.
    `ways`: 2 or more.
    `shots`, `queries`: examples of each class, 1 or more.
    `comparison`: ToPrototype() or ByAttention().
    `groups`: the group of each label, as a sequence in which the label is the place; the classes of
        an episode are then of one group (characters of one alphabet), and all of a group that has
        fewer than `ways`. None: of all classes.
    `augment`: `augment(inputs)` changes the inputs of a training episode; None: no change.
    `name`: tells tasks apart in records.

    Source: Vinyals et al. 2016, section 2.2; Snell, Swersky & Zemel 2017, section 2.5.
    Raises ValueError for numbers out of range, fewer than `ways` classes, a class with fewer than
    `shots` + `queries` examples, a class that is in two splits, and NaN or infinity.
    """

    train: Split = field(repr=False)
    validation: Split = field(repr=False)
    test: Split | None = field(default=None, repr=False)
    ways: int = 20
    shots: int = 1
    queries: int = 5
    comparison: ToPrototype | ByAttention = ToPrototype()
    groups: Sequence[Hashable] | None = field(default=None, repr=False)
    augment: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    name: str = "episodes"
    has_test: bool = field(init=False, repr=False)
    _rows: dict[str, list[list[Tensor]]] = field(init=False, repr=False)
    """The rows of each class, by group, of each split."""

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("shots", 1), ("queries", 1)):
            if not isinstance(value := getattr(self, name), int) or value < least:
                raise ValueError(f"{name}={value!r}: give an integer, {least} or more")
        object.__setattr__(self, "has_test", self.test is not None)
        splits = ("train", "validation", *(["test"] if self.has_test else []))
        object.__setattr__(self, "_rows", {split: self._by_group(split) for split in splits})
        seen: dict[int, str] = {}
        for split in splits:
            for label in self._split(split)[1].unique().tolist():
                if label in seen:
                    raise ValueError(
                        f"class {label} is in the splits {seen[label]!r} and {split!r}: an "
                        "embedding is validated on classes that it has not learnt"
                    )
                seen[label] = split

    def _split(self, split: str) -> Split:
        if split not in ("train", "validation", "test"):
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        if (given := getattr(self, split)) is None:
            raise ValueError(f"{self.name} has no test split: give it one, test=(inputs, labels)")
        return given

    def _by_group(self, split: str) -> list[list[Tensor]]:
        """The rows of each class, by group; groups of one class are left out."""
        inputs, labels = self._split(split)
        _check(split, inputs, labels)
        by_group: dict[Hashable, list[Tensor]] = {}
        for label in labels.unique().tolist():
            rows = (labels == label).nonzero().flatten()
            if len(rows) < self.shots + self.queries:
                raise ValueError(
                    f"class {label} of the {split} split has {len(rows)} examples, and an episode "
                    f"takes {self.shots} + {self.queries}: leave the class out, or ask for fewer "
                    "shots or queries"
                )
            by_group.setdefault(self._group(label), []).append(rows)
        found = [classes for classes in by_group.values() if len(classes) > 1]
        count = max(map(len, found), default=1)
        if not found or (self.groups is None and count < self.ways):
            raise ValueError(
                f"the {split} split has {count} class{'es' * (count > 1)}"
                f"{' in its largest group' * (self.groups is not None)}, and an episode "
                f"{self.ways}: give more classes, or ask for fewer ways"
            )
        return found

    def _group(self, label: int) -> Hashable:
        if self.groups is None:
            return None
        if not 0 <= label < len(self.groups):
            raise ValueError(
                f"class {label} has no group: groups= has {len(self.groups)}, one for each label "
                "from 0 up"
            )
        return self.groups[label]

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Tensor, int]]:
        """100 episodes, each as (inputs, ways): `shots` of each class, then `queries` of each."""
        for _ in range(_PASS):
            yield self._episode(split, None)

    def _episode(self, split: str, draw: torch.Generator | None) -> tuple[Tensor, int]:
        groups = self._rows[split] if split in self._rows else self._by_group(split)
        sizes = torch.tensor([len(classes) for classes in groups], dtype=torch.float)
        classes = groups[int(sizes.multinomial(1, generator=draw))]
        ways = min(self.ways, len(classes))
        taken = self.shots + self.queries
        rows = torch.stack(
            [
                classes[place][torch.randperm(len(classes[place]), generator=draw)[:taken]]
                for place in torch.randperm(len(classes), generator=draw)[:ways].tolist()
            ]
        )
        in_order = torch.cat([rows[:, : self.shots].flatten(), rows[:, self.shots :].flatten()])
        inputs = self._split(split)[0][in_order]
        if split == "train" and self.augment is not None:
            inputs = self.augment(inputs)
        return inputs, ways

    def _logits(self, embeddings: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """The logits of the queries, and their classes."""
        if embeddings.ndim != 2:
            raise ValueError(
                f"the model gives {list(embeddings.shape)}: an embedding is N×D, such as "
                "output.flatten(1)"
            )
        support, queries = embeddings.split([ways * self.shots, ways * self.queries])
        logits = self.comparison.logits(support.unflatten(0, (ways, self.shots)), queries)
        targets = torch.arange(ways, device=embeddings.device).repeat_interleave(self.queries)
        return logits, targets

    def loss(self, model: Any, batch: tuple[Tensor, int]) -> Tensor:
        inputs, ways = batch
        return functional.cross_entropy(*self._logits(model(inputs), ways))

    def merits(self, predict: Predict, split: str) -> np.ndarray:
        """The share of right answers in each of 100 episodes, 0 to 1."""
        draw, shares = torch.Generator().manual_seed(0), []
        for _ in range(_PASS):
            inputs, ways = self._episode(split, draw)
            embeddings = torch.from_numpy(np.array(array(predict(inputs)), dtype=np.float32))
            logits, targets = self._logits(embeddings, ways)
            shares.append(float((logits.argmax(1) == targets).float().mean()))
        return np.array(shares)

    def score(self, predict: Predict, split: str) -> float:
        """The share of right answers, 0 to 1."""
        return float(self.merits(predict, split).mean())

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (Vary(self.validation[0][:2], {0: "N"}),), {}


def _check(split: str, inputs: Tensor, labels: Tensor) -> None:
    if labels.ndim != 1 or labels.is_floating_point() or len(labels) != len(inputs):
        raise ValueError(
            f"the {split} split has inputs {list(inputs.shape)} and labels {list(labels.shape)} of "
            f"{labels.dtype}: give one integer for each example"
        )
    if inputs.is_floating_point() and not inputs.isfinite().all():
        bad = int((~inputs.flatten(1).isfinite().all(1)).nonzero()[0])
        raise ValueError(
            f"example {bad} of the {split} split holds NaN or infinity: clean the data first"
        )
