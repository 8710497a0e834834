"""One episode of every member: networks and plants in step, a thread for each part of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from ..errors import PolicyError, TrainingError
from ..tasks import Batch as Plants
from ..tasks import Task
from .normaliser import Moments


class Networks(Protocol):
    """A population of controllers: `one_bit.OneBitNetworks`, or rivals of theirs."""

    population: int

    def reset(self) -> None:
        """Brings all members to the state in which an episode begins."""

    def act(self, members: slice, observations: np.ndarray, live: np.ndarray) -> np.ndarray:
        """One control step of the members where `live` (M,) bool is set: (M, n_obs) float ->
        actions (M, ...) within the task's bounds. Called by several threads at once, each with
        members of its own. PolicyError: an observation is not a finite number."""


@dataclass(frozen=True)
class Rollout:
    """returns: (P,) float64, the sums of rewards; lengths: (P,) plant steps of each member."""

    returns: np.ndarray
    lengths: np.ndarray

    @property
    def steps(self) -> int:
        return int(self.lengths.sum())

    def put(self, members: slice, part: Rollout) -> None:
        """What these members did, run by themselves."""
        self.returns[members] = part.returns
        self.lengths[members] = part.lengths


class Population:
    """Networks with a plant each. Nothing that comes out depends on the number of threads.

    Where the task's plants are `parallel`, every thread runs a part of the members from start to
    end by itself: one's physics overlaps the other's networks and bookkeeping. Other plants are
    stepped together, on the caller's thread, and the threads share the networks' work.
    """

    def __init__(self, task: Task, networks: Networks, threads: int | None = None):
        self.task = task
        self.networks = networks
        population = networks.population
        parts = min(threads or usable_cores(), population) if task.parallel else 1
        ends = [population * k // parts for k in range(parts + 1)]
        self._stopped = False
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

    @property
    def counts(self) -> tuple[int, int]:
        """(spikes, substeps of neurons) of all steps so far."""
        return self.networks.counts

    def roll_out(
        self,
        seed: int | Sequence[int],
        moments: Moments | None = None,
        horizon: int | None = None,
    ) -> Rollout:
        """Runs one episode of every member to its end, or to `horizon` steps if that is sooner;
        `moments` gets what is seen.

        seed: of all episodes, or one for each member. Raises TrainingError when the task gives an
        observation or a reward that is not finite.
        """
        population = self.networks.population
        seeds = np.broadcast_to(seed, population)
        rollout = Rollout(np.zeros(population), np.zeros(population, np.int64))
        self.networks.reset()
        episodes = [
            (members, plants, seeds[members], moments, horizon, rollout)
            for members, plants in self._parts
        ]
        if len(episodes) == 1:
            self._run(*episodes[0])
        else:
            self._run_beside(episodes)
        if not np.isfinite(rollout.returns).all():
            raise not_finite(self.task, "a reward")
        return rollout

    def _run_beside(self, episodes: list[tuple]) -> None:
        """A thread for each. If one fails, or Ctrl-C ends the wait, none is left running."""
        self._stopped = False
        running = []
        try:
            for part in episodes:
                running.append(self._threads.submit(self._run, *part))
            for part in running:
                part.result()
        except BaseException:
            self._stopped = True  # in their next step
            wait(running)
            raise

    def _run(self, members: slice, plants: Plants, seeds, moments, horizon, rollout) -> None:
        live = np.ones(plants.population, bool)
        observations = plants.reset(seeds)
        step = 0
        while live.any() and step != horizon and not self._stopped:
            step += 1
            every = live.all()
            if not every:
                observations[~live] = 0  # whatever a member saw last, its episode is over
            try:
                actions = self.networks.act(members, observations, live)
            except PolicyError as error:
                raise not_finite(self.task, "an observation") from error
            if moments is not None:
                seen = members if every else members.start + np.flatnonzero(live)
                moments.add(seen, observations if every else observations[live])
            observations, rewards, terminated, truncated = plants.step(actions)
            rollout.returns[members] += rewards
            rollout.lengths[members] += live
            live = ~(terminated | truncated)


class Part:
    """Some members of a population as a population of their own, from `first` on. Whoever owns them
    brings them to where an episode begins."""

    def __init__(self, networks: Networks, population: int):
        self.population = population
        self.first = 0
        self._networks = networks

    def reset(self) -> None:
        pass

    def act(self, members: slice, observations: np.ndarray, live: np.ndarray) -> np.ndarray:
        members = slice(self.first + members.start, self.first + members.stop)
        return self._networks.act(members, observations, live)


def not_finite(task: Task, what: str) -> TrainingError:
    return TrainingError(
        f"{task.id} gave {what} that is not a finite number.",
        "The checkpoint of the last generation is safe; repair the task, then resume.",
    )


def evaluate(
    networks: Networks, task: Task, seeds: Sequence[int], threads: int | None = None
) -> np.ndarray:
    """Returns (P,) float64, an episode for each of the networks and seeds."""
    with Population(task, networks, threads) as population:
        return population.roll_out(seeds).returns


def activity_of(networks: Networks) -> float | None:
    """Spikes a neuron and substep of all steps so far; None of a model that has no spikes."""
    spikes, substeps = networks.counts
    return spikes / substeps if substeps else None


def usable_cores() -> int:
    return len(os.sched_getaffinity(0))
