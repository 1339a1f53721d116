"""Few pairs and much text without translations, Multi30k: `python benchmarks/dual_translation.py`.

A tenth of the English-German pairs (2,900), and the other sentences of both languages as text
without translations (those of one language are not those that the other's translate). A small
transformer each way, trained on the pairs; then as many steps again on the pairs alone, by
back-translation, by dual learning, by dual supervised learning and by adversarial training; and
all pairs. BLEU by sacrebleu on test 2016 and 2017, by a beam of four, in both directions; choices
look at validation. `one way`: all pairs, one direction, 6,000 steps. Three seeds; English-French
has one. `short`: sentences of at most nine words, 800 pairs and 3,200 without, tiny networks.

Goes on where it was interrupted, each row by itself: `--only back --seed 0`, `--publish` puts what
is there in the results file. About an hour of a core for a row.
--quick: one seed of the short sentences; some minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import process_time
from typing import Any

import torch
from rows import RESULTS, Rows, start
from torch import nn

from shoestring.core import score, scores, seeded
from shoestring.dual import (
    Adversarial,
    BackTranslation,
    DualLearning,
    DualSupervised,
    DualTask,
    Marginals,
    SequenceJudge,
)
from shoestring.kit import AdamW, Clipped, Mixed, Training, clone, resuming, train
from shoestring.kit.training.resume import snapshots
from shoestring.kit.training.settings import Cosine
from shoestring.models import Translator
from shoestring.recipes.both_ways import Size, both_ways, dollars, fluency
from shoestring.tasks.multi30k import multi30k, multi30k_lines, multi30k_pieces
from shoestring.tasks.translation import Beam, Translation

PAIRS, ALL = 2_900, 29_000
SHORT = "short en-de"
SEEDS = {SHORT: (0, 1, 2), "en-de": (0, 1, 2), "en-fr": (0,)}
TESTS = ("test_2016", "test_2017")
VOCABULARY = 4_000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is trained, in full or in quick.

    `first`: the training on the pairs; `then`: what follows, of each way; `whole`: on all pairs.
    `fluent`: of the language models.
    """

    size: Size
    first: Training
    then: Training
    whole: Training
    fluent: Training


def _training(steps: int, rate: float) -> Training:
    return Training(
        steps, AdamW(rate), schedule=Cosine(0.08), precision=Mixed(), clipping=Clipped(1.0)
    )


FULL = Setting(
    size=Size(),
    first=_training(3000, 2e-3),
    then=_training(3000, 1e-3),
    whole=_training(6000, 2e-3),
    fluent=_training(2000, 2e-3),
)
TINY = Setting(
    size=Size(width=48, layers=1, heads=2, hidden=96, dropout=0.1, fluency_width=48),
    first=Training(500, AdamW(5e-3)),
    then=Training(300, AdamW(2e-3)),
    whole=Training(800, AdamW(5e-3)),
    fluent=Training(200, AdamW(5e-3)),
)


def main() -> None:
    torch.set_num_threads(1)
    rows = start("dual_translation", "multi30k-cpu", __doc__ or "", seeds=True)
    for name, seeds in SEEDS.items():
        if rows.quick and name != SHORT:
            continue
        chosen = (0,) if rows.quick else seeds
        for seed in chosen if rows.seed is None else (rows.seed,):
            if seed in seeds:
                _language(rows, name, seed)
    if rows.seed is None:
        rows.close()


def _language(rows: Rows, name: str, seed: int) -> None:
    """All rows of English and one language."""
    is_short, language = name == SHORT, name[-2:]
    setting = TINY if is_short else FULL
    few, whole, alone = _data(language, is_short)
    begun: list[nn.Module] = []

    def pairs(task: DualTask) -> nn.Module:
        """The translators that all ways go on from; trained once."""
        if not begun:
            with _resumed(rows, f"{name} {seed}"), seeded(seed):
                model = setting.size.translators(few.pieces)
                begun.append(train(model, task.sealed(), setting.first, what="on the pairs"))
        return clone(begun[0])

    marginals: list[Marginals] = []

    def fluent() -> Marginals:
        if not marginals:
            with _resumed(rows, f"{name} {seed}"), seeded(seed):
                some = [
                    fluency(few, text, setting.fluent, setting.size.fluency_width) for text in alone
                ]
                marginals.append(Marginals(source=some[0], target=some[1]))
        return marginals[0]

    def plain(task: DualTask) -> nn.Module:
        return train(pairs(task), task.sealed(), setting.then, what="longer on the pairs")

    def by(technique: Any, fluent_too: bool) -> Callable[[DualTask], nn.Module]:
        def run(task: DualTask) -> nn.Module:
            model = pairs(task)
            shown = replace(task, marginals=fluent()) if fluent_too else task
            with seeded(seed):
                return technique(model, shown.sealed())

        return run

    ways: dict[str, tuple[Translation, Callable[[DualTask], nn.Module]]] = {
        "pairs": (few, pairs),
        "pairs, longer": (few, plain),
        "back-translation": (few, by(BackTranslation(training=setting.then), False)),
        "dual learning": (few, by(DualLearning(training=setting.then), True)),
        "dual supervised": (few, by(DualSupervised(training=setting.then), True)),
        "adversarial": (
            few,
            by(
                Adversarial(judge=SequenceJudge(ids=len(few.pieces)), training=setting.then),
                False,
            ),
        ),
        "all pairs": (
            whole,
            lambda task: train(
                setting.size.translators(whole.pieces), task.sealed(), setting.whole
            ),
        ),
    }
    for what, (task, way) in ways.items():
        subject = f"{name}, {what}"
        if rows.wanted(subject) and not rows.done(subject, seed):
            _row(rows, subject, both_ways(task, *alone), way, seed)
    if name == "en-de" and seed == 0:
        _one_way(rows, whole)


