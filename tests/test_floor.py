"""What evolution takes of a chip, RAM by what the build counts and instructions by the emulator:
docs/results/evolve.md."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from ecedge.boards import Capacity, find_board
from ecedge.boards.build import Build, build
from ecedge.boards.toolchain import find_toolchain
from ecedge.errors import DoesNotFit, ToolError
from ecedge.model import NetworkSpec

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))
import evolve

KB = 1024


def room_of(neurons: int, members: int) -> Capacity:
    """For one such network alone, of 4 observations and 2 outputs: its image, a byte a synapse,
    4 bytes a member, and short frames."""
    spec = NetworkSpec(4, 2, neurons)
    room = spec.image_size + spec.n_synapses + 4 * members
    return Capacity(max_payload=96, obs=4, act=2, neurons=neurons, policy_ram=room)


def built(name: str, neurons: int, members: int, folder) -> Build:
    board = find_board(name)
    try:
        find_toolchain(board)
    except ToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{error}")
    return build(None, board, folder, room_of(neurons, members))


@pytest.mark.parametrize(
    "name, neurons, members, most",
    [
        ("microbit", 64, 16, 9 * KB),
        ("hifive1", 64, 16, 9 * KB),
        ("netduinoplus2", 256, 16, 80 * KB),
        ("pico", 256, 16, 80 * KB),
        ("mega2560", 32, 16, 4 * KB),
    ],
)
def test_a_network_evolves_in_so_much_ram(tmp_path, name, neurons, members, most):
    firmware = built(name, neurons, members, tmp_path)
    assert firmware.sizes.ram + firmware.stack.worst <= most


def test_no_network_evolves_in_the_2_kb_of_an_uno(tmp_path):
    with pytest.raises(DoesNotFit, match="bytes of RAM") as refusal:
        built("uno", 32, 2, tmp_path)
    assert "bytes of flash" in f"{refusal.value}"


@pytest.mark.parametrize("members", [32, 64])
def test_a_cortex_m4_learns_in_12_instructions_a_synapse_and_member_that_it_keeps(members):
    board = find_board("mps2-an386")
    counted_by = shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")
    if not counted_by and os.environ.get("CI") != "true":
        pytest.skip("counted with arm-none-eabi-gcc, in qemu-system-arm")
    for name, kept, sampling, update in evolve.measure(
        board, NetworkSpec(4, 3, 64), members, members
    ):
        most = {"even odds": 10, "all alike likely": 20}[name] if kept == 0 else 12
        assert kept in (0, members) and sampling + update <= most, (name, kept)
