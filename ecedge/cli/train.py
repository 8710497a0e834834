"""`ecedge train`: a task, or a run to go on with."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typer.core import TyperCommand

from ..errors import StorageError, UsageError
from ..training.settings import Settings
from .options import INTERRUPTED, plant_steps

SETTINGS = {field.name for field in fields(Settings)}


def option(help: str, *names: str, **more):
    return typer.Option(*names, help=help, **more)


#: what may be said of a run that is resumed
WITH_RESUME = {
    "resume", "generations", "target", "steps", "threads", "cluster", "rig", "simulated", "as_json",
}  # fmt: skip


def train(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(help="A gymnasium id, `module:EnvId` of your own, or a task file (.toml)."),
    ] = None,
    out: Annotated[
        Path | None, option("Folder of the run. Default: runs/TASK-seedN.", "--out", "-o")
    ] = None,
    resume: Annotated[
        Path | None, option("Go on with the run in this folder, to the same bits.")
    ] = None,
    seed: Annotated[int, option("All randomness follows from it.")] = Settings.seed,
    generations: Annotated[
        int | None, option(f"How many to run in all. Default: {Settings.generations}.")
    ] = None,
    target: Annotated[
        float | None, option("Stop once an evaluation's mean return reaches this.")
    ] = None,
    steps: Annotated[
        int | None,
        option(
            "Stop after the generation that brings the plant steps of all to this, as 5e6.",
            parser=plant_steps,
            metavar="<int>",
        ),
    ] = None,
    population: Annotated[int, option("Members of a generation.")] = Settings.population,
    learning_rate: Annotated[
        float, option("Deviation of a step of the probabilities.")
    ] = Settings.learning_rate,
    half_life: Annotated[
        int | None, option("Generations in which the learning rate halves. Default: never.")
    ] = None,
    step: Annotated[
        str, option("How probabilities follow the gradient: plain, momentum, adam, scaled, sign.")
    ] = Settings.step,
    rho_bits: Annotated[int, option("Bits of a probability: 16 or 8.")] = Settings.rho_bits,
    first_horizon: Annotated[
        int | None,
        option("Steps of the first episodes where most members die; they grow as these live."),
    ] = Settings.first_horizon,
    horizon: Annotated[
        int | None, option("The most steps of a training episode. Default: the task's limit.")
    ] = None,
    neurons: Annotated[int, option("Spiking neurons, a multiple of 32.")] = Settings.neurons,
    form: Annotated[
        str, option("ei: excitatory and inhibitory neurons; signed: synapses of ±1.")
    ] = Settings.form,
    substeps: Annotated[int, option("Network steps in a control step.")] = Settings.substeps,
    current_shift: Annotated[
        int, option("The current loses 2^-k a substep.")
    ] = Settings.current_shift,
    membrane_shift: Annotated[
        int, option("The membrane potential loses 2^-k a substep.")
    ] = Settings.membrane_shift,
    output_shift: Annotated[
        int, option("The output filter loses 2^-k a substep.")
    ] = Settings.output_shift,
    recurrent_gain: Annotated[
        int, option("A recurrent synapse weighs 2^g; the threshold is 64.")
    ] = Settings.recurrent_gain,
    output_gain: Annotated[
        int, option("An output synapse weighs 2^g; 1.0 is 2048.")
    ] = Settings.output_gain,
    input_gain: Annotated[float, option("The paper's K_in.")] = Settings.input_gain,
    kind: Annotated[
        str,
        option("one-bit, or a rival of real numbers that no device runs: rsnn, gru, lstm, mlp."),
    ] = Settings.kind,
    es_sigma: Annotated[
        float, option("Rivals: deviation of a member's parameters, in their own size.")
    ] = Settings.es_sigma,
    es_rate: Annotated[
        float, option("Rivals: step of a parameter, in its own size.")
    ] = Settings.es_rate,
    evaluate_every: Annotated[
        int, option("Generations between evaluations of the deterministic policy.")
    ] = Settings.evaluate_every,
    evaluation_episodes: Annotated[
        int, option("Episodes of an evaluation.")
    ] = Settings.evaluation_episodes,
    threads: Annotated[
        int | None, option("Threads; results do not depend on it. Default: all cores.")
    ] = None,
    cluster: Annotated[
        str | None,
        option(
            "Run episodes on the workers of a Ray cluster, to the same bits: the one this machine "
            "belongs to, or HOST:PORT of its head. See docs/CLUSTER.md.",
            metavar="[ADDRESS]",
        ),
    ] = None,
    rig: Annotated[
        Path | None,
        option(
            "Run episodes on all devices of this rig file, to the same bits: docs/RIG.md.",
            metavar="FILE",
        ),
    ] = None,
    simulated: Annotated[
        int, option("With --rig: threads that run members here, beside the devices.")
    ] = 0,
    as_json: Annotated[bool, option("Print the result as JSON.", "--json")] = False,
) -> None:
    """Evolve a one-bit spiking policy on a task.

    The run's folder holds `policy.onnx` (the best by evaluation; of rivals `policy.npz`),
    `log.jsonl`, `curve.png`, TensorBoard's `events`, and what the run goes on from. Whatever stops
    it, Ctrl-C or a power cut: `--resume FOLDER` goes on.

    Example: `ecedge train CartPole-v1 --target 500`
    """
    from ..tasks import find_task
    from ..training.trainer import Trainer

    given = {name: value for name, value in locals().items() if name in SETTINGS}
    crew = find_crew(cluster, rig, simulated)
    if resume is not None:
        if task is not None:
            raise UsageError("Give a task or --resume, not both.")
        given_up = [
            "--" + name.replace("_", "-")
            for name in ctx.params
            if name not in WITH_RESUME and ctx.get_parameter_source(name).name == "COMMANDLINE"
        ]
        if given_up:
            raise UsageError(
                f"A run that is resumed keeps its settings: {', '.join(given_up)} cannot be given.",
                "Only --generations, --target, --steps, --threads, --cluster, --rig, --simulated "
                "and --json can.",
            )
        changes = {k: given[k] for k in ("generations", "target", "steps") if given[k] is not None}
        trainer = Trainer.resume(resume, threads, crew, **changes)
        print(f"Going on after generation {trainer.generation}.", file=sys.stderr)
    else:
        if task is None:
            raise UsageError("Name a task, for example: ecedge train CartPole-v1")
        if given["generations"] is None:
            del given["generations"]
        # The declaration itself is kept, so that the run never needs the file again.
        settings = Settings(**{**given, "task": find_task(task).declaration or task})
        if crew is not None:
            crew.check(settings)
        folder = out or Path("runs") / f"{folder_name(task)}-seed{seed}"
        trainer = Trainer(settings, folder, threads, crew=crew)
    try:
        show_progress(trainer)
        report(trainer, as_json)
    except KeyboardInterrupt:
        print(
            f"ecedge: Interrupted; {trainer.saved} generations are safe. "
            f"Go on with: ecedge train --resume {trainer.folder}",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None


def folder_name(task: str) -> str:
    """What the folder of a run of this task is called."""
    name = Path(task).stem if task.endswith(".toml") else task
    return name.replace("/", "-").replace(":", "-")


def find_crew(address: str | None, rig: Path | None, simulated: int):
    """The Cluster of an address, or the Fleet of a rig file; None without either."""
    if rig is not None:
        if address is not None:
            raise UsageError("Episodes run on a cluster or on a rig: give --cluster or --rig.")
        from ..devices import read_rig
        from ..fleet import Fleet

        return Fleet.of(read_rig(rig), simulated)
    if simulated:
        raise UsageError("--simulated is for --rig; without, --threads says how many run here.")
    if address is None:
        return None
    from ..training.cluster import Cluster

    cluster = Cluster(address)
    cluster.connect()  # before a folder is made
    return cluster


class Train(TyperCommand):
    """Lets `--cluster` stand alone: what follows is its value only if it looks like an address."""

    def parse_args(self, ctx, args):
        words = []
        for word, following in zip(args, [*args[1:], ""], strict=False):
            alone = word == "--cluster" and not re.fullmatch(r"\S+:\d+|auto", following)
            words += [word, "auto"] if alone else [word]
        return super().parse_args(ctx, words)


def show_progress(trainer) -> None:
    """Runs to the end: a live line on a terminal, else a line for every evaluation."""
    console = Console(stderr=True)
    if not console.is_terminal:
        for generation in trainer:
            if generation.evaluation is not None:
                print(describe(generation), file=sys.stderr, flush=True)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        line = progress.add_task(
            trainer.task.id,
            total=trainer.settings.generations,
            completed=trainer.generation,
            shown="",
        )
        for generation in trainer:
            progress.update(
                line,
                advance=1,
                shown=f"mean {generation.mean:.1f}  best {generation.best:.1f}  "
                f"{generation.steps / generation.seconds:,.0f} steps/s",
            )
            if generation.evaluation is not None:
                progress.console.print(describe(generation))


def describe(generation) -> str:
    varied = "" if generation.varied is None else f"varied {generation.varied:8.1f}  "
    return (
        f"generation {generation.generation + 1:4d}  mean {generation.mean:8.1f}  "
        f"best {generation.best:8.1f}  evaluation {generation.evaluation:8.1f}  {varied}"
        f"spikes {generation.activity:5.1%}  {generation.steps:,} steps  "
        f"{generation.seconds:.1f} s"
    )


def report(trainer, as_json: bool) -> None:
    from ..training.curve import save_curve
    from ..training.trainer import CURVE

    try:
        save_curve(trainer.folder, f"{trainer.task.id}, seed {trainer.settings.seed}")
    except StorageError as error:
        print(f"ecedge: {error}", file=sys.stderr)
    returns = trainer.fresh_returns(trainer.settings.evaluation_episodes)
    evaluation, policy = trainer.best
    result = {
        "policy": str(trainer.policy_file),
        "hash": policy.hash,
        "curve": str(trainer.folder / CURVE),
        "generations": trainer.generation,
        "evaluation": evaluation,
        "fresh_mean": float(returns.mean()),
        "fresh_least": float(returns.min()),
        "episodes": len(returns),
    }
    if as_json:
        print(json.dumps(result))
    else:
        print(
            f"{result['policy']}  {policy.hash}\n"
            f"{trainer.task.id}: mean return {returns.mean():.1f} over {len(returns)} fresh "
            f"episodes, the least {returns.min():.1f}"
        )
