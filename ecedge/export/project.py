"""A C project that is complete by itself: the firmware's sources, one board, one policy.

    core/ app/ bare/ cpu/ port/ board/        copied
    policy.c policy.h ec_config.h memory.ld  made from the policy and the board
    Makefile README.md

The same inputs give the same bytes. `ecedge.boards.build` compiles what this writes with the
flags that stand here; so does the project's own Makefile.
"""

from __future__ import annotations

import os
import shlex
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..boards import uf2
from ..boards.registry import Board, Capacity
from ..errors import StorageError, UsageError
from ..model import IMAGE_VERSION, NetworkSpec, Policy
from ..storage import reason, write_atomically
from ..version import VERSION

MARKER = ".ecedge-project"  # lists the files that this module wrote
INCLUDES = (".", "core", "app", "bare", "cpu", "port", "board")
HOST_INCLUDES = (".", "core", "app", "port")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
# A policy image and a network's memory are arrays of words that are viewed as bytes, counts and
# spikes in place: by C's rules an optimiser may take such views for different memory.
CODE = ("-std=c99", "-O2", "-fno-strict-aliasing", "-ffunction-sections", "-fdata-sections")
BARE = ("-ffreestanding",)
BARE_LINK = ("-nostdlib", "-L.", "-T", "cpu/link.ld")
BARE_SCRIPTS = ("cpu/link.ld", "memory.ld")
BARE_ENTRY = "_start"
GARBAGE = "-Wl,--gc-sections"
RIG = PurePosixPath("app/ec_rig.c")  # the plant's side of the firmware
COMPILED = (".c", ".S")
COPIED = (*COMPILED, ".h", ".ld", ".toml", ".md", ".txt", ".cfg")
DRIVES = ("/media/*/*", "/run/media/*/*", "/Volumes/*")  # where systems show USB drives
PADDED = "build/make/firmware.bin"  # whole pages of it become firmware.uf2
RUN_PORT = 5555  # of `make run`


@dataclass(frozen=True)
class Project:
    """A project in a folder: what there is to compile and how.

    sources: relative to `folder`, sorted. fast: flags that tell the kernels for which network to be
    fastest. Flags leave out the compiler and what it alone needs.
    """

    folder: Path
    board: Board
    capacity: Capacity
    policy_hash: str | None
    sources: tuple[PurePosixPath, ...]
    fast: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        return "firmware" if self.board.is_host else "firmware.elf"

    @property
    def image(self) -> str:
        """The program as the board's flasher wants it."""
        return "firmware.uf2" if self.board.flasher == "uf2" else self.program

    @property
    def cflags(self) -> tuple[str, ...]:
        folders = HOST_INCLUDES if self.board.is_host else INCLUDES
        includes = tuple(f"-I{folder}" for folder in folders)
        bare = () if self.board.is_host else BARE
        return CODE + bare + WARNINGS + self.board.cpu_flags + includes + self.fast

    @property
    def ldflags(self) -> tuple[str, ...]:
        if self.board.is_host:
            return (GARBAGE,)
        return (*BARE_LINK, GARBAGE)

    @property
    def linker_scripts(self) -> tuple[str, ...]:
        return () if self.board.is_host else BARE_SCRIPTS

    @property
    def entry(self) -> str:
        """The symbol where the program begins."""
        return "main" if self.board.is_host else BARE_ENTRY


