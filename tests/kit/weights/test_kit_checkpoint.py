"""Checkpoints of PyTorch, packed and given back.

Every bit, every name, how they were nested, and what is refused.
"""

import io
import math

import pytest
import torch
from safetensors.torch import load
from torch import nn

from shoestring.artifact import ShoeError
from shoestring.artifact.checkpoints.checkpoint import as_safetensors, from_safetensors
from shoestring.artifact.format import file
from shoestring.kit.weights.checkpoint import as_torch, from_torch

LAYER = nn.Linear(20, 10)
DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.bool,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e8m0fnu,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


def through(value, path, **how):
    """(what comes out of a file of PyTorch that is packed and unpacked, the packed checkpoint)."""
    torch.save(value, path, **how)
    found = file.unpack_any(file.pack(from_torch(path)))
    return torch.load(io.BytesIO(as_torch(found)[0]), weights_only=True), found


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    raw = [t.contiguous().reshape(-1).view(torch.uint8) for t in (one, other)]
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*raw)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_state_dict_comes_back(path, zipped):
    back, found = through(LAYER.state_dict(), path, _use_new_zipfile_serialization=zipped)
    assert list(back) == ["weight", "bias"] and all(
        same(back[name], value) for name, value in LAYER.state_dict().items()
    )
    assert found.notes == {"metadata.format": "pt"}
    saved = load(as_safetensors(found)[0])
    assert all(same(saved[name], value) for name, value in LAYER.state_dict().items())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (4, 8)], ids=str)
def test_every_type_comes_back(path, dtype, shape):
    width = torch.empty((), dtype=dtype).element_size()
    bits = torch.randint(
        0, 2 if dtype == torch.bool else 256, (math.prod(shape) * width,), dtype=torch.uint8
    )
    value = bits.view(dtype).reshape(shape)
    back, found = through({"x": value}, path)
    assert same(back["x"], value)
    if "fnuz" not in str(dtype) and "e8m0" not in str(
        dtype
    ):  # which the safetensors package has not, for PyTorch
        assert same(load(as_safetensors(found)[0])["x"], value)


def test_a_nest_comes_back_with_what_is_beside_the_tensors(path):
    optimizer = torch.optim.Adam(LAYER.parameters())
    LAYER(torch.ones(2, 20)).sum().backward()
    optimizer.step()
    value = {
        "model": LAYER.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": math.inf,
        7: ("a", None, [True]),
    }
    back, found = through(value, path)
    assert "model.weight" in found.names and "optimizer.state.0.exp_avg" in found.names
    assert back.keys() == value.keys() and (back["epoch"], back["best"], back[7]) == (
        3,
        math.inf,
        ("a", None, [True]),
    )
    assert back["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    again = torch.optim.Adam(nn.Linear(20, 10).parameters())
    again.load_state_dict(back["optimizer"])
    assert same(
        back["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"]
    )
    data, what = as_safetensors(found)
    assert ".pt file" in what and same(load(data)["model.weight"], LAYER.weight.detach())


def test_a_tensor_alone_and_one_whose_rows_are_columns(path):
    value = torch.arange(6.0).reshape(2, 3).t()
    assert same(through(value, path)[0], value)


def test_tied_tensors_are_kept_once_and_come_back_tied(path):
    weight = torch.randn(30, 20)
    back, found = through({"embedding": weight, "output": weight, "part": weight[:3]}, path)
    assert found.names == ("embedding", "part")
    assert back["output"].data_ptr() == back["embedding"].data_ptr() and same(
        back["output"], weight
    )
    saved = load(as_safetensors(found)[0])
    assert all(
        same(saved[name], value)
        for name, value in {"embedding": weight, "output": weight, "part": weight[:3]}.items()
    )


def test_an_unpacked_safetensors_file_comes_back_as_a_state_dict(tmp_path, path):
    safe = tmp_path / "model.safetensors"
    torch.save({"a": torch.ones(3).bfloat16(), "b": torch.ones(2).to(torch.float8_e5m2)}, path)
    safe.write_bytes(as_safetensors(from_torch(path))[0])
    back = torch.load(io.BytesIO(as_torch(from_safetensors(safe))[0]), weights_only=True)
    assert same(back["a"], torch.ones(3).bfloat16()) and same(
        back["b"], torch.ones(2).to(torch.float8_e5m2)
    )


def test_what_is_no_tensor_is_left_out_with_a_warning(path):
    with pytest.warns(UserWarning, match=r"left out, being no tensors: kind \(dtype\)"):
        back, _ = through({"kind": torch.float32, "x": torch.ones(2)}, path)
    assert list(back) == ["x"]


class Thing:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (LAYER, r"holds more than tensors.*Linear.*save model.state_dict\(\)"),
        ({"x": torch.ones(1), "y": Thing()}, r"holds more than tensors.*Thing"),
        ({"x": 3}, "no tensor in"),
        ({"x": torch.eye(3).to_sparse()}, "'x' is a tensor that cannot be packed .*sparse_coo"),
        (
            {"x": torch.ones(3, dtype=torch.complex128)},
            "'x' is a tensor that cannot be packed .*complex128",
        ),
        (
            {"a": {"b": torch.ones(1)}, "a.b": torch.ones(2)},
            r"two tensors would have the name 'a\.b'",
        ),
    ],
)
def test_what_cannot_be_packed_is_told(path, value, message):
    torch.save(value, path)
    with pytest.raises(ValueError, match=message):
        from_torch(path)


def test_a_nest_within_itself_is_told(path):
    value: dict = {"x": torch.ones(1)}
    value["again"] = value
    torch.save(value, path)
    with pytest.raises(ValueError, match="in itself"):
        from_torch(path)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: b"PK" + bytes(50), lambda data: b"\x80\x02"],
)
def test_a_damaged_file_is_told(path, damage):
    torch.save(LAYER.state_dict(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.pt"):
        from_torch(path)


@pytest.mark.parametrize(
    "structure",
    [
        "",
        "[]",
        '{"tensor": "absent"}',
        '{"tensor": ["x"]}',
        '{"code": 1}',
        '{"value": {}}',
        '{"dict": 3}',
        '{"dict": [[[], {"value": 1}]]}',
        '{"list": [' * 10_000,
    ],
)
def test_a_structure_that_does_not_fit_is_refused(path, structure):
    torch.save({"x": torch.ones(1)}, path)
    found = from_torch(path)
    bad = type(found)(found.tensors, found.names, {"structure": structure})
    with pytest.raises(ShoeError, match="structure"):
        as_torch(bad)
