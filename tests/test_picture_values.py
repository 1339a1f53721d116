"""The step `Picture`: what is white, what is refused, and how much is in memory at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoestring.artifact.chains.picture import Picture
from shoestring.cli import pictures
from tests.test_cli_pictures import picture, written

STEP = Picture(side=4)


def grey(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_dark_picture_of_16_bits_stays_dark(tmp_path, ending):
    for value, seen in ((200, 0.0), (255, 0.0), (256, 0.0), (32896, 128 / 255), (65535, 1.0)):
        path = grey(tmp_path / f"{value}.{ending}", np.full((4, 4), value, np.uint16))
        assert np.allclose(STEP(path), seen), value


def test_floats_are_from_0_to_1(tmp_path):
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    assert np.allclose(STEP(grey(tmp_path / "f.tif", values))[0, 1], values, atol=1 / 255)
    for wrong in (np.nan, 1.5, -0.1, np.inf, 255.0):
        values[1, 1] = wrong
        with pytest.raises(ValueError, match=r"f\.tif does not open .*grey is floats from 0 to 1"):
            STEP(grey(tmp_path / "f.tif", values))


def test_integers_of_32_bits_are_refused(tmp_path):
    path = grey(tmp_path / "i.tif", np.full((4, 4), 200, np.int32))
    with pytest.raises(ValueError, match="numbers from 200 to 200, and grey is integers of 8 or"):
        STEP(path)


def test_a_picture_that_does_not_open_is_skipped_and_listed(tmp_path, shoestring):
    written(tmp_path / "back.shoe")
    for name in ("a", "c", "d"):
        picture(tmp_path / "in" / f"{name}.png", seed=ord(name))
    (tmp_path / "in" / "b.png").write_text("x")
    status, _, err = shoestring("run", "back.shoe", "in", "--out", "out.npz")
    assert status == 0 and "skipped: in/b.png does not open as a picture" in err
    assert "1 of 4 pictures are skipped" in err
    seen = next(iter(np.load(tmp_path / "out.npz").values()))
    paths = [tmp_path / "in" / f"{name}.png" for name in "acd"]
    assert np.array_equal(seen, Picture(side=16)(paths))
    # a name that is nowhere is told before anything is run
    status, _, err = shoestring("run", "back.shoe", "in", "none.png")
    assert status == 1 and "there is no picture none.png" in err


def test_few_large_pictures_are_in_memory_at_a_time(tmp_path, monkeypatch):
    from shoestring import load

    files = [picture(tmp_path / f"{n}.png", seed=n) for n in range(5)]
    loaded = load(written(tmp_path / "back.shoe"))
    asked: list[int] = []
    run = loaded.run

    def heard(given):
        asked.append(len(next(iter(given.values()))))
        return run(given)

    monkeypatch.setattr(loaded, "run", heard)
    for numbers, sizes in ((1 << 24, [5]), (2 * 3 * 16 * 16, [2, 2, 1]), (1, [1] * 5)):
        asked.clear()
        monkeypatch.setattr(pictures, "_NUMBERS", numbers)
        pictures.picture_results(loaded, files)
        assert asked == sizes


def test_a_folder_with_the_name_of_arrays_is_a_folder(tmp_path, shoestring):
    written(tmp_path / "back.shoe")
    picture(tmp_path / "x.npz" / "a.png")
    status, _, err = shoestring("run", "back.shoe", "x.npz")
    assert status == 0, err
