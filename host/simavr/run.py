"""Runs a program for an AVR: python run.py MCU HZ FIRMWARE PORT, as simavr.c tells.

simavr.c is compiled when it is first needed, or has changed. Without words that is all: it fails
where something is missing for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "simavr.c"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
ABSENT = re.compile(r"simavr/\w+\.h|-lsimavr")  # what compilers and linkers say of it


def find_compiler() -> list[str]:
    """$CC, or a compiler of this system: libsimavr is the system's, too."""
    chosen = shlex.split(os.environ.get("CC", ""))
    for command in ([chosen] if chosen else []) + [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    raise SystemExit("There is no C compiler for the emulator of AVRs. Get one: apt install gcc")


def built_in() -> Path:
    """The checkout's build/, else the user's cache."""
    root = SOURCE.parents[2]
    if (root / "pyproject.toml").is_file():
        return root / "build/simavr"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecedge/simavr"


def build() -> Path:
    """The runner's program. It appears whole or not at all."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    target = built_in() / f"simavr-{digest}"
    if not target.is_file():
        compiler = find_compiler()
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / "simavr"
            command = [*compiler, *FLAGS, str(SOURCE), "-lsimavr", "-o", str(made)]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                raise SystemExit(explain(result.stderr))
            os.replace(made, target)
    return target


def explain(words: str) -> str:
    """What to do about a compiler that failed."""
    if ABSENT.search(words):
        return "libsimavr is not installed. Get it: apt install libsimavr-dev libelf-dev"
    return f"The emulator of AVRs does not compile:\n{words}"


def main(words: list[str]) -> None:
    program = str(build())
    if words:
        os.execv(program, [program, *words])


if __name__ == "__main__":
    main(sys.argv[1:])
