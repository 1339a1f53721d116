"""Values on grids, layers of integers: by hand, and the file against the module."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.artifact import OnnxRuntime, OpenVINO, load, read
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.core import seeded
from shoestring.kit import (
    Grid,
    Quantised,
    Supervised,
    Training,
    clone,
    edges,
    fold_batch_norm,
    parameters_of,
    products,
    record,
    restore,
    write,
)
from shoestring.kit.tracing.example import Example
from shoestring.quantize import MeanSquare, PostTraining


class Residual(nn.Module):
    """A sum of two branches, a shortcut that is thinned out and widened, a mean, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.first = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16))
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.last = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        shortcut = functional.pad(features[:, :, ::2, ::2], (0, 0, 0, 0, 0, 8))
        features = functional.relu6(
            self.depthwise(functional.relu(self.first(features) + shortcut))
        )
        return self.last(features.mean((2, 3)))


def images(examples: int = 32) -> tuple[Tensor, Tensor]:
    return torch.randn(examples, 3, 9, 9), torch.randint(0, 4, (examples,))


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Supervised]:
    with seeded(3):
        task = Supervised(train=images(64), validation=images(), test=images(), batch_size=16)
        model = Residual()
        model.train()(task.train[0])  # so that the norms have seen something
    return model.eval(), task


@pytest.fixture(scope="module")
def quantised(case) -> Quantised:
    model, task = case
    return PostTraining(examples=64)(model, task.sealed())


def test_a_grid_rounds_half_to_even_and_ends_where_eight_bits_do():
    grid = Grid(-1.0, 1.55)  # a step of 0.01, zero at 100
    assert float(grid.scale) == pytest.approx(0.01) and int(grid.zero) == 100
    with torch.no_grad():
        grid.scale.fill_(0.25)
    values = torch.tensor([0.0, 0.125, 0.375, 0.6, -0.1, -30.0, 100.0])
    assert grid(values).tolist() == [0.0, 0.0, 0.5, 0.5, 0.0, -25.0, 38.75]


def test_a_grid_has_zero_on_it_though_nothing_near_was_seen():
    for low, high in ((2.0, 5.0), (-5.0, -2.0), (0.0, 0.0)):
        assert Grid(low, high)(torch.zeros(1)).item() == 0.0


def test_gradients_pass_inside_the_grid_only_and_reach_its_step():
    grid = Grid(0.0, 2.55).requires_grad_()
    value = torch.tensor([0.5, 1.004, 3.0, -1.0], requires_grad=True)
    grid(value).sum().backward()
    assert value.grad is not None and value.grad.tolist() == [1, 1, 0, 0]
    # Of a clipped value the step moves the end, 255 steps off; of one inside, what rounding moved
    # it by.
    assert grid.scale.grad is not None and float(grid.scale.grad) == pytest.approx(
        255 + (1.00 - 1.004) / 0.01, abs=0.05
    )


def test_the_values_that_are_put_on_grids(case):
    model, _ = case
    folded = fold_batch_norm(model, case[1])
    tape = record(folded, Example((torch.randn(2, 3, 9, 9),), {}, {}))
    layers = list(products(tape))
    assert layers == ["stem.0", "first.0", "depthwise", "last"]
    places = edges(tape, layers)
    # What goes in; what comes out of the stem, of the first (before the sum), of the sum, of the
    # depthwise one; and the mean.
    assert places.grids == 6
    assert sorted(name for _, name, _, _ in places.results) == sorted(
        ["relu", "getitem", "pad", "conv2d", "relu", "relu6", "mean"]
    )
    shared = [places.results[key] for key in places.results if key[1] in ("getitem", "pad")]
    assert (
        len({*shared, places.results["stem.2", "relu", 0, 0]}) == 1
    )  # a shortcut that only takes and pads stays on its grid
    assert places.layers["last"] == (places.results["", "mean", 0, 0],)
    assert edges(tape, ["last"]).grids == 1 and edges(tape, []).grids == 0


def test_the_file_computes_with_whole_numbers_and_answers_as_the_module(case, quantised, tmp_path):
    model, task = case
    write(quantised, task, tmp_path / "a.shoe")
    content = read(tmp_path / "a.shoe")
    kinds = Counter(ELEMENTS[one.element][0] for one in content.tensors)
    assert kinds["int8"] >= 4
    operators = Counter(node.operator for node in content.graph.nodes)
    assert (
        not operators["Relu"]
        and not operators["Pad"]
        and not operators["Slice"]
        and operators["GlobalAveragePool"] == 1
    )
    with torch.no_grad():
        expected = quantised(task.test[0]).numpy()
        plain = model(task.test[0]).numpy()
    got = load(tmp_path / "a.shoe", threads=1)(task.test[0])
    spread = np.abs(plain).max()
    assert np.abs(got - expected).max() < 1e-5 * spread  # the same integers all the way
    assert 0 < np.abs(plain - expected).mean() < 0.05 * spread


