"""Each rule against torch: the drafted file answers what the module answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_shown import Shown
from torch import Tensor, nn
from torch.nn import functional as F

from shoestring.artifact import load, save
from shoestring.artifact.format.file import pack
from shoestring.core import seeded
from shoestring.search.step_rules import RULES
from shoestring.search.steps import draft, steps_of


class Runs(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, given: Tensor) -> Tensor:
        return self.function(given)


MAP, ROW = torch.rand(2, 8, 9, 7) - 0.5, torch.rand(2, 6) - 0.5
FUNCTIONS = {
    "add a number": (MAP, lambda x: 3 + x),
    "amax": (MAP, lambda x: x.amax(dim=(2, 3))),
    "bmm": (MAP[:, 0], lambda x: x @ x.transpose(1, 2)),
    "channel shuffle": (MAP, lambda x: F.channel_shuffle(x, 4)),
    "chunks": (MAP, lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)),
    "choose": (MAP, lambda x: torch.where((x >= 0) & (x < 0.2), x, -x)),
    "clamp": (MAP, lambda x: x.clamp(-0.2, 0.3)),
    "divide, subtract": (MAP, lambda x: (x - 0.5) / (x * x + 1)),
    "elu": (MAP, F.elu),
    "expand": (ROW, lambda x: x.unsqueeze(1).expand(-1, 3, -1) * 2),
    "exp, log, sqrt": (MAP, lambda x: (x.exp() + 1).log().sqrt()),
    "gelu": (MAP, F.gelu),
    "hardsigmoid": (MAP, lambda x: F.hardsigmoid(x * 9)),
    "hardswish": (MAP, lambda x: F.hardswish(x * 9)),
    "in place": (MAP, lambda x: F.relu(x * 1, inplace=True).add_(1)),
    "leaky relu": (MAP, lambda x: F.leaky_relu(x, 0.2)),
    "log softmax": (ROW, lambda x: F.log_softmax(x, 1)),
    "matrix product": (ROW, lambda x: x @ torch.arange(12.0).reshape(6, 2)),
    "max pooling": (MAP, lambda x: F.max_pool2d(x, 3, 2, 1, dilation=1, ceil_mode=True)),
    "mean": (MAP, lambda x: x.mean((2, 3), keepdim=True)),
    "mean of all": (MAP, lambda x: x.mean()),
    "mean pooling": (MAP, lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    "mean pooling, padding counts": (MAP, lambda x: F.avg_pool2d(x, (3, 2), 2, 1)),
    "pad": (MAP, lambda x: F.pad(x[:, :, ::2, ::2], (0, 1, 2, 0, 3, 1), value=0.5)),
    "negate": (MAP, lambda x: -x),
    "permute": (MAP, lambda x: x.permute(0, 2, 3, 1)),
    "pool all": (MAP, lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)),
    "relu6": (MAP, lambda x: F.relu6(x * 20)),
    "sigmoid, tanh": (MAP, lambda x: x.sigmoid() * x.tanh()),
    "silu": (MAP, F.silu),
    "slice": (MAP, lambda x: x[:, 1:-1, ::2]),
    "softmax": (ROW, lambda x: x.softmax(-1)),
    "split": (MAP, lambda x: torch.cat(torch.split(x, [3, 5], 1)[::-1], 1)),
    "squeeze": (ROW, lambda x: x.unsqueeze(1).squeeze(1)),
    "sum": (MAP, lambda x: x.sum(1)),
    "transpose": (ROW[:1], lambda x: (x.t() @ x).unsqueeze(0)),
}
MODULES = {
    "batch norm": (MAP, nn.BatchNorm2d(8)),
    "batch norm alone": (MAP, nn.BatchNorm2d(8, affine=False)),
    "convolution": (MAP, nn.Conv2d(8, 6, (3, 5), 2, (1, 2), bias=False)),
    "convolution, dilated": (MAP, nn.Conv2d(8, 8, 3, 1, 2, 2, groups=4)),
    "convolution of rows": (MAP[:, :, :, 0], nn.Conv1d(8, 4, 3, padding=1)),
    "convolution, transposed": (MAP, nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1)),
    "dropout": (MAP, nn.Dropout(0.5)),
    "embedding": (torch.tensor([[1, 3], [0, 2]]), nn.Embedding(5, 4)),
    "layer norm": (ROW, nn.LayerNorm(6)),
    "linear": (ROW, nn.Linear(6, 3)),
    "linear along time": (MAP[:, 0], nn.Linear(7, 3, bias=False)),
}
CASES = {name: (given, Runs(run)) for name, (given, run) in FUNCTIONS.items()} | MODULES


@pytest.mark.parametrize("name", CASES)
def test_the_draft_answers_as_the_module(name: str, tmp_path: Path):
    given, module = CASES[name]
    with seeded(3):
        for one in module.parameters():
            nn.init.normal_(one)
        for buffer in module.buffers():
            if buffer.is_floating_point():
                nn.init.uniform_(buffer, 0.5, 1.5)
    steps = steps_of(module.train(), Shown(given))
    assert not steps.unknown
    path = tmp_path / "draft.shoe"
    if not steps.steps:  # what is left of a dropout is its argument
        assert steps.results == steps.inputs
        return
    save(path, pack(draft(steps)))
    alone = given[:1]
    with torch.no_grad():
        answer = module.eval()(alone).numpy()
    np.testing.assert_allclose(load(path)(alone)[0], answer, rtol=1e-4, atol=1e-5)


def test_no_rule_is_without_a_case():
    """Names that another torch gives to the same are named here, one by one."""
    used = set[str]()
    import shoestring.search.step_rules as rules

    before = dict(RULES)
    try:
        for name, rule in before.items():

            def told(given, made, name=name, rule=rule):
                used.add(name)
                return rule(given, made)

            RULES[name] = told
        for given, module in CASES.values():
            steps_of(module, Shown(given))
    finally:
        rules.RULES.update(before)
    elsewhere = {"_unsafe_view", "channel_shuffle", "native_channel_shuffle", "split"}
    elsewhere |= {"_native_batch_norm_legit_no_training", "native_batch_norm"}
    assert set(RULES) - used <= elsewhere


IDS = torch.tensor([[1, 5], [0, 2]])


def test_a_choice_among_integers_and_its_types(tmp_path: Path):
    """Comparisons with a number and with a tensor; they give bools, and the choice integers."""
    sizes = torch.tensor([2, 3])
    module = Runs(lambda x: torch.where((x >= 1) & (x < sizes), x, sizes))
    steps = steps_of(module, Shown(IDS))
    assert [(one.operator, steps.values[one.output].type) for one in steps.steps] == [
        ("GreaterOrEqual", "bool"),
        ("Less", "bool"),
        ("And", "bool"),
        ("Where", "int64"),
    ]
    save(path := tmp_path / "draft.shoe", pack(draft(steps)))
    assert load(path)(IDS[:1])[0].tolist() == [[1, 3]]
    assert load(path)(IDS[1:])[0].tolist() == [[2, 2]]


@pytest.mark.parametrize(
    ("name", "module", "given"),
    [
        ("rnn", nn.LSTM(6, 3), torch.rand(2, 4, 6)),
        ("cumsum", Runs(lambda x: x.cumsum(1)), ROW),
        ("add", Runs(lambda x: torch.add(x, x, alpha=2)), ROW),
        ("lt", Runs(lambda x: x < 1.5), IDS),  # no integer is 1.5
        ("ge", Runs(lambda x: x >= torch.ones(2)), IDS),
        ("bitwise_and", Runs(lambda x: x & 1), IDS),
        ("where", Runs(lambda x: torch.where(x >= 0, x, torch.zeros(2))), IDS),
    ],
)
def test_what_has_no_rule_is_named(name: str, module: nn.Module, given: Tensor):
    steps = steps_of(module, Shown(given))
    assert any(name in one for one in steps.unknown), steps.unknown
    with pytest.raises(ValueError, match=r"no file can be drafted of .*there is no rule"):
        draft(steps)
