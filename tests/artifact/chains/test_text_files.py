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
