"""Cranfield where it is there, and its format on files made here."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable

import pytest

from shoestring.tasks import DataError, cranfield
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.cranfield")
Put = Callable[[Source, bytes], Source]
DOCUMENTS = """.I 1
.T
wings in
flight .
.A
a. one
.B
1958
.W
wings in
flight .
  a study of wings .
.I 2
.T
nothing .
.A
.B
.W
.I 3
.T
heat .
.A
.B
.W
heat .
  a study of heat .
"""
QUERIES = ".I 001\n.W\nwhat is\nheat .\n.I 004\n.W\nwhat flies .\n"
RELEVANT = "1 3 2 \n1 1 -1\n1 2 1\n2 1 4\n\n"


def given(put: Put, monkeypatch: pytest.MonkeyPatch, relevant: str, *, gzipped: bool) -> None:
    """The files are these texts, as their home has them or gzipped."""
    texts = {"cran.all.1400": DOCUMENTS, "cran.qry": QUERIES, "cranqrel": relevant}
    files = {}
    for name, (plain, packed) in module._FILES.items():
        content = texts[name].encode()
        files[name] = (
            (plain, put(packed, gzip.compress(content)))
            if gzipped
            else (put(plain, content), packed)
        )
    monkeypatch.setattr(module, "_FILES", files)


def test_cranfield_as_it_is():
    if not all(present(plain) or present(packed) for plain, packed in module._FILES.values()):
        pytest.skip("Cranfield is not here: set SHOESTRING_DATA to a folder with cranfield/*.gz")
    found = cranfield()
    assert (len(found.documents), len(found.queries)) == (1398, 225)
    assert sum(map(len, found.relevant)) == 1611
    assert found.titles[1].startswith("simple shear flow past a flat plate")
    again = [
        title
        for title, text in zip(found.titles, found.documents, strict=True)
        if text.startswith(title)
    ]
    assert len(again) == 1  # a text that has its title twice
    assert found.queries[0].startswith("what similarity laws must be obeyed")
    assert 183 in found.relevant[0]  # the file's document 184


@pytest.mark.parametrize("gzipped", [False, True])
def test_documents_without_a_text_are_left_out_and_numbers_follow(
    put: Put, monkeypatch: pytest.MonkeyPatch, gzipped: bool
):
    given(put, monkeypatch, RELEVANT, gzipped=gzipped)
    found = cranfield()
    assert found.titles == ("wings in flight .", "heat .")
    assert found.documents == ("a study of wings .", "a study of heat .")
    assert found.queries == ("what is heat .", "what flies .")
    assert found.relevant == ((1,), (0,))


def test_damaged_judgements_are_refused(put: Put, monkeypatch: pytest.MonkeyPatch):
    for line in ("1 3", "9 3 2", "one 3 2"):
        given(put, monkeypatch, line, gzipped=False)
        with pytest.raises(DataError, match=f"cranqrel has the line '{line}'"):
            cranfield()
