"""Errors teach: what cannot become a file says why, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo
from torch import Tensor, nn
from zoo import Calls

from shoestring.artifact import ShoeError, load
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import Graph
from shoestring.core import Vary
from shoestring.kit import (
    AdamW,
    ExportError,
    SkippedWarning,
    Supervised,
    Training,
    clone,
    export,
    pack,
    parameter_bytes,
    parameters_of,
    restore,
    write,
)
from shoestring.kit.tracing.compare import all_close
from shoestring.prune import Magnitude
from shoestring.quantize import WeightSharing


class Then(nn.Module):
    """A linear layer and then a step."""

    def __init__(self, step: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.linear, self.step = nn.Linear(6, 6), step

    def forward(self, x: Tensor) -> Any:
        return self.step(self.linear(x))


def example(*axes: int) -> Calls:
    return Calls((Vary(torch.randn(4, 6), {axis: f"axis{axis}" for axis in axes or (0,)}),), {})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda x: x @ torch.ones(5, 5),
            r"failed on the task's example \(RuntimeError: mat1 and mat2.*make task.example",
        ),
        (
            lambda x: torch.linalg.svd(x)[0],
            "does not know the operator aten._linalg_svd, at test_export.py:.*What to do: write "
            "that step with",
        ),
        (
            lambda x: x + torch.randn_like(x),
            "uses the operator RandomNormalLike: .*leave it out of forward",
        ),
        (
            lambda x: nn.functional.dropout(x, 0.5),
            "differs from the module by .*draws random numbers",
        ),
        (
            lambda x: x if x.sum() > 0 else -x,
            "branches on the values of a tensor .*use torch.where",
        ),
        (
            lambda x: x.view(4, 6) * 2,
            r"axis 0 of argument 0 varies in the task's example.* 4 only: .*Vary\(x, \{\}\)",
        ),
        (
            lambda x: x * 2 if x.shape[0] == 4 else x,
            r"axis 0 of argument 0 varies in the task's example.* 4 only",
        ),
        (lambda x: 3, "returns no tensor but int"),
        (lambda x: torch.fft.fft(x), "complex numbers, .*view_as_real"),
    ],
    ids=[
        "raises",
        "operator",
        "random",
        "dropout",
        "branch",
        "view",
        "specialised",
        "nothing",
        "complex",
    ],
)
def test_what_cannot_be_exported_says_why(step: Callable[[Tensor], Any], message: str):
    with pytest.raises(ExportError, match=message):
        export(Then(step), example())


def test_fixed_axis_that_only_a_second_shape_shows(monkeypatch: pytest.MonkeyPatch):
    module = sys.modules[export.__module__]  # the name in kit is the function's
    original = module._export

    def fixed(model: nn.Module, found: Any, shown: Any, expected: Any, steps: Any) -> Any:
        """An exporter that fixes an axis without a word."""
        made, guards = original(
            model, found, module.Example(shown.args, shown.kwargs, {}), expected, steps
        )
        return module.Exported(
            {
                "": Graph(
                    **{
                        **vars(made.graph),
                        "inputs": tuple(
                            type(port)(port.name, port.element, ("N", *port.shape[1:]))
                            for port in made.graph.inputs
                        ),
                    }
                )
            },
            made.wanted,
            made.constants,
        ), guards

    monkeypatch.setattr(module, "_export", fixed)
    with pytest.raises(
        ExportError,
        match=r"axis 'axis0' varies in the task's example, but .* where it is 1 long than where "
        r"it is 4 \(the exported graph fails there\)",
    ):
        export(Then(lambda x: x.reshape(x.shape[0] * 2, 3)), example())


def test_axis_that_the_tensor_has_not():
    with pytest.raises(ExportError, match="axis 2 varies of a tensor that has 2 axes"):
        export(Then(lambda x: x), example(2))


def test_bfloat16_is_refused_with_a_way_round():
    with pytest.raises(ExportError, match=r"bfloat16 .*model\.float\(\)"):
        export(nn.Linear(6, 6).bfloat16(), Calls((torch.randn(4, 6).bfloat16(),), {}))


def test_lazy_and_diverged_models_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="lazy"):
        export(nn.LazyLinear(3), example())
    model = nn.Linear(6, 6)
    model.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weight holds 1 values that are NaN"):
        write(model, example(), tmp_path / "a.shoe")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def toy() -> tuple[nn.Module, Calls, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 6))
    return model, example(), export(model, example())


def test_what_is_returned_besides_tensors_is_none(tmp_path: Path):
    model = Then(lambda x: {"out": (x, 3), "none": None, "again": [x, x]})
    write(model, example(), tmp_path / "a.shoe")
    x = torch.randn(9, 6)
    got = load(tmp_path / "a.shoe")(x)
    assert got["none"] is None and got["out"][1] is None and isinstance(got["out"], tuple)
    np.testing.assert_allclose(got["again"][1], model.linear(x).detach(), atol=1e-6)
    np.testing.assert_array_equal(got["out"][0], got["again"][0])


def test_export_leaves_the_model_alone_and_its_graph_serves_every_state(toy: Any, tmp_path: Path):
    model, task, exported = toy
    model.train()
    before = {one.name: one.value().clone() for one in parameters_of(model)}
    assert pack(model, exported) == pack(model, export(model, task))
    assert model.training and all(
        torch.equal(one.value(), before[one.name]) for one in parameters_of(model)
    )
    shared = WeightSharing(levels=4, training=Training(1, AdamW(1e-4)))(
        Magnitude(density=0.5, training=Training(1))(model, task), task
    )
    assert pack(shared, exported) == pack(shared, export(shared, task))
    size = write(shared, task, tmp_path / "a.shoe", exported=exported)
    assert size == (tmp_path / "a.shoe").stat().st_size


def test_file_of_another_model_is_refused(toy: Any, tmp_path: Path):
    model, task, exported = toy
    path = tmp_path / "a.shoe"
    write(model, task, path, exported=exported)
    with pytest.raises(
        ValueError, match=r"is of another model: its tensor \[32\] is not the shape of bias"
    ):
        restore(path, nn.Linear(3, 3))
    with pytest.raises(
        ValueError, match=r"is of another model: its tensor \[32, 6\] is not the shape of number 1"
    ):
        restore(path, nn.PReLU(32))
    with pytest.raises(
        ValueError, match=r"holds 0\.bias as torch\.float32 and the model as torch\.float16"
    ):
        restore(path, clone(model).half())
    path.write_bytes(b"SHOE")
    with pytest.raises(ShoeError):
        restore(path, model)


def test_restored_batch_norm_has_its_statistics(toy: Any, tmp_path: Path):
    model, task, exported = toy
    moved = clone(model)
    moved[1].running_mean.fill_(0.25)  # type: ignore[index, operator, union-attr]
    write(moved, task, tmp_path / "a.shoe", exported=exported)
    assert restore(tmp_path / "a.shoe", model)[1].running_mean.tolist() == [0.25] * 32  # type: ignore[index]


def test_restore_keeps_a_mask_without_levels_and_leaves_dense_weights_free(
    toy: Any, tmp_path: Path
):
    model, task, exported = toy
    write(
        Magnitude(density=0.5, training=Training(0))(model, task),
        task,
        tmp_path / "a.shoe",
        exported=exported,
    )
    found = {one.name: one for one in parameters_of(restore(tmp_path / "a.shoe", model))}
    assert sum(int(found[name].value().count_nonzero()) for name in ("0.weight", "3.weight")) == 192
    assert all(
        one.state is None for name, one in found.items() if name not in ("0.weight", "3.weight")
    )
    assert all(one.state.codebook is None for one in found.values() if one.state is not None)
    write(model, task, tmp_path / "a.shoe", exported=exported)
    assert all(one.state is None for one in parameters_of(restore(tmp_path / "a.shoe", model)))


def test_bytes_of_parameters(toy: Any):
    assert parameter_bytes(toy[0]) == 4 * (6 * 32 + 32 + 4 * 32 + 1 + 32 * 6 + 6)


def test_weights_are_coded_as_what_they_are(toy: Any):
    model, task, exported = toy
    content = file.unpack(
        pack(WeightSharing(levels=4, training=Training(0))(model, task), exported)
    )
    levels = {
        parameters_of(model)[one.tensor.member].name: one.levels
        for one in content.packed
        if one.tensor.member is not None
    }
    assert levels["0.weight"] == levels["3.weight"] == 4


@pytest.mark.slow
@pytest.mark.by_default("gru")
@pytest.mark.parametrize("make", [zoo.lstm, zoo.gru])
def test_recurrent_networks_are_exported_again_and_again(make):
    # torch remembers how it traced the first one, and would fix the time axis of the next.
    for _ in range(2):
        model, task = make()
        model(*[zoo.bare(one) for one in task.example()[0]])
        graph = export(model, task).graph
        assert [type(size) for size in graph.inputs[0].shape] == [str, str, int]


def test_an_example_may_be_as_long_as_the_model_allows():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))
    positions = nn.Embedding(6, 4)

    class Positioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = model, positions

        def forward(self, ids: Tensor) -> Tensor:
            return self.words(ids) + self.places(torch.arange(ids.shape[1]))[:, :3]

    graph = export(
        Positioned(), Calls((Vary(torch.zeros(2, 6, dtype=torch.int64), {0: "N", 1: "T"}),), {})
    ).graph
    assert graph.inputs[0].shape == ("N", "T")


def test_what_is_ruled_out_is_no_measure_of_the_other_answers():
    wanted = np.array([-1e9, 0.5, np.nan, -np.inf])
    assert all_close(wanted.copy(), wanted) and all_close(
        np.array([-1e9, 0.50001, np.nan, -np.inf]), wanted
    )
    assert not all_close(np.array([-1e9, 0.6, np.nan, -np.inf]), wanted) and not all_close(
        wanted, np.zeros(4)
    )
    assert not all_close(wanted, np.array([-1e9, 0.5, 1.0, -np.inf]))


def test_nan_that_nothing_reads_is_named_and_written_past(tmp_path):
    model = nn.Sequential(nn.Linear(8, 4))
    model.register_parameter("old", nn.Parameter(torch.full((3,), float("nan"))))
    split = (torch.randn(8, 8), torch.zeros(8).long())
    task = Supervised(train=split, validation=split, test=split)
    with pytest.warns(
        SkippedWarning,
        match="old holds 3 values that are NaN or infinite; the file does not hold it",
    ):
        write(model, task, tmp_path / "a.shoe")
    assert (
        np.abs(
            load(tmp_path / "a.shoe", threads=1)(split[0]) - model(split[0]).detach().numpy()
        ).max()
        < 1e-5
    )
    with torch.no_grad():
        model[0].weight[1, 2] = float("nan")  # type: ignore[index]
    model.register_parameter("old", None)
    with pytest.raises(
        ValueError,
        match=r"0\.weight holds 1 values that are NaN or infinite: the model has diverged",
    ):
        write(model, task, tmp_path / "b.shoe")


@pytest.mark.parametrize("join", [lambda w: torch.complex(w[:, 0], w[:, 1]), torch.view_as_complex])
def test_complex_weights_are_refused_with_advice_that_works(join, tmp_path):
    class Filter(nn.Module):
        def __init__(self, weight: torch.Tensor) -> None:
            super().__init__()
            self.weight = nn.Parameter(weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = self.weight if self.weight.is_complex() else join(self.weight)
            return torch.fft.irfft(torch.fft.rfft(x) * weight, n=8)

    split = (torch.randn(8, 8), torch.randn(8, 8))
    task = Supervised(train=split, validation=split, test=split)
    pair = torch.randn(5, 2)
    with pytest.raises(
        ExportError,
        match=r"type complex64: keep the real and the imaginary part .* torch\.complex\(real, "
        r"imaginary\)",
    ):
        write(Filter(torch.view_as_complex(pair)), task, tmp_path / "a.shoe")
    model = Filter(pair).eval()
    write(model, task, tmp_path / "a.shoe")
    assert (
        np.abs(
            load(tmp_path / "a.shoe", threads=1)(split[0]) - model(split[0]).detach().numpy()
        ).max()
        < 1e-5
    )
