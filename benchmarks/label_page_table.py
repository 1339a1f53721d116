"""The table of the labelling page in `docs/collect.md`, from what `label_page.py` wrote."""

from __future__ import annotations

from rows import conditions_told, metrics, on, processors, results

KILLED, LEARNING = "two sessions, killed", "one session, a model learns"
ALONE, WAITING = "one session", "a request for each label"


def label_page() -> str:
    """What was counted, and for each processor what was timed."""
    found = results("label_page")
    counted = metrics(found, KILLED)
    lines = [
        "| two sessions at once, the server killed | |",
        "| --- | --- |",
        f"| labels given by keys | {counted['labels given']:,.0f} |",
        f"| times that the server was killed (-9) | {counted['kills']:.0f} |",
        f"| rows in the file | {counted['rows']:,.0f} |",
        f"| examples with two rows | {counted['examples with two rows']:.0f} |",
        f"| rows with another class than was given | {counted['rows with another class']:.0f} |",
    ]
    for processor in processors(found):
        rows = on(processor, found)
        killed, learning, alone, waiting = (
            metrics(rows, one) for one in (KILLED, LEARNING, ALONE, WAITING)
        )
        lines += [
            "",
            f"| {processor} | median, ms | 95 % are below, ms | keys |",
            "| --- | --- | --- | --- |",
            _row("key to next example, two sessions, a model learns", killed, "while it learns"),
            _row("key to next example, one session, a model learns", learning, "while it learns"),
            _row("key to next example, one session, no model", alone, "all"),
            _row("a request for each label, which is waited for", waiting, "all"),
            "",
            f"One session took {alone['labels a second']:.0f} labels a second ({processor}).",
        ]
    return "\n".join([*lines, "", conditions_told(found)])


def _row(title: str, known: dict[str, float], what: str) -> str:
    middle, high = (known[f"key to next example, {what}, {one}"] for one in ("median", "p95"))
    return f"| {title} | {middle:.1f} | {high:.1f} | {known[f'keys, {what}']:,.0f} |"
