"""The upper half of each weight."""

from __future__ import annotations

import torch

from shoestring.kit import parameters_of, write
from shoestring.quantize import BFloat16


def test_bfloat16_halves_the_file(trained, tmp_path):
    model, task = trained
    rounded = BFloat16()(model, task.sealed())
    assert all(
        torch.equal(one.value(), one.value().bfloat16().float()) for one in parameters_of(rounded)
    )
    assert write(rounded, task, tmp_path / "a.shoe") < 0.52 * 4 * 53_002
