"""What the choices of the search are worth: one changed at a time, several tasks and seeds.

python bench/sweep.py [--tasks ...] [--only step horizon ...] [--seeds 3] [--steps 3e6]
                      [--out runs/sweep] [--workers 2]

Every variant is an ordinary run on one thread, in OUT/TASK/VARIANT-seedN; the same command goes on
where it was stopped, and does nothing for runs that have done their steps. Each is judged on fresh
episodes of the stock task. OUT/sweep.jsonl gets a line a run; a table in Markdown is printed for
each task.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ecedge.evolution import STEPS, Evolution
from ecedge.evolution.steps.rounding import plain_move
from ecedge.reference import centered_ranks
from ecedge.storage import write_atomically
from ecedge.tasks import find_task
from ecedge.training.compare import WITHOUT_END, judge, open_run
from ecedge.training.kinds import KINDS
from ecedge.training.one_bit import OneBit
from ecedge.training.settings import Settings

ROOT = Path(__file__).parent.parent
TASKS = [
    "HalfCheetah-v5",
    str(ROOT / "tasks/hopper-euler.toml"),
    str(ROOT / "tasks/walker2d-euler.toml"),
]


# --- what only a sweep has ------------------------------------------------------------------


def bounded(epsilon: float):
    """The plain step with other bounds of ρ than docs/MODEL.md's 0.001."""

    class Bounded(STEPS["plain"]):
        def update(self, rho, gradient, rate, seed, generation):
            by = np.rint(rho + plain_move(gradient, rate, self.population))
            return by.clip(65536 * epsilon, 65536 * (1 - epsilon)).astype(rho.dtype)

    return Bounded


class Pulled(STEPS["plain"]):
    """The plain step, and a pull of ρ to a half, against the drift of chance."""

    PULL = 0.01

    def update(self, rho, gradient, rate, seed, generation):
        by = plain_move(gradient, rate, self.population) + self.PULL * (32768.0 - rho)
        return np.rint(rho + by).clip(66, 65470).astype(rho.dtype)


STEPS["eps0.01"], STEPS["eps0.03"], STEPS["pull"] = bounded(0.01), bounded(0.03), Pulled


class Shaped(Evolution):
    """An evolution whose weights are not the ranks themselves, as strong as they are."""

    def weigh(self, fitness):
        ranks = centered_ranks(fitness)
        shaped = self.shape(ranks / len(ranks))
        shaped = shaped - shaped.mean()
        weights = np.rint(shaped * np.sqrt((ranks.astype(float) ** 2).sum() / (shaped**2).sum()))
        weights[np.argmax(ranks)] -= weights.sum()  # what rounding left
        return weights.astype(np.int32)


class TopQuarter(Shaped):
    """The best quarter counts alike, and nobody else."""

    @staticmethod
    def shape(ranks):
        return (ranks > 0.5).astype(float)


class LogRanks(Shaped):
    """The best half by the logarithm of their place (Hansen and Ostermeier, 2001)."""

    @staticmethod
    def shape(ranks):
        place = (1 - ranks) / 2 * len(ranks) + 0.5
        return np.maximum(0.0, np.log((len(ranks) + 1) / 2) - np.log(place))


def shaped(search: type[Shaped]):
    class Kind(OneBit):
        def search(self):
            found = super().search()
            found.__class__ = search
            return found

    return Kind


KINDS["one-bit, top quarter"] = shaped(TopQuarter)
KINDS["one-bit, log ranks"] = shaped(LogRanks)

SHORT = {"first_horizon": 300, "horizon": 300}

