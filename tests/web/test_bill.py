"""The bill that the page shows of a file, against that of `shoestring inspect`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from shoestring.artifact import bill

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")
ROOT = Path(__file__).parents[2]
FOLDERS = (
    ROOT / "tests" / "artifact" / "format" / "golden",
    ROOT / "benchmarks" / "results" / "files",
)
FILES = [
    path
    for folder in FOLDERS
    for path in sorted(folder.glob("*.shoe"))
    if path.stat().st_size < 30_000
]
SCRIPT = """
import { readFileSync } from "node:fs";
import { bill } from "./demo/bill.js";
import { decode } from "./shoe.js";
for (const path of JSON.parse(readFileSync(0, "utf8"))) {
  const bytes = new Uint8Array(readFileSync(path));
  console.log(JSON.stringify(bill(decode(bytes), bytes.length)));
}
"""


def test_the_bills_agree():
    ran = subprocess.run(
        [str(NODE), "--input-type=module", "-e", SCRIPT],
        cwd=ROOT / "web",
        input=json.dumps([str(path) for path in FILES]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert len(FILES) > 20
    for path, line in zip(FILES, ran.stdout.splitlines(), strict=True):
        ours, theirs = json.loads(line), bill(path.read_bytes())
        assert sum(one["bytes"] for one in ours) == path.stat().st_size
        tensors = [one for one in ours if one["tensor"] is not None]
        for mine, other in zip(tensors, theirs, strict=False):
            assert mine["what"] == other.name
            assert mine["bytes"] == other.bytes, (path.name, other)
        rest = {one.name: one.bytes for one in theirs[len(tensors) :]}
        graphs = sum(size for name, size in rest.items() if name.startswith("graph"))
        assert graphs == sum(one["bytes"] for one in ours if one["what"] == "graph")
