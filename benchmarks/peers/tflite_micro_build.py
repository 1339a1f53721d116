"""Compiles the interpreter of TensorFlow Lite Micro for a core, with one of its sets of kernels.

Archives go to the folder `build` beside the sources, and are made once for their commits.
Everything is compiled with -Os, as all else that the benchmark measures; with the kernels
"cmsis-nn -O2" the kernels and CMSIS-NN are compiled with -O2, as the makefile of TensorFlow Lite
Micro does.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from shoestring.artifact.plain_c.board.targets import Target

REPOSITORIES = ("tflite-micro", "flatbuffers", "gemmlowp", "ruy", "CMSIS-NN")
KERNELS = {"reference": "-Os", "cmsis-nn": "-Os", "cmsis-nn -O2": "-O2"}
"""The sets of kernels, with how they are compiled."""
OPTIMISED = ("conv", "fully_connected", "pooling", "add", "pad")
COMMON = (
    *(f"{one}_common" for one in ("conv", "fully_connected", "pooling", "add", "pad", "reduce")),
    *("reduce", "kernel_util"),
)
FLAGS = (
    *("-ffunction-sections", "-fdata-sections", "-fno-common", "-w", "-DNDEBUG"),
    *("-DTF_LITE_STATIC_MEMORY", "-DTF_LITE_STRIP_ERROR_STRINGS", "-DTF_LITE_DISABLE_X86_NEON"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-funsigned-char"),
)
CPLUSPLUS = ("-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")


class BuildError(RuntimeError):
    """A compiler failed, or sources are missing."""


def versions(sources: Path) -> str:
    """The commits of the sources, as git says."""
    found: list[str] = []
    for name in REPOSITORIES:
        if not (sources / name).is_dir():
            raise BuildError(f"there is no {name} in {sources}: clone it there")
        told = subprocess.run(
            ["git", "-C", str(sources / name), "rev-parse", "--short=10", "HEAD"],
            capture_output=True,
            text=True,
        )
        found.append(f"{name} {told.stdout.strip() or 'of an unknown commit'}")
    return ", ".join(found)


def library(sources: Path, core: Target, kernels: str) -> tuple[Path, ...]:
    """The archives to link for a core: kernels, then what they need."""
    root = sources / "tflite-micro"
    micro = root / "tensorflow" / "lite" / "micro"
    folders = [micro, *(micro / one for one in ("arena_allocator", "memory_planner"))]
    files = [one for folder in (*folders, micro / "tflite_bridge") for one in folder.glob("*.cc")]
    for folder in ("lite/kernels", "lite/core", "compiler"):
        files += (root / "tensorflow" / folder).rglob("*.cc")
    left_out = ("_test", "mock_", "test_help", "recording_", "fake_", "testing_", "hexdump")
    files = [one for one in files if not any(part in one.name for part in left_out)]
    interpreter = _archive(sources, core, "interpreter", "reference", files)
    own = [micro / "kernels" / f"{one}.cc" for one in COMMON]
    if kernels == "reference":
        own += [micro / "kernels" / f"{one}.cc" for one in OPTIMISED]
        return _archive(sources, core, kernels, kernels, own), interpreter
    own += [micro / "kernels" / "cmsis_nn" / f"{one}.cc" for one in OPTIMISED]
    products = [
        one
        for one in (sources / "CMSIS-NN" / "Source").rglob("*.c")
        if not one.stem.endswith(("_f16", "_f32", "_flt"))
    ]
    return _archive(sources, core, kernels, kernels, [*own, *products]), interpreter


def compiled(sources: Path, core: Target, kernels: str, file: Path, to: Path, *more: str) -> None:
    """Compile one file, of C or C++, against the sources."""
    folders = [sources / one for one in ("tflite-micro", "gemmlowp", "ruy", "CMSIS-NN")]
    folders += [sources / "flatbuffers" / "include", sources / "CMSIS-NN" / "Include"]
    plain = file.suffix == ".c"
    compiler = core.compiler if plain else core.compiler.replace("gcc", "g++")
    compiler = "c++" if compiler == "cc" and not plain else compiler
    command = [compiler, *core.flags, *core.library, *FLAGS]
    command += ["-std=c11"] if plain else [*CPLUSPLUS]
    command += (
        []
        if kernels == "reference"
        else ["-DCMSIS_NN", "-DARM_NN_ENABLE_F16=0", "-DARM_NN_ENABLE_F32=0"]
    )
    command += [f"-I{one}" for one in folders]
    done = subprocess.run(
        [*command, *(more or ("-Os",)), "-c", str(file), "-o", str(to)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BuildError(f"{compiler} failed on {file.name}: {done.stderr.strip()[-500:]}")


def _archive(sources: Path, core: Target, name: str, kernels: str, files: list[Path]) -> Path:
    stamp = hashlib.sha256(versions(sources).encode()).hexdigest()[:8]
    folder = sources / "build" / stamp / core.name / name.replace(" ", "_")
    made = folder / "all.a"
    if made.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    objects: list[str] = []
    for number, file in enumerate(sorted(files)):
        objects.append(str(folder / f"{number}_{file.stem}.o"))
        compiled(sources, core, kernels, file, Path(objects[-1]), KERNELS[kernels])
    archiver = "ar" if core.name == "host" else core.compiler.replace("gcc", "ar")
    partial = folder / "all.partial"
    partial.unlink(missing_ok=True)
    subprocess.run([archiver, "rcs", str(partial), *objects], check=True)
    partial.rename(made)  # so that an archive is all there or not there
    return made
