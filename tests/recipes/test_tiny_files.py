"""Tiny files: what each way has in common, the limit, and going on where a run was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shoestring import kit
from shoestring.artifact import load
from shoestring.core import Ledger, seeded
from shoestring.kit import AdamW, Averaged, ShortfallWarning, Supervised, Training
from shoestring.models import SpokenDigits
from shoestring.recipes import found_digits, tiny_files
from shoestring.recipes.coding_to_size import TooLargeError
from shoestring.recipes.found_networks import PICTURES, SOUNDS, mixed_sounds, quick
from shoestring.recipes.tiny_files import WAYS, FewBytes, tiny_file
from shoestring.search import Stages
from shoestring.tasks import DataError

LITTLE = FewBytes(
    size=1500,
    space=Stages(
        channels=1,
        height=8,
        width=8,
        firsts=(4,),
        widths=((4, 8),),
        strides=((1, 2),),
        layers=(1, 2),
    ),
    by_hand={"8 wide": lambda: SpokenDigits(width=8), "4 wide": lambda: SpokenDigits(width=4)},
    operations=200_000,
    bits=4.0,
    searching=Training(18, AdamW(5e-3), statistics=Averaged()),
    trainings=1.5,
    steps=30,
    coding_steps=20,
    learning_rate=5e-3,
)


def bars() -> Supervised:
    """Pictures 1×8×8 with one bright row, whose number is the label."""
    with seeded(0):
        labels = torch.arange(160) % 8
        images = 0.1 * torch.randn(160, 1, 8, 8)
        images[torch.arange(160), 0, labels] += 1
    splits = dict.fromkeys(("train", "validation", "test"), (images, labels))
    return Supervised(**splits, name="bars", batch_size=16)


def weights(model: torch.nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


def test_longer_trains_what_was_chosen_longer_and_not_the_search():
    longer = PICTURES.longer(10)
    assert (longer.steps, longer.coding_steps) == (3520, 3520)
    assert replace(longer, steps=352, coding_steps=352) == PICTURES
    assert SOUNDS.longer(1e-9).steps == 1  # never none at all


def test_a_quick_run_is_smaller_in_all_parts():
    settings = quick(SOUNDS, 4)
    assert (settings.steps, settings.coding_steps, settings.searching.steps) == (375, 375, 100)
    assert settings.trainings < SOUNDS.trainings and settings.size == SOUNDS.size


def test_a_way_that_is_none(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no way 'by luck' to choose a network.*'found'"):
        tiny_file(bars(), tmp_path / "a.shoe", way="by luck", settings=LITTLE, networks=tmp_path)


def test_what_goes_with_the_file_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = dict[str, object]()

    def coded(model, task, path: Path, **told: object) -> None:
        asked.update(told)
        raise LookupError

    monkeypatch.setattr(tiny_files, "coded_to_size", coded)
    settings = replace(LITTLE, beside=300, steps=1)
    with pytest.raises(LookupError):
        tiny_file(bars(), tmp_path / "a.shoe", way="by hand", settings=settings, networks=tmp_path)
    assert asked["size"] == 1200 and asked["around"] == 400


@pytest.mark.slow
def test_every_way_keeps_the_limit_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    task, ledger = bars(), Ledger(tmp_path / "ledger.sqlite")
    made = found_digits(task, tmp_path, settings=LITTLE, ledger=ledger)
    assert [one.way for one in made] == list(WAYS)
    for one in made:
        path = tmp_path / f"{one.way.replace(' ', '_')}.shoe"
        assert one.bytes == path.stat().st_size <= LITTLE.size
        assert one.test == task.score(load(path), "test") == one.validation  # the same examples
        assert (one.searching > 0) == (one.way != "by hand")
        scored = [score for score in one.finalists.values() if score is not None]
        assert one.validation == max(scored) == one.finalists[one.network]
    assert [row.kind for row in ledger.rows()].count("prove") == len(WAYS)  # each file once
    assert max(one.test for one in made) > 0.3

    def no(*args: object, **told: object) -> None:
        raise AssertionError("it is trained again")

    monkeypatch.setattr(tiny_files, "coded_to_size", no)
    assert found_digits(task, tmp_path, settings=LITTLE) == made  # all from what was kept


def test_a_network_of_which_no_file_is_small_enough_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = replace(LITTLE, steps=1, coding_steps=1)

    def coded(model, task, path: Path, **told: object) -> None:
        if weights(model) == weights(SpokenDigits(width=8)):
            raise TooLargeError("too large")
        kit.save(model, task, path)

    monkeypatch.setattr(tiny_files, "coded_to_size", coded)
    told = {"way": "by hand", "settings": settings}
    with pytest.warns(ShortfallWarning, match="8 wide has no file: too large"):
        made = tiny_file(bars(), tmp_path / "a.shoe", networks=tmp_path, **told)
    assert made.network == "4 wide" and made.finalists["8 wide"] is None

    def never(*args: object, **told: object) -> None:
        raise TooLargeError("the nearest has 1,700")

    monkeypatch.setattr(tiny_files, "coded_to_size", never)
    with (
        pytest.warns(ShortfallWarning, match="wide has no file"),
        pytest.raises(ValueError, match=r"the nearest has 1,700"),
    ):
        tiny_file(bars(), tmp_path / "b.shoe", networks=tmp_path / "other", **told)
    none = {**told, "settings": replace(settings, by_hand={})}
    with pytest.raises(ValueError, match="no network was made by hand"):
        tiny_file(bars(), tmp_path / "c.shoe", networks=tmp_path / "none", **none)


def test_a_finalist_of_other_settings_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    steps = list[int]()

    def coded(model, task, path: Path, **told) -> None:
        steps.append(told["training"].steps)
        kit.save(model, task, path)

    monkeypatch.setattr(tiny_files, "coded_to_size", coded)
    for coding_steps in (1, 2, 2):
        settings = replace(LITTLE, steps=1, coding_steps=coding_steps)
        told = {"way": "by hand", "settings": settings, "networks": tmp_path}
        tiny_file(bars(), tmp_path / "a.shoe", **told)
    assert steps == [1, 1, 2, 2]


def test_what_was_chosen_is_made_once_more_with_a_longer_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    steps = list[tuple[str, int]]()

    def coded(model, task, path: Path, **told) -> None:
        steps.append((path.stem.split("_")[0], told["training"].steps))
        kit.save(model, task, path)

    monkeypatch.setattr(tiny_files, "coded_to_size", coded)
    settings = replace(LITTLE, steps=1, coding_steps=2)
    told = {"way": "by hand", "settings": settings, "networks": tmp_path, "times": 3.0}
    tiny_file(bars(), tmp_path / "a.shoe", **{**told, "times": 1.0})  # at the same place
    before = (tmp_path / "a.shoe").read_bytes()
    made = tiny_file(bars(), tmp_path / "a.shoe", **told)
    assert (tmp_path / "a.shoe").read_bytes() != before
    assert steps == [("finalist", 2), ("finalist", 2), ("finalist", 6)]
    assert made.network in settings.by_hand


@pytest.mark.slow
def test_the_first_sounds_are_of_all_digits():
    try:
        task = mixed_sounds()
    except DataError as error:
        pytest.skip(f"needs FSDD: {error}")
    assert set(task.train[1][:100].tolist()) == set(range(10))
    assert task.train[1].bincount().tolist() == [240] * 10  # none is lost, and none is there twice
