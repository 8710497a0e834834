"""What a control step costs on the boards: instructions, counted by their emulators.

    python bench/boards.py [--board mps2-an386 ...] [--neurons 256 64] [--rates 0.1 1]

QEMU counts instructions (-icount), simavr and rp2040js cycles; neither knows wait states, so these
are no board's times. The policies are made so that exactly the given part of the neurons spikes in
every substep, everything else random: 4 observations, 3 outputs. A substep's cost is the slope
over the number of substeps; the rest, input layer and reply to the clock, is told by itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace

import numpy as np

from ecedge import reference
from ecedge.boards import Board, board_names, find_board
from ecedge.boards.build import build
from ecedge.boards.emulator import launch
from ecedge.devices import connect_running
from ecedge.errors import EcedgeError
from ecedge.link import Device
from ecedge.model import NetworkSpec, ObservationMap, Policy

SUBSTEPS = (1, 17)
STEPS = 3  # the first finds no spikes to sum up
SHIFT = 4  # QEMU: an instruction is 2^SHIFT ns


def steady_policy(neurons: int, rate: float, substeps: int, seed: int = 0) -> Policy:
    """A policy of which the same round(rate N) neurons spike in every substep, if fed with ones.

    They are the inhibitory ones and do not inhibit each other; where all spike, all excite.
    """
    rng = np.random.default_rng(seed)
    n_obs, n_act = 4, 3
    spiking = round(rate * neurons)
    n_exc = neurons if rate == 1 else neurons - spiking
    spec = NetworkSpec(n_obs, n_act, neurons, substeps=substeps, n_exc=n_exc)
    bits = rng.random((2 * n_obs + neurons + n_act, neurons)) < 0.5
    drive = np.arange(neurons) >= neurons - spiking
    bits[:n_obs] = drive
    bits[n_obs : 2 * n_obs] = False
    if rate < 1:
        bits[2 * n_obs : -n_act, drive] = False
    same = np.ones(n_obs, int)
    observations = ObservationMap(0 * same, 100 * same, 0 * same, 0 * same)
    synapses = np.packbits(bits.ravel(), bitorder="little").view("<u4")
    return reference.with_golden_trace(Policy(spec, observations, synapses), 2)


def count(device: Device, policy: Policy, board: Board) -> float:
    """Instructions, or cycles, of a control step in which the wanted neurons spike."""
    device.upload(policy)
    device.reset(digest=False)
    for _ in range(STEPS):
        reply = device.step(np.ones(policy.spec.n_obs, np.int16))
    ticks = reply.ticks
    if board.emulator.kind == "qemu":
        return ticks * 1e9 / board.tick_hz / 2**SHIFT, reply.spikes
    return ticks, reply.spikes


def measure(board: Board, neurons: int, rates: list[float]) -> list[str]:
    """A line of the table for each rate."""
    policies = {(rate, k): steady_policy(neurons, rate, k) for rate in rates for k in SUBSTEPS}
    largest = max(policies.values(), key=lambda policy: len(policy.image))
    capacity = replace(board.limits, policy_ram=max(board.limits.policy_ram, len(largest.image)))
    capacity = capacity.holding(largest.spec)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        built = build(None, board, folder, capacity, "python bench/boards.py")
        counting = ["-icount", f"shift={SHIFT},align=off"] if board.emulator.kind == "qemu" else []
        with launch(board, built.elf, extra=counting) as running:
            with Device(connect_running(running)) as device:
                for rate in rates:
                    few, many = SUBSTEPS
                    base, _ = count(device, policies[rate, few], board)
                    total, spikes = count(device, policies[rate, many], board)
                    each = (total - base) / (many - few)
                    lines.append(
                        f"| {board.name} | {neurons} | {spikes / many:.0f} | {each:,.0f} "
                        f"| {base - each:,.0f} | {16 * each + base - each:,.0f} |"
                    )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", action="append")
    parser.add_argument("--neurons", type=int, nargs="+", default=[256])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.5, 1])
    arguments = parser.parse_args()
    names = arguments.board or [name for name in board_names() if name != "virtual"]
    print("| board | neurons | spikes | a substep | input layer | 16 substeps |")
    print("|---|---|---|---|---|---|")
    for name in names:
        for neurons in arguments.neurons:
            try:
                print("\n".join(measure(find_board(name), neurons, arguments.rates)), flush=True)
            except EcedgeError as error:
                print(f"{name}, {neurons} neurons: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
