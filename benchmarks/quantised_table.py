"""The tables of `docs/faster.md`, from the results of `quantised.py`.

One for each network, a row for each tool. Speeds have a column for each processor seen.
"""

from __future__ import annotations

from collections.abc import Mapping

from rows import conditions_told, on, processors, results

THINNED, BESIDE = ", our thinned network", ", beside them"
"""Behind the name of a tool that was given our network with fewer blocks, and of ours where it was
timed together with such tools.
"""
FEWER_BLOCKS = ("resnet20", "text_encoder")
"""The networks of which ours takes blocks out before it quantises."""
TITLES = {
    "resnet20": "ResNet-20, CIFAR-10",
    "mobilenet": "MobileNet, CIFAR-10",
    "text_encoder": "Text encoder, SST-2",
    "lenet5": "LeNet-5, MNIST",
}
BATCHES = (1, 32)


def quantised() -> str:
    """A table for each network that has rows."""
    found = results("quantised")
    parts = [
        table(name, found)
        for name in TITLES
        if any(row["subject"].startswith(f"{name} / ") for row in found)
    ]
    return "\n\n".join([*parts, conditions_told(found)])


def short() -> str:
    """Of each network ours, and the fastest of the others that loses no more than half a point."""
    found = results("quantised")
    seen = processors(found)
    heads = [
        f"{what} ({one})"
        for one in seen
        for what in (
            "times as fast, batch 1 and 32",
            "in OpenVINO",
            "fastest of the others",
            "fastest of the others on our thinned network",
        )
    ]
    lines = [
        f"| network | bytes | test score % | {' | '.join(heads)} |",
        f"| --- | --- | --- |{' --- |' * len(heads)}",
    ]
    for name, title in TITLES.items():
        tools = by_tool(name, found)
        plain, ours = tools["float32"], tools["ours"]
        cells = [
            title,
            f"{plain['file']:,.0f} to {ours['file']:,.0f}",
            f"{plain['test score']:.2f} to {ours['test score']:.2f}",
        ]
        for one in seen:
            its = by_tool(name, on(one, found))
            cells += [both(its["ours"]), both(its["ours in OpenVINO"]), fastest(its)]
            fewer = name in FEWER_BLOCKS
            cells.append(fastest(its, thinned=True) if fewer else "ours keeps all blocks")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fastest(tools: Mapping[str, Mapping[str, float]], *, thinned: bool = False) -> str:
    """Of the tools but ours that lose no more than half a point, the fastest at batch 1.

    `thinned`: of those that were given our thinned network.
    """
    others = {
        tool.removesuffix(THINNED): both(values)
        for tool, values in tools.items()
        if not tool.startswith(("float32", "ours"))
        and (THINNED in tool) == thinned
        and values.get("test difference", -1.0) >= -0.5
        and both(values)
    }
    if not others:
        return "not timed"
    ending = THINNED if thinned else ""
    best = min(others, key=lambda tool: tools[tool + ending]["batch 1, time to float32's"])
    return f"{best}: {others[best]}"


def both(values: Mapping[str, float]) -> str:
    """How many times as fast, at both sizes of batch; empty where it was not timed."""
    names = [f"batch {batch}, time to float32's" for batch in BATCHES]
    return (
        " and ".join(f"{1 / values[name]:.2f}" for name in names)
        if all(name in values for name in names)
        else ""
    )


def by_tool(name: str, found: list[dict]) -> dict[str, dict[str, float]]:
    """Of each tool, what was measured on a network."""
    tools: dict[str, dict[str, float]] = {}
    for row in found:
        network, _, tool = row["subject"].partition(" / ")
        if network == name and not tool.startswith("latency") and not row["seed"]:
            tools.setdefault(tool, {})[row["metric"]] = row["value"]
    return tools


