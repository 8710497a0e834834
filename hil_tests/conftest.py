"""A device to test, over its link alone.

pytest hil_tests                              the virtual device
pytest hil_tests --board virtual --board mps2-an386
pytest hil_tests --port /dev/ttyACM0?baud=115200
pytest hil_tests --kills 100 -k killed           many hosts that die at random moments
pytest hil_tests --long                       100,000 control steps, 1,000 of every network
pytest hil_tests --board … -n 2              two devices at a time
"""

from __future__ import annotations

import os
from functools import partial

import pytest
from twins import random_policy

from ecedge.boards import Capacity, find_plant
from ecedge.devices import parse_device
from ecedge.model import NetworkSpec
from ecedge.pytest_plugin import PARAMETER, Firmware, device_of

pytest_plugins = ["ecedge.pytest_plugin"]  # a checkout that is not installed has no entry point

#: of the boards under test, as far as they have room
FIRMWARE = Firmware(
    random_policy(seed=7, n_obs=3, n_act=2, n_neurons=32),
    Capacity(max_payload=512, obs=128, act=32, neurons=512, policy_ram=65536),
    find_plant("cart-pole"),
)


def pytest_addoption(parser):
    group = parser.getgroup("hil", "hardware in the loop")
    for option, help in (
        ("--board", "a board to start (virtual)"),
        ("--port", "a device there is"),
    ):
        group.addoption(option, action="append", dest=PARAMETER, help=f"{help}; repeatable")
    group.addoption("--steps", type=int, default=1000, help="control steps of the long run (1000)")
    group.addoption("--kills", type=int, help="hosts to kill, of each kind (3; emulated 1)")
    group.addoption("--long", action="store_true", help="100,000 steps, and 1,000 of each network")


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "networks(specs): a test for each NetworkSpec, by its name, that fits",
    )
    config.addinivalue_line("markers", "room(size): a test where uploads have so many bytes")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With CI=true nothing is skipped: what a device has no room for is deselected before."""
    report = (yield).get_result()
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, in CI: {report.longrepr[2]}"


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc):
    if mark := metafunc.definition.get_closest_marker("networks"):
        metafunc.parametrize("network", mark.args[0])


def pytest_collection_modifyitems(config, items):
    """Leaves out what a device has no room for."""
    config.hook.pytest_deselected(items=[item for item in items if not fits(item)])
    items[:] = [item for item in items if fits(item)]


def fits(item) -> bool:
    if mark := item.get_closest_marker("networks"):
        return holds(device_of(item), mark.args[0][item.callspec.params["network"]])
    if mark := item.get_closest_marker("room"):
        capacity = capacity_of(device_of(item))
        return capacity is None or capacity.policy_ram >= mark.args[0]
    return True


def holds(name: str, spec: NetworkSpec) -> bool:
    """Whether the device can run such a network."""
    capacity = capacity_of(name)
    return capacity is None or capacity.holding(spec) == capacity


def capacity_of(name: str) -> Capacity | None:
    """A device's; None of a port, which nobody knows before it is opened."""
    board = parse_device(name).board
    return FIRMWARE.capacity_on(board) if board else None


@pytest.fixture(scope="session")
def ecedge_firmware() -> Firmware:
    return FIRMWARE


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
