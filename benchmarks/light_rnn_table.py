"""The table of numbers and passes in `docs/language.md`, from the results of `light_rnn.py`."""

from __future__ import annotations

from rows import conditions_told, metrics, on, processors, results

NAMES = {
    "full": "a vector for each word, softmax over all words",
    "adaptive": "a vector for each word, adaptive softmax",
    "low rank": "low rank, 16 numbers a word",
    "hashed": "hashed, 400 vectors",
    "slim": "slim, 400 in a pool",
    "quotients": "quotients and remainders",
    "light": "LightRNN, its words moved three times",
    "light, unmoved": "LightRNN, its words not moved",
    "uneven": "LightRNN with uneven rows, its words moved twice",
}

RATES = {
    "adaptive, one pass": ("a vector for each word, adaptive softmax", "0.003"),
    "adaptive, one pass, fast": ("a vector for each word, adaptive softmax", "0.01"),
    "uneven, one pass": ("LightRNN with uneven rows", "0.01"),
}
"""What each was trained with for one pass: the network, and the highest learning rate."""


def passes() -> str:
    """A row for each network: its numbers and minutes of a pass, as shares of the first's."""
    found = results("light_rnn")
    seen = processors(found)
    heads = [f"minutes of a core for a pass ({one})" for one in seen]
    lines = [
        f"| network, of width 128 | numbers for words | of layers | {' | '.join(heads)} |",
        f"|{' --- |' * (3 + len(heads))}",
    ]
    first = metrics(found, "full")
    for name, title in NAMES.items():
        own = metrics(found, name)
        cells = [
            f"{timed['pass']:.2g} ({first['pass'] / timed['pass']:.1f} times as fast)"
            if "pass" in (timed := metrics(on(one, found), name))
            else "not timed"
            for one in seen
        ]
        fewer = first["numbers for words"] / own["numbers for words"]
        lines.append(
            f"| {title} | {own['numbers for words']:,.0f} ({fewer:.3g} times fewer) | "
            f"{own['numbers of layers']:,.0f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def rates() -> str:
    """A row for each network that was trained for one pass: its rate and its perplexities."""
    found = results("light_rnn")
    lines = [
        "| after one pass | highest learning rate | validation perplexity | test perplexity |",
        "| --- | --- | --- | --- |",
    ]
    for name, (title, rate) in RATES.items():
        if own := metrics(found, name):
            scores = [own[f"{split} perplexity"] for split in ("validation", "test")]
            lines.append(f"| {title} | {rate} | {' | '.join(f'{one:.1f}' for one in scores)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
