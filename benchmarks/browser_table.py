"""The tables of `web/README.md`, from the results of `browser.py`.

Times have columns for each processor seen.
"""

from __future__ import annotations

from rows import conditions_told, metrics, on, processors, results

PLACES = ("Chromium", "Node")


def browser() -> str:
    """A row per file: agreement, milliseconds beside onnxruntime-web, and bytes."""
    found = results("browser")
    seen = processors(found)
    heads = ["file", "difference", "bytes", "bytes as ONNX"]
    for one in seen:
        for place in PLACES:
            heads += [f"{place}, ms ({one})", f"onnxruntime-web ({one})", f"ratio ({one})"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for subject in dict.fromkeys(row["subject"] for row in found if row["subject"] != "code"):
        whole = metrics(found, subject)
        cells = [
            f"`{subject}`",
            f"{whole['largest difference']:.0e}",
            f"{whole['bytes, .shoe']:,.0f}",
            f"{whole['bytes, ONNX']:,.0f}",
        ]
        for one in seen:
            timed = metrics(on(one, found), subject)
            cells += [cell for place in PLACES for cell in _times(timed, place)]
        lines.append(f"| {' | '.join(cells)} |")
    code = metrics(found, "code")
    ours, theirs = (code[f"bytes of code, {one}"] for one in ("ours", "onnxruntime-web"))
    told = (
        f"A page fetches {ours:,.0f} bytes of code for `shoestring-web`, decoder and kernels "
        f"included, and {theirs:,.0f} for onnxruntime-web, after gzip."
    )
    return "\n".join(lines) + f"\n\n{told} {conditions_told(found)}"


def _times(timed: dict[str, float], place: str) -> list[str]:
    """The cells of a place; empty where nothing was timed on that processor."""
    if f"{place}, ratio" not in timed:
        return [""] * 3
    ours, theirs = timed[f"{place}, ours"], timed[f"{place}, onnxruntime-web"]
    return [f"{ours:.2g}", f"{theirs:.2g}", f"{timed[f'{place}, ratio']:.2f}"]
