"""The largest difference between a C file, compiled for this computer, and ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.firmware import measure, places, program_for
from shoestring.artifact.plain_c.layers import Product
from shoestring.artifact.plain_c.on_core import as_bytes
from shoestring.artifact.plain_c.recording import NUMBERS, Recorded
from shoestring.artifact.plain_c.sign_layers import SignProduct
from shoestring.artifact.scratch import scratch_folder

_PRODUCTS = 500_000_000
"""How many products a comparison takes at most, about a second; one case is always compared."""
_NEAR = 0.05
"""Of the largest output: a difference below it may be a step of a grid or rounding."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What the C answers, beside what the file answers.

    `cases`: how many inputs were compared.
    `apart`: the largest difference of a number; infinity where one is NaN and the other is not.
    `largest`: the largest magnitude among the answers of the file.
    """

    cases: int
    apart: float
    largest: float

    def said(self) -> str:
        """A sentence for readers."""
        inputs = f"{self.cases} input{'s' * (self.cases > 1)}"
        if self.apart == 0:
            return f"Compared with ONNX Runtime on {inputs}: the same, bit for bit."
        warning = ""
        if not self.apart <= _NEAR * max(self.largest, 1e-30):
            warning = " WARNING: that is no rounding; do not trust this C for such inputs."
        return (
            f"Compared with ONNX Runtime on {inputs}: the largest difference is {self.apart:.2g}, "
            f"where the largest output is {self.largest:.3g}.{warning}"
        )


def compared(made: CFile, cases: Recorded) -> Compared:
    """Compile the C for this computer, run it on recorded inputs, and compare.

    Networks of many products are compared on fewer inputs, the first ones.
    Raises ToolError where there is no compiler.
    """
    sums = (one for one in made.network.layers if isinstance(one, Product | SignProduct))
    products = max(sum(one.multiplications for one in sums), 1)
    count = min(len(cases.inputs), max(_PRODUCTS // products, 1))
    with scratch_folder() as folder:
        path = folder / f"{made.name}.c"
        path.write_text(made.text, encoding="utf-8")
        if made.header is not None:
            path.with_suffix(".h").write_text(made.header, encoding="utf-8")
        program = program_for(made, path)
        raw = measure(program, "host", as_bytes(made, program, cases, count)).raw
    assert raw is not None
    apart = largest = 0.0
    for row, answers in zip(raw, cases.outputs, strict=False):
        for at, answer, port in zip(
            places(program.outputs), answers, made.emitted.outputs, strict=False
        ):
            kind = np.dtype(NUMBERS[port.kind])
            got = row[at : at + port.count * kind.itemsize].copy().view(kind).astype(np.float64)
            wanted = np.asarray(answer).reshape(-1).astype(np.float64)
            apart = max(apart, _apart(got, wanted))
            largest = max(largest, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
    return Compared(cases=count, apart=apart, largest=largest)


def _apart(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference; numbers that are equal, or both NaN, are not apart."""
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    difference = np.where(same, 0.0, np.abs(np.where(same, 0.0, got) - np.where(same, 0.0, wanted)))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0))
