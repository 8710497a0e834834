"""What evolution costs on a board: instructions counted by its emulator, and RAM.

    python bench/evolve.py [--board mps2-an386] [--neurons 64] [--population 64] [--kept 64]

Generations run on the board without a network: from even odds, where one draw decides every lane,
and from probabilities that are all alike likely, where a word needs about three; in memory that has
room for learning alone, so that members are drawn again for the update, and in memory that keeps
some. Counts are for each synapse and member; what an update costs once a synapse is in them. The
board's bits are held to the host's before a count is printed. 4 observations, 3 outputs.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from boards import SHIFT, counted, unit

from ecedge.boards import Board, find_board
from ecedge.boards.emulator import launch
from ecedge.devices import connect_running
from ecedge.engine import CoreEvolution
from ecedge.errors import EcedgeError, ToolError, WorldError
from ecedge.export.project import write_project
from ecedge.model import NetworkSpec
from ecedge.reference import centered_ranks
from ecedge.reference.evolution import step_size
from ecedge.reference.random import threefry2x32

GENERATIONS = ("even odds",) * 2 + ("all alike likely",) * 2  # in the order of evolve.c
DEADLINE = 300.0  # seconds for a generation
REPLY = struct.Struct("<IIII")  # kept members, ticks of sampling, of the update, CRC of the results


def memory_of(spec: NetworkSpec, population: int, kept: int) -> int:
    """Bytes in which so many members are kept: firmware/core/ec_learn.h."""
    least = spec.image_size + spec.n_synapses + 4 * population
    member, record = spec.n_synapses // 8, 12 + 4 * population
    return least + member + record * (1 + -(-kept * member // record))


def build(board: Board, spec: NetworkSpec, population: int, kept: int, step: int, folder) -> Path:
    """The board's firmware with evolve.c for its application, made by the project's Makefile."""
    project = write_project(None, board, folder, command="python bench/evolve.py")
    (project.folder / "app/main.c").write_text(Path(__file__).with_suffix(".c").read_text())
    numbers = {
        "NEURONS": spec.n_neurons,
        "OBS": spec.n_obs,
        "ACT": spec.n_act,
        "IMAGE": spec.image_size,
        "POPULATION": population,
        "MEMORY": memory_of(spec, population, kept),
        "STEP": step,
    }
    defines = " ".join(f"-DBENCH_{name}={value}u" for name, value in numbers.items())
    flags = " ".join(project.cflags)
    command = ["make", f"CFLAGS={flags} {defines}"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE)
    if made.returncode:
        raise ToolError(f"The firmware could not be made:\n{made.stderr}", "Give a smaller --kept.")
    return project.folder / "build" / project.program


def run(board: Board, elf: Path) -> list[tuple[int, int, int, int]]:
    """What evolve.c tells of each of its generations."""
    words = ["-icount", f"shift={SHIFT},align=off"] if board.emulator.kind == "qemu" else []
    with launch(board, elf, extra=words) as running:
        line = connect_running(running)
        try:
            return list(REPLY.iter_unpack(ask(line, REPLY.size * len(GENERATIONS))))
        finally:
            line.close()


def ask(line, size: int) -> bytes:
    told, deadline = b"", time.monotonic() + DEADLINE
    while len(told) < size:
        if time.monotonic() > deadline:
            raise WorldError(f"The board told nothing within {DEADLINE:.0f} s.")
        if not told:
            line.write(b"\n")  # again: a board that just starts does not hear yet
        told += line.read(1.0)
    return told[:size]


def expected(spec: NetworkSpec, ranks: np.ndarray, step: int) -> list[int]:
    """The CRCs that the host's evolution gives."""
    synapse = np.arange(spec.n_synapses, dtype=np.uint32)
    spread = 1 + threefry2x32((1, 2), (synapse, np.uint32(0)))[0] % 255
    crcs = []
    for generation, rho in enumerate((np.full(spec.n_synapses, 128), spread)):
        evolution = CoreEvolution(spec, generation=generation, step=step)
        evolution.rho = rho.astype(np.uint8)
        crc = zlib.crc32(evolution.sample(len(ranks) - 1).tobytes())
        evolution.update(ranks)
        crcs += 2 * [zlib.crc32(evolution.planes(), crc)]
    return crcs


def measure(
    board: Board, spec: NetworkSpec, population: int, kept: int
) -> list[tuple[str, int, float, float]]:
    """Of each generation: what its probabilities are, members kept, and what sampling and update
    take for a synapse and member. Raises WorldError where a bit is not the host's."""
    step = step_size(0.1, population)
    member = np.arange(population, dtype=np.uint32)
    fitness = threefry2x32((3, 4), (member, np.uint32(0)))[0] >> 1
    with tempfile.TemporaryDirectory() as folder:
        replies = run(board, build(board, spec, population, kept, step, folder))
    if [crc for *_, crc in replies] != expected(spec, centered_ranks(fitness), step):
        raise WorldError("The board's bits are not the host's.")
    each = population * spec.n_synapses
    return [
        (name, kept, counted(board, sampling) / each, counted(board, update) / each)
        for name, (kept, sampling, update, _) in zip(GENERATIONS, replies, strict=True)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", default="mps2-an386")
    parser.add_argument("--neurons", type=int, default=64)
    parser.add_argument("--population", type=int, default=64)
    parser.add_argument("--kept", type=int, metavar="MEMBERS", help="Default: all.")
    arguments = parser.parse_args()
    population = arguments.population
    kept = population if arguments.kept is None else arguments.kept
    if population < 2 or not 0 <= kept <= population:
        parser.error("a population has 2 members or more, and some of them may be kept")
    try:
        board = find_board(arguments.board)
        spec = NetworkSpec(4, 3, arguments.neurons)
        rows = measure(board, spec, population, kept)
    except EcedgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{board.name}, {unit(board)} for each of {spec.n_synapses:,} synapses and member")
    print(f"of {population}; RAM: {spec.n_synapses:,} bytes of ρ, {4 * population:,} of ranks,")
    print(f"{spec.n_synapses // 8:,} for each member that is kept.\n")
    print("| ρ | members kept | sampling | update | both |\n|---|---|---|---|---|")
    for name, kept, sampling, update in rows:
        print(f"| {name} | {kept} | {sampling:.2f} | {update:.2f} | {sampling + update:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
