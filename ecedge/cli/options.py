"""Arguments that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 2  # the exit code after Ctrl-C

PolicyFile = Annotated[Path, typer.Argument(help="A policy.onnx of ecedge.", metavar="POLICY")]
TaskName = Annotated[
    str | None, typer.Option("--task", help="Another task. Default: the one it was trained for.")
]
BoardName = Annotated[
    str, typer.Option("--board", "-b", help="A board; `ecedge boards` lists them.")
]
ProjectFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder. Default: build/BOARD-HASH.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
