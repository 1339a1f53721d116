"""Greedy layer-wise pretraining: each layer learns to undo noise in what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique, evaluating
from shoestring.kit import AdamW, Training
from shoestring.kit.tracing.last_linear import heard_inputs
from shoestring.unlabelled.augmentations import Augmentation
from shoestring.unlabelled.body import body
from shoestring.unlabelled.checks import check_count, check_share
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material
from shoestring.unlabelled.pretraining import fine_tuned, learning, pretrained

_BACK: dict[type[nn.Module], Any] = {
    nn.Conv1d: nn.ConvTranspose1d,
    nn.Conv2d: nn.ConvTranspose2d,
    nn.Conv3d: nn.ConvTranspose3d,
}


@dataclass(frozen=True, kw_only=True)
class LayerWise(Technique):
    """Pretrain one layer after the other to undo noise in its input, then train all on the labels.

    This is how deep networks were first trained, before better initial weights and ReLUs made it
    unnecessary. The layers are those of Linear and Conv that are called before the last linear one,
    in the order of their calls. Each gets what the pretrained layers below make of the inputs, of
    which a share is set to 0, and a layer that is thrown away afterwards makes the whole of it
    again. What is returned is the network after the fine-tuning, unless the guard refuses it, as
    `MeanTeacher` says.

    Saves: nothing that a label curve proves; `docs/unlabelled.md` has figures.
    Costs: a pretraining for each layer; and a training on the labels alone, for the guard.
    Source: Bengio et al. 2006 (one layer after the other); Vincent et al. 2008 (undoing noise).
    Differs: the code of a layer is its ReLU, whatever follows the layer in the network; the loss is
        the squared error, relative to the variance of the input.

    `training`: of both networks on the labels.
    `pretraining`: of each layer, on all inputs.
    `noise`: the share of an input that is set to 0, 0 to 1.
    `size`: inputs of a batch of the pretraining, 1 or more.
    `weak`: the change of the labelled inputs, and `strong` is not used; None: by their kind
        (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range and
    for a network without a last linear layer, or without another layer before it.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    pretraining: Training = Training(300, AdamW(2e-3))
    noise: float = 0.3
    size: int = 128
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_share("the noise", self.noise)
        check_count("the inputs of a batch", self.size)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The pretrained and fine-tuned network, or the one that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The fine-tuned network, before the guard looks at it (`guard.Learner`)."""
        names, network = layers(model, given), learning(model)
        for name in names:
            if not any(one.requires_grad for one in model.get_submodule(name).parameters()):
                continue
            coder = Autoencoder(network, name, self.noise)
            with _alone(network, coder):
                pretrained(
                    coder,
                    given,
                    self.pretraining,
                    lambda coder, inputs: coder.lost(inputs),
                    size=self.size,
                    what=f"pretraining of the layer {name}",
                    key=repr(self),
                )
        fine_tuned(network, model, given, self.training, repr(self))
        return network


def layers(model: nn.Module, given: Material) -> list[str]:
    """The names of the layers of Linear and Conv before the last linear one, as they are called.

    Raises ValueError where there is none.
    """
    head = body(model, given).head
    names = {
        part: name
        for name, part in model.named_modules()
        if isinstance(part, (nn.Linear, *_BACK)) and name != head
    }
    called: dict[str, None] = {}
    hooks = [
        part.register_forward_pre_hook(lambda part, _: called.setdefault(names[part]))
        for part in names
    ]
    try:
        given.task.outputs(model, given.task.inputs(given.task.known()[:2]))
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        raise ValueError(
            f"{type(model).__name__} calls no Linear or Conv before its last linear layer: there "
            "is nothing to pretrain layer by layer"
        )
    return list(called)


class Autoencoder(nn.Module):
    """A layer of a network, and one that makes its input again of its code.

    `network`: has the layer; the autoencoder answers as it does.
    `name`: of the layer. `noise`: the share of its input that is set to 0.
    """

    def __init__(self, network: nn.Module, name: str, noise: float) -> None:
        super().__init__()
        self.network, self.name, self.noise = network, name, noise
        layer = network.get_submodule(name)
        if isinstance(layer, nn.Linear):
            self.back: nn.Module = nn.Linear(layer.out_features, layer.in_features)
        else:
            assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
            padding = layer.padding if not isinstance(layer.padding, str) else 0
            self.back = _BACK[type(layer)](
                layer.out_channels,
                layer.in_channels,
                layer.kernel_size,
                layer.stride,
                padding,
                groups=layer.groups,
                dilation=layer.dilation,
            )

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the network answers."""
        return self.network(*inputs)

    def lost(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The squared error of what is made again, relative to the variance: 1 says nothing."""
        layer = self.network.get_submodule(self.name)
        with evaluating(self.network), torch.no_grad(), heard_inputs(layer) as heard:
            self.network(*inputs)
        whole = heard[0]
        code = layer(whole * (torch.rand_like(whole) >= self.noise)).relu()
        again = self.back(code) if isinstance(layer, nn.Linear) else self._unfolded(code, whole)
        return (again - whole).square().mean() / whole.var(correction=0).clamp(min=1e-12)

    def _unfolded(self, code: Tensor, whole: Tensor) -> Tensor:
        """What a convolution backwards makes of a code, in the size of what went into the layer."""
        made: Tensor = self.back(code)
        for axis, size in enumerate(whole.shape[2:], 2):
            short = size - made.shape[axis]
            if short > 0:  # what a stride has left over
                pads = [0, 0] * (made.ndim - 1 - axis) + [0, short]
                made = nn.functional.pad(made, pads)
            made = made.narrow(axis, (made.shape[axis] - size) // 2, size)
        return made


@contextmanager
def _alone(network: nn.Module, coder: Autoencoder) -> Iterator[None]:
    """Within, of the parameters of a network only those of the coder's layer are trained."""
    wanted = [(one, one.requires_grad) for one in network.parameters()]
    own = set(network.get_submodule(coder.name).parameters())
    try:
        for one, was in wanted:
            one.requires_grad_(was and one in own)
        yield
    finally:
        for one, was in wanted:
            one.requires_grad_(was)
            one.grad = None
