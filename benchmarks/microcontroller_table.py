"""The tables of `docs/microcontroller.md`, from the results of `microcontroller.py`."""

from __future__ import annotations

from rows import conditions_told, metrics, results

CORES = ("cortex-m3", "cortex-m0plus", "cortex-m4f")
NETWORKS = {
    "lenet5": ("LeNet-5, MNIST", "lenet5_rate_5e-05"),
    "lenet300": ("LeNet-300-100, MNIST", "lenet300_rate_1.5e-05"),
    "lenet5_int8": ("LeNet-5 in int8, MNIST", "lenet5_rate_5e-05"),
    "lenet300_int8": ("LeNet-300-100 in int8, MNIST", "lenet300_rate_1.5e-05"),
    "digits": ("small LeNet, digits", "digits_flash_6kb"),
    "spoken": ("spoken digits in int8, FSDD", "fsdd_flash_16kb"),
    "resnet20_int8": ("ResNet-20 in int8, CIFAR-10", "baseline_resnet20"),
    "resnet20": ("ResNet-20, CIFAR-10", "resnet20_rate_4e-06"),
}
"""The networks with their titles and the names of their files."""
OURS = ("ours, decoded", "ours, packed", "ours, coded")
BYTES_IN = "ours, coded, bytes in"
"""The same for networks in int8: bytes on the grid of the input, in place of floats."""

SOUNDS_IN = "ours, coded, sounds in"
"""The same with the file's input chain, which no other tool has: they get features."""


def microcontroller() -> str:
    """A table for a Cortex-M3: a row for each network and each tool that could be measured."""
    found = results("microcontroller")
    lines = [
        "| network | tool | flash, bytes | RAM, bytes | instructions, emulated | score % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, (title, _) in NETWORKS.items():
        tools = dict.fromkeys(
            row["subject"].partition(" / ")[2]
            for row in found
            if row["subject"].startswith(f"{name} / ")
        )
        for tool in sorted(tools, key=lambda tool: not tool.startswith("ours")):
            cells = _cells(metrics(found, f"{name} / {tool}"))
            if cells:
                lines.append(f"| {title} | {tool} | {cells} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def cores() -> str:
    """The coded C file of each network on every core."""
    found = results("microcontroller")
    heads = [f"{what} ({core})" for core in CORES for what in ("flash", "RAM", "instructions")]
    lines = [f"| network | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for name, (title, _) in NETWORKS.items():
        one = metrics(found, f"{name} / {OURS[-1]}")
        cells = [
            f"{one[f'{core}: {what}']:,.0f}" if f"{core}: {what}" in one else ""
            for core in CORES
            for what in ("flash", "RAM", "instructions")
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def weights() -> str:
    """The bytes of the weights of each file in its own coding and in that of the C file."""
    found = results("microcontroller")
    lines = ["| file | in the file | in C | |", "| --- | --- | --- | --- |"]
    for subject in dict.fromkeys(row["subject"] for row in found):
        one = metrics(found, subject)
        if "weights in C" in one:
            file, coded = one["weights in the file"], one["weights in C"]
            lines.append(
                f"| {subject.removeprefix('weights of ')} | {file:,.0f} | {coded:,.0f} | "
                f"{100 * (coded / file - 1):+.1f} % |"
            )
    return "\n".join(lines)


def _cells(one: dict[str, float]) -> str:
    """Flash, RAM, instructions and score on a Cortex-M3; "" where there are none."""
    if "model" in one:  # of TFLite Micro
        return (
            f"over {one['model']:,.0f}: the model | {one['arena, pointers of 8 bytes']:,.0f}: the "
            f"arena, with pointers of 8 bytes | | {one['score']:.2f}"
        )
    if "cortex-m3: flash" not in one:
        return ""
    parts = [f"{one[f'cortex-m3: {what}']:,.0f}" for what in ("flash", "RAM", "instructions")]
    return " | ".join([*parts, f"{one['score']:.2f}"])
