"""Half the operations of ResNet-20 and MobileNet on CIFAR-10: `python benchmarks/structure.py`.

Starts from results/files/baseline_NAME.shoe. Channels against a network that is narrower everywhere
and trained from the start (ResNet-20 alone), and against Torch-Pruning with its defaults, at the
same share of operations, with as many passes, taught alike; one seed. Torch-Pruning is run where
TORCH_PRUNING_PYTHON names the Python of an environment that has it: see
`peers/torch_pruning_channels.py`. Latency is a ratio to the baseline's file in ONNX Runtime, one
thread, all files in alternation. Goes on where it was interrupted; some hours on one busy core.
--quick: 500 images, one pass.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch
from rows import FILES, RESULTS, Rows, start
from torch import nn

from shoestring.core import Task, Technique, prove, score
from shoestring.kit import AdamW, Supervised, Training, bake, clone, parameters_of, recover, restore
from shoestring.kit.weights.sizes import resize
from shoestring.meters import Operations
from shoestring.meters.latency import alternate, ratio
from shoestring.models import MobileNet, ResNet20
from shoestring.prune import Channels
from shoestring.recipes import channels_resnet
from shoestring.tasks import cifar10

SHARE, PASSES, RATE = 0.5, 3, 2e-3
NARROW = 11  # (11/16)² of the operations: 0.47
PEER = os.environ.get("TORCH_PRUNING_PYTHON")
SCRIPT = Path(__file__).parent / "peers" / "torch_pruning_channels.py"
NETWORKS: dict[str, type[nn.Module]] = {"resnet20": ResNet20, "mobilenet": MobileNet}


@dataclass(frozen=True, kw_only=True)
class Narrow(Technique):
    """ResNet-20 with fewer channels everywhere, trained from the start, taught by the model."""

    width: int
    training: Training

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A new network."""
        narrow = ResNet20(self.width).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return recover(
            narrow,
            task,
            model,
            replace(self.training, optimizer=replace(self.training.optimizer, weight_decay=0.05)),
        )


@dataclass(frozen=True, kw_only=True)
class TorchPruning(Technique):
    """What Torch-Pruning leaves, trained as ours is."""

    share: float
    training: Training

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy with fewer channels."""
        with tempfile.TemporaryDirectory() as folder:
            given, out = Path(folder) / "given.pt", Path(folder) / "out.pt"
            torch.save(bake(clone(model)).state_dict(), given)
            assert PEER
            arguments = [PEER, SCRIPT, type(model).__name__, given, out, str(self.share)]
            print(
                subprocess.run(
                    arguments, check=True, capture_output=True, text=True
                ).stdout.strip(),
                flush=True,
            )
            left = torch.load(out, weights_only=True)
        thin = clone(model)
        for weight in parameters_of(thin):
            if weight.raw.ndim:
                weight.raw.data = left[weight.name].contiguous(
                    memory_format=torch.channels_last
                    if weight.raw.ndim == 4
                    else torch.contiguous_format
                )
                resize(weight)
        return recover(thin, task, model, self.training)


def main() -> None:
    torch.set_num_threads(1)
    task = cifar10()
    rows = start("structure", f"{task.name}-cpu", __doc__ or "")
    if rows.quick:
        parts = {
            split: tuple(part[:500] for part in getattr(task, split))
            for split in ("train", "validation", "test")
        }
        task = replace(task, **parts)
    for name, network in NETWORKS.items():
        baseline = FILES / f"baseline_{name}.shoe"
        wanted = rows.only is None or name in rows.only or rows.only in name
        if wanted and baseline.exists():
            run(rows, name, network, task, baseline)
    rows.close()


def run(rows: Rows, name: str, network: type[nn.Module], task: Supervised, baseline: Path) -> None:
    """The rows of one network."""
    folder = RESULTS / "unfinished" / f"structure_{name}{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    whole = network().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    model = restore(baseline, whole)
    passes = 1 if rows.quick else PASSES
    training = Training(passes * -(-len(task.train[1]) // task.batch_size), AdamW(RATE))
    techniques: dict[str, Technique] = {"Channels": Channels(share=SHARE, training=training)}
    if PEER:
        techniques["Torch-Pruning"] = TorchPruning(share=SHARE, training=training)
    if network is ResNet20:
        techniques["narrow"] = Narrow(width=NARROW, training=training)
    full = Operations()(baseline, task.sealed()).operations
    assert full is not None
    if not rows.done(f"{name}, baseline", 0):
        rows.add(f"{name}, baseline", "validation score", 100 * score(task.sealed(), model), "%", 0)
        rows.add(f"{name}, baseline", "test score", 100 * prove(baseline, task), "%", 0)
        rows.add(f"{name}, baseline", "file", baseline.stat().st_size, "bytes", 0)
        rows.add(f"{name}, baseline", "operations", 1.0, "of the baseline's", 0)
        rows.add(f"{name}, baseline", "done", 1, "", 0)
    for what, technique in techniques.items():
        subject = f"{name}, {what}"
        if rows.done(subject, 0) or not rows.wanted(subject):
            continue
        began = perf_counter()
        thin = channels_resnet(model, task, folder / f"{what}.shoe", technique=technique)
        rows.add(subject, "validation score", 100 * thin.validation, "%", 0)
        rows.add(subject, "test score", 100 * thin.test, "%", 0)
        rows.add(subject, "file", thin.bytes, "bytes", 0)
        rows.add(subject, "operations", thin.operations / full, "of the baseline's", 0)
        rows.add(
            subject,
            "minutes",
            (perf_counter() - began) / 60,
            "minutes, other work on the machine",
            0,
        )
        rows.add(subject, "done", 1, "", 0)
    files = {what: path for what in techniques if (path := folder / f"{what}.shoe").exists()}
    timed = f"{name}, latency of {', '.join(files)}"
    if files and not rows.done(timed, None):
        time(rows, name, baseline, files, task)
        rows.add(timed, "done", 1, "")


def time(rows: Rows, name: str, baseline: Path, files: dict[str, Path], task: Supervised) -> None:
    """Rows of how long each file takes, all in alternation."""
    for batch in (1, 32):
        first, *others = alternate(
            [baseline, *files.values()], task.sealed(), batch=batch, seconds=20
        )
        for what, timing in zip(files, others, strict=True):
            rows.add_ratio(f"{name}, {what}", batch, ratio(timing, first))


if __name__ == "__main__":
    main()
