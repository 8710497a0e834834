"""`ecedge run`: a device drives the task, and every bit is compared."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .clocked import check_clocked, plant_source, run_by_its_clock
from .options import (
    INTERRUPTED,
    AsJson,
    DeviceName,
    PlantFile,
    PolicyFile,
    RigFile,
    TaskName,
    device_of,
)
from .plant import plant_of


def run(
    policy: PolicyFile,
    device: DeviceName = "virtual",
    rig: RigFile = None,
    episodes: Annotated[int, typer.Option(help="Episodes to run.")] = 10,
    seed: Annotated[int, typer.Option(help="The task's seed of the first episode.")] = 0,
    task: TaskName = None,
    together: Annotated[
        int,
        typer.Option(help="Episodes that the device runs at once, as far as it has room."),
    ] = 1,
    deadline_ms: Annotated[
        float | None, typer.Option(help="Default: the task's control period.")
    ] = None,
    clocked: Annotated[
        bool,
        typer.Option(
            "--clocked",
            help="Let the device run whole episodes by its own clock, with the plant on its side: "
            "docs/PLANT.md.",
        ),
    ] = False,
    period_ms: Annotated[
        float | None,
        typer.Option(
            help="With --clocked: from step to step; 0 is as fast as the device can. "
            "Default: the task's control period."
        ),
    ] = None,
    plant: PlantFile = None,
    report: Annotated[Path | None, typer.Option(help="Write a one-page HTML report here.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Show all bytes of the link.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a device drive the task over its link, in the loop with the simulated plant.

    Uploads the policy into the device's RAM, runs the episodes, and tells their returns, the step
    latency, deadline misses, and how many bits differed from the host twin: none, or exit code 1.

    With --clocked the device has the plant, and the host only begins episodes and collects what
    they came to: returns, deadline misses and lateness by the device's clock, and a CRC of the
    whole trajectory, which must be the twin's. A device that is started here gets the plant that is
    like the policy's task, or --plant.

    With --together several episodes go on at once, each with a network of its own on the device:
    more steps a second, and a later answer to each.

    Example: `ecedge run runs/CartPole-v1-seed0/policy.onnx --device virtual`
    """
    from ..devices import open_device
    from ..hil import control_period_ms, run_episodes, summarise
    from ..policy_file import load_policy
    from ..tracks import run_together

    if episodes < 1:
        raise UsageError(f"{episodes} episodes cannot be run; give at least 1.")
    if seed < 0:
        raise UsageError(f"A seed is a number from 0, not {seed}.")
    if deadline_ms is not None and not deadline_ms > 0:
        raise UsageError(f"A deadline of {deadline_ms:g} ms has passed already; give a later one.")
    if together < 1:
        raise UsageError(f"{together} episodes at once cannot be run; give at least 1.")
    if clocked and together > 1:
        raise UsageError("A device has one plant, so --clocked runs one episode after another.")
    check_clocked(clocked, period_ms, plant, deadline_ms, report)
    loaded, info = load_policy(policy)
    environment = plant_of(policy, loaded, info, task)
    found = device_of(device, rig)
    show = show_bytes if trace else None
    if clocked:
        period = control_period_ms(environment) if period_ms is None else period_ms
        firmware = plant_source(found, environment, plant)
        with open_device(found, trace=show, plant=firmware) as link:
            run_by_its_clock(link, loaded, environment, episodes, seed, period, found, as_json)
        return
    deadline = deadline_ms or control_period_ms(environment)
    with open_device(found, trace=show) as link:
        hello = link.hello
        print(f"{hello.board} on {device}: uploading {loaded.hash}", file=sys.stderr)
        link.upload(loaded)
        results = []
        try:
            if together > 1:
                running = run_together(link, loaded, environment, episodes, seed, together)
            else:
                running = run_episodes(link, loaded, environment, episodes, seed)
            for episode in running:
                results.append(episode)
                print(
                    f"episode {len(results):3}  seed {episode.seed}  return {episode.total:9.1f}  "
                    f"{len(episode.steps)} steps  {episode.differing_bits} bits differ",
                    file=sys.stderr,
                )
        except KeyboardInterrupt:
            if not results:
                raise
            print(f"ecedge: Interrupted after {len(results)} episodes.", file=sys.stderr)
    summary = summarise(results, loaded, hello.tick_hz, deadline, found.emulated)
    print(json.dumps(summary.to_dict()) if as_json else describe(summary))
    if report:
        from ..report import save_run_report

        save_run_report(report, loaded, replace(info, task=environment.id), hello, results, summary)
        print(f"report: {report}", file=sys.stderr)
    if summary.differing_bits:
        raise typer.Exit(1)
    if len(results) < episodes:
        raise typer.Exit(INTERRUPTED)


def describe(summary) -> str:
    unit = 1e6 / summary.tick_hz
    return (
        f"{summary.episodes} episodes, {summary.steps} steps: mean return "
        f"{summary.mean_return:.1f}, the least {summary.least_return:.1f}\n"
        f"link and step: median {summary.latency_median_ms:.3f} ms, "
        f"p99 {summary.latency_p99_ms:.3f} ms; "
        f"{summary.deadline_misses} misses of {summary.deadline_ms:g} ms\n"
        f"network step on {summary.clock}: median {summary.ticks_median * unit:.1f} us, "
        f"most {summary.ticks_most * unit:.1f} us; {summary.activity:.1%} of neurons spike\n"
        f"{summary.differing_bits} bits of outputs and state differ from the host twin"
    )


def show_bytes(source: str, data: bytes) -> None:
    print(f"{'->' if source == 'host' else '<-'} {data.hex(' ')}", file=sys.stderr)
