"""The page as a file: whole or not at all, with the document safe inside it."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

from shoestring.core import Ledger, Row
from shoestring.report import Document, check_target, page_of, place_beside, save_page, write_report
from shoestring.report import page as pages

from .made import search

EVIL = "</script></title><!--document--><script>alert('1')</script>\"'&"


def held(page: str) -> dict:
    """The document in a page."""
    found = re.findall(r'<script type="application/json" id="document">(.*?)</script>', page)
    assert len(found) == 1
    return json.loads(found[0])


def test_a_page_holds_its_document_and_asks_for_nothing():
    page = page_of(Document(kind="study", title="sums.shoe"))
    assert held(page)["title"] == "sums.shoe"
    assert "<title>sums.shoe: Shoestring report</title>" in page
    assert "connect-src 'none'" in page and "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page), "nothing is loaded"


def test_a_live_page_may_ask_its_own_server_alone():
    page = page_of(Document(kind="study", title="sums.shoe", live=True))
    assert "connect-src 'self'" in page and "connect-src 'none'" not in page


def test_hostile_texts_end_neither_the_title_nor_the_script():
    plain = page_of(Document(kind="study", title="x"))
    page = page_of(Document(kind="study", title=EVIL, notes=(EVIL, "connect-src 'none'")))
    assert held(page)["title"] == EVIL and held(page)["notes"][0] == EVIL
    assert "alert('1')" not in page.replace("\\u003cscript>alert('1')\\u003c/script>", "")
    for tag in ("<script", "</script", "<title", "</title"):
        assert page.count(tag) == plain.count(tag), tag
    page.encode("utf-8")
    page_of(Document(kind="study", title="\udcff")).encode("utf-8")


def test_a_page_goes_beside_what_it_is_about_and_replaces_only_its_own_kind(tmp_path):
    path = search(tmp_path)
    for what in (path, path.with_name("sums.shoe.study"), str(path)):
        assert write_report(what) == tmp_path / "sums.html"
    (tmp_path / "sums.html").write_text("<title>mine</title>")
    with pytest.raises(FileExistsError, match="no report, so it is not replaced: name another"):
        write_report(path)
    assert (tmp_path / "sums.html").read_text() == "<title>mine</title>"
    with pytest.raises(FileExistsError, match="no report"):
        write_report(path, tmp_path / "sums.html")  # asked for by its name, too
    assert (tmp_path / "sums.html").read_text() == "<title>mine</title>"
    write_report(path, tmp_path / "mine.html")
    write_report(path, tmp_path / "mine.html")  # a report is replaced
    assert held((tmp_path / "mine.html").read_text())["title"] == "sums.shoe"
    assert place_beside(Path("shoestring.ledger")) == Path("shoestring.html")


@pytest.mark.parametrize(
    "name",
    [
        *("sums.shoe", "sums.shoe.study/study.sqlite", "sums.shoe.study/search.json"),
        *("shoestring.ledger", "mine.txt", "a link", "empty.html", "locked.txt"),
    ],
)
@pytest.mark.parametrize("what", ["sums.shoe", "sums.shoe.study"])
def test_a_page_replaces_no_file_that_is_no_report(tmp_path, name, what):
    search(tmp_path)
    Ledger(tmp_path / "shoestring.ledger").append(Row(kind="apply", technique="A()"))
    (tmp_path / "mine.txt").write_text("mine: Shoestring report</title>")
    (tmp_path / "a link").symlink_to("mine.txt")
    (tmp_path / "empty.html").touch()
    (tmp_path / "locked.txt").write_text("mine")
    (tmp_path / "locked.txt").chmod(0)
    target = tmp_path / name
    before = None if name == "locked.txt" else target.read_bytes()
    with pytest.raises(FileExistsError, match="is no report, so it is not replaced"):
        write_report(tmp_path / what, target)
    with pytest.raises(FileExistsError, match="is no report, so it is not replaced"):
        save_page(Document(kind="study", title="x"), target)
    (tmp_path / "locked.txt").chmod(0o600)
    assert before is None or target.read_bytes() == before
    assert (tmp_path / "mine.txt").read_text() == "mine: Shoestring report</title>"
    assert (tmp_path / "locked.txt").read_text() == "mine"


def test_an_outcome_is_reported_by_its_file(tmp_path):
    class Outcome:
        file = search(tmp_path)

    assert write_report(Outcome(), tmp_path / "a.html") == tmp_path / "a.html"


@pytest.mark.parametrize(
    ("target", "words"),
    [("none/a.html", "there is no folder"), ("folder", "is a folder: name a file in it")],
)
def test_a_page_that_cannot_be_written_says_why(tmp_path, target, words):
    path = search(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=words):
        write_report(path, tmp_path / target)
    with pytest.raises(OSError, match=words):  # before anything is measured for it
        check_target(tmp_path / target, "--report")


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path, monkeypatch):
    document = Document(kind="study", title="sums.shoe")
    target = tmp_path / "a.html"
    save_page(document, target)
    before = target.read_bytes()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="has room") as caught:
        save_page(Document(kind="study", title="other"), target)
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == before and os.listdir(tmp_path) == ["a.html"]


def test_the_template_is_part_of_the_package():
    assert (Path(pages.__file__).with_name(pages.TEMPLATE)).is_file()
