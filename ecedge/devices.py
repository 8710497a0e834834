"""A connected device from a name: where boards and the link meet.

virtual                the firmware as a process of this machine, on a socket
virtual?baud=115200    the same on a line of that speed
virtual?baud=115200&fastest=1000000   and up to that one once both ends have agreed
virtual-pty            the same on a pseudo terminal
mps2-an386             any board with an emulator
/dev/ttyACM0?baud=N    a serial port (COM3 on Windows); &fastest=N behind it, too
socket://HOST:PORT     a device that listens somewhere
left                   what a rig file calls so: docs/RIG.md
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
from .errors import (
    BoardError,
    EcedgeError,
    LinkTimeout,
    NoDevice,
    RigError,
    StorageError,
    UsageError,
)
from .link import Device, Hello, Transport, open_transport, serial_ports
from .link.transport import BAUDS
from .model import Policy
from .rig import Rig, RigDevice, parse_rig
from .storage import lock_file, reason

RIG_FILE = Path("rig.toml")  # where none is named
LOCK_DEADLINE = 120.0  # seconds for another process to finish its build
RETRY_PAUSE = 0.02
PORT = re.compile(r"/|\.|COM\d+\Z|.*://")  # how the name of one begins
PROBE_DEADLINE = 45.0  # seconds: HELLO's whole patience on the slowest line, and opening it


@dataclass(frozen=True)
class DeviceSpec:
    """What a device spec string means: a `board` that is started here, or a `port` to open.

    expected: who must answer there, by the rig. reset: begin the board anew once its port is open.
    fastest: as of `Device`.
    """

    board: Board | None = None
    port: str = ""
    pty: bool = False
    baud: int | None = None
    reset: bool = False
    expected: RigDevice | None = None
    fastest: int | None = None

    @property
    def emulated(self) -> bool:
        """Whether its clock tells nothing of a board's."""
        return self.board is not None and not self.board.is_host


def parse_device(spec: str) -> DeviceSpec:
    """Reads a device spec (see the module); BoardError or UsageError says what is allowed."""
    place, _, query = spec.partition("?")
    speeds = _parse_speeds(query, spec) if query else {}
    if PORT.match(place):
        return DeviceSpec(port=place, **speeds)
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
    if (pty or speeds) and board.emulator.kind != "process":
        raise BoardError(
            f"{name} runs in an emulator whose line is a socket without a speed.",
            f'Say "{name}", or "virtual{"-pty" if pty else ""}".',
        )
    return DeviceSpec(board, "", pty, **speeds)


def read_rig(path: Path = RIG_FILE) -> Rig:
    """The rig of a file. RigError says what is wrong with it."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise RigError(
            f"There is no rig file {path}.", "docs/RIG.md tells how one looks."
        ) from None
    except UnicodeDecodeError as error:
        raise RigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}.") from error
    except OSError as error:
        raise RigError(f"{path} cannot be read: {reason(error)}.") from error
    rig = parse_rig(text, f"{path}")
    for device in rig.devices:
        if device.name.removesuffix("-pty") in board_names() or PORT.match(device.name):
            raise RigError(
                f'{path}: "{device.name}" means something else already.',
                f'Call the device "my-{device.name}", or by its place.',
            )
        if device.emulate:
            _check_emulated(device, f"{path}: devices.{device.name}.emulate")
    return rig


def _check_emulated(device: RigDevice, key: str) -> None:
    try:
        spec = parse_device(device.emulate)
    except UsageError as error:
        raise RigError(f"{key}: {error.message}", error.hint) from error
    if spec.board is None:
        raise RigError(
            f"{key} is the port {spec.port}; it is a board to start here.",
            "Name a connected device by usb_serial or chip_id: names of ports change.",
        )


def find_device(name: str, rig: Rig | None = None) -> DeviceSpec:
    """What `name` stands for: a device of the rig, else a device spec (see the module).

    A device that is known by its chip id alone is looked for at every port that is no other's.
    Raises NoDevice when the rig's device is not there.
    """
    device = rig.find(name) if rig else None
    if device:
        return locate(rig, device)
    try:
        return parse_device(name)
    except BoardError as error:
        if rig is None:
            raise
        known = f"{rig.where} names {', '.join(rig.names)}."
        raise BoardError(error.message, f"{known} {error.hint}") from error


def locate(rig: Rig, device: RigDevice) -> DeviceSpec:
    """Where the rig's device is now; see `find_device`."""
    if device.emulate:
        return parse_device(device.emulate)
    ports = serial_ports()
    asked = [DeviceSpec(port=p.name, baud=device.baud) for p in rig.ports_to_ask(device, ports)]
    answers = zip(asked, probe_all(asked), strict=True)
    hellos = {spec.port: answer for spec, answer in answers if isinstance(answer, Hello)}
    port = rig.resolve(device, ports, hellos)
    reset = device.on_open == "reset"
    return DeviceSpec(
        port=port.name,
        baud=device.baud,
        reset=reset,
        expected=device,
        fastest=device.fastest,
    )


@contextlib.contextmanager
def open_device(
    spec: str | DeviceSpec,
    policy: Policy | None = None,
    capacity: Capacity | None = None,
    trace: Callable[[str, bytes], None] | None = None,
    plant: Path | None = None,
) -> Iterator[Device]:
    """The device that `spec` names, connected; stopped, closed and ended on exit.

    spec: see the module, or what `find_device` found; who answers there but is not who the rig
    expects is left as it was, and is NoDevice.
    policy: what it shall run: built into the firmware of a board that is started here, uploaded to
    a device that is there already unless it runs it. capacity, plant: of the firmware that is
    built; see `ecedge.boards.build`. trace: see `Device`. Raises whatever building, starting and
    connecting raise.
    """
    parsed = parse_device(spec) if isinstance(spec, str) else spec
    with contextlib.ExitStack() as stack:
        if parsed.board is None:
            transport = open_transport(parsed.port, parsed.baud)
            stack.callback(transport.close)
            if parsed.reset:
                transport.reset_board()
        else:
            running = stack.enter_context(run_board(parsed, policy, capacity, plant))
            transport = connect_running(running, parsed.baud)
        device = stack.enter_context(Device(transport, trace, fastest=parsed.fastest))
        if parsed.expected:
            parsed.expected.check(device.hello, parsed.port)
        if policy is not None and device.hello.policy_hash != policy.hash:
            device.upload(policy)
        yield device


@contextlib.contextmanager
def run_board(
    spec: DeviceSpec,
    policy: Policy | None = None,
    capacity: Capacity | None = None,
    plant: Path | None = None,
) -> Iterator[Running]:
    """Builds the firmware of the board and runs a copy of it: others may build meanwhile."""
    check_emulator(spec.board)
    with tempfile.TemporaryDirectory(prefix="ecedge-") as folder:
        out = build_folder(spec.board)
        with lock_file(out.with_name(f".{out.name}.lock"), LOCK_DEADLINE):
            built: Build = build(policy, spec.board, out, capacity, "ecedge run", plant=plant)
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


def _parse_speeds(query: str, spec: str) -> dict[str, int]:
    pairs = re.fullmatch(r"baud=(\d{1,8})(?:&fastest=(\d{1,8}))?", query)
    speeds = {"baud": pairs[1], "fastest": pairs[2]} if pairs else {}
    speeds = {name: int(text) for name, text in speeds.items() if text}
    if not speeds or not all(baud in BAUDS for baud in speeds.values()):
        raise UsageError(
            f'"{spec}" has an option that is not baud=N with N of {BAUDS.start} or more.',
            "Say baud=115200, or baud=115200&fastest=1000000 in quotation marks.",
        )
    return speeds
