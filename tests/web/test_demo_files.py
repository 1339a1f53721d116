"""Files that somebody drops on the page in web/demo: what they are, runs, and hostile ones."""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from demo_page import serving
from hostile_graphs import fullest, made
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect
from real_browser import Visit
from tiers import EVERYTHING

from shoestring.artifact import load
from shoestring.artifact.demo import Demo
from shoestring.artifact.format.describing import described
from shoestring.cli.demo import demo

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
FILES = ROOT / "benchmarks" / "results" / "files"
GOLDEN = TESTS / "artifact" / "format" / "golden"
CRASHERS = sorted((TESTS / "artifact" / "format" / "crashers").glob("*.shoe"))
LENET, TABULAR = FILES / "lenet5_rate_3e-05.shoe", FILES / "baseline_tabular.shoe"
TEN_SECONDS = 10_000  # milliseconds for what a busy machine does slowly
Visiting = Callable[..., Visit]
TICKING = """() => {
    window.longest = 0;
    let last = performance.now();
    setInterval(() => {
        const now = performance.now();
        window.longest = Math.max(window.longest, now - last);
        last = now;
    }, 20);
}"""
"""From here on `longest` is how many milliseconds the page was frozen at most."""


@pytest.fixture
def address(chromium: object) -> Iterator[str]:
    with serving() as found:
        yield found


def payload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def choose(page: Page, file: Path | FilePayload) -> None:
    page.locator("#file").set_input_files(file)  # type: ignore[arg-type]


def shown(page: Page, name: str) -> None:
    expect(page.locator("#opened h3.file")).to_have_text(name, timeout=TEN_SECONDS)


def refused(page: Page, words: str | re.Pattern[str]) -> None:
    expect(page.locator("#opened .fault")).to_contain_text(words, timeout=2 * TEN_SECONDS)


def run(page: Page) -> None:
    page.locator("#opened form button.first").click()


def test_what_a_file_is(visit: Visiting, address: str):
    seen = visit()
    page = seen.open(address)
    choose(page, LENET)
    shown(page, LENET.name)
    facts = page.locator("#opened .facts")
    for words in ("a network, version 2", f"{LENET.stat().st_size:,} bytes", "8, without names"):
        expect(facts).to_contain_text(words)
    bill = page.locator("#opened .bill .amount").all_inner_texts()
    sizes = [int(re.sub(r"\D", "", line.split("bytes")[0])) for line in bill]
    assert sum(sizes) == LENET.stat().st_size and sizes == sorted(sizes, reverse=True)
    page.locator("summary", has_text="The graph").click()
    steps = page.locator("#opened .steps li")
    expect(steps.first).to_contain_text("Conv of images, tensor 1 (14 × 1 × 5 × 5)")
    expect(steps).to_have_count(8)
    assert seen.inaccessible() == []
    assert seen.faults == []


def test_a_picture_is_run(visit: Visiting, address: str):
    """A picture of the input's size comes through unchanged, and gives what ONNX Runtime gives."""
    rng = np.random.default_rng(0)
    grey = np.kron(rng.integers(0, 256, (7, 7)), np.ones((4, 4))).astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(grey).save(written, "png")
    seen = visit()
    page = seen.open(address)
    choose(page, LENET)
    shown(page, LENET.name)
    page.get_by_label("A picture").set_input_files(
        {"name": "grey.png", "mimeType": "image/png", "buffer": written.getvalue()}
    )
    for inverted in (False, True):
        page.get_by_label("inverted").set_checked(inverted)
        run(page)
        picture = (255 - grey if inverted else grey)[None, None].astype(np.float32) / 255
        logits = load(LENET)(picture)[0]
        for place in (int(logits.argmax()), int(logits.argmin())):
            name = page.locator(".name", has_text=re.compile(f"^at {place}$"))
            row = page.locator(".result .bill li").filter(has=name)
            expect(row.locator(".amount")).to_have_text(f"{logits[place]:.3g}")
    assert seen.faults == []


@pytest.mark.slow
def test_a_picture_of_twenty_megapixels_is_made_small(visit: Visiting, address: str):
    written = io.BytesIO()
    Image.linear_gradient("L").resize((5000, 4000)).save(written, "png", compress_level=1)
    seen = visit()
    page = seen.open(address)
    choose(page, LENET)
    shown(page, LENET.name)
    page.evaluate(TICKING)
    picture = page.get_by_label("A picture")
    picture.set_input_files(
        {"name": "large.png", "mimeType": "image/png", "buffer": written.getvalue()}
    )
    run(page)
    expect(page.locator(".result .bill li")).to_have_count(10, timeout=TEN_SECONDS)
    assert page.evaluate("longest") < 3000
    picture.set_input_files(payload("no.png", b"no picture"))
    run(page)
    expect(page.locator(".result .fault")).to_contain_text("cannot read no.png as a picture")
    assert seen.faults == []


