"""One episode of every member: networks and plants in step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..engine import Batch
from ..errors import PolicyError, TrainingError
from ..model import ObservationMap, Policy, decode_action
from ..tasks import Batch as Plants
from ..tasks import Task
from .normaliser import Normaliser


@dataclass(frozen=True)
class Rollout:
    """returns: (P,) float64, the sums of rewards; steps: plant steps of all members together."""

    returns: np.ndarray
    steps: int


def roll_out(
    task: Task,
    plants: Plants,
    networks: Batch,
    observation_map: ObservationMap,
    seed: int | Sequence[int],
    normaliser: Normaliser | None = None,
) -> Rollout:
    """Runs one episode of every member to its end; `normaliser` learns from what is seen.

    Raises TrainingError when the task gives an observation or a reward that is not finite.
    """
    active = np.ones(networks.population, bool)
    returns = np.zeros(networks.population)
    output = np.zeros((networks.population, networks.spec.n_act), np.int16)
    low, high = np.array(task.low, np.float32), np.array(task.high, np.float32)
    steps = 0
    networks.set_map(observation_map)
    networks.reset()
    observations = plants.reset(seed)
    while active.any():
        if not active.all():
            observations[~active] = 0  # whatever a member saw last, its episode is over
        try:
            raw = observation_map.encode(observations)
        except PolicyError as error:
            raise TrainingError(
                f"{task.id} gave an observation that is not a finite number.",
                "The checkpoint of the last generation is safe; repair the task, then resume.",
            ) from error
        if normaliser is not None:
            normaliser.add(observations if active.all() else observations[active])
        networks.step(raw, active, out=output)
        actions = decode_action(networks.spec, output, low, high)
        observations, rewards, terminated, truncated = plants.step(actions)
        steps += int(active.sum())
        returns += rewards
        active = ~(terminated | truncated)
    if not np.isfinite(returns).all():
        raise TrainingError(
            f"{task.id} gave a reward that is not a finite number.",
            "The checkpoint of the last generation is safe; repair the task, then resume.",
        )
    return Rollout(returns, steps)


def evaluate(
    policy: Policy, task: Task, seeds: Sequence[int], threads: int | None = None
) -> np.ndarray:
    """Returns (len(seeds),) float64 of one policy, an episode for each seed."""
    networks = Batch(policy.spec, len(seeds), threads)
    for member in range(len(seeds)):
        networks.load(member, policy.synapses)
    plants = task.make(len(seeds))
    try:
        return roll_out(task, plants, networks, policy.observation_map, seeds).returns
    finally:
        plants.close()
