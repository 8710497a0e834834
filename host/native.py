"""Builds the host's shared library and its Python bindings.

One library holds the firmware's core, compiled for the host, and the batch engine. It is plain C
without Python's headers: any C compiler will do, the one of the package `ziglang` too, and one
wheel serves every Python version.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "firmware/core"
BATCH = ROOT / "host/batch"

LIBRARY = "_ecedge.so"
BINDINGS = "_bindings.py"

#: headers that Python sees, in the order of their includes
HEADERS = [
    CORE / "ec_policy.h",
    CORE / "ec_net.h",
    CORE / "ec_evolve.h",
    CORE / "ec_random.h",
    CORE / "ec_limit.h",
    BATCH / "ec_batch.h",
    BATCH / "ec_rivals.h",
]
SOURCES = [
    *(
        CORE / f"ec_{module}.c"
        for module in (
            "crc",
            "random",
            "policy",
            "net",
            "drive",
            "columns",
            "add_few",
            "update",
            "update_fast",
            "list",
            "readout",
            "evolve",
            "limit",
        )
    ),
    *(BATCH / f"{module}.c" for module in ("batch", "rivals", "pool", "kernel_baseline")),
]
FLAGS = [
    *("-std=gnu11", "-O3", "-fPIC", "-fvisibility=default", "-pthread", "-Wall", "-Wextra"),
    "-fno-strict-aliasing",  # members and images are viewed as bytes, words and vectors
    "-ffp-contract=off",  # the same sums of floats on every processor
]
KERNEL_FLAGS = {
    "kernel_avx2": "-mavx2 -mbmi -mbmi2 -mpopcnt",
    "kernel_avx512": "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mbmi -mbmi2 -mpopcnt"
    " -mprefer-vector-width=512",
}


def find_compiler() -> list[str]:
    """$CC, a system compiler, or ziglang's clang; its baseline, not the building machine's chip."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name) and has_headers(name):
            return [name]
    try:
        import ziglang  # noqa: F401
    except ImportError:
        raise SystemExit(
            "ecedge: no C compiler was found. Install one (Debian: apt-get install gcc), "
            "or the Python package ziglang."
        ) from None
    return [sys.executable, "-m", "ziglang", "cc", *zig_target(), "-fno-sanitize=all"]


def zig_target() -> list[str]:
    """Names the machine, so that zig brings its own C library's headers instead of looking for
    some, and compiles for any processor of the kind, not for this one alone."""
    if sys.platform != "linux":
        return ["-mcpu=baseline"]
    library = "gnu.2.28" if platform.libc_ver()[0] == "glibc" else "musl"
    return ["-target", f"{platform.machine()}-linux-{library}"]


def has_headers(compiler: str) -> bool:
    """Whether a compiler finds the C library: minimal systems have one without the other."""
    command = [compiler, "-E", "-xc", "-"]
    source = "#include <stdlib.h>\n"
    return not subprocess.run(command, input=source, text=True, capture_output=True).returncode


def build_library(target: Path) -> None:
    """Compiles and links; `target` appears whole or not at all."""
    compiler = find_compiler()
    sources = list(SOURCES)
    if platform.machine() in ("x86_64", "AMD64"):
        sources += [BATCH / f"{kernel}.c" for kernel in KERNEL_FLAGS]
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:

        def compile_one(source: Path) -> str:
            flags = [*FLAGS, *KERNEL_FLAGS.get(source.stem, "").split(), f"-I{CORE}", f"-I{BATCH}"]
            made = f"{folder}/{source.stem}.o"
            run([*compiler, *flags, "-c", str(source), "-o", made])
            return made

        with ThreadPoolExecutor(os.cpu_count()) as workers:
            objects = list(workers.map(compile_one, sources))
        linked = f"{folder}/{LIBRARY}"
        run([*compiler, "-shared", "-pthread", *objects, "-o", linked])
        os.replace(linked, target)


def build_bindings(target: Path) -> None:
    """cffi's Python description of the headers: constants and signatures exist once, in C."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef("\n".join(declarations(header.read_text()) for header in HEADERS))
    ffi.set_source("ecedge.engine._bindings", None)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = f"{folder}/{BINDINGS}"
        with contextlib.redirect_stdout(None):
            ffi.emit_python_code(made)
        os.replace(made, target)


def declarations(header: str) -> str:
    """What cffi parses of a header: no comments, no directives but plain integer constants."""
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    kept = [
        line
        for line in header.replace("\\\n", " ").splitlines()
        if not line.startswith("#") or re.fullmatch(r"#define \w+ +(0x[0-9a-fA-F]+|-?\d+) *", line)
    ]
    return "\n".join(kept)


def run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"ecedge: {shlex.join(command)} failed:\n{result.stderr}")


def is_stale(target: Path) -> bool:
    inputs = [*CORE.glob("*.[ch]"), *BATCH.glob("*.[ch]"), Path(__file__)]
    return not target.exists() or target.stat().st_mtime < max(p.stat().st_mtime for p in inputs)


def build(folder: Path) -> None:
    """The library and its bindings into `folder`, unless they are newer than their sources."""
    if is_stale(folder / LIBRARY) or is_stale(folder / BINDINGS):
        folder.mkdir(parents=True, exist_ok=True)
        build_bindings(folder / BINDINGS)
        build_library(folder / LIBRARY)


if __name__ == "__main__":
    build(ROOT / "ecedge/engine")
