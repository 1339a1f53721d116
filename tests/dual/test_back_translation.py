"""Back-translation: what it learns from unpaired examples, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from made_duals import Readers, pictures_and_labels
from made_spelling import spellers, spelling

from dual.test_learning import Mute
from shoestring.artifact import load
from shoestring.core import scores, seeded
from shoestring.dual import BackTranslation, Best, Classes, Drawn, Pool, Rounds, TwoWay
from shoestring.kit import AdamW, Training, clone, resuming, state_of, train, write

FEW = Training(2, AdamW(1e-3))


def test_the_way_back_learns_from_what_the_way_there_makes():
    """A forward table that is right, and a backward one that knows nothing: it learns."""
    task = pictures_and_labels(40)
    with seeded(0):
        model = Readers()
        begun = train(clone(model), task.ahead.sealed(), Training(0))
    portraits = begun["portray"]
    before = task.back.score(portraits, "validation")
    with seeded(0):
        result = BackTranslation(training=Training(60, AdamW(1e-2)))(model, task.sealed())
    assert task.back.score(result["portray"], "validation") > before + 0.2


@dataclass(frozen=True)
class Watched:
    """Writes as another does, and notes how many examples it was given."""

    written: list[int] = field(default_factory=list)
    count: int = 1

    def write(self, direction: Any, part: Any, given: Any) -> Any:
        self.written.append(len(given))
        return Drawn(1).write(direction, part, given)


def test_in_rounds_each_example_is_translated_once_a_round_and_the_way_back_learns():
    task = pictures_and_labels(40)
    with seeded(0):
        model = Readers()
    before = task.back.score(model["portray"], "validation")
    watched = Watched()
    examples = sum(len(batch) for pool in (task.sources, task.targets) for batch in pool)
    with seeded(0):
        result = BackTranslation(
            writing=watched,  # type: ignore[arg-type]
            renewal=Rounds(2),
            training=Training(60, AdamW(1e-2)),
        )(model, task.sealed())
    assert sum(watched.written) == 2 * examples
    assert task.back.score(result["portray"], "validation") > before + 0.2
    with pytest.raises(ValueError, match="0 rounds: give an integer"):
        Rounds(0)


def test_rounds_that_were_killed_end_as_whole_ones(tmp_path):
    """The first round is over when the program is killed: it is read, and what it made is made
    again.
    """
    task, model = pictures_and_labels(40), Readers()
    technique = BackTranslation(renewal=Rounds(2), training=FEW)

    def run() -> Any:
        with resuming(tmp_path), seeded(0):
            return state_of(technique(model, task.sealed())).values

    whole = run()
    latest = max(tmp_path.glob("training-*.pt"), key=lambda path: path.stat().st_mtime_ns)
    latest.unlink()
    again = run()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert len(list(tmp_path.glob("training-*.pt"))) == 2


@pytest.mark.slow
def test_it_teaches_both_directions_more_than_more_steps_on_the_pairs():
    task, model = spelling(16), spellers()
    with seeded(0):
        begun = train(clone(model), task.sealed(), Training(200, AdamW(5e-3)))
        longer = train(clone(begun), task.sealed(), Training(200, AdamW(3e-3)))
        taught = BackTranslation(training=Training(200, AdamW(3e-3)))(begun, task.sealed())
    pairs, ours = (scores(task, one, "validation") for one in (longer, taught))
    assert ours["forward"] > pairs["forward"] + 0.1 and ours["backward"] > pairs["backward"] + 0.1


@pytest.mark.slow
def test_one_file_holds_both_directions_and_scores_as_the_module(tmp_path):
    task, model = spelling(16), spellers()
    with seeded(0):
        train(model, task.sealed(), Training(40, AdamW(1e-2)))
    write(model, task, tmp_path / "both.shoe")
    file = load(tmp_path / "both.shoe")
    assert set(file.entries) == {"encode", "step", "encode_back", "step_back"}
    assert scores(task, file, "validation") == scores(task, model, "validation")


def test_empty_translations_teach_nothing():
    model = spellers()
    model.ahead, model.back = Mute(), Mute()
    unchanged = TwoWay(spellers().ahead, Mute())
    with seeded(0):
        result = BackTranslation(training=FEW)(unchanged, spelling())
        rounds = BackTranslation(training=FEW, renewal=Rounds(1))(unchanged, spelling())
    for one in (result, rounds):
        assert all(torch.isfinite(p).all() for p in one.parameters())


def test_what_cannot_be_is_refused():
    task, model = spelling(), spellers()
    with pytest.raises(ValueError, match="no targets without a pair"):
        BackTranslation()(model, replace(task, targets=()))
    with pytest.raises(ValueError, match="the weight is 0"):
        BackTranslation(weight=0)
    for kind in (Drawn, Best):
        with pytest.raises(ValueError, match="0 samples of an example"):
            kind(0)
    with pytest.raises(ValueError, match="0 tokens a batch"):
        Pool([[1]], tokens=0)
    with pytest.raises(TypeError, match="give directions"):
        BackTranslation()(model, replace(task, forward=task.ahead))
    with pytest.raises(ValueError, match="both directions have an entry 'encode'"):
        replace(task, backward=replace(task.backward, encode="encode", step="step")).example()
    with pytest.raises(ValueError, match="shares of the scores"):
        replace(task, shares=(0, 0))


def test_a_pool_gives_each_example_once_and_those_of_a_length_together():
    lists = [[3] * length + [2] for length in (1, 5, 1, 5, 2, 5)]
    rows = list(Pool(lists, tokens=12))
    assert sorted(int((row != 0).sum()) for batch in rows for row in batch) == [2, 2, 3, 6, 6, 6]
    assert all(batch.numel() <= 12 for batch in rows) and len(rows) == 3
    images = torch.arange(10)
    assert torch.cat(list(Pool(images, 4))).sort().values.tolist() == list(range(10))
    assert Classes(part="x").items(images).tolist() == [1] * 10
