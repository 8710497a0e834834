"""`ecedge watch`: a policy at work, with its spikes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .options import AsJson, PolicyFile, TaskName
from .plant import plant_of


def watch(
    policy: PolicyFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=".mp4 or .gif. Default: watch.mp4 beside the policy."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The task's seed of the episode.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Most control steps to show. Default: the whole episode.")
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(help="Control steps a frame. Default: at most 30 frames a second."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second. Default: the task's own pace.")
    ] = None,
    task: TaskName = None,
    as_json: AsJson = False,
) -> None:
    """Film one episode of a policy: the plant, and beside it every spike of its network.

    Needs no screen. What it needs beside ecedge: `pip install 'ecedge[watch]'`. Slow motion is
    `--every 1 --fps 10`.

    Example: `ecedge watch runs/CartPole-v1-seed0/policy.onnx --out cartpole.gif`
    """
    from ..film import save_film
    from ..policy_file import load_policy

    if seed < 0:
        raise UsageError(f"A seed is a number from 0, not {seed}.")
    loaded, info = load_policy(policy)
    plant = plant_of(policy, loaded, info, task, endless=steps is not None)
    film = save_film(out or policy.with_name("watch.mp4"), loaded, plant, seed, steps, every, fps)
    if as_json:
        result = {
            "film": str(film.path),
            "return": film.total,
            "steps": film.steps,
            "ended": film.ended,
            "frames": film.frames,
            "fps": film.fps,
        }
        print(json.dumps(result))
    else:
        print(
            f"{film.path}: {film.frames} frames at {film.fps:g} a second\n"
            f"{plant.id}, seed {seed}: return {film.total:.1f} after {film.steps} steps"
            f"{'' if film.ended else ', cut there'}"
        )
