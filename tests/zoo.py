"""Small models of every kind, each with a task: what "any nn.Module" is tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Task, Vary, seeded
from shoestring.kit import Supervised, accuracy

CLASSES = 4


@dataclass(frozen=True)
class Animal:
    """A model and its task, made by a function so that every test has its own."""

    name: str
    make: Callable[[], tuple[nn.Module, Task]]
    compressed: float = 0.9
    """The share of the parameters, at least, that techniques reach."""

    def __call__(self) -> tuple[nn.Module, Task]:
        with seeded(len(self.name)):
            model, task = self.make()
        return model, task


def classified(
    *shapes: tuple[int, ...], examples: int = 12, ids: int = 0, **settings: Any
) -> Supervised:
    """Random inputs of these shapes (whole numbers below `ids`, where given) in random classes."""

    def split() -> tuple[tuple[Tensor, ...], Tensor]:
        inputs = tuple(
            torch.randint(0, ids, (examples, *shape)) if ids else torch.randn(examples, *shape)
            for shape in shapes
        )
        return inputs, torch.randint(0, CLASSES, (examples,))

    return Supervised(train=split(), validation=split(), test=split(), batch_size=4, **settings)


def images(shape: tuple[int, ...] = (1, 28, 28)) -> Supervised:
    """Random images of one shape, the same at each call."""
    with seeded(3):
        return classified(shape)


@dataclass(frozen=True)
class Calls(Task):
    """A task without targets.

    Calls the model in its own way and asks that whatever it returns be small.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def batches(self, split: str) -> list[int]:
        return [0, 1, 2]

    def loss(self, model: Any, batch: int) -> Tensor:
        args, kwargs = self.call()
        return sum((one.float() - batch).square().mean() for one in tensors(model(*args, **kwargs)))  # type: ignore[return-value]

    def score(self, predict: Any, split: str) -> float:
        args, kwargs = self.call()
        return -sum(
            float(torch.as_tensor(one).float().abs().mean())
            for one in tensors(predict(*args, **kwargs))
        )

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self.args, self.kwargs

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The example without its declarations."""
        return tuple(map(bare, self.args)), {
            name: bare(value) for name, value in self.kwargs.items()
        }


def bare(value: Any) -> Any:
    """The tensor that a Vary holds; anything else as it is."""
    if isinstance(value, list | tuple) and not isinstance(value, Vary):
        return type(value)(map(bare, value))
    return value.tensor if isinstance(value, Vary) else value


def tensors(tree: Any) -> list[Any]:
    """The tensors or arrays of a nest of tuples, lists and mappings, in order."""
    if isinstance(tree, Tensor) or hasattr(tree, "dtype"):
        return [tree]
    branches = (
        tree.values() if hasattr(tree, "values") else tree if isinstance(tree, list | tuple) else ()
    )
    return [leaf for branch in branches for leaf in tensors(branch)]


def longer(task: Task, by: int = 3) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example, `by` longer along every axis that varies."""

    def stretch(value: Any) -> Any:
        if isinstance(value, list | tuple) and not isinstance(value, Vary):
            return type(value)(map(stretch, value))
        tensor, axes = (value.tensor, value.axes) if isinstance(value, Vary) else (value, {0: "N"})
        if isinstance(tensor, Tensor):
            for axis in axes:
                tensor = torch.cat([tensor, *[tensor.narrow(axis, 0, 1)] * by], axis)
        return tensor

    args, kwargs = task.example()
    return tuple(map(stretch, args)), {name: stretch(value) for name, value in kwargs.items()}


def mlp() -> tuple[nn.Module, Task]:
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, CLASSES)), classified((10,))


def convolutions() -> tuple[nn.Module, Task]:
    model = nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, groups=16, bias=False),
        nn.ConvTranspose2d(16, 8, 3, stride=2, output_padding=1),
        nn.Hardswish(),
        nn.Conv2d(8, 8, 3, padding="same", dilation=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
    )
    return model, classified((4, 8, 8))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(x)))
        x = functional.relu(x + self.norm2(self.conv(x)))
        return self.head(x.mean((2, 3)))


def residual() -> tuple[nn.Module, Task]:
    return Residual(), classified((3, 8, 8), examples=13)


