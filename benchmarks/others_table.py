"""The table of `docs/without-labels.md` on networks of others, from the results of `others.py`."""

from __future__ import annotations

from rows import conditions_told, on, processors, results

TITLES = {
    "crepe-tiny": "CREPE tiny: pitch within 50 cents",
    "rnet": "RNet: the same face, or none",
    "onet": "ONet: the same face and points, or none",
    "silero-vad": "Silero VAD: speech or not, streaming",
}


def others() -> str:
    """A table per network, a row per file; each processor seen has tables of its own, since a
    search finds other files on it.
    """
    found = results("others")
    return "\n\n".join(_on(one, on(one, found)) for one in processors(found))


def _on(processor: str, found: list[dict]) -> str:
    """The tables of one processor."""
    parts: list[str] = [f"Timed and searched on **{processor}**:"]
    for network, title in TITLES.items():
        own = [row for row in found if row["subject"].startswith(f"{network} / ")]
        if not own:
            continue
        lines = [
            f"**{title}**",
            "",
            "| | bytes | times smaller | agreement (test) | time to what came in | minutes | by |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for subject in dict.fromkeys(row["subject"] for row in own):
            one = {row["metric"]: row["value"] for row in own if row["subject"] == subject}
            tool = subject.split(" / ", 1)[1]
            if failed := next((name for name in one if name.startswith("failed: ")), ""):
                lines.append(f"| {tool} | {failed.removeprefix('failed: ')} | | | | | |")
                continue
            ratio = "milliseconds ratio"
            by = next(
                (
                    name.removeprefix("technique: ")
                    for name in one
                    if name.startswith("technique: ")
                ),
                "",
            )
            cells = [
                f"{one['file']:,.0f}",
                f"{one['parameters'] / one['file']:.1f}",
                f"{one['test agreement']:.3f}",
                f"{one[ratio]:.2f} ({one[f'{ratio}, low']:.2f} to {one[f'{ratio}, high']:.2f})",
                f"{one['minutes']:.1f}" if tool != "packed" else "",
                by,
            ]
            lines.append(f"| {f'`{tool}`' if '<=' in tool else tool} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + f"\n\n{conditions_told(found)}"
