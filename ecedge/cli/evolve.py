"""`ecedge evolve`: a device learns, and its twin on the host with it."""

from __future__ import annotations

import json
import sys
from contextlib import closing, suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Annotated

import typer

from ..errors import NoDevice, UsageError
from .clocked import plant_source
from .options import INTERRUPTED, AsJson, DeviceName, PlantFile, device_of
from .train import folder_name, option


def evolve(
    task: Annotated[
        str | None,
        typer.Argument(help="A gymnasium id, module:EnvId of your own, or a task file (.toml)."),
    ] = None,
    resume: Annotated[
        Path | None, option("Go on with the run in this folder.", metavar="FOLDER")
    ] = None,
    device: DeviceName = None,
    rig: Annotated[
        Path | None,
        option(
            "Learn on all devices of this rig file at once; with --device on that one of them. "
            "See docs/RIG.md.",
            metavar="FILE",
        ),
    ] = None,
    simulated: Annotated[
        int, option("Threads that run members here, beside devices or without any.")
    ] = 0,
    policy: Annotated[
        Path | None,
        option("A policy.onnx to begin with. Default: none, from scratch.", "--policy", "-p"),
    ] = None,
    certainty: Annotated[
        float, option("With --policy: probability of a synapse that it has; 0.5 to 0.996.")
    ] = 0.9,
    neurons: Annotated[int, option("From scratch: spiking neurons, a multiple of 32.")] = 64,
    substeps: Annotated[int, option("From scratch: network steps in a control step.")] = 4,
    out: Annotated[
        Path | None, option("The run's folder. Default: runs/evolve-TASK-seedSEED.", "--out", "-o")
    ] = None,
    seed: Annotated[int, option("Everything random follows from it.")] = 0,
    generations: Annotated[int | None, option("The most generations. [default: 50]")] = None,
    target: Annotated[float | None, option("Stop at this evaluation.")] = None,
    population: Annotated[int, option("Members of a generation.")] = 32,
    learning_rate: Annotated[float, option("Deviation of a step of the probabilities.")] = 0.3,
    horizon: Annotated[
        int | None, option("The most steps of an episode. Default: the task's limit.")
    ] = None,
    clocked: Annotated[
        bool,
        option(
            "Let the device run whole generations by its own clock, with the plant on its side: "
            "docs/PLANT.md.",
            "--clocked",
        ),
    ] = False,
    period_ms: Annotated[
        float | None,
        option(
            "With --clocked: from step to step; 0 is as fast as the device can. "
            "Default: the task's control period."
        ),
    ] = None,
    alone: Annotated[
        int,
        option(
            "With --clocked: generations that the device goes on for without this host. "
            "[default: 0, it makes itself safe]"
        ),
    ] = 0,
    save_every: Annotated[
        int,
        option(
            "With --clocked: generations from one snapshot in the device's flash to the next. "
            "[default: 0, none]"
        ),
    ] = 0,
    plant: PlantFile = None,
    limit: Annotated[
        list[str] | None,
        option(
            "Keep outputs in this range and change by a step, on the device: 1 is an output at its "
            "bound. Once for all of them, or once for each.",
            metavar="LOW:HIGH[:SLEW]",
        ),
    ] = None,
    collapse: Annotated[
        float | None,
        option(
            "Go back to what the confirmed policy was learned with when evaluations stay below "
            "its return by more than this share of it. Default: never.",
            metavar="SHARE",
        ),
    ] = None,
    patience: Annotated[
        int | None, option("With --collapse: so many evaluations in a row. [default: 5]")
    ] = None,
    budget_episodes: Annotated[int | None, option("End after so many episodes.")] = None,
    budget_steps: Annotated[int | None, option("End after so many control steps.")] = None,
    budget_seconds: Annotated[
        float | None, option("End after so many seconds of episodes.")
    ] = None,
    budget_travel: Annotated[
        float | None,
        option(
            "End after so much change of outputs, 1 is from the middle to a bound; of discrete "
            "actions, after so many changes."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let devices learn by themselves: evolution where the policy runs.

    A device draws members of a generation, runs their episodes on the plant that this computer
    simulates, and learns from how all of them rank: 8-bit probabilities in the memory for uploads,
    which ends with the device's power. The host's twin learns the same, and their hashes are
    compared after every generation. One device learns (default: the virtual one), or all of a rig:
    members go to whoever is free, and what is learned is the same. The run's folder holds
    `policy.onnx` (the confirmed policy, the best by evaluation), `log.jsonl` and `lineage.bin`:
    seeds and ranks, from which `ecedge replay` learns all again. Whatever ends the run, Ctrl-C and
    a spent budget too, devices are left with the confirmed policy, at their safe action.

    With --clocked the device has the plant too, and runs generation after generation by itself; the
    host only follows it. A device that is started here gets the plant that is like the task, or
    --plant.

    Example: `ecedge evolve CartPole-v1 --device mps2-an386 --target 500`
    """
    from ..evolve import Plan, Run, policy_from_scratch
    from ..hil import control_period_ms
    from ..policy_file import load_policy
    from ..tasks import find_task
    from ..training.settings import Settings

    check_clocked(clocked, resume is not None, period_ms, alone or save_every, plant)
    learners = device, rig, simulated, plant
    changes = {
        "generations": generations,
        "target": target,
        "fall": collapse,
        "patience": patience,
        "most_episodes": budget_episodes,
        "most_steps": budget_steps,
        "most_seconds": budget_seconds,
        "most_travel": budget_travel,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if resume is not None:
        if task is not None or policy is not None or limit:
            raise UsageError("Give a task, or --resume alone.")
        run = Run.resume(resume, **changes)
        learn, names = find_learners(run.plan.period_ms is not None, run.plan.task, *learners)
    elif task is None:
        raise UsageError("Name a task, for example: ecedge evolve CartPole-v1")
    else:
        declared = find_task(task)
        learn, names = find_learners(clocked, task, *learners)
        numbers = {"seed": seed, "population": population, "learning_rate": learning_rate}
        numbers |= {"horizon": horizon} | changes
        if clocked:
            period = control_period_ms(declared) if period_ms is None else period_ms
            numbers |= {"period_ms": period, "alone": alone, "save_every": save_every}
        if policy is not None:
            start = load_policy(policy)[0]
        else:
            shape = {"neurons": neurons, "substeps": substeps, "population": population}
            name = declared.declaration or task
            start = policy_from_scratch(Settings(name, seed=seed, horizon=horizon, **shape))
            certainty = 0.5
        numbers["limits"] = limits_of(limit or [], start.spec.n_act)
        plan = Plan(declared.declaration or task, certainty=certainty, **numbers)
        plan.check_simulated(simulated)
        run = Run.begin(out or Path("runs") / f"evolve-{folder_name(task)}-seed{seed}", plan, start)
    try:
        with closing(learn(run)) as learning:
            for generation in learning:
                print(describe(generation), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(
            f"ecedge: Interrupted; {run.twin.generation} generations are safe. "
            f"Go on with: ecedge evolve --resume {run.folder}",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    print(f"ended: {run.ending}", file=sys.stderr)
    result = {
        "policy": str(run.policy_file),
        "generations": run.twin.generation,
        "rho_hash": f"{run.twin.rho_hash:08x}",
        "evaluation": run.best,
        "settled": run.settled,
        "ending": run.ending,
        "spent": asdict(run.spent),
    }
    if absent := [name for name in names if name not in run.settled]:
        print(
            f"ecedge: {', '.join(absent)} has not learned all: it is not there, or differs.",
            file=sys.stderr,
        )
    if as_json:
        print(json.dumps(result))
    else:
        print(
            f"{run.policy_file}: mean return {run.best:.1f} over "
            f"{run.plan.evaluation_episodes} episodes; probabilities {result['rho_hash']}"
        )


def find_learners(clocked: bool, task: str, device, rig, simulated: int, plant):
    """What lets a run learn, and the names of the devices that do: one by its own clock; else
    one, all of a rig, or nobody but threads that simulate."""
    from ..devices import open_device, read_rig
    from ..evolve import practise
    from ..fleet import Fleet
    from ..tasks import find_task

    if clocked:
        if simulated or (device is None and rig is not None):
            raise UsageError(
                "By its own clock one device learns, and nobody beside it.",
                "Leave out --simulated, and name a device of the rig: --device NAME.",
            )
        found, declared = device_of(device or "virtual", rig), find_task(task)
        if declared.variation and not plant:
            raise UsageError(
                f"{task} changes the plant, and the device has the one that it comes with.",
                "Change it in C, and give its file: --plant (docs/PLANT.md).",
            )
        firmware = plant_source(found, declared, plant)
        return lambda run: practise(run, lambda: open_device(found, plant=firmware)), []
    if plant:
        raise UsageError("This run's plant is the host's.", "Leave out --plant.")
    if device is None and rig is not None:
        fleet = Fleet.of(read_rig(rig), simulated)
    elif device is None and simulated:
        fleet = Fleet({}, simulated)
    else:
        name = device or "virtual"
        with suppress(NoDevice):  # it may come
            device_of(name, rig)
        fleet = Fleet({"device": lambda: open_device(device_of(name, rig))}, simulated)
    return lambda run: run.by(fleet), list(fleet.devices)


def check_clocked(clocked, resumed, period_ms, generations, plant) -> None:
    if period_ms is not None and not period_ms >= 0:
        raise UsageError(f"A period of {period_ms:g} ms cannot be; give 0 or more.")
    if resumed and (clocked or period_ms is not None or generations):
        raise UsageError(
            "A run goes on by the clock that it began with.",
            "Leave out --clocked, --period-ms, --alone and --save-every.",
        )
    if not (clocked or resumed) and (period_ms is not None or generations or plant):
        raise UsageError(
            "--period-ms, --alone, --save-every and --plant are of a device's own plant.",
            "Add --clocked.",
        )


def limits_of(texts: list[str], n_act: int) -> list[tuple[int, int, int]]:
    """What --limit says; one of them is for every output."""
    from ..link import Limit

    limits = []
    for text in texts:
        try:
            numbers = [round(2048 * float(part)) for part in text.split(":")]
            low, high, slew = numbers if numbers[2:] else (*numbers, Limit.slew)
            limits.append(astuple(Limit(low, high, slew)))
        except (ValueError, OverflowError, UsageError):
            raise UsageError(
                f"{text!r} is no limit.",
                "Give two or three numbers, the lower one first, as -0.75:0.75:0.25.",
            ) from None
    return limits * (n_act if len(limits) == 1 else 1)


def describe(generation) -> str:
    told = "" if generation.evaluation is None else f"evaluation {generation.evaluation:8.1f}  "
    losses = f"  lost {generation.losses} times" if generation.losses else ""
    if generation.back_to is not None:
        losses += f"  COLLAPSED: back to what {generation.back_to} generations had learned"
    return (
        f"generation {generation.generation + 1:4d}  mean {generation.mean:8.1f}  "
        f"best {generation.best:8.1f}  {told}{generation.steps:,} steps  "
        f"rho {generation.rho_hash}  {generation.seconds:.1f} s{losses}"
    )
