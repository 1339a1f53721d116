"""Intel Neural Compressor's static quantisation of a torch program (version 3 has no ONNX), run by
inductor.

pip install torch==2.13.0 'neural-compressor[pt]==3.10' torchao==0.18.0 accelerate
onnxruntime==1.31.1
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from interface import main
from neural_compressor.torch.quantization import StaticQuantConfig, convert, prepare  # pyright: ignore
from torch_program import batches, module, opened, save, varying


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """model.pt2, with weights of 8 bits."""
    model: Any = module(given)
    # What its own `export` adds to a program, which it cannot be given: it wants a module that is
    # not exported yet.
    model._exported, model.dynamic_shapes = True, varying(given)
    prepared = prepare(model, StaticQuantConfig())
    with torch.no_grad():
        for batch in batches(given):
            prepared(*batch)
    save(convert(prepared), given, out)
    return "StaticQuantConfig, its defaults; torch.compile with freezing"


if __name__ == "__main__":
    main(quantise, ("torch", "neural-compressor"), opened)
