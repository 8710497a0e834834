"""`ecedge hil`: a test run over all devices of a rig."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .options import INTERRUPTED, AsJson, TaskName
from .plant import plant_of


def hil(
    policy: Annotated[Path, typer.Option("--policy", "-p", help="A policy.onnx of ecedge.")],
    rig: Annotated[Path, typer.Argument(help="A rig file: docs/RIG.md.", metavar="RIG")] = Path(
        "rig.toml"
    ),
    episodes: Annotated[int, typer.Option(help="Episodes of each device.")] = 10,
    seed: Annotated[int, typer.Option(help="The task's seed of the first episode.")] = 0,
    task: TaskName = None,
    device: Annotated[
        list[str] | None,
        typer.Option("--device", "-d", help="This device of the rig alone; repeatable."),
    ] = None,
    at_least: Annotated[
        float | None, typer.Option(help="An episode that returns less is a wrong result.")
    ] = None,
    retries: Annotated[
        int, typer.Option(help="How often in a row a device that is lost is looked for again.")
    ] = 2,
    deadline_ms: Annotated[
        float | None, typer.Option(help="Default: the task's control period.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page here.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write a recording for `ecedge replay` here.")
    ] = None,
    steps: Annotated[
        Path | None, typer.Option(help="Write every step as a line of JSON here, as it is done.")
    ] = None,
    quarantine: Annotated[
        int | None,
        typer.Option(
            help="Put a device that fails into quarantine for so many days.", metavar="DAYS"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let every device of a rig drive the task, all at once, and compare every bit.

    Uploads the policy into each device's RAM. A device that is lost is looked for again and begins
    its episode anew; what else goes wrong is told and not tried again. Devices that quarantine.toml
    beside the rig file names are not asked: docs/HIL.md.

    Exit code 0 when every device that was asked passed, and there was one; else 1.

    Example: `ecedge hil rig.toml --policy runs/CartPole-v1-seed0/policy.onnx --report hil.html`
    """
    from .. import testrun
    from ..devices import read_rig
    from ..hil import control_period_ms
    from ..policy_file import load_policy
    from ..testrun.page import save_page

    desk = read_rig(rig)
    if unknown := [name for name in device or [] if name not in desk.names]:
        raise UsageError(f"{rig} names no {unknown[0]}.", f"It names {', '.join(desk.names)}.")
    if quarantine is not None and quarantine < 1:
        raise UsageError(f"A quarantine of {quarantine} days is none.", "Give at least 1.")
    for path in filter(None, (report, junit, record, steps)):
        if not path.absolute().parent.is_dir():
            raise UsageError(f"There is no folder {path.parent} for {path.name}.", "Make it first.")
    loaded, info = load_policy(policy)
    plant = plant_of(policy, loaded, info, task)
    deadline = control_period_ms(plant) if deadline_ms is None else deadline_ms
    plan = testrun.Plan(episodes, seed, at_least, retries, deadline)
    held = testrun.read_quarantine(rig, desk.names)
    chosen = [each for each in desk.devices if not device or each.name in device]
    with contextlib.ExitStack() as stack:
        log = [stack.enter_context(testrun.StepLog(steps))] if steps else []
        run = testrun.run_rig(desk, chosen, loaded, plant, plan, held, [*log, Talk(plan)])
    print(json.dumps(facts(run, loaded)) if as_json else describe(run, loaded))
    if report:
        save_page(report, run, loaded)
    if junit:
        testrun.save_junit(junit, run)
    if record:
        testrun.save_recording(record, testrun.record(run, loaded))
    for path in filter(None, (report, junit, record, steps)):
        print(f"written: {path}", file=sys.stderr)
    if quarantine and (failed := run.to_isolate(quarantine)):
        testrun.put_into_quarantine(held, failed)
        names = ", ".join(entry.device for entry in failed)
        print(f"put into quarantine: {names}; {held.where} says why.", file=sys.stderr)
    if run.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not run.passed:
        raise typer.Exit(1)


class Talk:
    """Tells of episodes and lost devices while the run goes on: a `testrun.Observer`."""

    def __init__(self, plan):
        self.plan = plan

    def on_step(self, *_) -> None:
        pass

    def on_episode(self, device, number, episode) -> None:
        print(
            f"{device:16} episode {number + 1:3}/{self.plan.episodes}  return {episode.total:9.1f}"
            f"  {len(episode.steps)} steps  {episode.differing_bits} bits differ",
            file=sys.stderr,
        )

    def on_attempt(self, device, attempt) -> None:
        if attempt.message:
            print(f"{device:16} {attempt.outcome}: {attempt.message}", file=sys.stderr)


def describe(run, policy) -> str:
    lines = [line(device, device.summary(policy)) for device in run.devices]
    return "\n".join([*lines, f"{'passed' if run.passed else 'NOT PASSED'}: {counts(run)}"])


def line(device, summary) -> str:
    words = f"{device.name:16} {device.outcome:13}"
    if summary:
        words += (
            f" {summary.episodes} episodes: mean return {summary.mean_return:.1f}, "
            f"median {summary.latency_median_ms:.3f} ms, p99 {summary.latency_p99_ms:.3f} ms, "
            f"{summary.deadline_misses} misses, {summary.differing_bits} bits differ"
        )
    if lost := len(device.losses):
        words += f", lost {lost} time{'s' * (lost > 1)}"
    return words if not device.message else f"{words}\n    {device.message}"


def counts(run) -> str:
    """Devices by outcome, and the bits."""
    outcomes = [device.outcome for device in run.devices]
    told = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
    bits = f"{run.differing_bits:,} bits of {run.steps:,} control steps"
    return f"{told}; {bits} differ from the host twin"


def facts(run, policy) -> dict:
    """A run for scripts."""
    return {
        "passed": run.passed,
        "task": run.task,
        "policy_hash": run.policy_hash,
        "begun": run.begun.isoformat(timespec="seconds"),
        "devices": [
            {
                "name": device.name,
                "outcome": device.outcome,
                "message": device.message,
                "losses": [loss.message for _, loss in device.losses],
                "summary": summary and summary.to_dict(),
            }
            for device in run.devices
            for summary in [device.summary(policy)]
        ],
    }
