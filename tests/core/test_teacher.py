"""What can teach, and what a teacher may not answer."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from shoestring.artifact import load
from shoestring.core import Numbers, seeded
from shoestring.core.taught import Taught
from shoestring.core.teacher import Asked, as_teacher
from shoestring.kit import Supervised, save


def task(classes: int = 3, **settings: Any) -> Supervised:
    with seeded(0):
        numbers, labels = torch.randn(40, 4), torch.randint(classes, (40,))
    part = (numbers, labels)
    return Supervised(train=part, validation=part, test=part, batch_size=40, **settings)


def network(seed: int = 1, outputs: int = 3) -> nn.Sequential:
    with seeded(seed):
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs)).eval()


def model_of(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(path: Path, network: nn.Sequential) -> Path:
    """An ONNX file of two linear layers."""
    weights = [
        numpy_helper.from_array(one.detach().numpy(), name)
        for name, one in zip(("w0", "b0", "w2", "b2"), network.parameters(), strict=True)
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["y"], transB=1),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in (("x", 4), ("y", 3))
    )
    onnx.save(model_of(helper.make_graph(nodes, "net", [x], [y], weights)), path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.shoe"
    save(network(), task(), path)
    return path


def loss(teacher: Any) -> torch.Tensor:
    one = task()
    (batch,) = one.batches("validation")
    return one.taught_by(teacher).loss(network(2), batch)


def test_a_module_a_file_a_loaded_file_and_a_function_teach_alike(file: Path, tmp_path: Path):
    teacher = network()
    graph = written(tmp_path / "teacher.onnx", teacher)
    of_module = loss(teacher)
    others = {
        "path": file,
        "text": str(file),
        "onnx": graph,
        "loaded": load(file),
        "tensors": lambda x: teacher(x).detach(),
        "arrays": lambda x: teacher(x).detach().numpy(),
    }
    for name, other in others.items():
        torch.testing.assert_close(loss(other), of_module, msg=name)
    assert as_teacher(teacher) is teacher and Taught(task(), teacher).teacher is teacher


def test_a_file_that_teaches_is_copied_and_sent_to_other_processes(file: Path):
    taught: Any = task().taught_by(file)
    (batch,) = taught.batches("validation")
    expected = taught.loss(network(2), batch)
    for again in (copy.deepcopy(taught.teacher), pickle.loads(pickle.dumps(taught.teacher))):
        torch.testing.assert_close(task().taught_by(again).loss(network(2), batch), expected)
    with pytest.raises(TypeError, match="cannot be sent to another process: give the path"):
        pickle.dumps(as_teacher(load(file)))


def test_an_onnx_file_takes_its_inputs_by_position_and_by_name(tmp_path: Path):
    path = tmp_path / "two.onnx"
    ports = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
        for name in ("left", "right", "sum", "same")
    }
    nodes = [
        helper.make_node("Add", ["left", "right"], ["once"]),
        helper.make_node("Add", ["once", "right"], ["sum"]),
        helper.make_node("Identity", ["left"], ["same"]),
    ]
    inputs, outputs = list(ports.values())[:2], list(ports.values())[2:]
    onnx.save(model_of(helper.make_graph(nodes, "two", inputs, outputs)), path)
    teacher = as_teacher(path)
    one, two = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0], dtype=torch.float64)
    for answer in (teacher(one, two), teacher(one, right=two), teacher(left=one, right=two)):
        assert answer[0].tolist() == [7.0, 10.0] and answer[1].tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="takes the inputs left, right, and got 1 by position"):
        teacher(one)
    path.write_bytes(b"not a graph")
    with pytest.raises(ValueError, match="ONNX Runtime cannot run"):
        as_teacher(path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "the teacher is None: give a module, a function, a loaded file, or the path"),
        ({"weight": 1}, "the teacher is {'weight': 1}"),
        (nn.Linear, "the teacher is the class Linear"),
        ("weights.pt", r"'weights.pt': a .shoe or an .onnx file can teach; build any other model"),
    ],
)
def test_what_cannot_teach_is_refused_and_it_is_said_what_can(given: Any, said: str):
    with pytest.raises(TypeError, match=said):
        task().taught_by(given)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.shoe to be the teacher"):
        task().taught_by(tmp_path / "gone.shoe")


def test_a_teacher_of_another_task_is_refused_also_where_shapes_would_broadcast():
    for outputs in (5, 1):
        said = rf"shape \[40, {outputs}\], and the model's \[40, 3\]: .* such as the same classes"
        with pytest.raises(ValueError, match=said):
            loss(network(outputs=outputs))
    with pytest.raises(TypeError, match=r"answered with str: a teacher returns tensors or arrays"):
        loss(lambda x: "three")


def test_an_answer_that_is_nan_is_refused_and_of_numbers_left_out():
    def nan_for_two(x: torch.Tensor) -> torch.Tensor:
        answers = x[:, :3].clone()
        answers[:2, 0] = torch.nan
        return answers

    with pytest.raises(ValueError, match="answered NaN in 2 of 120 numbers"):
        loss(nan_for_two)
    one = task(criterion=lambda o, t: o.square().mean(), kinds=Numbers())
    (batch,) = one.batches("validation")
    assert torch.isfinite(one.taught_by(nan_for_two).loss(network(2), batch))
    with pytest.raises(ValueError, match="answered NaN in 120 of 120 numbers"):
        one.taught_by(lambda x: x[:, :3] * torch.nan).loss(network(2), batch)


@pytest.mark.parametrize(("weight", "temperature"), [(-0.1, 1.0), (1.1, 1.0), (0.5, 0.0)])
def test_weights_and_temperatures_out_of_range(weight: float, temperature: float):
    with pytest.raises(ValueError, match=f"weight of {weight} and a temperature of {temperature}"):
        Taught(task(), network(), weight, temperature)


def test_a_loss_that_calls_a_part_cannot_be_taught_by_a_file(file: Path):
    class Parts(Supervised):
        def loss(self, model: Any, batch: Any) -> Any:
            return model[2](model[1](model[0](batch[0][0]))).square().mean()

    one = task()
    parts = Parts(train=one.train, validation=one.validation, test=one.test)
    batch = next(iter(parts.batches("validation")))
    assert torch.isfinite(parts.taught_by(network()).loss(network(2), batch))
    with pytest.raises(RuntimeError, match="a teacher that is a function or a file has no parts"):
        parts.taught_by(file).loss(network(2), batch)


def test_nothing_of_the_function_is_trained():
    calls: list[np.ndarray] = []

    def function(x: torch.Tensor) -> np.ndarray:
        calls.append(x.numpy())
        return np.zeros((len(x), 3), np.float32)

    loss(function).backward()
    assert calls and not list(Asked(function, "it").parameters())


def test_positions_that_the_loss_does_not_look_at_are_not_taught():
    """Two words and padding, by hand: the distance is the mean over the two."""
    generator = torch.Generator().manual_seed(0)
    theirs, ours = (torch.randn(1, 3, 4, generator=generator) for _ in range(2))
    tags = torch.tensor([[1, 3, -100]])

    class Words(Supervised):
        def loss(self, model: Any, batch: Any) -> torch.Tensor:
            return nn.functional.cross_entropy(model(None).flatten(0, 1), tags.flatten())

    class Fixed(nn.Module):
        def __init__(self, logits: torch.Tensor) -> None:
            super().__init__()
            self.logits = nn.Parameter(logits)

        def forward(self, _: Any) -> torch.Tensor:
            return self.logits * 1.0

    one = task()
    words = Words(train=one.train, validation=one.validation, test=one.test)
    student = Fixed(ours)
    loss = Taught(words, Fixed(theirs), 1.0, 2.0).loss(student, None)
    p, q = ((one[0, :2] / 2).log_softmax(-1) for one in (theirs, ours))
    torch.testing.assert_close(loss, (p.exp() * (p - q)).sum(-1).mean() * 4)
    loss.backward()
    assert student.logits.grad is not None and student.logits.grad[0, 2].eq(0).all()
    assert student.logits.grad[0, :2].ne(0).all()
