"""One mixture of experts, untrained, in three forms: a part of `sparse_activation.py`.

Ours, as it stands in a file; the operator `MoE` of ONNX Runtime (com.microsoft), which files cannot
hold, from the same weights; and a dense layer as wide as all experts together. All are divided by a
dense layer as wide as the experts that a row uses. One thread, in alternation, by the clock of the
thread. What ours and the operator answer is compared first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from rows import Rows
from torch import nn

from shoestring.artifact import OnnxRuntime, read_model
from shoestring.core import seeded
from shoestring.kit import MixtureOfExperts, Supervised, save
from shoestring.meters.inputs import feeds, runner
from shoestring.meters.interleaved import in_turn, ratio

WIDTH, EXPERTS = 128, 8
COUNTS = (1, 32, 512)
FORMS = ("ours", "the operator MoE of ONNX Runtime", "dense, as wide as all experts")
LAYERS = "layer: "


def layer_rows(rows: Rows) -> None:
    """How many times as long each form takes as a dense layer of the experts that a row uses."""
    for top_k in (1, 2):
        for hidden in (128, 512):
            subject = subject_of(top_k, hidden)
            if rows.done(subject, None) or not rows.wanted(subject):
                continue
            timed(rows, subject, top_k, hidden)
            rows.add(subject, "done", 1, "")


def subject_of(top_k: int, hidden: int) -> str:
    """What the rows of such a mixture are called."""
    return f"{LAYERS}{EXPERTS} experts of {hidden}, {top_k} active"


def timed(rows: Rows, subject: str, top_k: int, hidden: int) -> None:
    """The rows of one mixture, at several numbers of rows in a run."""
    with seeded(0):
        mixture = MixtureOfExperts(
            [dense(hidden) for _ in range(EXPERTS)],
            nn.Linear(WIDTH, EXPERTS, bias=False),
            top_k=top_k,
        )
        layers: list[nn.Module] = [dense(top_k * hidden), mixture, dense(EXPERTS * hidden)]
        values = torch.randn(max(COUNTS), WIDTH)
    theirs = operator(mixture, top_k)
    with torch.no_grad():
        expected = mixture.eval()(values).numpy()
    if not np.allclose(theirs(values.numpy())(), expected, atol=1e-4):
        raise SystemExit("the operator of ONNX Runtime answers otherwise than the mixture")
    task = Supervised(train=(values, values), validation=(values, values), test=(values, values))
    with tempfile.TemporaryDirectory() as folder:
        contents = [content(layer, task, Path(folder)) for layer in layers]
    for count in COUNTS:
        own = [runner(one, feeds(one, task, count), 1, OnnxRuntime()) for one in contents]
        runs = [own[0], own[1], theirs(values.numpy()[:count]), own[2]]
        seconds = 0.5 if rows.quick else 3.0
        first, *others = in_turn(runs, seconds=seconds, clock=thread_time)
        rows.add(subject, f"dense, {count}", first.median, "ms", timed=True)
        for form, timing in zip(FORMS, others, strict=True):
            share = ratio(timing, first)
            for part in ("median", "low", "high"):
                metric = f"{form}, {count}, {part}"
                rows.add(subject, metric, getattr(share, part), "of dense", timed=True)


def dense(hidden: int) -> nn.Sequential:
    """Two matrices with a ReLU between them."""
    return nn.Sequential(nn.Linear(WIDTH, hidden), nn.ReLU(), nn.Linear(hidden, WIDTH))


def content(layer: nn.Module, task: Supervised, folder: Path) -> Any:
    """What a file of the layer holds."""
    save(layer.eval(), task, folder / "layer.shoe")
    return read_model(folder / "layer.shoe")


def operator(mixture: MixtureOfExperts, top_k: int) -> Callable[[np.ndarray], Callable[[], Any]]:
    """The mixture as one operator: from rows N×WIDTH to a function that runs on them."""
    parts = [list(expert.parameters()) for expert in mixture.experts]
    stacked = [torch.stack([one[at].detach() for one in parts]).numpy() for at in range(4)]
    assert mixture.router is not None
    router = next(mixture.router.parameters()).detach().numpy().T
    names = ["w1", "b1", "w2", "b2"]
    nodes = [
        helper.make_node("MatMul", ["rows", "router"], ["logits"]),
        helper.make_node(
            "MoE",
            ["rows", "logits", *names],
            ["mixed"],
            domain="com.microsoft",
            k=top_k,
            activation_type="relu",
            normalize_routing_weights=int(top_k > 1),
        ),
    ]
    weights = dict(zip(names, stacked, strict=True)) | {"router": router}
    graph = helper.make_graph(
        nodes,
        "mixture",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("mixed", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(value.copy(), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return lambda values: lambda: session.run(None, {"rows": values})[0]