class Recurrent(nn.Module):
    def __init__(self, body: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.body(x)
        return self.head(outputs[:, -1])


def lstm() -> tuple[nn.Module, Task]:
    body = nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True)
    return Recurrent(body, 16), classified((7, 6), axes={1: "T"})


def gru() -> tuple[nn.Module, Task]:
    return Recurrent(nn.GRU(6, 12, batch_first=True), 12), classified((7, 6), axes={1: "T"})


def rnn() -> tuple[nn.Module, Task]:
    return Recurrent(nn.RNN(6, 12, batch_first=True), 12), classified((7, 6))


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 16, padding_idx=0), nn.Linear(16, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids).mean(1))


def embedding() -> tuple[nn.Module, Task]:
    return Bag(), classified((9,), ids=50, axes={1: "T"})


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        mixed, _ = self.attention(x, x, x, need_weights=False)
        return self.head(mixed.mean(1))


def attention() -> tuple[nn.Module, Task]:
    return Attentive(), classified((5, 16), axes={1: "T"})


class Encoded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


def encoder() -> tuple[nn.Module, Task]:
    return Encoded(), classified((5, 16))


def norms() -> tuple[nn.Module, Task]:
    model = nn.Sequential(
        nn.Conv1d(4, 16, 3),
        nn.GroupNorm(4, 16),
        nn.GELU(),
        nn.InstanceNorm1d(16, affine=True),
        nn.Conv1d(16, 16, 1),
        nn.Flatten(),
        nn.Linear(96, 32),
        nn.LayerNorm(32),
        nn.SiLU(),
        nn.RMSNorm(32),
        nn.Linear(32, CLASSES),
    )
    return model, classified((4, 8))


class Language(nn.Module):
    """The output projection is the embedding; the causal mask, a buffer, holds minus infinity."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 16)
        self.mix = nn.Linear(16, 16)
        self.head = nn.Linear(16, 40, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.full((12, 12), float("-inf")).triu(1))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.mix(self.embedding(ids))
        time = ids.shape[1]
        return self.head((x @ x.mT + self.mask[:time, :time]).softmax(-1) @ x)


def tied() -> tuple[nn.Module, Task]:
    def split() -> tuple[Tensor, Tensor]:
        ids = torch.randint(0, 40, (12, 9))
        return ids[:, :-1], ids[:, 1:]

    task = Supervised(
        train=split(),
        validation=split(),
        test=split(),
        batch_size=4,
        axes={1: "T"},
        criterion=lambda outputs, targets: functional.cross_entropy(
            outputs.flatten(0, 1), targets.flatten()
        ),
        merit=lambda outputs, targets: accuracy(outputs, targets).mean(-1),
    )
    return Language(), task


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 16), nn.Linear(5, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(
        self, x: Tensor, scale: float = 1.0, *, zest: Tensor, aside: Tensor | None = None
    ) -> Tensor:
        hidden = self.left(x) * scale + self.right(zest).relu()
        return self.head(hidden if aside is None else hidden + aside)


def keyword() -> tuple[nn.Module, Task]:
    keywords = {"zest": Vary(torch.randn(3, 5), {0: "N"}), "aside": torch.randn(3, 16)}
    return Pair(), Calls((torch.randn(3, 6), 0.5), keywords)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 16), nn.Linear(5, CLASSES)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.left(x).relu()) + self.right(y)


def two_inputs() -> tuple[nn.Module, Task]:
    return Two(), classified((6,), (5,))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 24), nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Any]:
        hidden = self.body(x).relu()
        return {
            "logits": self.head(hidden),
            "hidden": hidden,
            "more": {"sum": hidden.sum(-1)},
            "nothing": None,
        }


def dict_output() -> tuple[nn.Module, Task]:
    return Named(), classified(
        (8,),
        criterion=lambda outputs, targets: functional.cross_entropy(outputs["logits"], targets),
        merit=lambda outputs, targets: accuracy(outputs["logits"], targets),
    )


class Point(NamedTuple):
    mean: Tensor
    spread: Tensor


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 24), nn.Linear(24, CLASSES)

    def forward(self, pair: list[Tensor]) -> Any:
        x, y = pair
        hidden = self.body(x + y).tanh()
        return self.head(hidden), (hidden, [hidden.mean(-1), x]), Point(hidden.mean(), hidden.std())


def nested_output() -> tuple[nn.Module, Task]:
    return Nested(), Calls(([torch.randn(3, 8), Vary(torch.randn(3, 8), {-2: "N"})],), {})


class Timed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(6, 16, 3, padding=1), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv(x.mT).relu()
        return self.head(hidden.mT)


def timed() -> tuple[nn.Module, Task]:
    return Timed(), Calls((Vary(torch.randn(2, 7, 6), {1: "T"}),), {})


def half() -> tuple[nn.Module, Task]:
    model = nn.Sequential(
        nn.Linear(10, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, CLASSES)
    ).half()
    return model, Calls((torch.randn(4, 10).half(),), {})


def weight_norm() -> tuple[nn.Module, Task]:
    normed = torch.nn.utils.parametrizations.weight_norm(nn.Linear(10, 32))
    return nn.Sequential(
        normed, nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, CLASSES)
    ), classified((10,))


def spectral_norm() -> tuple[nn.Module, Task]:
    normed = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(10, 16))
    return nn.Sequential(
        normed, nn.ReLU(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, CLASSES)
    ), classified((10,))


def frozen() -> tuple[nn.Module, Task]:
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    model[0].requires_grad_(False)
    return model, classified((10,))


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(8, 24) / 8**0.5)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.several = nn.ParameterList(
            [nn.Parameter(torch.randn(24, 24) / 24**0.5) for _ in range(11)]
        )
        self.named = nn.ParameterDict({"out": nn.Parameter(torch.randn(24, CLASSES))})

    def forward(self, x: Tensor) -> Tensor:
        x = x @ self.matrix * self.scale
        for one in self.several:
            x = x + torch.tanh(x @ one)
        return x @ self.named["out"]


def own_parameter() -> tuple[nn.Module, Task]:
    return Own(), classified((8,))


class Reused(nn.Module):
    """One module under two names, and a parametrized root."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8) / 8**0.5)
        self.first = nn.Linear(8, 8)
        self.second = self.first
        self.head = nn.Bilinear(8, 8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x @ self.weight).relu())
        return self.head(x, x)


