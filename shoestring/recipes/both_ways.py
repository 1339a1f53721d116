"""Two translators that teach one another: few sentences with translations, and many without."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from shoestring.core import Task, Technique, apply, prove, score, scores, seeded
from shoestring.dual import (
    BackTranslation,
    Best,
    DualTask,
    LanguageModel,
    Marginals,
    Pool,
    Rounds,
    Sequences,
    TwoWay,
)
from shoestring.kit import (
    AdamW,
    Clipped,
    Mixed,
    SkippedWarning,
    Training,
    resuming,
    save,
    train,
)
from shoestring.kit.embeddings.vectors import FullVectors
from shoestring.kit.training.settings import Cosine
from shoestring.models import Translator, WordLSTM
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks.multi30k import multi30k, multi30k_pieces
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
    `sources`, `targets`: sentences without a translation, as `pool` takes them.
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
    """Sentences in batches of the task's size; empty ones are left out.

    Those that are longer than the task's `longest` are cut, with a SkippedWarning that counts them.
    """
    ids = task.pieces.all_ids([one for one in sentences if one.strip()])
    if long := sum(len(one) >= task.longest for one in ids):
        warnings.warn(
            f"{long} of {len(ids)} sentences without a translation have more than {task.longest} "
            "pieces and are cut there: raise longest= or cut them",
            SkippedWarning,
            stacklevel=2,
        )
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


def half_paired(task: Translation, pairs: int) -> tuple[Translation, list[str], list[str]]:
    """A task with its first pairs alone; and of the others, sources and targets without a pair.

    They are the sources of one half and the targets of the other, so that no pair is hidden in
    them.

    `pairs`: that stay, 1 or more and fewer than there are.
    Raises ValueError for another number.
    """
    if not 0 < pairs < len(task.train):
        raise ValueError(
            f"{pairs} pairs are to stay of {len(task.train)}: give 1 or more, and fewer than all"
        )
    rest = task.train[pairs:]
    half = len(rest) // 2
    alone = [source for source, _ in rest[:half]], [target for _, target in rest[half:]]
    return replace(task, train=task.train[:pairs]), *alone


def short_sentences(task: Translation, words: int = 9, most: int = 4000) -> Translation:
    """The pairs of which neither side has more than so many words, `most` of each split."""
    short = {
        split: [p for p in getattr(task, split) if max(len(one.split()) for one in p) <= words]
        for split in ("train", "validation", "test")
    }
    return replace(task, **{split: pairs[:most] for split, pairs in short.items()})  # type: ignore[arg-type]


def end_to_end(run: Run) -> None:
    """Multi30k, English and German: a tenth of the pairs, then two rounds of back-translation.

    --quick: short sentences and tiny networks.
    """
    torch.set_num_threads(1)
    pieces = multi30k_pieces("en", "de", size=1000 if run.quick else 4000)
    whole = multi30k("en", "de", vocabulary=pieces)
    if run.quick:
        size = Size(width=48, layers=1, heads=2, hidden=96, dropout=0.1)
        first, then = Training(500, AdamW(5e-3)), Training(300, AdamW(2e-3))
        short = replace(short_sentences(whole), tokens=512, longest=40)
        few, sources, targets = half_paired(short, 800)
    else:
        size, first, then = Size(), TRAINING.scaled(0.2), TRAINING.scaled(1 / 3)
        few, sources, targets = half_paired(replace(whole, tokens=1024), 2900)
    task = both_ways(few, sources, targets)
    technique = BackTranslation(writing=Best(1), renewal=Rounds(2), training=then)
    with resuming(run.folder / "unfinished"):
        with seeded(run.seed):
            begun = train(size.translators(pieces), task.sealed(), first, what="on the pairs")
        _rows(run, "pairs", task, begun)
        taught = apply(technique, begun, task.sealed(), ledger=run.ledger, seed=run.seed)
    assert isinstance(taught, TwoWay)
    _rows(run, "back-translation", task, taught)
    path, ready = run.folder / "both_ways.shoe", for_files(task, taught)
    run.row("back-translation", "size", save(taught, ready.sealed(), path), "bytes")
    test = prove(path, ready, ledger=run.ledger, seed=run.seed, note="taught_translators")
    run.row("back-translation", "test BLEU of the file, mean of both", 100 * test, "BLEU")


def _rows(run: Run, subject: str, task: DualTask, model: TwoWay) -> None:
    run.row(subject, "validation BLEU", 100 * score(task.sealed(), model), "BLEU")
    for direction, value in scores(task, model, "test").items():
        run.row(subject, f"test_2016 BLEU, {direction}", 100 * value, "BLEU")
    assert isinstance(task.ahead, Translation)
    price = dollars([source for source, _ in task.ahead.train])
    run.row(subject, "price of the pairs", price, "dollars at 7.5 cents a word")


RECIPE = Recipe(
    name="taught_translators",
    line="two translators of English and German: few pairs, and sentences without a translation",
    scarce="translations",
    instead="sentences of each language without one, which each translates for the other",
    data=("Multi30k",),
    minutes=40,
    quick_minutes=1.5,
    page="dual.md",
    run=end_to_end,
    extras=("train", "translate"),
    elsewhere="He et al. 2016 and Sennrich et al. 2016, on WMT",
    results=Results(
        file="dual_translation.multi30k-cpu.jsonl",
        before=(Line("all 4,000 pairs of short sentences", "short en-de, all pairs"),),
        ours=(Line("800 pairs, back-translation", "short en-de, back-translation"),),
        baselines=(
            Line("800 pairs", "short en-de, pairs"),
            Line("800 pairs, longer", "short en-de, pairs, longer"),
        ),
        saved=Measure("dollars for the pairs", "price of the pairs", "dollars", ",.0f"),
        lost=Measure(
            "test BLEU, from English", "test_2016 BLEU, forward", "BLEU", ".1f", higher=True
        ),
        also=(
            Measure(
                "test BLEU, into English", "test_2016 BLEU, backward", "BLEU", ".1f", higher=True
            ),
        ),
        price=Measure("minutes of a core", "minutes of a core", "minutes of a core", ".1f"),
    ),
)
