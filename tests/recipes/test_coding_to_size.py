"""A file is never larger than asked, and of those that fit the one with the best score stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from shoestring import cli
from shoestring.artifact import load
from shoestring.kit import Training
from shoestring.quantize import Rate, Toward
from shoestring.recipes.coding_to_size import coded_to_size
from shoestring.tasks import digits

MODULE = "shoestring.recipes.coding_to_size"
TRAINING = Training(30)


class Coder:
    """Instead of Rate: leaves `factor` × the bytes asked + `excess`, and remembers what was asked.

    `scores`: of the file that loses nothing, and of those after it.
    """

    def __init__(self, monkeypatch, factor: float, excess: int, scores: tuple[float, ...]) -> None:
        self.asked: list[float] = []
        left = iter(scores)
        coder = self

        class Missing(Rate):
            def __call__(self, model, task):
                assert isinstance(self.price, Toward) and self.training == TRAINING
                coder.asked.append(self.price.bytes)
                return model

        def written(model, task, path: Path, smallest: bool = False) -> None:
            size = 3000 + int(coder.asked[-1] * factor + excess) if smallest else 99
            path.write_bytes(bytes(size))

        monkeypatch.setattr(f"{MODULE}.Rate", Missing)
        monkeypatch.setattr(f"{MODULE}.save", written)
        self.score = lambda path: next(left)

    def __call__(self, path: Path):
        task, model = digits().sealed(), nn.Linear(1, 1)
        return coded_to_size(
            model,
            task,
            path,
            size=13_000,
            around=3000,
            lesson=task,
            training=TRAINING,
            score=self.score,
            lost=0.002,
        )


def test_a_file_that_is_too_large_is_coded_again_toward_less(tmp_path: Path, monkeypatch) -> None:
    coder, path = Coder(monkeypatch, 1, 500, (0.9, 0.8)), tmp_path / "x.shoe"
    made = coder(path)
    assert made.bytes == path.stat().st_size <= 13_000
    assert (made.before, made.after) == (0.9, 0.8)
    assert coder.asked == [10_000, pytest.approx(9700 * (10_000 / 10_500) ** 0.7)]


def test_a_small_file_that_lost_score_is_coded_again_toward_more(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "x.shoe"
    # Half as large, and it lost score: from the start toward more, which is better and near enough.
    coder = Coder(monkeypatch, 0.5, 0, (0.9, 0.8, 0.85))
    made = coder(path)
    assert made.bytes == 11_122 == path.stat().st_size and made.after == 0.85
    assert coder.asked == [10_000, pytest.approx(10_000 * 2**0.7)]
    # The same, but it is no better: the smaller file stays.
    made = Coder(monkeypatch, 0.5, 0, (0.9, 0.8, 0.79))(path)
    assert made.bytes == 8000 == path.stat().st_size and made.after == 0.8
    # Half as large, and nothing is lost: that is all.
    coder = Coder(monkeypatch, 0.5, 0, (0.9, 0.899))
    assert coder(path).bytes == 8000 and len(coder.asked) == 1


def test_a_size_that_no_try_reaches_is_an_error_and_no_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "x.shoe"
    with pytest.raises(ValueError, match=r"13,000 bytes at most.*nearest of 4 tries has 16,860"):
        Coder(monkeypatch, 1, 11_000, (0.9,))(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("job", "lines"),
    [
        ("identify", [f"{'ab ' * n}\tone\n{'xy ' * n}\ttwo\n" for n in range(1, 40)]),
        ("complete", [f"line {n} of a text\n" for n in range(60)]),
    ],
)
@pytest.mark.slow
def test_every_job_keeps_to_its_size(
    job: str, lines: list[str], tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.txt").write_text("".join(lines))
    asked = ["learn", job, "x.txt", "x.shoe", "--size", "9KB", "--passes", "1"]
    monkeypatch.setattr("sys.argv", ["shoestring", *asked])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    assert not stop.value.code, said.err
    assert Path("x.shoe").stat().st_size <= 9000 and load("x.shoe")
