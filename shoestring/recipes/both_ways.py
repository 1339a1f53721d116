"""Two translators that teach one another: few sentences with translations, and many without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from shoestring.core import Task, Technique, apply, seeded
from shoestring.dual import DualTask, LanguageModel, Marginals, Pool, Sequences, TwoWay
from shoestring.kit import AdamW, Clipped, Mixed, Training, train
from shoestring.kit.embeddings.vectors import FullVectors
from shoestring.kit.training.settings import Cosine
from shoestring.models import Translator, WordLSTM
from shoestring.tasks.pieces import END, START, Pieces
from shoestring.tasks.translation import Translation

TRAINING = Training(
    6000, AdamW(2e-3), schedule=Cosine(0.08), precision=Mixed(), clipping=Clipped(1.0)
)
"""Of the translators, on pairs."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of each of two translators, and of each of two language models.

    `width`, `layers`, `heads`, `hidden`, `dropout`: as `models.Translator` has them.
    `fluency_width`: of the language models, which are recurrent.
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 256
    dropout: float = 0.2
    fluency_width: int = 128

    def translators(self, pieces: Pieces) -> TwoWay:
        """Both, untrained, in one module."""
        return TwoWay(
            *[
                Translator(
                    len(pieces),
                    width=self.width,
                    layers=self.layers,
                    heads=self.heads,
                    hidden=self.hidden,
                    dropout=self.dropout,
                )
                for _ in range(2)
            ]
        )


def both_ways(
    ahead: Translation,
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
    *,
    marginals: Marginals = Marginals(),
) -> DualTask:
    """A task of translating there and back: the score is the mean of both BLEUs.

    `ahead`: of the forward direction, with the pairs.
    `sources`, `targets`: sentences without a translation. Those that are longer than the task's
        `longest` are cut there.
    `marginals`: how likely sentences are, as `fluency` makes them; `DualLearning` and
        `DualSupervised` ask for them.
    """
    back = replace(
        ahead,
        train=_turned(ahead.train),
        validation=_turned(ahead.validation),
        test=_turned(ahead.test),
        name=f"{ahead.name}, back",
    )
    there = Sequences(part="ahead", alphabet=ahead.alphabet, smoothing=ahead.smoothing, growth=2.0)
    return DualTask(
        ahead=ahead,
        back=back,
        forward=there,
        backward=replace(there, part="back", encode="encode_back", step="step_back"),
        marginals=marginals,
        sources=pool(ahead, sources),
        targets=pool(ahead, targets),
        pair=_without_start,
        name=f"{ahead.name}, both ways",
    )


def pool(task: Translation, sentences: Sequence[str]) -> Pool:
    """Sentences in batches of the task's size; empty ones are left out."""
    ids = task.pieces.all_ids([one for one in sentences if one.strip()])
    return Pool([[*one[: task.longest - 1], END] for one in ids], task.tokens)


def for_files(task: DualTask, model: TwoWay) -> DualTask:
    """The task with an example of this model's states, so that files of it can be written."""
    assert isinstance(task.ahead, Translation) and isinstance(task.back, Translation)
    return replace(
        task, ahead=task.ahead.for_model(model.ahead), back=task.back.for_model(model.back)
    )


def _turned(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(target, source) for source, target in pairs]


def _without_start(batch: Any) -> tuple[Tensor, Tensor]:
    source, target = batch
    return source, target[:, 1:]


@dataclass(frozen=True, eq=False)
class _NextPiece(Task):
    """Predict each piece of sentences from those before it."""

    sentences: Pool
    name: str = "next piece"

    def batches(self, split: str, *, model: Any = None) -> Any:
        return iter(self.sentences)

    def loss(self, model: Any, batch: Any) -> Tensor:
        rows = torch.nn.functional.pad(batch, (1, 0), value=START)
        is_piece = batch != 0
        return -(model(rows).float() * is_piece).sum() / is_piece.sum()

    def score(self, predict: Any, split: str) -> float:
        losses = [float(self.loss(predict, batch)) for batch in self.batches(split)]
        return -sum(losses) / len(losses)

    def example(self) -> Any:
        return (torch.full((2, 5), START),), {}


def fluency(task: Translation, sentences: Sequence[str], training: Training, width: int) -> Any:
    """A language model of sentences as a marginal: how likely a sentence is by itself.

    `training`: of a recurrent network of so many units (`width`).
    """
    some = pool(task, sentences)
    learnt = _NextPiece(some)
    module = WordLSTM(FullVectors(len(task.pieces), width))
    train(module, learnt, training, what="training a language model")
    return LanguageModel(module.eval().requires_grad_(False), task.alphabet)


def taught_translators(
    ahead: Translation,
    sources: Sequence[str],
    targets: Sequence[str],
    technique: Technique,
    *,
    size: Size = Size(),
    training: Training = TRAINING,
    fluent: Training | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> tuple[TwoWay, DualTask]:
    """(two translators in one module, their task): trained on the pairs, then by the technique.

    `ahead`: the task of the forward direction, with the pairs that there are.
    `sources`, `targets`: sentences of each language without a translation.
    `technique`: of `shoestring.dual`, such as BackTranslation().
    `size`: of the networks.
    `training`: on the pairs alone.
    `fluent`: of the language models that say how fluent a sentence is; None: there are none, as
        BackTranslation needs none.
    `seed`: of what is drawn and trained.
    `say`: called with a line after each part.

    Raises ValueError where the technique needs sentences or language models that there are not.
    """
    marginals = Marginals()
    with seeded(seed):
        if fluent is not None:
            marginals = Marginals(
                source=fluency(ahead, sources, fluent, size.fluency_width),
                target=fluency(ahead, targets, fluent, size.fluency_width),
            )
            say("the language models are trained")
        task = both_ways(ahead, sources, targets, marginals=marginals)
        model = train(size.translators(ahead.pieces), task.sealed(), training, what="on the pairs")
    say("the translators are trained on the pairs")
    taught = apply(technique, model, task.sealed(), seed=seed)
    return taught, task


def dollars(sentences: Sequence[str], *, dollars_per_word: float = 0.075) -> float:
    """What it costs to have sentences translated.

    `dollars_per_word`: translators take 0.05 to 0.10, by the words of the source.
    """
    return dollars_per_word * sum(len(one.split()) for one in sentences)
