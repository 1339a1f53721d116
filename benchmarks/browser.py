"""Committed files in `web/` and in onnxruntime-web: agreement, speed in Chromium and Node, bytes.

    npm ci --prefix tests/node; OMP_NUM_THREADS=1 python benchmarks/browser.py

onnxruntime-web (its version is in `tests/node/package.json`) runs what `shoestring export` makes of
the same file, with WebAssembly SIMD and one thread. Both run one example of the test data in turns,
in one page of a Chromium without a window, then in Node. Milliseconds are those of the fastest of
41 rounds, and a ratio is the median of all rounds. The largest difference is to ONNX Runtime in
Python, on 1 and on 32 examples. Bytes are what a page fetches, code with gzip -9.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from browser_inputs import real
from rows import FILES, Rows, start

from shoestring.artifact import load, read
from shoestring.artifact.format.protobuf import onnx_bytes

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from real_browser import NODE_MODULES, Visit, served, started, visiting  # noqa: E402

ORT = NODE_MODULES / "onnxruntime-web"
CODE = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
LARGE_BATCH = 32
PAGE = """<!doctype html><html lang="en"><link rel="icon" href="data:,"><script type="module">
import { load } from "/web/index.js";
import * as ort from "/ort/ort.wasm.min.mjs";
import { rounds } from "/browser_rounds.mjs";
ort.env.wasm.wasmPaths = "/ort/";
window.measure = async (file, onnx, inputs, effort) => {
  const bytes = new Uint8Array(await (await fetch(onnx)).arrayBuffer());
  return rounds(await load(file), ort, bytes, inputs, effort);
};
window.batch = async (file, inputs) => {
  const arrays = { float32: (data) => Float32Array.from(data), int64: (data) => data };
  const given = {};
  for (const [name, one] of Object.entries(inputs)) {
    given[name] = { data: arrays[one.type](one.data), shape: one.shape };
  }
  const outputs = Object.entries((await load(file)).run(given));
  return Object.fromEntries(outputs.map(([name, { data }]) => [name, Array.from(data, Number)]));
};
window.ready = true;
</script></html>
"""


def main() -> None:
    rows = start("browser", "committed-files-amd-epyc-cpu", (__doc__ or "").splitlines()[0])
    if not ORT.exists():
        raise SystemExit("onnxruntime-web is not there: npm ci --prefix tests/node")
    files = sorted(FILES.glob("*.shoe"))
    if rows.quick:
        files = [file for file in files if file.stem in ("baseline_lenet5", "lenet5_rate_3e-05")]
    with tempfile.TemporaryDirectory(prefix="browser-") as made, page_in(Path(made)) as seen:
        for file in files:
            if rows.wanted(file.stem) and not rows.done(file.stem, None):
                file_rows(rows, file, Path(made), seen)
                rows.add(file.stem, "done", 1, "")
        if rows.wanted("code") and not rows.done("code", None):
            code_rows(rows, seen)
            rows.add("code", "done", 1, "")
    rows.close()


@contextmanager
def page_in(folder: Path) -> Iterator[Visit]:
    """A page that has both runtimes, in Chromium."""
    (folder / "web").symlink_to(ROOT / "web")
    (folder / "ort").symlink_to(ORT / "dist")
    shutil.copy(ROOT / "benchmarks" / "browser_rounds.mjs", folder)
    (folder / "index.html").write_text(PAGE)
    with started() as browser, visiting(browser) as seen, served(folder) as address:
        seen.page.set_default_timeout(600_000)
        seen.open(f"{address}/index.html").wait_for_function("window.ready")
        yield seen


def file_rows(rows: Rows, file: Path, folder: Path, seen: Visit) -> None:
    """Everything about one file."""
    content = read(file)
    onnx = folder / f"{file.stem}.onnx"
    onnx.write_bytes(onnx_bytes(content.graph, content.tensors))
    shutil.copy(file, folder)
    rows.add(file.stem, "bytes, .shoe", file.stat().st_size, "bytes")
    rows.add(file.stem, "bytes, ONNX", onnx.stat().st_size, "bytes")
    effort = {"rounds": 5, "milliseconds": 20} if rows.quick else {"rounds": 41, "milliseconds": 15}
    one, many = real(file, 1), real(file, LARGE_BATCH)
    names = [f"/{file.name}", f"/{onnx.name}"]
    found = seen.page.evaluate("(given) => window.measure(...given)", [*names, told(one), effort])
    answers = seen.page.evaluate("(given) => window.batch(...given)", [names[0], told(many)])
    runtime = load(file, threads=1)
    largest = max(apart(runtime.run(one), found["outputs"]), apart(runtime.run(many), answers))
    rows.add(file.stem, "largest difference", largest, "")
    time_rows(rows, file.stem, "Chromium", found)
    ran = subprocess.run(
        ["node", str(ROOT / "benchmarks" / "browser_node.mjs"), str(ORT), str(file), str(onnx)],
        input=json.dumps({"inputs": told(one), "effort": effort}),
        capture_output=True,
        text=True,
        check=True,
    )
    time_rows(rows, file.stem, "Node", json.loads(ran.stdout))
    onnx.unlink()


def told(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as JSON."""
    return {
        name: {"type": one.dtype.name, "shape": list(one.shape), "data": one.ravel().tolist()}
        for name, one in inputs.items()
    }


def apart(wanted: dict[str, np.ndarray], found: dict[str, list[float]]) -> float:
    """The largest difference of any number."""
    return max(float(np.abs(one.ravel() - found[name]).max()) for name, one in wanted.items())


def time_rows(rows: Rows, subject: str, where: str, found: dict[str, Any]) -> None:
    """Milliseconds of each side in its fastest round, and the median of the rounds' ratios."""
    ours, theirs = found["ours"], found["theirs"]
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    for metric, value, unit in (
        (f"{where}, ours", min(ours), "ms"),
        (f"{where}, onnxruntime-web", min(theirs), "ms"),
        (f"{where}, ratio", median(ratios), ""),
    ):
        rows.add(subject, metric, value, unit, timed=True)


def code_rows(rows: Rows, seen: Visit) -> None:
    """The code that a page fetches for each runtime, in bytes after gzip."""
    ours = {
        one.split("/web/")[1] for one in seen.requests if "/web/" in one and one.endswith(".js")
    }
    for metric, files in (
        ("ours", [ROOT / "web" / name for name in sorted(ours)]),
        ("onnxruntime-web", [ORT / "dist" / name for name in CODE]),
    ):
        size = sum(len(gzip.compress(file.read_bytes(), 9, mtime=0)) for file in files)
        rows.add("code", f"bytes of code, {metric}", size, "bytes")


if __name__ == "__main__":
    main()