def _data(language: str, is_short: bool) -> tuple[Translation, Translation, list[list[str]]]:
    """The task with few pairs, that with all, and the text of each language without pairs."""
    pieces = multi30k_pieces("en", language, size=1000 if is_short else VOCABULARY)
    whole = replace(multi30k("en", language, vocabulary=pieces), tokens=2048)
    if is_short:
        whole = replace(whole, tokens=512, longest=40, **_short(whole))
    few_count, all_count = (800, 4000) if is_short else (PAIRS, ALL)
    rest = whole.train[few_count:all_count]
    half = len(rest) // 2
    alone = [[pair[0] for pair in rest[:half]], [pair[1] for pair in rest[half:]]]
    few = replace(whole, train=whole.train[:few_count])
    return few, replace(whole, train=whole.train[:all_count]), alone


def _short(task: Translation) -> dict[str, Any]:
    """The pairs of at most nine words."""
    short = {
        split: [p for p in getattr(task, split) if max(len(one.split()) for one in p) <= 9]
        for split in ("train", "validation", "test")
    }
    return {split: pairs[:4000] for split, pairs in short.items()}


def _resumed(rows: Rows, what: str) -> Any:
    folder = "dual_translation.quick" if rows.quick else "dual_translation"
    return resuming(RESULTS / "unfinished" / folder / what.replace(", ", "_"))


def _row(
    rows: Rows,
    subject: str,
    task: DualTask,
    way: Callable[[DualTask], nn.Module],
    seed: int,
) -> None:
    """Train one way, and score it in both directions."""
    began, kept = process_time(), _resumed(rows, f"{subject} {seed}")
    with kept, seeded(seed):
        is_whole = not any(snapshots().iterdir())  # type: ignore[union-attr]
        model = way(task)
    if is_whole:  # what an earlier, interrupted run took is not known
        rows.add(subject, "minutes of a core", (process_time() - began) / 60, "minutes", seed)
    rows.add(subject, "validation BLEU", 100 * score(task.sealed(), model), "BLEU", seed)
    ahead, back = task.ahead, task.back
    assert isinstance(ahead, Translation) and isinstance(back, Translation)
    rows.add(
        subject,
        "price of the pairs",
        dollars([source for source, _ in ahead.train]),
        "dollars at 7.5 cents a word",
        seed,
    )
    is_short = subject.startswith(SHORT)
    for test in TESTS[:1] if is_short else TESTS:
        pairs = ahead.test if is_short else _pairs(test, subject[3:5])
        turned = [(target, source) for source, target in pairs]
        scored = replace(
            task,
            ahead=replace(ahead, test=pairs, writing=Beam()),
            back=replace(back, test=turned, writing=Beam()),
        )
        for direction, value in scores(scored, model, "test").items():
            rows.add(subject, f"{test} BLEU, {direction}", 100 * value, "BLEU", seed)
    rows.add(subject, "done", 1, "", seed)


def _pairs(split: str, language: str) -> list[tuple[str, str]]:
    return list(zip(multi30k_lines(split, "en"), multi30k_lines(split, language), strict=True))


def _one_way(rows: Rows, task: Translation) -> None:
    """All pairs, English to German alone: whether the network is a respectable one."""
    subject = "en-de, all pairs, one way"
    if not rows.wanted(subject) or rows.done(subject, 0):
        return
    with _resumed(rows, subject):
        torch.manual_seed(0)
        size = FULL.size
        model = Translator(
            len(task.pieces),
            width=size.width,
            layers=size.layers,
            heads=size.heads,
            hidden=size.hidden,
            dropout=size.dropout,
        )
        train(model, task.sealed(), FULL.whole, what="translation")
    rows.add(subject, "validation BLEU", 100 * score(task.sealed(), model), "BLEU", 0)
    for test in TESTS:
        scored = replace(task, test=_pairs(test, "de"), writing=Beam())
        rows.add(subject, f"{test} BLEU, forward", 100 * score(scored, model, "test"), "BLEU", 0)
    count = sum(parameter.numel() for parameter in model.parameters())
    rows.add(subject, "parameters", count, "", 0)
    rows.add(subject, "done", 1, "", 0)


if __name__ == "__main__":
    main()
