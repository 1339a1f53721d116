"""Packed weights in the folders of the transformers package."""

import json
import os
import sys

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


def test_contexts_that_overlap_put_the_functions_back_at_the_end():
    from transformers import modeling_utils

    before = modeling_utils.safe_open
    first, second = packed_pretrained(), packed_pretrained()
    first.__enter__()
    within = modeling_utils.safe_open
    second.__enter__()
    first.__exit__(None, None, None)
    assert modeling_utils.safe_open is within and within is not before
    second.__exit__(None, None, None)
    assert modeling_utils.safe_open is before


def test_without_transformers_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'transformers"), packed_pretrained():
        pass


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
