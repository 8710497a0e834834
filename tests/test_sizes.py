"""Size is a test result: firmware may not grow unless firmware/sizes.csv is made again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ecedge.boards import board_names, find_board
from ecedge.boards.tables import read_table
from ecedge.boards.toolchain import find_toolchain
from ecedge.errors import ToolError

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))
import sizes

TOLERANCE = 0.01  # of each figure
BOARDS = [name for name in board_names() if not find_board(name).is_host]
KNOWN = {row["board"]: row for row in read_table(sizes.sizes_path())}


def test_the_table_names_no_board_that_is_gone():
    assert sorted(KNOWN) == sorted(KNOWN.keys() & set(BOARDS))


@pytest.mark.parametrize("name", BOARDS)
def test_firmware_is_as_small_as_it_was(name):
    board = find_board(name)
    try:
        compiler = find_toolchain(board).version
    except ToolError as error:
        pytest.skip(str(error))
    assert name in KNOWN, "its sizes are not in firmware/sizes.csv: make sizes"
    known = KNOWN[name]
    if compiler != known["compiler"]:
        pytest.skip(f"sizes.csv is of {known['compiler']}; here is {compiler}: not compared")
    now = sizes.measure(board)
    grown = {
        figure: (int(known[figure]), now[figure])
        for figure in sizes.FIGURES
        if now[figure] > int(known[figure]) * (1 + TOLERANCE)
    }
    assert not grown, f"{name} grew by more than {TOLERANCE:.0%}; if it must: make sizes"
