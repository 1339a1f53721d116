"""The tables of `docs/text-tools.md` about costs and about preordering."""

from __future__ import annotations

from math import sqrt
from statistics import mean

from rows import conditions_told, metrics, on, processors, results, spread, values

_NETWORKS = (
    ("window", "window of five words (`WindowTagger`)"),
    ("bilstm64", "BiLSTM of 64 each way"),
    ("bilstm128", "BiLSTM of 128 each way"),
    ("transformer", "transformer, 2 layers of 128"),
)
_FORMS = {"trained": "as trained", "coded": "coded"}
_ORDERS = (
    ("no reordering", "no reordering"),
    ("en_preorder", "ours, no tree and no tags"),
    ("parser", "the rules on the trees of UDPipe's parser, with our tagger's tags"),
    ("best that brackets reach", "the best that brackets can reach"),
)
_COMPARED = ("operations", "size", "speed", "test")
_NONE = "not measured"


def text_costs() -> str:
    """A row for each network and file."""
    found = results("text_costs")
    lines = [
        "| network | file | words right, test % | bytes | multiply–adds a word | memory, MB | "
        "words/s, one core | training, minutes of a core |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in _NETWORKS:
        for kind, said in _FORMS.items():
            minutes = [values(found, name, metric) for metric in ("training", "coding")]
            told = f"{mean(minutes[kind == 'coded']):.1f}"
            lines.append(
                _costs(found, name, title, kind, said, f"{'+ ' * (kind == 'coded')}{told}")
            )
    vocabulary = values(found, "vocabulary", "vocabulary")[0]
    title = f"`BiLSTMTagger`, and {vocabulary:,.0f} bytes of vocabulary beside the file"
    lines.append(_costs(found, "vocabulary", title, "trained", "as trained", ""))
    return "\n".join([*lines, "", conditions_told(found)])


def text_costs_claim() -> str:
    """How the claim of Botha et al. does here: ratios of means, a line for each other network."""
    found = results("text_costs")
    ours = {metric: mean(_of(found, "window", f"coded: {metric}")) for metric in _COMPARED}
    words = values(found, "vocabulary", "test words")[0]
    lines, holds = [], []
    for name, title in _NETWORKS[1:]:
        coded = {metric: mean(_of(found, name, f"coded: {metric}")) for metric in _COMPARED}
        trained = mean(_of(found, name, "trained: size"))
        compute, points = coded["operations"] / ours["operations"], ours["test"] - coded["test"]
        error = sqrt(2 * coded["test"] * (100 - coded["test"]) / words)
        lines.append(
            f"- Beside the {title}: {compute:.1f} times less compute, "
            f"{ours['speed'] / coded['speed']:.1f} times the words/s; the coded file is "
            f"{trained / ours['size']:.0f} times smaller than the other's float32 file, and the "
            f"other's coded one has {coded['size'] / ours['size']:.1f} times its bytes; "
            f"{abs(points):.2f} points {'more' if points >= 0 else 'fewer'} words right (standard "
            f"error {error:.2f})."
        )
        holds.append((compute >= 15, trained / ours["size"] >= 10, points > -2 * error))
    said = (
        ("15 times less compute", 0),
        ("a file 10 times smaller than the other's float32 file", 1),
        ("no less accuracy (two standard errors count as equal)", 2),
    )
    told = "; ".join(
        f"{what} beside {sum(one[at] for one in holds)} of {len(holds)} networks"
        for what, at in said
    )
    whole = sum(all(one) for one in holds)
    claim = f"beside {whole} of {len(holds)} networks" if whole else "beside none of them"
    return "\n".join([*lines, "", f"**The claim as a whole holds here {claim}**: {told}."])


def preordering() -> str:
    """A row for each way to order the words."""
    found = results("preordering")
    lines = [
        "| | Kendall's tau | fuzzy reordering score | sentences exactly right, % | bytes | "
        "multiply–adds a word | words/s, one core |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in _ORDERS:
        if not metrics(found, name):
            continue
        cells = [title]
        for metric, form in (
            ("test Kendall's tau", ".3f"),
            ("test fuzzy reordering score", ".3f"),
            ("test exact", ".1f"),
            ("size", ",.0f"),
            ("operations", ",.0f"),
            ("speed", ",.0f"),
        ):
            cells.append(_cell(_of(found, name, metric), form, ""))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", conditions_told(found)])


def _costs(found, name: str, title: str, kind: str, said: str, minutes: str) -> str:
    cells = [title, said]
    for metric, form in (("test", ".2f"), ("size", ",.0f"), ("operations", ",.0f")):
        cells.append(_cell(_of(found, name, f"{kind}: {metric}"), form))
    memory = [one / 1e6 for one in _of(found, name, f"{kind}: memory")]
    cells.append(f"{mean(memory):.0f}" if memory else _NONE)
    speeds = _of(found, name, f"{kind}: speed")
    cells.append(f"{mean(speeds):,.0f}" if speeds else _NONE)
    return f"| {' | '.join([*cells, minutes])} |"


def _of(found, name: str, metric: str) -> list[float]:
    """The values of a metric; of timings those of the first processor."""
    return values(on(processors(found)[0], found), name, metric)


def _cell(numbers: list[float], form: str, none: str = _NONE) -> str:
    if not numbers:
        return none
    same = len(set(numbers)) == 1
    return f"{numbers[0]:{form}}" if same else spread(numbers, form)
