"""Small convolutional networks that make pictures, and that tell made ones from real ones."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class DCGANGenerator(nn.Module):
    """From noise N×noise, and classes N where it takes them, to pictures N×channels×side×side.

    Pixels are in 0..1. A linear layer and transposed convolutions that double the side, with batch
    norm and ReLU between them. Told a class, each batch norm has a scale and a shift of that class;
    the noise alone goes into the first layer. Class and noise side by side there would let the
    generator know its pictures by the class and forget the noise.

    `side`: of the pictures, a multiple of 4 and 8 or more; from 32 on a multiple of 8.
    `channels`: of the pictures, 1 or more.
    `width`: channels before the last layer, 1 or more; twice as many before each layer before it.
    `noise`: numbers of which a picture is made, 1 or more.
    `classes`: how many classes it is told of, as a second argument; None: it makes what it likes.
    Source: Radford, Metz & Chintala 2016, section 3; classes: Dumoulin et al. 2017, section 2.2, as
    Miyato & Koyama 2018 use it.
    Differs: fewer and narrower layers, pixels in 0..1 by a sigmoid, and torch's initial weights.
    Raises ValueError for a side that cannot be halved as often.
    """

    def __init__(
        self,
        *,
        side: int = 28,
        channels: int = 1,
        width: int = 32,
        noise: int = 64,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        halvings = _halvings(side)
        self.first = side >> halvings, width << (halvings - 1)
        self.told = classes is not None
        self.project = nn.Linear(noise, self.first[1] * self.first[0] ** 2)

        def norm(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels) if classes is None else _ByClass(channels, classes)

        self.layers = _grown(channels, width, halvings, norm=norm)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.told and labels is None:
            raise ValueError("this generator is told what to make: call it with noise, labels")
        side, width = self.first
        pictures = self.project(noise).unflatten(1, (width, side, side))
        for layer in self.layers:
            told = isinstance(layer, _ByClass)
            pictures = layer(pictures, labels) if told else layer(pictures)
        return pictures


class _ByClass(nn.Module):
    """Batch norm whose scale and shift depend on the class (conditional batch norm)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        scale, shift = (each(labels)[:, :, None, None] for each in (self.scale, self.shift))
        return self.norm(maps) * scale + shift


class DCGANDiscriminator(nn.Module):
    """From pictures N×channels×side×side, and classes N where it takes them, to scores N.

    A higher score means more real. Strided convolutions with leaky ReLU, without batch norm, which
    penalties on single pictures forbid.

    `side`, `channels`, `width`: as of the generator; `width` is that after the first layer.
    `classes`: how many classes it is told of, as a second argument; None: of none.
    Source: Radford, Metz & Chintala 2016, section 3; classes: Miyato & Koyama 2018 (projection).
    Differs: without batch norm; fewer and narrower layers.
    Raises ValueError for a side that cannot be halved as often.
    """

    def __init__(
        self, *, side: int = 28, channels: int = 1, width: int = 32, classes: int | None = None
    ) -> None:
        super().__init__()
        self.layers = _shrunk(channels, width, _halvings(side))
        self.features = (width << (_halvings(side) - 1)) * (side >> _halvings(side)) ** 2
        self.head = nn.Linear(self.features, 1)
        self.names = None if classes is None else nn.Embedding(classes, self.features)
        if self.names is not None:  # spectral norm takes what is left of it; a factor would stay
            nn.init.normal_(self.names.weight, std=self.features**-0.5)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        seen = self.layers(pictures)
        scores = self.head(seen).squeeze(1)
        if self.names is None:
            return scores
        if labels is None:
            raise ValueError("this discriminator is told what it sees: call it with labels too")
        return scores + (self.names(labels) * seen).sum(1)


class DCGANAutoencoder(nn.Module):
    """From pictures N×channels×side×side to how badly it knows them again, N: a mean difference.

    A lower number means more real: the discriminator of BEGAN.

    `side`, `channels`, `width`: as of the generator.
    `code`: numbers that a picture goes through, 1 or more.
    Source: Berthelot, Schumm & Metz 2017, section 3.5.
    Differs: strided convolutions instead of subsampling, and a sigmoid at the end.
    Raises ValueError for a side that cannot be halved as often.
    """

    def __init__(
        self, *, side: int = 28, channels: int = 1, width: int = 32, code: int = 64
    ) -> None:
        super().__init__()
        halvings = _halvings(side)
        last, top = side >> halvings, width << (halvings - 1)
        self.encoder = nn.Sequential(
            _shrunk(channels, width, halvings), nn.Linear(top * last**2, code)
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, top * last**2),
            nn.Unflatten(1, (top, last, last)),
            _grown(channels, width, halvings, norm=lambda _: nn.Identity()),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures - self.decoder(self.encoder(pictures))).abs().flatten(1).mean(1)


def _halvings(side: int) -> int:
    """How often a side is halved: to 2 at least, and to 7 or 4 of the usual ones."""
    halvings = 3 if side >= 32 else 2
    if side < 8 or side % (1 << halvings):
        raise ValueError(
            f"pictures of {side}×{side}: give a side of 8 or more that is a multiple of "
            f"{1 << halvings}, or pad the pictures"
        )
    return halvings


def _grown(
    channels: int, width: int, halvings: int, *, norm: Callable[[int], nn.Module]
) -> nn.Sequential:
    """Layers that double the side so often; each halves the channels, and the last gives pixels."""
    layers: list[nn.Module] = []
    for number in reversed(range(halvings)):
        layers += [norm(width << number), nn.ReLU()]
        given = width << (number - 1) if number else channels
        layers.append(
            nn.ConvTranspose2d(width << number, given, 4, stride=2, padding=1, bias=not number)
        )
    return nn.Sequential(*layers, nn.Sigmoid())


def _shrunk(channels: int, width: int, halvings: int) -> nn.Sequential:
    """Layers that halve the side so often, and put what is left in a row."""
    layers: list[nn.Module] = []
    for number in range(halvings):
        taken = width << (number - 1) if number else channels
        layers += [
            nn.Conv2d(taken, width << number, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Flatten())
