"""One episode of every member: networks and plants in step, a thread for each part of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..engine import Batch
from ..errors import PolicyError, TrainingError
from ..model import NetworkSpec, ObservationMap, Policy, decode_action
from ..tasks import Batch as Plants
from ..tasks import Task
from .normaliser import Moments


@dataclass(frozen=True)
class Rollout:
    """returns: (P,) float64, the sums of rewards; lengths: (P,) plant steps of each member."""

    returns: np.ndarray
    lengths: np.ndarray

    @property
    def steps(self) -> int:
        return int(self.lengths.sum())


class Population:
    """Networks with a plant each. Nothing that comes out depends on the number of threads.

    Where the task's plants are `parallel`, every thread runs a part of the members from start to
    end by itself: one's physics overlaps the other's networks and bookkeeping. Other plants are
    stepped together, and the threads share the networks' work.
    """

    def __init__(self, task: Task, spec: NetworkSpec, population: int, threads: int | None = None):
        threads = threads or len(os.sched_getaffinity(0))
        self.task = task
        self.networks = Batch(spec, population, threads)
        parts = min(threads, population) if task.parallel else 1
        ends = [population * k // parts for k in range(parts + 1)]
        self._resources = ExitStack()
        self._threads = self._resources.enter_context(ThreadPoolExecutor(parts))
        self._parts: list[tuple[slice, Plants]] = []
        for first, end in pairwise(ends):
            plants = self._resources.enter_context(closing(task.make(end - first)))
            self._parts.append((slice(first, end), plants))

    def __enter__(self) -> Population:
        return self

    def __exit__(self, *error) -> None:
        self._resources.close()

    def roll_out(
        self,
        observation_map: ObservationMap,
        seed: int | Sequence[int],
        moments: Moments | None = None,
    ) -> Rollout:
        """Runs one episode of every member to its end; `moments` gets what is seen.

        seed: of all episodes, or one for each member. Raises TrainingError when the task gives an
        observation or a reward that is not finite.
        """
        population = self.networks.population
        seeds = np.broadcast_to(seed, population)
        rollout = Rollout(np.zeros(population), np.zeros(population, np.int64))
        self.networks.set_map(observation_map)
        self.networks.reset()
        running = [
            self._threads.submit(
                self._run, members, plants, observation_map, seeds[members], moments, rollout
            )
            for members, plants in self._parts
        ]
        for part in running:
            part.result()
        if not np.isfinite(rollout.returns).all():
            raise not_finite(self.task, "a reward")
        return rollout

    def _run(self, members: slice, plants: Plants, observation_map, seeds, moments, rollout):
        spec = self.networks.spec
        low, high = np.array(self.task.low, np.float32), np.array(self.task.high, np.float32)
        live = np.ones(plants.population, bool)
        output = np.zeros((plants.population, spec.n_act), np.int16)
        observations = plants.reset(seeds)
        while live.any():
            every = live.all()
            if not every:
                observations[~live] = 0  # whatever a member saw last, its episode is over
            try:
                raw = observation_map.encode(observations)
            except PolicyError as error:
                raise not_finite(self.task, "an observation") from error
            if moments is not None:
                where = members if every else members.start + np.flatnonzero(live)
                moments.add(where, observations if every else observations[live])
            if len(self._parts) == 1:
                self.networks.step(raw, live, out=output)
            else:
                self.networks.step_part(members.start, raw, live, out=output)
            actions = decode_action(spec, output, low, high)
            observations, rewards, terminated, truncated = plants.step(actions)
            rollout.returns[members] += rewards
            rollout.lengths[members] += live
            live = ~(terminated | truncated)


def not_finite(task: Task, what: str) -> TrainingError:
    return TrainingError(
        f"{task.id} gave {what} that is not a finite number.",
        "The checkpoint of the last generation is safe; repair the task, then resume.",
    )


def evaluate(
    policy: Policy, task: Task, seeds: Sequence[int], threads: int | None = None
) -> np.ndarray:
    """Returns (len(seeds),) float64 of one policy, an episode for each seed."""
    with Population(task, policy.spec, len(seeds), threads) as population:
        for member in range(len(seeds)):
            population.networks.load(member, policy.synapses)
        return population.roll_out(policy.observation_map, seeds).returns
