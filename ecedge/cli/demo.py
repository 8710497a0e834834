"""`ecedge demo`: the whole chain in one command."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ..training.settings import Settings
from .options import INTERRUPTED
from .train import show_progress

TASK = "CartPole-v1"
TARGET = 500.0
EPISODES = 10


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of all that is made.")] = Path(
        "build/demo"
    ),
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
) -> None:
    """Train CartPole, build firmware, start it as a virtual device, and run it in the loop.

    Leaves `policy.onnx`, the learning curve and a one-page HTML report. An interrupted demo goes on
    where it was; a finished one begins anew.
    """
    try:
        run_demo(out, seed)
    except KeyboardInterrupt:
        print("ecedge: Interrupted; call it again, it goes on where it was.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def run_demo(out: Path, seed: int) -> None:
    from ..boards import find_board
    from ..boards.build import build
    from ..devices import open_device
    from ..hil import control_period_ms, run_episodes, summarise
    from ..policy_file import load_policy
    from ..report import save_run_report
    from ..training.curve import save_curve
    from ..training.trainer import POLICY
    from .run import describe

    settings = Settings(TASK, seed=seed, target=TARGET)
    begun = time.monotonic()
    finished = out / "report.html"
    if finished.exists():
        finished.unlink()
        discard_run(out / "run")
    say(1, f"Training {TASK} until the deterministic policy returns {TARGET:g}.")
    trainer = open_trainer(out / "run", settings)
    show_progress(trainer)
    curve = save_curve(trainer.folder, f"{TASK}, seed {seed}")

    say(2, "Building the policy into firmware for the virtual device.")
    policy, info = load_policy(trainer.folder / POLICY)
    built = build(policy, find_board("virtual"), out / "firmware", command="ecedge demo")
    print(built)

    say(3, f"Starting the device, uploading policy {policy.hash}, {EPISODES} episodes in the loop.")
    with open_device("virtual") as device:
        device.upload(policy)
        results = list(run_episodes(device, policy, trainer.task, EPISODES, seed))
        hello = device.hello
    summary = summarise(results, policy, hello.tick_hz, control_period_ms(trainer.task))
    print("returns: " + " ".join(f"{episode.total:g}" for episode in results))
    print(describe(summary))

    save_run_report(finished, policy, info, hello, results, summary, curve.read_bytes(), str(built))
    print(f"\npolicy  {trainer.folder / POLICY}\ncurve   {curve}\nreport  {finished}")
    print(f"All of it in {time.monotonic() - begun:.0f} s.")
    if summary.differing_bits or summary.least_return < TARGET:
        print("ecedge: The demo did not come out as it should.", file=sys.stderr)
        raise typer.Exit(1)


def open_trainer(folder: Path, settings: Settings):
    from ..errors import EcedgeError
    from ..training.trainer import CHECKPOINT, Trainer

    if (folder / CHECKPOINT).exists():
        try:
            trainer = Trainer.resume(folder)
            if trainer.settings == settings:
                print(f"Going on after generation {trainer.generation}.", file=sys.stderr)
                return trainer
        except EcedgeError as error:
            print(f"The earlier run cannot be used: {error}", file=sys.stderr)
        discard_run(folder)
    return Trainer(settings, folder)


def discard_run(folder: Path) -> None:
    """Removes what an earlier demo made there, and nothing else."""
    from ..training.trainer import FILES

    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def say(number: int, text: str) -> None:
    print(f"\n[{number}/3] {text}", flush=True)
