"""torchao's PT2E static quantisation for x86, run by inductor.

pip install torch==2.13.0 torchao==0.18.0 onnxruntime==1.31.1
"""

from __future__ import annotations

from pathlib import Path

import torch
from interface import main
from torch_program import batches, module, opened, save
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e  # pyright: ignore
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86  # pyright: ignore


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """model.pt2, with weights of 8 bits."""
    quantizer = x86.X86InductorQuantizer().set_global(
        x86.get_default_x86_inductor_quantization_config()
    )
    prepared = prepare_pt2e(module(given), quantizer)
    with torch.no_grad():
        for batch in batches(given):
            prepared(*batch)
    save(convert_pt2e(prepared), given, out)
    return "X86InductorQuantizer, its default configuration; torch.compile with freezing"


if __name__ == "__main__":
    main(quantise, ("torch", "torchao"), opened)
