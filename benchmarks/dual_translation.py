"""Few pairs and much text without translations, Multi30k: `python benchmarks/dual_translation.py`.

A tenth of the English-German pairs (2,900), and the other sentences of both languages as text
without translations (those of one language are not those that the other's translate). A small
transformer each way, trained on the pairs. Then, from these: longer on the pairs alone; by two
rounds of back-translation; by dual supervised learning; by adversarial training. From the
back-translated ones: two rounds more ("back-translation, longer"), and dual learning, which has
about the same minutes. And all pairs. Steps, dropout and rates were chosen on validation BLEU. BLEU
by sacrebleu on test 2016 and 2017, by a beam of four, in both directions. "minutes of a core" are
those of a row alone, without those of the models that it goes on from. `one way`: all pairs, one
direction, 6,000 steps. Three seeds; English-French has one, and four of the rows. `short`:
sentences of at most nine words, 800 pairs and 3,200 without, tiny networks.

Goes on where it was interrupted, each row by itself: `--only back --seed 0`, `--publish` puts what
is there in the results file. About two hours of a core for the first rows of a seed.
--quick: one seed of the short sentences; some minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import process_time
from typing import Any

import torch
from rows import RESULTS, Rows, start
from torch import nn

from shoestring.core import Task, Technique, score, scores, seeded
from shoestring.dual import (
    Adversarial,
    BackTranslation,
    Best,
    DualLearning,
    DualSupervised,
    DualTask,
    Marginals,
    Rounds,
    SequenceJudge,
)
from shoestring.kit import AdamW, Clipped, Mixed, Training, resuming, train
from shoestring.kit.training.settings import Cosine
from shoestring.models import Translator
from shoestring.recipes.both_ways import (
    Size,
    both_ways,
    dollars,
    fluency,
    half_paired,
    pool,
    short_sentences,
)
from shoestring.tasks.multi30k import multi30k, multi30k_lines, multi30k_pieces
from shoestring.tasks.translation import Beam, Translation

PAIRS = 2_900
SHORT = "short en-de"
SEEDS = {"en-de": (0, 1, 2), "en-fr": (0,), SHORT: (0, 1, 2)}
TESTS = ("test_2016", "test_2017")
VOCABULARY = 4_000
FIRST_WAYS = (
    "pairs",
    "back-translation",
    "dual learning",
    "back-translation, longer",
    "all pairs",
    "pairs, longer",
)
"""Of all seeds before the others, as dual learning is compared with these."""
LAST_WAYS = ("dual supervised", "adversarial")
FRENCH_WAYS = ("pairs", "back-translation", "dual learning", "all pairs")
"""Of English-French, which has one seed: whether the order is that of English-German."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is trained, in full or in quick.

    `first`: the training on the pairs. `longer`, `supervised`, `adversarial`, `back`: what follows
    it. `back_longer`, `dual`: what follows `back`. `whole`: on all pairs; `fluent`: of the language
    models. `tokens`: of a batch of few pairs, and of pairs and of sentences alone where there are
    both.
    """

    size: Size
    tokens: tuple[int, int, int]
    first: Training
    longer: Training
    back: Training
    back_longer: Training
    dual: Training
    supervised: Training
    adversarial: Training
    whole: Training
    fluent: Training


def _training(steps: int, rate: float) -> Training:
    return Training(
        steps, AdamW(rate), schedule=Cosine(0.08), precision=Mixed(), clipping=Clipped(1.0)
    )


FULL = Setting(
    size=Size(),
    tokens=(1024, 512, 1024),
    first=_training(1200, 2e-3),
    longer=_training(2400, 1e-3),
    back=_training(2000, 2e-3),
    back_longer=_training(1500, 1e-3),
    dual=_training(700, 1e-3),
    supervised=_training(1200, 1e-3),
    adversarial=_training(1200, 1e-3),
    whole=_training(4500, 2e-3),
    fluent=_training(800, 2e-3),
)
ONE_WAY = _training(6000, 2e-3)
_THEN = Training(300, AdamW(2e-3))
TINY = Setting(
    size=Size(width=48, layers=1, heads=2, hidden=96, dropout=0.1, fluency_width=48),
    tokens=(512, 512, 512),
    first=Training(500, AdamW(5e-3)),
    longer=_THEN,
    back=_THEN,
    back_longer=_THEN,
    dual=_THEN,
    supervised=_THEN,
    adversarial=_THEN,
    whole=Training(800, AdamW(5e-3)),
    fluent=Training(200, AdamW(5e-3)),
)


def main() -> None:
    torch.set_num_threads(1)
    rows = start("dual_translation", "multi30k-cpu", __doc__ or "", seeds=True)
    names = (SHORT,) if rows.quick else tuple(SEEDS)
    most = 1 if rows.quick else 3
    for ways in (FIRST_WAYS, LAST_WAYS):
        for name, seed in ((name, seed) for name in names for seed in range(most)):
            if seed in SEEDS[name] and rows.seed in (None, seed):
                _Language(rows, name, seed).run(ways)
    if rows.seed is None:
        rows.close()


class _Language:
    """All rows of English and one language, of one seed."""

    def __init__(self, rows: Rows, name: str, seed: int) -> None:
        self.rows, self.name, self.seed = rows, name, seed
        self.setting = TINY if name == SHORT else FULL

    def run(self, ways: Sequence[str]) -> None:
        """Make the rows of these ways that are wanted and are not there."""
        if self.name == "en-fr":
            ways = [one for one in ways if one in FRENCH_WAYS]
        left = [one for one in ways if self._is_left(f"{self.name}, {one}")]
        for way in left:
            _row(self, way)
        if self.name == "en-de" and self.seed == 0 and self._is_left(ONE_WAY_NAME):
            _one_way(self.rows, self.data[1])

    def _is_left(self, subject: str) -> bool:
        return self.rows.wanted(subject) and not self.rows.done(subject, self.seed)

    @cached_property
    def data(self) -> tuple[Translation, Translation, list[list[str]]]:
        """Few pairs, all pairs, and the sentences of each language alone."""
        return _data(self.name[-2:], self.name == SHORT)

    def task(self, way: str) -> DualTask:
        """What a way is trained and scored on."""
        few, whole, alone = self.data
        if way == "all pairs":
            return both_ways(whole)
        pairs, beside, of_alone = self.setting.tokens
        if way not in ("back-translation", "back-translation, longer", "dual learning"):
            beside = pairs
        shown = ("dual learning", "dual supervised")
        task = both_ways(
            replace(few, tokens=beside), marginals=self.fluent if way in shown else Marginals()
        )
        if way == "dual learning":  # of each sentence there are two samples
            of_alone //= 2
        pools = [pool(replace(few, tokens=of_alone), text) for text in alone]
        return replace(task, sources=pools[0], targets=pools[1])

    def begun(self, way: str) -> nn.Module:
        """The model that a way goes on from."""
        if way in ("pairs", "all pairs"):
            with seeded(self.seed):
                return self.setting.size.translators(self.data[0].pieces)
        return self.trained(
            "back-translation" if way in ("back-translation, longer", "dual learning") else "pairs"
        )

    def trained(self, way: str, model: nn.Module | None = None) -> nn.Module:
        """The model that a way ends with; what was trained before is read.

        `model`: what it goes on from, where that was made already.
        """
        model, task = model or self.begun(way), self.task(way).sealed()
        with self.resumed(way), seeded(self.seed):
            return self.technique(way)(model, task)

    def technique(self, way: str) -> Callable[[nn.Module, Task], nn.Module]:
        """What makes the model of a way of the one that it goes on from."""
        its, best = self.setting, Best(1)
        plain = {"pairs": its.first, "pairs, longer": its.longer, "all pairs": its.whole}
        if way in plain:
            return lambda model, task: train(model, task, plain[way], what=way)
        techniques: dict[str, Technique] = {
            "back-translation": BackTranslation(writing=best, renewal=Rounds(2), training=its.back),
            "back-translation, longer": BackTranslation(
                writing=best, renewal=Rounds(2), training=its.back_longer
            ),
            "dual learning": DualLearning(training=its.dual),
            "dual supervised": DualSupervised(training=its.supervised),
            "adversarial": Adversarial(
                judge=SequenceJudge(ids=len(self.data[0].pieces)), training=its.adversarial
            ),
        }
        return techniques[way]

    @cached_property
    def fluent(self) -> Marginals:
        """The language models of both languages."""
        few, _, alone = self.data
        with self.resumed("fluency"), seeded(self.seed):
            some = [
                fluency(
                    replace(few, tokens=self.setting.tokens[0]),
                    text,
                    self.setting.fluent,
                    self.setting.size.fluency_width,
                )
                for text in alone
            ]
        return Marginals(source=some[0], target=some[1])

    def resumed(self, what: str) -> Any:
        """Snapshots of a training, which a later run reads or goes on from."""
        return resuming(_folder(self.rows, f"{self.name} {what} {self.seed}"))


def _folder(rows: Rows, what: str) -> Path:
    folder = "dual_translation.quick" if rows.quick else "dual_translation"
    return RESULTS / "unfinished" / folder / what.replace(", ", "_")


def _data(language: str, is_short: bool) -> tuple[Translation, Translation, list[list[str]]]:
    """The task with few pairs, that with all, and the text of each language without pairs."""
    pieces = multi30k_pieces("en", language, size=1000 if is_short else VOCABULARY)
    whole = replace(multi30k("en", language, vocabulary=pieces), tokens=2048)
    if is_short:
        whole = replace(short_sentences(whole), tokens=512, longest=40)
    few, *alone = half_paired(whole, 800 if is_short else PAIRS)
    return few, whole, alone


def _row(language: _Language, way: str) -> None:
    """Train one way, and score it in both directions."""
    rows, seed, subject = language.rows, language.seed, f"{language.name}, {way}"
    task = language.task(way)
    begun = language.begun(way)  # its minutes are not among those of this way
    folder = _folder(rows, f"{language.name} {way} {seed}")
    is_whole = not folder.exists() or not any(folder.iterdir())
    began = process_time()
    model = language.trained(way, begun)
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


ONE_WAY_NAME = "en-de, all pairs, one way"


def _one_way(rows: Rows, task: Translation) -> None:
    """All pairs, English to German alone: whether the network is a respectable one."""
    subject = ONE_WAY_NAME
    with resuming(_folder(rows, subject)):
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
        train(model, task.sealed(), ONE_WAY, what="translation")
    rows.add(subject, "validation BLEU", 100 * score(task.sealed(), model), "BLEU", 0)
    for test in TESTS:
        scored = replace(task, test=_pairs(test, "de"), writing=Beam())
        rows.add(subject, f"{test} BLEU, forward", 100 * score(scored, model, "test"), "BLEU", 0)
    count = sum(parameter.numel() for parameter in model.parameters())
    rows.add(subject, "parameters", count, "", 0)
    rows.add(subject, "done", 1, "", 0)


if __name__ == "__main__":
    main()
