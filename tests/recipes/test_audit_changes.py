"""A proposal of an audit is applied to a copy, and never over the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoestring.cli.auditing import audit
from shoestring.label import Collection, Example, Span
from shoestring.label.collect.answer import digest
from shoestring.label.formats import FormatError, Table, read
from shoestring.recipes.audit_changes import apply_changes
from shoestring.recipes.auditing import audits

HEAD = "name,label,new_label,action,quality,other,text\n"
TABLE = "mood;review;town\nsad;dull;north\nhappy;bright;south\nsad;bright too;north\nhappy;odd;x\n"
CHANGES = (
    HEAD
    + '3,sad,happy,relabel,0.01,,bright too\n1,sad,,remove,1.0,2,dull\n'
    + "4,happy,,settle,0.9,2,odd\n2,sad,happy,relabel,0.1,,bright\n"
    + "9,sad,happy,relabel,0.1,,gone\n3,sad,dull,relabel,0.1,,bright too\n"
    + "4,happy,sad,relabel,0.2,,another text\n4,happy,sad,eat,0.2,,odd\n"
)  # fmt: skip


def given(folder: Path, changes: str = CHANGES, table: str = TABLE) -> tuple[Path, Path]:
    (source := folder / "reviews.csv").write_text(table)
    (proposed := folder / "changes.csv").write_text(changes)
    return source, proposed


def test_a_table_keeps_all_but_what_changes(tmp_path: Path):
    source, changes = given(tmp_path)
    applied = apply_changes(source, changes, tmp_path / "new.csv", text="review", label="mood")
    assert (tmp_path / "new.csv").read_text() == (
        "mood;review;town\nhappy;bright;south\nhappy;bright too;north\nhappy;odd;x\n"
    )
    assert source.read_text() == TABLE
    assert applied.relabelled == {"3": "happy"} and applied.removed == ("1",)
    assert applied.left == (
        "'4': it contradicts '2'; write its new_label, or remove it",
        "'2': its label is 'happy', and the row says 'sad'",
        "'9': the data has no such example",
        "'3': a row before it changes the same example",
        "'4': it has another text than the row says",
        "'4': its row has the action 'eat'",
    )


def test_what_a_person_settled_is_applied(tmp_path: Path):
    source, changes = given(tmp_path, f"{HEAD}4,happy,sad,settle,0.9,2,odd\n")
    apply_changes(source, changes, tmp_path / "new.csv", text="review", label="mood")
    assert (tmp_path / "new.csv").read_text().endswith("sad;odd;x\n")


def test_pictures_are_copied_to_the_folder_of_their_class(tmp_path: Path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (path := tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (changes := tmp_path / "changes.csv").write_text(
        f"{HEAD}cat/1.png,cat,dog,relabel,0.1,,\ncat/2.png,cat,,remove,1,,\n"
    )
    new = tmp_path / "new"
    apply_changes(tmp_path / "data", changes, new)
    found = {one.name: one for one in read(new).examples}
    assert len(found) == 2 and {name.split("/")[0] for name in found} == {"dog"}
    assert {path.read_bytes() for path in new.rglob("*.png")} == {b"cat/1.png", b"dog/1.png"}
    assert len(list((tmp_path / "data").rglob("*.png"))) == 3


def test_json_lines_keep_who_said_the_rest(tmp_path: Path):
    rows = ['{"text": "a", "label": "x"}', '{"text": "b", "label": "y"}']
    (source := tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (changes := tmp_path / "changes.csv").write_text(f"{HEAD}2,y,z,relabel,0.1,,b\n")
    apply_changes(source, changes, tmp_path / "new.jsonl")
    found = read(tmp_path / "new.jsonl")
    assert [one.annotations[0].labels[0].name for one in found.examples] == ["x", "z"]
    assert found.examples[1].annotations[0].by == "audit" and set(found.names) == {"x", "y", "z"}


def test_nothing_is_overwritten_or_half_done(tmp_path: Path):
    source, changes = given(tmp_path)
    for path, why in ((source, "is the data"), (changes, "is there already")):
        with pytest.raises(FileExistsError, match=why):
            apply_changes(source, changes, path)
    new, columns = tmp_path / "new.csv", {"text": "review", "label": "mood"}
    changes.write_text(f"{HEAD}9,sad,happy,relabel,0.1,,\n")
    with pytest.raises(ValueError, match=r"nothing was written: '9': the data has no such"):
        apply_changes(source, changes, new, **columns)
    for content, why in (("a,b\n1,2\n", "no column 'name'"), (f"{HEAD}1,2\n", "line 2 of")):
        changes.write_text(content)
        with pytest.raises(FormatError, match=why):
            apply_changes(source, changes, new, **columns)
    assert not new.exists()


WRITTEN = (
    'review,mood,town\r\n"dull, and long","sad",north\r\n\r\n'
    'bright,happy,"a ""b"""\r\n"lone\rcr",happy,x\r\nodd,sad,y'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_ends_of_lines_quotes_and_the_encoding_are_kept(tmp_path: Path, encoding: str):
    (source := tmp_path / "reviews.csv").write_bytes(WRITTEN.encode(encoding))
    changes = tmp_path / "changes.csv"
    changes.write_text(
        f"{HEAD}1,sad,happy,relabel,0,,\n2,happy,,remove,0,,\n4,sad,happy,relabel,0,,\n"
    )
    apply_changes(source, changes, new := tmp_path / "new.csv")
    wanted = WRITTEN.replace('"sad"', "happy").replace('bright,happy,"a ""b"""\r\n', "")
    assert new.read_bytes() == wanted.replace("odd,sad", "odd,happy").encode(encoding)
    assert [one.text for one in read(new).examples] == ["dull, and long", "lone\rcr", "odd"]
    new.unlink()
    changes.write_text(f'{HEAD}1,sad,"a, ""b""",relabel,0,,\n')
    applied = apply_changes(source, changes, new)
    first, *_ = read(new, text="review", label="mood").examples
    assert first.annotations[0].labels[0].name == 'a, "b"'
    assert "is no class of the source, and now the label of 1 example" in applied.notes[0]


