"""The tables of `docs/binary.md`, from the results of `xnor.py`."""

from __future__ import annotations

import re
from statistics import mean, median

from rows import results

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
    lines = [
        "| | bits, ms | torch, ms | torch takes | ONNX Runtime, ms | ONNX Runtime takes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    subjects = {
        row["subject"] for row in found if row["subject"].startswith(("product", "convolution"))
    }
    for subject in sorted(
        subjects,
        key=lambda one: (one.startswith("convolution"), int(re.findall(r"\d+", one)[0]), one),
    ):
        one = _metrics(found, subject)
        torch = min(
            (name for name in one if name.startswith("torch") and name.endswith(", time")),
            key=lambda name: one[name],
        )
        cells = [f"{one['bits, time']:.3g}"]
        for name in (torch.removesuffix(", time"), "onnxruntime float32"):
            cells += [f"{one[f'{name}, time']:,.4g}", _ratio(one, f"{name} over bits")]
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."


def recipe() -> str:
    """A row per network of the recipe, with every seed."""
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
        lines.append(f"| {NAMES[name]} | {median(sizes):,.0f} | {' | '.join(told)} |")
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."


def latency() -> str:
    """A row per file and batch."""
    found = results("xnor")
    lines = ["| | | ms a run | full precision takes |", "| --- | --- | --- | --- |"]
    for subject in dict.fromkeys(
        row["subject"] for row in found if row["subject"].startswith("latency")
    ):
        one = _metrics(found, subject)
        for name, title in NAMES.items():
            if f"{name}, time" in one:
                told = "" if name == "fp32" else _ratio(one, f"fp32 over {name}")
                lines.append(
                    f"| {subject.removeprefix('latency').strip(' ,')} | {title} | "
                    f"{one[f'{name}, time']:.3g} | {told} |"
                )
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."


def _metrics(found: list[dict], subject: str) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in found if row["subject"] == subject}


def _ratio(one: dict[str, float], metric: str) -> str:
    """The median and its quartiles."""
    return (
        f"{one[f'{metric}, median']:.3g}× ({one[f'{metric}, low']:.3g} to "
        f"{one[f'{metric}, high']:.3g})"
    )
