"""Answers that were paid are not lost, and what is wrong with one is told with its file."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shoestring.artifact import save
from shoestring.kit import SkippedWarning
from shoestring.plan import label_store
from shoestring.plan.label_store import LabelStore
from tests.plan.test_buying_labels import bought, brief, fresh, selling

__all__ = ["brief", "fresh"]  # fixtures


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("labels-*")
    return path


@pytest.mark.parametrize("label", [99, -1])
def test_a_class_that_was_never_seen_is_not_kept(task, fresh, tmp_path, label):
    task, person = selling(task)
    truth = person.truth

    def hasty(indices: Any) -> Tensor:
        answers = truth[torch.tensor(list(indices))].clone()
        answers[3] = label
        return answers

    with pytest.raises(ValueError, match=rf"is {label}, a class .* the 9 other labels are kept in"):
        bought(fresh, replace(task, answer=hasty), tmp_path, 20)
    kept = json.loads(the_file(tmp_path).read_text())
    assert len(kept["indices"]) == 9 and max(kept["labels"]) < 10
    assert bought(fresh, task, tmp_path, 20)[2].labels == 20, "with the answer corrected it goes on"
    assert len(person.all) == 11 and not set(person.all) & set(kept["indices"])


def test_a_class_beyond_the_network_in_the_file_names_the_file(task, fresh, tmp_path):
    task, person = selling(task)
    bought(fresh, task, tmp_path, 10)
    path = the_file(tmp_path)
    kept = json.loads(path.read_text())
    kept["labels"][4] = 99
    path.write_text(json.dumps(kept))
    for budget in (10, 20):
        with pytest.raises(
            ValueError, match=rf"labels-.*json is damaged .*{kept['indices'][4]} is"
        ):
            bought(fresh, task, tmp_path, budget)
    assert len(person.all) == 10


def test_answers_that_nothing_is_learnt_from_are_told(task, fresh, tmp_path):
    task, person = selling(task)
    person.truth = torch.where(torch.arange(len(person.truth)) % 2 == 0, person.truth, -100)
    with pytest.warns(SkippedWarning, match=r"of 10 answers are -100, which the loss leaves out"):
        bought(fresh, task, tmp_path, 10)


@pytest.mark.parametrize("answers", [None, ["cat"] * 10])
def test_an_answer_that_is_no_number_is_told(task, fresh, tmp_path, answers):
    task, _ = selling(task, answer=lambda indices: answers)
    with pytest.raises(ValueError, match=r"which are not numbers of one shape .*: give a number"):
        bought(fresh, task, tmp_path, 10)


class Disk:
    """A disk with so many bytes for the folder of a search, which `save` writes to."""

    def __init__(self, folder: Path, size: float) -> None:
        self.folder, self.size = folder, size

    def save(self, path: Path, data: bytes) -> None:
        inside = path.parent == self.folder
        used = sum(one.stat().st_size for one in self.folder.iterdir())
        if inside and used + len(data) > self.size:  # the old file stays until the new one is there
            raise OSError(errno.ENOSPC, f"cannot write {path}: no room")
        save(path, data)

    def fill(self) -> None:
        self.size = sum(one.stat().st_size for one in self.folder.iterdir())


def test_a_disk_that_fills_while_somebody_answers_loses_nothing(task, fresh, tmp_path, monkeypatch):
    task, person = selling(task)
    disk = Disk(tmp_path, float("inf"))
    monkeypatch.setattr(label_store, "save", disk.save)

    def filling(indices: Any) -> Tensor:
        if len(person.asked) == 1:
            disk.fill()
        return person(indices)

    assert bought(fresh, replace(task, answer=filling), tmp_path, 50)[2].labels == 50
    assert json.loads(the_file(tmp_path).read_text())["indices"] == person.all
    with pytest.raises(OSError, match="no room"):  # for more of them, and nobody is asked
        bought(fresh, task, tmp_path, 90)
    assert len(person.all) == 50 and [one.name for one in tmp_path.glob("*.room")] == []


def test_labels_that_cannot_be_written_are_put_aside(task, tmp_path, monkeypatch):
    task, _ = selling(task)
    store = LabelStore.of(tmp_path, task, print)
    monkeypatch.setattr(label_store, "save", Disk(tmp_path, 0).save)
    monkeypatch.setattr(label_store.tempfile, "tempdir", str(tmp_path.parent))
    with pytest.raises(
        OSError, match=r"the 2 labels that were bought are in .*: make room"
    ) as told:
        store.add([5, 3], torch.tensor([1, 2]), "Margin")
    monkeypatch.undo()
    aside = Path(str(told.value).split("are in ")[1].split(": make")[0])
    aside.rename(store.path)
    assert LabelStore.of(tmp_path, task, print).indices == [5, 3]


def changed(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda kept: kept.update(values)


def first(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda kept: kept[name].__setitem__(0, value)


@pytest.mark.parametrize(
    "edit",
    [
        *(first("labels", value) for value in (None, [1, 2], "cat", 1.5, 2**70)),
        *(first("indices", value) for value in (1.7, True, -1, 10**6, "1")),
        *(changed(steps=value) for value in ([1], [-3, 0], [5, "x"], 7)),
        *(changed(finished=value) for value in (float("inf"), -1, None)),
        *(changed(by=value) for value in ([["X", 1]], [], [["X"]], [[1, 3]], {})),
        *(changed(version=2), changed(labels={}), lambda kept: kept.pop("by")),
    ],
)
def test_a_file_that_was_edited_is_named(task, tmp_path, edit):
    task, _ = selling(task)
    store = LabelStore.of(tmp_path, task, print)
    store.add([5, 3, 9], torch.tensor([1, 2, 0]), "Margin")
    kept = json.loads(store.path.read_text())
    edit(kept)
    store.path.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=r"labels-.*\.json is damaged \(.*all labels are bought"):
        LabelStore.of(tmp_path, task, print)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{}", b"\xff", b"{", b'{"version": 1'])
def test_a_damaged_file_of_labels_is_not_overwritten(task, fresh, tmp_path, raw):
    task, person = selling(task)
    store = LabelStore.of(tmp_path, task, print)
    store.path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"is damaged .*all labels are bought anew"):
        bought(fresh, task, tmp_path, 20)
    assert store.path.read_bytes() == raw and not person.asked


def test_that_kept_labels_are_used_is_told_with_their_file(task, fresh, tmp_path):
    task, _ = selling(task)
    bought(fresh, task, tmp_path, 10)
    said = list[str]()
    bought(fresh, task, tmp_path, 10, said)
    (line,) = (one for one in said if "were bought before are in" in one)
    assert str(the_file(tmp_path)) in line and "move that file away" in line
