"""Text, data, bss and worst stack of the firmware on every board, with one fixed policy inside.

    python bench/sizes.py [--board mps2-an386 ...]

Writes firmware/sizes.csv, which tests/test_sizes.py holds the firmware to; lines of boards that
are not measured stay.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ecedge import reference
from ecedge.boards import Board, board_names, find_board, sources_root
from ecedge.boards.build import build
from ecedge.boards.tables import read_table, write_table
from ecedge.boards.toolchain import find_toolchain
from ecedge.errors import EcedgeError, ToolError
from ecedge.model import NetworkSpec, ObservationMap, Policy

FIGURES = ("text", "data", "bss", "stack")
ABOUT = "Bytes of firmware with the policy of bench/sizes.py; stack at worst, by the call graph."


def sizes_path() -> Path:
    return sources_root() / "firmware/sizes.csv"


def fixed_policy(board: Board) -> Policy:
    """Of 64 neurons, or as many as the smallest board holds."""
    spec = NetworkSpec(n_obs=4, n_act=2, n_neurons=min(64, board.limits.neurons))
    four = [0] * 4, [64] * 4, [4] * 4, [8] * 4
    synapses = np.random.default_rng(0).integers(0, 2**32, spec.n_words, np.uint32)
    return reference.with_golden_trace(Policy(spec, ObservationMap(*four), synapses))


def measure(board: Board) -> dict:
    """A line of the table. Raises ToolError where there is no compiler."""
    toolchain = find_toolchain(board)
    with tempfile.TemporaryDirectory() as folder:
        built = build(fixed_policy(board), board, folder, command="make sizes", toolchain=toolchain)
    figures = asdict(built.sizes) | {"stack": built.stack.worst}
    return {"board": board.name, "compiler": toolchain.version, **figures}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", action="append")
    arguments = parser.parse_args()
    lines = {row["board"]: row for row in read_table(sizes_path()) if row["board"] in board_names()}
    try:
        for board in map(find_board, arguments.board or board_names()):
            if board.is_host:
                continue  # its sizes are the computer's, not a part's
            try:
                lines[board.name] = measure(board)
            except ToolError as error:
                print(f"{board.name} is left out: {error}", file=sys.stderr)
        write_table(sizes_path(), "make sizes", ABOUT, [lines[name] for name in sorted(lines)])
    except EcedgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
