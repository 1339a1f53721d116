"""Omniglot where it is there: its characters, its runs, and the error of the runs' own baseline."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from shoestring.core import SealedError
from shoestring.tasks import DataError, omniglot_runs, omniglot_small
from shoestring.tasks.fetch import Source, present
from shoestring.tasks.omniglot import RUNS, SMALL

module = importlib.import_module("shoestring.tasks.omniglot")


@pytest.fixture
def here() -> None:
    pytest.importorskip("PIL", reason="PNG is read with the extra images")
    if any(present(source) is None for source in (*SMALL.values(), RUNS)):
        pytest.skip(
            "Omniglot is not here: set SHOESTRING_DATA to a folder that holds omniglot/*.zip, or "
            "run shoestring.tasks.omniglot_small() once where there is a network"
        )


@pytest.mark.usefixtures("here")
def test_characters_as_they_are():
    first, second, both = (omniglot_small(sets) for sets in ((1,), (2,), (1, 2)))
    assert [len(one.alphabets) for one in (first, second, both)] == [136, 156, 242]
    assert len(set(both.alphabets)) == 8 and {"Greek", "Latin"} == set(first.alphabets) & set(
        second.alphabets
    )
    assert both.pictures.shape == (242 * 20, 1, 28, 28) and both.pictures.dtype == torch.float32
    assert (both.labels.bincount() == 20).all()
    assert both.pictures.min() == 0 and 0.9 < both.pictures.max() <= 1
    assert 0.05 < both.pictures.mean() < 0.12, "ink is 1 and there is little of it"
    greek = both.of("Greek")
    assert len(greek.alphabets) == 24 and greek.labels.unique().tolist() == list(range(24))
    assert torch.equal(greek.pictures[0], first.of("Greek").pictures[0])


@pytest.mark.usefixtures("here")
def test_runs_as_they_are():
    runs = omniglot_runs(side=105)
    assert len(runs) == 20 and runs[4].name == "omniglot run 05"
    assert runs[0].test is not None
    # As run01/class_labels.txt has it: item01 is of class08, item02 of class09.
    assert runs[0].test[1][:2].tolist() == [7, 8]
    for run in runs:
        assert run.train[0].shape == (20, 1, 105, 105)  # type: ignore[union-attr]
        assert run.train[1].tolist() == list(range(20))
        assert run.test is not None and sorted(run.test[1].tolist()) == list(range(20))
    with pytest.raises(SealedError):
        runs[0].sealed().batches("test")


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_modified_hausdorff_distance_has_the_error_that_its_authors_print():
    wrong = 0
    for run in omniglot_runs(side=105):
        assert run.test is not None
        known, asked = (
            [at - at.mean(0) for at in (np.argwhere(x[0].numpy() > 0.5).astype(float) for x in xs)]
            for xs in (run.train[0], run.test[0])
        )
        for one, label in zip(asked, run.test[1].tolist(), strict=True):
            apart = [cdist(one, other) for other in known]
            distances = [max(d.min(0).mean(), d.min(1).mean()) for d in apart]
            wrong += int(np.argmin(distances)) != label
    assert 100 * wrong / 400 == pytest.approx(38.8, abs=0.06)


@pytest.mark.usefixtures("here")
def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="there is no alphabet 'Elvish': there are Balinese"):
        omniglot_small((1,)).of("Elvish")
    with pytest.raises(ValueError, match=r"sets=\(3,\): give \(1,\)"):
        omniglot_small((3,))
    with pytest.raises(ValueError, match="side=106: give the pixels"):
        omniglot_runs(side=106)
    away = Source("omniglot", "nowhere.zip", "file:///nowhere/at/all.zip", RUNS.sha256)
    monkeypatch.setattr(module, "RUNS", away)
    with pytest.raises(DataError, match=r"SHOESTRING_DATA to a folder that holds omniglot/nowh"):
        omniglot_runs()
