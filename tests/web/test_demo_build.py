"""The page in web/demo made small by its build, and in a wheel."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from real_browser import Visit, served

from shoestring.artifact.demo import NETWORKS, page_folder

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "web" / "demo"
NODE = shutil.which("node")
MOST_BYTES, MOST_NETWORK = 60_000, 1500


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if NODE is None or not (DEMO / "node_modules" / "terser").exists():
        pytest.skip("the page is not built: install node and run `npm ci` in web/demo")
    folder = tmp_path_factory.mktemp("page")
    ran = subprocess.run(
        [NODE, str(DEMO / "build.mjs"), str(folder)], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return folder


def test_the_built_page_is_small(built: Path):
    """The page, its style, the decoder, the runtime with its kernels: all but the networks."""
    sizes = {
        path.name: len(gzip.compress(path.read_bytes(), 9, mtime=0))
        for path in built.iterdir()
        if path.suffix != ".shoe"
    }
    assert set(sizes) == {"index.html", "demo.css", "demo.js", "worker.js", "kernels.wasm"}
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert (built / NETWORKS[0]).stat().st_size <= MOST_NETWORK


def test_the_built_page_works(built: Path, visit: Callable[..., Visit]):
    seen = visit()
    with served(built) as address:
        page = seen.open(f"{address}/index.html")
        expect(page.locator("#digit")).to_have_text("7")
        expect(page.locator("#large-answer")).to_contain_text("7 (")
        expect(page.locator("#page-bytes")).to_contain_text("5 files of")
        page.locator("#file").set_input_files(built / NETWORKS[0])
        expect(page.locator("#opened h3.file")).to_have_text(NETWORKS[0])
        page.locator("#opened form button.first").click()
        expect(page.locator(".result .bill li")).to_have_count(10)
    assert seen.faults == []


def checkout(source: Path) -> Path:
    """A copy of what packages are built from, without npm's packages."""
    kept = shutil.ignore_patterns("node_modules", "__pycache__", ".venv*")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source.mkdir(exist_ok=True) or source / name)
    for name in ("shoestring", "web", "benchmarks/results/files"):
        shutil.copytree(ROOT / name, source / name, ignore=kept)
    return source


def test_a_source_distribution_has_the_sources_of_the_pages_and_nothing_of_npm(tmp_path: Path):
    source = checkout(tmp_path / "source")
    for folder in ("web", "web/demo", "web/report"):
        there = source / folder / "node_modules" / "a"
        there.mkdir(parents=True)
        for name in ("a.js", "package.json", "LICENSE", "a.mjs"):
            (there / name).touch()
    script = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=source, capture_output=True, text=True, timeout=300
    )
    if "No module named" in ran.stderr:
        pytest.skip("setuptools of this environment cannot build a source distribution")
    assert ran.returncode == 0, ran.stderr[-2000:]
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert not [name for name in names if "node_modules" in name]
    files = subprocess.run(["git", "ls-files", "web"], cwd=ROOT, capture_output=True, text=True)
    tracked = [name for name in files.stdout.split() if not name.endswith(".npmrc")]
    assert set(tracked) <= names
    assert {"web/LICENSE", "web/runtime/kernels.c", "web/report/build.mjs"} <= names


@pytest.mark.slow
def test_a_wheel_has_the_page(tmp_path: Path):
    """All files of the page that the checkout has, in the same folders."""
    source = checkout(tmp_path / "source")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    ran = subprocess.run(
        [*pip, "-w", str(tmp_path), str(source)], capture_output=True, text=True, timeout=300
    )
    if "No module named" in ran.stderr or "BackendUnavailable" in ran.stderr:
        pytest.skip("setuptools of this environment cannot build a wheel")
    assert ran.returncode == 0, ran.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    root = page_folder()
    parts = [*root.glob("web/*.js"), *root.glob("web/runtime/*.js"), *root.glob("web/demo/*.js")]
    assert len(parts) > 30
    for path in [*parts, DEMO / "index.html", DEMO / "demo.css"]:
        assert f"shoestring/page/{path.relative_to(root).as_posix()}" in names
    for name in NETWORKS:
        assert f"shoestring/page/benchmarks/results/files/{name}" in names


def test_the_built_page_says_what_a_browser_lacks(built: Path, visit: Callable[..., Visit]):
    """Without WebAssembly in its worker, which a line before all of it takes away."""
    seen = visit()
    worker = (built / "worker.js").read_text()
    seen.page.route(
        "**/worker.js",
        lambda route: route.fulfill(
            body="delete globalThis.WebAssembly;" + worker, content_type="text/javascript"
        ),
    )
    with served(built) as address:
        page = seen.open(f"{address}/index.html")
        expect(page.locator("#fault")).to_contain_text("does not run WebAssembly with SIMD")


def test_the_built_page_says_what_it_does_not_run(built: Path, visit: Callable[..., Visit]):
    seen = visit()
    with served(built) as address:
        page = seen.open(f"{address}/index.html")
        lstm = ROOT / "tests" / "artifact" / "format" / "golden" / "v2_lstm_coded.shoe"
        page.locator("#file").set_input_files(lstm)
        expect(page.locator("#opened .facts")).to_contain_text("LSTM: this page's runtime lacks")
    assert seen.faults == []
