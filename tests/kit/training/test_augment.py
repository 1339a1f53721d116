"""Images are moved and mirrored, each on its own, and otherwise stay as they are."""

import torch

from shoestring.kit import mirrored, moved


def test_images_are_moved_by_a_pixel_at_most_each_on_its_own():
    images = torch.zeros(200, 2, 5, 6)
    images[:, :, 2, 3] = 1
    torch.manual_seed(0)
    places = {tuple(one[0].nonzero()[0].tolist()) for one in moved(images)}
    assert places == {(r, c) for r in (1, 2, 3) for c in (2, 3, 4)}
    assert moved(images).shape == images.shape


def test_further():
    images = torch.zeros(400, 1, 9, 9)
    images[:, :, 4, 4] = 1
    torch.manual_seed(0)
    places = {tuple(one[0].nonzero()[0].tolist()) for one in moved(images, 2)}
    assert places == {(r, c) for r in range(2, 7) for c in range(2, 7)}


def test_half_of_the_images_are_mirrored():
    images = torch.arange(6.0).view(1, 1, 2, 3).repeat(400, 1, 1, 1)
    torch.manual_seed(0)
    found = mirrored(images)
    flipped = (found[:, 0, 0, 0] == 2).sum()
    assert 150 < flipped < 250
    for one in found:
        assert torch.equal(one, images[0]) or torch.equal(one, images[0].flip(-1))
