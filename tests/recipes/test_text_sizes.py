"""Networks of several shapes are tried for a size, and the best file on validation stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoestring import cli
from shoestring.recipes.text_sizes import LARGE, MIDDLE, SMALL, WIDE, best_shape, shapes_for
from shoestring.recipes.text_tools import PLAIN_TAGGER, SEGMENTER, TextResult, TextSettings


class Maker:
    """Makes files of some scores; each takes some seconds of a clock that it owns."""

    def __init__(self, scores: tuple[float | None, ...], seconds: float) -> None:
        self.scores, self.seconds = iter(scores), seconds
        self.time, self.made = 0.0, []

    def __call__(self, settings: TextSettings, path: Path) -> TextResult:
        self.time += self.seconds
        self.made.append((settings.width, settings.hidden))
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
    maker = Maker((0.8, 0.9, 0.7), 60)
    assert maker.best(path, 300_000, 3).validation == 0.9
    assert path.read_bytes() == b"0.9"
    assert maker.made == [(16, 96), (WIDE.width, WIDE.hidden), (LARGE.width, LARGE.hidden)]


def test_a_network_that_may_not_be_done_in_the_minutes_is_not_begun(tmp_path: Path) -> None:
    for minutes, count in ((0, 1), (1.9, 1), (2, 2), (2.9, 2), (3, 3), (99, 3)):
        maker = Maker((0.8, 0.9, 0.7), 60)
        maker.best(tmp_path / "x.shoe", 300_000, minutes)
        assert len(maker.made) == count, minutes


def test_a_network_that_does_not_fit_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.shoe"
    assert Maker((None, 0.9, None), 60).best(path, 300_000, 9).validation == 0.9
    with pytest.raises(ValueError, match="no try fits"):
        Maker((None, None, None), 60).best(path, 300_000, 9)
    with pytest.raises(ValueError, match="no try fits"):
        Maker((None, 0.9), 60).best(path, 300_000, 0)


def test_minutes_are_for_words_only(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.tsv").write_text("a\tb\n")
    asked = ["shoestring", "learn", "identify", "x.tsv", "x.shoe", "--minutes", "2"]
    monkeypatch.setattr("sys.argv", asked)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "--minutes 2 is for tag and segment only" in capsys.readouterr().err
