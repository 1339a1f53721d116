"""Heads go as wholes, and at least one of each attention stays."""

from __future__ import annotations

import pytest
import torch
from zoo import ZOO, classified

from shoestring.core import seeded
from shoestring.kit import AdamW, Ramp, ShortfallWarning, SkippedWarning, Training, clone
from shoestring.models import TextEncoder
from shoestring.prune import Heads, Norm


def made() -> tuple[TextEncoder, object]:
    with seeded(0):
        model = TextEncoder(
            30, classes=4, width=12, layers=2, heads=3, hidden=8, length=9, dropout=0.0
        )
        return model, classified((7,), ids=30, axes={1: "T"})


def test_heads_that_nothing_reads_go_and_the_answer_stays():
    model, task = made()
    with torch.no_grad():
        model.layers[0].attention.output.weight[:, 4:8] = 0
        model.layers[1].attention.output.weight[:, 0:8] = 0
    small = Heads(share=0.5, training=Training(0))(model, task)
    assert [one.attention.query.out_features for one in small.layers] == [8, 4]
    assert torch.equal(
        small.layers[0].attention.value.weight,
        model.layers[0].attention.value.weight[[0, 1, 2, 3, 8, 9, 10, 11]],
    )
    ids = torch.randint(1, 30, (5, 9))
    torch.testing.assert_close(
        clone(small).eval()(ids), clone(model).eval()(ids), rtol=1e-4, atol=1e-5
    )


def test_one_head_of_each_stays_and_names_protect():
    model, task = made()
    with pytest.warns(
        ShortfallWarning,
        match="Heads was asked to leave 1% of the heads and left 33%: every attention keeps one",
    ):
        small = Heads(
            share=0.01,
            importance=Norm(),
            training=Training(3, AdamW(5e-4)),
            ramp=Ramp(0.3, rounds=2),
        )(model, task)
    assert [one.attention.key.out_features for one in small.layers] == [4, 4]
    small = Heads(
        share=0.01, importance=Norm(), training=Training(0), keep=("layers.0.attention.*",)
    )(model, task)
    assert [one.attention.key.out_features for one in small.layers] == [12, 4]


@pytest.mark.by_default("bert")
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_heads_of_other_peoples_transformers(name: str):
    model, task = next(animal for animal in ZOO if animal.name == name)()
    with pytest.warns(SkippedWarning) if name == "gpt2" else seeded(0):  # its embedding is tied
        small = Heads(share=0.5, importance=Norm(), training=Training(0))(model, task)
    shapes = [
        tuple(one.shape)
        for key, one in small.named_parameters()
        if "query.weight" in key or "c_attn.weight" in key
    ]
    heads = sum(rows // 8 if name == "bert" else columns // 24 for rows, columns in shapes)
    assert heads == 4  # of eight, four in each of two layers
    task.score(small.eval(), "validation")


def test_attentions_that_are_one_step_are_named():
    model, task = next(animal for animal in ZOO if animal.name == "attention")()
    with pytest.warns(SkippedWarning) as caught:
        Heads(training=Training(0))(model, task)
    said = [str(one.message) for one in caught]
    assert (
        "Heads skipped attention, attention.out_proj: what it computes does not keep channels apart"
        in said
    )
    assert "Heads found nothing in the model that it could take out" in said
