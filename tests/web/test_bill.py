"""The bill that the page shows of a file, against that of `shoestring inspect`."""

from __future__ import annotations

from runs import ROOT, evaluate, needs_node

from shoestring.artifact import bill

pytestmark = needs_node
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
const { readFileSync } = await import("node:fs");
const { bill } = await import("./web/demo/bill.js");
const bills = given.map((path) => {
  const bytes = new Uint8Array(readFileSync(path));
  return bill(m.decode(bytes), bytes.length);
});
console.log(JSON.stringify(bills));
"""


def test_the_bills_agree():
    assert len(FILES) > 20
    for path, ours in zip(FILES, evaluate(SCRIPT, *map(str, FILES)), strict=True):
        theirs = bill(path.read_bytes())
        assert sum(one["bytes"] for one in ours) == path.stat().st_size
        tensors = [one for one in ours if one["tensor"] is not None]
        for mine, other in zip(tensors, theirs, strict=False):
            assert mine["what"] == other.name
            assert mine["bytes"] == other.bytes, (path.name, other)
        rest = {one.name: one.bytes for one in theirs[len(tensors) :]}
        graphs = sum(size for name, size in rest.items() if name.startswith("graph"))
        assert graphs == sum(one["bytes"] for one in ours if one["what"] == "graph")