def write_project(
    policy: Policy | None,
    board: Board,
    folder: str | os.PathLike,
    capacity: Capacity | None = None,
    command: str = "ecedge build",
    plant: Path | None = None,
) -> Project:
    """Writes the project of `board` with `policy` built in (None: none) into `folder`.

    capacity: what the firmware accepts as an upload; the board's own by default, and never less
    than what `policy` needs to run; how large an image it takes is not raised. command: what the
    generated files tell to run when they are stale. plant: the C file of a plant on the device's
    side (`ecedge.boards.find_plant`), in place of app/ec_rig.c. Files that did not change are left
    as they are. Raises BoardError when the capacity is impossible, UsageError when `folder` holds
    something else or the plant can't be read, StorageError when it can't be written.
    """
    folder = Path(folder)
    capacity = capacity or board.limits
    if policy is not None and reads_flash(board):
        capacity = capacity.running(policy.spec)
    elif policy is not None:
        capacity = capacity.holding(policy.spec)
    files = _copied_files(board)
    if plant is not None:
        files[RIG] = _read_plant(plant)
    sources = [path for path in files if path.suffix in COMPILED] + [PurePosixPath("policy.c")]
    policy_hash = policy.hash if policy is not None else None
    fast = fast_flags(policy.spec) if policy is not None else ()
    project = Project(folder, board, capacity, policy_hash, tuple(sorted(sources)), fast)
    made = {
        "policy.h": _policy_header(policy, board, command),
        "policy.c": _policy_source(policy, board, command),
        "ec_config.h": _config(project, command),
        "Makefile": _makefile(project, command),
        "README.md": _readme(project, command),
    }
    if not board.is_host:
        made["memory.ld"] = _memory(project, command)
    if project.image != project.program:
        made["uf2.S"] = _uf2_source(project, command)
    files |= {PurePosixPath(name): text.encode() for name, text in made.items()}
    _write_files(folder, files)
    return project


def _read_plant(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}.") from error


def fast_flags(spec: NetworkSpec) -> tuple[str, ...]:
    """What makes the kernels fastest for this network: see core/ec_fast.h. Gains that saturate are
    not among the fast ones."""
    numbers = {
        "CURRENT_SHIFT": spec.current_shift,
        "MEMBRANE_SHIFT": spec.membrane_shift,
        "RECURRENT_GAIN": min(spec.recurrent_gain, 0),
    }
    return tuple(f"-DEC_FAST_{name}={number}" for name, number in numbers.items())


def reads_flash(board: Board) -> bool:
    """Whether the built-in policy is used where it lies; else it is copied to where uploads go."""
    return board.is_host or board.architecture.reads_flash


def firmware_version(version: str) -> int:
    """`1.2.3` and its like (`1.2.3.dev4+x`) as major << 16 | minor << 8 | patch."""
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(min(int(digits), 255))
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major << 16 | minor << 8 | patch


def _copied_files(board: Board) -> dict[PurePosixPath, bytes]:
    firmware = board.folder.parents[1]
    places = {
        "core": firmware / "core",
        "app": firmware / "app",
        "port": board.port_folder,
        "board": board.folder,
    }
    if not board.is_host:
        places |= {"bare": firmware / "bare", "cpu": firmware / "cpu" / board.architecture.name}
    files = {}
    for name, source in places.items():
        files |= _files_of(source, name)
    for kernel in board.kernels:
        replacements = _files_of(firmware / "kernels" / kernel, "core")
        stems = {path.stem for path in replacements}
        kept = {
            path: data
            for path, data in files.items()
            if path.parts[0] != "core" or path.suffix not in COMPILED or path.stem not in stems
        }
        files = kept | replacements
    return files


def _files_of(source: Path, name: str) -> dict[PurePosixPath, bytes]:
    """The files in `source` that a project needs, as they will lie in its folder `name`."""
    return {
        PurePosixPath(name, path.name): path.read_bytes()
        for path in sorted(source.iterdir())
        if path.is_file() and path.suffix in COPIED
    }


# -- generated text ------------------------------------------------------------------------------


def _front_matter(policy_hash: str | None, command: str) -> list[str]:
    """What every generated file says of itself, without a date: it can be made again."""
    return [
        f"Made by ecedge {VERSION}: do not edit, make it again.",
        f"Command: {_harmless(command)}",
        f"Policy: {policy_hash or 'none'}",
    ]


