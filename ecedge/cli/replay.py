"""`ecedge replay`: what devices did, or learned, computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from zipfile import is_zipfile

import typer

from ..errors import UsageError
from .options import AsJson


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            help="What `ecedge hil --record` wrote; or a lineage of `ecedge evolve`, or its run's "
            "folder.",
            metavar="FILE",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Of a lineage: where to write the policy, as policy.onnx."
        ),
    ] = None,
    generations: Annotated[
        int | None,
        typer.Option(help="Of a lineage: only the first so many.", min=0, show_default=False),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="With --out: the task, where no plan.json of the run lies beside."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute again what devices did or learned, and compare.

    A recording holds the policy: the host's twin is given what devices were given, and gives what
    they gave; or it tells the first output or digest that differs: exit code 1.

    A lineage holds seeds and ranks: its policy is learned again from them, to the same bits on any
    machine, and the hash of every generation is compared.

    Example: `ecedge replay hil.npz`

    Example: `ecedge replay runs/evolve-CartPole-v1-seed0 -o policy.onnx`
    """
    from ..evolve import LINEAGE, is_lineage

    lineage = file / LINEAGE if file.is_dir() else file
    if file.is_dir() or is_lineage(file):
        result = learn_again(lineage, out, generations, task)
        print(json.dumps(result) if as_json else described(lineage, result))
    elif (out, generations, task) != (None, None, None):
        raise UsageError(f"{file} is no lineage: --out, --generations and --task are for those.")
    elif file.exists() and not is_zipfile(file):
        raise UsageError(
            f"{file} is neither a recording of `ecedge hil` nor a lineage of `ecedge evolve`.",
            "Give a file that one of them wrote, whole.",
        )
    else:
        play_again(file, as_json)


def learn_again(path: Path, out: Path | None, generations: int | None, task: str | None) -> dict:
    from ..evolve import Lineage, replay

    lineage = Lineage.open(path)
    if generations is None:
        lineage.check()
    twin = replay(lineage, generations=generations)
    policy = twin.decided()
    if out is not None:
        from ..policy_file import save_policy

        save_policy(out, policy, info_of(path.parent, task, twin.generation))
    return {
        "generations": twin.generation,
        "population": lineage.origin.population,
        "rho_hash": f"{twin.rho_hash:08x}",
        "hash": policy.hash,
        "policy": None if out is None else f"{out}",
    }


def info_of(folder: Path, name: str | None, generation: int):
    """What the policy's file tells: its task, and the run's plan where there is one."""
    from dataclasses import asdict

    from ..evolve import PLAN, read_plan
    from ..policy_file import PolicyInfo
    from ..tasks import find_task

    plan = read_plan(folder) if (folder / PLAN).exists() else None
    if name is None and plan is None:
        raise UsageError(
            "A lineage does not tell its task, and no plan.json lies beside it.",
            "Name it: --task CartPole-v1, say.",
        )
    task = find_task(name or plan.task)
    learned = {**(asdict(plan) if plan else {}), "generation": generation}
    return PolicyInfo(task.id, task.low, task.high, learned)


def described(path: Path, result: dict) -> str:
    kept = f", written to {result['policy']}" if result["policy"] else ""
    return (
        f"{path}: {result['generations']} generations of {result['population']} members, every "
        f"hash as told; probabilities {result['rho_hash']}, policy {result['hash']}{kept}"
    )


def play_again(path: Path, as_json: bool) -> None:
    from ..testrun import load_recording
    from ..testrun import replay as play

    loaded = load_recording(path)
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
