"""Committed files in `web/` and in onnxruntime-web: agreement, speed in Chromium and Node, bytes.

    npm ci --prefix tests/node; OMP_NUM_THREADS=1 python benchmarks/browser.py

onnxruntime-web (its version is in `tests/node/package.json`) runs what `shoestring export` makes of
the same file, with WebAssembly SIMD and one thread. Besides the committed files there are two in
integers of 8 bits, which it makes. Both runtimes run one example of the test data in turns, 41
rounds in each of three pages of a Chromium without a window, then in three processes of Node.
Milliseconds are those of the fastest round of all, and quartiles are of the rounds' ratios. In Node
the runtime is timed without WebAssembly too, and what its own account says of a run is a row. The
largest difference is to ONNX Runtime in Python, on 1 and on 32 examples. Bytes are what a page
fetches, code with gzip -9. Run it on a machine that does nothing else: --add goes on where it was.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
from browser_inputs import int8, real
from playwright.sync_api import Browser
from rows import FILES, Rows, start

from shoestring.artifact import load, read
from shoestring.artifact.format.protobuf import onnx_bytes

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from real_browser import NODE_MODULES, Visit, served, started, visiting  # noqa: E402

ORT = NODE_MODULES / "onnxruntime-web"
CODE = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
LARGE_BATCH = 32
FRESH = 3
INT8 = ("lenet5", "resnet20")
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
    with tempfile.TemporaryDirectory(prefix="browser-") as made, started() as browser:
        folder = Path(made)
        rows.conditions += f", {versions_of(browser)}, load average {os.getloadavg()[0]:.1f}"
        served_folder(folder)
        names = [*(file.stem for file in files), *(f"{one}_int8" for one in INT8)]
        for name in names:
            if not rows.wanted(name) or rows.done(name, None):
                continue
            network = name.removesuffix("_int8")
            file = int8(network, folder) if network != name else FILES / f"{name}.shoe"
            file_rows(rows, file, folder, browser)
            rows.add(name, "done", 1, "")
        if rows.wanted("code") and not rows.done("code", None):
            code_rows(rows, folder, browser)
            rows.add("code", "done", 1, "")
    rows.close()


def versions_of(browser: Browser) -> str:
    """The versions of what runs the code."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    theirs = json.loads((ORT / "package.json").read_text())["version"]
    return f"Chromium {browser.version}, Node {node.stdout.strip()[1:]}, onnxruntime-web {theirs}"


def served_folder(folder: Path) -> None:
    """A folder with a page that has both runtimes."""
    (folder / "web").symlink_to(ROOT / "web")
    (folder / "ort").symlink_to(ORT / "dist")
    shutil.copy(ROOT / "benchmarks" / "browser_rounds.mjs", folder)
    (folder / "index.html").write_text(PAGE)


@contextmanager
def page_in(folder: Path, browser: Browser) -> Iterator[Visit]:
    """That page, fresh, in a context of its own."""
    with visiting(browser) as seen, served(folder) as address:
        seen.page.set_default_timeout(600_000)
        seen.open(f"{address}/index.html").wait_for_function("window.ready")
        yield seen


def file_rows(rows: Rows, file: Path, folder: Path, browser: Browser) -> None:
    """Everything about one file."""
    content = read(file)
    onnx = folder / f"{file.stem}.onnx"
    onnx.write_bytes(onnx_bytes(content.graph, content.tensors))
    if file.parent != folder:
        shutil.copy(file, folder)
    rows.add(file.stem, "bytes, .shoe", file.stat().st_size, "bytes")
    rows.add(file.stem, "bytes, ONNX", onnx.stat().st_size, "bytes")
    effort = {"rounds": 5, "milliseconds": 20} if rows.quick else {"rounds": 41, "milliseconds": 15}
    one, many = real(file, 1), real(file, LARGE_BATCH)
    names = [f"/{file.name}", f"/{onnx.name}"]
    measure, batch = (f"(given) => window.{of}(...given)" for of in ("measure", "batch"))
    found, answers = [], {}
    for _ in range(FRESH):
        with page_in(folder, browser) as seen:
            found.append(seen.page.evaluate(measure, [*names, told(one), effort]))
            answers = seen.page.evaluate(batch, [names[0], told(many)])
    runtime = load(file, threads=1)
    largest = max(apart(runtime.run(one), found[0]["outputs"]), apart(runtime.run(many), answers))
    rows.add(file.stem, "largest difference", largest, "")
    time_rows(rows, file.stem, "Chromium", found)
    found = [in_node(file, onnx, one, effort) for _ in range(FRESH)]
    time_rows(rows, file.stem, "Node", found)
    plain = min(each["plain"] for each in found)
    rows.add(file.stem, "Node, ours without WebAssembly", plain, "ms", timed=True)
    if found[0]["account"] is not None:
        rows.add(file.stem, "account of a run", found[0]["account"], "ms")
    onnx.unlink()


def in_node(file: Path, onnx: Path, inputs: dict[str, np.ndarray], effort: Any) -> Any:
    """The rounds of a fresh process."""
    ran = subprocess.run(
        ["node", str(ROOT / "benchmarks" / "browser_node.mjs"), str(ORT), str(file), str(onnx)],
        input=json.dumps({"inputs": told(inputs), "effort": effort}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout)


def told(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as JSON."""
    return {
        name: {"type": one.dtype.name, "shape": list(one.shape), "data": one.ravel().tolist()}
        for name, one in inputs.items()
    }


def apart(wanted: dict[str, np.ndarray], found: dict[str, list[float]]) -> float:
    """The largest difference of any number."""
    return max(float(np.abs(one.ravel() - found[name]).max()) for name, one in wanted.items())


def time_rows(rows: Rows, subject: str, where: str, found: list[dict[str, Any]]) -> None:
    """Milliseconds of each side in its fastest round, and quartiles of the rounds' ratios."""
    ours, theirs = ([t for one in found for t in one[side]] for side in ("ours", "theirs"))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    for metric, value, unit in (
        (f"{where}, ours", min(ours), "ms"),
        (f"{where}, onnxruntime-web", min(theirs), "ms"),
        (f"{where}, ratio of the fastest", min(ours) / min(theirs), ""),
        (f"{where}, ratio of a round, lower quartile", low, ""),
        (f"{where}, ratio of a round, median", middle, ""),
        (f"{where}, ratio of a round, upper quartile", high, ""),
    ):
        rows.add(subject, metric, value, unit, timed=True)


def code_rows(rows: Rows, folder: Path, browser: Browser) -> None:
    """The code that a page fetches for each runtime, in bytes after gzip."""
    with page_in(folder, browser) as seen:
        pass
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
