"""The tables of microcontrollers say what the results files say."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import microcontroller_table
from rows import metrics, results


def test_every_network_has_ours_and_a_peer_with_their_own_numbers():
    found = results("microcontroller")
    lines = microcontroller_table.microcontroller().splitlines()
    for name, (title, _) in microcontroller_table.NETWORKS.items():
        for tool in (*microcontroller_table.OURS, "emx-onnx-cgen"):
            one = metrics(found, f"{name} / {tool}")
            row = next(line for line in lines if line.startswith(f"| {title} | {tool} |"))
            assert f"| {one['cortex-m3: flash']:,.0f} | {one['cortex-m3: RAM']:,.0f} |" in row


def test_peers_that_were_built_have_rows_with_their_commits():
    found = results("microcontroller")
    lines = microcontroller_table.microcontroller().splitlines()
    for name, tool in (("lenet5", "TFLite Micro"), ("lenet5_int8", "TFLite Micro, CMSIS-NN")):
        title = microcontroller_table.NETWORKS[name][0]
        for peer in (tool, "onnx2c"):
            one = metrics(found, f"{name} / {peer}")
            assert any(metric.startswith("versions: ") for metric in one)
            assert one["largest difference to ONNX Runtime"] < 10  # percent of the largest output
            row = next(line for line in lines if line.startswith(f"| {title} | {peer} |"))
            assert f"| {one['cortex-m3: instructions']:,.0f} |" in row


def test_peers_are_beside_ours_on_every_core():
    found = results("microcontroller")
    lines = microcontroller_table.instructions().splitlines()
    for name, peer in (("lenet300", "onnx2c"), ("spoken", "emx-onnx-cgen")):
        title = microcontroller_table.NETWORKS[name][0]
        for tool in ("ours, coded", peer):
            one = metrics(found, f"{name} / {tool}")
            row = next(line for line in lines if line.startswith(f"| {title} | {tool} |"))
            assert row.endswith(f" {one['cortex-m4f: instructions']:,.0f} |")


def test_no_number_comes_from_a_core_whose_outputs_differ():
    for row in results("microcontroller"):
        if row["metric"].endswith("largest difference to this computer"):
            assert row["value"] < 1e-3, row


def test_coded_weights_are_about_as_short_in_c_as_in_the_file():
    found = results("microcontroller")
    subjects = {row["subject"] for row in found if row["metric"] == "weights in C"}
    assert len(subjects) >= 11
    for subject in subjects:
        one = metrics(found, subject)
        assert one["weights in C"] < 1.06 * one["weights in the file"]
