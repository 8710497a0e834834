"""From a policy and a board to a program: project, objects, fit, link, figures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DoesNotFit, StorageError
from ..export.project import Project, write_project
from ..model import LIMITS, Policy
from ..storage import write_atomically
from .objects import Objects, Sizes, program_image, program_sizes
from .registry import Board, Capacity
from .stack import StackUse, measure_stack
from .toolchain import Toolchain, find_toolchain
from .uf2 import encode

EXCEPTION_FRAME_FPU = 108
STEP = 32  # from one number of neurons to the next


@dataclass(frozen=True)
class Build:
    """A firmware that was built: the program, and what it costs. Prints as a table.

    image: the program as the board's flasher wants it, where that is not the ELF file.
    """

    project: Project
    elf: Path
    toolchain: str
    sizes: Sizes
    stack: StackUse
    image: Path | None = None

    @property
    def board(self) -> Board:
        return self.project.board

    def __str__(self) -> str:
        image = f"\n  {self.image}" if self.image else ""
        return f"{self.board.name}: {self.elf} ({self.toolchain}){image}\n{self.figures()}"

    def figures(self) -> str:
        """Sizes and stack, as a table."""
        board, sizes, stack = self.board, self.sizes, self.stack
        flash = board.flash.length if board.flash else None
        ram = board.ram.length if board.ram else None
        lines = [
            f"  text {sizes.text:>9,}   data {sizes.data:>7,}   bss {sizes.bss:>9,}   bytes",
            f"  flash {sizes.flash:>8,}" + _share(sizes.flash, flash),
            f"  RAM   {sizes.ram + board.stack:>8,}"
            + _share(sizes.ram + board.stack, ram)
            + (f", {board.stack:,} of it for the stack" if board.stack else ""),
            f"  stack {stack.worst:>8,}"
            + _share(stack.worst, board.stack)
            + f" at worst: {stack.thread} calls, {stack.indirect} through pointers, "
            f"{stack.interrupt} interrupt",
            f"        deepest: {' > '.join(stack.calls)}",
        ]
        for label, names in (
            ("recursive", stack.recursive),
            ("unbounded", stack.unbounded),
            ("not counted", stack.unknown),
        ):
            if names:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                lines.append(f"        {label}: {', '.join(names[:5])}{more}")
        return "\n".join(lines)


def build(
    policy: Policy | None,
    board: Board,
    out: str | os.PathLike,
    capacity: Capacity | None = None,
    command: str = "ecedge build",
    toolchain: Toolchain | None = None,
    plant: Path | None = None,
) -> Build:
    """Writes the project of `board` into `out` and builds it there.

    policy: built into the firmware, None for none. capacity, command and plant: see
    `ecedge.export.project.write_project`. What did not change is not compiled again.

    Raises DoesNotFit before linking when the firmware does not fit the board, BuildError with the
    compiler's words when it does not compile, ToolError when there is no compiler.
    """
    toolchain = toolchain or find_toolchain(board)
    project = write_project(policy, board, out, capacity, command, plant)
    paths = _compile(project, toolchain)
    objects = Objects(paths)
    entries = [project.entry, "main"]
    stack = measure_stack(objects, entries, _exception_frame(board))
    if not board.is_host:
        sizes = objects.sizes(objects.live(entries))
        if lacks := _lacks(board, sizes, stack.worst):
            neurons = _neurons_that_fit(project, toolchain, policy, sizes, stack.worst)
            raise DoesNotFit(board.name, lacks, neurons)
    elf = _link(project, toolchain, paths)
    image = _write_image(elf, board)
    return Build(project, elf, toolchain.name, program_sizes(elf), stack, image)


def _compile(project: Project, toolchain: Toolchain) -> list[Path]:
    """The project's objects, in the order of its sources."""
    headers = _digest(path for path in sorted(project.folder.rglob("*.h")) if path.is_file())
    flags = [*toolchain.translate(project.cflags), toolchain.stack_flag]

    def compile_one(source) -> Path:
        target = Path("build", toolchain.name, f"{source}.o")
        inputs = [headers, _digest([project.folder / source])]
        arguments = [*flags, "-c", str(source), "-o", str(target)]
        return _make(project, toolchain, target, inputs, arguments, f"compile {source}")

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(compile_one, project.sources))


def _link(project: Project, toolchain: Toolchain, objects: list[Path]) -> Path:
    scripts = [project.folder / script for script in project.linker_scripts]
    target = Path("build", project.program)
    arguments = [
        *toolchain.translate(project.cflags),
        *(str(path.relative_to(project.folder)) for path in objects),
        *project.ldflags,
        *(() if project.board.is_host else toolchain.libraries),
        *(["-Wl,-e," + project.entry] if toolchain.wants_entry and scripts else []),
        "-o",
        str(target),
    ]
    inputs = [_digest([*objects, *scripts])]
    return _make(project, toolchain, target, inputs, arguments, "link the firmware")


