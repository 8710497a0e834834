"""pytest on devices: the fixtures `device` and `rig`, once for every device asked for. docs/HIL.md

pytest                                               the virtual device
pytest --ecedge-device mps2-an386 --ecedge-device /dev/ttyACM0?baud=115200
pytest --ecedge-rig rig.toml                         every device of a rig
pytest --ecedge-rig rig.toml --ecedge-device left
pytest --ecedge-rig rig.toml -n 4                    four devices at a time, by pytest-xdist

Every pytest of an environment loads this module: it imports what it needs when it needs it, and
its options and hooks touch nothing but the two fixtures. PYTEST_DONT_REWRITE: it asserts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .errors import EcedgeError, LinkError, NoDevice, ToolError

if TYPE_CHECKING:
    from .boards import Board, Capacity
    from .boards.emulator import Running
    from .devices import DeviceSpec
    from .link import Device, Transport
    from .model import Policy

PARAMETER = "ecedge_device"
RIG = pytest.StashKey()  # of --ecedge-rig; None without


@dataclass(frozen=True)
class Firmware:
    """What a board that is started here holds: a policy that is built in, room for others as far as
    the board has it, and a plant in C (docs/PLANT.md). None: no policy, the board's usual room, no
    plant."""

    policy: Policy | None = None
    capacity: Capacity | None = None
    plant: Path | None = None

    def capacity_on(self, board: Board) -> Capacity | None:
        if self.capacity is None:
            return None
        names = [field.name for field in fields(self.capacity)]
        least = [min(getattr(self.capacity, n), getattr(board.limits, n)) for n in names]
        return type(self.capacity)(*least)


@dataclass
class DeviceUnderTest:
    """One device for the whole session, and how to open its line again.

    running: its emulator, None where it was there before us. built_in: the policy that we built
    into it, None where that is whatever it came with. device: who answers on its line now.
    """

    name: str
    spec: DeviceSpec
    running: Running | None = None
    built_in: Policy | None = None
    device: Device | None = None

    @property
    def is_emulated(self) -> bool:
        return self.running is not None and self.spec.board.emulator.kind != "process"

    def open(self) -> Transport:
        """A new line to it; there must be no other."""
        from .devices import connect_running
        from .link import open_transport

        if self.running:
            return connect_running(self.running, self.spec.baud)
        transport = open_transport(self.spec.port, self.spec.baud)
        if self.spec.reset:
            transport.reset_board()
        return transport

    def connect(self) -> Device:
        """A new line and a new session."""
        from .link import Device

        self.close()
        self.device = Device(self.open())
        hello = self.device.connect()
        if self.spec.expected:
            self.spec.expected.check(hello, self.spec.port)
        return self.device

    def close(self) -> None:
        if self.device:
            self.device.close()
        self.device = None


# --- which devices --------------------------------------------------------------------------


def pytest_addoption(parser):
    group = parser.getgroup("ecedge", "devices of ecedge")
    group.addoption(
        "--ecedge-device",
        action="append",
        dest=PARAMETER,  # said, so that a conftest may have an option of its own for it
        metavar="DEVICE",
        help="test this one: virtual, a board to emulate, a port, a name of the rig; repeatable",
    )
    group.addoption("--ecedge-rig", metavar="RIG", help="a rig file: test all of its devices")


def pytest_configure(config):
    config.stash[RIG] = None
    if path := config.getoption("ecedge_rig"):
        from .devices import read_rig

        try:
            config.stash[RIG] = read_rig(Path(path))
        except EcedgeError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc):
    if PARAMETER in metafunc.fixturenames:
        names = device_names(metafunc.config)
        metafunc.parametrize(PARAMETER, names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """One device after another: pytest would go from one to the next with every other parameter,
    and start each again."""
    names = {item: device_of(item) for item in items}
    order = {name: place for place, name in enumerate(dict.fromkeys(names.values()))}
    items.sort(key=lambda item: order[names[item]])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """All tests of a device that was asked for in one of the processes of `-n`: it has one line.
    Others as `--dist` says, where xdist's markers of groups are heard by some versions alone."""
    dist = config.getvalue("dist")
    if dist == "each" or not (config.getoption(PARAMETER) or config.stash[RIG]):
        return None
    from xdist import scheduler

    by = {"loadfile": scheduler.LoadFileScheduling, "loadscope": scheduler.LoadScopeScheduling}
    names = device_names(config)

    class ByDevice(by.get(dist, scheduler.LoadGroupScheduling)):
        def _split_scope(self, nodeid: str) -> str:
            return device_in(nodeid, names) or super()._split_scope(nodeid)

    return ByDevice(config, log)


def device_in(nodeid: str, names: list[str]) -> str | None:
    """The device among a test's parameters, as its id tells them."""
    parameters = nodeid.partition("[")[2].rpartition("]")[0]
    found = [name for name in names if f"-{name}-" in f"-{parameters}-"]
    return max(found, key=len, default=None)


def device_of(item) -> str | None:
    """The name of the device that a test is for."""
    call = getattr(item, "callspec", None)
    return call.params.get(PARAMETER) if call else None


def device_names(config) -> list[str]:
    """The devices that were asked for."""
    if named := config.getoption(PARAMETER):
        return list(dict.fromkeys(named))
    rig = config.stash[RIG]
    return rig.names if rig else ["virtual"]


# --- fixtures -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ecedge_device(request) -> str:
    """The name of the device under test."""
    return request.param


@pytest.fixture(scope="session")
def ecedge_firmware() -> Firmware:
    """What boards that are started here hold. Override it for a policy that is built in."""
    return Firmware()


@pytest.fixture(scope="session")
def rig(ecedge_device, ecedge_firmware, pytestconfig) -> Iterator[DeviceUnderTest]:
    """The device under test, connected, with what there is to know of it.

    What isn't there, or has no emulator here, is skipped; with CI=true in the environment it fails.
    A device in the rig's quarantine is skipped always.
    """
    from .devices import find_device, run_board

    desk = pytestconfig.stash[RIG]
    if desk and desk.find(ecedge_device):
        skip_quarantined(Path(desk.where), desk.names, ecedge_device)
    with ExitStack() as stack:
        try:
            spec = find_device(ecedge_device, desk)
            running = None
            if spec.board:
                capacity = ecedge_firmware.capacity_on(spec.board)
                firmware = ecedge_firmware.policy, capacity, ecedge_firmware.plant
                running = stack.enter_context(run_board(spec, *firmware))
        except (ToolError, NoDevice) as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))
        found = DeviceUnderTest(
            ecedge_device, spec, running, ecedge_firmware.policy if running else None
        )
        stack.callback(found.close)
        found.connect()
        yield found


@pytest.fixture
def device(rig) -> Device:
    """The device under test as an `ecedge.link.Device`, connected and at rest."""
    try:
        if rig.device is None:
            rig.connect()
        rig.device.stop()
    except LinkError:
        rig.connect().stop()
    return rig.device


def skip_quarantined(rig: Path, names: list[str], name: str) -> None:
    from .testrun import read_quarantine

    if entry := read_quarantine(rig, names).find(name, date.today()):
        pytest.skip(f"{name}: {entry}")
