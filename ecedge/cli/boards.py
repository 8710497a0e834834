"""`ecedge boards`: what can be built for."""

import json
import shutil

from .options import AsJson


def boards(as_json: AsJson = False) -> None:
    """List the boards that ecedge builds for, and whether this machine can emulate them."""
    from ..boards import board_names, find_board

    known = [find_board(name) for name in board_names()]
    if as_json:
        print(json.dumps([facts(board) for board in known]))
        return
    for board in known:
        row = facts(board)
        memory = ""
        if not board.is_host:
            memory = f"{row['flash_kb']} KB flash, {row['ram_kb']} KB RAM"
        print(f"{board.name:16} {board.core:12} {memory:30} {row['emulator']:28} {board.title}")


def facts(board) -> dict:
    return {
        "name": board.name,
        "title": board.title,
        "core": board.core,
        "flash_kb": board.flash.length // 1024 if board.flash else None,
        "ram_kb": board.ram.length // 1024 if board.ram else None,
        "emulator": emulation(board),
    }


def emulation(board) -> str:
    if board.emulator is None:
        return "no emulator"
    if board.is_host:
        return "a process of this machine"
    program = board.emulator.program
    if shutil.which(program):
        return program
    return f"apt-get install {board.emulator.package}"
