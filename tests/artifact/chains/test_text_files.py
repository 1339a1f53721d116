"""The committed files take text and answer with words."""

from __future__ import annotations

from pathlib import Path

from shoestring import load

FILES = Path(__file__).parents[3] / "benchmarks" / "results" / "files"


def test_the_english_tagger() -> None:
    tagger = load(FILES / "en_tag.shoe")
    told = "She_PRON did_AUX n't_PART eat_VERB the_DET red_ADJ apple_NOUN ._PUNCT"
    found = tagger("She didn't eat the red apple.")
    assert " ".join(f"{word}_{tag}" for word, tag in found) == told


def test_the_japanese_segmenter() -> None:
    segmenter = load(FILES / "ja_segment.shoe")
    assert segmenter("東京へ行きました。") == ["東京", "へ", "行き", "まし", "た", "。"]


def test_the_english_words_in_head_final_order() -> None:
    preorderer = load(FILES / "en_preorder.shoe")
    found = preorderer("He saw the dog in Rome.")
    assert " ".join(word for word, _ in found) == "He the dog Rome in saw ."
    assert sorted(place for _, place in found) == list(range(7))


def test_the_identifier_of_languages() -> None:
    identifier = load(FILES / "udhr_identify.shoe")
    texts = {
        "deu": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
        "fra": "Tous sont égaux devant la loi et ont droit sans distinction à la protection.",
        "jpn": "何人も、ほしいままに逮捕、拘禁、又は追放されることはない。",
        "ell": "Κανείς δεν επιτρέπεται να ζει υπό καθεστώς δουλείας",
    }
    for code, answer in zip(texts, identifier(list(texts.values())), strict=True):
        assert answer[0][0][:3] == code and answer[0][1] > 0.3
    assert identifier("42!") == [("und", 1.0)]


def test_the_identifier_gives_no_language_of_another_script() -> None:
    identifier = load(FILES / "udhr_identify.shoe")
    assert (FILES / "udhr_identify.shoe").stat().st_size <= 100_000
    few = [
        "eng",
        "deu",
        "fra",
        "spa",
        "ita",
        "nld",
        "pol",
        "rus",
        "arb",
        "hin",
        "cmn",
        "jpn",
        "kor",
    ]
    wanted = {
        "오늘 날씨가 좋네요": "kor",
        "안녕하세요": "kor",
        "今天天气很好": "cmn_hans",
        "我喜欢吃中国菜，你呢？": "cmn_hans",
        "東京へ行きました": "jpn",
    }
    for among in ([], few):
        found = identifier.answers(list(wanted), top=3, among=among)
        assert [answer[0][0] for answer in found] == list(wanted.values())
        for answer in found:
            assert {label for label, _ in answer} <= {"kor", "jpn", "cmn_hans", "cmn_hant"}
    for text in ("Hej!", "ok", "I love 東京"):
        labels = {label for label, _ in identifier.answers([text], top=400)[0]}
        assert "swe" in labels and "eng" in labels
        assert not labels & {"jpn", "kor", "rus", "ell"}
    assert identifier("ଓଡ଼ିଆ") == [("und", 1.0)]  # no text of training is in this script
    assert identifier.answers(["שלום"], among=few) == [[("und", 1.0)]]
