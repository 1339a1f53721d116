"""Graphs come back as modules that answer as ONNX Runtime does and that techniques act on."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional
from zoo import ZOO, Animal, Calls, classified, longer

from shoestring import cli
from shoestring.artifact import load
from shoestring.artifact.format.graph import OperatorError
from shoestring.core import Technique, Vary, seeded
from shoestring.kit import (
    SkippedWarning,
    Training,
    clone,
    from_shoe,
    remove_dead_units,
    train,
    write,
)
from shoestring.kit.importing.from_onnx import from_onnx
from shoestring.kit.importing.onnx_pack import pack_onnx
from shoestring.kit.tracing.example import arrays, tensors
from shoestring.kit.weights.parameters import parameters_of
from shoestring.prune import Channels, Magnitude
from shoestring.quantize import GPTQ, PostTraining, Rate, WeightOnly, WeightSharing


class Small(nn.Module):
    """A convolution with batch norm and dropout, and two linear layers, one without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.drop, self.hidden, self.last = (
            nn.Dropout(0.5),
            nn.Linear(16 * 4 * 4, 32, bias=False),
            nn.Linear(32, 4),
        )

    def forward(self, image: Tensor) -> Tensor:
        value = functional.max_pool2d(torch.relu(self.norm(self.conv(image))), 2)
        return self.last(torch.relu(self.hidden(self.drop(value.flatten(1)))))


