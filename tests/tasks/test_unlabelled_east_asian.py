"""Sentences without labels are none of those that score what learns from them."""

from __future__ import annotations

import pytest

from shoestring.tasks import Sentence, unlabelled_east_asian


def test_validation_and_test_sentences_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"validation": ["今日は", "晴れ"], "test": ["光合成は緑の葉で行われる", "。"]}

    def made(language: str, split: str) -> list[Sentence]:
        words = tuple(held[split])
        return [Sentence(words=words, tags=("X",) * len(words), surface=words)]

    monkeypatch.setattr(unlabelled_east_asian, "treebank", made)
    given = [
        "今日は 晴れ",  # the whole of a validation sentence, written with a space
        "今日は晴れた",  # it begins as one, which is short
        "だから光合成は緑の葉で行われる。",  # a long one stands in it
        "光合成は緑の葉で行わ",  # a part of one
    ]
    assert unlabelled_east_asian._apart(given, "ja") == [given[1], given[3]]
