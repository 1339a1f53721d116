"""The file of the page is what its sources make, and forbids what it should."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from real_browser import NODE_MODULES

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "web" / "report"
PAGE = resources.files("shoestring.report").joinpath("page.html").read_text(encoding="utf-8")
LONGEST = 400


def test_the_committed_page_is_what_the_sources_make(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the page of the report cannot be built again")
    if not (SOURCES / "node_modules" / "esbuild").exists():
        pytest.skip("esbuild and ECharts are not installed: run `npm ci` in web/report")
    ran = subprocess.run(
        [node, "build.mjs", str(tmp_path / "page.html")],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    same = (tmp_path / "page.html").read_text(encoding="utf-8") == PAGE
    assert same, "shoestring/report/page.html is old: run `npm ci && npm run build` in web/report"


@pytest.mark.slow
def test_the_types_of_the_sources_agree() -> None:
    node, checker = shutil.which("node"), NODE_MODULES / "typescript" / "bin" / "tsc"
    if node is None or not checker.exists():
        pytest.skip("typescript is not installed: run `npm ci` in tests/node")
    if not (SOURCES / "node_modules" / "echarts").exists():
        pytest.skip("ECharts is not installed: run `npm ci` in web/report")
    options = "--allowJs --checkJs --noEmit --strict false --skipLibCheck --target es2022"
    modules = "--module esnext --moduleResolution bundler --lib es2023,dom,dom.iterable"
    ran = subprocess.run(
        [node, str(checker), *options.split(), *modules.split(), "src/main.js"],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_the_policy_admits_the_one_script_and_no_address() -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', PAGE)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == "'none'"
    assert rules["form-action"] == "'none'" and rules["img-src"] == "data:"
    scripts = re.findall(r"<script>(.*?)</script>", PAGE, re.DOTALL)
    assert len(scripts) == 1
    digest = hashlib.sha256(scripts[0].encode()).digest()
    assert rules["script-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    markup = PAGE.replace(scripts[0], "")
    assert not re.search(r"""(?:src|href)=["']?https?:""", markup)
    assert markup.count("<!--document-->") == markup.count("<!--title-->") == 1


def test_licences_stand_in_the_page() -> None:
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    for name in ("echarts", "zrender", "tslib"):
        assert f"{name} {lock['packages'][f'node_modules/{name}']['version']}" in PAGE
    assert "Apache License" in PAGE and "Baidu" in PAGE


def test_versions_are_pinned_and_the_lock_names_no_host() -> None:
    package = json.loads((SOURCES / "package.json").read_text())
    for name, version in package["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} {version} is no single version"
    lock = (SOURCES / "package-lock.json").read_text()
    assert "resolved" not in lock and "integrity" in lock
    assert "omit-lockfile-registry-resolved=true" in (SOURCES / ".npmrc").read_text()


def test_no_source_of_the_page_is_too_long() -> None:
    files = [*(SOURCES / "src").glob("*.js"), *SOURCES.glob("*.*")]
    lines = {
        str(file.relative_to(SOURCES)): len(file.read_text(encoding="utf-8").splitlines())
        for file in files
        if file.name != "package-lock.json"
    }
    assert len(lines) > 15
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_text_goes_into_the_page_as_text_alone() -> None:
    """Nothing in our sources makes markup of a string."""
    for file in (SOURCES / "src").glob("*.js"):
        made = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function",
            file.read_text(encoding="utf-8"),
        )
        assert made == [], file.name