def saved(model: nn.Module, path: Path, *args: Tensor, **settings: Any) -> Path:
    """By torch's old exporter, as most files were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, args, str(path), dynamo=False, opset_version=13, **settings)
    return path


def by_runtime(path: Path, *args: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(
        None, {port.name: one.numpy() for port, one in zip(session.get_inputs(), args, strict=True)}
    )  # type: ignore[return-value]


def graph(
    nodes: list[Any], path: Path, *, initializers: Any = (), inputs: Any = None, opset: int = 13
) -> Path:
    """A file of these nodes, from `x` (2 × 3, or as `inputs` says) to `y`."""
    ports = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])]
    ends = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    body = helper.make_graph(
        nodes,
        "graph",
        ports,
        ends,
        [numpy_helper.from_array(one, name) for name, one in initializers],
    )
    onnx.save(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path
    )
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path, Any]:
    with seeded(0):
        task = classified((1, 8, 8), examples=24)
        model = train(Small(), task, Training(20)).eval()
    settings = {
        "input_names": ["image"],
        "output_names": ["logits"],
        "dynamic_axes": {"image": {0: "N"}, "logits": {0: "N"}},
    }
    keep = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    path = saved(
        model,
        tmp_path_factory.mktemp("onnx") / "small.onnx",
        torch.randn(2, 1, 8, 8),
        **settings,
        **keep,
    )
    return model, path, task


def test_layers_are_torch_s_own_under_the_names_of_their_weights(small):
    _, path, _ = small
    module = from_onnx(path)
    kinds = {
        name: type(one).__name__ for name, one in module.named_modules() if not list(one.children())
    }
    wanted = {"conv": "Conv2d", "norm": "BatchNorm2d", "hidden": "Linear", "last": "Linear"}
    assert kinds == wanted
    assert (
        module.names["conv.weight"] == "conv.weight"
        and module.names["norm.running_mean"] == "norm.running_mean"
    )
    assert not module.training and all(one.requires_grad for one in module.parameters())
    assert isinstance(module.get_submodule("norm"), nn.BatchNorm2d)


def test_a_module_answers_as_the_runtime_and_as_the_class(small):
    model, path, _ = small
    image = torch.randn(5, 1, 8, 8)
    module = from_onnx(path)
    with torch.no_grad():
        assert torch.allclose(module(image), model(image), atol=1e-6)
        assert torch.equal(module(image=image), module(image))
    assert np.allclose(by_runtime(path, image)[0], module(image).detach().numpy(), atol=1e-5)
    with pytest.raises(
        TypeError, match=r"'image' is missing; this network takes image: float32\[N, 1, 8, 8\]"
    ):
        module()


def test_batch_norm_and_dropout_follow_the_mode(small, tmp_path: Path):
    _, path, _ = small
    module, image = from_onnx(path), torch.randn(6, 1, 8, 8) + 3
    norm = module.get_submodule("norm")
    before = norm.running_mean.clone()
    module(image)
    assert torch.equal(norm.running_mean, before)
    module.train()(image)
    assert not torch.equal(norm.running_mean, before)
    node = helper.make_node("Dropout", ["x", "share"], ["y"])
    dropping = from_onnx(
        graph([node], tmp_path / "drop.onnx", initializers=[("share", np.array(0.5, np.float32))])
    )
    ones = torch.ones(50, 3)
    assert torch.equal(dropping(ones), ones)
    assert set(dropping.train()(ones).unique().tolist()) == {0.0, 2.0}


def test_copies_share_nothing_and_pickle(small):
    _, path, _ = small
    module, image = from_onnx(path), torch.randn(2, 1, 8, 8)
    for copied in (clone(module), copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(copied(image), module(image))
        with torch.no_grad():
            copied.get_submodule("conv").weight.zero_()
        assert not torch.equal(copied(image), module(image))


@pytest.mark.slow
@pytest.mark.by_default("PostTraining8", "Magnitude")
@pytest.mark.parametrize(
    "technique",
    [
        PostTraining(examples=16),
        PostTraining(bits=4, rounding=GPTQ(), examples=16),
        WeightOnly(bits=4),
        Channels(share=0.5, training=Training(3)),
        Magnitude(density=0.3, training=Training(3)),
        WeightSharing(levels=8, training=Training(3)),
        Rate(price=1e-4, training=Training(5)),
    ],
    ids=lambda one: f"{type(one).__name__}{getattr(one, 'bits', '')}",
)
def test_techniques_act_as_they_do_on_the_class(small, technique: Technique, tmp_path: Path):
    model, path, task = small
    module = from_onnx(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with seeded(0):
            ours = technique(module, task)
        with seeded(0):
            theirs = technique(model, task)
        size, plain_size = (
            write(ours, task, tmp_path / "ours.shoe"),
            write(theirs, task, tmp_path / "theirs.shoe"),
        )
        assert size < 0.9 * write(module, task, tmp_path / "before.shoe"), "it did something"
    assert abs(size - plain_size) < 0.05 * plain_size
    image = task.validation[0][0][:4]
    with torch.no_grad():
        expected = ours.eval()(image).numpy()
    assert np.allclose(
        load(tmp_path / "ours.shoe")(image), expected, atol=0.02 * np.abs(expected).max()
    )
    assert [port.name for port in load(tmp_path / "ours.shoe").inputs] == ["image"]


def test_dead_units_are_taken_out(small):
    _, path, task = small
    module = from_onnx(path)
    with torch.no_grad():
        module.get_submodule("last").weight[:, :30] = 0
    assert remove_dead_units(module, task).get_submodule("last").in_features == 2


@pytest.mark.by_default("mlp", "residual")
@pytest.mark.parametrize("animal", ZOO, ids=lambda animal: animal.name)
def test_files_come_back_without_their_class(animal: Animal, tmp_path: Path):
    model, task = animal()
    size = write(model, task, tmp_path / "first.shoe")
    module, loaded = from_shoe(tmp_path / "first.shoe"), load(tmp_path / "first.shoe")
    for by in (0, 2):
        args, kwargs = longer(task, by)
        wanted = loaded(*args, **kwargs)
        with torch.no_grad():
            got = module(*args, **kwargs)
        assert isinstance(got, Tensor) or type(got) is type(wanted)
        tolerance = 2e-3 if animal.name == "half" else 1e-5
        for one, other in zip(tensors(got), arrays(wanted), strict=True):
            assert np.allclose(one.float().numpy(), other, rtol=tolerance, atol=tolerance)
    again = write(module, task, tmp_path / "again.shoe")
    assert again < 1.1 * size + 64


@pytest.mark.slow
def test_a_quantised_file_comes_back_on_its_grids(small, tmp_path: Path):
    model, _, task = small
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size = write(PostTraining(examples=16)(model, task), task, tmp_path / "whole.shoe")
    module, image = from_shoe(tmp_path / "whole.shoe"), task.validation[0][0]
    expected = load(tmp_path / "whole.shoe")(image)
    assert np.allclose(module(image).detach().numpy(), expected, atol=0.02 * np.abs(expected).max())
    assert write(module, task, tmp_path / "again.shoe") < 1.1 * size
    trained = train(clone(module), task, Training(3))
    assert any(
        not torch.equal(a, b)
        for a, b in zip(module.parameters(), trained.parameters(), strict=True)
    )
    assert write(trained, task, tmp_path / "trained.shoe") < 1.2 * size, "still whole numbers"


# -- files of others


def test_integers_keep_their_scales_when_a_node_moves_them(tmp_path: Path):
    numbers = np.random.default_rng(0).integers(-127, 128, (4, 60), np.int8)
    nodes = [
        helper.make_node("Reshape", ["numbers", "shape"], ["moved"]),
        helper.make_node("DequantizeLinear", ["moved", "scale"], ["weight"]),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    initializers = [
        ("numbers", numbers),
        ("shape", np.array([3, 80])),
        ("scale", np.array(0.5, np.float32)),
    ]
    path = graph(nodes, tmp_path / "moved.onnx", initializers=initializers)
    module, x = from_onnx(path), torch.randn(2, 3)
    assert np.allclose(module(x).detach().numpy(), by_runtime(path, x)[0], atol=1.0)
    (weight,) = parameters_of(module)
    assert torch.equal(weight.value(), torch.from_numpy(numbers.reshape(3, 80).T * np.float32(0.5)))
    assert weight.state is not None and weight.state.scale is not None
    assert weight.state.scale.item() == 0.5


def test_control_flow_is_taken_where_its_condition_is_known_and_refused_by_name_elsewhere(
    tmp_path: Path,
):
    def branch(name: str, operator: str) -> Any:
        node = helper.make_node(operator, ["x"], [f"{name}.y"])
        return helper.make_graph(
            [node], name, [], [helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, None)]
        )

    nodes = [
        helper.make_node("Greater", ["rate", "limit"], ["fast"]),
        helper.make_node(
            "If",
            ["fast"],
            ["y"],
            then_branch=branch("then", "Neg"),
            else_branch=branch("else", "Abs"),
        ),
    ]
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3]),
        helper.make_tensor_value_info("rate", TensorProto.INT64, []),
    ]
    path = graph(nodes, tmp_path / "if.onnx", initializers=[("limit", np.array(10))], inputs=ports)
    with pytest.raises(
        OperatorError,
        match=r"If: .* give the inputs or axes that decide it a value with fixed= .*rate",
    ):
        from_onnx(path)
    value = torch.tensor([[-1.0, 2.0, 3.0]])
    assert from_onnx(path, fixed={"rate": 16})(value).tolist() == [[1.0, -2.0, -3.0]]
    assert from_onnx(path, fixed={"rate": 8})(value).tolist() == [[1.0, 2.0, 3.0]]
    with pytest.raises(ValueError, match="has no input 'speed': it has x, rate, with the axes N"):
        from_onnx(path, fixed={"speed": 1})


def test_all_that_is_not_held_is_named_at_once(tmp_path: Path):
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["a"]),
        helper.make_node("Fancy", ["a"], ["b"], domain="com.example"),
        helper.make_node("SequenceConstruct", ["b"], ["c"]),
        helper.make_node("ConcatFromSequence", ["c"], ["y"], axis=0),
    ]
    path = graph(nodes, tmp_path / "odd.onnx")
    with pytest.raises(OperatorError) as refused:
        from_onnx(path)
    for name in (
        "RandomNormalLike",
        "com.example.Fancy",
        "SequenceConstruct",
        "ConcatFromSequence",
    ):
        assert name in str(refused.value)


def test_what_torch_has_no_function_for_is_named(tmp_path: Path):
    rois = [("rois", np.zeros((1, 5), np.float32))]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])]
    node = helper.make_node("MaxRoiPool", ["x", "rois"], ["y"], pooled_shape=[2, 2])
    path = graph([node], tmp_path / "roi.onnx", initializers=rois, inputs=ports)
    with pytest.raises(
        OperatorError, match=r"MaxRoiPool: torch has no function .*`shoestring pack`"
    ):
        from_onnx(path)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ValueError, match="is no ONNX file"):
        from_onnx(tmp_path / "text.onnx")


def test_old_opsets_answer_as_the_runtime_says(tmp_path: Path):
    """Attributes that became inputs later, and a softmax over all axes from one on."""
    value = torch.randn(2, 3, 4)
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4])]
    nodes = [
        helper.make_node("Slice", ["x"], ["a"], axes=[2], starts=[1], ends=[4]),
        helper.make_node("Pad", ["a"], ["b"], pads=[0, 0, 1, 0, 0, 1], value=0.5),
        helper.make_node("Clip", ["b"], ["c"], min=-0.5, max=0.75),
        helper.make_node("ReduceMax", ["c"], ["d"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["c", "d"], ["e"]),
        helper.make_node("Softmax", ["e"], ["f"], axis=1),
        helper.make_node("Unsqueeze", ["f"], ["g"], axes=[0]),
        helper.make_node("Squeeze", ["g"], ["y"], axes=[0]),
    ]
    path = graph(nodes, tmp_path / "old.onnx", inputs=ports, opset=9)
    assert np.allclose(from_onnx(path)(value).numpy(), by_runtime(path, value)[0], atol=1e-6)


def test_tied_weights_stay_one_and_axes_that_vary_are_known(tmp_path: Path):
    table = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["a"]),
        helper.make_node("Transpose", ["table"], ["b"]),
        helper.make_node("MatMul", ["a", "b"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", "T"])]
    path = graph(nodes, tmp_path / "tied.onnx", initializers=[("table", table)], inputs=ports)
    module = from_onnx(path)
    assert sum(one.numel() for one in module.parameters()) == 15
    ids = torch.tensor([[0, 4, 2]])
    assert np.allclose(module(ids).detach().numpy(), table[[0, 4, 2]] @ table.T, atol=1e-6)
    (example,), named = module.example(length=4)
    assert (
        isinstance(example, Vary)
        and tuple(example.tensor.shape) == (4, 4)
        and example.axes == {0: "N", 1: "T"}
        and not named
    )


def test_a_convolution_with_uneven_padding_is_a_layer_after_padding(tmp_path: Path):
    weight = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])]
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[0, 1, 1, 0])
    path = graph([node], tmp_path / "pads.onnx", initializers=[("w", weight)], inputs=ports)
    module, value = from_onnx(path), torch.randn(2, 3, 6, 5)
    assert [type(one) for one in module.children()] == [nn.Conv2d]
    assert np.allclose(module(value).detach().numpy(), by_runtime(path, value)[0], atol=1e-5)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_padding_with_what_is_there_is_written_for_any_length(mode: str, tmp_path: Path):
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T"])]
    node = helper.make_node("Pad", ["x", "pads"], ["y"], mode=mode)
    path = graph(
        [node],
        tmp_path / "pad.onnx",
        initializers=[("pads", np.array([0, 3, 0, 2]))],
        inputs=ports,
        opset=19,
    )
    module = from_onnx(path)
    args, kwargs = module.example(length=8)
    write(module, Calls(args, kwargs), tmp_path / "pad.shoe")
    for length in (8, 13):
        value = torch.randn(2, length)
        assert np.array_equal(load(tmp_path / "pad.shoe")(value), by_runtime(path, value)[0])


# -- packing


def test_packing_keeps_every_bit_and_answers_the_same(small, tmp_path: Path):
    _, path, _ = small
    bill = pack_onnx(path, tmp_path / "small.shoe")
    assert (
        bill.bytes_before == path.stat().st_size
        and bill.bytes_after == (tmp_path / "small.shoe").stat().st_size
    )
    image = torch.randn(3, 1, 8, 8)
    loaded = load(tmp_path / "small.shoe")
    assert np.array_equal(loaded(image), by_runtime(path, image)[0])
    assert np.array_equal(loaded(image=image), loaded(image)) and loaded.inputs[0].shape == (
        "N",
        1,
        8,
        8,
    )
    module = from_shoe(tmp_path / "small.shoe")
    assert np.allclose(module(image).detach().numpy(), loaded(image), atol=1e-5)


def test_external_data_is_read_and_counted_and_metadata_named(small, tmp_path: Path):
    _, path, _ = small
    model = onnx.load(path)
    helper.set_model_props(model, {"classes": "a,b,c,d"})
    onnx.save(
        model,
        tmp_path / "apart.onnx",
        save_as_external_data=True,
        location="apart.bin",
        size_threshold=0,
    )
    with pytest.warns(match=r"left out, being metadata: classes \(7 bytes\)"):
        bill = pack_onnx(tmp_path / "apart.onnx", tmp_path / "apart.shoe")
    both = (tmp_path / "apart.onnx").stat().st_size + (tmp_path / "apart.bin").stat().st_size
    assert bill.bytes_before == both
    pack_onnx(path, tmp_path / "whole.shoe")
    assert (tmp_path / "apart.shoe").read_bytes() == (tmp_path / "whole.shoe").read_bytes()
    (tmp_path / "apart.bin").unlink()
    with pytest.raises(ValueError, match=r"keeps tensors in apart.bin, which must lie beside it"):
        pack_onnx(tmp_path / "apart.onnx", tmp_path / "again.shoe")


def test_the_command_packs_onnx(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    _, path, _ = small
    monkeypatch.setattr(
        "sys.argv", ["shoestring", "pack", str(path), str(tmp_path / "out.shoe"), "--fix", "N=2"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    assert f"{tmp_path / 'out.shoe'} of {path.stat().st_size:,} bytes" in said.out
    assert load(tmp_path / "out.shoe").inputs[0].shape == (2, 1, 8, 8)
    monkeypatch.setattr(
        "sys.argv", ["shoestring", "pack", str(path), str(tmp_path / "out.shoe"), "--fix", "N"]
    )
    with pytest.raises(SystemExit):
        cli.main()
    assert "write NAME=VALUE" in capsys.readouterr().err


def test_where_the_module_answers_otherwise_than_the_runtime_it_is_said(tmp_path: Path):
    node = helper.make_node(
        "Resize",
        ["x", "", "s"],
        ["y"],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 20, 20])]

    def saved(scale: float) -> Path:
        scales = onnx.numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "s")
        made = helper.make_graph(
            [node],
            "graph",
            inputs,
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [scales],
        )
        path = tmp_path / f"{scale}.onnx"
        onnx.save(
            helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
        )
        return path

    with pytest.warns(
        SkippedWarning,
        match=r"0\.6\.onnx: as a module it answers otherwise than ONNX Runtime in y, on generated "
        r"inputs",
    ):
        from_onnx(saved(0.6))
    from_onnx(saved(2.0))  # no word
