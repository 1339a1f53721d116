"""Packed weights in the folders of the transformers package."""

import json
import os

import pytest
import torch

from shoestring.artifact.checkpoints.checkpoint import from_safetensors
from shoestring.artifact.checkpoints.sharded import index_name, read_index, renamed
from shoestring.artifact.checkpoints.streaming import pack_checkpoint
from shoestring.kit.weights.pretrained import PackedFile, packed_pretrained

transformers = pytest.importorskip("transformers")


def folder_of(tmp_path, **how):
    config = transformers.BertConfig(
        vocab_size=4000,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
    )
    torch.manual_seed(0)
    model = transformers.BertModel(config)
    model.save_pretrained(tmp_path, **how)
    return model


def pack_all(folder):
    """Pack every file of a folder, and remove it."""
    for path in sorted(folder.glob("*.safetensors")):
        pack_checkpoint(from_safetensors(path), path, path.with_suffix(".shoe"))
        path.unlink()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_packed_folder_is_read_like_the_plain_one(tmp_path):
    model = folder_of(tmp_path)
    pack_all(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    with pytest.raises(OSError, match=r"no file named"):
        transformers.AutoModel.from_pretrained(tmp_path)
    with packed_pretrained():
        again = transformers.AutoModel.from_pretrained(tmp_path)
    assert same(model.state_dict(), again.state_dict())
    with pytest.raises(OSError, match=r"no file named"):
        transformers.AutoModel.from_pretrained(tmp_path)  # as before


def test_packed_shards_are_read_by_their_index(tmp_path):
    model = folder_of(tmp_path, max_shard_size="300KB")
    listed = tmp_path / "model.safetensors.index.json"
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    index, _ = read_index(listed)
    pack_all(tmp_path)
    (tmp_path / index_name(listed, ".shoe")).write_bytes(renamed(index, ".shoe"))
    listed.unlink()
    with packed_pretrained():
        again = transformers.AutoModel.from_pretrained(str(tmp_path))
    assert same(model.state_dict(), again.state_dict())


def test_plain_folders_are_read_as_before(tmp_path):
    model = folder_of(tmp_path)
    with packed_pretrained():
        again = transformers.AutoModel.from_pretrained(tmp_path)
    assert same(model.state_dict(), again.state_dict())


def test_a_packed_file_has_the_methods_of_safe_open(tmp_path):
    model = folder_of(tmp_path)
    pack_all(tmp_path)
    with PackedFile(tmp_path / "model.shoe") as opened:
        assert opened.metadata() == {"format": "pt"}
        name = "embeddings.word_embeddings.weight"
        part, whole = opened.get_slice(name), model.state_dict()[name]
        assert name in set(opened.keys()) and part.get_shape() == [4000, 64]
        assert part.get_dtype() == "F32" and torch.equal(part[7:9, :3], whole[7:9, :3])
        assert torch.equal(opened.get_tensor(name), whole)
        with pytest.raises(KeyError, match="no tensor 'absent'"):
            opened.get_tensor("absent")


def test_an_index_that_leaves_its_folder_is_refused(tmp_path):
    folder_of(tmp_path)
    os.remove(tmp_path / "model.safetensors")
    listed = tmp_path / "model.shoe.index.json"
    listed.write_text(json.dumps({"weight_map": {"a": "../model.shoe"}}))
    with packed_pretrained(), pytest.raises(ValueError, match="not in its folder"):
        transformers.AutoModel.from_pretrained(tmp_path)
