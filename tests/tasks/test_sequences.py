"""Sentences from files, as tasks, and the scores of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shoestring.artifact import HashedCharacters, HashedWords, load
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training, save, train
from shoestring.models import WindowTagger
from shoestring.tasks import (
    DataError,
    Sentence,
    segmenting,
    sentences_of,
    tagging,
    taught_rows,
    word_clusters,
    word_f1,
    written,
)
from shoestring.tasks.sequences import targets_of

ODD = """# text = He didn't go.
1\tHe\t_\tPRON\t_\t_\t_\t_\t_\t_
2-3\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdid\t_\tAUX\t_\t_\t_\t_\t_\t_
3\tn't\t_\tPART\t_\t_\t_\t_\t_\t_
4\tgo\t_\tVERB\t_\t_\t_\t_\t_\t_
4.1\thome\t_\tADV\t_\t_\t_\t_\t_\t_
5\t.\t_\tPUNCT\t_\t_\t_\t_\t_\tSpaceAfter=No
"""


def of(*pairs: str) -> Sentence:
    words, tags = zip(*(pair.split("/") for pair in pairs), strict=True)
    return Sentence(words=words, tags=tags, surface=words)


def test_conllu_with_a_range_of_words_and_an_empty_node(tmp_path: Path) -> None:
    path = tmp_path / "x.conllu"
    path.write_text(ODD)  # without an empty line at its end
    (one,) = sentences_of(path)
    assert one.words == ("He", "did", "n't", "go", ".")
    assert one.tags == ("PRON", "AUX", "PART", "VERB", "PUNCT")
    assert one.surface == ("He", "didn't", "go", ".")
    assert written(one) == ("He didn't go.", one.surface)


def test_a_table_of_words_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes("\ufeffNew York\tPROPN\r\nrocks\tVERB\r\n\r\n\r\nYes\tINTJ\r\n".encode())
    assert sentences_of(path) == [of("New York/PROPN", "rocks/VERB"), of("Yes/INTJ")]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.tsv", b"a\tb\nword\n", "line 2 .*'word'.*a tab and its tag"),
        ("x.tsv", b"a\tb\n\xff\tb", "line 2 .* is not UTF-8"),
        ("x.conllu", b"1\tword\tNOUN\n", "line 1 .*ten fields"),
        ("x.conllu", b"one" + b"\tx" * 9, "line 1 .*first field"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        sentences_of(tmp_path / name)


def test_targets_and_f1_by_hand() -> None:
    assert targets_of("ab c", ["a", "b", "c"]) == [0, 0, -100, 0]
    assert targets_of("abc", ["ab", "c"]) == [0, 1, 0]
    # Words ab|c|d against ab|cd: one is right, of three and of two.
    assert word_f1([["ab", "c", "d"]], [["ab", "cd"]]) == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match="not those of"):
        word_f1([["ab"]], [["ac"]])


def test_a_task_of_tags_scores_what_its_file_answers(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    nouns, verbs = ("dog", "cat", "cow", "Bob"), ("sees", "bites", "hears")

    def some(count: int) -> list[Sentence]:
        return [
            of(f"{draw.choice(nouns)}/N", f"{draw.choice(verbs)}/V", f"{draw.choice(nouns)}/N")
            for _ in range(count)
        ]

    step = HashedWords(buckets=(64,) * 10, clusters=32)
    with pytest.warns(UserWarning, match="tags that training has not.*'NEW'"):
        task = tagging(some(200), some(40), [*some(40), of("oh/NEW")], step=step)
    with seeded(0):
        table = torch.arange(64, dtype=torch.uint8).reshape(2, 32) % 3
        model = WindowTagger(
            step.ids, step.kinds, 2, hidden=8, vector=8, clusters=table, unseen=0.2
        )
        train(model, task, Training(60, AdamW(1e-2)))
    assert score(task, model) == 1.0
    save(model, task, tmp_path / "t.shoe")
    loaded = load(tmp_path / "t.shoe")
    assert loaded("dog bites Bob") == [("dog", "N"), ("bites", "V"), ("Bob", "N")]
    assert task.score(loaded, "test") == pytest.approx(120 / 121)  # the new tag is never right


def test_a_teacher_labels_rows_with_and_without_labels() -> None:
    step = HashedWords(buckets=(64,) * 10)
    train_set = [of("a/X", "b/Y"), of("c/_")]
    task = tagging(train_set, train_set, train_set, step=step)
    asked = []

    def sure(ids: torch.Tensor) -> torch.Tensor:  # of Y, three to one, everywhere
        asked.append(ids)
        return torch.tensor([1.0, 3.0]).log().expand(*ids.shape[:2], 2)

    taught = taught_rows(task, sure, [["d", "e"], ["f"]], own=0.5, copies=2)
    ids, wanted = taught.train
    assert isinstance(ids, torch.Tensor)
    assert len(ids) == 3 and torch.equal(ids[0], ids[1]) and len(asked) == 2
    assert torch.equal(ids[0], task.train[0][0])
    first = wanted[0][wanted[0].sum(-1) > 0]  # c has no label: it is not scored
    assert first.tolist() == [[0.625, 0.375], [0.125, 0.875]]
    assert wanted[2][wanted[2].sum(-1) > 0].tolist() == [[0.25, 0.75]] * 3
    logits = torch.randn(3, ids.shape[1], 2)
    chosen = wanted.float().reshape(-1, 2)
    by_hand = -(chosen * logits.log_softmax(-1).reshape(-1, 2)).sum() / (chosen.sum(-1) > 0).sum()
    assert taught.criterion(logits, wanted).item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert torch.equal(taught.validation[1], task.validation[1])
    with pytest.raises(ValueError, match="own is 2"):
        taught_rows(task, sure, own=2)


def test_texts_without_labels_for_a_segmenter() -> None:
    one = [Sentence(words=(), tags=(), surface=("東京", "へ"))]
    task = segmenting(one, one, one, step=HashedCharacters(buckets=(64,) * 8))
    taught = taught_rows(task, lambda ids: torch.zeros(*ids.shape[:2], 2), ["犬 が", "行く"])
    (ids, wanted), scored = taught.train, taught.train[1].sum(-1) > 0
    assert len(ids) == 2 and scored.sum(1).tolist() == [3, 4]  # white space is not scored
    assert wanted[1][scored[1]].unique().tolist() == [0.5]


def test_a_task_of_segments_scores_what_its_file_answers(tmp_path: Path) -> None:
    one = [Sentence(words=(), tags=(), surface=("東京", "へ", "行く")) for _ in range(60)]
    two = [Sentence(words=(), tags=(), surface=("犬", "が", "東京")) for _ in range(60)]
    step = HashedCharacters(buckets=(64,) * 8)
    task = segmenting(one + two, one[:5] + two[:5], one[:5], step=step)
    with seeded(0):
        model = WindowTagger(step.ids, step.kinds, 2, hidden=8, vector=8)
        train(model, task, Training(60, AdamW(1e-2)))
    save(model, task, tmp_path / "s.shoe")
    loaded = load(tmp_path / "s.shoe")
    texts = ["東京へ行く", "犬が東京", "", "行く 犬"]
    assert loaded(texts) == [["東京", "へ", "行く"], ["犬", "が", "東京"], [], ["行く", "犬"]]
    assert loaded(["犬が東京" * 5000])[0] == ["犬", "が", "東京"] * 5000


def test_words_in_the_same_places_are_in_a_cluster() -> None:
    draw = np.random.default_rng(0)
    animals, acts = [f"n{i}" for i in range(8)], [f"v{i}" for i in range(8)]
    lines = [["the", draw.choice(animals), draw.choice(acts), "."] for _ in range(600)]
    found = word_clusters(lines, 4, least=3, width=4, seed=1)
    assert len({found[word] for word in animals} & {found[word] for word in acts}) == 0
    more = word_clusters(lines, 4, rounds=3, least=3, width=4, seed=1)
    assert {word: codes[:1] for word, codes in more.items()} == found
    assert {len(codes) for codes in more.values()} == {3}
    with pytest.raises(ValueError, match="too few for 99 clusters"):
        word_clusters(lines, 99)
    with pytest.raises(ValueError, match="0 rounds"):
        word_clusters(lines, 4, rounds=0)


def test_sentences_without_tags_are_refused() -> None:
    with pytest.raises(ValueError, match="no word of the training"):
        tagging([of("a/_")], [of("a/_")], [of("a/_")], step=HashedWords())


def test_words_of_a_sentence_are_numbered(tmp_path: Path):
    line = "{}\ta\ta\tNOUN\t_\t_\t0\troot\t_\t_\n"
    (tmp_path / "x.conllu").write_text("".join(line.format(number) for number in (1, 2, 1)))
    with pytest.raises(DataError, match=r"line 3 .*an empty line before it"):
        sentences_of(tmp_path / "x.conllu")
