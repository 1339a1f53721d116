"""A new network of a family in a model's place: what fits, what is refused, what is learned."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from zoo import images

from shoestring.core import score, seeded
from shoestring.distill import Replace, SoftTargets
from shoestring.kit import AdamW, ShortfallWarning, Training, load_into, save
from shoestring.models import DigitsLeNet, Images, SmallVGG, VGGFamily
from shoestring.tasks import digits

DIGITS = VGGFamily(images=Images(mean=(0.3,), deviation=(0.4,), side=8, classes=10))


def narrow(width: float) -> nn.Module:
    """A perceptron for digits."""
    units = round(32 * width)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))


def two_numbers(width: float, other: float) -> nn.Module:
    """Not a family: it takes two numbers."""
    return narrow(width * other)


def test_a_new_network_that_is_larger_is_named_with_both_numbers():
    # 2 rows, 64 to 320 to 10: 2 * 2 * 74 * 320 operations, and 4 * 75 * 320 + 40 bytes; or of 304
    same = r"Sequential with 94,720 operations .* for 89,984 and 96,040 bytes .* for 91,240 of the"
    with pytest.warns(ShortfallWarning, match=f"{same} model: give a smaller width than 10"):
        Replace(by=narrow, width=10.0, training=Training(0))(narrow(9.5), digits())
    Replace(by=narrow, width=9.5, training=Training(0))(narrow(9.5), digits())  # no word of it


def test_a_side_for_which_another_network_is_made_is_refused():
    far = VGGFamily(images=Images(mean=(0.3,), deviation=(0.4,), side=32, classes=10))
    with pytest.raises(ValueError, match=r"of side 32, .* \[2, 1, 8, 8\]: give Images\(side=8\)"):
        Replace(by=far, width=0.125)(DigitsLeNet(), digits())


def test_a_new_network_learns_from_the_model():
    task = digits().sealed()
    with seeded(0):
        technique = Replace(by=DIGITS, width=0.125, training=Training(40, AdamW(5e-3)))
        new = technique(DigitsLeNet(), task)
    assert isinstance(new, SmallVGG) and score(task, new) > 0.4


def test_its_file_is_loaded_into_the_network_that_the_family_makes(tmp_path):
    task = digits().sealed()
    new = Replace(by=narrow, width=0.5, training=Training(2))(DigitsLeNet(), task)
    save(new, task, tmp_path / "new.shoe")
    again = load_into(tmp_path / "new.shoe", narrow(0.5))
    inputs = task.example()[0][0].tensor  # type: ignore[union-attr]
    torch.testing.assert_close(again.eval()(inputs), new.eval()(inputs), rtol=1e-4, atol=1e-5)


def test_a_function_of_ones_own_is_a_family_and_its_name_is_in_the_repr():
    technique = Replace(by=narrow, width=0.5, training=Training(0))
    made = technique(DigitsLeNet(), digits())
    assert made[1].out_features == 16  # type: ignore[union-attr]
    assert repr(technique).startswith(
        f"Replace(width=0.5, by={__name__}.narrow, targets=SoftTargets("
    )
    pressed = [Replace.strength.set(technique, press).width for press in (0.0, 0.5, 1.0)]
    assert pressed == [2.0, 0.4472, 0.1]


def test_the_new_network_is_laid_out_as_the_model_is_and_keeps_its_mode():
    model = DigitsLeNet().to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    last = torch.channels_last
    new = Replace(by=DIGITS, width=0.25, training=Training(0))(model, digits())
    deep = [one for one in new.parameters() if one.ndim == 4 and one.shape[1] > 1]
    assert deep and all(one.is_contiguous(memory_format=last) for one in deep)
    assert not new.training and all(one.dtype == torch.float32 for one in new.parameters())


@pytest.mark.parametrize("width", [0.0, -1.0, float("inf"), float("nan"), "a"])
def test_a_width_that_is_none_is_refused(width: float):
    with pytest.raises(ValueError, match=r"the width is .*: give a number above 0"):
        Replace(by=narrow, width=width)


def test_what_is_no_family_is_refused():
    with pytest.raises(TypeError, match="by is 3: give a function"):
        Replace(by=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"by is a module \(SmallVGG\), which has one width"):
        Replace(by=SmallVGG(4))
    with pytest.raises(TypeError, match="whose name differs from process to process"):
        Replace(by=partial(narrow))
    with pytest.raises(TypeError, match=r"returned float for the width 0\.5"):
        Replace(by=abs, width=0.5)(DigitsLeNet(), digits())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"the layer torch\.nn\.Linear, which no width alone makes"):
        Replace(by=nn.Linear)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"two_numbers\(0\.5\) made no network .*'other'.*a width alone"
    ):
        Replace(by=two_numbers, width=0.5)(DigitsLeNet(), digits())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"<lambda>, a name that other functions have too"):
        Replace(by=lambda width: SmallVGG(round(4 * width)))

    def inside(width: float) -> nn.Module:
        return SmallVGG(round(4 * width))

    with pytest.raises(TypeError, match=r"<locals>\.inside, a name that other functions have"):
        Replace(by=inside)


def test_a_network_for_other_inputs_or_classes_is_refused_by_name():
    model, task = DigitsLeNet(), digits()
    colours = Images(mean=(0.5,) * 3, deviation=(0.2,) * 3, side=8, classes=10)
    with pytest.raises(ValueError, match="SmallVGG cannot read what the model reads"):
        Replace(by=VGGFamily(images=colours))(model, task)
    others = Images(mean=(0.3,), deviation=(0.4,), side=8, classes=7)
    with pytest.raises(ValueError, match=r"answers the shape \[\d+, 7\], and the model the shape"):
        Replace(by=VGGFamily(images=others))(model, task)


def test_numbers_of_the_targets_are_those_of_a_student():
    task = images((1, 8, 8))
    technique = Replace(by=narrow, width=0.1, targets=SoftTargets(weight=2.0), training=Training(1))
    with pytest.raises(ValueError, match=r"a weight of 2\.0"):
        technique(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task)
