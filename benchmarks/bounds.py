"""How long small files take that ask for much, against what docs/format.md promises:
`python benchmarks/bounds.py`.

Each kind of file is read in a process of its own, without numba and llvmlite, as in the base
install. Its rows: the MB that it declares, the seconds of the processor (other work on the machine
counts less), the seconds by the account of work, the seconds that the promise allows, and the
memory over what the process had before. The files of every kind are in `bounds_files.py`. Where
node is installed, the decoder in JavaScript reads them too. --quick is smaller tensors.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bounds_files import InBlocks, Kind, kinds
from planner_runs import processor
from rows import start

from shoestring.artifact.coding import work

ROOT = Path(__file__).parents[1]
_CHILD = """
import json, re, sys, time
sys.modules["numba"] = sys.modules["llvmlite"] = None
from shoestring.artifact.format import file, tensor_reader
from shoestring.artifact.coding.work import Work
accounts = []
class Kept(Work):
    def __init__(self, allowed):
        super().__init__(allowed)
        accounts.append(self)
tensor_reader.Work = Kept
import constriction
data = open(sys.argv[1], "rb").read()
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
before = peak()
began, wall = time.process_time(), time.perf_counter()
try:
    file.unpack_any(data)
    said = ""
except file.ShoeError as error:
    said = str(error)
print(json.dumps({
    "said": said, "seconds": time.process_time() - began, "wall": time.perf_counter() - wall,
    "asked": sum(one.asked for one in accounts) / 1e9,
    "peak": peak() - before,
}))
"""


def main() -> None:
    rows = start("bounds", f"{processor()}-cpu", __doc__ or "")
    for name, make in kinds(1 << 16 if rows.quick else 1 << 20).items():
        if not rows.wanted(name) or rows.done(name, None):
            continue
        kind = make()
        found, allowed = measured(kind), work.allowance(kind.declared(), len(kind.stream))
        rows.add(name, "declared", kind.declared() / 1e6, "MB")
        rows.add(name, "seconds", found["seconds"], "s")
        rows.add(name, "seconds by the account", found["asked"], "s")
        rows.add(name, "seconds allowed", allowed / work.SECOND, "s")
        rows.add(name, "memory", found["peak"] / 1e6, "MB")
        if "javascript" in found:
            rows.add(name, "seconds in JavaScript", found["javascript"], "s")
        rows.add(name, "done", 1, "")
    rows.close()


def measured(kind: Kind | InBlocks) -> dict[str, Any]:
    """What reading a file took, in Python and in JavaScript."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.shoe"
        path.write_bytes(kind.file())
        found = read(path)
        if node := shutil.which("node"):
            command = [node, ROOT / "web" / "inspect.js", "--stdin-list"]
            ran = subprocess.run(
                command, input=f"{path}\n", capture_output=True, text=True, check=True
            )
            found["javascript"] = json.loads(ran.stdout)["milliseconds"] / 1000
    return found


def read(path: Path) -> dict[str, Any]:
    """What a process without numba says of a file.

    `said` (of an error), `seconds` of the processor, `wall`, `asked` of the account in seconds, and
    `peak`, the bytes of memory besides those that it had before.
    """
    command = [sys.executable, "-c", _CHILD, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(ran.stdout)


if __name__ == "__main__":
    main()