#: group: (variant: changed settings)
VARIANTS: dict[str, dict[str, dict]] = {
    "base": {"base": {}},
    "rate": {f"lr {rate}": {"learning_rate": rate} for rate in (0.025, 0.05, 0.2)}
    | {f"lr 0.1, half-life {half}": {"half_life": half} for half in (40, 100)},
    "step": {
        "scaled": {"step": "scaled"},
        "scaled, lr 0.2": {"step": "scaled", "learning_rate": 0.2},
        "momentum": {"step": "momentum"},
        "momentum, lr 0.3": {"step": "momentum", "learning_rate": 0.3},
        "adam, lr 0.01": {"step": "adam", "learning_rate": 0.01},
        "adam, lr 0.03": {"step": "adam", "learning_rate": 0.03},
        "sign, lr 0.01": {"step": "sign", "learning_rate": 0.01},
        "sign, lr 0.03": {"step": "sign", "learning_rate": 0.03},
        "pulled to 1/2": {"step": "pull"},
    },
    "epsilon": {"eps 0.01": {"step": "eps0.01"}, "eps 0.03": {"step": "eps0.03"}},
    "horizon": {
        "whole episodes": {"first_horizon": None},
        "first 50": {"first_horizon": 50},
        "first 200": {"first_horizon": 200},
        "at most 300": SHORT,
    },
    "shaping": {
        "top quarter": {"kind": "one-bit, top quarter"},
        "log ranks": {"kind": "one-bit, log ranks"},
    },
    "population": {f"P {p}": {"population": p} for p in (64, 128, 512)},
    "size": {f"N {n}": {"neurons": n} for n in (64, 128, 512)},
    "substeps": {f"K {k}": {"substeps": k} for k in (4, 8, 32)},
    "input": {f"K_in {gain}": {"input_gain": gain} for gain in (0.1, 0.2, 0.6)},
    "dynamics": {
        "shifts 3/4/4": {"membrane_shift": 4, "output_shift": 4},
        "shifts 3/3/4": {"output_shift": 4},
        "signed": {"form": "signed"},
        "8-bit rho": {"rho_bits": 8},
    },
    "together": {
        "P 64, first 200": {"population": 64, "first_horizon": 200},
        "P 64, at most 300": {"population": 64, **SHORT},
        "P 64, at most 300, lr 0.05": {"population": 64, "learning_rate": 0.05, **SHORT},
        "P 128, at most 300": {"population": 128, **SHORT},
        "P 128, at most 300, lr 0.2": {"population": 128, "learning_rate": 0.2, **SHORT},
        "scaled, lr 0.2, at most 300": {"step": "scaled", "learning_rate": 0.2, **SHORT},
    },
}


def settings_of(task: str, change: dict, seed: int, steps: int) -> Settings:
    base = Settings(
        find_task(task).declaration or task,
        seed=seed,
        neurons=256,
        generations=WITHOUT_END,
        steps=steps,
        evaluation_episodes=20,
    )
    return replace(base, **change)


def run(task: str, variant: str, settings: Settings, folder: Path) -> dict:
    """Trains if it is not done, and judges; a line of the results."""
    done = folder / "outcome.json"
    if done.exists():
        outcome = json.loads(done.read_text())
        if outcome["steps"] >= settings.steps:
            return outcome
    trainer = open_run(settings, folder, threads=1)
    last = None
    for last in trainer:  # noqa: B007
        pass
    outcome = {"task": Path(task).stem, "variant": variant, **asdict(judge(trainer, threads=1))}
    if last is not None:
        outcome |= {"population_mean": last.mean, "seconds": last.seconds}
    write_atomically(done, json.dumps(outcome).encode())
    return outcome


def table(outcomes: list[dict]) -> str:
    lines = [
        "| variant | mean return of each seed | mean | steps | spikes | seconds a run |",
        "|---|---|---|---|---|---|",
    ]
    for variant in dict.fromkeys(outcome["variant"] for outcome in outcomes):
        runs = sorted((o for o in outcomes if o["variant"] == variant), key=lambda o: o["seed"])
        means = [run["mean"] for run in runs]
        lines.append(
            f"| {variant} | {', '.join(f'{mean:.0f}' for mean in means)} | {np.mean(means):.0f} "
            f"| {np.mean([run['steps'] for run in runs]) / 1e6:.1f} M "
            f"| {np.mean([run['activity'] for run in runs]):.1%} "
            f"| {np.mean([run.get('seconds', np.nan) for run in runs]):.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=float, default=3e6)
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"))
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    variants = {name: change for group in options.only for name, change in VARIANTS[group].items()}
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as workers:
        # Seed by seed, so that a sweep cut short has something of every variant.
        running = [
            workers.submit(
                run,
                task,
                variant,
                settings_of(task, change, seed, round(options.steps)),
                options.out / Path(task).stem / f"{variant.replace(' ', '-')}-seed{seed}",
            )
            for seed in range(options.seeds)
            for variant, change in variants.items()
            for task in options.tasks
        ]
        outcomes = []
        for future in as_completed(running):
            outcome = future.result()
            outcomes.append(outcome)
            print(
                f"{len(outcomes)}/{len(running)} {outcome['task']}, {outcome['variant']}, "
                f"seed {outcome['seed']}: {outcome['mean']:.0f}",
                file=sys.stderr,
                flush=True,
            )
    order = {name: k for k, name in enumerate(variants)}
    outcomes.sort(key=lambda o: (order[o["variant"]], o["seed"]))
    lines = "".join(json.dumps(outcome) + "\n" for outcome in outcomes)
    write_atomically(options.out / "sweep.jsonl", lines.encode())
    for task in dict.fromkeys(outcome["task"] for outcome in outcomes):
        print(f"\n{task}, {options.steps:g} steps\n")
        print(table([outcome for outcome in outcomes if outcome["task"] == task]))


if __name__ == "__main__":
    main()
