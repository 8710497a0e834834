"""`ecedge build`: firmware for a board, and what it costs there."""

import json
from dataclasses import asdict

from .export import command_line, project_folder
from .options import AsJson, BoardName, PlantFile, PolicyFile, ProjectFolder


def build(
    policy: PolicyFile,
    board: BoardName = "virtual",
    plant: PlantFile = None,
    out: ProjectFolder = None,
    as_json: AsJson = False,
) -> None:
    """Build firmware with the policy inside, and print text, data, bss and stack.

    A policy that does not fit the board is refused before linking, with the numbers. The compiler
    is the distribution's or pip's `ziglang`, whichever is there; `ecedge doctor` tells.

    Example: `ecedge build runs/CartPole-v1-seed0/policy.onnx --board mps2-an386`
    """
    from ..boards import find_board, find_plant
    from ..boards.build import build as build_firmware
    from ..policy_file import load_policy

    loaded, _ = load_policy(policy)
    source = find_plant(plant) if plant else None
    folder = out or project_folder(board, loaded)
    built = build_firmware(loaded, find_board(board), folder, command=command_line(), plant=source)
    if as_json:
        result = {
            "board": board,
            "policy": loaded.hash,
            "program": str(built.elf),
            "image": str(built.image or built.elf),
            "compiler": built.toolchain,
            **asdict(built.sizes),
            "stack_worst": built.stack.worst,
        }
        print(json.dumps(result))
    else:
        print(built)
