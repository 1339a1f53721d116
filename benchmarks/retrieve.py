"""How much of what matters is found in the part of a heap that is looked at: texts and frames.

python benchmarks/retrieve.py
"""

from __future__ import annotations

import gzip
import os
import re
import sys
from pathlib import Path
from statistics import fmean
from time import process_time

import numpy as np
import torch
from rows import Rows, start
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn

from shoestring.core import evaluating, seeded
from shoestring.kit import AdamW, Supervised, Training, train
from shoestring.label.retrieve import TextIndex, found_at, frame_index, least_for
from shoestring.tasks import mnist

SHARES = (0.05, 0.1, 0.2)
SEEDS = (0, 1, 2)
WANTED = 7
RECALLS = (0.9, 0.95, 0.99)
AROUND = (0, 2)


def main() -> None:
    rows = start("retrieve", "cranfield-mnist-cpu", __doc__ or "")
    if rows.wanted("Cranfield") and not rows.done("Cranfield", None):
        cranfield(rows)
        rows.add("Cranfield", "done", 1, "")
    for seed in SEEDS[:1] if rows.quick else SEEDS:
        if rows.wanted("clips") and not rows.done("clips", seed):
            clips(rows, seed)
            rows.add("clips", "done", 1, "", seed)
    rows.close()


# -- texts


def cranfield(rows: Rows) -> None:
    """1,400 abstracts, 225 queries: nDCG at 10, and the share found of what is relevant."""
    folder = Path(os.environ.get("SHOESTRING_DATA", "")) / "cranfield"
    if not folder.is_dir():
        sys.exit(f"{folder} is not there: set SHOESTRING_DATA to a folder that has it")

    def text(name: str) -> str:
        content = gzip.decompress((folder / f"{name}.gz").read_bytes()).decode("latin1")
        return content.replace("\r\n", "\n")

    documents = [
        part.replace("\n.W\n", "\n").split("\n.T\n")[-1].replace("\n", " ")
        for part in re.split(r"(?m)^\.I \d+\n", "\n" + text("cran.all.1400"))[1:]
    ]
    queries = [
        part.split(".W\n")[-1].strip() for part in re.split(r"(?m)^\.I \d+\n", text("cran.qry"))[1:]
    ]
    gains = np.zeros((len(queries), len(documents)))
    for line in text("cranqrel").strip().split("\n"):
        query, document, grade = (int(word) for word in line.split()[:3])
        # 1 is the best grade and 4 the least; a 5 (or -1) means that it is not relevant.
        gains[query - 1, document - 1] = 5 - grade if 1 <= grade <= 4 else 0
    began = process_time()
    index = TextIndex(documents)
    found = {"BM25": np.stack([index.scores(query) for query in queries])}
    rows.add("Cranfield", "BM25: seconds", process_time() - began, "s", timed=True)
    began = process_time()
    weights = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    known = weights.fit_transform(documents)
    found["TF-IDF"] = np.asarray((weights.transform(queries) @ known.T).todense())
    rows.add("Cranfield", "TF-IDF: seconds", process_time() - began, "s", timed=True)
    found["chance"] = np.zeros_like(gains)
    for name, scores in found.items():
        if name != "chance":
            value = fmean(ndcg(*both) for both in zip(scores, gains, strict=True))
            rows.add("Cranfield", f"{name}: nDCG@10", value, "")
        parts = [
            found_at(own, gain > 0, SHARES)
            for own, gain in zip(scores, gains, strict=True)
            if gain.any()
        ]
        for place, share in enumerate(SHARES):
            value = 100 * fmean(one[place] for one in parts)
            rows.add("Cranfield", f"{name}: found at {share:.0%}", value, "%")


def ndcg(scores: np.ndarray, gain: np.ndarray, depth: int = 10) -> float:
    """The discounted gain of the best ones, over that of the best order (Järvelin & Kekäläinen)."""
    discount = 1 / np.log2(np.arange(2, depth + 2))
    best = np.argsort(-scores, kind="stable")[:depth]
    ideal = np.sort(gain)[::-1][:depth] @ discount
    return float(gain[best] @ discount / ideal) if ideal else 0.0


