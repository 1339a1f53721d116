"""Flash, RAM and instructions of files as C."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from shoestring.artifact import InputChain, Normalise
from shoestring.artifact.format.describing import described
from shoestring.artifact.plain_c.board.targets import TARGETS
from shoestring.artifact.plain_c.weight_source import Decoded
from shoestring.core import Budget, Cost
from shoestring.meters import Flash, Instructions, Ram, Size, UnmeasuredWarning, default_meters
from shoestring.meters import microcontroller as module

METERS = (Flash, Ram, Instructions)
emulated = pytest.mark.skipif(Ram().why_not() is not None, reason=str(Ram().why_not()))


@emulated
def test_a_linear_layer_is_measured_as_its_weights_foretell(linear) -> None:
    flash = Flash(weights=Decoded())(linear.path, linear.task).flash_bytes
    assert flash is not None and 4 * (8 * 3 + 3) < flash < 2500  # floats, a loop, soft floats
    ram = Ram(weights=Decoded())(linear.path, linear.task).ram_bytes
    assert ram is not None and 4 * (8 + 3) < ram < 600
    count = Instructions(weights=Decoded())(linear.path, linear.task).instructions
    assert count is not None and 8 * 3 * 10 < count < 8 * 3 * 400


@emulated
def test_each_meter_measures_its_own_field_of_modules_and_files(linear) -> None:
    for meter in METERS:
        cost = meter()(linear.path, linear.task)
        assert set(cost.measured()) == {meter.measures}
        assert cost == meter()(linear.module, linear.task)


@emulated
def test_the_input_chain_of_a_file_is_counted(linear, tmp_path) -> None:
    chain = InputChain(steps=(Normalise(mean=(0.5,), std=(2.0,)),))
    path = tmp_path / "chained.shoe"
    path.write_bytes(described(linear.path.read_bytes(), notes=chain.notes()))
    for meter in METERS:
        (bare,) = meter()(linear.path, linear.task).measured().values()
        (chained,) = meter()(path, linear.task).measured().values()
        assert bare < chained < 5 * bare


@emulated
def test_meters_of_one_target_share_a_measurement_and_others_do_not(linear, monkeypatch) -> None:
    made: list[str] = []
    real = module._made

    def counted(content, inputs, meter, run):
        made.append(f"{meter.target} {run}")
        return real(content, inputs, meter, run)

    monkeypatch.setattr(module, "_made", counted)
    monkeypatch.setattr(module, "_known", type(module._known)())
    for meter in (Ram(), Instructions(), Flash(), Ram()):
        meter(linear.path, linear.task)
    assert made == ["cortex-m3 True"]
    Ram(target="cortex-m4f")(linear.path, linear.task)
    assert made == ["cortex-m3 True", "cortex-m4f True"]


@emulated
def test_an_operator_without_c_stays_unmeasured_and_is_named(one_node, call) -> None:
    import torch

    path = one_node("DFT", [("N", 4, 1)], operands=(0, None), attributes=())
    with pytest.warns(UnmeasuredWarning, match="DFT"):
        assert Flash()(path, call(torch.ones(1, 4, 1))) == Cost()


def test_a_missing_tool_is_said_before_anything_is_measured(linear, monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    for meter in METERS:
        assert "gcc-arm-none-eabi" in str(meter().why_not())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert meter()(linear.path, linear.task) == Cost()
    monkeypatch.setattr("shutil.which", lambda name: None if "qemu" in name else name)
    assert Flash().why_not() is None
    assert "package qemu-system-arm" in str(Ram().why_not())


def test_a_target_that_does_not_exist_or_is_not_emulated_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean cortex-m3"):
        Flash(target="cortex-m33")
    Flash(target="host")
    for meter in (Ram, Instructions):
        with pytest.raises(ValueError, match="host is not emulated"):
            meter(target="host")


def test_a_budget_gets_the_meters_of_its_target() -> None:
    assert default_meters(Budget.parse("size<=1KB"), "cortex-m7") == [Size()]
    limits = Budget.parse("flash<=16KB, ram<=6KB, instructions<=2M, drop<=1%")
    assert default_meters(limits, "cortex-m0plus") == [
        meter(target="cortex-m0plus") for meter in METERS
    ]
    assert default_meters(replace(limits, ram=None, instructions=None), "host") == [
        Flash(target="host")
    ]
    assert set(TARGETS) >= {"cortex-m0plus", "cortex-m3", "cortex-m4f", "cortex-m7", "riscv32"}
