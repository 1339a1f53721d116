"""Torch-Pruning with its defaults, at the share of operations that is asked for.

Run by `structure.py`, in an environment of its own.
    PYTHON torch_pruning_channels.py CLASS GIVEN.pt OUT.pt SHARE

CLASS is a network of shoestring.models; GIVEN.pt and OUT.pt hold state dicts. The ratio is the
smallest (in hundredths) at which the operations that it counts fall to the share. `pip install
torch-pruning==1.6.1` beside torch, numpy, onnx, onnxruntime and shoestring.
"""

from __future__ import annotations

import copy
import sys

import torch
import torch_pruning  # pyright: ignore[reportMissingImports]

from shoestring import models


def main() -> None:
    name, given, out, share = sys.argv[1:]
    whole = getattr(models, name)().eval()
    whole.load_state_dict(torch.load(given, weights_only=True))
    example = torch.rand(2, 3, 32, 32)
    full, _ = torch_pruning.utils.count_ops_and_params(whole, example)
    for hundredths in range(1, 100):
        model = copy.deepcopy(whole)
        pruner = torch_pruning.pruner.MagnitudePruner(
            model,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(),
            pruning_ratio=hundredths / 100,
            ignored_layers=[model.last],
        )
        pruner.step()
        operations, _ = torch_pruning.utils.count_ops_and_params(model, example)
        if operations <= float(share) * full:
            model(example)
            torch.save(model.state_dict(), out)
            print(f"ratio {hundredths / 100}, operations {operations / full:.3f}")
            return
    raise SystemExit(f"no ratio leaves {share} of the operations")


if __name__ == "__main__":
    main()
