"""web/ as the npm package.

It is packed, installed, imported, type-checked, rebuilt and opened in a page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_browser import NODE_MODULES, Visit, served
from runs import FILES, ROOT, Case, beside, by_runtime, needs_node, real

NPM = shutil.which("npm")
CLANG = shutil.which(os.environ.get("CLANG", "clang"))
WEB = ROOT / "web"
LENET = FILES / "lenet5_rate_3e-05.shoe"
KERNELS = WEB / "runtime" / "kernels_wasm.js"

pytestmark = needs_node


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder in which the packed package is installed."""
    if NPM is None:
        pytest.skip("npm is not installed: the package cannot be packed")
    folder = tmp_path_factory.mktemp("package")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    told = quiet([NPM, "pack", "--json", "--pack-destination", str(folder)], WEB)
    [packed] = json.loads(told)
    tarball = folder / packed["filename"]
    quiet([NPM, "install", "--offline", "--ignore-scripts", "--no-audit", str(tarball)], folder)
    (folder / "packed.json").write_text(json.dumps(packed))
    return folder


def quiet(command: list[str], folder: Path, **options: Any) -> str:
    """What a command prints; fails the test where the command fails."""
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, **options
    )
    assert ran.returncode == 0, f"{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    return ran.stdout


def test_the_package_has_what_it_needs_and_nothing_else(installed: Path):
    packed = json.loads((installed / "packed.json").read_text())
    assert packed["name"] == "shoestring-web"
    assert packed["version"].split(".")[0] == "4", "the first number is the format's"
    names = {one["path"] for one in packed["files"]}
    assert {"LICENSE", "README.md", "index.js", "index.d.ts", "runtime/kernels_wasm.js"} <= names
    assert not [name for name in names if "node_modules" in name or name.endswith(".shoe")]
    manifest = json.loads((WEB / "package.json").read_text())
    assert "dependencies" not in manifest
    assert (WEB / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_installed_package_runs_a_file_in_node(installed: Path, tmp_path: Path):
    case = Case(file=LENET, inputs=real(LENET, 4))
    module = installed / "node_modules" / "shoestring-web" / "index.js"
    for answer, wanted in beside([case], tmp_path, module):
        np.testing.assert_allclose(answer, wanted, atol=1e-4)
    names = quiet(
        [
            "node",
            "--input-type=module",
            "-e",
            "import { load } from 'shoestring-web';"
            "import { decode } from 'shoestring-web/decoder';"
            f"console.log((await load({json.dumps(str(LENET))})).inputs[0].name, typeof decode)",
        ],
        installed,
    )
    assert names == "images function\n"


def test_its_types_fit_a_program(installed: Path):
    tsc = NODE_MODULES / "typescript" / "bin" / "tsc"
    if not tsc.exists():
        pytest.skip("TypeScript is not installed: run `npm ci` in tests/node")
    shutil.copy(Path(__file__).with_name("example.ts"), installed / "example.ts")
    options = "--noEmit --strict --target es2022 --module nodenext --moduleResolution nodenext"
    quiet(["node", str(tsc), *options.split(), "--lib", "es2022,dom", "example.ts"], installed)


def test_the_kernels_are_what_the_source_gives(tmp_path: Path):
    """Answers for answers with any compiler, bytes for bytes with the one that made them."""
    if CLANG is None:
        pytest.skip(
            "clang is not installed: the kernels cannot be compiled (apt-get install clang lld)"
        )
    if shutil.which(quiet([CLANG, "-print-prog-name=wasm-ld"], tmp_path).strip()) is None:
        pytest.skip("lld is not installed: the kernels cannot be linked (apt-get install lld)")
    web = tmp_path / "web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("node_modules", "demo", "report"))
    rebuilt = web / "runtime" / "kernels_wasm.js"
    quiet(["node", str(WEB / "runtime" / "build.mjs"), str(rebuilt)], tmp_path)
    script = (
        "const { kernels } = await import('./web/runtime/kernels.js'); "
        "console.log((await kernels()).name)"
    )
    assert quiet(["node", "--input-type=module", "-e", script], tmp_path).strip() == "webassembly"
    for name in ("baseline_resnet20", "baseline_tagger", "baseline_text_encoder"):
        file = FILES / f"{name}.shoe"
        case = Case(file=file, inputs=real(file, 2))
        for answer, wanted in beside([case], tmp_path / name, web / "index.js"):
            np.testing.assert_allclose(answer, wanted, rtol=0, atol=1e-4)
    made = re.search(r"with (.*?):", KERNELS.read_text())
    assert made
    if quiet([CLANG, "--version"], tmp_path).splitlines()[0] == made[1]:
        assert inflated(rebuilt) == inflated(KERNELS)


def inflated(path: Path) -> bytes:
    """The module in a file that build.mjs writes."""
    import base64
    import zlib

    found = re.search(r'"([A-Za-z0-9+/=]+)"', path.read_text())
    assert found
    return zlib.decompress(base64.b64decode(found[1]), wbits=-15)


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A digit</title>
<link rel="icon" href="data:,">POLICY
<script type="module">
import { load } from "/package/index.js";
const pixels = Float32Array.from(PIXELS);
const model = await load("/digit.shoe");
const { output } = model.run(pixels);
window.answer = { data: Array.from(output.data), shape: output.shape, backend: model.kernels.name };
</script></html>
"""


@pytest.mark.parametrize("policy", ["", "script-src 'self' 'unsafe-inline'"])
def test_one_line_in_a_page_runs_a_file(
    policy: str, installed: Path, tmp_path: Path, visit: Callable[..., Visit]
):
    """In Chromium; in plain JavaScript where a policy forbids WebAssembly."""
    inputs = real(LENET, 1)
    told = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    pixels = json.dumps(inputs["images"].ravel().tolist())
    (tmp_path / "index.html").write_text(PAGE.replace("PIXELS", pixels).replace("POLICY", told))
    shutil.copy(LENET, tmp_path / "digit.shoe")
    shutil.copytree(installed / "node_modules" / "shoestring-web", tmp_path / "package")
    seen = visit()
    with served(tmp_path) as address:
        page = seen.open(f"{address}/index.html")
        page.wait_for_function("window.answer")
        answer = page.evaluate("window.answer")
    assert answer["shape"] == [1, 10]
    assert answer["backend"] == ("javascript" if policy else "webassembly")
    wanted = by_runtime(Case(file=LENET, inputs=inputs))["output"]
    np.testing.assert_allclose(answer["data"], wanted[0], atol=1e-4)
    assert [fault for fault in seen.faults if not policy or "WebAssembly" not in fault] == []
