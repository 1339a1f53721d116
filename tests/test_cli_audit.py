"""The command `shoestring audit`: a table goes in, a report and a proposal come out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from shoestring.cli.auditing import audit


def called(source: object, **given: Any) -> None:
    """The command as the command line calls it."""
    usual: dict[str, Any] = {"text": None, "label": None, "attribute": "", "minutes": 0.02}
    usual |= {
        "most": 5_000,
        "out": None,
        "fix": None,
        "changes": None,
        "folder": None,
        "as_json": False,
    }
    audit(str(source), **(usual | given))


def table(path: Path) -> Path:
    """Eighty sentences; that of row 6 has the wrong label."""
    good, bad = ["good", "fine", "great", "superb"], ["bad", "poor", "awful", "boring"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "mood", "town"])
        for number in range(80):
            is_good = number % 2 == 1
            word = (good if is_good else bad)[number // 2 % 4]
            mood = "happy" if is_good != (number == 6) else "sad"
            text = f"film number {number * 7919 % 1000} has a {word} story and {word} actors"
            writer.writerow([text, mood, ["north", "south"][number % 3 == 0]])
    return path


@pytest.mark.slow
def test_a_table_is_audited_and_nothing_is_overwritten(tmp_path: Path, capsys):
    source, fix, out = table(tmp_path / "reviews.csv"), tmp_path / "fix.csv", tmp_path / "found.csv"
    before = source.read_bytes()
    called(source, attribute="town", out=out, fix=fix)
    said = capsys.readouterr().out
    assert "First answer" in said and "probably wrong" in said and "happy" in said
    fixes = list(csv.DictReader(fix.read_text().splitlines()))
    relabelled = [row for row in fixes if row["action"] == "relabel"]
    assert ("happy", "sad") in {(row["label"], row["new_label"]) for row in relabelled}
    assert "film number" in relabelled[0]["text"]
    assert out.exists() and source.read_bytes() == before
    kept = fix.read_bytes()
    with pytest.raises(FileExistsError, match="is there already"):
        called(source, fix=fix)
    assert fix.read_bytes() == kept and not capsys.readouterr().out


def test_a_proposal_is_never_written_over_a_file(tmp_path: Path):
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already: give --fix a new name"):
        called(table(tmp_path / "reviews.csv"), fix=tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_findings_are_never_written_over_the_data_or_another_file(tmp_path: Path):
    source = table(tmp_path / "reviews.csv")
    before = source.read_bytes()
    (tmp_path / "link.csv").symlink_to(source)
    for name in ("reviews.csv", "link.csv"):
        with pytest.raises(FileExistsError, match="is the data: give --out a new name"):
            called(source, out=tmp_path / name)
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already: give --out a new name"):
        called(source, out=tmp_path / "mine.csv")
    with pytest.raises(ValueError, match="--out and --fix are both"):
        called(source, out=tmp_path / "new.csv", fix=tmp_path / "new.csv")
    assert source.read_bytes() == before and (tmp_path / "mine.csv").read_text() == "mine"


def test_equal_texts_with_labels_at_random_are_contradictions(tmp_path: Path, capsys):
    rows = [f"it rains,{'yes' if number % 3 else 'no'}" for number in range(60)]
    (tmp_path / "copies.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    called(tmp_path / "copies.csv", out=tmp_path / "out.csv")
    said = capsys.readouterr().out
    assert "contradictions" in said and "First answer" not in said
    assert "contradiction" in (tmp_path / "out.csv").read_text()


def test_sources_that_cannot_be_audited_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no nothing"):
        called("nothing")
    with pytest.raises(ValueError, match="has no function"):
        called("shoestring.tasks:digit")
    with pytest.raises(ValueError, match="a function has none"):
        called("shoestring.tasks:digits", label="mood")
    with pytest.raises(ValueError, match="returned Columns"):
        called("shoestring.tasks:adult_columns")
    (tmp_path / "one.csv").write_text("text,label\na fine film,good\na superb film,good\n")
    with pytest.raises(ValueError, match="too few labels"):
        called(tmp_path / "one.csv", text="text", label="label")
