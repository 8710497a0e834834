"""`ecedge replay`: a recording of devices, computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson


def replay(
    recording: Annotated[
        Path, typer.Argument(help="What `ecedge hil --record` wrote.", metavar="RECORDING")
    ],
    as_json: AsJson = False,
) -> None:
    """Give the host twin what devices were given, and compare what it gives with what they gave.

    The recording holds the policy. Tells that all outputs and digests of the state are equal, or
    the first that is not: exit code 1.

    Example: `ecedge replay hil.npz`
    """
    from ..testrun import load_recording
    from ..testrun import replay as play

    loaded = load_recording(recording)
    difference = play(loaded)
    devices = len({episode.device for episode in loaded.episodes})
    held = (
        f"{len(loaded.episodes)} episodes of {devices} devices, {loaded.steps:,} control steps of "
        f"policy {loaded.policy.hash}"
    )
    if as_json:
        told = difference and {"message": str(difference), **vars(difference)}
        print(json.dumps({"equal": difference is None, "steps": loaded.steps, "difference": told}))
    elif difference:
        print(f"{held}: the twin parts from {difference}")
    else:
        print(f"{held}: every output and digest is the host twin's.")
    if difference:
        raise typer.Exit(1)
