"""`ecedge plot`: the learning curves of runs, in one picture."""

from pathlib import Path
from typing import Annotated

import typer


def plot(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs, or their log.jsonl.", metavar="RUN...")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The picture: .png, .svg or .pdf.")
    ] = Path("curves.png"),
    x: Annotated[
        str, typer.Option("--x", help="Draw against steps, seconds or generations.")
    ] = "steps",
    group: Annotated[
        bool,
        typer.Option("--group", help="Draw runs that differ only in the seed as mean and range."),
    ] = False,
) -> None:
    """Draw the learning curves of one run, or of several runs of a task to compare them.

    Labels tell in which settings the runs differ. Evaluations of the deterministic policy are the
    lines; a run alone comes with its population.

    Example: `ecedge plot runs/CartPole-v1-seed* --group --out cartpole.svg`
    """
    from ..training.curve import read_run, save_curves

    save_curves(out, [read_run(run) for run in runs], x, group)
    print(out)
