"""A device to test, over its link alone.

pytest hil_tests                              the virtual device
pytest hil_tests --board virtual --board mps2-an386
pytest hil_tests --port /dev/ttyACM0?baud=115200
pytest hil_tests --kills 100 -k killed           many hosts that die at random moments
pytest hil_tests --long                       10,000 control steps, 1,000 of every network
pytest hil_tests -n 2 --dist loadgroup        two devices at a time
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial

import pytest
from twins import random_policy

from ecedge.boards import Board, Capacity, find_plant
from ecedge.boards.emulator import Running
from ecedge.devices import DeviceSpec, connect_running, parse_device, run_board
from ecedge.errors import LinkError, ToolError
from ecedge.link import Device, Transport, open_transport
from ecedge.model import NetworkSpec, Policy

#: of the firmware under test, as far as the board has room
CAPACITY = Capacity(max_payload=512, obs=128, act=32, neurons=512, policy_ram=65536)
BUILT_IN = random_policy(seed=7, n_obs=3, n_act=2, n_neurons=32)
PLANT = find_plant("cart-pole")  # on the device's side


def pytest_addoption(parser):
    group = parser.getgroup("hil", "hardware in the loop")
    group.addoption("--board", action="append", help="a board to start (virtual); repeatable")
    group.addoption("--port", action="append", help="a device that is there; repeatable")
    group.addoption("--steps", type=int, default=1000, help="control steps of the long run (1000)")
    group.addoption("--kills", type=int, help="hosts to kill, of two kinds each (3; emulated 1)")
    group.addoption("--long", action="store_true", help="10,000 steps, and 1,000 of each network")


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "networks(specs): a test for each NetworkSpec, by its name, that fits",
    )


def pytest_generate_tests(metafunc):
    if "rig" not in metafunc.fixturenames:
        return
    ports = metafunc.config.getoption("port") or []
    boards = metafunc.config.getoption("board") or ([] if ports else ["virtual"])
    if mark := metafunc.definition.get_closest_marker("networks"):
        pairs = [
            pytest.param(name, network, id=f"{name}-{network}")
            for name in boards + ports
            for network, spec in mark.args[0].items()
            if holds(name, spec)
        ]
        metafunc.parametrize(("rig", "network"), pairs, indirect=["rig"], scope="session")
    else:
        metafunc.parametrize("rig", boards + ports, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """One device after another, each in one of the processes of `-n`: pytest would go from one to
    the next with every network, and build and start each again."""
    rigs = [getattr(item, "callspec", None) and item.callspec.params.get("rig") for item in items]
    order = {name: place for place, name in enumerate(dict.fromkeys(rigs))}
    places = {id(item): order[name] for item, name in zip(items, rigs, strict=True)}
    items.sort(key=lambda item: places[id(item)])
    for item, name in zip(items, rigs, strict=True):
        if name:
            item.add_marker(pytest.mark.xdist_group(name))


def capacity_of(board: Board) -> Capacity:
    """What the firmware under test has room for."""
    return Capacity(
        *(min(getattr(CAPACITY, f.name), getattr(board.limits, f.name)) for f in fields(Capacity))
    )


def holds(name: str, spec: NetworkSpec) -> bool:
    """Whether the device can run such a network; of a port nobody knows before it is opened."""
    board = parse_device(name).board
    if board is None:
        return True
    capacity = capacity_of(board)
    return capacity.holding(spec) == capacity


@dataclass
class Rig:
    """One device for the whole session, and how to open its line again."""

    name: str
    spec: DeviceSpec
    running: Running | None  # None: it was there before us
    built_in: Policy | None  # None: whatever the device came with
    device: Device | None = None

    @property
    def is_emulated(self) -> bool:
        return self.running is not None and self.spec.board.emulator.kind != "process"

    def open(self) -> Transport:
        if self.running is None:
            return open_transport(self.spec.port, self.spec.baud)
        return connect_running(self.running, self.spec.baud)

    def connect(self) -> Device:
        """A new line and a new session."""
        self.close()
        self.device = Device(self.open())
        self.device.connect()
        return self.device

    def close(self) -> None:
        if self.device:
            self.device.close()
        self.device = None


@pytest.fixture(scope="session")
def rig(request) -> Iterator[Rig]:
    spec = parse_device(request.param)
    if spec.board is None:
        rig = Rig(request.param, spec, None, None)
        rig.connect()
        yield rig
        rig.close()
        return
    try:
        context = run_board(spec, BUILT_IN, capacity_of(spec.board), PLANT)
        running = context.__enter__()
    except ToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    try:
        rig = Rig(request.param, spec, running, BUILT_IN)
        rig.connect()
        yield rig
        rig.close()
    finally:
        context.__exit__(None, None, None)


@pytest.fixture
def device(rig) -> Device:
    """The device, connected and at rest."""
    try:
        if rig.device is None:
            rig.connect()
        rig.device.stop()
    except LinkError:
        rig.connect().stop()
    return rig.device


@pytest.fixture
def tell(record_property):
    """Adds a line to what the run prints at its end."""
    return partial(record_property, "hil")


def pytest_terminal_summary(terminalreporter):
    passed = terminalreporter.stats.get("passed", [])
    lines = [line for report in passed for name, line in report.user_properties if name == "hil"]
    if lines:
        terminalreporter.section("hardware in the loop")
    for line in lines:
        terminalreporter.write_line(line)
