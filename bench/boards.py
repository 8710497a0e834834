"""What boards need: instructions, counted by their emulators, and flash, RAM and stack.

    python bench/boards.py [--board mps2-an386 ...] [--neurons 256 64] [--rates 0.1 0.5 1]
    python bench/boards.py --costs [--board mps2-an386 ...]

Prints a table in Markdown, for every board with its kernels and without: "C" is the core's own.
With --costs it measures many networks instead and writes firmware/costs.csv, from
which `ecedge report` tells what a policy will need; lines of other boards stay.

QEMU counts instructions (-icount), simavr and rp2040js cycles; neither knows wait states, so these
are no board's times. The policies are made so that exactly the given part of the neurons spikes in
every substep, everything else random: 4 observations, 3 outputs. They are uploaded; for the table
a board makes room for that, where it has it. A substep's cost is the slope over the number of
substeps; the rest, input layer and reply to the clock, is told by itself. The neurons that spike
lie side by side, which is how costs are fitted, and, for the column "spread", evenly spread over
all, half of them inhibitory: a list of them then looks into every word.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ecedge import reference
from ecedge.boards import Board, board_names, find_board
from ecedge.boards.build import Build, build
from ecedge.boards.costs import Costs, Load, fit, parts, read_costs, write_costs
from ecedge.boards.emulator import check_emulator, launch
from ecedge.boards.toolchain import find_toolchain
from ecedge.devices import connect_running
from ecedge.errors import DoesNotFit, EcedgeError, WorldError
from ecedge.link import Device
from ecedge.model import SIGNED, NetworkSpec, ObservationMap, Policy

SUBSTEPS = (1, 17)
STEPS = 3  # the first finds no spikes to sum up
SHIFT = 4  # QEMU: an instruction is 2^SHIFT ns
BITS = 3  # in an observation
SLOW = {"current_shift": 2, "membrane_shift": 4}  # not what firmware without a policy is made for


def steady_policy(spec: NetworkSpec, load: Load, spread: bool = False, seed: int = 0) -> Policy:
    """A policy of which the same neurons spike in every substep, if fed with ones.

    They are the last ones and inhibit, or lie evenly spread and inhibit in the upper half; the
    others get nothing but inhibition from them. Where all spike, all excite; in the signed form
    those that spike excite each other.
    """
    rng = np.random.default_rng(seed)
    n_obs, neurons = spec.n_obs, spec.n_neurons
    is_signed = spec.form == SIGNED
    inhibiting = neurons // 2 if spread else load.spikes
    if is_signed or load.spikes == neurons:
        inhibiting = 0
    spec = replace(spec, n_exc=neurons - inhibiting, **({} if load.fast else SLOW))
    bits = rng.random((spec.n_rows, neurons)) < 0.5
    place = np.arange(neurons)
    drive = place >= neurons - load.spikes
    if spread:
        drive = (place + 1) * load.spikes // neurons > place * load.spikes // neurons
    bits[:n_obs] = drive
    bits[n_obs : 2 * n_obs] = False
    recurrent = bits[spec.rows_rec]
    if is_signed:
        recurrent[drive] = drive
    elif inhibiting:
        recurrent[:, drive] = False
        recurrent[: spec.n_exc][drive[: spec.n_exc]] = False
    same = np.ones(n_obs, int)
    magnitude = 0x7F & ~(0x3F >> load.bits - 1)  # the upper bits, so that few observations do
    observations = ObservationMap(0 * same, magnitude * same, 0 * same, 0 * same)
    synapses = np.packbits(bits.ravel(), bitorder="little").view("<u4")
    return reference.with_golden_trace(Policy(spec, observations, synapses), 2)


@contextlib.contextmanager
def counting(board: Board) -> Iterator[tuple[Build, Device]]:
    """Firmware without a policy that runs where its instructions or cycles are counted."""
    words = ["-icount", f"shift={SHIFT},align=off"] if board.emulator.kind == "qemu" else []
    with tempfile.TemporaryDirectory() as folder:
        built = build(None, board, folder, command="python bench/boards.py")
        with launch(board, built.elf, extra=words) as running:
            with Device(connect_running(running)) as device:
                yield built, device


def unit(board: Board) -> str:
    return "instructions" if board.emulator.kind == "qemu" else "cycles"


def counted(board: Board, ticks: float) -> float:
    """The instructions, or cycles, of so many ticks of its clock."""
    return ticks * 1e9 / board.tick_hz / 2**SHIFT if board.emulator.kind == "qemu" else ticks


def count(
    device: Device, board: Board, spec: NetworkSpec, load: Load, spread: bool = False
) -> float:
    """Instructions, or cycles, of a control step."""
    policy = steady_policy(spec, load, spread)
    device.upload(policy)
    device.reset(digest=False)
    for _ in range(STEPS):
        reply = device.step(np.ones(spec.n_obs, np.int16))
    if reply.spikes != load.spikes * spec.substeps:
        raise WorldError(f"{reply.spikes} spikes came, not {load.spikes} in each substep.")
    return counted(board, reply.ticks)


def holds(board: Board, spec: NetworkSpec) -> bool:
    """Whether its firmware takes that network as an upload."""
    return board.limits.holding(spec) == board.limits


# -- the table -----------------------------------------------------------------------------------


def table_spec(neurons: int, substeps: int) -> NetworkSpec:
    return NetworkSpec(4, 3, neurons, substeps=substeps)


def substep(
    device: Device, board: Board, neurons: int, load: Load, spread: bool = False
) -> tuple[float, float]:
    """What a substep costs, and the rest of a control step."""
    few, many = SUBSTEPS
    base, total = (
        count(device, board, table_spec(neurons, substeps), load, spread) for substeps in SUBSTEPS
    )
    each = (total - base) / (many - few)
    return each, base - few * each


def measure(board: Board, neurons: int, rates: list[float]) -> Iterator[str]:
    """A line of the table for each rate. DoesNotFit: the board can't have room for that many."""
    roomy = replace(board, limits=board.limits.holding(table_spec(neurons, 1)))
    with counting(roomy) as (built, device):
        for rate in rates:
            load = Load(round(rate * neurons), BITS)
            each, rest = substep(device, board, neurons, load)
            spread, _ = substep(device, board, neurons, load, spread=True)
            yield (
                f"| {board.name} | {' '.join(board.kernels) or 'C'} | {neurons} | {load.spikes} "
                f"| {each:,.0f} | {spread:,.0f} | {rest:,.0f} | {16 * each + rest:,.0f} "
                f"{unit(board)} | {built.sizes.flash:,} | {built.sizes.ram:,} "
                f"| {built.stack.worst:,} |"
            )


