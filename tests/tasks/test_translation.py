"""Translating sentences: pieces, batches, BLEU, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from shoestring.artifact import load
from shoestring.core import score, scores, seeded
from shoestring.kit import AdamW, SkippedWarning, Training, train, write
from shoestring.models import Translator
from shoestring.tasks.pieces import END, START, pieces, rows_of
from shoestring.tasks.translation import Beam, Translation, bleu, parts_of

pytest.importorskip("tokenizers")
pytest.importorskip("sacrebleu")

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "dogs": "Hunde", "cats": "Katzen"}
PAIRS = [
    (f"{number} {what} run home .", f"{WORDS[number]} {WORDS[what]} laufen heim .")
    for number in ("one", "two", "three")
    for what in ("dogs", "cats")
] * 4  # fmt: skip


@pytest.fixture(scope="module")
def task() -> Translation:
    vocabulary = pieces([side for pair in PAIRS for side in pair], size=320)
    return Translation(
        train=PAIRS, validation=PAIRS[:6], test=PAIRS[:6], pieces=vocabulary, tokens=64
    )


@pytest.fixture(scope="module")
def network(task: Translation) -> Translator:
    with seeded(0):
        model = Translator(len(task.pieces), width=32, layers=1, heads=2, hidden=32, dropout=0.0)
        return train(model, task.sealed(), Training(120, AdamW(1e-2)))


@pytest.mark.parametrize(
    "text", ["one dogs", "Ein Mädchen läuft über die Straße.", "日本語 🎈!", "a  b"]
)
def test_any_text_comes_back_from_its_pieces(task: Translation, text: str):
    ids = task.pieces.ids(text)
    assert task.pieces.text([*ids, END, 5, 0]) == text and min(ids) > END
    assert task.pieces.all_ids([text, "x"])[0] == ids


def test_frequent_words_are_one_piece_and_equal_texts_make_equal_vocabularies(task: Translation):
    assert len(task.pieces.ids("dogs")) == 1 and len(task.pieces.ids("dxgs")) > 2
    again = pieces([side for pair in PAIRS for side in pair], size=320)
    assert again.content == task.pieces.content
    with pytest.raises(ValueError, match="259 or more"):
        pieces(["a"], size=100)


def test_a_batch_has_the_pairs_and_no_more_tokens_than_allowed(task: Translation):
    seen = 0
    for source, target in task.batches("train"):
        assert max(source.numel(), target[:, 1:].numel()) <= 64
        assert (target[:, 0] == START).all() and ((source == END).sum(1) == 1).all()
        seen += len(source)
    assert seen == len(PAIRS)
    assert rows_of([[7], [8, 9]], start=True).tolist() == [[1, 7, 2, 0], [1, 8, 9, 2]]
    assert parts_of(np.array([3.0, 1, 1, 9]), 4) == [[1, 2], [0], [3]]


def test_the_loss_by_hand(task: Translation):
    """Logits of 0 but 2 for the right piece: with a tenth spread over all V pieces."""
    count, batch = len(task.pieces), next(iter(task.batches("validation")))

    def model(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return 2.0 * torch.nn.functional.one_hot(batch[1][:, 1:], count).float()

    right, wrong = 2 - log(exp(2) + count - 1), -log(exp(2) + count - 1)
    spread = (right + (count - 1) * wrong) / count
    assert float(task.loss(model, batch)) == pytest.approx(-(0.9 * right + 0.1 * spread), rel=1e-4)


def test_bleu_by_hand():
    assert bleu(["a b c d e"], ["a b c d e"]) == pytest.approx(100)
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 fours; the same length
    wanted = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert bleu(["a b c d x"], ["a b c d e"]) == pytest.approx(wanted)


def test_a_network_learns_it(task: Translation, network: Translator):
    assert score(task, network) == pytest.approx(1.0)
    assert scores(task, network)["log_likelihood"] > -0.5
    assert task.translations(network, ["three cats run home ."]) == ["drei Katzen laufen heim ."]
    by_beam = replace(task, writing=Beam(beams=3))
    assert score(by_beam, network) == pytest.approx(1.0)


@pytest.mark.slow
def test_its_file_translates_alike(task: Translation, network: Translator, tmp_path: Any):
    with pytest.raises(ValueError, match=r"use task\.for_model\(model\)"):
        task.example()
    ready = task.for_model(network)
    write(network, ready, tmp_path / "translator.shoe")
    file = load(tmp_path / "translator.shoe")
    assert set(file.entries) == {"encode", "step"}
    assert task.translated(file, "validation") == task.translated(network, "validation")
    assert scores(task, file)["log_likelihood"] == pytest.approx(
        scores(task, network)["log_likelihood"], abs=1e-4
    )


def test_one_step_after_the_other_is_all_at_once(task: Translation):
    with seeded(1):
        model = Translator(len(task.pieces), width=32, layers=2, heads=4, hidden=32).eval()
    source, target = next(iter(task.batches("train")))
    with torch.no_grad():
        whole = model(source, target[:, :-1])
        state = model.encode(source)
        for place in range(target.shape[1] - 1):
            answer = model.step(target[:, place], **state)
            assert torch.allclose(answer.pop("logits"), whole[:, place], atol=1e-4)
            state |= answer


def test_padding_changes_no_answer(task: Translation):
    with seeded(1):
        model = Translator(len(task.pieces), width=32, layers=2, heads=4, hidden=32).eval()
    source, target = rows_of([[5, 6, 7]]), torch.tensor([[START, 9, 8]])
    padded = torch.nn.functional.pad(source, (0, 4))
    with torch.no_grad():
        assert torch.allclose(model(source, target), model(padded, target), atol=1e-5)
        later = torch.tensor([[START, 9, 3]])  # a word sees none after it
        assert torch.allclose(model(source, target)[:, :2], model(source, later)[:, :2], atol=1e-5)


def test_long_sentences_are_said(task: Translation):
    long = ("one " * 40, "eins " * 40)
    with pytest.warns(SkippedWarning, match="1 of 25 training pairs have more than 20 pieces"):
        cut = replace(task, train=[*PAIRS, long], longest=20)
    assert sum(len(source) for source, _ in cut.batches("train")) == 24
    mute = SimpleNamespace(
        encode=lambda source: {"of": source[:, :1]},
        step=lambda last, of: {"logits": torch.eye(len(task.pieces))[END].expand(len(last), -1)},
    )
    with pytest.warns(
        SkippedWarning, match="1 of 1 sentences have more than 20 pieces and are cut"
    ):
        assert cut.translations(mute, [long[0]]) == [""]
    with pytest.raises(ValueError, match=r"longer than this network reads \(8\)"):
        Translator(10, width=8, heads=2, length=8)(torch.ones(1, 9).long(), torch.ones(1, 1).long())
    with pytest.raises(ValueError, match="no multiple of 3 heads"):
        Translator(10, width=8, heads=3)


def test_what_cannot_be_is_refused(task: Translation):
    with pytest.raises(ValueError, match="pair 1 of train has an empty sentence"):
        replace(task, train=[("a", "b"), (" ", "c")])
    with pytest.raises(ValueError, match="the test split has no pairs"):
        replace(task, test=[])
    with pytest.raises(ValueError, match=r"smoothing is 1\.0"):
        replace(task, smoothing=1.0)
    with pytest.raises(ValueError, match="no training pair has at most 3 pieces"):
        replace(task, longest=3)
    with pytest.raises(ValueError, match="there is no split 'valid'"):
        list(task.batches("valid"))


def test_a_sample_has_fewer_validation_pairs_and_the_same_training(task: Translation):
    few = task.sampled(2, seed=0)
    assert len(few.translated(SimpleNamespace(
        encode=lambda source: {"of": source[:, :1]},
        step=lambda last, of: {"logits": torch.eye(len(task.pieces))[END].expand(len(last), -1)},
    ), "validation")) == 2  # fmt: skip
    assert sum(len(source) for source, _ in few.batches("validation")) == 2
    assert task.sampled(10, seed=0) is task
