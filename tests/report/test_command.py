"""The command `shoestring report`: what it writes and prints, and what it refuses."""

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from shoestring.artifact import save

from .made import search, small

posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX systems")


def test_it_writes_a_page_and_says_where_and_how_large(shoestring, tmp_path):
    search(tmp_path)
    for arguments in ((), ("sums.shoe",), ("sums.shoe.study",)):
        status, out, err = shoestring("report", *arguments)
        size = (tmp_path / "sums.html").stat().st_size
        assert (status, err) == (0, "")
        assert out == f"sums.html: {size:,} bytes; open it in a browser\n"
        (tmp_path / "sums.html").unlink()
    assert shoestring("report", "sums.shoe", "--out", "a.html")[0] == 0
    assert "sums.shoe" in (tmp_path / "a.html").read_text()


def test_json_is_one_strict_line_and_writes_no_page(shoestring, tmp_path):
    search(tmp_path)
    status, out, _ = shoestring("report", "sums.shoe", "--json")
    assert status == 0 and json.loads(out)["kind"] == "study" and out.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))


def test_open_shows_the_page_or_says_that_there_is_no_browser(shoestring, tmp_path, monkeypatch):
    search(tmp_path)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not opened.append(address))
    assert shoestring("report", "--open")[0] == 0
    assert opened == [(tmp_path / "sums.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "no browser was found: open file://" in shoestring("report", "--open")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is no search here: name a .shoe file"),
        (("",), "there is no search in "),
        (("..", "--json"), "there is no search in "),
        (("nothing.shoe",), "there is nothing at nothing.shoe"),
        (("a.shoe", "--port", "80"), "--port 80 is for --serve"),
        (("a.shoe", "--serve", "--json"), "leave out --out and --json"),
        (("a.shoe", "--serve", "--out", "b.html"), "leave out --out and --json"),
        (("a.shoe", "--json", "--open"), "leave out --out and --open"),
        (("a.shoe", "--out", "none/b.html"), "there is no folder none"),
        (("a.shoe", "--ledger", "none.ledger"), "there is no ledger at none.ledger"),
        (("empty.shoe",), "empty.shoe: "),
        (
            ("a.shoe", "--out", "./a.shoe"),
            "a.shoe is there and is no report, so it is not",
        ),
    ],
)
def test_what_it_refuses_is_one_sentence(shoestring, tmp_path, arguments, words):
    save(tmp_path / "a.shoe", small())
    (tmp_path / "empty.shoe").touch()
    status, out, err = shoestring("report", *arguments)
    assert (status, out) == (1, "") and words in err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_the_commands_of_a_page_do_what_they_say(shoestring, tmp_path):
    search(tmp_path)
    found = json.loads(shoestring("report", "sums.shoe", "--json")[1])
    done = set()
    for one in found["commands"]:
        words = shlex.split(one["command"])[1:]
        if words[0] in ("frontier", "inspect", "export"):
            status, out, err = shoestring(*words)
            assert status == 0, (words, err)
            done.add(words[0])
            if one["id"]:
                point = next(point for point in found["points"] if point["id"] == one["id"])
                assert f"{point['costs']['bytes']:,} bytes" in out
    assert done == {"frontier", "inspect", "export"}


def test_the_folder_of_a_search_may_be_the_one_that_one_is_in(shoestring, tmp_path, monkeypatch):
    search(tmp_path)
    monkeypatch.chdir(tmp_path / "sums.shoe.study")
    for name in (".", ""):
        assert shoestring("report", name)[0] == 0
        (tmp_path / "sums.html").unlink()


def test_a_file_whose_name_looks_like_an_option_can_be_named(shoestring, tmp_path):
    save(tmp_path / "-rf.shoe", small())
    found = json.loads(shoestring("report", "./-rf.shoe", "--json")[1])
    inspect = next(one["command"] for one in found["commands"] if "inspect" in one["command"])
    assert inspect == "shoestring inspect ./-rf.shoe"
    assert shoestring(*shlex.split(inspect)[1:])[0] == 0


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_quietly(tmp_path, number):
    save(tmp_path / "sums.shoe", small())
    process = subprocess.Popen(
        [sys.executable, "-m", "shoestring.cli", "report", "sums.shoe", "--serve"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells have what they run in the background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/ shows sums\.shoe, .*\n", line)
    assert found, line + process.stderr.read()
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
    connection.request("GET", "/document.json")
    assert json.loads(connection.getresponse().read())["title"] == "sums.shoe"
    process.send_signal(number)  # while the connection is still open
    out, err = process.communicate(timeout=60)
    connection.close()
    assert (process.returncode, out, err) == (0, "", "")
    assert not list(tmp_path.glob("*.html"))