def test_onnx_runtime_runs_it_with_kernels_for_whole_numbers(case, quantised, tmp_path):
    import onnx
    import onnxruntime

    from shoestring.artifact.format.protobuf import onnx_bytes

    write(quantised, case[1], tmp_path / "a.shoe")
    content = read(tmp_path / "a.shoe")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "a.onnx"), 4
    onnxruntime.InferenceSession(
        onnx_bytes(content.graph, content.tensors), options, providers=["CPUExecutionProvider"]
    )
    kernels = Counter(node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node)
    assert (
        kernels["QLinearConv"] == 4 and kernels["QGemm"] == 1 and kernels["QLinearAdd"] == 1
    )  # one is the shortcut's
    assert (
        not kernels["Conv"]
        and not kernels["FusedConv"]
        and not kernels["Gemm"]
        and not kernels["DequantizeLinear"]
    )


def test_a_file_of_whole_numbers_is_restored(case, quantised, tmp_path):
    write(quantised, case[1], tmp_path / "a.shoe")
    blank = Quantised(
        clone(quantised.inner), quantised.places, [Grid(0, 1) for _ in quantised.grids]
    )
    again = restore(tmp_path / "a.shoe", blank)
    for one, other in zip(parameters_of(quantised), parameters_of(again), strict=True):
        assert torch.equal(one.value(), other.value()), one.name
        if one.raw.ndim > 1 and one.state is not None:
            assert other.state is not None and torch.equal(one.state.scale, other.state.scale)


def test_folding_leaves_the_answer_and_the_argument_alone(case):
    model, task = case
    before = [one.clone() for one in model.state_dict().values()]
    folded = fold_batch_norm(model, task)
    assert not [one for one in folded.modules() if isinstance(one, nn.BatchNorm2d)]
    with torch.no_grad():
        assert torch.allclose(folded(task.test[0]), model(task.test[0]), atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))


class Twice(nn.Module):
    """One convolution and norm that run twice, and a norm that comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.twice, self.norm = (
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 3, 3, padding=1),
            nn.BatchNorm2d(3),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.twice(self.norm(self.twice(self.before(images))))).mean((2, 3))


def test_norms_that_cannot_be_folded_stay(tmp_path):
    with seeded(0):
        x, y = images()
        task = Supervised(train=(x, y % 3), validation=(x, y % 3), test=(x, y % 3), batch_size=16)
        model = Twice().eval()
    folded = fold_batch_norm(model, task)
    assert sum(isinstance(one, nn.BatchNorm2d) for one in folded.modules()) == 2
    quantised = PostTraining(examples=32)(
        model, task.sealed()
    )  # the layer runs twice, each time on grids of its own
    write(quantised, task, tmp_path / "a.shoe")
    with torch.no_grad():
        expected = quantised(x).numpy()
    assert (
        np.abs(load(tmp_path / "a.shoe", threads=1)(x) - expected).max()
        < 0.03 * np.abs(expected).max()
    )


class Fickle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, both: bool = True) -> Tensor:
        return self.two(torch.relu(self.one(x))) if both else self.one(x)


def test_another_path_than_on_the_example_is_an_error():
    x = torch.randn(8, 4)
    task = Supervised(train=(x, x.argmax(1)), validation=(x, x.argmax(1)), test=(x, x.argmax(1)))
    quantised = PostTraining(examples=8)(Fickle().eval(), task.sealed())
    with pytest.raises(RuntimeError, match="relu 0 times, and 1 times"):
        quantised(x, both=False)


class Parts(nn.Module):
    """Parts of a tensor, of which the second goes on; a keyword; noise in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 4, 3), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        one, other = torch.relu(
            functional.conv2d(input=images, weight=self.first.weight, bias=self.first.bias)
        ).chunk(2, 1)
        return self.last(torch.cat([one[:, :, 1:-1, 1:-1], self.second(other)], 1).mean((2, 3)))


