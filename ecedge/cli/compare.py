"""`ecedge compare`: kinds of networks on one task, with the same budget."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..training.settings import Settings
from .options import INTERRUPTED, AsJson, plant_steps


def compare(
    task: Annotated[
        str,
        typer.Argument(help="A gymnasium id, `module:EnvId` of your own, or a task file (.toml)."),
    ],
    networks: Annotated[
        str, typer.Option(help="Kinds to compare: one-bit, rsnn, gru, lstm, mlp.")
    ] = "one-bit,rsnn,gru,lstm,mlp",
    seeds: Annotated[int, typer.Option(help="Runs of each kind, with seeds from 0.")] = 3,
    steps: Annotated[
        int,
        typer.Option(help="Plant steps of each run, as 5e6.", parser=plant_steps, metavar="<int>"),
    ] = 5_000_000,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder. Default: runs/compare-TASK.")
    ] = None,
    population: Annotated[int, typer.Option(help="Members of a generation.")] = Settings.population,
    neurons: Annotated[
        int, typer.Option(help="Neurons, or units of GRU, LSTM and MLP; a multiple of 32.")
    ] = Settings.neurons,
    horizon: Annotated[
        int | None, typer.Option(help="The most steps of a training episode.")
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(help="Of the one-bit network's probabilities.")
    ] = Settings.learning_rate,
    es_sigma: Annotated[
        float, typer.Option(help="Of the others: deviation of a member's parameters.")
    ] = Settings.es_sigma,
    es_rate: Annotated[
        float, typer.Option(help="Of the others: step of a parameter.")
    ] = Settings.es_rate,
    evaluation_episodes: Annotated[
        int, typer.Option(help="Episodes of an evaluation, and of the final one.")
    ] = Settings.evaluation_episodes,
    threads: Annotated[int | None, typer.Option(help="Default: all cores.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train one-bit networks and real-valued rivals on the same budget, and compare what they earn.

    Every run is an ordinary one, in FOLDER/NETWORK-seedN; the same command goes on with what is
    there, and more --steps or --seeds continue it. Prints a table: returns on fresh episodes, bytes
    of weights, operations of a control step. Draws compare.png.

    Example: `ecedge compare CartPole-v1 --steps 3e5 --seeds 2`
    """
    from ..tasks import find_task
    from ..training.compare import EXPLANATION, draw, judge, open_run, runs_of, table
    from .train import describe, folder_name

    settings = Settings(
        find_task(task).declaration or task,
        steps=steps,
        population=population,
        neurons=neurons,
        horizon=horizon,
        learning_rate=learning_rate,
        es_sigma=es_sigma,
        es_rate=es_rate,
        evaluation_episodes=evaluation_episodes,
    )
    kinds = [kind.strip() for kind in networks.split(",")]
    folder = out or Path("runs") / f"compare-{folder_name(task)}"
    runs = runs_of(settings, kinds, seeds, folder)
    outcomes = []
    try:
        for run, place in runs:
            trainer = open_run(run, place, threads)
            for generation in trainer:
                if generation.evaluation is not None:
                    print(f"{place.name}: {describe(generation)}", file=sys.stderr, flush=True)
            outcomes.append(judge(trainer, threads))
    except KeyboardInterrupt:
        print(
            f"ecedge: Interrupted; {len(outcomes)} of {len(runs)} runs are done and the others "
            "safe. The same command goes on.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    picture = draw(outcomes, folder)
    if as_json:
        told = {"task": task, "picture": str(picture), "runs": [asdict(o) for o in outcomes]}
        print(json.dumps(told))
    else:
        print(f"{table(outcomes)}\n\n{EXPLANATION}\n{picture}")