def test_a_separator_that_is_named_is_used_for_the_copy(tmp_path: Path):
    source, _ = given(tmp_path)
    table = Table(separator=";", text="review", label="mood")
    table.copy(source, tmp_path / "new.csv", {"1": "odd; new"}, {"2", "3", "4"})
    assert (tmp_path / "new.csv").read_text() == 'mood;review;town\n"odd; new";dull;north\n'


def test_labels_that_are_none_are_listed(tmp_path: Path):
    rows = "2,happy,nan,relabel,0,,\n3,sad,sad,relabel,0,,\n4,happy,,relabel,0,,\n"
    source, changes = given(
        tmp_path, f'{HEAD}{rows}1,sad,"a\nb",settle,0,,\n1,sad,happy,relabel,0,,\n'
    )
    columns = {"text": "review", "label": "mood"}
    applied = apply_changes(source, changes, tmp_path / "new.csv", **columns)
    assert applied.relabelled == {"1": "happy"} and not applied.notes
    assert applied.left == (
        "'2': its new_label is 'nan', which is read as no label",
        "'3': its new_label is 'sad', which it has",
        "'4': its row has no new_label",
        "'1': its new_label is 'a\\nb': a class is one line that shows",
    )
    every = "".join(f"{n},{label},,remove,0,,\n" for n, label in enumerate(["sad", "happy"] * 2, 1))
    changes.write_text(HEAD + every)
    with pytest.raises(ValueError, match=r"no line of .* would be left"):
        apply_changes(source, changes, tmp_path / "other.csv", **columns)


def test_rows_of_another_version_of_the_data_are_not_applied(tmp_path: Path):
    lines = [f"{n * 0.37:.3f},{'ab'[n % 2]}\n" for n in range(40)]
    (source := tmp_path / "rows.csv").write_text("".join(["x,label\n", *lines]))
    before = {one.name: digest(one) for one in read(source).examples}
    head = HEAD.replace("text", "text,digest")
    (changes := tmp_path / "changes.csv").write_text(f"{head}5,a,b,relabel,0,,,{before['5']}\n")
    apply_changes(source, changes, tmp_path / "new.csv")
    source.write_text("".join(["x,label\n", "7.5,a\n", "8.5,b\n", *lines]))
    with pytest.raises(ValueError, match="it has other values than when it was audited"):
        apply_changes(source, changes, tmp_path / "other.csv")


def test_a_copy_inside_of_pictures_or_far_from_them_is_refused(tmp_path: Path):
    for name in ("cat/1.png", "dog/1.png"):
        (path := tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (changes := tmp_path / "changes.csv").write_text(f"{HEAD}cat/1.png,cat,dog,relabel,0,,\n")
    for inner in ("new", "cat/new"):
        with pytest.raises(ValueError, match="is inside of"):
            apply_changes(tmp_path / "data", changes, tmp_path / "data" / inner)
    table = "picture,label\ncat/1.png,cat\ndog/1.png,dog\n"
    (source := tmp_path / "data" / "all.csv").write_text(table)
    with pytest.raises(ValueError, match="beside the pictures"):
        apply_changes(source, changes, tmp_path / "new.csv")
    apply_changes(source, changes, tmp_path / "data" / "new.csv")
    found = read(tmp_path / "data" / "new.csv").examples
    assert [one.annotations[0].labels[0].name for one in found] == ["dog", "dog"]


def test_a_text_as_long_as_a_book_is_applied(tmp_path: Path):
    book = "word " * 40_000
    table = f"review,mood\n{book},sad\nshort,happy\n"
    source, changes = given(tmp_path, f"{HEAD}1,sad,happy,relabel,0,,{book}\n", table)
    apply_changes(source, changes, tmp_path / "new.csv", text="review", label="mood")
    assert (tmp_path / "new.csv").read_text() == table.replace(",sad", ",happy")


def test_spans_are_pointed_to_what_audits_them():
    examples = (Example(name="1", text="a b"),)
    with pytest.raises(ValueError, match=r"kind Span, .*audit\.tag_errors; boxes are not audited"):
        next(audits(Collection(examples=examples, kind=Span)))


def test_the_command_says_what_became_of_the_rows(tmp_path: Path, capsys):
    source, changes = given(tmp_path)
    audit(str(source), text="review", label="mood", changes=changes, out=tmp_path / "new.csv")
    said = capsys.readouterr().out
    assert "1 relabelled, 1 removed, 6 rows not applied" in said and "is as it was" in said
    assert "'9': the data has no such example" in said
    with pytest.raises(ValueError, match="name it with --out"):
        audit(str(source), changes=changes)
    with pytest.raises(FileNotFoundError, match="a proposal is applied to"):
        audit("made:pictures", changes=changes, out=tmp_path / "other.csv")
