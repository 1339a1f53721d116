"""What is given as a model: wrappers are taken off, and what is none is said in words."""

from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.core import apply, chain, unwrapped


def plain():
    return nn.Sequential(nn.Linear(4, 3))


def test_wrappers_are_taken_off_however_many_there_are():
    model = plain()
    compiled = torch.compile(model, backend="eager")
    for wrapped in (model, compiled, nn.DataParallel(model), nn.DataParallel(compiled)):
        assert unwrapped(wrapped) is model


def test_a_module_that_holds_one_of_such_a_name_is_itself():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)

    holder = Holder()
    assert unwrapped(holder) is holder


@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch has no distributed part here"
)
def test_distributed_data_parallel_is_taken_off(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    try:
        model = plain()
        assert unwrapped(nn.parallel.DistributedDataParallel(model)) is model
    finally:
        torch.distributed.destroy_process_group()


class Pipeline:
    """Like one of transformers: built around a module."""

    def __init__(self):
        self.model = plain()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.jit.script(plain()), "give the Python module that was scripted or traced"),
        (
            lambda: torch.jit.trace(plain(), torch.ones(1, 4)),
            "give the Python module that was scripted or traced",
        ),
        (
            lambda: plain().state_dict(),
            r"OrderedDict \(0\.weight, 0\.bias\), weights without their module: build the module",
        ),
        (
            lambda: "model.onnx",
            r"the path 'model\.onnx': shoestring\.from_onnx\('model\.onnx'\) makes a module of "
            r"that file",
        ),
        (
            lambda: Path("small.shoe"),
            r"shoestring\.from_shoe\('small\.shoe'\) makes a module .*load_into\('small\.shoe', "
            r"module\)",
        ),
        (
            lambda: "model.pt",
            r"the path 'model\.pt': build the module, load its weights with load_state_dict",
        ),
        (lambda: "small.shoe", r"shoestring\.load_into\('small\.shoe', module\)"),
        (lambda: nn.Sequential, "the class Sequential: give an instance of it"),
        (lambda: Pipeline(), r"Pipeline, which is built around a module: give its \.model"),
        (lambda: plain, "the function plain: call it"),
        (lambda: (plain(), "task"), "a tuple of 2: give the module alone"),
        (
            lambda: torch.export.export(plain(), (torch.ones(1, 4),)),
            "an ExportedProgram: give the Python module",
        ),
        (lambda: 3, "int, which is none"),
    ],
)
def test_what_is_no_module_is_said_with_what_to_give(make, words, nim):
    with pytest.raises(
        TypeError, match=f"a torch module is wanted as the model, and this is .*{words}"
    ):
        apply(chain(), make(), nim)
