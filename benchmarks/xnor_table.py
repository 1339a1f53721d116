"""The tables of `docs/binary.md`, from the results of `xnor.py`.

Times have columns for each processor seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import mean

from rows import conditions_told, metrics, on, processors, results

NAMES = {
    "fp32": "full precision",
    "bwn": "binary weights, `Real()`",
    "xnor": "binary weights and inputs, `Signs()`",
    "xnor_scaled": "the same, `ScaledSigns()`",
    "xnor, no kernels": "`Signs()` without our kernels",
}


def kernels() -> str:
    """A row per product and convolution."""
    found = results("xnor")
    seen = processors(found)
    columns = ("bits, ms", "torch, ms", "torch takes", "ONNX Runtime, ms", "ONNX Runtime takes")
    lines = _head([""], columns, seen)
    subjects = {
        row["subject"] for row in found if row["subject"].startswith(("product", "convolution"))
    }
    for subject in sorted(
        subjects,
        key=lambda one: (one.startswith("convolution"), int(re.findall(r"\d+", one)[0]), one),
    ):
        cells = [cell for one in seen for cell in _kernel(metrics(on(one, found), subject))]
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _kernel(one: dict[str, float]) -> list[str]:
    """The cells of a product or convolution on a processor; empty where it was not timed."""
    if "bits, time" not in one:
        return [""] * 5
    torch = min(
        (name for name in one if name.startswith("torch") and name.endswith(", time")),
        key=lambda name: one[name],
    )
    cells = [f"{one['bits, time']:.3g}"]
    for name in (torch.removesuffix(", time"), "onnxruntime float32"):
        cells += [f"{one[f'{name}, time']:,.4g}", _ratio(one, f"{name} over bits")]
    return cells


def _head(titles: Sequence[str], columns: Sequence[str], seen: Sequence[str]) -> list[str]:
    """The two lines at the top of a table that has the columns once for each processor."""
    heads = [*titles, *(f"{column} ({one})" for one in seen for column in columns)]
    return [f"| {' | '.join(heads)} |".replace("|  |", "| |"), f"|{' --- |' * len(heads)}"]


def recipe() -> str:
    """A row per network of the recipe: the means of the seeds, and each seed's errors."""
    found = results("xnor")
    lines = ["| | file, bytes | validation error % | test error % |", "| --- | --- | --- | --- |"]
    for name in ("fp32", "bwn", "xnor", "xnor_scaled"):
        chosen = sorted(
            (row for row in found if row["subject"] == name), key=lambda row: row["seed"]
        )
        sizes, *errors = (
            [row["value"] for row in chosen if row["metric"] == metric]
            for metric in ("size", "validation error", "test error")
        )
        told = (f"{mean(one):.2f} ({', '.join(f'{n:.2f}' for n in one)})" for one in errors)
        lines.append(f"| {NAMES[name]} | {mean(sizes):,.0f} | {' | '.join(told)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def latency() -> str:
    """A row per file and batch."""
    found = results("xnor")
    seen = processors(found)
    lines = _head(["", ""], ("ms a run", "full precision takes"), seen)
    for subject in dict.fromkeys(
        row["subject"] for row in found if row["subject"].startswith("latency")
    ):
        timed = [metrics(on(one, found), subject) for one in seen]
        for name, title in NAMES.items():
            cells: list[str] = []
            for one in timed:
                there = f"{name}, time" in one
                cells += [
                    f"{one[f'{name}, time']:.3g}" if there else "",
                    _ratio(one, f"fp32 over {name}") if there and name != "fp32" else "",
                ]
            if any(cells):
                what = subject.removeprefix("latency").strip(" ,")
                lines.append(f"| {what} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _ratio(one: dict[str, float], metric: str) -> str:
    """The median and its quartiles."""
    return (
        f"{one[f'{metric}, median']:.3g}× ({one[f'{metric}, low']:.3g} to "
        f"{one[f'{metric}, high']:.3g})"
    )