def test_rows_of_numbers_are_run(visit: Visiting, address: str):
    ids, numbers = np.array([[1, 2, 3, 4, 5, 1, 0, 2]]), np.array([[30, 9.5, 0, 1e2, -1, 40]])
    expected = float(np.ravel(load(TABULAR)(ids, numbers.astype(np.float32)))[0])
    seen = visit()
    page = seen.open(address)
    choose(page, TABULAR)
    shown(page, TABULAR.name)
    boxes = page.locator("#opened textarea")
    boxes.nth(0).fill(", ".join(map(str, ids[0])))
    boxes.nth(1).fill("\n".join(map(str, numbers[0])))
    run(page)
    first = page.locator(".result .bill li .amount").first
    expect(first).to_have_text(re.compile(r"\d"))
    found = [float(one) for one in page.locator(".result .bill li .amount").all_inner_texts()]
    assert min(abs(one - expected) for one in found) <= 0.01 * abs(expected)
    for text, words in (
        ("1 2 3", "takes 8 numbers, and there are 3"),
        ("1 2 3 4 5 6 7 1.5", "“1.5” is not a whole number"),
        ("1 2 3 4 5 6 7 99999999999999999999", "is not from -9223372036854775808"),
        ("<script> 2 3 4 5 6 7 8", "“<script>” is not a number"),
    ):
        boxes.nth(0).fill(text)
        run(page)
        expect(page.locator(".result .fault")).to_contain_text(words)
    assert seen.faults == []


