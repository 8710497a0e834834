"""What evolution costs on a board: instructions counted by its emulator, and RAM.

    python bench/evolve.py [--board mps2-an386] [--neurons 256] [--population 128]

Two generations run on the board without a network: the first from even odds, where one draw decides
every lane, the second from probabilities that are all alike likely, where a word needs about three.
Counts are for each synapse and member; what an update costs once a synapse is in them. The board's
bits are held to the host's before a count is printed. 4 observations, 3 outputs.
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

SAMPLED = 16  # members whose sampling evolve.c counts
GENERATIONS = ("even odds", "all alike likely")
DEADLINE = 300.0  # seconds for a generation
REPLY = struct.Struct("<III")  # ticks of sampling, of the update, CRC of what came out


def build(board: Board, spec: NetworkSpec, population: int, step: int, folder: str) -> Path:
    """The board's firmware with evolve.c for its application, made by the project's Makefile."""
    project = write_project(None, board, folder, command="python bench/evolve.py")
    (project.folder / "app/main.c").write_text(Path(__file__).with_suffix(".c").read_text())
    numbers = {
        "NEURONS": f"{spec.n_neurons}u",
        "OBS": f"{spec.n_obs}u",
        "ACT": f"{spec.n_act}u",
        "POPULATION": f"{population}u",
        "STEP": f"{step}u",
    }
    defines = " ".join(f"-DBENCH_{name}={value}" for name, value in numbers.items())
    flags = " ".join(project.cflags)
    command = ["make", f"CFLAGS={flags} {defines}"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE)
    if made.returncode:
        raise ToolError(f"The firmware could not be made:\n{made.stderr}")
    return project.folder / "build" / project.program


def run(board: Board, elf: Path) -> list[tuple[int, int, int]]:
    """The replies of both generations."""
    words = ["-icount", f"shift={SHIFT},align=off"] if board.emulator.kind == "qemu" else []
    with launch(board, elf, extra=words) as running:
        line = connect_running(running)
        try:
            return [REPLY.unpack(ask(line)) for _ in GENERATIONS]
        finally:
            line.close()


def ask(line) -> bytes:
    line.write(b"\n")
    reply, deadline = b"", time.monotonic() + DEADLINE
    while len(reply) < REPLY.size:
        if time.monotonic() > deadline:
            raise WorldError(f"The board told nothing within {DEADLINE:.0f} s.")
        reply += line.read(1.0)
    return reply


def expected(spec: NetworkSpec, ranks: np.ndarray, step: int) -> list[int]:
    """The CRCs that the host's evolution gives."""
    synapse = np.arange(spec.n_synapses, dtype=np.uint32)
    spread = 1 + threefry2x32((1, 2), (synapse, np.uint32(0)))[0] % 255
    crcs = []
    for generation, rho in enumerate((np.full(spec.n_synapses, 128), spread)):
        evolution = CoreEvolution(spec, generation=generation, step=step)
        evolution.rho = rho.astype(np.uint8)
        crc = zlib.crc32(evolution.sample(SAMPLED - 1).tobytes())
        evolution.update(ranks)
        crcs.append(zlib.crc32(evolution.planes(), crc))
    return crcs


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", default="mps2-an386")
    parser.add_argument("--neurons", type=int, default=256)
    parser.add_argument("--population", type=int, default=128)
    arguments = parser.parse_args()
    population = arguments.population
    try:
        board = find_board(arguments.board)
        spec = NetworkSpec(4, 3, arguments.neurons)
        step = step_size(0.1, population)
        member = np.arange(population, dtype=np.uint32)
        fitness = threefry2x32((3, 4), (member, np.uint32(0)))[0] >> 1
        with tempfile.TemporaryDirectory() as folder:
            replies = run(board, build(board, spec, population, step, folder))
        if [crc for *_, crc in replies] != expected(spec, centered_ranks(fitness), step):
            raise WorldError("The board's bits are not the host's.")
        print(f"{board.name}, {unit(board)} for each of {spec.n_synapses:,} synapses and member")
        print(f"of {population}; RAM: {spec.n_synapses:,} bytes of ρ, {4 * population:,} of ranks.")
        print()
        print("| ρ | sampling | update | both |\n|---|---|---|---|")
        for name, (sampling, update, _) in zip(GENERATIONS, replies, strict=True):
            each = counted(board, sampling) / SAMPLED / spec.n_synapses
            again = counted(board, update) / population / spec.n_synapses
            print(f"| {name} | {each:.2f} | {again:.2f} | {each + again:.2f} |")
    except EcedgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
