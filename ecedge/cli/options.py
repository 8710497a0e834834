"""Arguments that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError

INTERRUPTED = 2  # the exit code after Ctrl-C

PolicyFile = Annotated[Path, typer.Argument(help="A policy.onnx of ecedge.", metavar="POLICY")]
TaskName = Annotated[
    str | None, typer.Option("--task", help="Another task. Default: the one it was trained for.")
]
BoardName = Annotated[
    str, typer.Option("--board", "-b", help="A board; `ecedge boards` lists them.")
]
PlantFile = Annotated[
    str | None,
    typer.Option(
        "--plant",
        help="A plant on the device's side: cart-pole, or a C file of your own (docs/PLANT.md). "
        "Default: none, the host has it.",
    ),
]
ProjectFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder. Default: build/BOARD-HASH.")
]
RigFile = Annotated[
    Path | None,
    typer.Option("--rig", help="Names of devices: docs/RIG.md. Default: rig.toml, if it is here."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def rig_of(path: Path | None):
    """The rig of the file that was given, else of rig.toml in this folder; None without either."""
    from ..devices import RIG_FILE, read_rig

    if path is None and not RIG_FILE.exists():
        return None
    return read_rig(path or RIG_FILE)


def plant_steps(text: str | int) -> int:
    """A number of plant steps, also as 5e6."""
    try:
        steps = float(text)
    except ValueError:
        steps = 0.0
    if not 1 <= steps < 1e15:
        raise UsageError(f"A run of {text} steps cannot be done; give 1 or more, as 5e6.")
    return round(steps)
