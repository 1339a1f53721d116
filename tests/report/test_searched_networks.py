"""The document and the page of a search for networks: numbers that can be checked by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from shoestring.artifact import save
from shoestring.report import document_of, newest_study, place_beside
from shoestring.report.document import Document

from .made import search, small
from .opened_page import PHONE, Open

CODE = "from torch import nn\n\n\nclass Network(nn.Module):\n    '''<b>not bold</b>'''\n"


def network(picks: list[int], score: float | None, share: float, **more: Any) -> dict[str, Any]:
    """A network as a search leaves it."""
    own = {"picks": picks, "architecture": f"Made{tuple(picks)}", "score": score, "share": share}
    costs = {"estimate": {"bytes": 300, "operations": 50}, "cost": {"seconds": 60.0 * share}}
    return {**own, **costs, "over": {}, "note": "", **more}


def trial(picks: list[int], score: float | None, share: float, over: list[str]) -> dict[str, Any]:
    """A training of it."""
    own = {"picks": repr(tuple(picks)), "score": score, "share": share}
    return {**own, "seconds": 60.0 * share, "over": over}


def searched(where: Path, **changes: Any) -> Path:
    """The path of `sums.shoe` (400 B, 0.895), beside what a search for networks left.

    Network (1,) was trained fully, and takes 2 ms; (2,) is better, and breaks a limit; (3,) was
    trained for half of a training; (4,) failed. The model to beat has 800 B and 0.88.
    """
    path = search(where)
    slow = {"cost": {"seconds": 60.0, "milliseconds": 9.0}, "over": {"latency": [9.0, 5.0]}}
    full = {"cost": {"seconds": 60.0, "milliseconds": 2.5}}
    files = [
        ("yours", 0.88, 4.0, 800),
        ("network 1 of the search", 0.93, 8.0, 900),
        ("network 2 of the search", 0.90, 2.0, 900),
        ("delivered", 0.895, 1.5, 400),
    ]
    note = {
        "name": "sums",
        "budget": "latency<=5ms, size<=1KB",
        "command": ["search", "mine.py:sums", "--budget", "latency<=5ms, size<=1KB"],
        "code": "sums.py",
        "limits": "size<=1KB, latency<=5ms",
        "found": {
            "networks": [
                network([2], 0.93, 1.0, **slow),
                network([1], 0.90, 1.0, **full),
                network([3], 0.70, 0.5, estimate={"bytes": 100, "milliseconds": 1.0}),
                network([4], None, 0.5, note="ValueError: no"),
            ]
        },
        "trials": [
            trial([3], 0.70, 0.5, []),
            trial([4], None, 0.5, []),
            trial([1], 0.80, 0.5, []),
            trial([2], 0.93, 1.0, ["latency"]),
            trial([1], 0.90, 1.0, []),
        ],
        "chosen": [1],
        "text": CODE,
        "not_kept": "",
        "files": [
            dict(zip(("name", "score", "milliseconds", "bytes"), one, strict=True)) for one in files
        ],
        "longer": [0.90, 0.91],
        "seconds": 300.0,
        "workers": 1,
        **changes,
    }
    folder = path.with_name(f"{path.name}.networks")
    folder.mkdir()
    save(folder / "networks.json", json.dumps(note).encode())
    return path


def test_networks_own_model_and_delivered_file_are_the_points(tmp_path):
    found = document_of(searched(tmp_path))
    assert found.kind == "networks" and found.title == "sums.shoe" and not found.working
    assert found.before is not None and found.after is not None
    assert found.before.costs == {"bytes": 800, "milliseconds": 4.0}
    assert found.after.costs == {"bytes": 400, "seconds": 30.0, "milliseconds": 1.5}
    assert found.after.scores == {"score": 0.895}
    labels = ["network 1", "network 2", "network 3, 50% of a training"]
    assert [one.label for one in found.points[1:4]] == labels
    slow, chosen, part, failed = found.points[1:5]
    # Those that were timed with the others have these milliseconds, the others their estimate.
    assert [one.costs.get("milliseconds") for one in (slow, chosen, part)] == [8.0, 2.0, 1.0]
    assert [one.fits for one in (slow, chosen, part)] == [False, True, True]
    assert (part.fidelity, part.technique, failed.state) == (0.5, "Made(3,)", "failed")
    assert found.named == {"chosen": chosen.id}
    assert [axis.field for axis in found.resources][:2] == ["milliseconds", "bytes"]
    # A part of a training is not compared, nor the chosen network beside its file.
    assert found.networks is not None
    assert found.networks.compared == ("before", "network-1", "delivered")
    assert found.frontier == ("delivered", "network-1")
    assert [one.words for one in found.rates] == ["+6.5 ms buy +3.50 points"]
    assert found.budget is not None and found.budget.text == "latency<=5ms, size<=1KB"
    assert found.bill is not None and found.bill.total == len(small())
    assert found.search_seconds == 300.0


@pytest.mark.parametrize(("error", "clear"), [(0.02, False), (0.01, True), (None, True)])
def test_a_difference_within_the_errors_of_scores_is_no_rate(tmp_path, error, clear):
    """0.035 is less than 2 x sqrt(2) x 0.02 = 0.057, and more than 2 x sqrt(2) x 0.01 = 0.028."""
    one = network([2], 0.93, 1.0, error=error, cost={"seconds": 60.0})
    other = network([1], 0.90, 1.0, error=error and error / 2)
    part = network([3], 0.5, 0.5, error=0.2)  # which tells nothing of files
    found = document_of(searched(tmp_path, found={"networks": [one, other, part]}))
    assert found.before is not None and found.after is not None
    assert found.points[1].error == found.before.error == error
    assert found.after.error == (error or 0.002)  # of the difference from its network
    assert [(rate.start, rate.end, rate.clear) for rate in found.rates] == [
        ("delivered", "network-1", clear)
    ]
    assert ("no clear change of the score" in found.rates[0].words) is not clear
    assert any("The errors (±)" in text for text in found.notes) == (error is not None)


def test_the_chosen_network_is_compared_as_long_as_nothing_else_stands_for_it(tmp_path):
    path = searched(tmp_path)
    note = tmp_path / "sums.shoe.networks" / "networks.json"
    values = json.loads(note.read_text())
    note.write_text(json.dumps({**values, "files": values["files"][:-1]}))
    networks = document_of(path).networks  # the file that is there is of an earlier search
    assert networks is not None and "network-2" in networks.compared


def test_a_table_of_operations_is_named_where_there_was_one(tmp_path):
    path = searched(tmp_path)
    words = "foretold by a table of operations"
    assert any(words in text for text in document_of(path).notes)
    note = tmp_path / "sums.shoe.networks" / "networks.json"
    networks = [network([2], 0.93, 1.0), network([1], 0.90, 0.5)]
    note.write_text(json.dumps({**json.loads(note.read_text()), "found": {"networks": networks}}))
    notes = document_of(path).notes
    assert not any("table" in text for text in notes)
    assert any("Bytes of networks are estimates" in text for text in notes)


def test_the_curve_has_the_best_that_keeps_the_limits_and_words_for_what_time_bought(tmp_path):
    networks = document_of(searched(tmp_path)).networks
    assert networks is not None
    assert [(one.minutes, one.score, one.best) for one in networks.curve] == [
        (0.5, 0.70, 0.70),
        (1.5, 0.80, 0.80),  # the failed one took half a minute as well
        (2.5, 0.93, 0.80),  # it breaks a limit
        (3.5, 0.90, 0.90),
    ]
    assert networks.words == (
        "The first 1.5 min of 3.5 min of training came to a best score of 80.00 %; the rest bought "
        "+10.00 points. Training the best for longer came to 91.00 %, +1.00 points."
    )
    assert (networks.code, networks.file) == (CODE, "sums.py")


def test_a_search_that_was_ended_early_says_so_and_has_no_comparison(tmp_path):
    path = searched(tmp_path, files=[], longer=None, seconds=None, not_kept="none of 2 keeps it")
    for name in ("sums.shoe.study/search.json", "sums.shoe"):
        (tmp_path / name).unlink()
    found = document_of(path)
    assert found.before is found.after is None and len(found.points) == 4
    assert found.notes[0] == "None of 2 keeps it."
    assert "the same command goes on" in found.notes[1]
    assert found.points[0].costs["milliseconds"] == 9.0
    assert found.networks is not None and found.networks.compared == ("network-1", "network-2")


def test_milliseconds_beside_other_processes_are_noted(tmp_path):
    assert any("2 processes" in one for one in document_of(searched(tmp_path, workers=2)).notes)


def test_the_pages_of_a_search_and_of_its_compression_have_names_of_their_own(tmp_path):
    path = searched(tmp_path)
    study = tmp_path / "sums.shoe.study"
    assert newest_study(tmp_path) == path
    assert place_beside(path) == tmp_path / "sums.html"
    assert place_beside(tmp_path / "sums.shoe.networks") == tmp_path / "sums.html"
    assert place_beside(study) == tmp_path / "sums-compressed.html"
    assert document_of(study).kind == "study" and document_of(study).networks is None
    assert document_of(tmp_path / "sums.shoe.networks").kind == "networks"


@pytest.mark.parametrize("text", ["{", "[]", '{"found": 3}', '{"files": [{}]}'])
def test_a_damaged_note_is_an_error_that_says_what_to_do(tmp_path, text):
    path = searched(tmp_path)
    (tmp_path / "sums.shoe.networks" / "networks.json").write_text(text)
    with pytest.raises(ValueError, match=r"networks\.json is damaged .* search again"):
        document_of(path)


def test_the_page_shows_the_curve_and_the_code_and_marks_by_length_of_training(
    tmp_path, show: Open
) -> None:
    document = document_of(searched(tmp_path))
    seen = show(document)
    page = seen.page
    assert "sums.shoe: 400 bytes, 2 times smaller" in page.locator("h1").inner_text()
    caption = page.locator("#frontier-caption").inner_text()
    assert "2 of 2 points on the frontier" in caption
    assert "Small marks were trained for a part of a training only, and are not" in caption
    assert "The chosen network is not compared, since the delivered file is." in caption
    for words in ("before", "chosen", "delivered"):
        expect(page.locator(".frontier-box svg text", has_text=words).first).to_be_visible()
    curve = page.locator("#curve")
    curve.scroll_into_view_if_needed()
    expect(curve.locator("svg").first).to_be_visible()
    assert curve.locator(".chart").get_attribute("aria-label")
    assert curve.locator("tbody tr").count() == 4
    assert "the rest bought +10.00 points" in curve.inner_text()
    code = page.locator("#code")
    assert code.locator("pre").inner_text() == CODE and code.locator("b").count() == 0
    expect(code.get_by_role("button", name="Copy the code of the network")).to_be_visible()
    curve.get_by_role("button", name="network 3").click()
    expect(page.locator("#details h3")).to_contain_text("50% of a training")
    assert len(seen.requests) == 1


@pytest.mark.parametrize(
    "options", [{"color_scheme": "dark"}, {"color_scheme": "light"}, {"viewport": PHONE}]
)
def test_the_page_is_accessible_in_both_schemes_and_on_a_phone(tmp_path, show: Open, options):
    notes = {"workers": 2, "not_kept": 9 * "what is long, and said in a note "}
    seen = show(document_of(searched(tmp_path, **notes)), **options)
    seen.page.locator("#curve").scroll_into_view_if_needed()
    assert seen.inaccessible() == [] and seen.sideways() <= 0


def test_the_page_of_networks_that_were_all_trained_for_a_part_has_no_frontier(
    tmp_path, show: Open
):
    path = searched(tmp_path, found={"networks": [network([1], 0.9, 0.5)]}, files=[])
    for name in ("sums.shoe.study/search.json", "sums.shoe"):
        (tmp_path / name).unlink()
    document = document_of(path)
    assert document.frontier == document.rates == () and len(document.points) == 1
    page = show(document).page
    assert "0 of 0 points on the frontier" in page.locator("#frontier-caption").inner_text()
    expect(page.locator(".frontier-box svg").first).to_be_visible()


def test_the_page_of_a_search_without_a_model_to_beat_shows_what_was_proved(tmp_path, show: Open):
    path = searched(tmp_path, files=[])
    document = document_of(path)
    assert document.before is None and document.after is not None
    proved = replace(document, after=replace(document.after, test=0.875))
    page = show(proved).page
    assert "sums.shoe" in page.locator("h1").inner_text()
    assert "87.5" in page.locator("table.before-after").inner_text()


def test_other_pages_have_neither_part(show: Open) -> None:
    page = show(Document(kind="study", title="none")).page
    assert page.locator("#curve").count() == page.locator("#code").count() == 0
