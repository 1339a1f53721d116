"""Binary weights and inputs: the numbers, which layers, and a file that the kernels run."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from shoestring import kit
from shoestring.artifact import load
from shoestring.artifact.format import file
from shoestring.artifact.kernels import signs
from shoestring.artifact.runtime.segments import Segments
from shoestring.artifact.runtime.session import session
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Ramp, SkippedWarning, Supervised, Training
from shoestring.models import DigitsLeNet
from shoestring.prune import Magnitude
from shoestring.quantize import Binary, Real, ScaledSigns, Signs
from shoestring.quantize.binary_layers import BinaryConv2d, BinaryLinear, freeze, sign, thaw
from shoestring.recipes.xnor import Settings, xnor_convnet
from shoestring.tasks import digits


@pytest.fixture(scope="module")
def task():
    return digits()


@pytest.fixture(scope="module")
def model(task):
    with seeded(0):
        return kit.train(DigitsLeNet(), task, Training(120, AdamW(3e-3)))


def layers(model: nn.Module) -> dict[str, nn.Module]:
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, BinaryConv2d | BinaryLinear)
    }


def test_signs_and_their_gradient():
    values = torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.5], requires_grad=True)
    signs = sign(values)
    signs.backward(torch.arange(1.0, 8.0))
    assert signs.tolist() == [-1, -1, -1, 1, 1, 1, 1]
    assert values.grad is not None and values.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]
    with torch.no_grad():
        assert torch.equal(sign(values), signs) and sign(values.half()).dtype == torch.float16


def test_a_layer_that_can_be_checked_by_hand():
    layer = nn.Linear(4, 2)
    layer.weight.data = torch.tensor([[1.0, -2.0, 3.0, -4.0], [0.5, 0.5, 0.5, 0.5]])
    layer.bias.data = torch.tensor([10.0, 20.0])
    x = torch.tensor([[3.0, 0.0, -5.0, -2.0]])
    for inputs, first, second in (
        (Real(), 2.5 * (3 - 0 - 5 + 2) + 10, 0.5 * -4 + 20),
        (Signs(), 2.5 * (1 - 1 - 1 + 1) + 10, 0.5 * 0 + 20),  # signs of x: 1 1 -1 -1
        (ScaledSigns(), 10.0, 20.0),
    ):
        made = BinaryLinear(layer, inputs, None)
        assert made(x).tolist() == [[first, second]]
        freeze(made)
        assert made(x).tolist() == [[first, second]]
        assert made.weight.tolist() == [[1, -1, 1, -1], [1, 1, 1, 1]] and made.scale is not None
        assert made.scale.tolist() == [2.5, 0.5] and not made.weight.requires_grad
        thaw(made)
        assert made(x).tolist() == [[first, second]] and made.weight.requires_grad


def test_the_scales_of_places_are_the_mean_magnitudes_of_what_they_see():
    layer = nn.Conv2d(2, 1, 3, padding=1, bias=False)
    made = BinaryConv2d(layer, ScaledSigns(), None)
    x = torch.randn(1, 2, 4, 5)
    plain = BinaryConv2d(layer, Signs(), None)(x)
    # The corner sees four places of nine, each the mean of two channels.
    expected = x[0, :, :2, :2].abs().mean(0).sum() / 9
    assert torch.allclose(made(x)[0, 0, 0, 0], plain[0, 0, 0, 0] * expected)


def test_gradients_are_those_of_the_paper():
    layer = nn.Linear(3, 1, bias=False)
    layer.weight.data = torch.tensor([[0.5, -1.0, 1.5]])
    made = BinaryLinear(layer, Real(), None)
    made(torch.tensor([[1.0, 2.0, 3.0]])).backward()
    # The product of signs is 1 - 2 + 3 = 2, the scale 1: signs × 2/3 + inputs × scale where the
    # weight is within -1..1.
    assert made.weight.grad is not None
    assert torch.allclose(made.weight.grad, torch.tensor([[2 / 3 + 1, -2 / 3 + 2, 2 / 3]]))


def test_first_and_last_stay_unless_they_are_named(task, model):
    assert list(layers(Binary(training=Training(0))(model, task))) == ["layers.3", "layers.7"]
    assert list(
        layers(Binary(training=Training(0), only=("layers.0", "layers.9"))(model, task))
    ) == ["layers.0", "layers.9"]
    assert list(layers(Binary(training=Training(0), keep=("layers.7",))(model, task))) == [
        "layers.3"
    ]
    with pytest.raises(ValueError, match=r"only= names 'layers.8'.*nearest are"):
        Binary(training=Training(0), only=("layers.8",))(model, task)


def test_norms_are_put_where_there_are_none(task):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Hardtanh(),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    binary = Binary(training=Training(0))(model, task)
    assert [part.norm is not None for part in layers(binary).values()] == [False, True, False]
    norm = layers(binary)["5"].norm
    assert (
        isinstance(norm, nn.BatchNorm2d)
        and int(norm.num_batches_tracked) > 5
        and float(norm.running_mean.abs().sum()) > 0
    )  # type: ignore[union-attr]
    assert norm.momentum == 0.1 and norm.training
    assert all(
        part.norm is None
        for part in layers(Binary(training=Training(0), inputs=Real())(model, task)).values()
    )


class Standardised(nn.Conv2d):
    def forward(self, input):
        return self._conv_forward(
            input, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias
        )


def network(*inner: nn.Module, channels: int = 4) -> nn.Sequential:
    ends = nn.Conv2d(1, 4, 3), nn.Linear(channels, 10)
    return nn.Sequential(ends[0], *inner, nn.AdaptiveAvgPool2d(1), nn.Flatten(), ends[1])


def test_a_norm_whose_output_is_changed_in_place_is_none(task):
    for activation, needs in (
        (nn.ReLU(), True),
        (nn.ReLU(inplace=True), True),
        (nn.Hardtanh(inplace=True), False),
    ):
        binary = Binary(training=Training(0))(
            network(nn.BatchNorm2d(4), activation, nn.Conv2d(4, 4, 3)), task
        )
        assert (layers(binary)["3"].norm is not None) is needs, activation

    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)

        def forward(self, x):
            y = self.norm(x)
            y += 100.0
            return self.conv(input=y)  # and by name

    assert layers(Binary(training=Training(0))(network(Added()), task))["1.conv"].norm is not None


def test_signs_of_inputs_after_signs_of_weights_have_their_norm(task):
    weights = Binary(training=Training(0), inputs=Real())(
        network(nn.ReLU(), nn.Conv2d(4, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 4, 1)), task
    )
    binary = Binary(training=Training(0), inputs=Signs())(weights, task)
    assert [part.norm is not None for part in layers(binary).values()] == [True, False]
    (norm,) = [part.norm for part in layers(binary).values() if part.norm is not None]
    assert int(norm.num_batches_tracked) > 5  # type: ignore[arg-type]
    again = Binary(training=Training(0), inputs=ScaledSigns())(binary, task)
    assert torch.equal(layers(again)["2"].norm.running_mean, norm.running_mean)  # type: ignore[union-attr, arg-type]


def test_padding_stays_what_it_was(task):
    model = network(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))
    (made,) = layers(Binary(training=Training(0), inputs=Real())(model, task)).values()
    x = torch.randn(2, 4, 5, 5)
    around = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    expected = nn.functional.conv2d(
        around, made.weight * made.scale.view(-1, 1, 1, 1), model[1].bias
    )  # type: ignore[operator, union-attr]
    assert torch.allclose(made(x), expected, atol=1e-6)


def test_a_small_scale_beside_a_large_one_stays():
    layer = nn.Linear(2, 2, bias=False)
    for small, is_half in ((2.0**-14, True), (1e-9, False)):
        layer.weight.data = torch.tensor([[1.0, -1.0], [small, small]])
        made = BinaryLinear(layer, Real(), None)
        freeze(made)
        assert made.scale is not None and made.scale.tolist() == [1, pytest.approx(small, rel=1e-6)]
        assert torch.equal(made.scale, made.scale.half().float()) is is_half


def test_layers_that_do_more_are_left_alone_by_name(task):
    hooked = nn.Conv2d(4, 4, 1)
    hooked.register_forward_hook(lambda module, args, output: output * 2)
    model = network(
        Standardised(4, 4, 3), hooked, nn.Flatten(2), nn.Conv1d(4, 4, 3), nn.Unflatten(2, (2, -1))
    )
    with pytest.warns(SkippedWarning) as said:
        assert not layers(Binary(training=Training(0), inputs=Real())(model, task))
    told = [str(one.message) for one in said]
    for place, words in enumerate(
        (
            "skipped 1: it is a Standardised",
            "skipped 2: .* without hooks",
            "skipped 4: it is a Conv1d",
        )
    ):
        assert re.search(words, told[place])
    with pytest.warns(SkippedWarning) as said:
        split = torch.randn(8, 3), torch.zeros(8).long()
        single = Supervised(train=split, validation=split, test=split)
        assert type(Binary(training=Training(0), only=("*",))(nn.Linear(3, 2), single)) is nn.Linear
    assert "it is the whole model: put it into another" in str(said[0].message)


def test_what_cannot_be_binary_is_left_alone_by_name(task):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 1),
        nn.Flatten(),
        nn.Linear(64, 64),
        nn.Linear(64, 64),
        nn.Linear(64, 10),
    )
    model[3].weight.requires_grad_(False)
    model[6].weight = model[5].weight
    with pytest.warns(SkippedWarning) as said:
        assert not layers(Binary(training=Training(0))(model, task))
    told = [str(one.message) for one in said]
    for words in (
        "skipped 1: it has 2 groups",
        "skipped 2: .*'reflect'",
        "3: its weight is frozen",
        "5: .* tied",
        "found no layer",
    ):
        assert any(re.search(words, one) for one in told), words
    pruned = Magnitude(density=0.5, training=Training(0), ramp=Ramp(0.5, rounds=1))(
        DigitsLeNet(), task
    )
    with pytest.warns(SkippedWarning) as said:
        Binary(training=Training(0))(pruned, task)
    assert "Binary skipped layers.3: it is pruned, and a binary weight is never zero" in str(
        said[0].message
    )


def test_rows_of_more_than_two_axes_want_a_norm():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 3)

        def forward(self, x):
            return self.c(self.b(self.a(x))).mean(1)

    x, y = torch.randn(20, 5, 8), torch.zeros(20).long()
    task = Supervised(train=(x, y), validation=(x, y), test=(x, y))
    with pytest.warns(SkippedWarning) as said:
        Binary(training=Training(0))(Rows(), task)
    assert "Binary skipped b: its input has 3 axes" in str(said[0].message)
    with warnings.catch_warnings():
        binary = Binary(training=Training(1, AdamW(2e-3)), inputs=Real())(Rows(), task)
    assert list(layers(binary)) == ["b"]


@pytest.mark.by_default("inputs2")
@pytest.mark.parametrize("inputs", [Real(), Signs(), ScaledSigns()])
def test_the_file_has_one_bit_a_weight_and_runs_on_the_kernels(task, model, tmp_path, inputs):
    with seeded(0):
        binary = Binary(inputs=inputs, training=Training(60, AdamW(2e-3)))(model, task)
    path = tmp_path / "binary.shoe"
    kit.write(binary, task, path)
    content = file.read(path)
    for one in content.packed:
        if one.levels == 2 and one.tensor.bits.size >= 10_000:
            assert one.model_bits <= one.tensor.bits.size
    assert sum(one.levels == 2 for one in content.packed) == 2
    assert path.stat().st_size < 20_000
    loaded = load(path, threads=1)
    images = task.validation[0]
    with torch.no_grad():
        expected = kit.clone(binary).eval()(images).numpy()
    assert (
        score(task, loaded) == pytest.approx(score(task, binary), abs=1 / 400)
        and score(task, binary) > 0.85
    )
    assert np.isclose(loaded(images), expected, atol=1e-3).all(1).mean() > 0.99
    # Whatever runs ONNX runs it, in floating point.
    (plain,) = session(content.graph, content.tensors, 1).run(
        None, {loaded.inputs[0].name: images.numpy()}
    )
    assert np.isclose(plain, expected, atol=1e-3).all(1).mean() > 0.95
    if signs.available():
        segments = loaded._session
        assert isinstance(segments, Segments) is not isinstance(inputs, Real)
        assert not isinstance(segments, Segments) or segments.kernels == 2


def test_training_helps_and_goes_on_with_a_binary_network(task, model):
    with seeded(0):
        untrained, trained = (
            Binary(training=Training(0))(model, task),
            Binary(training=Training(100, AdamW(2e-3)))(model, task),
        )
    assert score(task, trained) > score(task, untrained)
    with seeded(0):
        again = Binary(training=Training(5, AdamW(2e-3)))(trained, task)
    assert list(layers(again)) == list(layers(trained)) and score(task, again) > 0.85


@pytest.mark.parametrize(
    ("settings", "kind", "why"),
    [
        ({"inputs_first": 1.5}, ValueError, "a share of the steps, 0 to 1"),
        ({"inputs": "signs"}, TypeError, "'signs': give"),
        ({"inputs": Signs}, TypeError, "with their parentheses"),
    ],
)
def test_settings_out_of_range(settings, kind, why):
    with pytest.raises(kind, match=why):
        Binary(**settings)


@pytest.mark.slow
def test_the_recipe_small(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = (
        torch.from_numpy(rng.random((200, 1, 28, 28), np.float32)),
        torch.arange(200) % 10,
    )
    split = (images, labels)
    task = Supervised(train=split, validation=split, test=split, batch_size=50)
    small = Settings(
        width=16, training_passes=1, weights_passes=0.5, signs_passes=0.5, autocast=None
    )
    rows = xnor_convnet(task, tmp_path, settings=replace(small), say=lambda row: None)
    assert [row.name for row in rows] == ["fp32", "bwn", "xnor", "xnor_scaled"]
    assert all(row.bytes == (tmp_path / f"{row.name}.shoe").stat().st_size for row in rows)
    assert rows[1].bytes < rows[0].bytes / 3