def test_entries_and_checkpoints(visit: Visiting, address: str):
    seen = visit(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = seen.open(address)
    choose(page, GOLDEN / "v3_two_entries.shoe")
    shown(page, "v3_two_entries.shoe")
    page.get_by_label("Entry").select_option(label="encode")
    page.locator("#opened textarea").fill("1 2 3")
    run(page)
    expect(page.locator(".result h4").first).to_be_visible()
    assert seen.sideways() <= 0
    choose(page, GOLDEN / "v4_checkpoint.shoe")
    shown(page, "v4_checkpoint.shoe")
    expect(page.locator("#opened .facts")).to_contain_text("a checkpoint")
    expect(page.locator("#opened form")).to_have_count(0)
    assert seen.sideways() <= 0 and seen.inaccessible() == []
    assert seen.faults == []


def test_texts_of_a_file_stay_texts(visit: Visiting, address: str):
    """The name of a file, its licence and its note, dropped on the page."""
    tag = "<img src=x onerror='window.ran = 1'><script>window.ran = 1</script>"
    content = described(LENET.read_bytes(), notes={"licence": tag, "note": tag + "x" * 1_000_000})
    seen = visit()
    page = seen.open(address)
    expect(page.locator("#large-answer")).to_contain_text("%")  # all of the page is there
    page.locator("#drop").evaluate(
        """(drop, [name, content]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            dataTransfer.items.add(new File([bytes], "other.shoe"));
            for (const kind of ["dragenter", "dragover", "drop"])
                drop.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true }));
        }""",
        [f"{tag}.shoe", base64.b64encode(content).decode()],
    )
    expect(page.locator("#opened h3.file")).to_contain_text("<img src=x", timeout=TEN_SECONDS)
    expect(page.locator("#opened .facts")).to_contain_text("<script>window.ran = 1</script>")
    expect(page.locator("#opened")).to_contain_text("Another file was dropped with it")
    expect(page.locator("#opened .facts")).to_contain_text("(1,000,0")  # it is cut, and says so
    assert page.evaluate("window.ran ?? null") is None
    assert page.locator("#opened img, #opened script").count() == 0
    assert seen.sideways() <= 0
    assert seen.faults == []


def test_what_is_no_file_of_ours_is_a_sentence(visit: Visiting, address: str, tmp_path: Path):
    large = tmp_path / "large.shoe"
    with large.open("wb") as out:
        out.truncate(300_000_000)
    good = LENET.read_bytes()
    seen = visit()
    page = seen.open(address)
    choose(page, large)
    refused(
        page, "large.shoe was not opened: it has 300,000,000 bytes; this page opens files of up"
    )
    for name, content, words in (
        ("empty.shoe", b"", "it is empty"),
        ("picture.shoe", b"\x89PNG\r\n", 'it does not begin with "SHOE"'),
        ("newer.shoe", good[:4] + b"\x09" + good[5:], "version 9; versions 1 to 4 are known"),
        ("cut.shoe", good[:700], "damaged"),
        ("bit.shoe", good[:500] + bytes([good[500] ^ 1]) + good[501:], "damaged"),
    ):
        choose(page, payload(name, content))
        refused(page, re.compile(re.escape(f"{name} was not opened: ") + ".*" + re.escape(words)))
    choose(page, LENET)  # and the page goes on
    shown(page, LENET.name)
    assert seen.faults == []


def test_hostile_files_leave_the_page_responsive(visit: Visiting, address: str):
    """Each is shown or refused by a sentence; meanwhile the page answers."""
    assert len(CRASHERS) > 5
    hostile = {path.name: path.read_bytes() for path in CRASHERS}
    if EVERYTHING:
        hostile |= {f"{name}.shoe": content for name, (content, _) in made().items()}
        hostile["fullest.shoe"] = fullest()
    seen = visit()
    page = seen.open(address)
    page.evaluate(TICKING)
    for name, content in hostile.items():
        choose(page, payload(name, content))
        expect(page.locator("#opened")).to_contain_text(
            re.compile(f"{re.escape(name)}( was not opened: .+\\.|.*format)", re.DOTALL),
            timeout=4 * TEN_SECONDS,
        )
    assert page.evaluate("longest") < 3000
    assert seen.faults == []


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_stopped(visit: Visiting, address: str):
    """The page's clock is moved on by hand while the worker is busy."""
    seen = visit()
    seen.page.clock.install()
    page = seen.open(address)
    choose(page, FILES / "baseline_lenet5.shoe")
    shown(page, "baseline_lenet5.shoe")
    page.get_by_label("Length of axis N").fill("3500")
    run(page)
    expect(page.locator(".result")).to_have_text("Running …")
    page.clock.fast_forward(20_500)
    fault = page.locator(".result .fault")
    expect(fault).to_contain_text("took more than 20 s")
    expect(fault).to_contain_text("Open the file again")
    expect(page.locator("#opened form button.first")).to_be_disabled()
    page.get_by_label("Length of axis N").fill("1")
    choose(page, LENET)
    shown(page, LENET.name)
    run(page)
    expect(page.locator(".result .bill li")).to_have_count(10)
    assert seen.faults == []


def test_an_input_that_is_too_large_is_refused(visit: Visiting, address: str):
    seen = visit()
    page = seen.open(address)
    choose(page, LENET)
    shown(page, LENET.name)
    page.get_by_label("Length of axis N").fill("1000000")
    run(page)
    expect(page.locator(".result .fault")).to_contain_text("784,000,000 numbers, more than")
    assert seen.faults == []


def test_the_command_opens_a_file_in_the_page(visit: Visiting, chromium: object, tmp_path: Path):
    mine = tmp_path / "mine & <b>.shoe"
    mine.write_bytes(LENET.read_bytes())
    with serving(mine) as address:
        seen = visit()
        page = seen.open(address)
        shown(page, mine.name)
        elsewhere = f"{address.split('?')[0]}?file=http://127.0.0.1:9/x.shoe"
        page = seen.open(elsewhere)
        refused(page, "it is on another site")
        assert seen.faults == []


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("%2F%25zz", "could not be fetched: 404"),
        ("http%3A%2F%2F", "this is no address"),
        ("http%3A%2F%2F127.0.0.1%3A9%2F", "it is on another site"),
        ("%2Fweb%2F%25E0%25A4.shoe", "could not be fetched: 404"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_sentence(
    visit: Visiting, address: str, named: str, words: str
):
    seen = visit()
    page = seen.open(f"{address}?file={named}")
    refused(page, words)
    assert [fault for fault in seen.faults if "404" not in fault] == []


def test_the_server_shows_the_page_and_nothing_else(tmp_path: Path):
    mine = tmp_path / "mine.shoe"
    with Demo(mine) as server:
        for path in (
            "/README.md",
            "/.git/config",
            "/web/../README.md",
            "/web/demo/../../README.md",
            "/web/demo/..%2f..%2fREADME.md",
            "/web//etc/passwd.js",
            "/benchmarks/results/files/baseline_mobilenet.shoe",
            "/benchmarks/results/files/../digits.txt",
            "/shoestring/__init__.py",
        ):
            assert server.found(path) is None, path
        for path in ("/web/demo/", "/web/demo/worker.js", "/web/shoe.js", "/web/runtime/plan.js"):
            found = server.found(path)
            assert found is not None and found.is_file(), path
        assert server.found("/opened/anything") == mine


def test_the_command_refuses_what_the_page_could_not_open(tmp_path: Path):
    other = tmp_path / "other.shoe"
    other.write_bytes(b"PK")
    with pytest.raises(ValueError, match="does not begin with SHOE"):
        demo(other)
    with pytest.raises(FileNotFoundError):
        demo(tmp_path / "missing.shoe")
    with Demo() as server, pytest.raises(OSError, match="name another"):
        demo(port=server.port, no_browser=True)


def test_a_page_elsewhere_cannot_read_the_file(tmp_path: Path):
    """A name of another site that leads here is refused; what is sent is deflated."""
    with serving(LENET) as address:
        host = urlsplit(address).netloc
        for name, status in ((host, 200), ("evil.example:80", 403), ("", 403), ("127.0.0.1", 403)):
            connection = HTTPConnection(host, timeout=10)
            connection.putrequest("GET", "/opened/x.shoe", skip_host=True)
            connection.putheader("Host", name)
            connection.endheaders()
            assert connection.getresponse().status == status
            connection.close()
        connection = HTTPConnection(host, timeout=10)
        connection.request("GET", "/web/shoe.js", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert answer.getheader("Content-Encoding") == "gzip"
        assert gzip.decompress(answer.read()) == (ROOT / "web" / "shoe.js").read_bytes()
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Location")) == (302, "/web/demo/")
        answer.read()
        connection.close()
