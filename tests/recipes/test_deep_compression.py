"""The recipe end to end with little training, and the 2015 layout by hand."""

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from shoestring.kit import Supervised, parameters_of
from shoestring.models import LeNet300
from shoestring.recipes import deep_compression, digits_lenet
from shoestring.recipes.deep_compression_lenets import Settings, layout_2015
from shoestring.tasks import DataError, digits, mnist


def test_the_layout_of_2015_by_hand():
    model = nn.Linear(100, 1)
    with torch.no_grad():
        model.weight.zero_()
        model.weight[0, [3, 40, 99]] = torch.tensor([1.0, 2.0, 1.0])
    (weight,) = [m for m in parameters_of(model) if m.name == "weight"]
    weight.share(torch.tensor([1.0, 2.0]), (weight.value() == 2).int())
    weight.prune(weight.raw != 0)
    # Gaps 3, 36, 58: the last two need a filler each; 5 + 1 bits for each of 5 entries, 2 levels
    # and a bias in full.
    assert layout_2015(model) == (5 * 6 + 2 * 32 + 32 + 7) // 8


@pytest.fixture(scope="module")
def task():
    try:
        return mnist()
    except DataError as error:
        pytest.skip(f"needs MNIST: {error}")


@pytest.mark.slow
def test_the_stages_shrink_on_digits(tmp_path):
    """Eight by eight pixels, in the middle of an image of the size that the network takes."""
    small = digits()
    splits = [
        (pad(images, (10, 10, 10, 10)), labels)
        for images, labels in (small.train, small.validation, small.test)
    ]
    task = Supervised(train=splits[0], validation=splits[1], test=splits[2])
    settings = Settings(density=0.1, training_passes=3, pruning_passes=1, sharing_passes=1)
    stages = deep_compression(LeNet300, task, tmp_path, settings=settings)
    assert [stage.name for stage in stages] == ["uncompressed", "pruned", "shared", "coded"]
    assert stages[0].bytes > stages[1].bytes > stages[2].bytes > stages[3].bytes
    assert stages[3].bytes == (tmp_path / "coded.shoe").stat().st_size


@pytest.mark.slow
def test_the_stages_shrink_and_the_files_stay(task, tmp_path):
    said = []
    settings = Settings(density=0.1, training_passes=1, pruning_passes=1, sharing_passes=1)
    stages = deep_compression(LeNet300, task, tmp_path, settings=settings, say=said.append)
    assert [stage.name for stage in stages] == ["uncompressed", "pruned", "shared", "coded"]
    assert said == stages
    assert stages[0].bytes == 4 * 266_610
    assert stages[0].bytes > stages[1].bytes > stages[2].bytes > stages[3].bytes
    assert stages[3].bytes == (tmp_path / "coded.shoe").stat().st_size < stages[0].bytes / 25
    assert stages[3].test > 0.93


@pytest.mark.slow
def test_the_embedded_default_is_a_sensible_network():
    model, task = digits_lenet(0)
    assert task.score(model.eval(), "validation") > 0.96