def _harmless(text: str) -> str:
    """Text that ends neither the comment nor the string that it stands in."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.replace("*/", "* /").replace("\\", "/").replace('"', "'")


def _c_comment(lines: list[str]) -> str:
    return "/* " + "\n * ".join(lines) + "\n */\n"


def _policy_id(policy_hash: str | None) -> int:
    return struct.unpack("<I", bytes.fromhex(policy_hash)[:4])[0] if policy_hash else 0


def _guard(name: str, policy_hash: str | None, command: str) -> str:
    """Refuses to compile beside a core or a configuration of another make."""
    advice = f"run '{_harmless(command)}' again"
    return f"""\
#if EC_IMAGE_VERSION != {IMAGE_VERSION}
#error "{name} holds a policy image of version {IMAGE_VERSION}, core/ wants another: {advice}."
#endif
#if EC_POLICY_ID != 0x{_policy_id(policy_hash):08x}u
#error "{name} and ec_config.h are of different policies: {advice}."
#endif
"""


def _policy_header(policy: Policy | None, board: Board, command: str) -> str:
    policy_hash = policy.hash if policy is not None else None
    size = len(policy.image) if policy is not None else 0
    load = "#define EC_POLICY_LOAD NULL /* the image is used where it lies */"
    if not reads_flash(board):
        load = """\
#define EC_POLICY_LOAD ec_policy_load

/* Copies the image from flash, which this core can't read as data. */
void ec_policy_load(void *policy_ram);"""
    return f"""\
{_c_comment(_front_matter(policy_hash, command))}\
#ifndef POLICY_H
#define POLICY_H

#include "ec_config.h"
#include "ec_policy.h"

{_guard("policy.h", policy_hash, command)}
#define EC_POLICY_IMAGE_SIZE {size}u /* bytes; 0: no policy is built in */
{load}

extern const uint32_t ec_policy_image[];

#endif
"""


def _policy_source(policy: Policy | None, board: Board, command: str) -> str:
    policy_hash = policy.hash if policy is not None else None
    image = policy.image if policy is not None else bytes(4)
    words = [f"0x{word:08x}," for (word,) in struct.iter_unpack("<I", image)]
    rows = [" ".join(words[i : i + 8]) for i in range(0, len(words), 8)]
    body = "\n    ".join(rows)
    include, place, load = "", "", ""
    if not reads_flash(board):
        include = '#include "bare.h"\n'
        place = ' __attribute__((section(".progmem.policy")))'
        load = """
void ec_policy_load(void *policy_ram)
{
    cpu_read_flash(policy_ram, ec_policy_image, EC_POLICY_IMAGE_SIZE);
}
"""
    return f"""\
{_c_comment(_front_matter(policy_hash, command))}\
{include}#include "policy.h"

{_guard("policy.c", policy_hash, command)}
const uint32_t ec_policy_image[]{place} = {{
    {body}
}};
{load}"""


def _config(project: Project, command: str) -> str:
    board, capacity = project.board, project.capacity
    return f"""\
{_c_comment(_front_matter(project.policy_hash, command))}\
#ifndef EC_CONFIG_H
#define EC_CONFIG_H

#define EC_BOARD_NAME       "{board.name}"
#define EC_FIRMWARE_VERSION 0x{firmware_version(VERSION):06x}u
#define EC_POLICY_ID        0x{_policy_id(project.policy_hash):08x}u /* first word of the hash */

/* The largest request, network and uploaded policy image, in bytes where no other unit is told. */
#define EC_MAX_PAYLOAD      {capacity.max_payload}u
#define EC_MAX_OBS          {capacity.obs}u
#define EC_MAX_ACT          {capacity.act}u
#define EC_MAX_NEURONS      {capacity.neurons}u
#define EC_POLICY_RAM       {capacity.policy_ram}u

#define EC_BAUD             {board.baud}u
#define EC_CLOCK_HZ         {board.clock_hz}u
#define EC_TICK_HZ          {board.tick_hz}u

/* Flash that is kept for snapshots. */
#define EC_FLASH_ORIGIN     {board.snapshots.origin:#010x}u
#define EC_FLASH_PAGE       {board.snapshots.page}u
#define EC_FLASH_PAGES      {board.snapshots.pages}u