# -- frames of made clips


def clips(rows: Rows, seed: int) -> None:
    """Clips made of MNIST's pictures: a small network on a quarter of the pixels tags the frames.

    The expensive network, on all pixels, then looks at what the small one found. Both are trained
    on the training split; the threshold is chosen on clips of validation pictures, and the clips
    that are counted are of test pictures.
    """
    task = mnist()
    with seeded(seed):
        small = train(_small(), _quarter(task), Training(200, AdamW(5e-3)), what="the small one")
        large = train(_large(), task.sealed(), Training(300, AdamW(2e-3)), what="the large one")
    names = tuple(map(str, range(10)))
    made = {split: _clip(task, split, seed) for split in ("validation", "test")}
    small.eval()
    large.eval()
    with torch.no_grad(), evaluating(small), evaluating(large):
        indices = {
            split: frame_index(lambda part: small(_shrunk(part)), frames, names)
            for split, (frames, _) in made.items()
        }
        frames, truth = made["test"]
        sure = frame_index(large, frames, names).probabilities.argmax(1) == WANTED
    rows.add("clips", "frames", len(truth), "", seed)
    rows.add("clips", "frames with the digit", float(truth.sum()), "", seed)
    rows.add("clips", "the expensive one on all: recall", 100 * _recall(sure, truth), "%", seed)
    rows.add(
        "clips", "the expensive one on all: precision", 100 * _precision(sure, truth), "%", seed
    )
    tagged = indices["test"].probabilities.argmax(1) == WANTED
    rows.add("clips", "the small one alone: recall", 100 * _recall(tagged, truth), "%", seed)
    rows.add("clips", "the small one alone: precision", 100 * _precision(tagged, truth), "%", seed)
    checked = indices["validation"]
    for recall in RECALLS:
        least = least_for(checked.scores(str(WANTED)), made["validation"][1], recall)
        for around in AROUND:
            segments = indices["test"].segments(str(WANTED), least, around=around)
            seen = indices["test"].looked_at(segments)
            name = f"chosen for {recall:.0%}, {around} frames around"
            rows.add("clips", f"{name}: calls saved", 100 * float(1 - seen.mean()), "%", seed)
            both = sure & seen
            rows.add("clips", f"{name}: recall", 100 * _recall(both, truth), "%", seed)
            rows.add("clips", f"{name}: precision", 100 * _precision(both, truth), "%", seed)


def _clip(task: Supervised, split: str, seed: int) -> tuple[Tensor, np.ndarray]:
    """Frames T×1×28×28 and whether the wanted digit is on each.

    A scene is a picture that is there for 5 to 20 frames, moved by up to two pixels, with noise;
    the wanted digit is on one scene of twenty.
    """
    images, labels = getattr(task, split)
    draw = np.random.default_rng(seed)
    digits = np.asarray(labels)
    own, others = np.flatnonzero(digits == WANTED), np.flatnonzero(digits != WANTED)
    frames, truth = [], []
    for _ in range(400):
        is_own = draw.random() < 0.05
        picture = images[int(draw.choice(own if is_own else others))]
        for _ in range(int(draw.integers(5, 21))):
            moved = torch.roll(picture, tuple(draw.integers(-2, 3, size=2).tolist()), (-2, -1))
            noise = torch.from_numpy(draw.normal(0, 0.25, size=picture.shape)).float()
            frames.append((moved + noise).clamp(0, 1))
            truth.append(is_own)
    return torch.stack(frames), np.array(truth)


def _shrunk(images: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(images, 4)


def _quarter(task: Supervised) -> Supervised:
    def smaller(split: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return _shrunk(split[0]), split[1]

    return Supervised(
        train=smaller(task.train),  # type: ignore[arg-type]
        validation=smaller(task.validation),  # type: ignore[arg-type]
        test=smaller(task.test),  # type: ignore[arg-type]
    )


def _small() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(49, 10))


def _large() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 49, 10)),
    )


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / truth.sum())


def _precision(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, found.sum()))


if __name__ == "__main__":
    main()
