"""The tables of `docs/text-tools.md` about costs and about preordering."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, metrics, on, processors, results, spread, values

_NETWORKS = (
    ("window", "window of five words (`WindowTagger`)"),
    ("bilstm64", "BiLSTM of 64 each way"),
    ("bilstm128", "BiLSTM of 128 each way"),
    ("transformer", "transformer, 2 layers of 128"),
)
_UNDERTRAINED = ("transformer",)
_FORMS = {"trained": "as trained", "coded": "coded"}
_ORDERS = (
    ("no reordering", "no reordering"),
    ("en_preorder", "ours, no tree and no tags"),
    ("parser", "the rules on the trees of UDPipe's parser, with our tagger's tags"),
    ("best that brackets reach", "brackets, cut greedily with the right order known"),
)
_COMPARED = ("operations", "size", "memory", "speed")
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
    """How the claim of Botha et al. does here: ratios of means, a line for each other network.

    Files are compared in the same form: coded with coded, and float32 with float32.
    """
    found = results("text_costs")
    forms = tuple(_FORMS)
    ours = {form: _means(found, "window", form) for form in forms}
    lines, holds, smaller = [], [], []
    for name, title in _NETWORKS[1:]:
        theirs = {form: _means(found, name, form) for form in forms}
        compute = theirs["coded"]["operations"] / ours["coded"]["operations"]
        times = {
            form: (
                theirs[form]["size"] / ours[form]["size"],
                theirs[form]["memory"] / ours[form]["memory"],
            )
            for form in forms
        }
        points = {form: _points(found, name, form) for form in forms}
        lines.append(
            f"- Beside the {title}: {compute:.1f} times less compute, "
            f"{ours['coded']['speed'] / theirs['coded']['speed']:.1f} times the words/s. Its file "
            f"has {times['trained'][0]:.2f} times the bytes of ours as trained, and "
            f"{times['coded'][0]:.2f} times coded; its memory is {times['trained'][1]:.1f} times "
            f"ours as trained, and {times['coded'][1]:.1f} times coded. Ours coded is "
            f"{_told(*points['coded'])}; as trained, {_told(*points['trained'])}."
        )
        if name in _UNDERTRAINED:
            lines[-1] += " **It does not count below**: these minutes are too few for it."
            continue
        holds.append(
            (
                compute >= 15,
                min(times[form][0] for form in forms) >= 10,
                points["coded"][0] > -2 * points["coded"][1],
            )
        )
        if times["coded"][0] < 1:
            smaller.append(f"the {title}")
    said = (
        "15 times less compute",
        "a file 10 times smaller than the other's in the same form",
        "no less accuracy (coded; less than two standard errors)",
    )
    told = "; ".join(
        f"{what} beside {sum(one[at] for one in holds)} of {len(holds)} networks"
        for at, what in enumerate(said)
    )
    whole = sum(all(one) for one in holds)
    claim = f"beside {whole} of {len(holds)} networks" if whole else "beside none of them"
    lines += ["", f"**The claim as a whole holds here {claim}**: {told}."]
    if smaller:
        lines[-1] += f" Coded, {' and '.join(smaller)} are smaller than ours."
    return "\n".join(lines)


def _means(found, name: str, form: str) -> dict[str, float]:
    return {metric: mean(_of(found, name, f"{form}: {metric}")) for metric in _COMPARED}


def _points(found, name: str, form: str) -> tuple[float, float]:
    """How many points more words are right than another network's, and the standard error."""
    subject = f"{name} beside the window"
    return (
        mean(values(found, subject, f"{form}: more words right")),
        mean(values(found, subject, f"{form}: paired standard error")),
    )


def _told(points: float, error: float) -> str:
    return (
        f"{abs(points):.2f} points {'better' if points >= 0 else 'worse'} "
        f"({abs(points) / error:.1f} standard errors)"
    )


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