#endif
"""


def _memory(project: Project, command: str) -> str:
    """For the architecture's linker script: what memory the board has."""
    board = project.board
    regions = "\n".join(
        f"    {name} ({access}) : ORIGIN = {region.origin:#010x}, LENGTH = {region.length}"
        for name, access, region in (("flash", "rx", board.flash), ("ram", "rwx", board.ram))
    )
    return f"""\
{_c_comment(_front_matter(project.policy_hash, command))}\
MEMORY
{{
{regions}
}}

stack_size = {board.stack};
"""


def _uf2_source(project: Project, command: str) -> str:
    comment = _c_comment(_front_matter(project.policy_hash, command))
    board = project.board
    return comment + uf2.assembly(PADDED, board.flash.origin, board.uf2_family)


def _makefile(project: Project, command: str) -> str:
    board = project.board
    comment = "\n".join(f"# {line}" for line in _front_matter(project.policy_hash, command))
    compiler = "cc" if board.is_host else board.architecture.gcc
    libraries = "" if board.is_host else " -lgcc"
    scripts = "".join(f" {script}" for script in project.linker_scripts)
    sources = " \\\n\t".join(map(str, project.sources))
    return f"""\
{comment}
#
#   make          build/{project.image}
#   make flash    put it on the board
#   make run      run it without the board
#   make clean    remove build/

ifeq ($(origin CC),default)
CC = {compiler}
endif
CFLAGS = {shlex.join(project.cflags)}
LDFLAGS = {shlex.join(project.ldflags)}

SOURCES = \\
\t{sources}
OBJECTS = $(SOURCES:%=build/make/%.o)
PROGRAM = build/{project.program}
IMAGE = build/{project.image}

{_image_rule(project)}$(PROGRAM): $(OBJECTS){scripts} Makefile
\t$(CC) $(CFLAGS) $(OBJECTS) $(LDFLAGS){libraries} -o $@

build/make/%.o: % Makefile
\t@mkdir -p $(@D)
\t$(CC) $(CFLAGS) -MMD -c $< -o $@

flash: $(IMAGE)
{_recipe(_flash_commands(project))}

run: $(PROGRAM)
{_recipe(_run_commands(project))}

clean:
\trm -rf build/make $(PROGRAM) $(IMAGE)

-include $(OBJECTS:.o=.d)

.PHONY: flash run clean
"""


def _image_rule(project: Project) -> str:
    """Makes the image from the program by the assembler: no other tool reads and writes bytes."""
    if project.image == project.program:
        return ""
    lines = [
        f"$(OBJCOPY) -O binary $(PROGRAM) {PADDED}",
        f"head -c {uf2.PAGE - 1} /dev/zero >> {PADDED}",
        f"$(CC) $(CFLAGS) -DBLOCKS=$$(($$(wc -c < {PADDED}) / {uf2.PAGE})) "
        "-c uf2.S -o build/make/uf2.o",
        "$(OBJCOPY) -O binary -j .uf2 build/make/uf2.o $@",
    ]
    return f"""\
OBJCOPY ?= $(CC:gcc=objcopy)
DRIVES = $(wildcard {" ".join(f"{folder}/INFO_UF2.TXT" for folder in DRIVES)})
DRIVE = $(patsubst %/INFO_UF2.TXT,%,$(firstword $(DRIVES)))

$(IMAGE): $(PROGRAM) uf2.S
{_recipe(lines)}

"""


def _recipe(lines: list[str]) -> str:
    return "\n".join(f"\t{line}".replace("{elf}", "$(PROGRAM)") for line in lines)


def _flash_commands(project: Project) -> list[str]:
    board = project.board
    if board.flasher == "none":
        return [f"@echo 'No program puts an image on {board.name}. {_harmless(board.page)}'; false"]
    if board.flasher == "uf2":
        return [
            f"@test -n '$(DRIVE)' || {{ echo 'Plug {board.name} in with its BOOTSEL button held, "
            "or name its drive: make flash DRIVE=...'; false; }",
            "cp $(IMAGE) '$(DRIVE)/'",
        ]
    return [f"@echo 'Put $(IMAGE) on {board.name} with {board.flasher}.'"]


