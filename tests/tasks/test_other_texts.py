"""Text that is no declaration: pieces of three languages, from public files."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from shoestring.tasks import DataError, LabelledTexts, other_texts, udhr, without_variants
from shoestring.tasks.other_texts import _JAQUAD, JAQUAD_ALL, _pieces, jaquad, paragraphs


def test_pieces_are_drawn_from_parts_in_random_order() -> None:
    parts = [f"{number:03d} " * 10 for number in range(100)]
    found = _pieces(parts, np.random.default_rng(0), 5)
    assert [len(piece) for piece in found] == [150] * 5
    assert len(set(found)) == 5
    assert found == _pieces(parts, np.random.default_rng(0), 5)
    assert found != _pieces(parts, np.random.default_rng(1), 5)
    assert len(_pieces(parts, np.random.default_rng(0), 99)) == (100 * 40 + 99) // 150
    assert _pieces(["short"], np.random.default_rng(0), 9) == ["short"]


@pytest.mark.slow
def test_pieces_of_three_languages() -> None:
    try:
        found = other_texts(most=20)
        again = other_texts(most=20)
        other = other_texts(most=20, seed=1)
    except DataError as error:
        pytest.skip(str(error))
    assert Counter(found.labels) == {"eng": 20, "jpn": 20, "cmn_hans": 20}
    assert {len(text) for text in found.texts} == {150}
    assert found == again != other
    assert len(set(found.texts)) == 60


def test_labels_without_variants_keep_their_scripts() -> None:
    labels = ("deu_1901", "deu", "por_BR", "srp_cyrl", "srp_latn", "cmn_hant", "tso_MZ", "007")
    texts = LabelledTexts(texts=tuple("abcdefgh"), labels=labels)
    merged = without_variants(texts)
    assert merged.texts == texts.texts
    assert merged.labels == ("deu", "deu", "por", "srp_cyrl", "srp_latn", "cmn_hant", "tso", "007")
    assert (texts + merged).labels == labels + merged.labels
    try:
        every = without_variants(udhr("validation"))
    except DataError as error:
        pytest.skip(str(error))
    assert len(set(every.labels)) == 363
    assert len({label[:3] for label in every.labels}) == 355


def archive(path: Path, content: bytes) -> str:
    """An archive with one file; returns its sha256."""
    with tarfile.open(path, "w:xz") as made:
        one = tarfile.TarInfo("data/train/jaquad_train_0000.json")
        one.size = len(content)
        made.addfile(one, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_from_the_archive_is_checked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SHOESTRING_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "jaquad").mkdir()
    content = json.dumps({"data": [{"paragraphs": [{"context": "東京"}]}]}).encode()
    digest = archive(tmp_path / "jaquad" / JAQUAD_ALL.name, content)
    module = import_module("shoestring.tasks.other_texts")  # its function has the same name
    monkeypatch.setattr(module, "JAQUAD_ALL", replace(JAQUAD_ALL, sha256=digest))
    wanted = replace(_JAQUAD, sha256=hashlib.sha256(content).hexdigest())
    assert paragraphs(jaquad(wanted)) == ["東京"]
    with pytest.raises(DataError, match="not the file that it should be"):
        jaquad(_JAQUAD)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"data": [{}]}', b'{"data": 3}', b"\xff"])
def test_what_is_no_squad_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="form of SQuAD"):
        paragraphs(content)
