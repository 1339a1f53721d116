"""The tables of docs/depth.md."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, results

WAYS = (
    "default",
    "no warm-up",
    "warm-up 10 %",
    "clipped at 1",
    "fan-in variance",
    "unit variance",
    "silent branches",
    "mixed",
    "bfloat16 weights",
    "rate × 10",
    "rate × 10, no warm-up",
    "rate × 10, warm-up 10 %",
    "rate × 10, clipped at 1",
    "rate stays",
    "rate stays, averaged",
)


def deep() -> str:
    """A row per network and precision."""
    found = results("depth")
    lines = [
        "| layers | images | precision | seeds | diverged | loss at first | loss after | "
        "highest loss | validation loss | seconds to make | seconds a step |",
        "|" + " --- |" * 11,
    ]
    for subject in _subjects(found, "deep"):
        size, _, rest = subject.partition(": ")
        layers, _, precision = rest.partition(", ")
        word = {"default": "single"}.get(precision, precision)
        numbers = [
            _told(found, subject, metric, ".2f")
            for metric in ("loss at first", "loss after", "highest loss", "validation loss")
        ]
        times = [
            f"{mean(_values(found, subject, metric)):.2f}"
            for metric in ("seconds to construct", "seconds a step")
        ]
        lines.append(
            f"| {layers} | {size.removeprefix('deep').strip() or '8×8'} | {word} | "
            f"{len(_values(found, subject, 'loss at first'))} | {_diverged(found, subject)} | "
            f"{' | '.join([*numbers, *times])} |"
        )
    return _told_with("deep", lines, found)


def plain() -> str:
    """A row per plain network and cure."""
    found = results("depth")
    lines = [
        "| network | seeds | diverged | loss at first | loss after | validation score % |",
        "|" + " --- |" * 6,
    ]
    for subject in _subjects(found, "plain"):
        lines.append(
            f"| {subject.partition(': ')[2]} | {len(_values(found, subject, 'loss at first'))} | "
            f"{_diverged(found, subject)} | {_told(found, subject, 'loss at first', '.2f')} | "
            f"{_told(found, subject, 'loss after', '.2f')} | "
            f"{_told(found, subject, 'validation score', '.1f')} |"
        )
    return _told_with("plain", lines, found)


def ways() -> str:
    """A row per way of training, a column per network: the loss after the steps."""
    found = results("depth")
    cells = {
        tuple(subject.partition(": ")[2].partition(", ")[::2]): subject
        for subject in _subjects(found, "ways")
    }
    networks = list(dict.fromkeys(network for network, _ in cells))
    lines = [f"| | {' | '.join(networks)} |", "| --- |" + " --- |" * len(networks)]
    for way in WAYS:
        if any((network, way) in cells for network in networks):
            row = [
                _loss(found, cells[network, way]) if (network, way) in cells else ""
                for network in networks
            ]
            lines.append(f"| {way} | {' | '.join(row)} |")
    return _told_with("ways", lines, found)


def averages() -> str:
    """The validation loss in evaluation mode, with moving averages and with averaged statistics."""
    found = results("depth")
    lines = [
        "| | training loss after | validation loss, moving averages | averaged over 20 batches |",
        "| --- | --- | --- | --- |",
    ]
    for subject in (*_subjects(found, "deep"), *_subjects(found, "ways")):
        kind, _, rest = subject.partition(": ")
        network, _, way = rest.partition(", ")
        if kind != "deep" and way not in ("default", "rate stays", "rate × 10"):
            continue
        if "text" in network or "tagger" in network or "without" in network:
            continue
        if _values(found, subject, "validation loss"):
            size = kind.removeprefix("deep").removeprefix("ways").strip()
            title = f"pre-activation {network} {size}".strip() if kind != "ways" else network
            lines.append(
                f"| {title}, {way} | {_told(found, subject, 'loss after', '.2f')} | "
                f"{_told(found, subject, 'validation loss', '.2f')} | "
                f"{_told(found, subject, 'validation loss, averaged', '.2f')} |"
            )
    return _told_with("deep", lines, found)


def _subjects(found: list[dict], kind: str) -> list[str]:
    """The subjects of a kind whose training has ended."""
    ended = (row["subject"] for row in found if row["metric"] == "loss at first")
    return [subject for subject in dict.fromkeys(ended) if subject.startswith(kind)]


def _values(found: list[dict], subject: str, metric: str) -> list[float]:
    return [row["value"] for row in found if row["subject"] == subject and row["metric"] == metric]


def _told(found: list[dict], subject: str, metric: str, form: str) -> str:
    """The mean, and the values where there are several seeds."""
    numbers = _values(found, subject, metric)
    if not numbers:
        return ""
    several = f" ({', '.join(f'{one:{form}}' for one in numbers)})" if len(numbers) > 1 else ""
    return f"{mean(numbers):{form}}{several}"


def _diverged(found: list[dict], subject: str) -> str:
    steps = _values(found, subject, "diverged at step")
    return "no" if not steps else f"at step {', '.join(f'{one:.0f}' for one in steps)}"


def _loss(found: list[dict], subject: str) -> str:
    """The loss after the steps, or when it diverged."""
    if _values(found, subject, "diverged at step"):
        return f"NaN {_diverged(found, subject)}"
    return _told(found, subject, "loss after", ".2f")


def _told_with(kind: str, lines: list[str], found: list[dict]) -> str:
    """The table and its conditions; of a table without rows, what makes them."""
    if not _subjects(found, kind):
        return f"Not measured: `python benchmarks/depth.py --only {kind}` makes this table."
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
