"""The committed network for spoken digits hears real recordings on an emulated core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiers import repetitions

from shoestring.artifact import load, read
from shoestring.artifact.plain_c.board.targets import TARGETS
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.fed import fed_inputs, fed_program
from shoestring.artifact.plain_c.firmware import measure

SPOKEN = Path(__file__).parents[3] / "benchmarks" / "results" / "files" / "fsdd_flash_16kb.shoe"


@pytest.mark.parametrize(
    "core", ["cortex-m3", pytest.param("cortex-m0plus", marks=pytest.mark.slow)]
)
def test_it_hears_what_the_file_hears(core, tmp_path):
    from shoestring.tasks import DataError, fsdd_recordings

    target = TARGETS[core]
    if why := target.missing_compiler() or target.missing_emulator():
        pytest.skip(why)
    try:
        found = fsdd_recordings()["test"]
    except DataError as error:
        pytest.skip(str(error))
    count = repetitions(10, 200)
    drawn = np.random.default_rng(1).permutation(len(found))[:count]
    sounds = [found.sounds[place] for place in drawn]
    made = export_c(read(SPOKEN), name="spoken", weights=Coded())
    (tmp_path / "spoken.c").write_text(made.text)
    heard = measure(fed_program(made, tmp_path / "spoken.c"), target, fed_inputs(made, sounds))
    wanted = np.asarray(load(SPOKEN, threads=1).from_raw(sounds))
    assert heard.outputs is not None and heard.ram is not None
    # A feature that is as good as halfway may be the next byte: outputs are close, labels equal.
    assert np.array_equal(heard.outputs.argmax(1), wanted.argmax(1))
    assert np.abs(heard.outputs - wanted).max() < 0.1 * np.abs(wanted).max()
    digits = [found.digits[place] for place in drawn]
    assert (heard.outputs.argmax(1) == digits).mean() >= 0.9
    assert heard.flash <= 16 * 1024 and heard.ram <= 8 * 1024