def table(name: str, found: list[dict]) -> str:
    """A row for each tool: float32, ours, the others."""
    tools = by_tool(name, found)
    timed = {one: by_tool(name, on(one, found)) for one in processors(found)}
    lines = [f"**{TITLES[name]}** (float32 in ONNX Runtime, batch 1 and 32: {_once(timed)})", ""]
    heads = ["bytes", "test score %", "difference, points (95 %)"]
    for one in timed:
        heads += [f"times as fast, batch 1 ({one})", f"batch 32 ({one})"]
    lines += [f"| | {' | '.join(heads)} | minutes |", f"| --- |{' --- |' * (len(heads) + 1)}"]
    for tool, values in sorted(
        tools.items(),
        key=lambda one: _place(one[0]),
    ):
        if tool.endswith(BESIDE):
            continue
        if reason := next((metric for metric in values if metric.startswith("failed: ")), None):
            lines.append(f"| {tool} | {reason} |{' |' * len(heads)}")
            continue
        of = tool.removesuffix(", bfloat16").removesuffix(" in OpenVINO")  # in another runtime
        size, score = (
            f"{tools[of][what]:{form}}" for what, form in (("file", ",.0f"), ("test score", ".2f"))
        )
        apart = "" if of == "float32" else difference(tools[of])
        if tool != of:
            size = '"'
            score, apart = (
                (f"{values['test score']:.2f}", difference(values))
                if "test score" in values
                else ('"', '"')
            )
        told = "minutes" in values and not tool.startswith("float32")
        minutes = f"{values['minutes']:.1f}" if told else ""
        speeds = " | ".join(
            speed(its.get(tool, {}), batch)
            or speed(its.get(tool + BESIDE, {}), batch)
            or ("not timed" if THINNED in tool else "")
            for its in timed.values()
            for batch in BATCHES
        )
        lines.append(f"| {tool} | {size} | {score} | {apart} | {speeds} | {minutes} |")
    return "\n".join([*lines, *_foretold(name, tools, found), *_beside(timed)])


def _place(tool: str) -> int:
    """Float32 first, then ours, the others, and what was made of our thinned network."""
    if THINNED in tool:
        return 3
    return 0 if tool.startswith("float32") else 1 if tool.startswith("ours") else 2


def _beside(timed: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """How fast ours was in the alternation of the tools on our thinned network."""
    told = [
        f"{both(its[f'ours{BESIDE}'])} times as fast (in OpenVINO "
        f"{both(its[f'ours in OpenVINO{BESIDE}'])}, with bfloat16 as theirs "
        f"{both(its[f'ours in OpenVINO, bfloat16{BESIDE}'])}) on {processor}"
        for processor, its in timed.items()
        if f"ours{BESIDE}" in its
    ]
    if not told:
        return []
    return [
        "",
        "The rows on our thinned network were timed in an alternation of their own. Ours was "
        f"{'; '.join(told)} in it.",
    ]


def _once(timed: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The milliseconds of float32, on each processor that timed it."""
    return "; ".join(
        ", ".join(f"{its['float32'][f'batch {batch}, one run']:.3g} ms" for batch in BATCHES)
        + f" on {processor}"
        for processor, its in timed.items()
        if "batch 1, one run" in its.get("float32", {})
    )


def _foretold(name: str, tools: Mapping[str, Mapping[str, float]], found: list[dict]) -> list[str]:
    """What the module foretold, other seeds of ours, and the layers that stayed in floating
    point.
    """
    lines: list[str] = []
    if (apart := tools.get("ours", {}).get("the file's less the module's")) is not None:
        lines += [
            "",
            f"Our module foretold what our file scores on validation data to {abs(apart):.2f} "
            "points.",
        ]
        seeds = [
            row["value"]
            for row in found
            if row["subject"] == f"{name} / ours"
            and row["seed"]
            and row["metric"] == "test difference"
        ]
        if seeds:
            lines[-1] += (
                f" Two other seeds of ours: {' and '.join(f'{one:+.2f}' for one in seeds)} points "
                "on test data."
            )
        if kept := int(tools["ours"]["layers in floating point"]):
            lines[-1] += f" {kept} layers stayed in floating point."
    return lines


def difference(values: dict[str, float]) -> str:
    """Of the test score to float32's, with its interval."""
    middle, low, high = (values[f"test difference{what}"] for what in ("", ", low", ", high"))
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"


def speed(values: dict[str, float], batch: int) -> str:
    """How many times as fast as float32 in ONNX Runtime, with quartiles.

    Why there is no such figure, where there is none.
    """
    name = f"batch {batch}, time to float32's"
    if name not in values:
        return next(
            (
                metric.split(": ", 1)[1]
                for metric in values
                if metric.startswith(f"batch {batch}: not timed")
            ),
            "",
        )
    middle, low, high = (1 / values[f"{name}{what}"] for what in ("", ", high", ", low"))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
