"""Networks of several shapes are tried for a size, and the best file on validation stays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from shoestring import cli
from shoestring.recipes.text_sizes import (
    LARGE,
    MIDDLE,
    SMALL,
    WIDE,
    Planned,
    best_shape,
    shapes_for,
)
from shoestring.recipes.text_tools import PLAIN_TAGGER, SEGMENTER, TextResult, TextSettings
from shoestring.tasks import digits


class Maker:
    """Makes files of some scores; each takes some seconds of a clock that it owns."""

    def __init__(self, scores: tuple[float | None, ...], seconds: float) -> None:
        self.scores, self.seconds = iter(scores), seconds
        self.time, self.made = 0.0, []

    def __call__(self, settings: TextSettings, path: Path, coder: object) -> TextResult:
        self.time += self.seconds
        planned = isinstance(coder, Planned)
        if planned:
            assert coder.minutes == self.seconds / 60
        self.made.append((settings.width, settings.hidden, planned))
        score = next(self.scores)
        if score is None:
            raise ValueError("no try fits")
        path.write_bytes(str(score).encode())
        return TextResult(bytes=3, before=9, validation=score, trained=score)

    def best(self, path: Path, size: int, minutes: float) -> TextResult:
        settings = PLAIN_TAGGER
        return best_shape(self, settings, path, size=size, minutes=minutes, now=lambda: self.time)


def test_a_shape_changes_the_tables_and_the_widths() -> None:
    shaped = LARGE(SEGMENTER)
    assert shaped.step.buckets == tuple(4 * one for one in SEGMENTER.step.buckets)
    assert (shaped.width, shaped.hidden, shaped.vector) == (32, 192, SEGMENTER.vector)
    assert SMALL(PLAIN_TAGGER).step.ids == 1 + sum(PLAIN_TAGGER.step.buckets) // 2
    assert MIDDLE(PLAIN_TAGGER) == PLAIN_TAGGER  # so a file of 300 KB is what it was
    assert shapes_for(300_000)[0] == MIDDLE == shapes_for(100_000)[0]
    assert shapes_for(3_000_000)[0] == LARGE


def test_the_best_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.shoe"
    maker = Maker((0.8, 0.85, 0.9, 0.7), 60)
    assert maker.best(path, 300_000, 4).validation == 0.9
    assert path.read_bytes() == b"0.9"
    assert maker.made == [
        (MIDDLE.width, MIDDLE.hidden, False),
        (MIDDLE.width, MIDDLE.hidden, True),  # the planner has as long as the first network took
        (WIDE.width, WIDE.hidden, False),
        (LARGE.width, LARGE.hidden, False),
    ]


def test_a_network_that_may_not_be_done_in_the_minutes_is_not_begun(tmp_path: Path) -> None:
    for minutes, count in ((0, 1), (1.9, 1), (2, 2), (2.9, 2), (3, 3), (99, 4)):
        maker = Maker((0.8, 0.9, 0.7, 0.6), 60)
        maker.best(tmp_path / "x.shoe", 300_000, minutes)
        assert len(maker.made) == count, minutes


def test_a_network_that_does_not_fit_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.shoe"
    assert Maker((None, 0.9, None, None), 60).best(path, 300_000, 9).validation == 0.9
    with pytest.raises(ValueError, match="no try fits"):
        Maker((None, None, None, None), 60).best(path, 300_000, 9)
    with pytest.raises(ValueError, match="no try fits"):
        Maker((None, 0.9), 60).best(path, 300_000, 0)


@pytest.mark.parametrize("met", [True, False])
def test_the_planner_codes_to_a_size(met: bool, tmp_path: Path, monkeypatch) -> None:
    asked = []

    def found(model, task, budget, path, *, minutes):
        asked.append((budget, minutes))
        path.write_bytes(bytes(6000))
        return SimpleNamespace(met=met)

    monkeypatch.setattr("shoestring.recipes.text_sizes.compress", found)
    path, task, model = tmp_path / "x.shoe", digits().sealed(), nn.Sequential(nn.Flatten())
    coder, scores = Planned(minutes=2.5), iter((0.9, 0.8))
    options = {"size": 5000, "score": lambda _: next(scores), "around": 3000}
    if met:
        made = coder(model, task, path, **options)
        assert (made.bytes, made.before, made.after) == (6000, 0.9, 0.8)
        assert path.stat().st_size == 6000
    else:
        with pytest.raises(ValueError, match=r"no file of 5,000 bytes in 2.5 minutes.*6,000"):
            coder(model, task, path, **options)
        assert not path.exists()
    assert asked == [("size<=5000B", 2.5)]


def test_minutes_are_for_words_only(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.tsv").write_text("a\tb\n")
    asked = ["shoestring", "learn", "identify", "x.tsv", "x.shoe", "--minutes", "2"]
    monkeypatch.setattr("sys.argv", asked)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "--minutes 2 is for tag and segment only" in capsys.readouterr().err
