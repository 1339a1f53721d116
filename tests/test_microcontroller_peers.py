"""What peers of the microcontroller benchmark are given is the same network, and what they make of
it answers as the file does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from shoestring.artifact import Content, load, read_model
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.plain_c.board.targets import TARGETS
from shoestring.artifact.plain_c.firmware import measure

ROOT = Path(__file__).parent.parent
FILES = ROOT / "benchmarks" / "results" / "files"
sys.path[:0] = [str(ROOT / "benchmarks")]

from microcontroller_layers import Network, NoLayersError, layers_of  # noqa: E402
from microcontroller_onnx import for_peers  # noqa: E402
from microcontroller_peers import INTERPRETED, PEERS, PeerError, made_by  # noqa: E402

RNG = np.random.default_rng(5)


def content_of(name: str) -> Content:
    content = read_model(FILES / f"{name}.shoe")
    assert isinstance(content, Content)
    return content


def images(content: Content, count: int) -> np.ndarray:
    shape = content.graph.inputs[0].shape[1:]
    return RNG.random((count, *(int(axis) for axis in shape)), np.float32)


def quantised(name: str, folder: Path) -> Content:
    """A file in int8, calibrated on random images."""
    import torch

    from shoestring.kit import Supervised, from_shoe, write
    from shoestring.quantize import PostTraining

    inputs = torch.from_numpy(images(content_of(name), 64))
    pair = inputs, torch.zeros(64, dtype=torch.int64)
    task = Supervised(train=pair, validation=pair, test=pair)
    model = from_shoe(FILES / f"{name}.shoe").eval()
    write(PostTraining()(model, task), task, folder / "int8.shoe")
    content = read_model(folder / "int8.shoe")
    assert isinstance(content, Content)
    return content


def run(network: Network, example: np.ndarray) -> np.ndarray:
    """A slow run of the layers of a network, in float64, which rounds to grids where there are."""

    def rounded(tensor: int, value: np.ndarray) -> np.ndarray:
        if tensor not in network.grids:
            return value
        scale, zero = network.grids[tensor]
        return (np.clip(np.rint(value / scale) + zero, -128, 127) - zero) * scale

    values = {0: example.astype("f8")}
    if network.normalised is not None:
        mean, deviation = (one[:, None, None] for one in network.normalised)
        values[0] = (values[0] - mean) / deviation
    values[0] = rounded(0, values[0])
    for layer in network.layers:
        value, *others = (values[one] for one in layer.reads)
        weight, bias = (layer.arrays.get(one) for one in ("weight", "bias"))
        if weight is not None and "scale" in layer.arrays:
            scale = layer.arrays["scale"].astype("f8")
            weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
            bias = 0 if bias is None else bias * scale * network.grids[layer.reads[0]][0]
        match layer.kind:
            case "conv":
                assert weight is not None
                made = convolved(value, weight, layer.stride, layer.pads)
                made += np.reshape(0 if bias is None else bias, (-1, 1, 1))
            case "dense":
                assert weight is not None
                made = weight @ value.ravel() + bias
            case "pool":
                made = np.stack([value[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]).max(0)
            case "subsample":
                made = value[:, ::2, ::2]
            case "pad":
                before, after = layer.arrays["channels"]
                made = np.pad(value, ((before, after), (0, 0), (0, 0)))
            case "add":
                made = value + others[0]
            case _:
                made = value.mean((1, 2))
        assert made.shape == network.shapes[layer.writes]
        made = np.maximum(made, 0) if layer.relu else made
        values[layer.writes] = rounded(layer.writes, made)
    return values[network.layers[-1].writes]


def convolved(value: np.ndarray, weight: np.ndarray, stride: int, pads: int) -> np.ndarray:
    value = np.pad(value, ((0, 0), (pads, pads), (pads, pads)))
    windows = np.lib.stride_tricks.sliding_window_view(value, weight.shape[2:], (1, 2))
    return np.einsum("cyxhw,ochw->oyx", windows[:, ::stride, ::stride], weight, optimize=True)


@pytest.mark.by_default("lenet5*", "digits*")
@pytest.mark.parametrize(
    "name",
    ["lenet5_rate_5e-05", "lenet300_rate_1.5e-05", "digits_flash_6kb", "resnet20_rate_4e-06"],
)
def test_the_layers_of_a_network_compute_what_the_file_computes(name: str):
    content = content_of(name)
    example = images(content, 1)
    expected = np.asarray(load(FILES / f"{name}.shoe")(example))[0]
    found = run(layers_of(content), example[0])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_layers_of_an_int8_network_have_its_integers_and_grids(tmp_path: Path):
    content = quantised("lenet5_rate_5e-05", tmp_path)
    network = layers_of(content)
    assert all(layer.arrays["weight"].dtype == np.int8 for layer in network.layers[::2])
    assert {0, 1, 3} <= set(network.grids)
    example = images(content, 1)
    expected = np.asarray(load(tmp_path / "int8.shoe")(example))[0]
    found = run(network, example[0])
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "why"), [("baseline_tagger", "."), ("baseline_mobilenet", "it has Clip")]
)
def test_a_network_that_there_are_no_layers_for_is_refused_by_operator(name: str, why: str):
    with pytest.raises(NoLayersError, match=why):
        layers_of(content_of(name))


def test_peers_get_the_network_without_what_depends_on_constants(tmp_path: Path):
    content = quantised("lenet5_rate_5e-05", tmp_path)
    before, after = onnx_bytes(content.graph, content.tensors), for_peers(content)
    operators = {node.op_type for node in onnx.load_from_string(after).graph.node}
    assert operators - {"Identity"} == {
        *("QuantizeLinear", "DequantizeLinear", "Conv", "MaxPool", "Reshape", "Gemm")
    }
    assert len(after) < len(before)
    example = {content.graph.inputs[0].name: images(content, 8)}
    answers = [onnxruntime.InferenceSession(one).run(None, example)[0] for one in (before, after)]
    np.testing.assert_array_equal(*answers)


def test_the_mean_of_all_pixels_is_a_pool_for_peers():
    content = content_of("resnet20_rate_4e-06")
    operators = [node.op_type for node in onnx.load_from_string(for_peers(content)).graph.node]
    assert "ReduceMean" not in operators
    assert [one for one in operators if one != "Identity"][-3:] == [
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
    ]


@pytest.mark.parametrize("tool", PEERS)
def test_a_peer_that_is_not_named_says_which_variable_names_it(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(PEERS[tool][1], raising=False)
    content = content_of("lenet300_rate_1.5e-05")
    with pytest.raises(PeerError, match=f"{PEERS[tool][1]} is not set"):
        made_by(tool, content, images(content, 1), (0, 1), tmp_path, ("cortex-m3",))


def test_sources_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = "TFLite Micro"
    monkeypatch.setenv("TFLITE_MICRO_SOURCES", str(tmp_path / "none"))
    content = content_of("lenet300_rate_1.5e-05")
    with pytest.raises(PeerError, match="there is no tflite-micro in"):
        made_by(tool, content, images(content, 1), (0, 1), tmp_path, ("cortex-m3",))


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["onnx2c", *INTERPRETED])
@pytest.mark.parametrize("kind", ["float", "int8"])
def test_a_peer_answers_as_the_file_does(tool: str, kind: str, tmp_path: Path):
    if PEERS[tool][1] not in os.environ:
        pytest.skip(f"{PEERS[tool][1]} is not set: benchmarks/peers/{PEERS[tool][0]} says to what")
    core = TARGETS["cortex-m3"]
    problem = core.missing_compiler() or core.missing_emulator()
    if problem is not None:
        pytest.skip(problem)
    name = "lenet5_rate_5e-05"
    content = content_of(name) if kind == "float" else quantised(name, tmp_path)
    file = FILES / f"{name}.shoe" if kind == "float" else tmp_path / "int8.shoe"
    examples = images(content, 8)
    expected = np.asarray(load(file)(examples))
    limits = float(expected.min()), float(expected.max())
    if kind == "float" and "CMSIS-NN" in tool:
        with pytest.raises(PeerError, match="CMSIS-NN has kernels of 8 bits"):
            made_by(tool, content, examples, limits, tmp_path, ("cortex-m3",))
        return
    made = made_by(tool, content, examples, limits, tmp_path, ("cortex-m3",))
    assert made.versions
    there, here = (
        measure(made.programs[one], one, made.inputs[:2]) for one in ("cortex-m3", "host")
    )
    assert there.outputs is not None and here.outputs is not None
    np.testing.assert_allclose(there.outputs, here.outputs, atol=1e-3 * np.abs(expected).max())
    allowed = (0.001 if kind == "float" else 0.1) * np.abs(expected).max()
    assert np.abs(there.outputs - expected[:2]).max() < allowed
    assert there.flash > 40_000 and there.instructions is not None
