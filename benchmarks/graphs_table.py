"""The table of `docs/onnx.md` on the files of others, from the results of `graphs.py`."""

from __future__ import annotations

from rows import conditions_told, results


def graphs() -> str:
    """A row per file: bytes, differences to ONNX Runtime, and 8 bits or what is in the way."""
    found = results("graphs")
    lines = [
        "| file | before | packed | difference | `from_onnx`: difference (largest answer) | in 8 "
        "bits | agreement |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for subject in dict.fromkeys(row["subject"] for row in found):
        one = {row["metric"]: row["value"] for row in found if row["subject"] == subject}
        failed = {
            name.split(" failed: ")[0]: name.split(" failed: ")[1]
            for name in one
            if " failed: " in name
        }
        module = "as a module, difference"
        cells = [
            f"{one['bytes before']:,.0f}",
            f"{one['bytes packed']:,.0f}",
            f"{one['packed, difference']:.1g}",
            f"{one[module]:.1g} ({one['largest answer']:.3g})"
            if module in one
            else failed["as a module"],
            f"{one['bytes in 8 bits']:,.0f}"
            if "bytes in 8 bits" in one
            else failed["8 bits"].split(";")[0],
            f"{one['8 bits, agreement']:.3f}" if "8 bits, agreement" in one else "",
        ]
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
