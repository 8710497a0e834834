"""Speed of training against its physics, all in one run: environment steps a second on all cores.

For each task, generations of training (sampling, episodes, normaliser, update) take turns with the
very same episodes played back, the plants given the actions of those generations with nothing else
to do, and with `mujoco.batch` alone under random controls, its fallen robots stepped on. How much a
step of physics costs depends on what the robot does, so the first ratio is the one to look at. The
machine may be shared: rates are of the best turn, the ratio is the turns' median.

    python bench/train.py [--tasks Hopper-v5 ...] [--turns 3] [--json]
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is imported

import argparse
import json
import time

import mujoco.batch
import numpy as np

from ecedge.tasks import find_task
from ecedge.training.learner import Learner
from ecedge.training.rollout import Population, usable_cores
from ecedge.training.settings import Settings

TASKS = [
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
]
NEURONS, SUBSTEPS, POPULATION = 256, 16, 256
GENERATIONS = 3  # of a turn
HORIZON = 100  # steps of an episode, as training begins: a robot that never falls runs a thousand
RAW_STEPS = 60  # control steps of mujoco.batch a turn


class Recorder:
    """Networks whose actions are kept, each part's in its own list."""

    def __init__(self, networks):
        self.population = networks.population
        self.actions: dict[int, list[np.ndarray]] = {}
        self._networks = networks

    def reset(self) -> None:
        self._networks.reset()

    def act(self, members, observations, live):
        actions = self._networks.act(members, observations, live)
        self.actions.setdefault(members.start, []).append(actions)
        return actions


class Player:
    """Gives a recorder's actions again."""

    def __init__(self, recorder: Recorder):
        self.population = recorder.population
        self._actions = {first: iter(actions) for first, actions in recorder.actions.items()}

    def reset(self) -> None:
        pass

    def act(self, members, observations, live):
        return next(self._actions[members.start])


class Race:
    """One learner, its plants, and the plants' physics alone."""

    def __init__(self, task_id: str):
        self.task = find_task(task_id)
        settings = Settings(task_id, neurons=NEURONS, substeps=SUBSTEPS, population=POPULATION)
        self.learner = Learner(settings, self.task)
        stock = self.task.make_single().unwrapped
        self._batch = mujoco.batch.Batch(stock.model, POPULATION, usable_cores())
        self._frames = stock.frame_skip
        shape = RAW_STEPS, POPULATION, self.task.n_act
        self._controls = np.random.default_rng(0).uniform(self.task.low, self.task.high, shape)

    def turn(self) -> tuple[float, float, float]:
        """Environment steps a second of training, of its episodes played back, of physics alone."""
        learner, recorder = self.learner, Recorder(self.learner.networks)
        seeds = [learner.generation + k for k in range(GENERATIONS)]
        with Population(self.task, recorder) as population:
            begun = time.perf_counter()
            steps = 0
            for seed in seeds:
                moments = learner.begin()
                rollout = population.roll_out(seed, moments, HORIZON)
                learner.finish(rollout.returns, moments)
                steps += rollout.steps
            trained = time.perf_counter() - begun
            population.networks = Player(recorder)
            begun = time.perf_counter()
            again = sum(population.roll_out(seed, horizon=HORIZON).steps for seed in seeds)
            played = time.perf_counter() - begun
        assert again == steps
        begun = time.perf_counter()
        self._batch.reset()
        for controls in self._controls:
            self._batch.ctrl = controls
            self._batch.step(nstep=self._frames)
        alone = time.perf_counter() - begun
        return steps / trained, steps / played, RAW_STEPS * POPULATION / alone


def measure(task_id: str, turns: int) -> dict:
    race = Race(task_id)
    rates = np.array([race.turn() for _ in range(turns)])
    training, played, physics = rates.max(axis=0)
    return {
        "task": task_id,
        "training": training,
        "played": played,
        "physics": physics,
        "ratio": float(np.median(rates[:, 0] / rates[:, 1])),
        "activity": race.learner.networks.activity,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print every row as JSON")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    if not options.json:
        print(f"N = {NEURONS}, K = {SUBSTEPS}, P = {POPULATION}, {usable_cores()} threads")
        print("                              env steps a second, best turn   training / same")
        print("task                        training  same episodes  physics   episodes  spikes")
    for task_id in options.tasks:
        row = measure(task_id, options.turns)
        if options.json:
            print(json.dumps(row), flush=True)
            continue
        print(
            f"{task_id:26} {row['training']:9,.0f} {row['played']:14,.0f} {row['physics']:8,.0f} "
            f"{row['ratio']:10.2f}  {row['activity']:6.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
