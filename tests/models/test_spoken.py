"""The network for spoken digits: its size, its shapes, and that it goes into a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shoestring import load
from shoestring.artifact.chains.input_chain import KEY, InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.format.describing import described
from shoestring.core import seeded
from shoestring.kit import ExportError, Supervised, write
from shoestring.models import SpokenDigits

CHAIN = InputChain(steps=(LogMel(frames=16),))


def task(chain: InputChain) -> Supervised:
    drawn = torch.randn(4, 1, 16, 20, generator=torch.Generator().manual_seed(0))
    split = (drawn, torch.arange(4))
    return Supervised(train=split, validation=split, test=split, input_chain=chain)


def test_parameters_and_shapes():
    with seeded(0):
        model = SpokenDigits().eval()
    assert sum(one.numel() for one in model.parameters()) == 9290
    features = torch.randn(3, 1, 32, 20, generator=torch.Generator().manual_seed(0))
    assert model(features).shape == (3, 10)
    assert SpokenDigits(classes=4, width=8)(features).shape == (3, 4)


def test_the_chain_of_its_task_goes_into_its_file(tmp_path: Path):
    with seeded(0):
        model = SpokenDigits(width=8).eval()
    size = write(model, task(CHAIN), tmp_path / "model.shoe")
    data = (tmp_path / "model.shoe").read_bytes()
    bare = described(data, notes={KEY: None})
    assert len(bare) < size == len(data) < len(bare) + 200  # it is counted
    (tmp_path / "bare.shoe").write_bytes(bare)
    loaded = load(tmp_path / "model.shoe")
    assert loaded.input_chain == CHAIN and load(tmp_path / "bare.shoe").input_chain is None
    sound = (1000 * np.sin(np.arange(3000) / 3)).astype(np.int16)
    wanted = model(torch.from_numpy(CHAIN([sound]))).detach().numpy()
    np.testing.assert_allclose(loaded.from_raw([sound]), wanted, rtol=1e-4, atol=1e-5)
    for view in (task(CHAIN).sealed(), task(CHAIN).taught_by(model), task(CHAIN).sampled(2, 0)):
        assert view.input_chain == CHAIN


def test_a_chain_that_does_not_fit_is_refused(tmp_path: Path):
    other = InputChain(steps=(LogMel(frames=15),))
    with pytest.raises(ExportError, match=r"input chain does not fit its model: .*15, 20\]"):
        write(SpokenDigits(width=8).eval(), task(other), tmp_path / "model.shoe")
    assert not (tmp_path / "model.shoe").exists()
