"""`ecedge export`: a policy as a C project that is complete by itself."""

import json
import shlex
import sys
from pathlib import Path

from .options import AsJson, BoardName, PlantFile, PolicyFile, ProjectFolder


def export(
    policy: PolicyFile,
    board: BoardName = "virtual",
    plant: PlantFile = None,
    out: ProjectFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write a policy as C firmware: sources, packed bit matrices, golden trace, Makefile.

    The folder needs nothing of ecedge any more: `make -C FOLDER` builds it.

    Example: `ecedge export runs/CartPole-v1-seed0/policy.onnx --board mps2-an386`
    """
    from ..boards import find_board, find_plant
    from ..export.project import write_project
    from ..policy_file import load_policy

    loaded, _ = load_policy(policy)
    source = find_plant(plant) if plant else None
    folder = out or project_folder(board, loaded)
    project = write_project(loaded, find_board(board), folder, command=command_line(), plant=source)
    if as_json:
        print(json.dumps({"folder": str(project.folder), "policy": loaded.hash, "board": board}))
    else:
        print(project.folder)


def project_folder(board: str, policy) -> Path:
    return Path("build") / f"{board}-{policy.hash}"


def command_line() -> str:
    """What the user typed, for the front matter of generated files."""
    return shlex.join(["ecedge", *sys.argv[1:]])
