"""Torch's table of translations: read once, and no call sees what another one added."""

from __future__ import annotations

import pytest
import torch
from torch.onnx._internal.exporter._registration import ONNXRegistry
from zoo import classified

from shoestring.kit import export
from shoestring.kit.exporting.torchlib import read_once


def test_a_call_gets_a_copy_of_the_table_and_what_it_adds_stays_its_own():
    plain = ONNXRegistry.from_torchlib(opset_version=20)
    with read_once():
        first = ONNXRegistry.from_torchlib(opset_version=20)
        first.functions["aten::relu"].clear()
        second = ONNXRegistry.from_torchlib(opset_version=20)
        second.functions["aten::gelu"] = []
        third = ONNXRegistry.from_torchlib(opset_version=20)
    assert (
        third.opset_version == plain.opset_version
        and third.functions.keys() == plain.functions.keys()
    )
    assert {name: len(one) for name, one in third.functions.items()} == {
        name: len(one) for name, one in plain.functions.items()
    }


def test_each_version_has_its_own_table():
    with read_once():
        tables = [ONNXRegistry.from_torchlib(opset_version=version) for version in (18, 20, 18)]
    assert [one.opset_version for one in tables] == [18, 20, 18]
    assert tables[0].functions.keys() == tables[2].functions.keys()


def test_torch_is_left_as_it_was():
    before = vars(ONNXRegistry)["from_torchlib"]
    with pytest.raises(RuntimeError, match="torch failed"), read_once():
        assert vars(ONNXRegistry)["from_torchlib"] is not before
        raise RuntimeError("torch failed")
    assert vars(ONNXRegistry)["from_torchlib"] is before


def test_a_torch_that_keeps_its_table_elsewhere_exports_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
):
    task = classified((3,))
    monkeypatch.setattr("shoestring.kit.exporting.torchlib._registry", lambda: None)
    assert export(torch.nn.Linear(3, 4), task).graph.nodes
