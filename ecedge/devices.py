"""A connected device from a name: where boards and the link meet.

virtual                the firmware as a process of this machine, on a socket
virtual?baud=115200    the same on a line of that speed
virtual-pty            the same on a pseudo terminal
mps2-an386             any board with an emulator
/dev/ttyACM0?baud=N    a serial port (COM3 on Windows)
socket://HOST:PORT     a device that listens somewhere
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .boards import Board, Capacity, board_names, find_board, sources_root
from .boards.build import Build, build
from .boards.emulator import START_DEADLINE, Running, check_emulator, launch
from .errors import BoardError, EcedgeError, LinkTimeout, NoDevice, StorageError, UsageError
from .link import Device, Hello, Transport, open_transport
from .model import Policy
from .storage import lock_file, reason

SLOWEST = 300  # baud: below, a request would outlast every patience
LOCK_DEADLINE = 120.0  # seconds for another process to finish its build
RETRY_PAUSE = 0.02
PROBE_DEADLINE = 45.0  # seconds: HELLO's whole patience on the slowest line, and opening it


@dataclass(frozen=True)
class DeviceSpec:
    """What a device spec string means: a `board` that is started here, or a `port` to open."""

    board: Board | None = None
    port: str = ""
    pty: bool = False
    baud: int | None = None


def parse_device(spec: str) -> DeviceSpec:
    """Reads a device spec (see the module); BoardError or UsageError says what is allowed."""
    place, _, query = spec.partition("?")
    baud = _parse_baud(query, spec) if query else None
    if "://" in place or place.startswith(("/", ".")) or re.fullmatch(r"COM\d+", place):
        return DeviceSpec(port=place, baud=baud)
    name, pty = place, False
    if place not in board_names() and place.endswith("-pty"):
        name, pty = place.removesuffix("-pty"), True
    if name not in board_names():
        raise BoardError(
            f'There is no device "{place}".',
            f"Boards: {', '.join(board_names())}; a port begins with / or socket://.",
        )
    board = find_board(name)
    if board.emulator is None:
        raise BoardError(f"{name} has no emulator.", "Connect the board and give its port instead.")
    if (pty or baud) and board.emulator.kind != "process":
        raise BoardError(
            f"{name} runs in an emulator whose line is a socket without a speed.",
            f'Say "{name}", or "virtual{"-pty" if pty else ""}".',
        )
    return DeviceSpec(board, "", pty, baud)


@contextlib.contextmanager
def open_device(
    spec: str,
    policy: Policy | None = None,
    capacity: Capacity | None = None,
    trace: Callable[[str, bytes], None] | None = None,
) -> Iterator[Device]:
    """The device that `spec` names, connected; stopped, closed and ended on exit.

    policy: what it shall run: built into the firmware of a board that is started here, uploaded to
    a device that is there already unless it runs it. capacity: of the firmware that is built.
    trace: see `Device`. Raises whatever building, starting and connecting raise.
    """
    parsed = parse_device(spec)
    with contextlib.ExitStack() as stack:
        if parsed.board is None:
            transport = open_transport(parsed.port, parsed.baud)
        else:
            running = stack.enter_context(run_board(parsed, policy, capacity))
            transport = connect_running(running, parsed.baud)
        device = stack.enter_context(Device(transport, trace))
        if policy is not None and device.hello.policy_hash != policy.hash:
            device.upload(policy)
        yield device


@contextlib.contextmanager
def run_board(
    spec: DeviceSpec, policy: Policy | None = None, capacity: Capacity | None = None
) -> Iterator[Running]:
    """Builds the firmware of the board and runs a copy of it: others may build meanwhile."""
    check_emulator(spec.board)
    with tempfile.TemporaryDirectory(prefix="ecedge-") as folder:
        out = build_folder(spec.board)
        with lock_file(out.with_name(f".{out.name}.lock"), LOCK_DEADLINE):
            built: Build = build(policy, spec.board, out, capacity, "ecedge run")
            try:
                elf = shutil.copy2(built.elf, folder)
            except OSError as error:
                raise StorageError(
                    f"Cannot copy the firmware to {folder}: {reason(error)}.",
                    "Free some space there.",
                ) from error
        with launch(spec.board, elf, spec.pty, spec.baud) as running:
            yield running


def connect_running(running: Running, baud: int | None = None) -> Transport:
    """Opens the line to firmware that was just started, as soon as it is there."""
    deadline = time.monotonic() + START_DEADLINE
    while True:
        try:
            return open_transport(running.port, baud)
        except NoDevice:
            running.check()
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_PAUSE)


def probe(port: str, baud: int | None = None) -> Hello:
    """Who answers at a port. Raises LinkError when nobody does.

    Opening resets many boards, and HELLO takes the session from another host; else the device goes
    on as it was: it is not stopped.
    """
    device = Device(open_transport(port, baud))
    try:
        return device.connect()
    finally:
        device.close()


def probe_all(
    ports: Sequence[DeviceSpec], deadline: float = PROBE_DEADLINE
) -> list[Hello | EcedgeError]:
    """`probe` of every port, all at once; where none answers, the error that says so.

    Some drivers block for minutes while a port opens: one that takes `deadline` seconds is left.
    """
    answers: list[Hello | EcedgeError] = [
        LinkTimeout(f"{spec.port} took more than {deadline:g} s to open.", "Unplug it.")
        for spec in ports
    ]

    def ask(number: int, spec: DeviceSpec) -> None:
        try:
            answers[number] = probe(spec.port, spec.baud)
        except EcedgeError as error:
            answers[number] = error

    # Daemons: a thread that hangs in a driver must not keep the program from ending.
    asking = [threading.Thread(target=ask, args=each, daemon=True) for each in enumerate(ports)]
    for thread in asking:
        thread.start()
    end = time.monotonic() + deadline
    for thread in asking:
        thread.join(max(0.0, end - time.monotonic()))
    return list(answers)


def build_folder(board: Board) -> Path:
    """Where firmware for devices is built: the checkout's build/, else the user's cache."""
    root = sources_root()
    if (root / "ecedge").is_dir() and os.access(root, os.W_OK):
        return root / "build/devices" / board.name
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ecedge/devices" / board.name


def _parse_baud(query: str, spec: str) -> int:
    found = re.fullmatch(r"baud=(\d{1,8})", query)
    if not found or int(found.group(1)) < SLOWEST:
        raise UsageError(
            f'"{spec}" has an option that is not baud=N with N of {SLOWEST} or more.',
            "Say baud=115200.",
        )
    return int(found.group(1))
