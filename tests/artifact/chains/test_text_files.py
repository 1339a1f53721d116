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
