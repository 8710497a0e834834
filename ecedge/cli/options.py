"""Arguments that several verbs share."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BoardError, UsageError

INTERRUPTED = 2  # the exit code after Ctrl-C

PolicyFile = Annotated[Path, typer.Argument(help="A policy.onnx of ecedge.", metavar="POLICY")]
TaskName = Annotated[
    str | None, typer.Option("--task", help="Another task. Default: the one it was trained for.")
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        help="virtual, virtual-pty, a board to emulate (`ecedge boards`), a port such as "
        "/dev/ttyACM0, or socket://HOST:PORT; ?baud=N behind it sets a line's speed, &fastest=N "
        "what both ends may raise it to. Or a name of the rig file.",
    ),
]
BoardName = Annotated[
    str, typer.Option("--board", "-b", help="A board; `ecedge boards` lists them.")
]
PlantFile = Annotated[
    str | None,
    typer.Option(
        "--plant",
        help="A plant on the device's side: cart-pole, noise, or a C file of your own "
        "(docs/PLANT.md). Default: none, the host has it.",
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


def device_of(name: str, rig: Path | None):
    """What --device names: a device of the rig file that was given, else a device spec, else a
    device of rig.toml in this folder, which nothing but such a name needs."""
    from ..devices import RIG_FILE, find_device, parse_device, read_rig

    if rig is None:
        if not RIG_FILE.exists():
            return parse_device(name)
        with contextlib.suppress(BoardError):
            return parse_device(name)
    return find_device(name, read_rig(rig or RIG_FILE))


def plant_steps(text: str | int) -> int:
    """A number of plant steps, also as 5e6."""
    try:
        steps = float(text)
    except ValueError:
        steps = 0.0
    if not 1 <= steps < 1e15:
        raise UsageError(f"A run of {text} steps cannot be done; give 1 or more, as 5e6.")
    return round(steps)