def test_parts_and_keywords(case, tmp_path):
    with seeded(0):
        model = Parts().eval()
    task = case[1]
    quantised = PostTraining(examples=32)(model, task.sealed())
    write(quantised, task, tmp_path / "a.shoe")
    with torch.no_grad():
        expected, plain = quantised(task.test[0]).numpy(), model(task.test[0]).numpy()
    assert (
        np.abs(load(tmp_path / "a.shoe", threads=1)(task.test[0]) - expected).mean()
        < 0.01 * np.abs(plain).max()
    )
    assert 0 < np.abs(plain - expected).mean() < 0.05 * np.abs(plain).max()


class Activated(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return torch.relu(super().forward(input))


class Odd(nn.Module):
    """Norms that a fold must leave alone, or find under all of their names."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv = kind, nn.Conv2d(3, 8, 3)
        self.norm = Activated(8) if kind == "subclass" else nn.BatchNorm2d(8)
        self.linear, self.places = nn.Linear(8, 8), nn.BatchNorm1d(8)
        if kind == "two names":
            self.body = nn.Sequential(self.conv, self.norm, nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        if self.kind == "two names":
            return self.body(images).mean((2, 3))
        if self.kind == "other axis":
            return self.places(self.linear(images[:, 0, :8, :8])).mean(2)
        found = self.conv(images)
        if self.kind == "written over":
            found[:, :2] = 0.5
        answer = self.norm(found)
        if self.kind == "used elsewhere":
            answer = answer + self.conv.weight.sum()
        return answer.mean((2, 3))


@pytest.mark.parametrize(
    "kind", ["subclass", "two names", "other axis", "written over", "used elsewhere"]
)
def test_a_fold_never_changes_the_answer(case, kind):
    with seeded(1):
        x = torch.randn(64, 3, 9, 9) * 2 + 1
        model = Odd(kind).train()
        for _ in range(20):
            model(x)
    folded = fold_batch_norm(model.eval(), case[1])
    with torch.no_grad():
        assert torch.allclose(folded(x), model(x), atol=1e-4)


@pytest.mark.slow
def test_a_channel_of_tiny_weights_keeps_its_bias(case, tmp_path):
    model, task = case
    with torch.no_grad():
        odd = clone(model)
        odd.first[1].weight[3], odd.first[1].bias[3] = 1e-9, 0.4
        odd.stem[1].weight[0], odd.stem[1].bias[0] = 0.0, 0.3
    quantised = PostTraining(examples=64, weight_ranges=MeanSquare())(odd, task.sealed())
    write(quantised, task, tmp_path / "a.shoe")
    with torch.no_grad():
        expected = quantised(task.test[0]).numpy()
    assert (
        np.abs(load(tmp_path / "a.shoe", threads=1)(task.test[0]) - expected).mean()
        < 0.005 * np.abs(expected).max()
    )


def test_what_was_pruned_stays_pruned(case):
    model, task = case
    from shoestring.prune import Magnitude

    with seeded(0):
        pruned = Magnitude(density=0.5, training=Training(0))(model, task.sealed())
    zeros = {
        one.name: int((one.value() == 0).sum()) for one in parameters_of(pruned) if one.raw.ndim > 1
    }
    quantised = PostTraining(examples=32)(pruned, task.sealed())
    for one in parameters_of(quantised):
        if one.raw.ndim > 1:
            assert int((one.value() == 0).sum()) >= zeros[one.name.removeprefix("inner.")]


def test_what_a_pool_gives_is_not_rounded_again(tmp_path):
    with seeded(0):
        x = torch.randn(32, 1, 12, 12)
        task = Supervised(
            train=(x, torch.zeros(32).long()),
            validation=(x, torch.zeros(32).long()),
            test=(x, x[:, 0, 0, 0].long()),
        )
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(36, 3)
        ).eval()
    quantised = PostTraining(examples=32)(model, task.sealed())
    write(quantised, task, tmp_path / "a.shoe")
    operators = [node.operator for node in read(tmp_path / "a.shoe").graph.nodes]
    assert (
        operators[operators.index("MaxPool") + 1] == "Conv"
        and operators.count("QuantizeLinear") == 3
    )
    with torch.no_grad():
        expected = quantised(x).numpy()
    for runtime in (OnnxRuntime(), OpenVINO()):
        if isinstance(runtime, OpenVINO):
            pytest.importorskip("openvino")
        assert (
            np.abs(load(tmp_path / "a.shoe", threads=1, runtime=runtime)(x) - expected).max()
            < 0.02 * np.abs(expected).max()
        )