def _write_image(elf: Path, board: Board) -> Path | None:
    if board.flasher != "uf2":
        return None
    path = elf.with_suffix(".uf2")
    write_atomically(path, encode(*program_image(elf), board.uf2_family))
    return path


def _make(
    project: Project,
    toolchain: Toolchain,
    target: Path,
    inputs: list[str],
    arguments: list[str],
    what: str,
) -> Path:
    """Runs the compiler unless `target` is what the same command made of the same inputs."""
    path = project.folder / target
    stamp = path.with_name(path.name + ".stamp")
    wanted = hashlib.sha256("\0".join([*toolchain.cc, *arguments, *inputs]).encode()).hexdigest()
    if path.is_file() and stamp.is_file():
        if stamp.read_text("utf-8").split() == [wanted, _digest([path])]:
            return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"Cannot write {path}: {error.strerror}.", "Give another folder."
        ) from error
    toolchain.run(arguments, project.folder, what)
    write_atomically(stamp, f"{wanted}\n{_digest([path])}\n".encode())
    return path


def _lacks(board: Board, sizes: Sizes, stack: int) -> list[str]:
    """What the firmware needs and the board has not, in words. Empty: it fits."""
    lacks = []
    if sizes.flash > board.flash.length:
        lacks.append(f"{sizes.flash:,} bytes of flash (it has {board.flash.length:,})")
    if sizes.ram + board.stack > board.ram.length:
        lacks.append(
            f"{sizes.ram + board.stack:,} bytes of RAM, {board.stack:,} of them for the stack "
            f"(it has {board.ram.length:,})"
        )
    if stack > board.stack:
        lacks.append(f"{stack:,} bytes of stack (its board.toml keeps {board.stack:,})")
    return lacks


def _neurons_that_fit(
    project: Project, toolchain: Toolchain, policy: Policy | None, sizes: Sizes, stack: int
) -> int:
    """The largest network below this one, of the same inputs and outputs, that would fit; 0: none.

    The code does not depend on the policy, so the need of another network differs by its image and
    its state alone; how large that is the core's header says, and the compiler computes. Where data
    are not read from flash, the image's copy comes to it.
    """
    if policy is None:
        return 0
    board, capacity = project.board, project.capacity
    state = _state_sizes(project, toolchain)
    in_flash = policy.spec.image_size
    for neurons in range(policy.spec.n_neurons - STEP, 0, -STEP):
        spec = replace(policy.spec, n_neurons=neurons, n_exc=None)
        room = max(neurons, min(board.limits.neurons, capacity.neurons))
        copied = capacity.policy_ram
        if not board.architecture.reads_flash:
            copied = max(board.limits.policy_ram, spec.image_size)
        smaller = replace(
            sizes,
            text=sizes.text - in_flash + spec.image_size,
            bss=sizes.bss - state[capacity.neurons] + state[room] - capacity.policy_ram + copied,
        )
        if not _lacks(board, smaller, stack):
            return neurons
    return 0


def _state_sizes(project: Project, toolchain: Toolchain) -> dict[int, int]:
    """Bytes of a network's state by its neurons, as many inputs and outputs as the firmware has."""
    capacity = project.capacity
    low, high = LIMITS["n_neurons"]
    sizes = range(low, high + 1, STEP)
    arrays = (
        f"char state_{n}[EC_NET_MEMORY({n}u, {capacity.act}u, {capacity.obs}u)] = {{0}};"
        for n in sizes
    )
    source, target = Path("build", "state_sizes.c"), Path("build", toolchain.name, "state_sizes.o")
    text = "\n".join(['#include "ec_net.h"', *arrays, ""]).encode()
    write_atomically(project.folder / source, text)
    arguments = [*toolchain.translate(project.cflags), "-c", str(source), "-o", str(target)]
    toolchain.run(arguments, project.folder, "compute the sizes of networks")
    objects = Objects([project.folder / target])
    return {n: objects.sections[objects.globals[f"state_{n}"]].size for n in sizes}


def _exception_frame(board: Board) -> int:
    """Bytes that the core itself pushes for an interrupt."""
    if board.is_host:
        return 0
    if "-mfloat-abi=hard" in board.cpu_flags:
        return EXCEPTION_FRAME_FPU
    return board.architecture.exception_frame


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _share(used: int, available: int | None) -> str:
    return f" of {available:,} ({100 * used / available:.1f} %)" if available else ""