def _run_commands(project: Project) -> list[str]:
    emulator = project.board.emulator
    if emulator is None:
        return [f"@echo 'There is no emulator for {project.board.name}; try make flash.'; false"]
    if emulator.kind == "process":
        return [shlex.join([*emulator.command("{elf}"), "--tcp", str(RUN_PORT)])]
    command = shlex.join(emulator.command("{elf}", RUN_PORT, "$(HOST)"))
    hint = "Name the folder host/ of ecedge, which has the emulator: make run HOST=..."
    return [
        *([f"@test -d '$(HOST)' || {{ echo '{hint}'; false; }}"] if "$(HOST)" in command else []),
        f"@echo 'Waiting for a host on socket://127.0.0.1:{RUN_PORT}'",
        command,
    ]


def _readme(project: Project, command: str) -> str:
    board, capacity = project.board, project.capacity
    facts = "\n".join(f"- {line}" for line in _front_matter(project.policy_hash, command))
    return f"""\
# ecedge firmware for {board.title}

{facts}
- Board: {board.name} ({board.page})
- Room for {capacity.obs} observations, {capacity.act} outputs, {capacity.neurons} neurons, and \
{capacity.policy_ram} bytes of uploaded policy.

`make` builds `build/{project.image}`, `make flash` puts it on the board, `make run` runs it \
without one. `make CC=...` takes another compiler.

| Folder | What |
|---|---|
| `core/` | the network, the policy image, the link: bytes in, bytes out |
| `app/` | start-up and the main loop; `ec_rig.c` is yours to replace |
| `bare/`, `cpu/` | what all bare chips share, and those of the architecture; not on a host |
| `port/` | registers and interrupts of the chip's family |
| `board/` | facts of the board |
| `policy.c` | the policy, as the image of docs/MODEL.md |

Making the project again overwrites every file that it made. The firmware checks the policy's \
golden trace when it starts, and speaks the ecedge link at {board.baud} baud.
"""


# -- files ---------------------------------------------------------------------------------------


def _write_files(folder: Path, files: dict[PurePosixPath, bytes]) -> None:
    """Makes `folder` hold exactly these of our files, writing only what differs."""
    try:
        former = _former_files(folder)
        folder.mkdir(parents=True, exist_ok=True)
        root = folder.resolve()
        for path in sorted({path.parent for path in files} | {path.parent for path in former}):
            if not (root / path).resolve().is_relative_to(root):
                raise UsageError(
                    f"{folder / path} leads out of the project's folder.",
                    "Remove that link, or give another folder.",
                )
            if any(path == file.parent for file in files):
                (root / path).mkdir(parents=True, exist_ok=True)
        names = sorted({*map(str, files), *map(str, former)})
        _write_changed(root / MARKER, "\n".join(names).encode() + b"\n")
        for path, data in files.items():
            _write_changed(root / path, data)
        for path in former - files.keys():
            (root / path).unlink(missing_ok=True)
        _write_changed(root / MARKER, "\n".join(sorted(map(str, files))).encode() + b"\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(
            f"Cannot write the project into {folder}: {reason}.", "Give another folder."
        ) from error


def _former_files(folder: Path) -> set[PurePosixPath]:
    """The files that an earlier run wrote into `folder`; UsageError when it is somebody else's."""
    marker = folder / MARKER
    if marker.is_file():
        names = marker.read_text("utf-8").splitlines()
        paths = {PurePosixPath(name) for name in names if name}
        return {path for path in paths if not path.is_absolute() and ".." not in path.parts}
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} exists, is not empty, and was not made by ecedge.",
            "Give a new or an empty folder.",
        )
    return set()


def _write_changed(path: Path, data: bytes) -> None:
    if path.is_symlink():
        path.unlink()
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, data)
