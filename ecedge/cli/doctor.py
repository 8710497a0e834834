"""`ecedge doctor`: what is there, what is missing, and the command that gets it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version

import typer

from ..errors import EcedgeError
from .options import AsJson


@dataclass(frozen=True)
class Finding:
    """`remedy` is empty where nothing is missing; `required`: ecedge does not work without it."""

    name: str
    found: str
    remedy: str = ""
    required: bool = False

    @property
    def good(self) -> bool:
        return not self.remedy


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what is missing, and the command that gets it."""
    findings = list(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark = "ok" if finding.good else "MISSING" if finding.required else "absent"
            print(f"{mark:8} {finding.name:24} {finding.found}")
            if finding.remedy:
                print(f"{'':8} {'':24} {finding.remedy}")
    if any(finding.required and not finding.good for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    yield Finding("Python", sys.version.split()[0])
    yield from examine_packages()
    yield examine_engine()
    yield from examine_boards()
    yield examine_ports()


def examine_packages() -> Iterator[Finding]:
    try:
        requirements = requires("ecedge") or []
    except PackageNotFoundError:
        yield Finding("ecedge", "not installed, run from its sources", "pip install -e .")
        requirements = []
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement).group()
        optional = "extra ==" in requirement
        if requirement.startswith("gymnasium[mujoco]"):
            name = "mujoco"
        if requirement.startswith("gymnasium[classic-control]"):
            name = "pygame"
        if optional and ("'dev'" in requirement or '"dev"' in requirement):
            continue
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            wanted = requirement.split(";")[0].strip()
            yield Finding(name, "not installed", f"pip install '{wanted}'", not optional)


def examine_engine() -> Finding:
    """Loads the C library and lets every kernel prove itself on a golden trace."""
    try:
        found = prove_engine()
    except EcedgeError as error:
        return Finding("engine", error.message, error.hint, True)
    return Finding("engine", found)


def prove_engine() -> str:
    import numpy as np

    from ..engine import CoreNetwork, kernels
    from ..model import NetworkSpec, ObservationMap, Policy
    from ..reference import sample_synapses, with_golden_trace

    spec = NetworkSpec(n_obs=3, n_act=2, n_neurons=64)
    rho = np.full(spec.n_synapses, 1 << 15, np.uint16)
    unit = ObservationMap.from_statistics(np.zeros(3), np.ones(3), 20.0)
    policy = with_golden_trace(Policy(spec, unit, sample_synapses(rho, 1, 2, 3)))
    if CoreNetwork(policy).golden_crc() != policy.golden_crc:
        raise EcedgeError("The C library does not give the reference's bits.", "Build it again.")
    return f"bit-equal to the reference; kernels: {', '.join(kernels())}"


def examine_boards() -> Iterator[Finding]:
    from ..boards import board_names, find_board
    from ..boards.emulator import check_emulator
    from ..boards.toolchain import find_toolchain

    for name in board_names():
        board = find_board(name)
        try:
            yield Finding(f"compiler, {name}", find_toolchain(board).name)
        except EcedgeError as error:
            yield Finding(f"compiler, {name}", "none", error.hint)
        if board.emulator and not board.is_host:
            try:
                check_emulator(board)
                yield Finding(f"emulator, {name}", shutil.which(board.emulator.program))
            except EcedgeError as error:
                yield Finding(f"emulator, {name}", "none", error.hint)


def examine_ports() -> Finding:
    from ..link import serial_ports

    names = [port.name for port in serial_ports()]
    return Finding("serial ports", ", ".join(names) if names else "none found")