def reused() -> tuple[nn.Module, Task]:
    return Reused(), classified((8,))


def bert() -> tuple[nn.Module, Task]:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=24,
        num_labels=CLASSES,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    task = classified(
        (10,),
        ids=400,
        axes={1: "T"},
        criterion=lambda outputs, targets: functional.cross_entropy(outputs["logits"], targets),
        merit=lambda outputs, targets: accuracy(outputs["logits"], targets),
    )
    return BertForSequenceClassification(config), task


def gpt2() -> tuple[nn.Module, Task]:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=300,
        n_positions=24,
        n_embd=32,
        n_layer=2,
        n_head=4,
        use_cache=False,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )

    def split() -> tuple[Tensor, Tensor]:
        ids = torch.randint(0, 300, (12, 11))
        return ids[:, :-1], ids[:, 1:]

    task = Supervised(
        train=split(),
        validation=split(),
        test=split(),
        batch_size=4,
        axes={1: "T"},
        criterion=lambda outputs, targets: functional.cross_entropy(
            outputs["logits"].flatten(0, 1), targets.flatten()
        ),
        merit=lambda outputs, targets: accuracy(outputs["logits"], targets).mean(-1),
    )
    return GPT2LMHeadModel(config), task


ZOO = [
    Animal("mlp", mlp),
    Animal("convolutions", convolutions),
    Animal("residual", residual),
    Animal("lstm", lstm, 0.8),
    Animal("gru", gru, 0.8),
    Animal("rnn", rnn, 0.8),
    Animal("embedding", embedding),
    Animal("attention", attention),
    Animal("encoder", encoder),
    Animal("norms", norms),
    Animal("tied", tied),
    Animal("keyword", keyword, 0.8),
    Animal("two_inputs", two_inputs, 0.8),
    Animal("dict_output", dict_output, 0.8),
    Animal("nested_output", nested_output, 0.8),
    Animal("timed", timed, 0.8),
    Animal("half", half, 0.8),
    Animal("weight_norm", weight_norm, 0.6),
    Animal("spectral_norm", spectral_norm, 0.6),
    Animal("frozen", frozen),
    Animal("own_parameter", own_parameter),
    Animal("reused", reused),
    Animal("bert", bert, 0.95),
    Animal("gpt2", gpt2, 0.95),
]
