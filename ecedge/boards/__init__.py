"""Boards: their facts, their compilers, building firmware for them, and running it emulated.

Knows nothing of the wire: `ecedge.devices` brings a running board and the link together.
"""

from .registry import Board, Capacity, board_names, find_board, find_plant, sources_root

__all__ = ["Board", "Capacity", "board_names", "find_board", "find_plant", "sources_root"]
