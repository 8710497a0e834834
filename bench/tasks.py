"""What the defaults learn: every native task, several seeds, judged on episodes that nothing saw.

python bench/tasks.py [--seeds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from ecedge.training.settings import Settings
from ecedge.training.trainer import Trainer

#: task: (a return that ends the run early, or None; the return that counts as solved)
TASKS = {
    "CartPole-v1": (500.0, 500.0),
    "Acrobot-v1": (None, -100.0),
    "Pendulum-v1": (None, -250.0),
    "MountainCarContinuous-v0": (None, 90.0),
}
EPISODES = 100


def learn(task: str, target: float | None, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        trainer = Trainer(Settings(task, seed=seed, target=target), Path(folder))
        *_, last = trainer
        return {
            "task": task,
            "seed": seed,
            "return": float(trainer.fresh_returns(EPISODES).mean()),
            "generations": trainer.generation,
            "steps": last.steps,
            "seconds": time.perf_counter() - begun,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--json", action="store_true", help="print every run as JSON")
    options = parser.parse_args()
    if not options.json:
        print("| Task | mean return of each seed | solved | env steps | seconds |")
        print("|---|---|---|---|---|")
    for task in options.tasks:
        target, solved = TASKS[task]
        runs = [learn(task, target, seed) for seed in range(options.seeds)]
        if options.json:
            for run in runs:
                print(json.dumps(run), flush=True)
            continue
        good = sum(run["return"] >= solved for run in runs)
        millions = sum(run["steps"] for run in runs) / len(runs) / 1e6
        seconds = sum(run["seconds"] for run in runs) / len(runs)
        returns = ", ".join(f"{run['return']:.0f}" for run in runs)
        print(
            f"| {task} | {returns} | {good} of {len(runs)} at {solved:g} "
            f"| {millions:.1f} M | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
