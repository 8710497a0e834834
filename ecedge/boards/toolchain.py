"""Finds a compiler for a board: the distribution's, else clang from the `ziglang` wheel."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from ..errors import BuildError, ToolError
from .registry import Board

HOST_COMPILERS = ("cc", "gcc", "clang")
ZIG_LEAVES_OUT = {"-mcpu=cortex-m33": "+dsp"}  # of what gcc's name of the core includes
DEADLINE = 600  # seconds for one compiler run; zig's first one builds its own libraries


@dataclass(frozen=True)
class Toolchain:
    """A compiler and what it alone needs.

    name: for people, and a folder for its objects. cc: the command. stack_flag: makes it tell the
    stack frame of every function. flags: its own, instead of what `replaces` matches in gcc's.
    libraries: for firmware without a C library: what the core can't do in one instruction.
    wants_entry: it does not read the entry symbol from the linker script.
    """

    name: str
    cc: tuple[str, ...]
    stack_flag: str = "-fstack-usage"
    flags: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    wants_entry: bool = False

    def translate(self, flags: Iterable[str]) -> list[str]:
        """gcc's flags in this compiler's words."""
        return [*self.flags, *(flag for flag in flags if not flag.startswith(self.replaces))]

    @property
    def version(self) -> str:
        """What it says of itself, in one line. ToolError: it is gone."""
        try:
            result = subprocess.run(
                [*self.cc, "--version"], capture_output=True, text=True, timeout=DEADLINE
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"{self.cc[0]} cannot be started.", "Install it again.") from error
        return (result.stdout.splitlines() or [self.name])[0]

    def run(self, arguments: list[str], folder: os.PathLike, what: str) -> None:
        """Runs the compiler in `folder`. BuildError has its words; ToolError: it is gone."""
        command = [*self.cc, *arguments]
        try:
            result = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE
            )
        except OSError as error:
            raise ToolError(
                f"{self.cc[0]} cannot be started: {error.strerror}.", "Install it again."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise BuildError(
                f"{self.name} did not finish {what} in {DEADLINE} s.", "Try again."
            ) from error
        if result.returncode:
            words = (result.stderr or result.stdout).strip()
            raise BuildError(
                f"{self.name} could not {what}:\n{words}\n", "Command: " + " ".join(command)
            )


def find_toolchain(board: Board, environ: Mapping[str, str] = os.environ) -> Toolchain:
    """The compiler for `board`. Raises ToolError that names the command which gets one.

    For a board that is a process of this machine $CC comes first.
    """
    return _find_host(environ) if board.is_host else _find_cross(board, environ)


def _find_host(environ: Mapping[str, str]) -> Toolchain:
    chosen = environ.get("CC", "").split()
    candidates = ([chosen] if chosen else []) + [[name] for name in HOST_COMPILERS]
    for command in candidates:
        path = shutil.which(command[0], path=environ.get("PATH"))
        if path and (command == chosen or _has_headers(path)):
            return Toolchain(os.path.basename(path), (path, *command[1:]))
        if command == chosen:
            raise ToolError(f"There is no {command[0]}, which CC names.", "Correct or unset CC.")
    if _has_zig():
        return _zig(_zig_host_flags())
    raise ToolError(
        "There is no C compiler with its library's headers.",
        "Get one: pip install ziglang, or apt install gcc libc6-dev.",
    )


def _has_headers(compiler: str) -> bool:
    """Whether a compiler finds the C library: minimal systems have one without the other."""
    command = [compiler, "-E", "-xc", "-"]
    source = "#include <stdlib.h>\n"
    try:
        run = subprocess.run(command, input=source, text=True, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def _find_cross(board: Board, environ: Mapping[str, str]) -> Toolchain:
    cross = board.architecture
    if path := shutil.which(cross.gcc, path=environ.get("PATH")):
        return Toolchain(cross.gcc, (path,), libraries=("-lgcc",))
    if cross.zig_target and _has_zig():
        return _zig(_zig_cross_flags(board, cross.zig_target))
    wheel = "pip install ziglang, or " if cross.zig_target else ""
    raise ToolError(
        f"There is no compiler for {board.core}.",
        f"Get one: {wheel}apt install {cross.package}.",
    )


def _zig(flags: tuple[str, ...] = ()) -> Toolchain:
    return Toolchain(
        "zig",
        (sys.executable, "-m", "ziglang", "cc"),
        # It compiles in a folder of its own, where a .su file is lost: sizes go into the object.
        stack_flag="-fstack-size-section",
        flags=("-g0", "-fno-sanitize=undefined", *flags),
        replaces=("-mcpu=", "-march=", "-mabi=", "-mthumb", "-mfloat-abi=", "-mfpu="),
        libraries=("-lcompiler_rt",),
        wants_entry=True,
    )


def _zig_host_flags() -> tuple[str, ...]:
    """Names the machine, so that zig brings its own C library's headers."""
    if sys.platform != "linux":
        return ()
    library = "gnu.2.28" if platform.libc_ver()[0] == "glibc" else "musl"
    return ("-target", f"{platform.machine()}-linux-{library}")


def _zig_cross_flags(board: Board, target: str) -> tuple[str, ...]:
    """zig's words for gcc's flags of the core: -mcpu=cortex_m4 for -mcpu=cortex-m4, and
    -mcpu=generic_rv32+m+a+c+zbb for -march=rv32imac_zbb. The float ABI is part of its target."""
    for flag in board.cpu_flags:
        if flag.startswith("-mcpu="):
            hard = "hf" if "-mfloat-abi=hard" in board.cpu_flags else ""
            cpu = flag.replace("cortex-", "cortex_") + ZIG_LEAVES_OUT.get(flag, "")
            return (f"--target={target}{hard}", cpu)
        if flag.startswith("-march=rv32i"):
            single, *named = flag.removeprefix("-march=rv32i").split("_")
            cpu = "+".join(["-mcpu=generic_rv32", *single, *named])
            return (f"--target={target}", cpu)
    return (f"--target={target}",)


@cache
def _has_zig() -> bool:
    return find_spec("ziglang") is not None