def print_table(boards: list[Board], neurons: list[int], rates: list[float]) -> None:
    print("Counted by emulators: instructions, not a board's cycles. Bytes of firmware without a")
    print("policy; RAM with room for uploads as board.toml sets, and for these; stack at worst.\n")
    print(
        "| board | kernels | neurons | spikes | a substep | spread | input layer | 16 substeps "
        "| flash | RAM | stack |"
    )
    print("|" + "---|" * 11)
    for board in boards:
        for variant in variants(board):
            for number in neurons:
                try:
                    for line in measure(variant, number, rates):
                        print(line, flush=True)
                except DoesNotFit as error:
                    print(f"{board.name} takes no {number} neurons: {error}", file=sys.stderr)


# -- the costs -----------------------------------------------------------------------------------


def cases() -> Iterator[tuple[NetworkSpec, Load]]:
    """What the costs are fitted to: one number after another is varied."""
    for neurons in (32, 64, 128, 256, 512):
        spec, few, half = NetworkSpec(4, 3, neurons, substeps=9), neurons // 8, neurons // 2
        for spikes in {0, few // 2, few, neurons // 4, half - 5, half, half + 1, neurons}:
            yield spec, Load(spikes, BITS)
        for n_obs, bits in ((1, 1), (1, 7), (4, 3), (12, 1), (12, 5), (40, 3)):
            yield replace(spec, n_obs=n_obs, substeps=1), Load(few, bits)
        for spikes in (few, half):
            for n_act in (1, 6, 12):
                yield replace(spec, n_act=n_act), Load(spikes, BITS)
            yield replace(spec, form=SIGNED, n_exc=neurons), Load(spikes, BITS)
            yield spec, Load(spikes, BITS, fast=False)


def measure_costs(board: Board) -> Costs:
    points = []
    with counting(board) as (built, device):
        for spec, load in cases():
            if holds(board, spec):
                points.append((parts(spec, load), count(device, board, spec, load)))
        return fit(board, unit(board), built.toolchain, points)


def rewrite_costs(boards: list[Board]) -> None:
    """Measures the boards. Lines of boards that are gone go, those of others stay; a variant that
    does not fit its board is told, and has none."""
    lines = {key: line for key, line in read_costs().items() if key[0] in board_names()}
    for board in boards:
        lines = {key: line for key, line in lines.items() if key[0] != board.name}
        for variant in variants(board):
            kernels = " ".join(variant.kernels) or "C"
            try:
                line = measure_costs(variant)
            except DoesNotFit as error:
                print(f"{board.name} with {kernels} is left out: {error}", file=sys.stderr)
                continue
            lines[board.name, variant.kernels] = line
            print(f"{board.name:16} {kernels:16} error {line.error:.1%} at most", flush=True)
        write_costs(lines[key] for key in sorted(lines))


def variants(board: Board) -> list[Board]:
    """The board with the core's own C, and with its kernels where it has some."""
    return [replace(board, kernels=()), *([board] if board.kernels else [])]


def counted_boards(names: list[str]) -> list[Board]:
    """Those of these boards whose steps can be counted here; the others are told."""
    boards = []
    for board in map(find_board, names):
        try:
            find_toolchain(board)
            check_emulator(board)
        except EcedgeError as error:
            print(f"{board.name} is left out: {error}", file=sys.stderr)
            continue
        if board.is_host or board.emulator is None:
            print(f"{board.name} is left out: nothing counts what it does.", file=sys.stderr)
            continue
        boards.append(board)
    return boards


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", action="append")
    parser.add_argument("--neurons", type=int, nargs="+", default=[256])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.5, 1])
    parser.add_argument("--costs", action="store_true", help="write firmware/costs.csv")
    arguments = parser.parse_args()
    try:
        boards = counted_boards(arguments.board or board_names())
        if arguments.costs:
            rewrite_costs(boards)
        else:
            print_table(boards, arguments.neurons, arguments.rates)
    except EcedgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
