"""`ecedge run --clocked`: episodes by the device's own clock, with the plant on its side."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import typer

from ..errors import UsageError
from .options import INTERRUPTED


def check_clocked(clocked, period_ms, plant, deadline_ms, report) -> None:
    if clocked and (deadline_ms is not None or report):
        raise UsageError(
            "A device-clocked run has no --deadline-ms and no --report.",
            "Its deadline is --period-ms.",
        )
    if period_ms is not None and not period_ms >= 0:
        raise UsageError(f"A period of {period_ms:g} ms cannot be; give 0 or more.")
    if not clocked and (period_ms is not None or plant):
        raise UsageError("--period-ms and --plant are of device-clocked runs.", "Add --clocked.")


def plant_source(found, task, plant: str | None) -> Path | None:
    """The C file that becomes part of the firmware of a device that is started here: the one that
    was named, else of the plant that is like the task; None for a device that is there."""
    from ..boards import find_plant
    from ..plants import plant_of_task

    if found.board is None:
        if plant:
            raise UsageError(
                f"{found.port} has its firmware already, and its plant in it.",
                "Leave --plant out; `ecedge build --plant` builds firmware for a board.",
            )
        return None
    if plant:
        return find_plant(plant)
    twin = plant_of_task(task.id)
    if twin is None:
        raise UsageError(
            f"There is no plant like {task.id} for the device's side.",
            "Write one (docs/PLANT.md), and give its C file with --plant.",
        )
    return find_plant(twin.name)


def run_by_its_clock(link, policy, task, episodes, seed, period_ms, found, as_json) -> None:
    """Uploads the policy, runs the episodes on the connected device, prints what they came to."""
    from ..clocked import run_clocked, summarise_clocked

    hello = link.hello
    print(f"{hello.board}: uploading {policy.hash}", file=sys.stderr)
    link.upload(policy)
    results = []
    try:
        for episode in run_clocked(link, policy, episodes, task.max_episode_steps, seed, period_ms):
            results.append(episode)
            print(f"episode {len(results):3}  {describe_episode(episode)}", file=sys.stderr)
    except KeyboardInterrupt:
        if not results:
            raise
        print(f"ecedge: Interrupted after {len(results)} episodes.", file=sys.stderr)
    summary = summarise_clocked(results, hello.tick_hz, period_ms, found.emulated)
    print(json.dumps(asdict(summary)) if as_json else describe_run(summary))
    if summary.differing:
        raise typer.Exit(1)
    if len(results) < episodes:
        raise typer.Exit(INTERRUPTED)


def describe_episode(episode) -> str:
    result = episode.result
    equal = {True: "the twin's", False: "not the twin's", None: "without a twin"}
    return (
        f"seed {episode.seed}  return {episode.total:9.1f}  {result.steps} steps  "
        f"{result.misses} misses  trajectory {result.trajectory:08x}, {equal[episode.is_equal]}"
    )


def describe_run(summary) -> str:
    clock = "the emulator's clock, not the board's" if summary.emulated else "the device's clock"
    pace = f"every {summary.period_ms:g} ms" if summary.period_ms else "as fast as it can"
    proof = (
        f"no twin of {summary.plant} is known: trajectories are not compared"
        if summary.differing is None
        else f"{summary.differing} of {summary.episodes} trajectories differ from the host twin's"
    )
    return (
        f"{summary.episodes} episodes of {summary.plant} by {clock}, {summary.steps} steps {pace}: "
        f"mean return {summary.mean_return:.1f}, the least {summary.least_return:.1f}\n"
        f"{summary.misses} misses; steps begin {summary.least_late_ms:.3f} to "
        f"{summary.most_late_ms:.3f} ms late, {summary.mean_late_ms:.3f} ms on average; "
        f"{summary.clamps} clamps\n"
        f"{proof}"
    )
